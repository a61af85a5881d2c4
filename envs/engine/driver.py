"""The loops round a world's rules, as source: what `compile.py` compiles for the CPU.

The template is ordinary Python; the names in braces are what differs between worlds.
"""

from collections import namedtuple
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.engine import random
from envs.engine.rules import Phase, Rule, World, arguments, phases, plain, real

NEXT_STEP, SAME_STEP, DISABLED, RESET, CUT_ONLY = 0, 1, 2, 3, 4
"""Modes of the kernel: what becomes of an ended world in a step; `RESET` plays nothing, but starts those marked;
`CUT_ONLY` is SAME_STEP that shows the last observations only of episodes that were cut off (truncated alone)."""
WRITTEN_OUT = 4
"""Parts of a phase, at most, that are written one after another rather than looped over."""
PLAYING, ENDED, MARKED = 0, 1, 2
"""Values of `state.ended`."""

TEMPLATE = '''\
"""The driver of {name}, written by envs.engine.compile."""


@jit_part
def begin(state, params, {tables_}):
    """Starts the record's current episode."""
    {make_tables}
    state.tick = np.int32(0)
    state.terminated = np.uint8(0)
    state.truncated = np.uint8(0)
    state.ended = np.uint8(PLAYING)
    state.key = episode_key(state.seed, state.world, state.episode)
    for seat in range({num_seats}):
        state.control[seat] = state.next_control[seat]
        state.reward[seat] = real(0)
        state.returns[seat] = real(0)
    {reset}


@jit_part
def advance(state, params, {tables_}):
    """Plays one tick."""
    {make_tables}
    state.tick += np.int32(1)
    state.terminated = np.uint8(0)
    state.truncated = np.uint8(0)
    for seat in range({num_seats}):
        state.reward[seat] = real(0)
    {clear_terms_in_advance}
    {step}
    if 0 < params.max_episode_steps <= state.tick:
        state.truncated = np.uint8(1)
    for seat in range({num_seats}):
        state.returns[seat] += state.reward[seat]


@jit_part
def show(state, params, {tables_}seats, row, obs_rows, mask_rows):
    """Writes the observations and masks of the caller's seats, from `row` on."""
    {make_tables}
    for k in range({num_rows}):
        seat = {seat_of_row}
        obs = {obs_row}
        {observe}
        {write_mask}


@jit
def show_last(state, params, {tables_}seats, row, obs_rows, mask_rows):
    """`show`, out of line."""
    show(state, params, {tables_}seats, row, obs_rows, mask_rows)


@jit_cached
def first_bad_action(actions):
    """The first row with an action outside the space, or -1."""
    num_bad = 0
    for row in range(actions.shape[0]):
        for part in range({num_parts}):
            num_bad += {bad_action}
    if num_bad > 0:
        for row in range(actions.shape[0]):
            for part in range({num_parts}):
                if {bad_action}:
                    return row
    return -1


@jit_cached
def drive(first, last, records, params_rows, {tables_}seats, mode, {results}):
    """Steps the worlds first..last-1 and returns how many rows ended; under RESET starts those marked, shows all."""
    if mode == RESET:
        for world in range(first, last):
            state = records[world]
            params = {params_row}
            if state.ended == MARKED:
                {clear_terms}
                state.episode += np.int32(1)
                begin(state, params, {tables_})
            show_last(state, params, {tables_}seats, world * {num_rows}, obs, mask)
        return 0
    {make_tables}
    num_ended = 0
    for world in range(first, last):
        state = records[world]
        params = {params_row}
        row = world * {num_rows}
        plays, starts = state.ended == PLAYING, False
        for k in range({num_rows}):
            rewards[row + k] = real(0)
        if plays:
            for k in range({num_rows}):
                seat = {seat_of_row}
                {take_action}
            playing, ticks = True, 0
            while playing:
                advance(state, params, {tables_})
                for k in range({num_rows}):
                    rewards[row + k] += state.reward[{seat_of_row}]
                ticks += 1
                playing = ticks < params.frame_skip and (state.terminated | state.truncated) == 0
        else:
            starts = mode == NEXT_STEP
            for seat in range({num_seats}):
                state.reward[seat] = real(0)
            {clear_terms_in_tick}
        done = plays and (state.terminated | state.truncated) != 0
        for k in range({num_rows}):
            terminated[row + k] = not starts and state.terminated != 0
            truncated[row + k] = not starts and state.truncated != 0
        if done:
            num_ended += {num_rows}
            state.ended = np.uint8(ENDED)
            for k in range({num_rows}):
                returns[row + k] = state.returns[{seat_of_row}]
                lengths[row + k] = (state.tick + params.frame_skip - 1) // params.frame_skip
                {write_statistics}
            if mode == SAME_STEP or mode == CUT_ONLY:
                if mode == SAME_STEP or state.terminated == 0:
                    show_last(state, params, {tables_}seats, row, final_obs, mask)
                starts = True
        if starts:
            state.episode += np.int32(1)
            begin(state, params, {tables_})
        show(state, params, {tables_}seats, row, obs, mask)
    return num_ended
'''


CLEAR_MASK = "mask = mask_rows[row + k]", "for column in range(mask.shape[0]):", "    mask[column] = False"


