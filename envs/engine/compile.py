"""One driver module a world: the loops round its rules, written as source, compiled by numba and cached on disk.

numba's own cache serves old code after a rule in another file was edited. So the driver lies in a folder named by a
hash of everything that is compiled into it: the bytecode of each rule that the world reaches, the constants they
read, the record types, the engine's template and the versions. An edited rule is a new folder, hence a miss; nothing
else is.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.engine import random
from envs.engine.rules import DEBUG, Rule, World, arguments, param_records, phases, plain, real, record_dtype

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
KEPT_DRIVERS = 16
"""Folders a world keeps in the cache; the least recently used go first."""

PARALLEL = threading.Lock()
"""Held by whoever runs a parallel kernel: numba's workqueue threads serve one caller at a time."""


class Kernels(NamedTuple):
    """The compiled entry points of one world; see the template for their arguments."""

    reset: Callable[..., None]
    observe: Callable[..., None]
    step: Callable[..., int]
    step_parallel: Callable[..., int]


TEMPLATE = '''\
"""The driver of {name}, written by envs.engine.compile."""


@jit
def begin(state, params, {tables_}):
    """Starts the record's current episode."""
    {make_tables}
    state.tick = np.int32(0)
    state.terminated = np.uint8(0)
    state.truncated = np.uint8(0)
    state.ended = np.uint8(0)
    state.key = episode_key(state.seed, state.world, state.episode)
    for seat in range({num_seats}):
        state.control[seat] = state.next_control[seat]
        state.reward[seat] = real(0)
        state.returns[seat] = real(0)
    {reset}


@jit
def advance(state, params, {tables_}):
    """Plays one tick."""
    {make_tables}
    state.tick += np.int32(1)
    state.terminated = np.uint8(0)
    state.truncated = np.uint8(0)
    for seat in range({num_seats}):
        state.reward[seat] = real(0)
    {step}
    if 0 < params.max_episode_steps <= state.tick:
        state.truncated = np.uint8(1)
    for seat in range({num_seats}):
        state.returns[seat] += state.reward[seat]


@jit
def show(state, params, {tables_}seats, row, obs_rows, mask_rows):
    """Writes the observations and masks of the caller's seats, from `row` on."""
    {make_tables}
    for k in range(seats.shape[0]):
        seat = seats[k]
        obs = {obs_row}
        {observe}
        {write_mask}


@jit
def take(state, seats, row, actions):
    """Copies the caller's actions into the record."""
    for k in range(seats.shape[0]):
        seat = seats[k]
        {take_action}


@jit
def first_bad_action(actions):
    """The first row with an action outside the space, or -1."""
    for row in range(actions.shape[0]):
        for part in range(actions.shape[1]):
            if {bad_action}:
                return row
    return -1


@jit
def step_worlds(first, last, records, params_rows, {tables_}seats, mode, actions, obs, mask, rewards, terminated, truncated,
                final_obs, returns, lengths):
    """Steps the worlds first..last-1 and returns how many rows ended."""
    num_rows = seats.shape[0]
    num_ended = 0
    for world in range(first, last):
        state = records[world]
        params = params_rows[state.param]
        row = world * num_rows
        if state.ended != 0:
            if mode == NEXT_STEP:
                state.episode += np.int32(1)
                begin(state, params, {tables_})
            else:
                for seat in range({num_seats}):
                    state.reward[seat] = real(0)
        else:
            take(state, seats, row, actions)
            advance(state, params, {tables_})
        done = state.terminated != 0 or state.truncated != 0
        for k in range(num_rows):
            rewards[row + k] = state.reward[seats[k]]
            terminated[row + k] = state.terminated != 0
            truncated[row + k] = state.truncated != 0
            if done:
                returns[row + k] = state.returns[seats[k]]
                lengths[row + k] = state.tick
        if done:
            num_ended += num_rows
            if mode == SAME_STEP:
                show(state, params, {tables_}seats, row, final_obs, mask)
                state.episode += np.int32(1)
                begin(state, params, {tables_})
            else:
                state.ended = np.uint8(1)
        show(state, params, {tables_}seats, row, obs, mask)
    return num_ended


@jit_cached
def step(num_chunks, records, params_rows, {tables_}seats, mode, actions, obs, mask, rewards, terminated, truncated,
         final_obs, returns, lengths):
    """Steps all worlds; returns the number of rows that ended, or -1 - row for a bad action, with nothing stepped."""
    bad = first_bad_action(actions)
    if bad >= 0:
        return -1 - bad
    return step_worlds(0, records.shape[0], records, params_rows, {tables_}seats, mode, actions, obs, mask, rewards,
                       terminated, truncated, final_obs, returns, lengths)


@jit_parallel
def step_parallel(num_chunks, records, params_rows, {tables_}seats, mode, actions, obs, mask, rewards, terminated, truncated,
                  final_obs, returns, lengths):
    """`step` with the worlds shared out in chunks."""
    bad = first_bad_action(actions)
    if bad >= 0:
        return -1 - bad
    num_worlds = records.shape[0]
    num_ended = 0
    for chunk in prange(num_chunks):
        num_ended += step_worlds(chunk * num_worlds // num_chunks, (chunk + 1) * num_worlds // num_chunks, records,
                                 params_rows, {tables_}seats, mode, actions, obs, mask, rewards, terminated, truncated,
                                 final_obs, returns, lengths)
    return num_ended


@jit_cached
def reset(selected, records, params_rows, {tables_}seats, obs, mask):
    """Starts the next episode of the selected worlds and observes all."""
    for world in range(records.shape[0]):
        state = records[world]
        params = params_rows[state.param]
        if selected[world]:
            state.episode += np.int32(1)
            begin(state, params, {tables_})
        show(state, params, {tables_}seats, world * seats.shape[0], obs, mask)


@jit_cached
def observe(records, params_rows, {tables_}seats, obs, mask):
    """Observes all worlds as they are."""
    for world in range(records.shape[0]):
        state = records[world]
        show(state, params_rows[state.param], {tables_}seats, world * seats.shape[0], obs, mask)
'''


