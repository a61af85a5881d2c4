"""One safetensors file for a nested state: its tensors, and the rest as JSON. Nothing is pickled.

The tree of dicts, lists, tuples and scalars is JSON under one metadata key; a tensor in it is named by its path. A
checksum tells a damaged file. The same state gives the same bytes.
"""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

KEY = "quintet"
REMEDY = "move it away, and the run goes on from what was saved before"
FORMATS = (1, 2)
"""That can be read; in the first the checksum was of tensors alone. The last is written."""


def save(path: str | Path, state: Any) -> None:
    """Writes a state; the file appears under its name only when it is complete.

    Args:
        path: a file in a folder that exists.
        state: dicts (keys str or int), lists and tuples of tensors, None, bools, ints, floats and strings.

    Raises:
        TypeError: anything else in it, named by its path.
        ValueError: keys that give two tensors one path, such as 1 and "1".
    """
    path, tensors = Path(path), {}
    tree = _encode(state, "", tensors)
    header = {"format": FORMATS[-1], "checksum": _checksum(tensors, _text(tree)), "tree": tree}
    content = to_bytes(tensors, {KEY: _text(header)})
    write_atomic(path, content)


def load(path: str | Path) -> Any:
    """The state that `save` wrote, its tensors on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one that `save` did not write.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one: {error}; {REMEDY}") from error
    header = _header(path, metadata)
    if header["checksum"] != _checksum(tensors, _text(header["tree"]) if header["format"] > 1 else ""):
        raise ValueError(f"{path} is damaged: it doesn't match its checksum; {REMEDY}")
    try:
        return _decode(header["tree"], tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: its tree doesn't match its tensors ({error}); {REMEDY}") from error


def write_atomic(path: str | Path, content: bytes) -> None:
    """Writes a file that is there whole or not at all, also after a power cut."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        with suppress(OSError):  # what went wrong before is what counts
            draft.unlink(missing_ok=True)


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not a Quintet checkpoint: it lacks the {KEY!r} metadata")
    try:
        header = json.loads(metadata[KEY])
        format, _, _ = header["format"], header["checksum"], header["tree"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its {KEY!r} metadata can't be read ({error!r}); {REMEDY}") from error
    if format not in FORMATS:
        raise ValueError(f"{path} has checkpoint format {format}, this version reads {FORMATS[-1]} and before")
    return header


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for a value: scalars as they are, the rest as a one-entry dict that names its kind."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = path or "/"
        if name in tensors:
            raise ValueError(f"two tensors of the state have the path {name}; give their dicts other keys")
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_key(key, path), _encode(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    raise TypeError(
        f"a checkpoint holds tensors and JSON values, but {path or 'the state'} is a {type(value).__name__}"
    )


def _key(key: Any, path: str) -> str | int:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise TypeError(f"a checkpoint's dicts have keys str or int, but {path or 'the state'} has {key!r}")


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)


def _text(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"))


def _checksum(tensors: dict[str, Tensor], tree: str) -> int:
    """CRC-32 of the tree's text, then of tensors' names, types, shapes and bytes, in the order of the names."""
    checksum = zlib.crc32(tree.encode())
    for part in _parts(tensors):
        checksum = zlib.crc32(part, checksum)
    return checksum


def _parts(tensors: dict[str, Tensor]) -> Iterator[Any]:
    for name in sorted(tensors):
        tensor = tensors[name]
        yield f"{name} {tensor.dtype} {list(tensor.shape)}".encode()
        if tensor.numel():
            yield tensor.reshape(-1).view(torch.uint8).numpy()
