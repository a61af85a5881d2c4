"""What goes into a checkpoint comes out of it, and nothing else is taken for one."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from agents import checkpoint


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and bytes."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


STATE = {
    "policy": {"0.weight": torch.randn(3, 4), "empty": torch.zeros(5, 0), "count": torch.tensor(7)},
    "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"betas": (0.9, 0.999), "lr": 1e-3}]},
    "flags": torch.tensor([True, False]),
    "records": torch.arange(6, dtype=torch.uint8),
    "episodes": [[1.5, 3], []],
    "none": None,
    "big": 2**127 + 1,
    "words": 'a "quoted" / path',
}


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.safetensors", STATE)
    assert same(checkpoint.load(tmp_path / "a.safetensors"), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
tensors = st.lists(st.integers(-5, 5), max_size=4).map(torch.tensor)
trees = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_any_tree_survives(tree: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree.safetensors"
        checkpoint.save(path, tree)
        assert same(checkpoint.load(path), tree)


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, STATE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_views_and_transposes_are_stored_as_they_look(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    state = {"whole": whole, "row": whole[1], "turned": whole.T}
    checkpoint.save(tmp_path / "a", state)
    assert same(checkpoint.load(tmp_path / "a"), state)


@pytest.mark.parametrize("value", [object(), {1, 2}, {"deep": [{"er": print}]}, {1.5: 2}, {True: 1}])
def test_what_can_not_be_stored_is_refused_by_path(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint"):
        checkpoint.save(tmp_path / "a", value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keys", [{"a/b": 1.0, "a": {"b": 2.0}}, {1: 1.0, "1": 2.0}])
def test_two_tensors_of_one_path_are_refused(tmp_path: Path, keys: Any) -> None:
    with pytest.raises(ValueError, match="two tensors of the state have the path"):
        checkpoint.save(tmp_path / "a", tensors_of(keys))
    assert not list(tmp_path.iterdir())


def tensors_of(tree: Any) -> Any:
    """The same tree with tensors in place of its numbers."""
    return {key: tensors_of(value) for key, value in tree.items()} if isinstance(tree, dict) else torch.tensor(tree)


def test_damage_is_noticed_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a"
    checkpoint.save(path, STATE)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    harmless = 0
    for place in [0, 3, 9, length // 2, length + 7, length + 9, len(content) - 1]:
        broken = bytearray(content)
        broken[place] ^= 0x55
        path.write_bytes(bytes(broken))
        try:
            harmless += same(checkpoint.load(path), STATE)
        except ValueError as error:
            assert str(path) in str(error)
    assert harmless <= 1


def test_a_changed_scalar_is_noticed_and_files_of_the_first_format_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    checkpoint.save(path, {"global_step": 640})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"640", b"642"))
    with pytest.raises(ValueError, match="doesn't match its checksum; move it away"):
        checkpoint.load(path)
    tree = {"dict": [["a", {"tensor": "/a"}], ["n", 3]]}
    checksum = zlib.crc32(np.zeros(2, np.float32).tobytes(), zlib.crc32(b"/a torch.float32 [2]"))
    first = json.dumps({"format": 1, "checksum": checksum, "tree": tree})
    save_file({"/a": torch.zeros(2)}, path, {checkpoint.KEY: first})
    assert checkpoint.load(path)["n"] == 3


@pytest.mark.parametrize("keep", [0, 4, 40, -1, -8])
def test_a_cut_off_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a"
    checkpoint.save(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("not tensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a Quintet checkpoint"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(2)}, path, {checkpoint.KEY: "{"})
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(2)}, path, {checkpoint.KEY: json.dumps({"format": 99, "checksum": 0, "tree": None})})
    with pytest.raises(ValueError, match="format 99"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        checkpoint.load(tmp_path / "missing")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    checkpoint.save(path, {"step": 1})

    def full(number: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
