"""Surgery on PPO's networks: a larger one, or one for more observations and actions, that acts as the smaller did.

OpenAI Five went on with one training for ten months in this way (arXiv 1912.06680, appendix B), after Chen, Goodfellow
and Shlens ("Net2Net", arXiv 1511.05641). Every number that passes through a network has a name, in the old one and in
the new (agents/surgery_names.py). A weight between two old numbers stays; what comes from a new number weighs nothing
in an old one; what goes into a new number is random, so that it can learn. A layer that is added passes on what it is
given, which only relu leaves as it is.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.memory import Recurrent
from agents.networks import ACTIVATIONS
from agents.surgery_names import Names, output_names, tensors_of

UNLIKELY = -20.0
"""How far below the mean of the old choices' logits those of new choices begin: e^-20 is 2e-9."""
Layout = dict[str, Any] | None
"""Of observations; where one of two is None, columns are told apart by their number."""
KEPT = ("network", "activation", "shared_trunk", "memory", "normalize_obs")
NOT_SMALLER = ("hidden_sizes", "entity_size", "memory_size")


@dataclass
class Origin:
    """Where a new tensor's numbers come from."""

    name: str | None
    """Of the old tensor; None for a new one, which passes on what it is given, or is as it is."""
    places: list[Tensor]
    """For each dimension where the old numbers are among the new, int64 `[old size]`; empty: all stay."""


def check_configs(old: Any, new: Any) -> None:
    """What two `agents.ppo.Config`s say of the networks must allow the surgery.

    Raises:
        ValueError: the first field that does not.
    """
    for name in KEPT:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            raise ValueError(
                f"{name} is {before!r} and can't become {after!r} without a change of what it does; keep it"
            )
    for name in NOT_SMALLER:
        before, after = getattr(old, name), getattr(new, name)
        wide, wider = (value if isinstance(value, tuple) else (value,) for value in (before, after))
        if len(wider) < len(wide) or any(b < a for a, b in zip(wide, wider, strict=False)):
            raise ValueError(f"{name} is {before} and can't become {after}: surgery only adds; give as much or more")
    if len(new.hidden_sizes) > len(old.hidden_sizes) and (old.activation != "relu" or not old.hidden_sizes):
        what = f"activation {old.activation!r}" if old.hidden_sizes else "no hidden layer"
        raise ValueError(
            f"hidden_sizes {new.hidden_sizes} has a layer more, which can't pass on what it is given behind {what}, "
            "only behind a relu; widen the layers that there are"
        )
    if old.memory == "transformer" and (old.memory_size, old.context_steps) != (new.memory_size, new.context_steps):
        raise ValueError(
            "a transformer's normalisation is over all of its width, and its attention over all of its context: keep "
            f"memory_size {old.memory_size} and context_steps {old.context_steps}"
        )
    if new.team_size != old.team_size and old.team_size > 1:
        raise ValueError(
            f"team_size is {old.team_size} and can't become {new.team_size}: members see what the rest see"
        )


def check_policies(old: Any, new: Any) -> None:
    """What envs make of two policies whose configs allow the surgery must allow it too.

    Raises:
        ValueError: what does not.
    """
    for what, before, after in zip(("activation", "memory", "team"), _fixed(old), _fixed(new), strict=True):
        if before != after and not (what == "team" and before == 1):
            raise ValueError(f"{what} is {before} and can't become {after} without a change of what it does; keep it")
    ours, theirs = old.heads, new.heads
    if ours.is_box != theirs.is_box or (not ours.is_box and len(ours.sizes) != len(theirs.sizes)):
        raise ValueError(
            "actions can't become of another kind, or of more or fewer parts; keep the action space's shape"
        )
    for part, (before, after) in enumerate(zip(*(() if h.is_box else h.kinds for h in (ours, theirs)), strict=True)):  # pyright: ignore
        if after[: len(before)] != before:
            raise ValueError(f"old choices use part {part + 1} of an action otherwise than before; put new ones behind")
    groups = [None if one.pointer is None else (one.pointer.part, one.features.num_rows) for one in (old, new)]
    if groups[0] != groups[1]:
        raise ValueError(f"rows that actions choose from can't change from {groups[0]} to {groups[1]} (part, rows)")


