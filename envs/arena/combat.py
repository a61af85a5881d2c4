"""Targets, attacks, shots, wounds: from an aim to a death."""

import numpy as np

from envs.arena import data
from envs.arena.abilities import claimant, face, wound
from envs.arena.economy import at_shop, earn
from envs.arena.state import ATTACK, BEASTS_A_CAMP, GROUP
from envs.arena.units import distance2, first_unit, is_structure, is_wild, pick, seat_of, unit_of
from envs.engine import real, rule, sqrt

HERO, BEAST = data.HERO, data.BEAST
PULSE, NUM_ABILITIES = data.PULSE, data.NUM_ABILITIES
LOOK_PERIOD = 4
"""Ticks from one search for a target to the next; each unit has its own turn."""
PROVOKED_TICKS = 10
LEASH2 = real(40)
"""Beasts give up this far from home, squared."""
FAR = real(1e9)
LEAST_LUCK, LUCK = 85, 31
"""A blow does 85 to 115 per cent of its damage."""
DRAW_LUCK = 2
ARMOR_HALF = 25
"""Armour at which half of a blow goes through."""
MIGHT = 125
"""Per cent of their damage that heroes do under the boss's blessing."""
FOUNTAIN_SHARE = 10
"""A pulse at the fountain heals one in so many points."""


@rule
def pulse(state, params, index):
    """Counts down what holds a unit; neutrals forget whom they can't fight; once a pulse regenerates and burns it."""
    state.died[index] = np.int32(0)
    state.hurt[index] = np.int32(0)
    state.claim[index] = np.int32(0)
    if state.health[index] <= 0:
        return
    state.wait[index] = max(state.wait[index] - 1, 0)
    state.stun[index] = max(state.stun[index] - 1, 0)
    state.slow[index] = max(state.slow[index] - 1, 0)
    if state.shield_ticks[index] > 0:
        state.shield_ticks[index] -= np.int32(1)
        if state.shield_ticks[index] == 0:
            state.shield[index] = np.int32(0)
    if state.burn_ticks[index] > 0:
        state.burn_ticks[index] -= np.int32(1)
        if state.burn_ticks[index] % PULSE == 0:
            wound(state, params, index, state.burn[index], state.burner[index])
        if state.burn_ticks[index] == 0:
            state.burn[index] = np.int32(0)
    foe = state.foe[index]
    if foe >= 0 and (is_astray(state, index) or not minds(state, params, index, foe)):
        state.foe[index] = np.int32(-1)
    if state.tick % PULSE == 0:
        if is_wild(params.slot_kind[index]) and state.target[index] < 0:
            gain = state.max_health[index] // 20
            state.health[index] = min(state.health[index] + gain, state.max_health[index])


@rule
def pulse_hero(state, params, index):
    """The same for what only heroes have: mana, cooldowns, gold, the fountain, recall."""
    unit = unit_of(params, index)
    for ability in range(NUM_ABILITIES):
        state.cooldown[index, ability] = max(state.cooldown[index, ability] - 1, 0)
    state.provoked[index] = max(state.provoked[index] - 1, 0)
    if state.tick % PULSE == 0:
        earn(state, index, params.gold_pulse)
        if state.health[unit] > 0:
            regenerate(state, params, index, unit)


@rule
def regenerate(state, params, seat, unit):
    """A pulse's health and mana; at its fountain a share of all of it more."""
    health, mana = state.regen[seat], state.mana_regen[seat]
    if at_shop(state, params, seat):
        health += state.max_health[unit] // FOUNTAIN_SHARE
        mana += state.max_mana[seat] // FOUNTAIN_SHARE
    state.health[unit] = min(state.health[unit] + health, state.max_health[unit])
    state.mana[seat] = min(state.mana[seat] + mana, state.max_mana[seat])


@rule
def acquire(state, params, index):
    """Whom each unit attacks: a hero as its action says, the others whom they find."""
    if state.health[index] <= 0:
        state.target[index] = np.int32(-1)
        return
    kind = params.slot_kind[index]
    if kind == HERO:
        seat = seat_of(params, index)
        chosen = np.int32(-1)
        if state.action[seat, 0] == ATTACK and state.stun[index] == 0:
            chosen = state.row[seat, state.action[seat, 1]]
        state.target[index] = chosen
    elif params.kind_chase[kind] > real(0):
        if not keeps_target(state, params, index):
            state.target[index] = np.int32(-1)
        if (state.tick + params.slot_rank[index]) % LOOK_PERIOD == 0:
            wild = is_wild(kind)
            state.target[index] = provoker(state, params, index) if wild else prey(state, params, index, kind)