def driver_source(world: World) -> tuple[str, dict[str, Rule]]:
    """The driver's source, and the rules it calls by the names it calls them."""
    rules: dict[str, Rule] = {}

    def calls(declared: Any, indent: int, *before: str) -> str:
        lines = list(before)
        for phase in phases(declared):
            if phase.is_shared:
                lines.append(f"for index in range({phase.extent}):")
            lines += ["    " * phase.is_shared + line for line in _calls_of_parts(rules, phase)]
        return ("\n" + " " * indent).join(lines)

    fields = shared_fields(world)
    source = TEMPLATE.format(
        **fields,
        reset=calls(world.reset, 4),
        step=calls(world.step, 4),
        clear_terms_in_advance=_clear_terms(world, 4),
        clear_terms=_clear_terms(world, 16),
        clear_terms_in_tick=_clear_terms(world, 12),
        write_statistics=write_statistics(world, fields["seat_of_row"], 16),
        observe=calls(world.observe, 8),
        obs_row=obs_row(world),
        write_mask=calls(world.mask, 8, *CLEAR_MASK) if world.mask else "",
        take_action=_take_action(world.action_space),
        bad_action=_bad_action(world.action_space),
    )
    return source, rules


def _calls_of_parts(rules: dict[str, Rule], phase: Phase) -> list[str]:
    """The calls of a phase for one index; a few parts are written out, so that each is compiled for what it does."""
    called = call(rules, phase.rule)
    if "part" not in arguments(phase.rule):
        return [called] * phase.parts
    if phase.parts <= WRITTEN_OUT:
        return [line for part in range(phase.parts) for line in (f"part = {part}", called)]
    return [f"for part in range({phase.parts}):", f"    {called}"]


def call(rules: dict[str, Rule], function: Rule) -> str:
    """The source of a call of a rule, which is added to `rules` by the name it is called."""
    name = f"rule_{len(rules)}_{plain(function).__name__}"
    rules[name] = function
    return f"{name}({', '.join(arguments(function))})"


def shared_fields(world: World) -> dict[str, Any]:
    """What the templates for CPU and CUDA have in common."""
    parts = world.reset, world.step, world.observe, world.mask or ()
    asks_tables = any("tables" in arguments(phase.rule) for part in parts for phase in phases(part))
    names, single = list(world.tables), world.num_seats == 1
    return {
        "name": world.name,
        "results": "actions, obs, rewards, terminated, truncated, mask, final_obs, returns, lengths, statistics",
        "num_seats": world.num_seats,
        "num_rows": "1" if single else "seats.shape[0]",
        "seat_of_row": "0" if single else "seats[k]",
        "params_row": "fixed(params_rows[state.param])" if world.fixed else "params_rows[state.param]",
        "num_parts": int(np.prod(world.action_space.shape or (1,))),
        "tables_": "".join(f"table_{name}, " for name in names),
        "make_tables": f"tables = Tables({', '.join('table_' + name for name in names)})" if asks_tables else "",
    }


def obs_row(world: World) -> str:
    """Row k of the observations, as rules write it."""
    discrete = isinstance(world.observation_space, spaces.Discrete)
    return "obs_rows[row + k : row + k + 1]" if discrete else "obs_rows[row + k]"


def num_phases(world: World) -> int:
    """Phases of all parts."""
    return sum(len(phases(part)) for part in (world.reset, world.step, world.observe))


def _clear_terms(world: World, indent: int) -> str:
    if not world.reward_terms:
        return ""
    lines = (
        f"for seat in range({world.num_seats}):",
        f"    for term in range({len(world.reward_terms)}):",
        "        state.terms[seat, term] = real(0)",
    )
    return ("\n" + " " * indent).join(lines)


def write_statistics(world: World, seat: str, indent: int, otherwise: str = "") -> str:
    """Copies the statistics of row k, whose seat is given; `otherwise` says when not, and what instead."""
    lines = [
        f"statistics[row + k, {column}] = np.float32(state.{name}[{seat}]){otherwise}"
        for column, name in enumerate(world.statistics)
    ]
    return ("\n" + " " * indent).join(lines)


def _take_action(space: spaces.Space) -> str:
    if isinstance(space, spaces.Discrete):
        return "state.action[seat] = np.int32(actions[row + k, 0])"
    if isinstance(space, spaces.MultiDiscrete):
        return (
            "for part in range(actions.shape[1]):\n"
            "                    state.action[seat, part] = np.int32(actions[row + k, part])"
        )
    return (
        "for part in range(actions.shape[1]):\n"
        "                    state.action[seat, part] = min(max(real(actions[row + k, part]), LOW[part]), HIGH[part])"
    )


def _bad_action(space: spaces.Space) -> str:
    if isinstance(space, spaces.Box):
        return "actions[row, part] != actions[row, part]"
    return "(actions[row, part] < 0) | (actions[row, part] >= SIZES[part])"


def constants(world: World) -> dict[str, Any]:
    """What the driver reads beside the rules."""
    space = world.action_space
    found: dict[str, Any] = {"np": np, "real": real, "episode_key": random.episode_key}
    found |= {"NEXT_STEP": NEXT_STEP, "SAME_STEP": SAME_STEP, "DISABLED": DISABLED, "RESET": RESET}
    found["CUT_ONLY"] = CUT_ONLY
    found |= {"PLAYING": PLAYING, "ENDED": ENDED, "MARKED": MARKED}
    if isinstance(space, spaces.Box):
        found |= {"LOW": space.low.astype(real), "HIGH": space.high.astype(real)}
    else:
        sizes = [space.n] if isinstance(space, spaces.Discrete) else space.nvec  # pyright: ignore
        found["SIZES"] = np.asarray(sizes, np.int64)
    if world.tables:
        found["Tables"] = namedtuple("Tables", list(world.tables))
    return found
