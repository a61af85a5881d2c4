"""Trained policies as files that run without this code: TorchScript (.pt) and ONNX (.onnx).

A file is a function of a batch of any size: observations `obs` as agents/encoding.py encodes them, where there are
masks `mask` bool `[N, M]`, and where the policy remembers `memory` `[N, m]` (zeros at first, then the last call's
`next_memory`) and `starts` bool `[N]`. It returns `action` first, then what `agents.outputs` tells. Normalisation is in
it, and so are a Box's bounds. Names, shapes and dtypes are in the file, as JSON under "quintet.json" (ONNX: metadata
"quintet").
"""

import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.networks import MLP
from agents.outputs import outputs

SUFFIXES = (".pt", ".onnx")
KEY = "quintet"


class Plain(nn.Module):
    """An `MLP` whose layers are called as modules, which tracing and quantisation can see."""

    def __init__(self, mlp: MLP) -> None:
        super().__init__()
        self.layers, self.activation = mlp.layers, mlp.activation

    def forward(self, x: Tensor) -> Tensor:
        """As the `MLP`."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)


def plain(policy: Any) -> Any:
    """A copy of a policy in operations that every format knows."""
    policy = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
    for module in policy.modules():
        if hasattr(module, "fused"):
            module.fused = False
        for name, child in list(module.named_children()):
            if isinstance(child, MLP):
                setattr(module, name, Plain(child))
    return policy


class Function(nn.Module):
    """A policy's best actions as a function of tensors, on the CPU.

    Args:
        policy: trained; a copy is taken.
        action_space: a Box's bounds cut its actions, as the collector does for the environment.
        masked: whether there are action masks.

    Attributes:
        inputs: names of what `forward` takes.
        outputs: names of what it returns, known after the first call.
    """

    low: Tensor
    high: Tensor

    def __init__(self, policy: Any, action_space: spaces.Space, masked: bool) -> None:
        super().__init__()
        self.policy = plain(policy)
        self.inputs = ["obs"] + ["mask"] * masked
        self.inputs += ["memory", "starts"] * (getattr(policy, "remember", None) is not None)
        self.outputs: list[str] = []
        self.is_box = isinstance(action_space, spaces.Box)
        self.whole = self.is_box and np.dtype(action_space.dtype).kind in "iu"
        if isinstance(action_space, spaces.Box):
            self.register_buffer("low", torch.as_tensor(action_space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(action_space.high, dtype=torch.float32))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The inputs in their order -> the outputs in theirs."""
        given = dict(zip(self.inputs, tensors, strict=True))
        obs = given["obs"]
        nothing = obs
        found = outputs(self.policy, obs, given.get("mask"), given.get("memory", nothing), given.get("starts", nothing))
        found["action"] = self.within_bounds(found["action"])
        self.outputs = list(found)
        return tuple(found.values())

    def within_bounds(self, actions: Tensor) -> Tensor:
        """Actions as the environment gets them: within a Box's bounds, whole numbers where it holds such."""
        if not self.is_box:
            return actions
        actions = torch.minimum(torch.maximum(actions, self.low), self.high)
        return actions.round() if self.whole else actions


def quantised(function: Function) -> Function:
    """A copy whose linear layers have weights of 8 bits, and quantise what comes in as it comes (for .pt).

    Raises:
        ValueError: there are no linear layers.
    """
    from torch.ao.quantization import quantize_dynamic

    _check_layers(function)
    with _quiet():
        return quantize_dynamic(function, {nn.Linear}, dtype=torch.qint8)  # pyright: ignore


def _check_layers(function: Function) -> None:
    if not any(isinstance(module, nn.Linear) for module in function.modules()):
        raise ValueError("there is nothing to quantise: the policy has no linear layers; leave --int8 out")


