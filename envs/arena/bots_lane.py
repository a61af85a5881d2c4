"""How scripted players farm and push: last hits, denies, structures, where to go and when to wait."""

import numpy as np

from envs.arena import data
from envs.arena.abilities import ability_of, can_aim, can_cast
from envs.arena.actions import can_attack, can_recall
from envs.arena.bots_senses import (
    HARD,
    SIEGE_REACH2,
    WARY_REACH2,
    act,
    crowd,
    first_hostile,
    first_own,
    first_siege,
    home_tower,
    is_threatened,
    is_tower,
    lane_at,
    pace_on,
    progress,
    retreat,
    tower_is_safe,
    walk,
)  # fmt: skip
from envs.arena.combat import blow
from envs.arena.state import ATTACK, CAST, HOSTILE_ROWS, OWN_ROWS, RECALL, SIEGE_ROWS, STOP
from envs.arena.units import distance2, first_unit, is_creep, team_of, unit_of
from envs.arena.vision import sees
from envs.engine import real, rule, sqrt

SPOT, AROUND, ULTIMATE = data.SPOT, data.AROUND, data.ULTIMATE
MINUTE = 60 * data.TICKS_PER_SECOND
LANE_TICK, GROUP_TICK = 5 * MINUTE, 9 * MINUTE
"""When hard players need no creeps before them any more, and when they go together."""
PLAN_PERIOD = 20
"""Ticks from one choice of a lane to the next."""
STEP_IN = real(1.6)
"""Cells beyond its reach within which a player steps up to a creep."""
TOGETHER2 = real(13 * 13)
FAR_BEHIND = real(50)
"""Of the 200 that a lane is long."""
WAIT, ON, BACK, HOME, HIT = range(5)
"""Ways: stay, along the lane, a step back, to the fountain, at the nearest creep."""


@rule
def last_hit(state, params, seat, level):
    """Attacks a creep, either side's, that the blow kills; a hard player reckons with what hits it meanwhile."""
    unit = unit_of(params, seat)
    limit = state.reach[unit] + STEP_IN
    for row in range(first_hostile(params), first_siege(params)):
        creep = state.row[seat, row]
        if creep < 0 or state.d2[seat, creep] > limit * limit or not can_attack(state, params, seat, creep):
            continue
        left, strength = real(state.health[creep]), real(blow(state, params, unit, creep))
        if level == HARD:
            left -= losing(state, params, seat, creep) * delay(state, params, seat, creep)
            strength *= real(0.92)
        if left <= strength:
            return act(state, seat, ATTACK, row, 0)
    return False


@rule
def delay(state, params, seat, target):
    """Ticks until a hero's next blow lands."""
    unit = unit_of(params, seat)
    pace = params.hero_shot_speed[state.hero[seat]]
    flight = sqrt(state.d2[seat, target]) / pace if pace > real(0) else real(0)
    return real(state.wait[unit]) + flight


@rule
def losing(state, params, seat, creep):
    """Health a tick that own creeps near take off an enemy creep; of an own one, that enemy creeps do."""
    own = params.slot_faction[creep] == team_of(params, seat)
    first = first_hostile(params) if own else first_own(params)
    pace = real(0)
    for row in range(first, first + (HOSTILE_ROWS if own else OWN_ROWS)):
        other = state.row[seat, row]
        if other >= 0 and state.target[other] == creep:
            pace += pace_on(state, params, other, creep)
    return pace


@rule
def farm(state, params, tables, seat, level):
    """Last hits and denies, then structures that it is time for, then the wave."""
    if last_hit(state, params, seat, level) or siege(state, params, seat, level):
        return True
    if level == HARD and clear_wave(state, params, seat):
        return True
    unit = unit_of(params, seat)
    limit = state.reach[unit] + STEP_IN
    soon, healthiest = False, np.int32(-1)
    for row in range(first_hostile(params), first_own(params)):
        creep = state.row[seat, row]
        if creep < 0 or state.d2[seat, creep] > limit * limit or not is_creep(params.slot_kind[creep]):
            continue
        soon = soon or 10 * state.health[creep] <= 14 * blow(state, params, unit, creep)
        if healthiest < 0 or state.health[creep] > state.health[state.row[seat, healthiest]]:
            healthiest = np.int32(row)
    if healthiest < 0:
        return False
    if soon and is_threatened(state, params, seat):
        return act(state, seat, STOP, 0, 0)
    return act(state, seat, ATTACK, healthiest, 0)


