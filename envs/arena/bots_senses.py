"""What scripted players share: writing an action, walking, and reading the rows of what they see."""

import numpy as np

from envs.arena import data
from envs.arena.actions import can_go
from envs.arena.combat import blow
from envs.arena.map import ARRIVED
from envs.arena.state import HOSTILE_ROWS, MOVE, OWN_ROWS, SIEGE_ROWS
from envs.arena.units import distance2, flow_at, is_creep, sign_of, team_of, unit_of
from envs.engine import real, rule

EASY, MEDIUM, HARD = 1, 2, 3
TOWER_1, TOWER_4 = data.TOWER_1, data.TOWER_4
TOWER_REACH2 = real(7.4 * 7.4)
"""A tower's reach, squared, and a little more."""
SIEGE_REACH2 = real(9.5 * 9.5)
WARY_REACH2 = real(8.2 * 8.2)
"""From here on a player waits for creeps to go first under a tower on its way."""
ALARM_REACH2 = real(10 * 10)
"""Nearer than this an enemy hero counts."""
LANE_WIDTH = real(14)
"""Of the middle lane's stripe of the map: |x + y| within it."""
CROWD_REACH2 = real(5.5 * 5.5)
"""Creeps turn on a hero within this squared distance."""


@rule
def act(state, seat, verb, row, direction):
    """Writes an action; always true, so that a choice can end with it."""
    state.action[seat, 0] = verb
    state.action[seat, 1] = row
    state.action[seat, 2] = direction
    return True


@rule
def walk(state, params, tables, seat, landmark):
    """A step towards a landmark; whether there was one to take."""
    unit = unit_of(params, seat)
    direction = flow_at(params, tables, team_of(params, seat), landmark, state.x[unit], state.y[unit])
    if direction == ARRIVED or not can_go(state, seat, direction):
        return False
    return act(state, seat, MOVE, 0, direction)


@rule
def lane_at(params, team, x, y):
    """The lane, in a team's frame, on whose side of the map a place is."""
    across = sign_of(team) * (x + y)
    if params.lanes < 3 or across < -LANE_WIDTH:
        return np.int32(0)
    return np.int32(2) if across > LANE_WIDTH else np.int32(1)


@rule
def retreat(state, params, tables, seat):
    """A step back along the lane: the way that the enemy's creeps come; near home the way to the fountain."""
    unit, team = unit_of(params, seat), team_of(params, seat)
    where = progress(state, params, team, unit)
    if where < real(-50):
        return walk(state, params, tables, seat, params.lanes)
    lane = lane_at(params, team, state.x[unit], state.y[unit]) if where < real(60) else state.lane[seat]
    direction = flow_at(params, tables, 1 - team, params.lanes - 1 - lane, state.x[unit], state.y[unit])
    turned = (direction + 4) % 8
    if direction == ARRIVED or not can_go(state, seat, turned):
        return walk(state, params, tables, seat, params.lanes)
    return act(state, seat, MOVE, 0, turned)


@rule
def health_per_cent(state, unit):
    """0..100."""
    return 100 * state.health[unit] // max(state.max_health[unit], 1)


@rule
def first_hostile(params):
    """The first row of enemy creeps, neutrals and wards."""
    return 2 * params.team_size


@rule
def first_own(params):
    """The first row of own creeps."""
    return 2 * params.team_size + HOSTILE_ROWS


@rule
def first_siege(params):
    """The first row of enemy structures; the own one follows the last of them."""
    return 2 * params.team_size + HOSTILE_ROWS + OWN_ROWS


@rule
def pace_on(state, params, attacker, victim):
    """Health a tick that one unit's blows take off another."""
    return real(blow(state, params, attacker, victim)) / real(max(state.period[attacker], 1))


@rule
def is_tower(kind):
    """Towers of any tier."""
    return TOWER_1 <= kind <= TOWER_4


@rule
def home_tower(state, params, seat):
    """The slot of the nearest own structure if it is a tower, or -1."""
    unit = state.row[seat, first_siege(params) + SIEGE_ROWS]
    return unit if unit >= 0 and is_tower(params.slot_kind[unit]) else np.int32(-1)


