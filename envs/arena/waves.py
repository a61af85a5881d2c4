"""What comes by the clock: creep waves, camps, the boss, wards to place."""

import numpy as np

from envs.arena import data
from envs.arena.map import ARRIVED
from envs.arena.state import CREEPS_A_LANE, WARDED, WARDS
from envs.arena.state import WARD as PLACE_WARD
from envs.arena.units import first_unit, flow_at, is_creep, raise_unit, sign_of, team_of, unit_of
from envs.engine import real, rule

BARRACKS, BEAST, BOSS = data.BARRACKS, data.BEAST, data.BOSS
WAVE_SIZE = CREEPS_A_LANE // 2
GROWN = 150
"""Per cent of a creep's strength on a lane whose enemy barracks has fallen."""
SPACING = real(0.7)


@rule
def count_time(state, params):
    """Waves and ward stocks of both teams; the boss's pit."""
    state.wave_due = np.int32(0)
    since = state.tick - max(params.first_wave, 1)
    if since >= 0 and since % params.wave_period == 0:
        state.waves += np.int32(1)
        state.wave_due = np.int32(1)
    if state.tick % params.ward_period == 0:
        for team in range(2):
            state.wards[team] = min(state.wards[team] + 1, WARDS)
    for team in range(2):
        state.might[team] = max(state.might[team] - 1, 0)


@rule
def spawn(state, params, tables, index):
    """Brings a unit to life when its time has come."""
    if state.health[index] > 0:
        return
    kind = params.slot_kind[index]
    if is_creep(kind):
        if state.wave_due != 0:
            half = params.slot_rank[index] - params.team_size - params.structures
            if half % CREEPS_A_LANE // WAVE_SIZE == state.waves % 2:
                spawn_creep(state, params, tables, index)
    elif kind == BEAST:
        if 0 < state.back[index] <= state.tick:
            raise_unit(state, params, index, params.slot_x[index], params.slot_y[index])
    elif kind == BOSS:
        side = 1 if boss_draw(state) else 0
        if 0 < state.boss_back <= state.tick and (params.slot_faction[index] & 1) == side:
            raise_unit(state, params, index, params.slot_x[index], params.slot_y[index])


@rule
def boss_draw(state):
    """Which of the two pits: by the teams' salts and the time, so that turning the world turns the draw."""
    noise = state.tick * np.int32(40503)
    return (state.salt[0] ^ noise) > (state.salt[1] ^ noise)


@rule
def boss_arrived(state, params):
    """The boss's clock stops once it is there."""
    if 0 < state.boss_back <= state.tick:
        state.boss_back = np.int32(0)


@rule
def spawn_creep(state, params, tables, unit):
    """A creep at its lane's barracks, or where its lane leaves the fountain; grown where the enemy's barracks fell."""
    faction = params.slot_faction[unit]
    lane = params.slot_lane[unit]
    sign = sign_of(faction)
    place = real((params.slot_rank[unit] - params.team_size - params.structures) % WAVE_SIZE)
    x, y = sign * params.fountain_x, sign * params.fountain_y
    barracks = lane_barracks(params, faction, lane)
    if barracks >= 0:
        x, y = state.x[barracks], state.y[barracks]
    offset = (place - real(1.5)) * SPACING
    if flow_at(params, tables, faction, lane, x, y + sign * offset) != ARRIVED:
        y += sign * offset
    raise_unit(state, params, unit, x, y)
    theirs = lane_barracks(params, 1 - faction, params.lanes - 1 - lane)
    if theirs >= 0 and state.health[theirs] <= 0:
        state.max_health[unit] = state.max_health[unit] * GROWN // 100
        state.health[unit] = state.max_health[unit]
        state.damage[unit] = state.damage[unit] * GROWN // 100


@rule
def lane_barracks(params, faction, lane):
    """The slot of a lane's barracks in its team's frame, or -1 where the map has none."""
    first = first_unit(params, faction) + params.team_size
    for unit in range(first, first + params.structures):
        if params.slot_kind[unit] == BARRACKS and params.slot_lane[unit] == lane:
            return np.int32(unit)
    return np.int32(-1)


@rule
def place_wards(state, params):
    """Wards that heroes place this tick, a team's in the order of its seats."""
    for seat in range(2 * params.team_size):
        team = team_of(params, seat)
        if state.action[seat, 0] == PLACE_WARD and state.wards[team] > 0:
            slot = free_ward(state, params, team)
            unit = unit_of(params, seat)
            if slot >= 0 and state.health[unit] > 0:
                raise_unit(state, params, slot, state.x[unit], state.y[unit])
                state.wards[team] -= np.int32(1)
                note(state, WARDED, unit, slot)


@rule
def free_ward(state, params, team):
    """A team's first ward slot that is free, or -1."""
    last = first_unit(params, team) + params.team_units
    for slot in range(last - WARDS, last):
        if state.health[slot] <= 0:
            return np.int32(slot)
    return np.int32(-1)


@rule
def note(state, what, unit, other):
    """Adds to the feed of events, which keeps the last few."""
    place = state.num_events % state.event.shape[0]
    state.event[place, 0] = state.tick
    state.event[place, 1] = what
    state.event[place, 2] = unit
    state.event[place, 3] = other
    state.num_events += np.int32(1)