@rule
def keeps_target(state, params, unit):
    """Whether its target lives and is near enough."""
    target = state.target[unit]
    if target < 0 or state.health[target] <= 0:
        return False
    return distance2(state, unit, target) <= chase2(params, params.slot_kind[unit])


@rule
def chase2(params, kind):
    """How far a unit of a kind minds an enemy, squared; neutrals twice as far, once they are hurt."""
    reach = params.kind_chase[kind]
    return real(4) * reach * reach if is_wild(kind) else reach * reach


@rule
def is_astray(state, unit):
    """Whether a neutral is too far from its home to fight on."""
    dx, dy = state.x[unit] - state.home_x[unit], state.y[unit] - state.home_y[unit]
    return dx * dx + dy * dy > LEASH2


@rule
def minds(state, params, unit, foe):
    """Whether a hero who hurt a neutral or one of its camp lives and is near enough to fight."""
    return foe >= 0 and state.health[foe] > 0 and distance2(state, unit, foe) <= chase2(params, params.slot_kind[unit])


@rule
def provoker(state, params, unit):
    """The nearest hero of those who last hurt a neutral of this one's camp, while it is near its home; or -1."""
    best, nearest = np.int32(-1), FAR
    first, count = np.int32(unit), 1
    if params.slot_kind[unit] == BEAST:
        first, count = np.int32(unit - params.slot_rank[unit] % BEASTS_A_CAMP), BEASTS_A_CAMP
    for other in range(first, first + count):
        foe = state.foe[other]
        if minds(state, params, unit, foe) and distance2(state, unit, foe) < nearest:
            best, nearest = foe, distance2(state, unit, foe)
    return np.int32(-1) if is_astray(state, unit) else best


@rule
def prey(state, params, unit, kind):
    """The target of a creep or tower: a provoking hero near, else whom it fights, else the nearest; a tower's creeps
    before heroes, a creep's both before structures."""
    enemy = 1 - params.slot_faction[unit]
    first = first_unit(params, enemy)
    limit = chase2(params, kind)
    tower = is_structure(kind)
    current = state.target[unit]
    provoking = provoking_hero(state, params, unit, enemy, limit)
    if provoking >= 0:
        return provoking
    if current >= 0 and (tower or not is_structure(params.slot_kind[current])):
        return current
    best, nearest = np.int32(-1), limit
    for i in range(state.num_living[enemy]):
        victim = state.living[enemy, i]
        d2 = distance2(state, unit, victim)
        if d2 <= nearest and (best < 0 or d2 < nearest):
            best, nearest = victim, d2
    if best >= 0 and tower:
        return best
    for victim in range(first, first + params.team_size):
        if state.health[victim] > 0 and state.seen[victim] >> (1 - enemy) & 1 != 0:
            d2 = distance2(state, unit, victim)
            if d2 <= nearest and (best < 0 or d2 < nearest):
                best, nearest = np.int32(victim), d2
    if best >= 0 or tower:
        return best
    for i in range(state.num_front[enemy]):
        victim = state.front[enemy, i]
        d2 = distance2(state, unit, victim)
        if d2 <= nearest and (best < 0 or d2 < nearest):
            best, nearest = victim, d2
    return best


@rule
def provoking_hero(state, params, unit, enemy, limit):
    """The nearest enemy hero who lately attacked a hero, or -1; spells provoke nobody."""
    best, nearest = np.int32(-1), limit
    for rank in range(params.team_size):
        if state.provoked[enemy * params.team_size + rank] > 0:
            hero = first_unit(params, enemy) + rank
            if state.health[hero] > 0:
                d2 = distance2(state, unit, hero)
                if d2 < nearest:
                    best, nearest = np.int32(hero), d2
    return best


