"""The fog: what each team's units see, on a grid of 2 x 2 map cells, a row a word of bits, in the team's own frame."""

import numpy as np

from envs.arena.state import EYES
from envs.arena.units import first_unit, is_structure, sign_of
from envs.engine import real, rule

HALF = real(0.5)
MAX_SIGHT = 8


def _disc_row(sight: int, away: int) -> int:
    span = int(max(sight * sight + sight - away * away, 0) ** 0.5)
    return ((1 << (2 * span + 1)) - 1) << (MAX_SIGHT - span)


DISC = np.array([[_disc_row(r, d) for d in range(MAX_SIGHT + 1)] for r in range(MAX_SIGHT + 1)], np.uint64)
"""The bits that a sight of r fog cells lifts d rows away; bit `MAX_SIGHT` is the column of whoever sees."""
_u64 = np.uint64


@rule
def light_up(state, params, index):
    """What a team's structures see, whenever one has fallen."""
    if state.fallen == 0:
        return
    for row in range(state.lit.shape[1]):
        state.lit[index, row] = np.uint32(0)
    first = first_unit(params, index) + params.team_size
    for unit in range(first, first + params.structures):
        if state.health[unit] > 0:
            lift(state, params, state.lit[index], index, unit)


@rule
def look_around(state, params, index, part):
    """What every `EYES`-th of a team's living heroes, creeps and wards sees."""
    seen = state.glimpse[index, part]
    for row in range(seen.shape[0]):
        seen[row] = np.uint32(0)
    heroes = params.team_size
    for i in range(part, heroes + state.num_living[index], EYES):
        unit = first_unit(params, index) + i if i < heroes else state.living[index, i - heroes]
        if state.health[unit] > 0:
            lift(state, params, seen, index, unit)


@rule
def lift_fog(state, index, part):
    """A row of a team's fog: lifted where its structures or any of its other units see."""
    seen = state.lit[index, part]
    for eye in range(EYES):
        seen |= state.glimpse[index, eye, part]
    state.fog[index, part] = seen


@rule
def lift(state, params, fog, team, unit):
    """Lifts a team's fog in a disc round a unit."""
    sign, sight = sign_of(team), params.kind_sight[params.slot_kind[unit]]
    column = np.int32((sign * state.x[unit] + params.half_width) * HALF)
    row = np.int32((sign * state.y[unit] + params.half_height) * HALF)
    for at in range(max(row - sight, 0), min(row + sight + 1, fog.shape[0])):
        away = at - row if at >= row else row - at
        bits = (DISC[sight, away] << _u64(column)) >> _u64(MAX_SIGHT)
        fog[at] |= np.uint32(bits & _u64(0xFFFFFFFF))


@rule
def is_lit(state, params, team, x, y):
    """Whether a team sees a place."""
    sign = sign_of(team)
    column = np.int32((sign * x + params.half_width) * HALF)
    row = np.int32((sign * y + params.half_height) * HALF)
    if row < 0 or row >= state.fog.shape[1] or column < 0 or column > 31:
        return False
    return (state.fog[team, row] >> np.uint32(column)) & np.uint32(1) != 0


@rule
def notice(state, params, index):
    """Which teams see a unit: its own, and those whose fog is lifted where it stands."""
    faction = params.slot_faction[index]
    seen = np.int32(0)
    for team in range(2):
        if faction == team or is_lit(state, params, team, state.x[index], state.y[index]):
            seen |= np.int32(1 << team)
    state.seen[index] = seen
    if faction < 2 and is_structure(params.slot_kind[index]) and (seen >> (1 - faction)) & 1 != 0:
        state.known_health[index] = state.health[index]


@rule
def sight(state, params, index):
    """Lists the creeps, wards and neutrals that a team sees and may attack: its own half's before the other's."""
    count = np.int32(0)
    for i in range(state.num_living[1 - index]):
        unit = state.living[1 - index, i]
        if sees(state, index, unit):
            state.sighted[index, count] = unit
            count += np.int32(1)
    for turn in range(2):
        first = first_unit(params, 2 + (index ^ turn))
        for unit in range(first, first + params.half_units):
            if state.health[unit] > 0 and sees(state, index, unit):
                state.sighted[index, count] = np.int32(unit)
                count += np.int32(1)
    state.num_sighted[index] = count


@rule
def sees(state, team, unit):
    """Whether a team sees a slot's unit; alive or not."""
    return (state.seen[unit] >> team) & 1 != 0