def _fixed(policy: Any) -> tuple[Any, Any, int]:
    """What the shapes of tensors don't tell of a network: activation, kind of memory, rows that are a team."""
    name = next(name for name, function in ACTIVATIONS.items() if function is policy.actor.activation)
    memory = getattr(policy.remember, "kind", None if policy.remember is None else policy.remember.num_numbers)
    return name, memory, 1 if policy.team is None else policy.team.team_size


def grow(old: Any, new: Any, old_layout: Layout = None, new_layout: Layout = None, unlikely: float = UNLIKELY) -> None:
    """Makes an untrained policy act as a trained one.

    Args:
        old: the trained policy.
        new: an untrained one, which is overwritten.
        old_layout, new_layout: of their observations.
        unlikely: what new choices' logits have more than the mean of the old ones'.

    Raises:
        ValueError: something that the old one has is not in the new one, or can't be kept as it is.
    """
    before, after = old.state_dict(), new.state_dict()
    origins = trace(old, new, old_layout, new_layout)
    for name, origin in origins.items():
        after[name] = _grown(None if origin.name is None else before[origin.name], after[name], origin)
    _begin_outputs(old, new, after, unlikely)
    if new.norm is not None:
        _begin_norm(new.norm, before["norm.count"], after, origins["norm.mean"].places)
    new.load_state_dict(after)


def grow_moments(
    old: Any, new: Any, moments: Tensor, old_layout: Layout = None, new_layout: Layout = None, power: int = 1
) -> Tensor:
    """One of Adam's moments, laid flat in the order of the old policy's parameters, for the new one; 0 where new.

    Args:
        old, new, old_layout, new_layout: as `grow`'s.
        moments: float32 `[old parameters]`.
        power: 1 for the first moment, 2 for the second: where `grow` multiplied weights, gradients are divided.
    """
    known = dict(old.named_parameters())
    pieces = dict(zip(known, moments.split([one.numel() for one in known.values()]), strict=True))
    origins, grown = trace(old, new, old_layout, new_layout), {}
    for name, parameter in new.named_parameters():
        source, grown[name] = origins[name].name, torch.zeros_like(parameter)
        if source is not None:
            grown[name] = _grown(pieces[source].view(known[source].shape), grown[name], origins[name])
    for value in _last(new, grown):
        value[_places_of("query", new)] *= _query_rate(old, new) ** -power
    return torch.cat([value.flatten() for value in grown.values()])


def memory_places(old: Any, new: Any) -> Tensor:
    """Where the numbers of an old memory `[..., m]` are in the new one, int64 `[m]`."""
    size = old.initial_memory(1).shape[1]
    if not isinstance(old.remember, Recurrent):
        return torch.arange(size)
    own, wider = old.remember.num_features, new.remember.num_features
    return torch.cat([torch.arange(own) + state * wider for state in range(old.remember.num_states)])


def trace(old: Any, new: Any, old_layout: Layout, new_layout: Layout) -> dict[str, Origin]:
    """Where each of the new policy's tensors comes from, by name."""
    check_policies(old, new)
    before, after = tensors_of(old, old_layout), tensors_of(new, new_layout)
    shapes, found = {name: value.shape for name, value in old.state_dict().items()}, {}
    for name, value in new.state_dict().items():
        source = _source(name, old, new)
        if source is None:
            found[name] = Origin(None, [torch.arange(_width(old, name))] * value.dim())
        elif source not in shapes and not name.startswith("team."):
            raise ValueError(
                f"the new network has {name}, the old one nothing like it; keep what the network is made of"
            )
        elif source not in shapes:
            found[name] = Origin(None, [])
        elif name in after:
            pairs = zip(before[source], after[name], strict=True)
            found[name] = Origin(source, [places(name, *pair) for pair in pairs])
        elif shapes[source] != value.shape and name != "norm.count":
            raise ValueError(f"{name} is {list(shapes[source])} and can't become {list(value.shape)}; keep its size")
        else:
            found[name] = Origin(source, [])
    if lost := set(shapes) - {origin.name for origin in found.values()}:
        raise ValueError(
            f"the old network has {min(lost)}, the new one nothing like it; keep what the network is made of"
        )
    return found