@rule
def clear_wave(state, params, seat):
    """Casts a spell that takes in three creeps or more, mana permitting."""
    if 10 * state.mana[seat] < 6 * state.max_mana[seat]:
        return False
    for number in range(ULTIMATE):
        ability = ability_of(state, seat, number)
        aim = params.ability_aim[ability]
        if (aim != SPOT and aim != AROUND) or params.ability_damage[ability] <= 0:
            continue
        target = state.row[seat, first_hostile(params)]
        if target < 0 or not can_cast(state, params, seat, number):
            continue
        if aim == AROUND:
            target = unit_of(params, seat)
        if can_aim(state, params, seat, ability, target) and creeps_within(state, params, seat, ability, target) >= 3:
            return act(state, seat, CAST + number, params.team_size if aim == AROUND else first_hostile(params), 0)
    return False


@rule
def creeps_within(state, params, seat, ability, target):
    """How many of the enemy creeps in the table a spell would touch."""
    radius2 = params.ability_radius[ability] * params.ability_radius[ability]
    count = 0
    for row in range(first_hostile(params), first_own(params)):
        creep = state.row[seat, row]
        if creep >= 0 and is_creep(params.slot_kind[creep]) and distance2(state, target, creep) <= radius2:
            count += 1
    return count


@rule
def siege(state, params, seat, level):
    """Attacks an open structure near; a tower only while its fire can be borne."""
    for row in range(first_siege(params), first_siege(params) + SIEGE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and state.open[unit] != 0 and state.d2[seat, unit] <= SIEGE_REACH2:
            if not is_tower(params.slot_kind[unit]) or tower_is_safe(state, params, seat, unit, level):
                return act(state, seat, ATTACK, row, 0)
    return False


@rule
def advance(state, params, tables, seat, level):
    """Goes where `which_way` says; home by recall where nobody is near, else step by step."""
    way = which_way(state, params, seat, level)
    if way == ON:
        walk(state, params, tables, seat, state.lane[seat])
    elif way == HIT:
        act(state, seat, ATTACK, first_hostile(params), 0)
    elif way == HOME and is_left_in_peace(state, params, seat):
        act(state, seat, RECALL, 0, 0)
    elif way != WAIT:
        retreat(state, params, tables, seat)


@rule
def which_way(state, params, seat, level):
    """Where to on a lane with nothing to fight: creeps go first where towers are near, mates in the enemy's half."""
    tower = tower_in_the_way(state, params, seat, level)
    if tower >= 0:
        return HOME if state.open[tower] == 0 or is_left_alone(state, params, seat) else WAIT
    hostile = state.row[seat, first_hostile(params)]
    if level == HARD and is_ahead_of_creeps(state, params, seat):
        return BACK if hostile >= 0 or is_threatened(state, params, seat) else WAIT
    if state.row[seat, first_own(params)] < 0 and hostile >= 0 and is_creep(params.slot_kind[hostile]):
        home = home_tower(state, params, seat)
        return HIT if home >= 0 and distance2(state, home, hostile) <= SIEGE_REACH2 else BACK
    if level == HARD and params.lanes > 1:
        if is_on_another_lane(state, params, seat):
            return HOME
        if is_ahead_of_mates(state, params, seat):
            return WAIT
    return ON


@rule
def tower_in_the_way(state, params, seat, level):
    """The slot of a tower of the lane, or of the ancient, near, whose fire can't be borne before creeps come; or -1."""
    for row in range(first_siege(params), first_siege(params) + SIEGE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and state.d2[seat, unit] <= WARY_REACH2 and is_tower(params.slot_kind[unit]):
            lane = params.slot_lane[unit]
            on_the_way = lane < 0 or lane == params.lanes - 1 - state.lane[seat]
            if on_the_way and not tower_is_safe(state, params, seat, unit, level):
                return unit
    return np.int32(-1)


@rule
def is_left_alone(state, params, seat):
    """Whether a hero's lane is fought over far behind it, so that no creeps will come soon."""
    team = team_of(params, seat)
    where = progress(state, params, team, unit_of(params, seat))
    return lane_front(state, params, team, state.lane[seat]) < where - FAR_BEHIND


@rule
def is_left_in_peace(state, params, seat):
    """Whether nobody is near who would disturb a recall, and it would lead anywhere."""
    alone = not is_threatened(state, params, seat) and crowd(state, params, seat) == real(0)
    return alone and can_recall(state, params, seat)


@rule
def is_ahead_of_creeps(state, params, seat):
    """Whether a hero on its own lane is past its tower and its foremost creep near: the wave is to be first."""
    home = state.row[seat, first_siege(params) + SIEGE_ROWS]
    if state.tick >= LANE_TICK or home < 0:
        return False
    team = team_of(params, seat)
    front = progress(state, params, team, home)
    for row in range(first_own(params), first_siege(params)):
        creep = state.row[seat, row]
        if creep >= 0:
            front = max(front, progress(state, params, team, creep))
    return progress(state, params, team, unit_of(params, seat)) > front


@rule
def is_ahead_of_mates(state, params, seat):
    """Whether a hero of a team that goes together is in the enemy's half with fewer mates than enemies live."""
    if state.tick < GROUP_TICK:
        return False
    team, unit = team_of(params, seat), unit_of(params, seat)
    if progress(state, params, team, unit) < real(10):
        return False
    near, mates, enemies = 0, 0, 0
    for rank in range(params.team_size):
        mate, enemy = first_unit(params, team) + rank, first_unit(params, 1 - team) + rank
        if state.health[mate] > 0:
            mates += 1
            near += 1 if state.d2[seat, mate] <= TOGETHER2 else 0
        enemies += 1 if state.health[enemy] > 0 else 0
    return near + 2 < min(enemies, mates - 1)


@rule
def plan(state, params, seat):
    """Now and then a hard player chooses its lane: its own at first, later one to defend, or the furthest."""
    if params.lanes < 3 or state.tick < GROUP_TICK or state.tick % PLAN_PERIOD != 0:
        return
    team = team_of(params, seat)
    best, most = np.int32(1), real(-1e9)
    for step in range(params.lanes):
        lane = np.int32((step + 1) % params.lanes)
        value = lane_front(state, params, team, lane) + real(25) * real(lane_fallen(state, params, team, lane))
        value += real(60) * real(max(invaders(state, params, team, lane) - 1, 0))
        if value > most:
            best, most = lane, value
    state.lane[seat] = best


@rule
def invaders(state, params, team, lane):
    """How many enemy heroes in sight are on the own half of a lane."""
    count = 0
    for rank in range(params.team_size):
        enemy = first_unit(params, 1 - team) + rank
        if state.health[enemy] > 0 and sees(state, team, enemy) and progress(state, params, team, enemy) < real(-15):
            count += 1 if lane_at(params, team, state.x[enemy], state.y[enemy]) == lane else 0
    return count


@rule
def is_on_another_lane(state, params, seat):
    """Whether the way to the chosen lane would lead through the enemy's land, so that it begins at home."""
    unit, team = unit_of(params, seat), team_of(params, seat)
    where = progress(state, params, team, unit)
    if state.tick < GROUP_TICK or where < real(-60) or where > real(60):
        return False
    return lane_at(params, team, state.x[unit], state.y[unit]) != state.lane[seat]


@rule
def lane_front(state, params, team, lane):
    """How far the foremost own creep of a lane is, -100 to 100."""
    first = first_unit(params, team) + params.team_size + params.structures
    front = real(-100)
    for unit in range(first, first_unit(params, team) + params.team_units):
        if params.slot_lane[unit] == lane and state.health[unit] > 0 and is_creep(params.slot_kind[unit]):
            front = max(front, progress(state, params, team, unit))
    return front


@rule
def lane_fallen(state, params, team, lane):
    """How many of the enemy's structures on a lane have fallen."""
    first = first_unit(params, 1 - team) + params.team_size
    fallen = 0
    for unit in range(first, first + params.structures):
        if params.slot_lane[unit] == params.lanes - 1 - lane and state.health[unit] <= 0:
            fallen += 1
    return fallen
