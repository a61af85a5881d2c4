"""An observation in words, for people who want to see what an agent sees."""

import math
from functools import cache
from typing import Any

import numpy as np

from envs.arena import data
from envs.arena.map import load_map
from envs.arena.observe import FEATURES, obs_layout
from envs.arena.state import size_of
from envs.engine import ObsField

COMPASS = ("east", "south-east", "south", "south-west", "west", "north-west", "north", "north-east")
"""The eight directions of `MOVE`, in the frame of the team whose hero sees: its own base lies in the south-west."""
UNKNOWN = "hero not seen yet"
Values = dict[str, float]


@cache
def _known_layouts() -> dict[int, dict[str, ObsField]]:
    layouts = [obs_layout(size_of(load_map(name), team)) for name, team in (("arena", 5), ("duel", 1))]
    return {max(field.slice.stop for field in layout.values()): layout for layout in layouts}


def describe(obs: Any, layout: dict[str, ObsField] | None = None) -> str:
    """What one observation says, line by line.

    Args:
        obs: float32 `[width]`, a row of what an arena or a duel gives; a tensor or an array.
        layout: `env.obs_layout` of a world of another size; that of the built-in maps is known by the width.

    Raises:
        ValueError: several rows, or a width that fits no layout.
    """
    row = np.asarray(obs, np.float64)
    known = _known_layouts()
    if row.ndim != 1:
        raise ValueError(f"describe takes one observation, [width], got {list(row.shape)}; give it a row")
    if layout is None and len(row) not in known:
        widths = " or ".join(map(str, sorted(known)))
        raise ValueError(f"the built-in maps' observations have {widths} numbers, this {len(row)}; give env.obs_layout")
    groups = read(row, known[len(row)] if layout is None else layout)
    me = groups["allies"][0]
    lines = [_world(groups["world"][0]), _self(groups["self"][0], me)]
    for name, title in (("enemies", "enemy"), ("allies", "ally")):
        lines += [f"{title} {_hero(one)}" for one in groups[name][1 if name == "allies" else 0 :]]
    for name, title in (("hostile", "hostile"), ("own_creeps", "own")):
        lines += [f"{title} {_unit(one)}" for one in groups[name] if one["there"]]
    for name, title in (("siege", "enemy"), ("home", "own")):
        lines += [f"{title} {_structure(one)}" for one in groups[name] if one["there"]]
    return "\n".join(lines)


def read(obs: np.ndarray, layout: dict[str, ObsField]) -> dict[str, list[Values]]:
    """The numbers by group, row and name, in the units that `FEATURES` gives.

    Raises:
        ValueError: a row shorter than the layout.
    """
    width = max(field.slice.stop for field in layout.values())
    if len(obs) != width:
        raise ValueError(f"the layout has {width} numbers, the observation {len(obs)}")
    groups = {}
    for name, field in layout.items():
        features = FEATURES[str(field.kind)]
        rows = np.asarray(obs, np.float64)[field.slice].reshape(-1, len(features))
        groups[name] = [
            {one.name: float(value) / one.scale for one, value in zip(features, row, strict=True)} for row in rows
        ]
    return groups


def _world(world: Values) -> str:
    waits = f"the boss comes in {_seconds(world['boss_returns'])}" if world["boss_returns"] else "no boss"
    parts = [
        f"{_share(world['time'])} of the time is over",
        f"kills {world['own_kills']:.0f} to {world['enemy_kills']:.0f}",
        f"structures {_share(world['own_structures'])} to {_share(world['enemy_structures'])}",
        f"cores {_share(world['own_core'])} to {_share(world['enemy_core'])}",
        "the boss is there" if world["boss_there"] else waits,
        f"{world['wards']:.0f} wards to place",
    ]
    for side in ("own", "enemy"):
        if world[f"{side}_might"]:
            parts.append(f"the boss's blessing on the {side} team for {_seconds(world[f'{side}_might'])}")
    return "; ".join(parts)


def _self(own: Values, me: Values) -> str:
    hero = _name(me)
    items = [f"{own[f'item_{one.name}']:.0f} {one.name}" for one in data.ITEMS if own[f"item_{one.name}"] > 0]
    ways = [name for i, name in enumerate(COMPASS) if own[f"free_{i}"]]
    parts = [
        f"I am {_strength(me)}",
        f"at {own['x']:+.2f}, {own['y']:+.2f} of the half map",
        f"{own['gold']:.0f} gold" + (f", {own['price']:.0f} short of the next item" if own["price"] > 0 else ""),
        f"items {', '.join(items) or 'none'}",
        f"score {own['kills']:.0f}/{own['deaths']:.0f}/{own['assists']:.0f}, {own['last_hits']:.0f} last hits",
        "abilities " + ", ".join(_ability(own, hero, i) for i in range(data.NUM_ABILITIES)),
        f"free ways {', '.join(ways) or 'none'}",
    ]
    if not me["alive"]:
        parts.append(f"dead for {_seconds(own['respawn'])}")
    if own["recall"]:
        parts.append(f"recalling, {_share(own['recall'])} done")
    if own["at_shop"]:
        parts.append("at the fountain")
    return "; ".join(parts)


