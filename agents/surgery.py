"""Surgery on PPO's networks: a larger one, or one for more observations and actions, that acts as the smaller did.

OpenAI Five went on with one training for ten months in this way (arXiv 1912.06680, appendix B), after Chen, Goodfellow
and Shlens ("Net2Net", arXiv 1511.05641). Every number that passes through a network has a name here, in the old one and
in the new. A weight between two old numbers stays; what comes from a new number weighs nothing in an old one; and new
numbers begin with random weights, so that they can learn. A new choice of the first part begins `UNLIKELY`.
"""

import math
from typing import Any

import torch
from torch import Tensor

from agents.entities import Entities, _tables
from agents.memory import Attention, Recurrent

UNLIKELY = -20.0
"""The logit that new choices begin with: others lose less than a part in 10^8 of their probability."""

Names = list[Any]
"""Of the numbers in a vector, in order."""


def grow(old: Any, new: Any, old_layout: dict[str, Any] | None, new_layout: dict[str, Any] | None) -> None:
    """Makes an untrained policy act as a trained one.

    Args:
        old: the trained policy.
        new: an untrained one; it is overwritten.
        old_layout, new_layout: of their observations, or None: columns are then told apart by their number.

    Raises:
        ValueError: something that the old one has is not in the new one, or can't be kept as it is.
    """
    _check(old, new)
    plan = _plan(old, new, old_layout, new_layout)
    before, after = old.state_dict(), new.state_dict()
    for name, value in after.items():
        after[name] = _grown(name, before[name], value, plan) if name in before else value
    _begin_outputs(old, new, after, plan)
    new.load_state_dict(after)


def grow_moments(
    old: Any, new: Any, moments: Tensor, old_layout: dict[str, Any] | None, new_layout: dict[str, Any] | None
) -> Tensor:
    """An optimiser's moments, laid flat in the order of the old policy's parameters, for the new one; 0 where new."""
    plan = _plan(old, new, old_layout, new_layout)
    shapes = {name: parameter.shape for name, parameter in old.named_parameters()}
    pieces = dict(zip(shapes, moments.split([shape.numel() for shape in shapes.values()]), strict=True))
    grown = []
    for name, parameter in new.named_parameters():
        none = torch.zeros_like(parameter)
        known = name in pieces and _grown(name, pieces[name].view(shapes[name]), none, plan)
        grown.append(none.flatten() if known is False else known.flatten())
    return torch.cat(grown)


Plan = dict[str, list[Tensor]]
"""For each tensor, and each of its dimensions, where the old numbers are among the new: int64 `[old size]`."""


def _check(old: Any, new: Any) -> None:
    """What names can't tell."""
    gained = {name for name in new.state_dict() if not name.startswith("team.") or old.team is not None}
    missing = sorted(set(old.state_dict()) ^ gained)
    if missing:
        raise ValueError(
            f"the old network and the new differ in {missing[0]} ({len(missing)} tensors): surgery widens layers and "
            "adds observations and actions; keep the number of layers, the memory, the trunks and normalisation"
        )
    if isinstance(old.remember, Attention) and old.remember.num_numbers != new.remember.num_numbers:
        raise ValueError("a transformer's normalisation does not let it grow; keep memory_size and context_steps")
    for part, (kinds, later) in enumerate(zip(_kinds(old), _kinds(new), strict=False)):
        if later[: len(kinds)] != kinds:
            raise ValueError(f"old choices use part {part + 1} of the action otherwise than before; keep their order")


def _kinds(policy: Any) -> tuple[tuple[int, ...], ...]:
    return () if policy.heads.is_box else policy.heads.kinds


def _plan(old: Any, new: Any, old_layout: dict[str, Any] | None, new_layout: dict[str, Any] | None) -> Plan:
    before, after = _spaces(old, old_layout), _spaces(new, new_layout)
    return {
        name: [_places(name, one, other) for one, other in zip(before[name], after[name], strict=True)]
        for name in before
    }


def _places(name: str, old: Names, new: Names) -> Tensor:
    where = {one: place for place, one in enumerate(new)}
    if lost := [one for one in old if one not in where]:
        raise ValueError(f"{name}: {len(lost)} numbers are lost, such as {lost[0]}; surgery only adds to a network")
    return torch.tensor([where[one] for one in old], dtype=torch.int64)


def _grown(name: str, old: Tensor, fresh: Tensor, plan: Plan) -> Tensor:
    """The old numbers in their new places; new inputs weigh nothing in old outputs."""
    if name not in plan:
        if old.shape != fresh.shape:
            raise ValueError(f"{name} is {list(old.shape)} and would be {list(fresh.shape)}; it can't grow")
        return old.clone()
    grown, places = fresh.clone(), plan[name]
    if len(places) == 2:
        grown[places[0]] = 0
        grown[places[0].unsqueeze(1), places[1]] = old
    elif places:
        grown[places[0]] = old
    else:
        grown = old.clone()
    return grown


def _begin_outputs(old: Any, new: Any, after: dict[str, Tensor], plan: Plan) -> None:
    """Has new outputs of the actor begin at 0, but logits of new choices among old ones far down; old queries keep
    their scale."""
    last = len(new.actor.layers) - 1
    weight, bias = after[f"actor.layers.{last}.weight"], after[f"actor.layers.{last}.bias"]
    names = _outputs(new)
    known = set(plan[f"actor.layers.{last}.bias"][0].tolist())
    before = {name[:-1] for place, name in enumerate(names) if place in known}
    for place, name in enumerate(names):
        if place not in known:
            weight[place] = 0
            bias[place] = UNLIKELY if name[0] in ("choice", "later") and name[:-1] in before else 0
        elif name[0] == "query":  # scores are divided by the root of the size
            weight[place] *= math.sqrt(new.pointer.size / old.pointer.size)
            bias[place] *= math.sqrt(new.pointer.size / old.pointer.size)


