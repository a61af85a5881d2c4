"""What a `World` is held to when it is made: every error names the field, the value and the rule."""

import re
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.engine.rules import (
    ARGUMENTS,
    DEBUG,
    ENGINE_FIELDS,
    ActionLayout,
    ObsField,
    Rule,
    World,
    arguments,
    default_layout,
    plain,
)

GIVEN = {
    "reset": ("state", "params", "tables", "index", "part"),
    "step": ("state", "params", "tables", "index", "part"),
    "observe": ARGUMENTS[:-1],
    "mask": ("state", "params", "tables", "index", "part", "seat", "mask"),
}
"""Which of them the rules of each part may ask for."""
INFO_KEYS = ("r", "l", "t", "episode", "action_mask", "reward_terms", "final_obs", "final_info")
"""What infos hold already, so no statistic has such a name."""


def check(world: World) -> None:
    """Refuses a world that the engine could not play.

    Raises:
        ValueError: see `World`.
    """
    _kinds(world)
    _state(world)
    _params(world)
    _fixed(world)
    _scripted(world)
    _statistics(world)
    _reward_terms(world)
    _spaces(world)
    for part in ("reset", "step", "observe"):
        _phases(world, part, getattr(world, part))
    if world.mask is not None:
        _phases(world, "mask", world.mask)
        default_layout(world.action_space)
    if world.action_layout is not None:
        _layout(world, world.action_layout)
    _obs_layout(world)


KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "state": (np.dtype, "np.dtype([(name, type), ...])"),
    "params": ((np.ndarray, type(None)), "np.array([(...)], dtype)"),
    "tables": (dict, "a dict of flat arrays"),
    "num_seats": ((int, np.integer), "a whole number"),
    "frame_skip": ((int, np.integer), "a whole number"),
    "scripted_levels": ((int, np.integer), "a whole number"),
    "action_layout": ((ActionLayout, type(None)), "an ActionLayout"),
}
"""What some fields are, and how it is written."""


def _kinds(world: World) -> None:
    for name, (kinds, written) in KINDS.items():
        if not isinstance(given := getattr(world, name), kinds):
            raise ValueError(f"{world.name}: {name} must be {written}, got {given!r}")
    for name, table in world.tables.items():
        if not isinstance(table, np.ndarray):
            raise ValueError(f"{world.name}: table {name!r} must be a flat array, np.array([...]), got {table!r}")
    limits = np.asarray(world.max_episode_steps)
    if limits.dtype.kind not in "iu" or limits.ndim > 1:
        raise ValueError(f"{world.name}: max_episode_steps must be whole numbers, got {world.max_episode_steps!r}")
    if world.num_seats < 1:
        raise ValueError(f"{world.name}: num_seats must be at least 1, got {world.num_seats}")


def _state(world: World) -> None:
    if not re.fullmatch(r"[\w.-]+", world.name):
        raise ValueError(f"a world's name is of letters, digits, '_', '.' and '-', got {world.name!r}")
    if world.state.names is None:
        raise ValueError(f"{world.name}: state must be a structured dtype with named fields, got {world.state}")
    for name in world.state.names:
        if world.state[name].base.kind not in "biufV":
            raise ValueError(f"{world.name}: state field {name!r} must be of numbers, got {world.state[name]}")
    if taken := sorted(set(world.state.names) & set(ENGINE_FIELDS)):
        raise ValueError(f"{world.name}: the engine owns the state fields {taken}; give yours other names")
    if np.min(world.max_episode_steps) < 0:
        raise ValueError(f"{world.name}: max_episode_steps must be 0 (no limit) or more, got {world.max_episode_steps}")
    if world.frame_skip < 1:
        raise ValueError(f"{world.name}: frame_skip must be at least 1, got {world.frame_skip}")
    for key, table in world.tables.items():
        if not (key.isidentifier() and key[0] != "_"):
            raise ValueError(f"{world.name}: tables are read as tables.NAME, so {key!r} can't be one; rename it")
        if table.ndim != 1:
            raise ValueError(f"{world.name}: table {key!r} must be flat, got shape {table.shape}; use .ravel()")


def _params(world: World) -> None:
    rows = world.params
    if rows is not None and (rows.ndim != 1 or not len(rows) or not rows.dtype.names):
        raise ValueError(
            f"{world.name}: params must be one or more rows of a structured dtype, got {rows.dtype} "
            f"{list(rows.shape)}; write np.array([(...)], dtype)"
        )
    limits, count = world.max_episode_steps, 1 if rows is None else len(rows)
    if not isinstance(limits, int | np.integer) and len(limits) != count:
        raise ValueError(f"{world.name}: max_episode_steps has {len(limits)} numbers for {count} rows of params")
    of = {"state": world.state, **{f"table {name}": table.dtype for name, table in world.tables.items()}}
    for what, dtype in (of | ({} if rows is None else {"params": rows.dtype})).items():
        taken = sorted(set(dtype.names or ()) & (set(dir(np.record)) | {"max_episode_steps", "frame_skip"}))
        if taken:
            raise ValueError(f"{world.name}: {what} has fields {taken}, which NumPy or the engine owns; rename them")


def _phases(world: World, part: str, declared: Any) -> None:
    for phase in [declared] if callable(declared) else declared:
        function, *counts = phase if isinstance(phase, tuple) else (phase,)
        if not callable(function) or not all(isinstance(n, int | np.integer) and n >= 1 for n in counts):
            raise ValueError(
                f"{world.name}: {part} must be a rule or a list of rules, (rule, extent) and (rule, extent, parts) "
                f"with counts of 1 or more; got {phase!r}"
            )
        _arguments(world, part, function)