def _ability(own: Values, hero: str, number: int) -> str:
    names = [one.name for one in data.ABILITIES if one.hero == hero]
    name = names[number] if names else f"ability {number}"
    if not own[f"rank_{number}"]:
        return f"{name} (not learnt)"
    if own[f"ready_{number}"]:
        return f"{name} {own[f'rank_{number}']:.0f} (ready)"
    wait = own[f"cooldown_{number}"]
    return f"{name} {own[f'rank_{number}']:.0f} ({_seconds(wait) if wait else 'not now'})"


def _hero(hero: Values) -> str:
    if not hero["alive"]:
        return f"{_name(hero)}, dead, back in {_seconds(hero['respawn'])}"
    if _name(hero) == UNKNOWN:
        return UNKNOWN
    parts = [_strength(hero), _place(hero)]
    if not hero["visible"]:
        parts.append(f"unseen for {_seconds(hero['unseen'])}" if hero["unseen"] < UNSEEN_LIMIT else "long unseen")
    for flag, text in (("stun", "stunned"), ("slow", "slowed"), ("casting", "casting"), ("aims_at_me", "aims at me")):
        if hero[flag]:
            parts.append(text)
    if hero["one_blow"]:
        parts.append("one blow kills")
    return ", ".join(parts)


UNSEEN_LIMIT = 0.999 / next(one.scale for one in FEATURES["hero"] if one.name == "unseen")
"""Ticks at which the count of an unseen hero's time ends, nearly."""


def _strength(hero: Values) -> str:
    shield = f" behind a shield of {hero['shield']:.0f}" if hero["shield"] > 0 else ""
    return (
        f"{_name(hero)} of level {hero['level']:.0f}, health {hero['health_points']:.0f} ({_share(hero['health'])})"
        f"{shield}, mana {_share(hero['mana'])}"
    )


def _unit(unit: Values) -> str:
    kinds = ("ranged", "ranged creep"), ("beast", "camp beast"), ("boss", "boss"), ("ward", "ward")
    name = next((text for flag, text in kinds if unit[flag]), "melee creep")
    parts = [name, f"health {unit['health_points']:.0f} ({_share(unit['health'])})", _place(unit)]
    if unit["aims_at_me"]:
        parts.append("aims at me")
    if unit["one_blow"]:
        parts.append("one blow kills")
    return ", ".join(parts)


def _structure(one: Values) -> str:
    name = "barracks" if one["barracks"] else f"tower {one['tier']:.0f}" if one["tier"] else "ancient"
    parts = [name, f"health {one['health_points']:.0f} ({_share(one['health'])})", _place(one)]
    if not one["open"]:
        parts.append("can't be hurt yet")
    if one["aims_at_me"]:
        parts.append("aims at me")
    return ", ".join(parts)


def _name(hero: Values) -> str:
    return next((one.name for one in data.HEROES if hero[f"is_{one.name}"] > 0), UNKNOWN)


def _place(thing: Values) -> str:
    if thing["distance"] < 0.05:
        return "here"
    turn = math.atan2(thing["dy"], thing["dx"]) / (math.pi / 4)
    return f"{thing['distance']:.1f} cells {COMPASS[round(turn) % 8]}"


def _share(value: float) -> str:
    return f"{100 * value:.0f}%"


def _seconds(ticks: float) -> str:
    return f"{ticks / data.TICKS_PER_SECOND:.1f} s"


def feature_table() -> str:
    """Every number of an observation as a Markdown page."""
    lines = [
        "# What the arena's observations say",
        "",
        "Rows of features by the kind of their group; `env.obs_layout` says where each group lies and of which kind it",
        "is. A number is written times its scale, in the frame of the seat's own team. Made by",
        "`python -m envs.arena.describe > envs/arena/observation.md`.",
        "",
        "| kind | feature | in | times |",
        "|---|---|---|---|",
    ]
    for kind, features in FEATURES.items():
        lines += [f"| {kind} | {one.name} | {one.units} | {one.scale:.4g} |" for one in features]
    return "\n".join(lines)


if __name__ == "__main__":
    print(feature_table())
