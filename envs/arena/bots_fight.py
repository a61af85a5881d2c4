"""How scripted players fight heroes: odds, what spells could do, whom to attack, whom to help."""

import numpy as np

from envs.arena import data
from envs.arena.abilities import ability_of, can_aim, can_cast, strength
from envs.arena.bots_senses import (
    HARD,
    MEDIUM,
    TOWER_REACH2,
    act,
    crowd,
    crowd_on,
    health_per_cent,
    home_tower,
    nearest_enemy,
    pace_on,
    retreat,
    tower_row,
)  # fmt: skip
from envs.arena.combat import blow
from envs.arena.state import ATTACK, CAST
from envs.arena.units import distance2, seat_of, sign_of, team_of, unit_of
from envs.engine import real, rule

NUM_ABILITIES = data.NUM_ABILITIES
FOE, FRIEND, SELF, SPOT, AROUND = data.FOE, data.FRIEND, data.SELF, data.SPOT, data.AROUND
FIGHT_REACH2, HELP_REACH2 = real(8 * 8), real(11 * 11)
FIGHT_TICKS = real(25)
"""Over which a hero's spells are spread where they are weighed against blows."""
CHASE = real(3)
"""Cells beyond its reach that a player goes after an enemy whom he outdoes."""
HIT_TICKS, HIT_BACK = 12, 30
"""Who was hurt by an enemy so lately hits back at odds that much lower."""
LETHAL_STEP = real(2)
"""Cells that a hard player steps up for a kill."""
FLEE, DUEL_FLEE, CAST_AT, STRIKE = 40, 25, 80, 100
"""Odds in per cent below which a player falls back, a hard one in a duel too, and from which it casts and attacks."""


@rule
def fight(state, params, tables, seat, level):
    """Kills where it can, casts at and attacks enemy heroes when the odds are not bad, falls back when they are."""
    enemy = chosen_enemy(state, params, seat, level)
    if enemy < 0:
        return False
    unit, target = unit_of(params, seat), state.row[seat, enemy]
    if level == HARD and is_lethal(state, params, seat, target):
        return cast_at(state, params, seat, enemy) or act(state, seat, ATTACK, enemy, 0)
    odds = fight_odds(state, params, seat, level)
    if odds < (DUEL_FLEE if level == HARD and params.lanes == 1 else FLEE):
        return self_help(state, params, seat) or retreat(state, params, tables, seat)
    if odds >= CAST_AT and cast_at(state, params, seat, enemy):
        return True
    if state.tick - state.hit_tick[seat, enemy] <= HIT_TICKS:
        odds += HIT_BACK
    limit = state.reach[unit]
    if odds >= STRIKE + 40:
        limit += CHASE
    within = state.d2[seat, target] <= limit * limit or at_home_tower(state, params, seat, target)
    if odds >= STRIKE and (within or health_per_cent(state, target) < 30):
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
                value = value + real(state.health[target] + state.shield[target]) * real(0.1)
            if value < least:
                best, least = np.int32(row), value
    return best


@rule
def fight_odds(state, params, seat, level):
    """How much longer the own side would last than the enemy's, in per cent.

    A side lasts (its health) / (what the other takes off a tick): blows, spells, creeps and towers near. A hard player
    counts everybody near, a medium one himself and the nearest enemy.
    """
    unit, size = unit_of(params, seat), params.team_size
    own_health, own_pace, their_health, their_pace = real(0), real(0), real(1), crowd(state, params, seat)
    if level == MEDIUM:
        target = state.row[seat, nearest_enemy(state, params, seat)]
        own_health, their_health = real(state.health[unit]), real(state.health[target])
        own_pace = pace_on(state, params, unit, target) + crowd_on(state, params, seat, target)
        their_pace += pace_on(state, params, target, unit)
    else:
        for row in range(size):
            enemy, mate = state.row[seat, row], state.row[seat, size + row]
            if enemy >= 0 and state.d2[seat, enemy] <= HELP_REACH2:
                own_pace += crowd_on(state, params, seat, enemy)
                their_health += real(state.health[enemy] + state.shield[enemy])
                their_pace += hero_pace(state, params, enemy) + spells_of(state, params, enemy) / FIGHT_TICKS
            if mate >= 0 and state.d2[seat, mate] <= HELP_REACH2:
                own_health += real(state.health[mate] + state.shield[mate])
                own_pace += hero_pace(state, params, mate) + ready_spells(state, params, mate) / FIGHT_TICKS
    home, tower = home_tower(state, params, seat), tower_row(state, params, seat)
    if home >= 0 and state.d2[seat, home] <= FIGHT_REACH2:
        own_pace += real(state.damage[home]) / real(state.period[home])
    if tower >= 0:
        theirs = state.row[seat, tower]
        their_pace += real(state.damage[theirs]) / real(state.period[theirs])
    return np.int32(min(real(100) * own_health * own_pace / (their_health * their_pace + real(0.001)), real(10000)))


@rule
def at_home_tower(state, params, seat, enemy):
    """Whether an enemy is in the fire of an own tower near."""
    home = home_tower(state, params, seat)
    return home >= 0 and distance2(state, home, enemy) <= TOWER_REACH2


