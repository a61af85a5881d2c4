"""The loops round a world's rules on a GPU, as source: what `cuda.py` compiles.

One kernel plays a step. Where a world has phases that run over an index, a block of threads plays it: the threads
share out the indices of a phase, and a barrier stands between phases. Other worlds have a thread each.
"""

from collections.abc import Sequence
from itertools import groupby

from gymnasium import spaces

from envs.engine.driver import call, obs_row, shared_fields, write_statistics
from envs.engine.rules import Phases, Rule, World, arguments, phases

WARP = 32
"""Threads that play a world together. More of them would wait for each other, and, as the registers of a
multiprocessor hold only so many threads, fewer worlds would run at a time."""
BLOCK = 64
"""Threads of a block where each has a world of its own."""

TEMPLATE = '''\
"""The CUDA driver of {name}, written by envs.engine.cuda."""


@device
def begin(state, params, {tables_}):
    """Starts the record's current episode."""
    thread = {thread}
    {make_tables}
    if thread == 0:
        state.tick = np.int32(0)
        state.terminated = np.uint8(0)
        state.truncated = np.uint8(0)
        state.ended = np.uint8(PLAYING)
        state.key = episode_key(state.seed, state.world, state.episode)
    for seat in range(thread, {num_seats}, {threads}):
        state.control[seat] = state.next_control[seat]
        state.reward[seat] = real(0)
        state.returns[seat] = real(0)
    {barrier}
    {reset}


@device
def advance(state, params, {tables_}):
    """Plays one tick."""
    thread = {thread}
    {make_tables}
    if thread == 0:
        state.tick += np.int32(1)
        state.terminated = np.uint8(0)
        state.truncated = np.uint8(0)
    for seat in range(thread, {num_seats}, {threads}):
        state.reward[seat] = real(0)
        {clear_terms}
    {barrier}
    {step}
    if thread == 0 and 0 < params.max_episode_steps <= state.tick:
        state.truncated = np.uint8(1)
    for seat in range(thread, {num_seats}, {threads}):
        state.returns[seat] += state.reward[seat]
    {barrier}


@device
def show(state, params, {tables_}seats, row, obs_rows, mask_rows):
    """Writes the observations and masks of the caller's seats, from `row` on."""
    thread = {thread}
    {make_tables}
    {show}


@kernel
def drive(records, params_rows, {tables_}seats, mode, problem, {results}):
    """Steps a world a block, or a thread; under RESET starts those marked and shows all.

    `problem[0]` becomes the number of rows less the first whose action is outside the space, where there is one; the
    world takes that action as the nearest that is inside.
    """
    world, thread = {world_and_thread}
    if world >= records.shape[0]:
        return
    state = records[world]
    params = params_rows[state.param]
    row = world * {num_rows}
    ended = state.ended
    plays = mode != RESET and ended == PLAYING
    starts = ended == MARKED if mode == RESET else mode == NEXT_STEP and ended != PLAYING
    {barrier}
    if plays:
        for k in range(thread, {num_rows}, {threads}):
            seat = {seat_of_row}
            {take_action}
            rewards[row + k] = real(0)
        {barrier}
        playing, ticks = True, 0
        while playing:
            advance(state, params, {tables_})
            for k in range(thread, {num_rows}, {threads}):
                rewards[row + k] += state.reward[{seat_of_row}]
            ticks += 1
            playing = ticks < params.frame_skip and (state.terminated | state.truncated) == 0
            {barrier}
    elif mode != RESET or starts:
        for seat in range(thread, {num_seats}, {threads}):
            state.reward[seat] = real(0)
            {clear_terms_unplayed}
        {barrier}
    done = mode != RESET and not starts and (state.terminated | state.truncated) != 0
    if mode != RESET:
        for k in range(thread, {num_rows}, {threads}):
            if not plays:
                rewards[row + k] = real(0)
            terminated[row + k] = not starts and state.terminated != 0
            truncated[row + k] = not starts and state.truncated != 0
            returns[row + k] = state.returns[{seat_of_row}] if done else real(0)
            lengths[row + k] = (state.tick + params.frame_skip - 1) // params.frame_skip if done else 0
            {write_statistics}
    {barrier}
    if done:
        if thread == 0:
            state.ended = np.uint8(ENDED)
        starts = mode == SAME_STEP or mode == CUT_ONLY
        if mode == SAME_STEP or mode == CUT_ONLY and state.terminated == 0:
            show(state, params, {tables_}seats, row, final_obs, mask)
    {barrier}
    if starts:
        if thread == 0:
            state.episode += np.int32(1)
        {barrier}
        begin(state, params, {tables_})
    show(state, params, {tables_}seats, row, obs, mask)
'''