@rule
def is_threatened(state, params, seat):
    """Whether an enemy hero in sight is near."""
    row = nearest_enemy(state, params, seat)
    return row >= 0 and state.d2[seat, state.row[seat, row]] <= ALARM_REACH2


@rule
def tower_row(state, params, seat):
    """The row of a standing enemy tower whose shots reach the hero, or nearly; or -1."""
    for row in range(first_siege(params), first_siege(params) + SIEGE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and is_tower(params.slot_kind[unit]) and state.d2[seat, unit] <= TOWER_REACH2:
            return np.int32(row)
    return np.int32(-1)


@rule
def tower_is_busy(state, params, seat, tower):
    """Whether own creeps stand in a tower's fire and it shoots at somebody else."""
    if state.target[tower] == unit_of(params, seat):
        return False
    count = 0
    for row in range(first_own(params), first_own(params) + OWN_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and distance2(state, unit, tower) <= TOWER_REACH2:
            count += 1
    return count >= 2 or (count == 1 and state.target[tower] >= 0)


@rule
def tower_pays(state, params, seat, tower):
    """Whether the heroes and creeps near bring a tower down before it has had what they can spare of their health."""
    if state.open[tower] == 0:
        return False
    pace, spare = real(0), real(0)
    for row in range(params.team_size, 2 * params.team_size):
        mate = state.row[seat, row]
        if mate >= 0 and distance2(state, mate, tower) <= SIEGE_REACH2:
            pace += pace_on(state, params, mate, tower)
            spare += real(max(10 * state.health[mate] - 3 * state.max_health[mate], 0)) / real(10)
    for row in range(first_own(params), first_own(params) + OWN_ROWS):
        creep = state.row[seat, row]
        if creep >= 0 and distance2(state, creep, tower) <= TOWER_REACH2:
            pace += pace_on(state, params, creep, tower)
            spare += real(state.health[creep])
    if pace <= real(0):
        return False
    shots = real(state.known_health[tower]) / pace / real(state.period[tower]) + real(1)
    return shots * real(blow(state, params, tower, unit_of(params, seat))) < spare


@rule
def tower_is_safe(state, params, seat, tower, level):
    """Whether to stay in a tower's fire: it shoots at creeps, or for a hard player it falls first."""
    if tower_is_busy(state, params, seat, tower):
        return True
    unit = unit_of(params, seat)
    if state.target[tower] == unit and health_per_cent(state, unit) < (45 if level == HARD else 60):
        return False
    return tower_pays(state, params, seat, tower)


@rule
def nearest_enemy(state, params, seat):
    """The row of the nearest enemy hero in sight, or -1."""
    best = np.int32(-1)
    for row in range(params.team_size):
        unit = state.row[seat, row]
        if unit >= 0 and (best < 0 or state.d2[seat, unit] < state.d2[seat, state.row[seat, best]]):
            best = np.int32(row)
    return best


@rule
def crowd(state, params, seat):
    """Health a tick that the enemy creeps near could take off the hero."""
    unit = unit_of(params, seat)
    pace = real(0)
    for row in range(first_hostile(params), first_hostile(params) + HOSTILE_ROWS):
        creep = state.row[seat, row]
        if creep >= 0 and is_creep(params.slot_kind[creep]) and state.d2[seat, creep] <= CROWD_REACH2:
            pace += pace_on(state, params, creep, unit)
    return pace


@rule
def crowd_on(state, params, seat, enemy):
    """Health a tick that own creeps in the table could take off an enemy hero near them."""
    pace = real(0)
    for row in range(first_own(params), first_own(params) + OWN_ROWS):
        creep = state.row[seat, row]
        if creep >= 0 and distance2(state, creep, enemy) <= CROWD_REACH2:
            pace += pace_on(state, params, creep, enemy)
    return pace


@rule
def progress(state, params, team, unit):
    """How far a unit is on the way from a team's fountain (-100) to the enemy's (100)."""
    length2 = params.fountain_x * params.fountain_x + params.fountain_y * params.fountain_y
    ahead = sign_of(team) * (state.x[unit] * params.fountain_x + state.y[unit] * params.fountain_y)
    return real(-100) * ahead / length2
