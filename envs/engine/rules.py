"""The contract a world fulfils: plain scalar rules over one record, named in a `World`.

A world states its `STATE` record, its rules, its spaces and its tunables. The engine does the rest once for all
worlds: it compiles the rules, batches them, seeds, resets, truncates, keeps statistics and speaks the APIs.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from gymnasium import spaces

DEBUG = os.environ.get("QUINTET_DEBUG", "") not in ("", "0")
"""True under QUINTET_DEBUG=1: rules stay ordinary Python, in which a breakpoint stops."""

real = np.float64 if os.environ.get("QUINTET_REAL") == "float64" else np.float32
"""The type of every real number in rules: float32; float64 under QUINTET_REAL=float64, for numeric tests on the CPU."""

Rule = Callable[..., Any]
F = TypeVar("F", bound=Rule)
Phases = Rule | Sequence[Rule | tuple[Rule, int] | tuple[Rule, int, int]]

ENGINE_FIELDS = {
    "seed": "of the world's games",
    "world": "its index in the batch, from which its chance comes",
    "episode": "0, 1, ...",
    "tick": "0 at the reset, 1 in the first step",
    "param": "its row of `params`",
    "key": "of this episode's random numbers",
    "terminated": "a rule sets it to 1: the episode ends here",
    "truncated": "a rule may set it to 1, the engine does at the time limit: the episode is cut off",
    "ended": "the engine's own",
    "control": "[seat]: who plays it in this episode, 0 the caller, else a scripted level",
    "next_control": "[seat]: from the next episode on",
    "action": "[seat], or [seat, part] of a MultiDiscrete or Box: what was chosen for this tick",
    "reward": "[seat]: of this tick, 0 before it",
    "returns": "[seat]: sum of the episode's rewards so far",
}
"""What every record has beside the author's own fields, and what it says to rules."""
ARGUMENTS = ("state", "params", "tables", "index", "part", "seat", "obs", "mask")
"""What the driver gives rules by name. In every rule these names mean these things and nothing else: compiled code
relies on params, tables, obs and mask not overlapping the state."""

JIT_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
"""Of numba, for all that is compiled. Nothing allocates, so arrays are passed without counting references, which is an
atomic instruction for each array that a rule is given."""


def rule(function: F) -> F:
    """Marks a scalar function as a rule: compiled by numba, callable from other rules on the CPU and on CUDA.

    Under QUINTET_DEBUG=1 the function comes back as it is.
    """
    if DEBUG:
        return function
    from numba import njit

    return njit(**JIT_OPTIONS)(function)  # pyright: ignore[reportReturnType]


def plain(function: Rule) -> Callable[..., Any]:
    """The ordinary Python function behind a rule."""
    return getattr(function, "py_func", function)


class ActionLayout(NamedTuple):
    """How a row of the action mask divides, and which later parts of an action a verb uses.

    The mask's columns are `sizes[0]` for the first part (the verb), then for each later part j one block of
    `sizes[j]` columns per kind, in the order of the kinds.
    """

    sizes: tuple[int, ...]
    """The number of choices of each part, e.g. (verbs, targets, directions)."""
    kinds: tuple[tuple[int, ...], ...] = ()
    """For each later part: the block of its mask that each verb uses, -1 where the verb does not use the part."""

    @property
    def num_blocks(self) -> tuple[int, ...]:
        """Mask blocks of each later part."""
        return tuple(max(kinds) + 1 for kinds in self.kinds)

    @property
    def num_columns(self) -> int:
        """Columns of the mask, M."""
        blocks = zip(self.num_blocks, self.sizes[1:], strict=True)
        return self.sizes[0] + sum(count * size for count, size in blocks)

    def parts(self, mask: Any) -> list[np.ndarray]:
        """What masks bool `[..., M]` allow of each part, `[..., size]`; of a later part, what they do of any kind."""
        mask, start = np.asarray(mask), self.sizes[0]
        found = [mask[..., :start]]
        for size, blocks in zip(self.sizes[1:], self.num_blocks, strict=True):
            block = mask[..., start : start + size * blocks]
            found.append(block.reshape(*mask.shape[:-1], blocks, size).any(axis=-2))
            start += size * blocks
        return found


