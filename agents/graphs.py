"""Functions over fixed tensors, replayed as CUDA graphs: one launch instead of thousands."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch

from agents import schedules

WARM_UP = 2
"""Calls that run as usual, so that kernels are compiled and libraries have their workspaces, before one is recorded."""

C = TypeVar("C")
T = TypeVar("T")


class Graphs:
    """Functions by name. On a GPU the third call of each is recorded and from then on replayed; elsewhere, or where it
    is switched off, functions are just called.

    What is recorded must work on the same tensors each time, wait for nothing, and give tensors, or a nest of them,
    which the next call writes over. Numbers that change must be tensors too: see `numbers`.

    Args:
        device: where the tensors are.
        generators: from which recorded functions draw.
        enabled: whether to record at all.
    """

    def __init__(self, device: torch.device, generators: Iterable[torch.Generator] = (), enabled: bool = True) -> None:
        self.device, self.generators = device, list(generators)
        self.enabled = enabled and device.type == "cuda"
        self._calls: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._recorded: dict[str, tuple[torch.cuda.CUDAGraph, Any]] = {}
        self._numbers: dict[str, torch.Tensor] = {}
        self._stream: Any = None

    def run(self, name: str, function: Callable[[], T], version: int = 0, after: str = "", fixed: bool = True) -> T:
        """What the function gives; replayed, if this version of it was recorded under this name before.

        Args:
            name: of the function.
            function: what to do.
            version: a number that changes when what was recorded holds no more.
            after: the name of a function whose results this one takes. It is recorded after that one: before, those
                results lie elsewhere each time.
            fixed: False for one that can't be recorded, as it does other things each time; it is just called.
        """
        if not (self.enabled and fixed):
            return function()
        if self._versions.setdefault(name, version) != version:
            self._versions[name], self._calls[name] = version, 0
            self._recorded.pop(name, None)
        if name not in self._recorded:
            self._calls[name] = self._calls.get(name, 0) + 1
            if self._calls[name] <= WARM_UP or (after and after not in self._recorded):
                return function()
            self._recorded[name] = self._record(function)
        graph, result = self._recorded[name]
        graph.replay()
        return result

    def kept(self, tensors: T) -> T:
        """A tuple of what `run` gave, to be kept beyond the next call; None stays None."""
        if not self.enabled:
            return tensors
        return tuple(None if one is None else one.clone() for one in tensors)  # pyright: ignore

    def _record(self, function: Callable[[], T]) -> tuple[torch.cuda.CUDAGraph, T]:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        torch.cuda.synchronize(self.device)
        self._stream = self._stream or torch.cuda.Stream(self.device)
        try:
            with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self._stream):
                result = function()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError("what is done here can't be recorded; cuda_graphs = False goes without") from error
        return graph, result

    def numbers(self, config: C) -> C:
        """The config with its scheduled fields, numbers by now, in tensors that recorded functions read anew.

        They are float64, as numbers are: what is made of them is then rounded as in plain calls.
        """
        if not self.enabled:
            return config
        found = copy.copy(config)
        for name in schedules.scheduled(type(config)):
            number = self._numbers.setdefault(name, torch.zeros((), dtype=torch.float64, device=self.device))
            number.fill_(getattr(config, name))
            vars(found)[name] = number
        return found
