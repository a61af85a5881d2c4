"""Scripted players: they write a seat's action from what the seat's team sees, and no more.

`EASY` walks its lane behind its creeps and hits what is nearest. `MEDIUM` also takes last hits and denies, casts its
spells, minds towers, and goes home to heal. `HARD` also weighs fights by who is near, focuses the weakest enemy, ganks,
shops, places wards, groups to push the weakest lane, and takes the boss after a won fight.
"""

import numpy as np

from envs.arena import data
from envs.arena.abilities import ability_of, can_aim, can_cast
from envs.arena.actions import can_act, can_attack, can_go, can_recall, can_ward
from envs.arena.combat import blow
from envs.arena.economy import at_shop, wanted_item
from envs.arena.map import ARRIVED
from envs.arena.state import ATTACK, CAST, HOSTILE_ROWS, MOVE, OWN_ROWS, RECALL, SIEGE_ROWS, STOP, WARD
from envs.arena.units import (
    distance2,
    first_unit,
    flow_at,
    is_creep,
    sign_of,
    team_of,
    unit_of,
)  # fmt: skip
from envs.engine import real, rule

EASY, MEDIUM, HARD = 1, 2, 3
NUM_ABILITIES = data.NUM_ABILITIES
FOE, FRIEND, SELF, SPOT, AROUND = data.FOE, data.FRIEND, data.SELF, data.SPOT, data.AROUND
TOWER_1, TOWER_4, BOSS = data.TOWER_1, data.TOWER_4, data.BOSS
TOWER_REACH2 = real(7.4 * 7.4)
FIGHT_REACH2, HELP_REACH2, ALARM_REACH2 = real(8 * 8), real(11 * 11), real(10 * 10)
MINUTE = 60 * data.TICKS_PER_SECOND
GROUP_TICK, GANK_TICK, BOSS_TICK = 6 * MINUTE, MINUTE, 5 * MINUTE
EASY_RETREAT, RETREAT_AT, RETURN_AT = 20, 28, 85
"""Per cent of health below which a player goes home, and above which it leaves again."""


@rule
def think(state, params, tables, index):
    """The action of a scripted seat."""
    level = state.control[index]
    if level == 0:
        return
    act(state, index, STOP, 0, 0)
    if not can_act(state, params, index):
        return
    if level == EASY:
        think_easy(state, params, tables, index)
    elif (
        survive(state, params, tables, index, level)
        or fight(state, params, tables, index, level)
        or (level == HARD and errand(state, params, tables, index))
        or farm(state, params, index)
    ):
        return
    else:
        advance_lane(state, params, tables, index, level)


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
def health_per_cent(state, unit):
    """0..100."""
    return 100 * state.health[unit] // max(state.max_health[unit], 1)


