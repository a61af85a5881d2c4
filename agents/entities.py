"""Networks for observations made of entities: groups of rows, a row a unit, which an env's `obs_layout` tells.

Permuting a group's rows changes no value and permutes the probabilities of choosing them.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.distributions import Heads
from agents.networks import linear


class Entities(nn.Module):
    """Flat observations `[..., C]` -> features `[..., num_features]` and an embedding of each row `[..., R, size]`.

    All rows of a kind go through the same two layers, with a bias of each group, and a group's embeddings are pooled by
    their maximum: OpenAI Five's "process set" (arXiv 1912.06680, appendix H), after Zaheer et al. ("Deep sets", arXiv
    1703.06114). The features are what is no group, as it is, and the pools.

    Args:
        layout: name -> field with `slice`, `shape` and `kind`; fields of shape (rows, features) are groups of rows.
        size: of an embedding.

    Raises:
        ValueError: a layout without groups, or one kind with rows of different widths.
    """

    def __init__(self, layout: dict[str, Any] | None, size: int) -> None:
        super().__init__()
        groups = {name: field for name, field in (layout or {}).items() if len(field.shape) == 2}
        if layout is None or not groups:
            raise ValueError(
                'network "entities" needs an env whose obs_layout has groups, fields of shape (rows, features); this '
                f'one has {", ".join(layout) if layout else "no obs_layout"}; use network "mlp"'
            )
        self.singles = [field.slice for name, field in layout.items() if name not in groups]
        self.tables = [
            (kind, slice(fields[0].slice.start, fields[-1].slice.stop), [field.shape[0] for field in fields])
            for kind, fields in _tables(list(groups.values()))
        ]
        widths = {field.kind: field.shape[1] for field in groups.values()}
        if any(widths[field.kind] != field.shape[1] for field in groups.values()):
            raise ValueError(f"all rows of a kind must have the same features, got {groups}")
        self.first = nn.ModuleDict({kind: linear(width, size) for kind, width in widths.items()})
        self.second = nn.ModuleDict({kind: linear(size, size) for kind in widths})
        self.bias = nn.Parameter(torch.zeros(len(groups), size))
        counts = torch.tensor([count for _, _, counts in self.tables for count in counts])
        self.register_buffer("group", torch.arange(len(groups)).repeat_interleave(counts), persistent=False)
        self.num_rows = int(counts.sum())
        self.num_features = sum(one.stop - one.start for one in self.singles) + len(groups) * size

    group: Tensor

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """`[..., C]` -> `[..., num_features]`, `[..., R, size]`."""
        features, embedded = [obs[..., columns] for columns in self.singles], []
        biases = self.bias[self.group].split([sum(counts) for _, _, counts in self.tables])
        for (kind, columns, counts), bias in zip(self.tables, biases, strict=True):
            rows = obs[..., columns].unflatten(-1, (sum(counts), -1))
            first = self.first[kind]
            rows = self.second[kind](F.linear(rows, first.weight).add_(first.bias + bias).relu_())  # pyright: ignore
            features += [group.amax(-2) for group in rows.split(counts, dim=-2)]
            embedded.append(rows)
        return torch.cat(features, dim=-1), torch.cat(embedded, dim=-2)


class Team(nn.Module):
    """What a team makes of what its members see: `[..., N, num_inputs]` -> `[..., N, num_inputs + size]`.

    Each member's features become `size` numbers, and each is given the largest of the team's, after its own features:
    the pool across heroes of OpenAI Five (arXiv 1912.06680, appendix H). N is a multiple of `team_size`, members side
    by side.
    """

    def __init__(self, num_inputs: int, team_size: int, size: int) -> None:
        super().__init__()
        self.team_size, self.num_features = team_size, num_inputs + size
        self.tell = linear(num_inputs, size)

    def forward(self, features: Tensor) -> Tensor:
        """`[..., N, num_features]`."""
        told = torch.relu(self.tell(features)).unflatten(-2, (-1, self.team_size))
        most = told.amax(-2, keepdim=True).expand_as(told).flatten(-3, -2)
        return torch.cat([features, most], dim=-1)


def _tables(groups: list[Any]) -> list[tuple[str, list[Any]]]:
    """Groups of one kind that lie side by side, together: they are one table of rows."""
    found: list[tuple[str, list[Any]]] = []
    for field in groups:
        if found and found[-1][0] == field.kind and found[-1][1][-1].slice.stop == field.slice.start:
            found[-1][1].append(field)
        else:
            found.append((field.kind, [field]))
    return found


def tied_columns(layout: dict[str, Any], num_columns: int) -> Tensor:
    """For each column of an observation the number of its statistic, int64 `[C]`: a kind's features have one each."""
    numbers: dict[Any, int] = {}
    tied = [numbers.setdefault(column, len(numbers)) for column in range(num_columns)]
    for field in layout.values():
        if len(field.shape) == 2:
            for column in range(field.slice.start, field.slice.stop):
                feature = (field.kind, (column - field.slice.start) % field.shape[1])
                tied[column] = numbers.setdefault(feature, len(numbers))
    return torch.tensor(tied).unique(return_inverse=True)[1]


class Pointer(nn.Module):
    """Chooses one of the rows by attention: a query for each kind of the first choice; the keys are the embeddings.

    The logit of row r for kind k is q_k . e_r / sqrt(size), so that a target depends on what is to be done with it. A
    linear layer for the keys would add nothing: the queries' own takes it up.

    Args:
        heads: of the actions, by kind.
        num_rows: R; the part of the action with as many choices is the one that names a row.
        size: of embeddings and queries.

    Attributes:
        num_inputs: what the actor gives: as `heads` take, but the queries in place of the rows' logits.
    """

    def __init__(self, heads: Heads, num_rows: int, size: int) -> None:
        super().__init__()
        self.part = heads.sizes.index(num_rows, min(1, len(heads.sizes) - 1))
        blocks = (1, *heads.blocks)
        self.widths = [count * choices for count, choices in zip(blocks, heads.sizes, strict=True)]
        self.widths[self.part] = blocks[self.part] * size
        self.num_inputs = sum(self.widths)
        self.size = size

    def forward(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """`[..., num_inputs]` and the rows' embeddings `[..., R, size]` -> what `heads` take."""
        pieces = list(outputs.split(self.widths, dim=-1))
        queries = pieces[self.part].unflatten(-1, (-1, self.size))
        scores = queries @ rows.transpose(-1, -2) / math.sqrt(self.size)
        pieces[self.part] = scores.flatten(-2)
        return torch.cat(pieces, dim=-1)


def make_pointer(heads: Heads, num_rows: int, size: int) -> Pointer | None:
    """A pointer where a part of the action, not the first of several, names a row."""
    if heads.is_box or num_rows not in (heads.sizes[1:] or heads.sizes):
        return None
    return Pointer(heads, num_rows, size)
