"""The loops round a world's rules on a GPU, as source: what `cuda.py` compiles.

One kernel plays a step. Where a world has phases that run over an index, a warp plays it: its threads share out the
indices of a phase, and wait for each other after it. A block has several such worlds, and after every few phases they
wait for each other too, so that a multiprocessor fetches code once for all of them: each on its own, four fifths of the
time went by in waiting for instructions (measured on an H200, when there were a megabyte of them). Worlds that don't
take part in what the others of their block do, such as a reset, come along with the thread number IDLE. Worlds without
such phases have a thread each.

Observations are written to shared memory first, a few rows at a time, and copied from there in one piece: threads that
write to places apart took a third of the arena's time.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.engine.driver import call, obs_row, shared_fields, write_statistics
from envs.engine.rules import Phase, Phases, Rule, World, phases, plain, real

WARP = 32
"""Threads that play a world together. More of them would wait for each other, and, as the registers of a
multiprocessor hold only so many threads, fewer worlds would run at a time."""
WARPS = 16
"""Worlds of a block, at most, where each has a warp."""
REGISTERS = 64
"""Of a thread, at most, where a warp plays a world: so a multiprocessor's 65,536 suffice for two such blocks."""
TOGETHER = 4
"""Phases after which the worlds of a block wait for each other. More often they wait for the slowest; less often they
wait for code, where scripted players play."""
STAGE = 48 * 1024
"""Bytes of shared memory in which a block lays rows of observations, at most; as many as there are without asking."""
BLOCK = 64
"""Threads of a block where each has a world of its own."""
MULTIPROCESSORS = 132
"""Of an H100 or H200: with few worlds blocks are smaller, so that all have work."""

TEMPLATE = '''\
"""The CUDA driver of {name}, written by envs.engine.cuda."""

IDLE = np.int32(1 << 20)  # the number of a thread whose world sits out what others of its block do


@device
def mine(thread, extent):
    """The indices below `extent` that fall to a thread, counted by 32 bits: a GPU takes twice as long over 64."""
    return range(thread, np.int32(extent), np.int32({threads}))


@device
def split(job, parts):
    """What a job is a part of, and which, likewise by 32 bits."""
    whole = np.uint32(job) // np.uint32(parts)
    return np.int32(whole), np.int32(np.uint32(job) - whole * np.uint32(parts))


@device
def begin(state, params, {tables_}thread):
    """Starts the record's current episode."""
    {make_tables}
    if thread == 0:
        state.tick = np.int32(0)
        state.terminated = np.uint8(0)
        state.truncated = np.uint8(0)
        state.ended = np.uint8(PLAYING)
        state.key = episode_key(state.seed, state.world, state.episode)
    for seat in mine(thread, {num_seats}):
        state.control[seat] = state.next_control[seat]
        state.reward[seat] = real(0)
        state.returns[seat] = real(0)
    {barrier}
    {reset}


@device
def advance(state, params, {tables_}thread):
    """Plays one tick."""
    {make_tables}
    if thread == 0:
        state.tick += np.int32(1)
        state.terminated = np.uint8(0)
        state.truncated = np.uint8(0)
    for seat in mine(thread, {num_seats}):
        state.reward[seat] = real(0)
        {clear_terms}
    {barrier}
    {step}
    if thread == 0 and 0 < params.max_episode_steps <= state.tick:
        state.truncated = np.uint8(1)
    for seat in mine(thread, {num_seats}):
        state.returns[seat] += state.reward[seat]
    {barrier}


@device
def show(state, params, {tables_}thread, seats, row, obs_rows, mask_rows):
    """Writes the observations and masks of the caller's seats, from `row` on."""
    {make_tables}
    {show}


@kernel
def drive(records, params_rows, {tables_}seats, mode, problem, {results}):
    """Steps a world a warp, or a thread; under RESET starts those marked and shows all.

    `problem[0]` becomes the number of rows less the first whose action is outside the space, where there is one; the
    world takes that action as the nearest that is inside.
    """
    world, own = {world_and_thread}
    here = world < records.shape[0]
    world = min(world, records.shape[0] - 1)
    state = records[world]
    params = {params_row}
    row = world * {num_rows}
    ended = state.ended
    plays = here and mode != RESET and ended == PLAYING
    starts = here and (ended == MARKED if mode == RESET else mode == NEXT_STEP and ended != PLAYING)
    {barrier}
    thread = own if plays else IDLE
    for k in mine(thread, {num_rows}):
        seat = {seat_of_row}
        {take_action}
        rewards[row + k] = real(0)
    thread = own if here and not plays and (mode != RESET or starts) else IDLE
    for seat in mine(thread, {num_seats}):
        state.reward[seat] = real(0)
        {clear_terms}
    {barrier}
    playing, ticks = plays, 0
    while {any_playing}:
        thread = own if playing else IDLE
        advance(state, params, {tables_}thread)
        for k in mine(thread, {num_rows}):
            rewards[row + k] += state.reward[{seat_of_row}]
        ticks += 1
        playing = playing and ticks < params.frame_skip and (state.terminated | state.truncated) == 0
    done = plays and (state.terminated | state.truncated) != 0
    thread = own if here and mode != RESET else IDLE
    for k in mine(thread, {num_rows}):
        if not plays:
            rewards[row + k] = real(0)
        terminated[row + k] = not starts and state.terminated != 0
        truncated[row + k] = not starts and state.truncated != 0
        returns[row + k] = state.returns[{seat_of_row}] if done else real(0)
        lengths[row + k] = (state.tick + params.frame_skip - 1) // params.frame_skip if done else 0
        {write_statistics}
    shows = done and (mode == SAME_STEP or mode == CUT_ONLY and state.terminated == 0)
    if {any_shows}:
        show(state, params, {tables_}own if shows else IDLE, seats, row, final_obs, mask)
    {barrier}
    if done:
        if own == 0:
            state.ended = np.uint8(ENDED)
        starts = mode == SAME_STEP or mode == CUT_ONLY
    if {any_starts}:
        if starts and own == 0:
            state.episode += np.int32(1)
        {barrier}
        begin(state, params, {tables_}own if starts else IDLE)
    show(state, params, {tables_}own if here else IDLE, seats, row, obs, mask)
'''


