"""The fog: what each team's units see, on a grid of 2 x 2 map cells, a row a word of bits, in the team's own frame."""

import numpy as np

from envs.arena.units import first_unit, is_structure, sign_of
from envs.engine import real, rule

HALF = real(0.5)
MAX_SIGHT = 8
SPAN = np.array([[int(max(r * r + r - d * d, 0) ** 0.5) for d in range(MAX_SIGHT + 1)] for r in range(MAX_SIGHT + 1)])
"""How far a sight of r fog cells reaches to each side, d rows away."""
_u64 = np.uint64


@rule
def look_around(state, params, index):
    """Clears a team's fog and lifts it round each of its living units."""
    for row in range(state.fog.shape[1]):
        state.fog[index, row] = np.uint32(0)
    first = first_unit(params, index)
    for unit in range(first, first + params.team_units):
        if state.health[unit] > 0:
            lift(state, params, index, unit, params.kind_sight[params.slot_kind[unit]])


@rule
def lift(state, params, team, unit, sight):
    """Lifts a team's fog in a disc."""
    sign = sign_of(team)
    column = np.int32((sign * state.x[unit] + params.half_width) * HALF)
    row = np.int32((sign * state.y[unit] + params.half_height) * HALF)
    for away in range(-sight, sight + 1):
        at = row + away
        if 0 <= at < state.fog.shape[1]:
            span = SPAN[sight, away if away >= 0 else -away]
            low, high = max(column - span, 0), min(column + span, 31)
            width = _u64(high - low + 1)
            bits = _u64(_u64(_u64(1) << width) - _u64(1)) << _u64(low)
            state.fog[team, at] |= np.uint32(bits & _u64(0xFFFFFFFF))


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
def sees(state, team, unit):
    """Whether a team sees a slot's unit; alive or not."""
    return (state.seen[unit] >> team) & 1 != 0