@rule
def attack(state, params, index):
    """Strikes or shoots at a target within reach; what flies comes nearer."""
    if state.shot_ticks[index] > 0:
        state.shot_ticks[index] -= np.int32(1)
        if state.shot_ticks[index] == 0:
            state.shot_victim[index] = np.int32(-1)
    target = state.target[index]
    if state.health[index] <= 0 or target < 0 or state.wait[index] > 0 or state.stun[index] > 0:
        return
    if state.health[target] <= 0 or state.shot_ticks[index] > 0:
        return
    d2 = distance2(state, index, target)
    if d2 > state.reach[index] * state.reach[index]:
        return
    kind = params.slot_kind[index]
    pace = params.kind_shot_speed[kind]
    if kind == HERO:
        seat = seat_of(params, index)
        pace = params.hero_shot_speed[state.hero[seat]]
        turn_to_strike(state, params, seat, index, target)
    time = np.int32(1)
    if pace > real(0):
        time = np.int32(sqrt(d2) / pace) + np.int32(1)
    state.wait[index] = state.period[index]
    state.shot_victim[index] = target
    state.shot_ticks[index] = time
    state.shot_time[index] = time


@rule
def turn_to_strike(state, params, seat, unit, target):
    """An attacking hero faces its target; one who attacks a hero provokes towers and creeps."""
    face(state, seat, unit, target)
    if params.slot_kind[target] == HERO:
        state.provoked[seat] = np.int32(PROVOKED_TICKS)


@rule
def count_landing(state, params, index):
    """How much of what a group of units shot lands this tick; mostly nothing, which spares `strike` the question."""
    state.landing[index] = np.int32(0)
    for unit in range(index * GROUP, min((index + 1) * GROUP, params.units)):
        state.landing[index] += np.int32(1) if state.shot_ticks[unit] == 1 else np.int32(0)


@rule
def strike(state, params):
    """All that lands this tick: sums and maxima over attackers, so their order does not matter."""
    for group in range(state.landing.shape[0]):
        if state.landing[group] != 0:
            for attacker in range(group * GROUP, min((group + 1) * GROUP, params.units)):
                if state.shot_ticks[attacker] == 1:
                    land(state, params, np.int32(attacker), state.shot_victim[attacker])


@rule
def land(state, params, attacker, victim):
    """One attack lands, if its victim still lives."""
    if victim >= 0 and state.health[victim] > 0:
        luck = LEAST_LUCK + pick(state, params, attacker, LUCK, DRAW_LUCK)
        damage = np.int32(max(blow(state, params, attacker, victim) * luck // 100, 1))
        wound(state, params, victim, damage, attacker)


@rule
def force(state, params, attacker):
    """The damage of one attack before armour, on average."""
    damage = state.damage[attacker]
    if params.slot_kind[attacker] == HERO and state.might[params.slot_faction[attacker]] > 0:
        damage = damage * MIGHT // 100
    return damage


@rule
def blow(state, params, attacker, victim):
    """The damage of one attack after armour, on average."""
    return np.int32(max(force(state, params, attacker) * ARMOR_HALF // (ARMOR_HALF + state.armor[victim]), 1))


@rule
def is_one_blow(state, params, attacker, victim):
    """Whether one attack would kill, whatever luck makes of it: a blow is as much as needed, without a division."""
    health = state.health[victim]
    needed = (100 * health + LEAST_LUCK - 1) // LEAST_LUCK
    return health <= 1 or force(state, params, attacker) * ARMOR_HALF >= needed * (ARMOR_HALF + state.armor[victim])


@rule
def endure(state, params, index):
    """Takes this tick's hurt off shield and health; marks death, and whom a neutral turns on."""
    hurt = state.hurt[index]
    if hurt <= 0 or state.health[index] <= 0:
        return
    held = min(hurt, state.shield[index])
    state.shield[index] -= held
    state.health[index] = max(state.health[index] - (hurt - held), 0)
    if state.health[index] == 0:
        state.died[index] = np.int32(1)
    kind = params.slot_kind[index]
    if kind == HERO:
        state.recall[seat_of(params, index)] = np.int32(0)
    elif is_wild(kind):
        by = claimant(state, params, index)
        if params.slot_kind[by] == HERO:
            state.foe[index] = np.int32(by)
