"""What PPO learns from: an iteration's steps side by side, and how these are cut into minibatches and pieces."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from agents import distributed


@dataclass
class Batch:
    """Steps side by side, `[B, ...]`; with a memory, segments side by side, `[S, L, ...]`."""

    obs: Tensor
    """As in the rollout, which may keep them in bfloat16 and padded."""
    action_mask: Tensor | None
    """bool `[B, M]`, or None."""
    actions: Tensor
    """int64 or float32 `[B, ...]`."""
    log_probs: Tensor
    """float32 `[B]`, as are the next three: of the actions, under the policy that acted."""
    values: Tensor
    advantages: Tensor
    returns: Tensor
    weight: Tensor | None = None
    """float32 `[B]` or `[S, L]`: 1 for the steps that count, 0 for the others; None where all do."""
    memory: Tensor | None = None
    """`[S, m]`: before the first step of each segment."""
    starts: Tensor | None = None
    """bool `[S, L]`"""

    def shapes(self) -> list[torch.Size | None]:
        """Of its tensors; None for what is not there."""
        return [None if x is None else x.shape for x in vars(self).values()]

    def select(self, rows: Tensor) -> "Batch":
        """The steps, or segments, of the given rows, int64 `[b]`."""
        return Batch(*(None if x is None else _chosen(x, rows) for x in vars(self).values()))  # pyright: ignore

    def split(self, sizes: list[int]) -> "Iterator[Batch]":
        """Parts of so many rows, in their order."""
        parts = [None if x is None else x.split(sizes) for x in vars(self).values()]
        for k in range(len(sizes)):
            yield Batch(*(None if part is None else part[k] for part in parts))  # pyright: ignore

    def copy_(self, other: "Batch") -> None:
        """Takes the values of another of the same shapes."""
        for place, values in zip(vars(self).values(), vars(other).values(), strict=True):
            if values is not None:
                place.copy_(values)

    def counting(self) -> "Batch":
        """Without the steps, or segments, that don't count."""
        if self.weight is None:
            return self
        counts = self.weight.flatten(1).amax(1) if self.weight.dim() > 1 else self.weight
        batch = self if counts.all() else self.select(counts.nonzero().flatten())
        return replace(batch, weight=None) if batch.weight.all() else batch  # pyright: ignore


def _chosen(x: Tensor, rows: Tensor) -> Tensor:
    """Rows `[b]` of `[B, ...]`; of bfloat16 in pieces of eight bytes: a GPU moves one as fast as a number alone."""
    if x.dim() == 2 and x.dtype == torch.bfloat16 and x.shape[1] % 4 == 0:
        return x.view(torch.int64).index_select(0, rows).view(x.dtype)
    return x.index_select(0, rows)


def segments(x: Tensor, length: int) -> Tensor:
    """`[T, N, ...]` -> `[T / L * N, L, ...]`: all rows' first steps, then all rows' next."""
    return x.unflatten(0, (-1, length)).transpose(1, 2).flatten(0, 1)


def shuffled(batch: Batch, num_minibatches: int, team_size: int, generator: torch.Generator) -> list[Batch]:
    """A batch in a random order, teams staying together, cut into parts of about the same size.

    Each rank has its part of every minibatch; where a rank has fewer teams than `num_minibatches`, there are as many.
    """
    count = len(batch.obs) // team_size
    parts = max(1, min(num_minibatches, distributed.least(count)))
    sizes = [team_size * (count * (k + 1) // parts - count * k // parts) for k in range(parts)]
    rows = _permutation(count, generator)
    if team_size > 1:
        rows = (rows.unsqueeze(1) * team_size + torch.arange(team_size, device=rows.device)).flatten()
    return list(batch.select(rows).split(sizes))


def _permutation(count: int, generator: torch.Generator) -> Tensor:
    """0..count-1 in a random order, int64; on a GPU without waiting for it."""
    if generator.device.type == "cpu":
        return torch.randperm(count, generator=generator)
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64).argsort()


def standardise(minibatches: list[Batch]) -> None:
    """Brings the advantages of each to mean 0 and standard deviation 1, over all ranks."""
    groups = [minibatch.advantages.flatten() for minibatch in minibatches]
    weights = [None if minibatch.weight is None else minibatch.weight.flatten() for minibatch in minibatches]
    for minibatch, (std, mean) in zip(minibatches, distributed.std_means(groups, weights), strict=True):
        minibatch.advantages = (minibatch.advantages - mean) / (std + 1e-8)


PIECE = 2048
"""Steps that pass through a network together on a CPU. More at once leave its cache, and get memory that the system
has to clear first: a minibatch of 32,768 takes a third to two thirds of the time in pieces."""


def most_rows(x: Tensor, rows: int, steps: int) -> int:
    """Of rows of so many steps each, those that pass through a network together; all of them but on a CPU."""
    return rows if x.device.type != "cpu" else max(1, min(rows, PIECE // steps))


def pieces(batch: Batch, team_size: int) -> list[Batch]:
    """A minibatch in the pieces that it passes through the network in, teams staying together."""
    count = len(batch.obs) // team_size
    size = most_rows(batch.obs, count, team_size * batch.returns.shape[1:].numel())
    if size >= count:
        return [batch]
    return list(batch.split([team_size * min(size, count - first) for first in range(0, count, size)]))
