"""Scripted players: they write a seat's action from what the seat's team sees, and no more.

`EASY` walks its lane behind its creeps and hits what is nearest. `MEDIUM` also takes last hits and denies, casts its
spells, minds towers, and goes home to heal. `HARD` also weighs fights by who is near, kills where its spells can,
reckons when a creep will fall, dives under towers that fall first, ganks, shops, places wards, later goes with its team
to push the lane that is furthest or to defend one, and takes the boss after a won fight. How they fight is in
bots_fight.py, how they farm and push in bots_lane.py.
"""

import numpy as np

from envs.arena import data
from envs.arena.abilities import can_act
from envs.arena.actions import can_attack, can_recall, can_ward
from envs.arena.bots_fight import chosen_enemy, fight, is_lethal, mend, self_help
from envs.arena.bots_lane import GROUP_TICK, MINUTE, advance, farm, plan
from envs.arena.bots_senses import (
    ALARM_REACH2,
    EASY,
    HARD,
    MEDIUM,
    TOWER_REACH2,
    act,
    crowd,
    first_hostile,
    health_per_cent,
    home_tower,
    lane_at,
    nearest_enemy,
    retreat,
    tower_is_busy,
    tower_is_safe,
    tower_row,
    walk,
)  # fmt: skip
from envs.arena.economy import at_shop, wanted_item
from envs.arena.state import ATTACK, HOSTILE_ROWS, RECALL, STOP, WARD, WARDS
from envs.arena.units import distance2, first_unit, sign_of, team_of, unit_of
from envs.engine import real, rule

__all__ = ["EASY", "HARD", "MEDIUM", "think"]

BOSS = data.BOSS
GANK_TICK, BOSS_TICK = MINUTE, 5 * MINUTE
EASY_RETREAT, RETREAT_AT, RETURN_AT = 20, 28, 85
"""Per cent of health below which a player goes home, and above which it leaves again."""
HEAL_AT, DEFEND_AT, REST_AT = 45, 45, 75
"""The same of a hard player: whom nobody disturbs, whose tower is under attack, who is near its fountain anyway."""
HOME_REACH2, WATCHED_REACH2 = real(12 * 12), real(8 * 8)


@rule
def think(state, params, tables, index):
    """The action of a scripted seat."""
    level = state.control[index]
    if level == 0:
        return
    if level == HARD:
        plan(state, params, index)
    act(state, index, STOP, 0, 0)
    if not can_act(state, params, index):
        return
    if level == EASY:
        think_easy(state, params, tables, index)
    elif not (
        survive(state, params, tables, index, level)
        or fight(state, params, tables, index, level)
        or (level == HARD and errand(state, params, tables, index))
        or farm(state, params, tables, index, level)
    ):
        advance(state, params, tables, index, level)


@rule
def think_easy(state, params, tables, seat):
    """Hits the nearest thing within reach; else walks on, but not alone under a tower."""
    unit = unit_of(params, seat)
    resting = at_shop(state, params, seat) and health_per_cent(state, unit) < RETURN_AT
    if resting:
        return
    if health_per_cent(state, unit) < EASY_RETREAT:
        walk(state, params, tables, seat, params.lanes)
        return
    tower = tower_row(state, params, seat)
    if tower >= 0 and not tower_is_busy(state, params, seat, state.row[seat, tower]):
        walk(state, params, tables, seat, params.lanes)
        return
    best = np.int32(-1)
    for row in range(state.row.shape[1]):
        target = state.row[seat, row]
        if row >= params.team_size and row < 2 * params.team_size:
            continue
        if can_attack(state, params, seat, target) and params.slot_faction[target] == 1 - team_of(params, seat):
            limit = state.reach[unit] + real(1.5)
            if state.d2[seat, target] <= limit * limit:
                if best < 0 or state.d2[seat, target] < state.d2[seat, state.row[seat, best]]:
                    best = np.int32(row)
    if best >= 0:
        act(state, seat, ATTACK, best, 0)
    else:
        advance(state, params, tables, seat, EASY)


@rule
def survive(state, params, tables, seat, level):
    """Goes home when weak, rests there, and steps out of a tower's fire."""
    unit = unit_of(params, seat)
    health = health_per_cent(state, unit)
    if at_shop(state, params, seat):
        if health < RETURN_AT and not (level == HARD and health >= DEFEND_AT and is_besieged(state, params, seat)):
            return act(state, seat, STOP, 0, 0)
        return False
    if level == HARD and state.recall[seat] == 0 and mend(state, params, seat):
        return True
    if level == HARD and health < REST_AT and is_near_home(state, params, seat):
        if not is_besieged(state, params, seat):
            return walk(state, params, tables, seat, params.lanes)
    tower = tower_row(state, params, seat)
    if tower >= 0 and not tower_is_safe(state, params, seat, state.row[seat, tower], level):
        if not (level == HARD and worth_diving(state, params, seat)):
            return retreat(state, params, tables, seat)
    enemy = nearest_enemy(state, params, seat)
    alone = enemy < 0 or state.d2[seat, state.row[seat, enemy]] > ALARM_REACH2
    alone = alone and tower < 0 and crowd(state, params, seat) == real(0) and can_recall(state, params, seat)
    if health < RETREAT_AT:
        if enemy >= 0 and self_help(state, params, seat):
            return True
        return act(state, seat, RECALL, 0, 0) if alone else retreat(state, params, tables, seat)
    if alone and (state.recall[seat] > 0 or (level == HARD and wants_to_go_home(state, params, seat, health))):
        return act(state, seat, RECALL, 0, 0)
    return False