def write(function: Function, example: list[Tensor], path: Path, int8: bool = False) -> None:
    """Writes a function to a file, in the format that the file's suffix names.

    Args:
        function: what to write.
        example: inputs, `[N, ...]` each, N at least 2.
        path: ends in one of `SUFFIXES`.
        int8: weights of linear layers in 8 bits.

    Raises:
        ValueError: another suffix, nothing that 8 bits are for, or what ONNX can't say.
        ImportError: .onnx without the packages that it takes.
    """
    function(*example)
    named = {
        name: [list(one.shape[1:]), str(one.dtype).removeprefix("torch.")] for name, one in _named(function, example)
    }
    about = json.dumps({"inputs": named, "outputs": function.outputs, "int8": int8})
    if path.suffix == ".pt":
        with _quiet():
            traced = torch.jit.trace(quantised(function) if int8 else function, tuple(example), check_trace=False)
            torch.jit.save(traced, str(path), _extra_files={f"{KEY}.json": about})
    elif path.suffix == ".onnx":
        _write_onnx(function, example, path, about, int8)
    else:
        raise ValueError(f"a file's name must end in {' or '.join(SUFFIXES)}, got {path.name}")


def _named(function: Function, example: list[Tensor]) -> list[tuple[str, Tensor]]:
    return list(zip(function.inputs, example, strict=True))


def _dynamic(example: list[Tensor]) -> Any:
    """Every input has as many rows, however many."""
    rows = torch.export.Dim("rows", min=1)
    return {"tensors": tuple({0: rows} for _ in example)}


def _write_onnx(function: Function, example: list[Tensor], path: Path, about: str, int8: bool) -> None:
    import onnx
    import onnxruntime.quantization as quantization  # also tells whether the file could be run
    import onnxscript  # noqa: F401

    with tempfile.TemporaryDirectory() as folder, _quiet():
        draft, smaller = Path(folder) / "draft.onnx", Path(folder) / "smaller.onnx"
        try:
            torch.onnx.export(
                function, tuple(example), draft, dynamo=True, dynamic_shapes=_dynamic(example), verbose=False,
                input_names=function.inputs, output_names=function.outputs, external_data=False,
            )  # fmt: skip
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"ONNX can't say what this policy does, write a .pt instead: {reason}") from error
        if int8:
            _check_layers(function)
            quantization.quantize_dynamic(draft, smaller, weight_type=quantization.QuantType.QInt8)
        model = onnx.load(smaller if int8 else draft)
        onnx.helper.set_model_props(model, {KEY: about})
        onnx.save(model, path)


class Loaded:
    """A file that `write` made, as a function, and as a policy that knows its best actions only.

    Attributes:
        shapes: of each input by name, without the batch, and its dtype's name.
        inputs, outputs: names, in their order.

    Raises:
        ValueError: a file that `write` didn't make.
        ImportError: .onnx without onnxruntime.
    """

    def __init__(self, path: Path) -> None:
        extra = {f"{KEY}.json": ""}
        if path.suffix == ".onnx":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            extra[f"{KEY}.json"] = session.get_modelmeta().custom_metadata_map.get(KEY, "")
            self.call: Any = lambda *given: _run_onnx(session, self.inputs, given)
        else:
            with _quiet():
                self.call = torch.jit.load(str(path), _extra_files=extra)
        text: Any = extra[f"{KEY}.json"]
        if not text:
            raise ValueError(f"{path} is not a policy that `quintet export` wrote")
        about = json.loads(text)
        self.shapes, self.outputs = about["inputs"], about["outputs"]
        self.inputs = list(self.shapes)

    @torch.no_grad()
    def __call__(self, *tensors: Tensor) -> dict[str, Tensor]:
        """The inputs in their order -> the outputs by name."""
        return dict(zip(self.outputs, self.call(*tensors), strict=True))

    def initial_memory(self, num_envs: int) -> Tensor:
        """Zeros `[num_envs, m]`."""
        return torch.zeros(num_envs, *self.shapes.get("memory", [[0]])[0])

    def act(self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        """The best actions, whatever else is asked for, and the next memory."""
        given: dict[str, Any] = {"obs": obs, "mask": mask, "memory": memory, "starts": starts}
        found = self(*(given[name] for name in self.inputs))
        return found["action"], found.get("next_memory", memory)


def _run_onnx(session: Any, names: list[str], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    given = {name: one.numpy() for name, one in zip(names, tensors, strict=True)}
    needed = {one.name for one in session.get_inputs()}
    return [torch.from_numpy(one) for one in session.run(None, {k: v for k, v in given.items() if k in needed})]


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk much of what does not concern us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