@rule
def hero_pace(state, params, unit):
    """Damage a tick of a hero's blows on one of middling armour."""
    return real(0.85) * real(state.damage[unit]) / real(max(state.period[unit], 1))


@rule
def ready_spells(state, params, unit):
    """Damage, healing and shields in an own hero's spells that are ready and paid for."""
    seat = seat_of(params, unit)
    total, mana = 0, state.mana[seat]
    for step in range(NUM_ABILITIES):
        number = NUM_ABILITIES - 1 - step
        ability = ability_of(state, seat, number)
        if state.rank[seat, number] > 0 and state.cooldown[seat, number] == 0 and mana >= params.ability_mana[ability]:
            mana -= params.ability_mana[ability]
            worth = params.ability_damage[ability] + params.ability_heal[ability] + params.ability_shield[ability]
            total += strength(state, params, seat, ability, worth)
    return real(total)


@rule
def spells_of(state, params, unit):
    """A guess at the same of an enemy, by his level: he hides what is ready."""
    seat = seat_of(params, unit)
    level = state.level[seat]
    total = 0
    for number in range(NUM_ABILITIES):
        if number < min(level, NUM_ABILITIES):
            ability = ability_of(state, seat, number)
            worth = params.ability_damage[ability] + params.ability_heal[ability] + params.ability_shield[ability]
            total += worth * (4 + level) // 5
    return real(0.7) * real(total)


@rule
def is_lethal(state, params, seat, target):
    """Whether spells and two blows kill a hero who is near enough, also where his tower shoots back meanwhile."""
    unit = unit_of(params, seat)
    left = state.health[target] + state.shield[target]
    total, mana = 0, state.mana[seat]
    near = state.reach[unit] + LETHAL_STEP
    if state.d2[seat, target] <= near * near:
        total += 2 * blow(state, params, unit, target)
    for number in range(NUM_ABILITIES):
        ability = ability_of(state, seat, number)
        cost = params.ability_mana[ability]
        if params.ability_damage[ability] > 0 and can_cast(state, params, seat, number) and mana >= cost:
            if reaches(state, params, seat, ability, target, LETHAL_STEP):
                mana -= cost
                total += strength(state, params, seat, ability, params.ability_damage[ability])
    if 10 * total < 11 * left:
        return False
    tower = tower_row(state, params, seat)
    if tower < 0:
        return True
    return state.health[unit] > 4 * blow(state, params, state.row[seat, tower], unit)


@rule
def reaches(state, params, seat, ability, target, step):
    """Whether a harmful spell takes a target in from where its owner stands, or from some cells nearer."""
    limit = params.ability_range[ability] + step
    if params.ability_aim[ability] == AROUND:
        limit = params.ability_radius[ability] + step
    elif step == real(0):
        return can_aim(state, params, seat, ability, target)
    return state.d2[seat, target] <= limit * limit


@rule
def cast_at(state, params, seat, enemy):
    """The first ready spell that fits: harmful ones at the enemy, helpful ones at the weakest mate, the last first."""
    unit, target = unit_of(params, seat), state.row[seat, enemy]
    for step in range(NUM_ABILITIES):
        number = NUM_ABILITIES - 1 - step
        if not can_cast(state, params, seat, number):
            continue
        ability = ability_of(state, seat, number)
        aim = params.ability_aim[ability]
        harmful = params.ability_damage[ability] + params.ability_burn[ability] + params.ability_stun[ability] > 0
        if aim == FRIEND:
            row = weakest_mate(state, params, seat, ability)
            if row >= 0:
                return act(state, seat, CAST + number, row, 0)
        elif harmful and aim != SELF:
            if reaches(state, params, seat, ability, target, real(0)):
                row = params.team_size if aim == AROUND else enemy
                return act(state, seat, CAST + number, row, 0)
        elif aim == AROUND or params.ability_shield[ability] > 0:
            if health_per_cent(state, unit) < (50 if aim == AROUND else 75):
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
def mend(state, params, seat):
    """Heals the weakest mate near, with mana to spare."""
    if 10 * state.mana[seat] < 3 * state.max_mana[seat]:
        return False
    for number in range(NUM_ABILITIES):
        ability = ability_of(state, seat, number)
        if params.ability_aim[ability] == FRIEND and params.ability_heal[ability] > 0:
            if can_cast(state, params, seat, number):
                row = weakest_mate(state, params, seat, ability)
                if row >= 0:
                    return act(state, seat, CAST + number, row, 0)
    return False


@rule
def self_help(state, params, seat):
    """A shield, a heal or a leap away: spells aimed at oneself or at an ally, on oneself."""
    unit = unit_of(params, seat)
    for number in range(NUM_ABILITIES):
        ability = ability_of(state, seat, number)
        aim = params.ability_aim[ability]
        if (aim == SELF or aim == FRIEND) and can_cast(state, params, seat, number):
            if params.ability_dash[ability] > real(0) and not faces_home(state, params, seat):
                continue
            if can_aim(state, params, seat, ability, unit):
                return act(state, seat, CAST + number, params.team_size, 0)
    return False


@rule
def faces_home(state, params, seat):
    """Whether a hero looks towards its fountain, so that a leap brings it away."""
    sign = sign_of(team_of(params, seat))
    return sign * (state.facing_x[seat] * params.fountain_x + state.facing_y[seat] * params.fountain_y) > real(0)