def driver_source(world: World) -> tuple[str, dict[str, Rule]]:
    """The driver's source, and the rules it calls by the names it calls them."""
    rules: dict[str, Rule] = {}

    def call(function: Rule, extra: str = "") -> str:
        name = f"rule_{len(rules)}_{plain(function).__name__}"
        rules[name] = function
        return f"{name}({', '.join(arguments(function))})" + extra

    def calls(declared: Any, indent: int) -> str:
        lines = []
        for function, extent in phases(declared):
            index = "0"
            if extent > 1 or "index" in arguments(function):
                lines.append(f"for index in range({extent}):")
                index = "    "
            lines.append(index.replace("0", "") + call(function))
        return ("\n" + " " * indent).join(lines)

    space, discrete_obs = world.action_space, isinstance(world.observation_space, spaces.Discrete)
    asks_tables = any(
        "tables" in arguments(f) for part in (world.reset, world.step, world.observe) for f, _ in phases(part)
    ) or (world.mask is not None and "tables" in arguments(world.mask))
    names = list(world.tables)
    source = TEMPLATE.format(
        name=world.name,
        num_seats=world.num_seats,
        tables_="".join(f"table_{name}, " for name in names),
        make_tables=f"tables = Tables({', '.join('table_' + name for name in names)})" if asks_tables else "",
        reset=calls(world.reset, 4),
        step=calls(world.step, 4),
        observe=calls(world.observe, 8),
        obs_row="obs_rows[row + k : row + k + 1]" if discrete_obs else "obs_rows[row + k]",
        write_mask=f"mask = mask_rows[row + k]\n        {call(world.mask)}" if world.mask else "",
        take_action=_take_action(space),
        bad_action=_bad_action(space),
    )
    return source, rules


def _take_action(space: spaces.Space) -> str:
    if isinstance(space, spaces.Discrete):
        return "state.action[seat] = np.int32(actions[row + k, 0])"
    if isinstance(space, spaces.MultiDiscrete):
        return (
            "for part in range(actions.shape[1]):\n            state.action[seat, part] = np.int32(actions[row + k, part])"
        )
    return (
        "for part in range(actions.shape[1]):\n"
        "            state.action[seat, part] = min(max(real(actions[row + k, part]), LOW[part]), HIGH[part])"
    )


def _bad_action(space: spaces.Space) -> str:
    if isinstance(space, spaces.Box):
        return "actions[row, part] != actions[row, part]"
    return "actions[row, part] < 0 or actions[row, part] >= SIZES[part]"


def constants(world: World) -> dict[str, Any]:
    """What the driver reads beside the rules."""
    space = world.action_space
    found: dict[str, Any] = {"np": np, "real": real, "episode_key": random.episode_key}
    found |= {"NEXT_STEP": NEXT_STEP, "SAME_STEP": SAME_STEP, "DISABLED": DISABLED}
    if isinstance(space, spaces.Box):
        found |= {"LOW": space.low.astype(real), "HIGH": space.high.astype(real)}
    else:
        sizes = [space.n] if isinstance(space, spaces.Discrete) else space.nvec  # pyright: ignore
        found["SIZES"] = np.asarray(sizes, np.int64)
    if world.tables:
        found["Tables"] = namedtuple("Tables", list(world.tables))  # noqa: PYI024
    return found


_LOADED: dict[str, Kernels] = {}


def kernels(world: World) -> Kernels:
    """The world's kernels: from this process, else from the cache on disk, else compiled at the first call."""
    source, rules = driver_source(world)
    digest = fingerprint(world, source, rules)
    if digest not in _LOADED:
        namespace = constants(world) | rules
        _LOADED[digest] = _plain_kernels(source, namespace) if DEBUG else _compiled(world.name, digest, source, namespace)
    return _LOADED[digest]