def _source(name: str, old: Any, new: Any) -> str | None:
    """The old tensor of a new one's name; None for those of an added layer."""
    prefix, _, rest = name.partition(".layers.")
    if not rest or getattr(old, prefix) is None:
        return name
    depth, _, kind = rest.partition(".")
    has_output = prefix != "trunk"
    hidden, now = (len(getattr(one, prefix).layers) - has_output for one in (old, new))
    if has_output and int(depth) == now:
        return f"{prefix}.layers.{hidden}.{kind}"
    return name if int(depth) < hidden else None


def _width(old: Any, name: str) -> int:
    """Of the last hidden layer, which an added one passes on."""
    prefix = name.partition(".")[0]
    last = getattr(old, prefix).layers[-1]
    return last.out_features if prefix == "trunk" else last.in_features


def places(name: str, old: Names, new: Names) -> Tensor:
    """Where old names are among the new, int64 `[old]`.

    Raises:
        ValueError: one of them is not.
    """
    where = {one: place for place, one in enumerate(new)}
    if lost := [one for one in old if one not in where]:
        what = " ".join(str(part) for part in lost[0])
        raise ValueError(
            f"{name}: the new network lacks {len(lost)} of its numbers, the first {what}; surgery only adds"
        )
    return torch.tensor([where[one] for one in old], dtype=torch.int64)


def _grown(old: Tensor | None, fresh: Tensor, origin: Origin) -> Tensor:
    """The old numbers in their new places; new inputs weigh nothing in old outputs."""
    if not origin.places:
        return fresh if old is None else old.clone()
    grown, rows = fresh.clone(), origin.places[0]
    if old is None:
        old = torch.eye(len(rows)) if len(origin.places) == 2 else torch.zeros(len(rows))
    if len(origin.places) == 2:
        grown[rows] = 0
        grown[rows.unsqueeze(1), origin.places[1]] = old.to(grown)
    else:
        grown[rows] = old.to(grown)
    return grown


def _last(policy: Any, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weights and biases of the layer that gives the actor's outputs."""
    depth = len(policy.actor.layers) - 1
    return tensors[f"actor.layers.{depth}.weight"], tensors[f"actor.layers.{depth}.bias"]


def _places_of(kind: str, policy: Any) -> list[int]:
    return [place for place, name in enumerate(output_names(policy)) if name[0] == kind]


def _query_rate(old: Any, new: Any) -> float:
    """What queries are multiplied by, since their products are divided by the root of their length."""
    return 1.0 if new.pointer is None else math.sqrt(new.pointer.size / old.pointer.size)


def _begin_outputs(old: Any, new: Any, after: dict[str, Tensor], unlikely: float) -> None:
    """New outputs of the actor begin at 0; new choices among old ones below the mean of these."""
    known, names = set(output_names(old)), output_names(new)
    groups: dict[Any, list[int]] = {}
    for place, name in enumerate(names):
        if name in known and name[0] in ("choice", "later"):
            groups.setdefault(name[:-1], []).append(place)
    for value in _last(new, after):
        is_bias = value.dim() == 1
        value[_places_of("query", new)] *= _query_rate(old, new)
        for place, name in enumerate(names):
            if name not in known:
                others = groups.get(name[:-1])
                value[place] = value[others].mean(0) + (unlikely if is_bias else 0) if others else 0


def _begin_norm(norm: Any, count: Tensor, after: dict[str, Tensor], where: list[Tensor]) -> None:
    """New columns have seen nothing yet, but where they share the statistics of old ones."""
    size = norm.mean.numel()
    if not where:
        return
    is_old = torch.zeros(size, dtype=torch.bool).index_fill_(0, where[0], True)
    if is_old.all() and not count.dim():
        return
    after["norm.count"] = torch.zeros(size, dtype=count.dtype).index_copy_(0, where[0], count.expand(len(where[0])))
    tied = torch.arange(size) if norm.tied is None else norm.tied
    for column in (~is_old).nonzero().flatten().tolist():
        if len(like := ((tied == tied[column]) & is_old).nonzero()):
            for part in ("count", "mean", "var", "shift", "scale"):
                after[f"norm.{part}"][column] = after[f"norm.{part}"][int(like[0])]