def _layout(world: World, layout: "ActionLayout") -> None:
    """A mask's columns that are not those of the actions would be written and read beside it."""
    sizes = default_layout(world.action_space).sizes
    fit = len(layout.kinds) == len(sizes) - 1 and all(
        len(kinds) == sizes[0] and min(kinds) >= -1 for kinds in layout.kinds
    )
    if tuple(layout.sizes) != sizes or not fit:
        raise ValueError(
            f"{world.name}: action_layout must have the sizes {sizes} of {world.action_space} and, for each part but "
            f"the first, {sizes[0]} kinds of -1 or more; got {layout}"
        )


def _obs_layout(world: World) -> None:
    """Networks of entities take rows apart by it."""
    width = int(np.prod(world.observation_space.shape or (1,)))
    for name, one in (world.obs_layout or {}).items():
        if not isinstance(one, ObsField):
            raise ValueError(f"{world.name}: obs_layout[{name!r}] must be an ObsField, got {one!r}")
        columns = one.slice.indices(width)
        if one.slice.stop is None or one.slice.stop > width or len(range(*columns)) != np.prod(one.shape):
            raise ValueError(
                f"{world.name}: obs_layout[{name!r}] must be a slice within the {width} numbers of a row, as many as "
                f"its shape {one.shape} holds; got {one.slice}"
            )


def _fixed(world: World) -> None:
    for name in world.fixed:
        if world.params is None or name not in (world.params.dtype.names or ()):
            raise ValueError(f"{world.name}: fixed names {name!r}, which is no field of params")
        if world.params.dtype[name].shape or (world.params[name] != world.params[name][0]).any():
            raise ValueError(f"{world.name}: params.{name} is fixed, so it is one number, the same in every row")


def _scripted(world: World) -> None:
    if world.scripted is None:
        return
    if not world.scripted_levels:
        raise ValueError(f"{world.name}: scripted is {world.scripted}, but scripted_levels is 0; leave scripted out")
    if len(world.scripted) != world.num_seats or not all(
        1 <= level <= world.scripted_levels for level in world.scripted
    ):
        raise ValueError(
            f"{world.name}: scripted must give each of the {world.num_seats} seats a level of "
            f"1..{world.scripted_levels}, got {world.scripted}; leave it out for level 1 everywhere"
        )


def _statistics(world: World) -> None:
    if taken := sorted(set(world.statistics) & set(INFO_KEYS)):
        raise ValueError(f"{world.name}: infos hold {taken} already; give these statistics' fields other names")
    if len(set(world.statistics)) != len(world.statistics):
        raise ValueError(f"{world.name}: a statistic is named twice in {world.statistics}; name each once")
    for name in world.statistics:
        _field(world, name, "statistic", (world.num_seats,), "iuf")


def _reward_terms(world: World) -> None:
    if len(set(world.reward_terms)) != len(world.reward_terms):
        raise ValueError(f"{world.name}: a reward term is named twice in {world.reward_terms}; name each once")
    if world.reward_terms:
        _field(world, "terms", "field of the reward terms", (world.num_seats, len(world.reward_terms)), "f")


def _field(world: World, name: str, role: str, shape: tuple[int, ...], kinds: str) -> None:
    """Holds that `state` has a field of this shape, its dtype of one of NumPy's kinds."""
    names = world.state.names or ()
    found = world.state[name] if name in names else None
    if found is None or found.shape != shape or found.base.kind not in kinds:
        wanted = "integer or real" if "i" in kinds else "real"
        raise ValueError(
            f"{world.name}: the {role} {name!r} must be a field of state, {wanted} {list(shape)}; got "
            + (f"{found.base} {list(found.shape)}" if found is not None else f"fields {', '.join(names)}")
        )


def _spaces(world: World) -> None:
    seen = world.observation_space
    if not isinstance(seen, spaces.Box | spaces.Discrete):
        raise ValueError(f"{world.name}: an observation is a Box or Discrete, got {seen}")
    if isinstance(seen, spaces.Box) and seen.dtype not in (np.float32, np.uint8):
        raise ValueError(f"{world.name}: an observation's Box is of np.float32 or np.uint8, got {seen}")
    action = world.action_space
    flat_box = isinstance(action, spaces.Box) and len(action.shape) == 1
    if not (flat_box or isinstance(action, spaces.Discrete | spaces.MultiDiscrete)):
        raise ValueError(f"{world.name}: an action is a Discrete, MultiDiscrete or one-dimensional Box, got {action}")
    if np.any(np.asarray(getattr(action, "start", 0)) != 0) or getattr(world.observation_space, "start", 0) != 0:
        raise ValueError(f"{world.name}: discrete spaces count from 0; leave `start` out")
    if isinstance(action, spaces.MultiDiscrete) and action.nvec.ndim != 1:
        raise ValueError(f"{world.name}: a MultiDiscrete action has one dimension, got nvec of {action.nvec.shape}")


def _arguments(world: World, part: str, function: Rule) -> None:
    name = plain(function).__name__
    if not (DEBUG or hasattr(function, "py_func")) or not name.isidentifier():
        raise ValueError(f"{world.name}: {name}, in {part}, is no rule; define it by def and put @rule above it")
    if unknown := [a for a in arguments(function) if a not in GIVEN[part]]:
        raise ValueError(
            f"{world.name}: {part} rule {name} asks for {unknown}; there the engine gives {', '.join(GIVEN[part])}"
        )