def plays_by_warp(world: World) -> bool:
    """Whether a warp plays a world; else one thread does."""
    return _widest(world) > 1


def _widest(world: World) -> int:
    parts = world.reset, world.step, world.observe
    return max(phase.extent * phase.parts for part in parts for phase in phases(part))


def phase_names(world: World) -> list[str]:
    """What a step of one tick does from one barrier to the next, where no game ends and all seats are the caller's."""
    step = []
    for shared, group in groupby(phases(world.step), key=lambda phase: phase.is_shared):
        names = [plain(phase.rule).__name__ for phase in group]
        step += names if shared else [" + ".join(names)]
    staged, direct = ([plain(phase.rule).__name__ for phase in part] for part in _by_stage(world))
    groups = -(-world.num_seats // staged_rows(world)) if staged else 0
    observe = [" + ".join(staged), "copy rows"] * groups + direct
    before = ["find the world", "take actions", "ask who plays", "begin the tick"]
    after = ["returns", "rewards", "results", "ask who ended", "ask who starts"]
    return [*before, *step, *after, *observe, "mask" if world.mask else "end"]


def staged_rows(world: World) -> int:
    """Rows of observations that a warp lays in shared memory at a time; 0: they are written where they belong."""
    space, shape = world.observation_space, world.observation_space.shape or ()
    if not plays_by_warp(world) or space.dtype != real or len(shape) != 1:
        return 0
    return min(STAGE // (WARPS * shape[0] * np.dtype(real).itemsize), world.num_seats)


def _by_stage(world: World) -> tuple[list[Phase], list[Phase]]:
    """The phases of `observe` that write to shared memory, and those that don't: they have a thread a row, and of a few
    rows most threads would stand idle."""
    observing = phases(world.observe)
    if not staged_rows(world):
        return [], observing
    return [one for one in observing if one.is_shared], [one for one in observing if not one.is_shared]


def launch_shape(world: World, num_worlds: int) -> tuple[int, int | tuple[int, int]]:
    """Blocks and threads of a block for so many worlds."""
    if not plays_by_warp(world):
        return -(-num_worlds // BLOCK), BLOCK
    warps = min(max(num_worlds // MULTIPROCESSORS, 1), WARPS)
    return -(-num_worlds // warps), (WARP, warps)


def max_registers(world: World) -> int | None:
    """Registers that a thread may have; None: as many as it likes."""
    return REGISTERS if plays_by_warp(world) else None


def cuda_source(world: World, has_warps: bool = True) -> tuple[str, dict[str, Rule]]:
    """The driver's source, and the rules it calls by the names it calls them; numba's simulator has no warps."""
    rules: dict[str, Rule] = {}
    warp, fields = plays_by_warp(world), shared_fields(world)
    threads = WARP if warp else 1
    barrier = ("cuda.syncwarp()" if has_warps else "cuda.syncthreads()") if warp else "pass"
    anyone = "cuda.syncthreads_or(np.int32({0})) != 0" if warp else "{0}"
    own = (
        "cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y, cuda.threadIdx.x"
        if warp
        else "cuda.grid(1), np.int32(0)"
    )
    source = TEMPLATE.format(
        **fields,
        barrier=barrier,
        threads=threads,
        world_and_thread=own,
        **{f"any_{name}": anyone.format(name) for name in ("playing", "shows", "starts")},
        reset=_in_turn(rules, world.reset, barrier),
        step=_in_turn(rules, world.step, barrier),
        show=_show(rules, world, fields, barrier),
        clear_terms=_clear_terms(world),
        write_statistics=write_statistics(world, fields["seat_of_row"], 8, " if done else np.float32(0)"),
        take_action=_take_action(world.action_space),
    )
    return source, rules


def _in_turn(rules: dict[str, Rule], declared: Phases, barrier: str) -> str:
    """Calls of phases with a barrier after each; thread 0 plays in one go those that have no index."""
    pieces: list[list[str]] = []
    for shared, group in groupby(phases(declared), key=lambda phase: phase.is_shared):
        if shared:
            pieces += [_shared_out(rules, phase) for phase in group]
        else:
            pieces += [["if thread == 0:", *(f"    {call(rules, phase.rule)}" for phase in group)]]
    meeting = barrier if barrier == "pass" else "cuda.syncthreads()"
    after = (barrier if number % TOGETHER else meeting for number in range(1, len(pieces) + 1))
    return _indented([line for piece, end in zip(pieces, after, strict=True) for line in (*piece, end)], 4)


def _shared_out(rules: dict[str, Rule], phase: Phase) -> list[str]:
    """The calls of a phase for the indices that fall to a thread."""
    lines = [f"for job in mine(thread, {phase.extent * phase.parts}):", f"    index, part = split(job, {phase.parts})"]
    return [*lines, f"    {call(rules, phase.rule)}"]


def _show(rules: dict[str, Rule], world: World, fields: dict[str, Any], barrier: str) -> str:
    """Calls of the phases of `observe`, and of `mask`, for each row; all threads clear its masks before."""
    num_rows, seat_of_row, lines = fields["num_rows"], fields["seat_of_row"], list[str]()
    if world.mask is not None:
        lines += [f"for k in range({num_rows}):", "    for column in mine(thread, mask_rows.shape[1]):"]
        lines.append("        mask_rows[row + k, column] = False")
    staged, direct = _by_stage(world)
    if staged:
        lines += _show_staged(rules, world, staged, barrier)
    for phase in direct:
        lines += [*_for_rows(rules, phase, num_rows, seat_of_row, f"obs = {obs_row(world)}"), barrier]
    for phase in phases(world.mask or ()):
        lines += _for_rows(rules, phase, num_rows, seat_of_row, "mask = mask_rows[row + k]")
    return _indented(lines, 4)


def _show_staged(rules: dict[str, Rule], world: World, staged: list[Phase], barrier: str) -> list[str]:
    """Lays a few rows at a time in shared memory and copies them, with what happened to lie between: phases that come
    later write over that."""
    rows, (width,) = staged_rows(world), world.observation_space.shape or (0,)
    inner: list[str] = []
    for phase in staged:
        inner += _for_rows(rules, phase, "count", "seats[first + k]", "obs = stage[own + k]")
    inner += [barrier, "for k in range(count):", f"    for column in mine(thread, {width}):"]
    inner += ["        obs_rows[row + first + k, column] = stage[own + k, column]", barrier]
    lines = [f"stage = cuda.shared.array(({WARPS * rows}, {width}), real)", f"own = cuda.threadIdx.y * {rows}"]
    lines += [f"for first in range(0, seats.shape[0], {rows}):", f"    count = min({rows}, seats.shape[0] - first)"]
    return lines + [f"    {line}" for line in inner]


def _for_rows(rules: dict[str, Rule], phase: Phase, count: str, seat: str, target: str) -> list[str]:
    """The calls of a phase of `observe` or `mask` for rows 0 <= k < count and the indices that fall to a thread."""
    jobs = phase.extent * phase.parts
    lines = [f"for job in mine(thread, {count} * {jobs}):", f"    k, rest = split(job, {jobs})"]
    lines += [f"    index, part = split(rest, {phase.parts})", f"    seat = {seat}", f"    {target}"]
    return [*lines, f"    {call(rules, phase.rule)}"]


def _clear_terms(world: World) -> str:
    if not world.reward_terms:
        return ""
    return _indented((f"for term in range({len(world.reward_terms)}):", "    state.terms[seat, term] = real(0)"), 8)


def _take_action(space: spaces.Space) -> str:
    box, lone = isinstance(space, spaces.Box), isinstance(space, spaces.Discrete)
    chosen = "real(actions[row + k, part])" if box else "actions[row + k, part]"
    wrong = "choice != choice" if box else "choice < 0 or choice >= SIZES[part]"
    inside = "real(0)" if box else "min(max(choice, 0), SIZES[part] - 1)"
    kept = "min(max(choice, LOW[part]), HIGH[part])" if box else "np.int32(choice)"
    return _indented(
        (
            "for part in range(actions.shape[1]):",
            f"    choice = {chosen}",
            f"    if {wrong}:",
            "        cuda.atomic.max(problem, 0, np.int32(actions.shape[0] - row - k))",
            f"        choice = {inside}",
            f"    state.action[seat{'' if lone else ', part'}] = {kept}",
        ),
        8,
    )


def _indented(lines: Sequence[str], indent: int) -> str:
    return ("\n" + " " * indent).join(lines)