def _spaces(policy: Any, layout: dict[str, Any] | None) -> dict[str, tuple[Names, ...]]:
    """The names of the rows and columns of each tensor that can grow."""
    found: dict[str, tuple[Names, ...]] = {}
    if isinstance(policy.features, Entities):
        columns = _columns(layout or {})
        seen = _of_entities(policy.features, layout or {}, columns, found)
    else:
        columns = seen = _columns(layout) if layout else [("column", i) for i in range(policy.features.num_features)]
    if policy.norm is not None and policy.norm.mean.dim() == 1:
        found |= {f"norm.{part}": (columns,) for part in ("mean", "var", "shift", "scale")}
    if policy.team is not None:
        told = [("told", i) for i in range(policy.team.tell.out_features)]
        found |= {"team.tell.weight": (told, seen), "team.tell.bias": (told,)}
        seen = seen + told
    if policy.remember is not None:
        seen = _of_memory(policy.remember, seen, found)
    if policy.trunk is not None:
        seen = _of_layers("trunk", policy.trunk, seen, None, found)
    _of_layers("actor", policy.actor, seen, _outputs(policy), found)
    _of_layers("critic", policy.critic, seen, [("value",)], found)
    if policy.heads.is_box:
        found["heads.log_std"] = (_outputs(policy),)
    return found


def _columns(layout: dict[str, Any]) -> Names:
    """A name a column of an observation."""
    columns: dict[int, Any] = {}
    for name, field in layout.items():
        numbers = range(field.slice.start, field.slice.stop)
        width = field.shape[-1] if field.shape else 1
        columns |= {column: (name, *divmod(place, width)) for place, column in enumerate(numbers)}
    return [columns.get(column, ("column", column)) for column in range(max(columns, default=-1) + 1)]


def _of_entities(features: Entities, layout: dict[str, Any], columns: Names, found: dict[str, Any]) -> Names:
    """Names of what a network of entities gives."""
    groups = {name: field for name, field in layout.items() if len(field.shape) == 2}
    tables = _tables(list(groups.values()))
    ordered = [next(name for name, one in groups.items() if one is field) for _, fields in tables for field in fields]
    units = [("unit", i) for i in range(features.bias.shape[1])]
    for kind, first in features.first.items():
        told = [(kind, i) for i in range(first.in_features)]  # pyright: ignore
        inner = [("inner", i) for i in range(len(units))]
        found[f"features.first.{kind}.weight"], found[f"features.first.{kind}.bias"] = (inner, told), (inner,)
        found[f"features.second.{kind}.weight"], found[f"features.second.{kind}.bias"] = (units, inner), (units,)
    rows = [(name, groups[name].shape[0]) for name in ordered]
    found["features.bias"] = (rows, [("inner", i) for i in range(len(units))])
    singles = [columns[i] for one in features.singles for i in range(one.start, one.stop)]
    return singles + [("most", name, *unit) for name in ordered for unit in units]


def _of_memory(memory: Recurrent | Attention, seen: Names, found: dict[str, Any]) -> Names:
    if isinstance(memory, Attention):
        tokens = [("token", i) for i in range(memory.num_features)]
        found["remember.embed.weight"], found["remember.embed.bias"] = (tokens, seen), (tokens,)
        return tokens
    hidden = [("hidden", i) for i in range(memory.num_features)]
    gates = [(gate, i) for gate in range(4 if memory.kind == "lstm" else 3) for i in range(memory.num_features)]
    found["remember.cell.weight_ih"], found["remember.cell.weight_hh"] = (gates, seen), (gates, hidden)
    found["remember.cell.bias_ih"] = found["remember.cell.bias_hh"] = (gates,)
    return hidden


def _of_layers(prefix: str, layers: Any, seen: Names, outputs: Names | None, found: dict[str, Any]) -> Names:
    for depth, layer in enumerate(layers.layers):
        last = outputs is not None and depth == len(layers.layers) - 1
        given = outputs if last else [(prefix, depth, i) for i in range(layer.out_features)]
        found[f"{prefix}.layers.{depth}.weight"], found[f"{prefix}.layers.{depth}.bias"] = (given, seen), (given,)
        seen = given or []
    return seen


def _outputs(policy: Any) -> Names:
    """Names of what the actor gives: "mean"s, "choice"s of the first part, "later" choices, "query" numbers."""
    heads, pointer = policy.heads, policy.pointer
    if heads.is_box:
        return [("mean", i) for i in range(heads.num_outputs)]
    names: Names = [("choice", i) for i in range(heads.sizes[0])]
    if pointer is not None and pointer.part == 0:
        names = [("query", 0, 0, i) for i in range(pointer.size)]
    for part, size in enumerate(heads.sizes[1:], start=1):
        if pointer is not None and pointer.part == part:
            names += [("query", part, block, i) for block in range(heads.blocks[part - 1]) for i in range(pointer.size)]
        else:
            blocks = heads.blocks[part - 1] if heads.by_kind else 1
            names += [("later", part, block, i) for block in range(blocks) for i in range(size)]
    return names
