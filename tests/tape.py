"""CUDA graphs on a CPU, as far as what they do to tensors goes: what was done once is done again on the same tensors.

Python's part is not repeated, and results lie where they first lay, so what a graph must not rest on shows: numbers
that change, tensors made anew each time, choices. (What is freed meanwhile stays alive here, with old values.)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from agents.graphs import Graphs

WAITING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)

_TAPES: list["Tape"] = []


class Tape(TorchDispatchMode):
    """Notes what is done to tensors within it."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Callable[[], None]] = []
        self.fresh = True

    def __enter__(self) -> Any:
        _TAPES.append(self)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        _TAPES.remove(self)
        super().__exit__(*raised)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        assert function not in WAITING, f"what is recorded waits for the device in {function}"
        chosen = [one for one in tree_flatten(args[1:])[0] if isinstance(one, torch.Tensor) and one.dtype == torch.bool]
        assert function not in INDEXING or not chosen, "what is recorded asks how many of a mask are true"
        kept = [one for one in tree_flatten(result)[0] if isinstance(one, torch.Tensor)]

        def again() -> None:
            found = [one for one in tree_flatten(function(*args, **kwargs))[0] if isinstance(one, torch.Tensor)]
            for old, new in zip(kept, found, strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)

        self.steps.append(again)
        return result

    def replay(self) -> None:
        """Does it all again; the first time it is as it was left, for a graph only notes what the tape has done."""
        if self.fresh:
            self.fresh = False
            return
        with torch.inference_mode():
            for step in self.steps:
                step()


def widened(make: Callable[..., Any]) -> Callable[..., Any]:
    """What makes policies; they then widen, as they do on a GPU."""

    def made(*args: Any) -> Any:
        policy = make(*args)
        policy.widen()
        return policy

    return made


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which changes tensors' memory by means other than torch's, for use within a tape."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if _TAPES:
            _TAPES[-1].steps.append(lambda: function(*args, **kwargs))
        return function(*args, **kwargs)

    return call


class TapedGraphs(Graphs):
    """`Graphs` that record on a CPU too."""

    def __init__(self, device: Any, generators: Any = (), enabled: bool = True) -> None:
        super().__init__(device, generators, enabled)
        self.enabled = enabled

    def _record(self, function: Callable[[], Any]) -> tuple[Any, Any]:
        with Tape() as tape:
            result = function()
        return tape, result