class ObsField(NamedTuple):
    """One named slice of a flat observation row, `[..., width]`; `field.view(obs)` is `[..., *shape]`."""

    slice: slice
    """Its columns of a row."""
    shape: tuple[int, ...]
    """Of what it holds: (rows, features) of a group of units, (features,) of a single thing."""
    kind: str = ""
    """What its rows describe; groups of one kind have the same features."""
    units: str = ""
    """Of its numbers, where they have one."""
    scale: float = 1.0
    """What numbers were multiplied by before they were written."""

    def view(self, obs: Any) -> Any:
        """This slice of observations `[..., width]`, a tensor or an array, as `[..., *shape]` in the same memory."""
        return obs[..., self.slice].reshape(*obs.shape[:-1], *self.shape)


@dataclass(frozen=True)
class World:
    """A world: its record, rules, spaces and tunables, and nothing more.

    The rules named here ask for what they need by argument name: `state` (one record), `params` (this world's row of
    tunables), `tables` (flat arrays by name), `index` (of the phase's extent), `part`, `seat`, `obs`, `mask`.

    Raises:
        ValueError: a field name that the engine owns, a rule argument it doesn't know, a space it can't batch, a
            scripted level, statistic or reward term that is not in the world.
    """

    name: str
    """For messages and the cache: letters, digits, "_", "." and "-"."""
    state: np.dtype
    """The record of one world: scalars and fixed-size arrays. The engine adds `ENGINE_FIELDS`."""
    reset: Phases
    """Writes every field of `state` at tick 0 of an episode."""
    step: Phases
    """One tick. Phases are rules, (rule, extent) or (rule, extent, parts); within a phase nobody reads what another
    index, or another part of it, writes."""
    observe: Phases
    """Pure: writes every element of `obs`, one seat's row, in the space's shape (Discrete: `obs[0]`). Its phases, and
    those of `mask`, don't wait for each other, so none reads what another writes."""
    observation_space: spaces.Space
    """One seat's: Box (float32 or uint8) or Discrete."""
    action_space: spaces.Space
    """One seat's: Discrete, MultiDiscrete or a one-dimensional Box."""
    params: np.ndarray | None = None
    """`[R]` records of tunables; world i starts with row i % R."""
    fixed: tuple[str, ...] = ()
    """Fields of `params`, scalar and the same in every row, that stay as built: constants in the compiled rules."""
    tables: dict[str, np.ndarray] = field(default_factory=dict)
    """Flat one-dimensional arrays (map cells, costs, unit data) by name.

    An array may be structured: `tables.unit[i].cost`. Its fields, like those of `state` and `params`, have no name that
    NumPy's records use themselves (`base`, `size`, `item`, ...), which plain Python would see in their stead.
    """
    num_seats: int = 1
    """Players; a batch has a row for each that its caller holds."""
    max_episode_steps: int | Sequence[int] = 0
    """Ticks until the engine truncates; 0 is never; a sequence gives one a row of `params`."""
    frame_skip: int = 1
    """Ticks that a step plays with the same actions, fewer where the episode ends; their rewards are added up."""
    mask: Phases | None = None
    """Marks what is legal in one seat's row of actions, `[M]` bool, which comes to it all False. Callers are not held
    to it, so rules must bear every action of the space."""
    action_layout: ActionLayout | None = None
    """How the mask divides; by default the parts of the action space side by side."""
    obs_layout: dict[str, ObsField] | None = None
    """What lies where in a flat observation, by name, for networks of entities and for people."""
    scripted_levels: int = 0
    """Levels of scripted players in the rules: `state.control[seat]` runs from 0 (the caller) to this."""
    scripted: tuple[int, ...] | None = None
    """`[num_seats]`: the level, 1..scripted_levels, that plays a seat whose row the caller doesn't hold; None: 1."""
    statistics: tuple[str, ...] = ()
    """Fields of `state`, integer or real `[num_seats]`, that `infos["episode"]` gives by name at an episode's end."""
    reward_terms: tuple[str, ...] = ()
    """Names of the columns of the field `terms`, real `[num_seats, n]`, in which `step` notes what a reward is made of.

    The engine sets `terms` to zero before each tick, so that after a step of several they are the last tick's; `reset`
    must not touch it, so that an episode's last terms are still there after SAME_STEP began the next one.
    """
    draw: Callable[..., None] | None = None
    """`draw(canvas, state, params, tables)` paints one record; it never steps."""
    draw_size: tuple[int, int] = (600, 400)
    """Width and height of the picture in pixels."""
    render_fps: int = 30
    """Steps that a second of a video shows."""
    step_seconds: float = 0.0
    """Of the game's own time, a tick; 0 where it has none."""
    validate: Callable[[np.ndarray, np.ndarray], None] | None = None
    """`validate(state, params)` raises ValueError for records (`[num_worlds]` and `[R]`) that rules can't index by."""

    def __post_init__(self) -> None:
        from envs.engine.world_checks import check

        check(self)
        if self.mask is not None and self.action_layout is None:
            object.__setattr__(self, "action_layout", default_layout(self.action_space))


