"""A name for every number that passes through one of PPO's networks, and for the rows and columns of its tensors."""

from typing import Any

from agents.entities import Entities
from agents.memory import Attention, Recurrent

Names = list[Any]
"""Of the numbers in a vector, in order: tuples, each there once."""


def tensors_of(policy: Any, layout: dict[str, Any] | None) -> dict[str, tuple[Names, ...]]:
    """The names along each dimension of those tensors of a policy that can grow; biases and statistics have one."""
    found: dict[str, tuple[Names, ...]] = {}
    columns = seen = columns_of(layout, policy)
    if policy.norm is not None and policy.norm.mean.shape == (len(columns),):
        found |= {f"norm.{part}": (columns,) for part in ("mean", "var", "shift", "scale")}
    if isinstance(policy.features, Entities):
        seen = _of_entities(policy.features, columns, found)
    if policy.team is not None:
        told = _numbered("told", policy.team.tell.out_features)
        found |= {"team.tell.weight": (told, seen), "team.tell.bias": (told,)}
        seen = seen + told
    if policy.remember is not None:
        seen = _of_memory(policy.remember, seen, found)
    if policy.trunk is not None:
        seen = _of_layers("trunk", policy.trunk, seen, None, found)
    _of_layers("actor", policy.actor, seen, output_names(policy), found)
    _of_layers("critic", policy.critic, seen, [("value",)], found)
    if policy.heads.is_box:
        found["heads.log_std"] = (output_names(policy),)
    return found


def _numbered(kind: Any, count: int) -> Names:
    return [(kind, i) for i in range(count)]


def columns_of(layout: dict[str, Any] | None, policy: Any) -> Names:
    """Of an observation: (field, row, feature); (column, number) without a layout or outside its fields."""
    if not layout:  # then columns are told apart by their number
        return _numbered("column", policy.features.num_features)
    count = max(field.slice.stop for field in layout.values())
    columns = _numbered("column", count)
    for name, field in layout.items():
        for place in range(field.slice.stop - field.slice.start):
            columns[field.slice.start + place] = (name, *divmod(place, field.shape[-1] if field.shape else 1))
    return columns


def _of_entities(features: Entities, columns: Names, found: dict[str, Any]) -> Names:
    """Names of what a network of entities gives."""
    size = features.bias.shape[1]
    units, inner = _numbered("unit", size), _numbered("inner", size)
    for kind, first in features.first.items():
        told = _numbered(kind, first.in_features)  # pyright: ignore
        found[f"features.first.{kind}.weight"], found[f"features.first.{kind}.bias"] = (inner, told), (inner,)
        found[f"features.second.{kind}.weight"], found[f"features.second.{kind}.bias"] = (units, inner), (units,)
    groups: Names = []
    for _, place, counts in features.tables:
        rows = list(dict.fromkeys((columns[i][:2]) for i in range(place.start, place.stop)))
        for count in counts:
            groups.append(("group", rows[0][0], "of rows", count))
            rows = rows[count:]
    found["features.bias"] = (groups, inner)
    singles = [columns[i] for one in features.singles for i in range(one.start, one.stop)]
    return singles + [(*group, *unit) for group in groups for unit in units]


def _of_memory(memory: Recurrent | Attention, seen: Names, found: dict[str, Any]) -> Names:
    if isinstance(memory, Attention):
        tokens = _numbered("token", memory.num_features)
        found["remember.embed.weight"], found["remember.embed.bias"] = (tokens, seen), (tokens,)
        return tokens
    hidden = _numbered("hidden", memory.num_features)
    gates = [(gate, *unit) for gate in range(4 if memory.kind == "lstm" else 3) for unit in hidden]
    found["remember.cell.weight_ih"], found["remember.cell.weight_hh"] = (gates, seen), (gates, hidden)
    found["remember.cell.bias_ih"] = found["remember.cell.bias_hh"] = (gates,)
    return hidden


def _of_layers(prefix: str, layers: Any, seen: Names, outputs: Names | None, found: dict[str, Any]) -> Names:
    """Names of what layers give; those of hidden ones are the same at any depth."""
    for depth, layer in enumerate(layers.layers):
        last = outputs is not None and depth == len(layers.layers) - 1
        given = (outputs or []) if last else _numbered(prefix, layer.out_features)
        found[f"{prefix}.layers.{depth}.weight"], found[f"{prefix}.layers.{depth}.bias"] = (given, seen), (given,)
        seen = given
    return seen


def output_names(policy: Any) -> Names:
    """Of what the actor gives: means, choices of the first part, of later parts and queries, block by block."""
    heads, pointer = policy.heads, policy.pointer
    if heads.is_box:
        return _numbered("mean", heads.num_outputs)
    names: Names = []
    for part, size in enumerate(heads.sizes):
        kind, count = ("later" if part else "choice"), size
        if pointer is not None and pointer.part == part:
            kind, count = "query", pointer.size
        blocks = heads.blocks[part - 1] if part and heads.by_kind else 1
        names += [(kind, part, block, i) for block in range(blocks) for i in range(count)]
    return names


def mask_names(heads: Any) -> Names:
    """Of a mask's columns."""
    blocks = (1, *heads.blocks)
    return [(p, block, i) for p, size in enumerate(heads.sizes) for block in range(blocks[p]) for i in range(size)]