def _plain_kernels(source: str, namespace: dict[str, Any]) -> Kernels:
    def identity(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
        return np.errstate(over="ignore")(function)

    namespace |= {"jit": identity, "jit_cached": quiet, "jit_parallel": quiet, "prange": range}
    exec(compile(source, "<driver>", "exec"), namespace)
    return Kernels(*(namespace[name] for name in Kernels._fields))


def _compiled(name: str, digest: str, source: str, namespace: dict[str, Any]) -> Kernels:
    import numba

    numba.config.THREADING_LAYER = "workqueue"  # pyright: ignore[reportAttributeAccessIssue]
    path, cached = _driver_file(name, digest, source)
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    namespace |= {
        "jit": numba.njit(**options),
        "jit_cached": numba.njit(**options, cache=cached),
        "jit_parallel": numba.njit(**options, cache=cached, parallel=True),
        "prange": numba.prange,
    }
    spec = importlib.util.spec_from_file_location(f"quintet_driver_{digest}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(namespace)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return Kernels(*(getattr(module, field) for field in Kernels._fields))


def cache_folder() -> Path:
    """Where compiled worlds are kept: $QUINTET_CACHE_DIR, else $XDG_CACHE_HOME/quintet, else ~/.cache/quintet."""
    if chosen := os.environ.get("QUINTET_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quintet"


def _driver_file(name: str, digest: str, source: str) -> tuple[Path, bool]:
    """The driver's file and whether code can be cached beside it; where it can't, says so once."""
    folder = cache_folder() / f"{name}-{digest}"
    path = folder / "driver.py"
    try:
        (folder / "__pycache__").mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as handle:
            handle.write(source)
        if path.exists():
            os.unlink(handle.name)
        else:
            os.replace(handle.name, path)
        os.utime(folder)
        _prune(folder)
        return path, True
    except OSError as error:
        warnings.warn(
            f"compiled worlds can't be cached in {cache_folder()} ({error.strerror}), so each process compiles anew; "
            "set QUINTET_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
    scratch = Path(tempfile.mkdtemp(prefix="quintet-")) / "driver.py"
    scratch.write_text(source)
    return scratch, False


def _prune(newest: Path) -> None:
    name = newest.name.rsplit("-", 1)[0]
    drivers = sorted(newest.parent.glob(f"{name}-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in drivers[KEPT_DRIVERS:]:
        shutil.rmtree(old, ignore_errors=True)


def fingerprint(world: World, source: str, rules: dict[str, Rule]) -> str:
    """A hash of all that is compiled into the world's driver, 16 hex digits."""
    import numba

    versions = f"{sys.version} {np.__version__} {numba.__version__} {real.__name__}"
    digest = hashlib.sha256(versions.encode())
    digest.update(source.encode())
    digest.update(repr((record_dtype(world).descr, param_records(world).dtype.descr)).encode())
    digest.update(repr([(name, table.dtype.descr) for name, table in world.tables.items()]).encode())
    digest.update(repr((world.observation_space.dtype, world.observation_space.shape)).encode())
    seen: set[int] = set()
    for value in (*rules.values(), *constants(world).values()):
        for piece in _pieces(value, seen):
            digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(value: Any, seen: set[int]) -> Iterator[bytes]:
    """The bytes that tell a global apart: of a function its code and, in turn, the globals it reads."""
    function = plain(value)
    if isinstance(function, FunctionType):
        if id(function) in seen:
            return
        seen.add(id(function))
        yield from _function_pieces(function, seen)
    elif isinstance(value, np.ndarray):
        yield repr((value.dtype.descr, value.shape)).encode() + value.tobytes()
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__} {getattr(value, '_fields', '')} {_members(value)}".encode()
    elif not isinstance(value, ModuleType):
        yield f"{type(value).__name__} {value!r}".encode()


def _members(value: type) -> str:
    return repr([(k, int(v)) for k, v in getattr(value, "__members__", {}).items()])


def _function_pieces(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield from _code_pieces(function.__code__)
    yield repr(function.__defaults__).encode()
    for cell in function.__closure__ or ():
        yield from _pieces(cell.cell_contents, seen)
    names = sorted(_names(function.__code__))
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        yield name.encode()
        yield from _pieces(value, seen)
        if isinstance(value, ModuleType):
            for attribute in names:
                member = getattr(value, attribute, None)
                if isinstance(plain(member), FunctionType | int | float | np.generic | np.ndarray):
                    yield attribute.encode()
                    yield from _pieces(member, seen)


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))


def _code_pieces(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode()
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _code_pieces(const)
        else:
            yield f"{type(const).__name__} {const!r}".encode()