@rule
def is_near_home(state, params, seat):
    """Whether the fountain is a few steps away."""
    unit, sign = unit_of(params, seat), sign_of(team_of(params, seat))
    dx, dy = sign * state.x[unit] - params.fountain_x, sign * state.y[unit] - params.fountain_y
    return dx * dx + dy * dy <= HOME_REACH2


@rule
def is_besieged(state, params, seat):
    """Whether an enemy creep or hero is at the own tower near."""
    home = home_tower(state, params, seat)
    creep, enemy = state.row[seat, first_hostile(params)], nearest_enemy(state, params, seat)
    if home < 0:
        return False
    if creep >= 0 and distance2(state, home, creep) <= TOWER_REACH2:
        return True
    return enemy >= 0 and distance2(state, home, state.row[seat, enemy]) <= TOWER_REACH2


@rule
def wants_to_go_home(state, params, seat, health):
    """Whether a hard player left alone is weak, or has the gold for its next item and no creep to farm."""
    if health < HEAL_AT:
        return True
    item = wanted_item(state, params, seat)
    if item < 0 or state.gold[seat] < params.item_cost[item] + 50:
        return False
    return state.row[seat, first_hostile(params)] < 0


@rule
def worth_diving(state, params, seat):
    """Whether an enemy hero can be killed under his tower."""
    enemy = chosen_enemy(state, params, seat, HARD)
    return enemy >= 0 and is_lethal(state, params, seat, state.row[seat, enemy])


@rule
def errand(state, params, tables, seat):
    """What takes a hard player off its lane: a ward to place, an enemy to gank, the boss."""
    if params.lanes == 1:
        return False
    if seat % params.team_size >= 3 and can_ward(state, params, seat) and at_river(state, params, seat):
        if not is_watched(state, params, seat):
            return act(state, seat, WARD, 0, 0)
    if boss_is_due(state, params, seat):
        return take_boss(state, params, tables, seat)
    if GANK_TICK <= state.tick < GROUP_TICK and state.lane[seat] == 1:
        lane = lane_to_gank(state, params, seat)
        if lane >= 0:
            return walk(state, params, tables, seat, lane)
    return False


@rule
def at_river(state, params, seat):
    """Whether a hero stands as near to its own fountain as to the enemy's, by a few cells."""
    unit = unit_of(params, seat)
    sign = sign_of(team_of(params, seat))
    ahead = -sign * (state.x[unit] * params.fountain_x + state.y[unit] * params.fountain_y)
    return real(0) <= ahead <= real(120)


@rule
def is_watched(state, params, seat):
    """Whether a ward of the own team stands near."""
    last = first_unit(params, team_of(params, seat)) + params.team_units
    for ward in range(last - WARDS, last):
        if state.health[ward] > 0 and state.d2[seat, ward] <= WATCHED_REACH2:
            return True
    return False


@rule
def lane_to_gank(state, params, seat):
    """A side lane, seen from the middle one, on whose own half a weakened enemy hero is in sight, or -1."""
    team = team_of(params, seat)
    sign = sign_of(team)
    for row in range(params.team_size):
        target = state.row[seat, row]
        if target >= 0 and health_per_cent(state, target) < 65 and state.d2[seat, target] <= real(24 * 24):
            x, y = sign * state.x[target], sign * state.y[target]
            lane = lane_at(params, team, state.x[target], state.y[target])
            if lane != 1 and x * params.fountain_x + y * params.fountain_y > real(0):
                return lane
    return np.int32(-1)


@rule
def boss_is_due(state, params, seat):
    """Whether the boss is there, the own team stands and the enemy's does not."""
    if params.boss == 0 or state.boss_back != 0 or state.tick < BOSS_TICK:
        return False
    own, theirs = 0, 0
    team = team_of(params, seat)
    for rank in range(params.team_size):
        mate, enemy = first_unit(params, team) + rank, first_unit(params, 1 - team) + rank
        own += 1 if health_per_cent(state, mate) > 45 else 0
        theirs += 1 if state.health[enemy] > 0 else 0
    return own >= 4 and theirs <= 2


@rule
def take_boss(state, params, tables, seat):
    """Attacks the boss in sight, else goes and looks in one pit, then the other."""
    for row in range(2 * params.team_size, 2 * params.team_size + HOSTILE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and params.slot_kind[unit] == BOSS:
            return act(state, seat, ATTACK, row, 0)
    pit = (state.tick // 100) % 2
    return walk(state, params, tables, seat, params.lanes + 1 + params.camps + pit)