class Phase(NamedTuple):
    """A rule that is called for each index below an extent, once for each part of its work."""

    rule: Rule
    extent: int = 1
    parts: int = 1

    @property
    def is_shared(self) -> bool:
        """Whether several threads may share its calls out."""
        return self.extent * self.parts > 1 or "index" in arguments(self.rule)


def phases(declared: Phases) -> list[Phase]:
    """A declaration of phases as a list."""
    if callable(declared):
        return [Phase(declared)]
    return [Phase(*phase) if isinstance(phase, tuple) else Phase(phase) for phase in declared]  # pyright: ignore


def arguments(function: Rule) -> list[str]:
    """The names of a rule's arguments."""
    return list(inspect.signature(plain(function)).parameters)


def default_layout(space: spaces.Space) -> ActionLayout:
    """The parts of a Discrete or MultiDiscrete space side by side, none depending on another."""
    if isinstance(space, spaces.Discrete):
        return ActionLayout((int(space.n),))
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec)
        return ActionLayout(sizes, tuple((0,) * sizes[0] for _ in sizes[1:]))
    raise ValueError(f"only Discrete and MultiDiscrete actions have a mask, got {space}")


def record_dtype(world: World) -> np.dtype:
    """The full record of one world: the engine's fields, then the author's, aligned."""
    seats, space = world.num_seats, world.action_space
    discrete = not isinstance(space, spaces.Box)
    action = np.dtype(((np.int32 if discrete else real), (seats, *(space.shape or ()))))
    engine: list[Any] = [
        ("key", np.uint64),
        ("seed", np.uint64),
        ("world", np.int32),
        ("episode", np.int32),
        ("tick", np.int32),
        ("param", np.int32),
        ("terminated", np.uint8),
        ("truncated", np.uint8),
        ("ended", np.uint8),
        ("control", np.int32, (seats,)),
        ("next_control", np.int32, (seats,)),
        ("action", action),
        ("reward", real, (seats,)),
        ("returns", real, (seats,)),
    ]
    own = [(name, world.state[name]) for name in world.state.names or ()]
    return np.dtype(engine + own, align=True)


def param_records(world: World) -> np.ndarray:
    """The rows of tunables `[R]`, with the engine's `max_episode_steps` and `frame_skip` behind the author's fields."""
    own = world.params if world.params is not None else np.zeros(1, np.dtype([]))
    own_fields = [(name, own.dtype[name]) for name in own.dtype.names or ()]
    engine = [("max_episode_steps", np.int32), ("frame_skip", np.int32)]
    rows = np.zeros(len(own), np.dtype([*own_fields, *engine], align=True))
    for name, _ in own_fields:
        rows[name] = own[name]
    rows["max_episode_steps"], rows["frame_skip"] = world.max_episode_steps, world.frame_skip
    return rows