@rule
def tower_row(state, params, seat):
    """The row of a standing enemy tower whose shots reach the hero, or nearly; or -1."""
    first = 2 * params.team_size + HOSTILE_ROWS + OWN_ROWS
    for row in range(first, first + SIEGE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and TOWER_1 <= params.slot_kind[unit] <= TOWER_4 and state.d2[seat, unit] <= TOWER_REACH2:
            return np.int32(row)
    return np.int32(-1)


@rule
def tower_is_busy(state, params, seat, tower):
    """Whether own creeps stand in a tower's fire and it shoots at somebody else."""
    if state.target[tower] == unit_of(params, seat):
        return False
    first = 2 * params.team_size + HOSTILE_ROWS
    count = 0
    for row in range(first, first + OWN_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and distance2(state, unit, tower) <= TOWER_REACH2:
            count += 1
    return count >= 2 or (count == 1 and state.target[tower] >= 0)


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
        advance_lane(state, params, tables, seat, EASY)


@rule
def survive(state, params, tables, seat, level):
    """Goes home when weak, rests there, and steps out of a tower's fire."""
    unit = unit_of(params, seat)
    health = health_per_cent(state, unit)
    if at_shop(state, params, seat):
        if health < RETURN_AT:
            return act(state, seat, STOP, 0, 0)
        return False
    tower = tower_row(state, params, seat)
    if tower >= 0 and not tower_is_busy(state, params, seat, state.row[seat, tower]):
        if not (level == HARD and worth_diving(state, params, seat)):
            return walk(state, params, tables, seat, params.lanes)
    enemy = nearest_enemy(state, params, seat)
    alone = enemy < 0 or state.d2[seat, state.row[seat, enemy]] > ALARM_REACH2
    if health < RETREAT_AT:
        if not alone and self_help(state, params, seat):
            return True
        if alone and tower < 0 and can_recall(state, params, seat):
            return act(state, seat, RECALL, 0, 0)
        return walk(state, params, tables, seat, params.lanes)
    if state.recall[seat] > 0 and alone:
        return act(state, seat, RECALL, 0, 0)
    if level == HARD and alone and wants_to_shop(state, params, seat) and can_recall(state, params, seat):
        return act(state, seat, RECALL, 0, 0)
    return False


@rule
def wants_to_shop(state, params, seat):
    """Whether the next item is paid for and no enemy creep is near to be farmed."""
    item = wanted_item(state, params, seat)
    if item < 0 or state.gold[seat] < params.item_cost[item] + 50:
        return False
    first = 2 * params.team_size
    return state.row[seat, first] < 0


@rule
def worth_diving(state, params, seat):
    """Whether a nearly dead enemy hero is within reach under his tower."""
    unit = unit_of(params, seat)
    enemy = nearest_enemy(state, params, seat)
    if enemy < 0 or health_per_cent(state, unit) < 60:
        return False
    target = state.row[seat, enemy]
    return (
        state.health[target] <= 2 * state.damage[unit]
        and state.d2[seat, target] <= state.reach[unit] * state.reach[unit]
    )


@rule
def self_help(state, params, seat):
    """A shield, a heal or a leap away: spells aimed at oneself or at an ally, on oneself."""
    unit = unit_of(params, seat)
    for number in range(NUM_ABILITIES):
        ability = ability_of(state, seat, number)
        aim = params.ability_aim[ability]
        if (aim == SELF or aim == FRIEND) and can_cast(state, params, seat, number):
            if can_aim(state, params, seat, ability, unit):
                return act(state, seat, CAST + number, params.team_size, 0)
    return False


@rule
def fight(state, params, tables, seat, level):
    """Casts at and attacks enemy heroes when the odds are not bad; falls back when they are."""
    enemy = chosen_enemy(state, params, seat, level)
    if enemy < 0:
        return False
    unit, target = unit_of(params, seat), state.row[seat, enemy]
    odds = fight_odds(state, params, seat, level)
    if odds < 65:
        return self_help(state, params, seat) or walk(state, params, tables, seat, params.lanes)
    if odds >= 85 and cast_at(state, params, seat, enemy, level):
        return True
    within = state.d2[seat, target] <= state.reach[unit] * state.reach[unit]
    if odds >= 100 and (within or level == HARD or health_per_cent(state, target) < 40):
        return act(state, seat, ATTACK, enemy, 0)
    return False


@rule
def chosen_enemy(state, params, seat, level):
    """The row of the enemy hero to fight: the nearest; for a hard player the weakest of those near; or -1."""
    best, least = np.int32(-1), real(1e9)
    for row in range(params.team_size):
        target = state.row[seat, row]
        if target >= 0 and state.d2[seat, target] <= FIGHT_REACH2:
            value = state.d2[seat, target]
            if level == HARD:
                value = value + real(state.health[target]) * real(0.1)
            if value < least:
                best, least = np.int32(row), value
    return best


@rule
def strength_of(state, params, unit):
    """What a hero is worth in a fight: health left, times what it deals."""
    per_tick = 20 * state.damage[unit] // max(state.period[unit], 1)
    return state.health[unit] * (60 + per_tick) // 100 + state.shield[unit]


@rule
def fight_odds(state, params, seat, level):
    """Own strength near as per cent of the enemy's in sight; a medium player counts only himself and his enemy."""
    unit = unit_of(params, seat)
    if level == MEDIUM:
        target = state.row[seat, nearest_enemy(state, params, seat)]
        return 100 * strength_of(state, params, unit) // max(strength_of(state, params, target), 1) + 15
    own, theirs = 0, 1
    size = params.team_size
    for row in range(size):
        enemy, mate = state.row[seat, row], state.row[seat, size + row]
        if enemy >= 0 and state.d2[seat, enemy] <= HELP_REACH2:
            theirs += strength_of(state, params, enemy)
        if mate >= 0 and state.d2[seat, mate] <= HELP_REACH2:
            own += strength_of(state, params, mate)
    home = state.row[seat, 2 * size + HOSTILE_ROWS + OWN_ROWS + SIEGE_ROWS]
    if home >= 0 and state.d2[seat, home] <= FIGHT_REACH2 and state.damage[home] > 0:
        own += 250
    first = 2 * size
    for row in range(first, first + HOSTILE_ROWS):
        creep = state.row[seat, row]
        if creep >= 0 and state.target[creep] == unit:
            theirs += 40
    return 100 * own // theirs


@rule
def cast_at(state, params, seat, enemy, level):
    """The first ready spell that fits: harmful ones at the enemy, helpful ones at the weakest mate, ultimates late."""
    unit, target = unit_of(params, seat), state.row[seat, enemy]
    for step in range(NUM_ABILITIES):
        number = NUM_ABILITIES - 1 - step
        if not can_cast(state, params, seat, number):
            continue
        ability = ability_of(state, seat, number)
        aim = params.ability_aim[ability]
        if aim == FOE or aim == SPOT:
            if can_aim(state, params, seat, ability, target):
                return act(state, seat, CAST + number, enemy, 0)
        elif aim == AROUND:
            radius = params.ability_radius[ability]
            if params.ability_damage[ability] > 0 and state.d2[seat, target] <= radius * radius:
                return act(state, seat, CAST + number, params.team_size, 0)
            if params.ability_heal[ability] > 0 and health_per_cent(state, unit) < 50:
                return act(state, seat, CAST + number, params.team_size, 0)
        elif aim == FRIEND:
            row = weakest_mate(state, params, seat, ability)
            if row >= 0:
                return act(state, seat, CAST + number, row, 0)
        elif health_per_cent(state, unit) < 75 and params.ability_shield[ability] > 0:
            return act(state, seat, CAST + number, params.team_size, 0)
    return False


@rule
def weakest_mate(state, params, seat, ability):
    """The row of the ally that needs a helpful spell the most, below 70 per cent of health; or -1."""
    best, least = np.int32(-1), 70
    for row in range(params.team_size, 2 * params.team_size):
        mate = state.row[seat, row]
        if mate >= 0 and can_aim(state, params, seat, ability, mate) and health_per_cent(state, mate) < least:
            best, least = np.int32(row), health_per_cent(state, mate)
    return best


@rule
def farm(state, params, seat):
    """Last hits, denies, then the tower that creeps hold busy, then any creep within reach."""
    unit = unit_of(params, seat)
    limit = state.reach[unit] + real(1.6)
    first = 2 * params.team_size
    soon, healthiest = False, np.int32(-1)
    for row in range(first, first + HOSTILE_ROWS + OWN_ROWS):
        creep = state.row[seat, row]
        if creep < 0 or state.d2[seat, creep] > limit * limit or not can_attack(state, params, seat, creep):
            continue
        strength = blow(state, params, unit, creep)
        if state.health[creep] <= strength:
            return act(state, seat, ATTACK, row, 0)
        if row < first + HOSTILE_ROWS and is_creep(params.slot_kind[creep]):
            soon = soon or state.health[creep] <= strength * 14 // 10
            if healthiest < 0 or state.health[creep] > state.health[state.row[seat, healthiest]]:
                healthiest = np.int32(row)
    if siege(state, params, seat):
        return True
    if healthiest < 0:
        return False
    if soon and nearest_enemy(state, params, seat) >= 0:
        return act(state, seat, STOP, 0, 0)
    return act(state, seat, ATTACK, healthiest, 0)


@rule
def siege(state, params, seat):
    """Attacks an open structure near, a tower only while creeps hold it busy."""
    first = 2 * params.team_size + HOSTILE_ROWS + OWN_ROWS
    for row in range(first, first + SIEGE_ROWS):
        unit = state.row[seat, row]
        if unit >= 0 and state.open[unit] != 0 and state.d2[seat, unit] <= TOWER_REACH2:
            if params.slot_kind[unit] > TOWER_4 or tower_is_busy(state, params, seat, unit):
                return act(state, seat, ATTACK, row, 0)
    return False


@rule
def advance_lane(state, params, tables, seat, level):
    """Walks on along the lane, but waits for creeps where the enemy's towers or creeps are near."""
    landmark = state.lane[seat]
    if level == HARD:
        landmark = chosen_lane(state, params, seat)
    first = 2 * params.team_size
    creeps = state.row[seat, first + HOSTILE_ROWS] >= 0
    target = state.row[seat, first + HOSTILE_ROWS + OWN_ROWS]
    near_tower = target >= 0 and state.d2[seat, target] <= real(9.5 * 9.5)
    if near_tower and TOWER_1 <= params.slot_kind[target] <= TOWER_4:
        if not tower_is_busy(state, params, seat, target):
            return
    if not creeps and state.row[seat, first] >= 0 and is_creep(params.slot_kind[state.row[seat, first]]):
        walk(state, params, tables, seat, params.lanes)
        return
    walk(state, params, tables, seat, landmark)


@rule
def chosen_lane(state, params, seat):
    """The own lane at first; later the lane on which most enemy structures have fallen, the same for the team."""
    if params.lanes == 1 or state.tick < GROUP_TICK:
        return state.lane[seat]
    enemy = 1 - team_of(params, seat)
    first = first_unit(params, enemy) + params.team_size
    best, most = np.int32(1), -1
    for step in range(params.lanes):
        lane = (step + 1) % params.lanes
        fallen = 0
        for unit in range(first, first + params.structures):
            if params.slot_lane[unit] == params.lanes - 1 - lane and state.health[unit] <= 0:
                fallen += 1
        if fallen > most and fallen < 4:
            best, most = np.int32(lane), fallen
    return best


@rule
def errand(state, params, tables, seat):
    """What takes a hard player off its lane: a ward to place, an enemy to gank, the boss."""
    if params.lanes == 1:
        return False
    if seat % params.team_size >= 3 and can_ward(state, params, seat) and at_river(state, params, seat):
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
def lane_to_gank(state, params, seat):
    """A side lane on whose own half a weakened enemy hero is in sight, or -1."""
    team = team_of(params, seat)
    sign = sign_of(team)
    for row in range(params.team_size):
        target = state.row[seat, row]
        if target >= 0 and health_per_cent(state, target) < 65 and state.d2[seat, target] <= real(24 * 24):
            x, y = sign * state.x[target], sign * state.y[target]
            if x * params.fountain_x + y * params.fountain_y > real(0):
                return np.int32(0) if x + y < real(0) else np.int32(2)
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