def plays_by_block(world: World) -> bool:
    """Whether a block of threads plays a world; else one thread does."""
    return _widest(world) > 1


def _widest(world: World) -> int:
    return max(extent for part in (world.reset, world.step, world.observe) for _, extent in phases(part))


def launch_shape(world: World, num_worlds: int) -> tuple[int, int]:
    """Blocks and threads of a block for so many worlds."""
    return (num_worlds, WARP) if plays_by_block(world) else (-(-num_worlds // BLOCK), BLOCK)


def cuda_source(world: World) -> tuple[str, dict[str, Rule]]:
    """The driver's source, and the rules it calls by the names it calls them."""
    rules: dict[str, Rule] = {}
    block, fields = plays_by_block(world), shared_fields(world)
    threads = WARP if block else 1
    barrier = "cuda.syncthreads()" if block else "pass"
    source = TEMPLATE.format(
        **fields,
        barrier=barrier,
        threads=threads,
        thread="cuda.threadIdx.x" if block else "0",
        world_and_thread="cuda.blockIdx.x, cuda.threadIdx.x" if block else "cuda.grid(1), 0",
        reset=_in_turn(rules, world.reset, threads, barrier),
        step=_in_turn(rules, world.step, threads, barrier),
        show=_show(rules, world, threads, fields["num_rows"], fields["seat_of_row"]),
        clear_terms=_clear_terms(world, 8),
        clear_terms_unplayed=_clear_terms(world, 12),
        write_statistics=write_statistics(world, fields["seat_of_row"], 12, " if done else np.float32(0)"),
        take_action=_take_action(world.action_space),
    )
    return source, rules


def _in_turn(rules: dict[str, Rule], declared: Phases, threads: int, barrier: str) -> str:
    """Calls of phases with a barrier after each; thread 0 plays in one go those that have no index."""
    lines: list[str] = []
    for wide, group in groupby(phases(declared), key=lambda phase: phase[1] > 1 or "index" in arguments(phase[0])):
        for function, extent in group if wide else ():
            lines += [f"for index in range(thread, {extent}, {threads}):", f"    {call(rules, function)}", barrier]
        if not wide:
            lines += ["if thread == 0:", *(f"    {call(rules, function)}" for function, _ in group), barrier]
    return _indented(lines, 4)


def _show(rules: dict[str, Rule], world: World, threads: int, num_rows: str, seat_of_row: str) -> str:
    """Calls of the phases of `observe`, and of `mask`, for each row."""
    lines: list[str] = []
    for function, extent in phases(world.observe):
        row, index = ("job // " + str(extent), [f"    index = job % {extent}"]) if extent > 1 else ("job", [])
        lines += [f"for job in range(thread, {num_rows} * {extent}, {threads}):", f"    k = {row}", *index]
        lines += [f"    seat = {seat_of_row}", f"    obs = {obs_row(world)}", f"    {call(rules, function)}"]
    if world.mask is not None:
        lines += [f"for k in range(thread, {num_rows}, {threads}):", f"    seat = {seat_of_row}"]
        lines += ["    mask = mask_rows[row + k]", f"    {call(rules, world.mask)}"]
    return _indented(lines, 4)


def _clear_terms(world: World, indent: int) -> str:
    if not world.reward_terms:
        return ""
    return _indented(
        (f"for term in range({len(world.reward_terms)}):", "    state.terms[seat, term] = real(0)"), indent
    )


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
        12,
    )


def _indented(lines: Sequence[str], indent: int) -> str:
    return ("\n" + " " * indent).join(lines)
