"""Spells: who may cast what at whom, casting, and what happens where a spell takes effect."""

import numpy as np

from envs.arena import data
from envs.arena.state import CAST
from envs.arena.units import coin, distance2, first_unit, is_structure, team_of, unit_of
from envs.engine import real, rule, sqrt

NUM_ABILITIES = data.NUM_ABILITIES
FOE, FRIEND, SELF, SPOT, AROUND = data.FOE, data.FRIEND, data.SELF, data.SPOT, data.AROUND
HERO = data.HERO
NEAR = real(1)
"""Cells before its victim at which a leap ends."""


@rule
def ability_of(state, seat, number):
    """The row of the abilities' table."""
    return state.hero[seat] * NUM_ABILITIES + number


@rule
def can_act(state, params, seat):
    """Whether a hero lives, is not stunned and has no spell under way."""
    unit = unit_of(params, seat)
    return state.health[unit] > 0 and state.stun[unit] == 0 and state.spell[seat] < 0


@rule
def can_cast(state, params, seat, number):
    """Whether an ability is learnt, paid for and ready, and nothing keeps its owner from casting."""
    ability = ability_of(state, seat, number)
    ready = state.rank[seat, number] > 0 and state.cooldown[seat, number] == 0
    return ready and can_act(state, params, seat) and state.mana[seat] >= params.ability_mana[ability]


@rule
def can_aim(state, params, seat, ability, target):
    """Whether an ability may be aimed at a slot of the hero's table that is in sight and alive."""
    unit = unit_of(params, seat)
    aim = params.ability_aim[ability]
    if aim == SELF or aim == AROUND:
        return target == unit
    within = state.d2[seat, target] <= params.ability_range[ability] * params.ability_range[ability]
    faction = params.slot_faction[target]
    kind = params.slot_kind[target]
    if aim == FRIEND:
        return within and faction == team_of(params, seat) and kind == HERO
    return within and faction != team_of(params, seat) and not is_structure(kind) and kind != data.WARD


@rule
def cast(state, params, index):
    """Starts the spell that a hero's action asks for, and counts down the one under way."""
    number = state.action[index, 0] - CAST
    if 0 <= number < NUM_ABILITIES and can_cast(state, params, index, number):
        target = state.row[index, state.action[index, 1]]
        ability = ability_of(state, index, number)
        if target >= 0 and can_aim(state, params, index, ability, target):
            start_spell(state, params, index, number, ability, target)
            return
    if state.spell[index] >= 0:
        state.spell_ticks[index] -= np.int32(1)


@rule
def start_spell(state, params, seat, number, ability, target):
    """Pays for a spell and fixes its aim; a leap begins at once."""
    unit = unit_of(params, seat)
    state.mana[seat] -= params.ability_mana[ability]
    state.cooldown[seat, number] = params.ability_cooldown[ability]
    state.spell[seat] = ability
    state.spell_ticks[seat] = params.ability_delay[ability]
    state.spell_victim[seat] = target
    state.spell_x[seat] = state.x[target]
    state.spell_y[seat] = state.y[target]
    if target != unit:
        face(state, seat, unit, target)
    if params.ability_dash[ability] > real(0):
        leap(state, params, seat, unit, ability, target)


@rule
def face(state, seat, unit, target):
    """Turns a hero towards another unit."""
    dx, dy = state.x[target] - state.x[unit], state.y[target] - state.y[unit]
    length = sqrt(dx * dx + dy * dy)
    if length > real(0):
        state.facing_x[seat] = dx / length
        state.facing_y[seat] = dy / length


@rule
def leap(state, params, seat, unit, ability, target):
    """How far this tick's leap goes: up to its victim, or all the way."""
    length = params.ability_dash[ability]
    if target != unit:
        length = min(length, max(sqrt(distance2(state, unit, target)) - NEAR, real(0)))
    state.dash[seat] = length


@rule
def strength(state, params, seat, ability, amount):
    """An amount at the owner's rank and power."""
    rank = state.rank[seat, ability % NUM_ABILITIES]
    return np.int32(amount * (1 + rank) * (100 + state.power[seat]) // 200)


@rule
def is_due(state, seat):
    """Whether a hero's spell takes effect this tick."""
    return state.spell[seat] >= 0 and state.spell_ticks[seat] <= 0


@rule
def count_due(state, params):
    """How many spells take effect this tick; mostly none, which spares every unit the question."""
    state.num_due = np.int32(0)
    for seat in range(2 * params.team_size):
        state.num_due += np.int32(1) if is_due(state, seat) else np.int32(0)


@rule
def touches(state, params, seat, ability, unit):
    """Whether a unit stands where a spell takes effect, whoever's it is."""
    radius = params.ability_radius[ability]
    if params.ability_aim[ability] == AROUND:
        return distance2(state, unit_of(params, seat), unit) <= radius * radius
    if params.ability_aim[ability] == SPOT:
        dx, dy = state.x[unit] - state.spell_x[seat], state.y[unit] - state.spell_y[seat]
        return dx * dx + dy * dy <= radius * radius
    return unit == state.spell_victim[seat]


@rule
def suffer(state, params, index):
    """What the spells due this tick do to one unit."""
    if state.num_due == 0 or state.health[index] <= 0:
        return
    kind = params.slot_kind[index]
    if is_structure(kind) or kind == data.WARD:
        return
    first = coin(state) * params.team_size
    for i in range(2 * params.team_size):
        seat = (first + i) % (2 * params.team_size)
        if is_due(state, seat):
            ability = state.spell[seat]
            if params.slot_faction[index] == team_of(params, seat):
                if helps(state, params, seat, ability, index):
                    bless(state, params, seat, ability, index)
            elif touches(state, params, seat, ability, index):
                harm(state, params, seat, ability, index)


@rule
def helps(state, params, seat, ability, unit):
    """Whether a spell's heal and shield reach a unit of its owner's team: heroes only."""
    if params.slot_kind[unit] != HERO:
        return False
    aim = params.ability_aim[ability]
    if aim == FRIEND or aim == AROUND:
        return touches(state, params, seat, ability, unit)
    return unit == unit_of(params, seat)


@rule
def bless(state, params, seat, ability, unit):
    """Heals and shields."""
    heal = strength(state, params, seat, ability, params.ability_heal[ability])
    shield = strength(state, params, seat, ability, params.ability_shield[ability])
    state.health[unit] = min(state.health[unit] + heal, state.max_health[unit])
    if shield > 0:
        state.shield[unit] = max(state.shield[unit], shield)
        state.shield_ticks[unit] = max(state.shield_ticks[unit], params.ability_lasts[ability])


@rule
def harm(state, params, seat, ability, unit):
    """Hurts, stuns, slows and sets alight."""
    damage = strength(state, params, seat, ability, params.ability_damage[ability])
    state.stun[unit] = max(state.stun[unit], params.ability_stun[ability])
    state.slow[unit] = max(state.slow[unit], params.ability_slow[ability])
    burn = strength(state, params, seat, ability, params.ability_burn[ability])
    if burn > 0 and burn >= state.burn[unit]:
        state.burn[unit] = burn
        state.burn_ticks[unit] = params.ability_lasts[ability]
        state.burner[unit] = np.int32(unit_of(params, seat))
    if damage > 0:
        wound(state, params, unit, damage, np.int32(unit_of(params, seat)))


@rule
def wound(state, params, unit, damage, attacker):
    """Adds to a unit's hurt of this tick, with the attacker's claim on its death; sums and maxima, so in any order."""
    state.hurt[unit] += damage
    state.claim[unit] = max(state.claim[unit], claim_of(state, params, damage, attacker))
    if params.slot_kind[unit] == HERO and params.slot_kind[attacker] == HERO:
        seat = params.slot_faction[unit] * params.team_size + params.slot_rank[unit]
        state.hit_tick[seat, params.slot_rank[attacker]] = state.tick


@rule
def claim_of(state, params, damage, attacker):
    """Damage first, then the attacker's number within its faction, then a side by chance: 256 numbers a point."""
    side = params.slot_faction[attacker] ^ coin(state)
    return np.int32(damage * 256 + params.slot_rank[attacker] * 4 + side)


@rule
def claimant(state, params, unit):
    """The slot with the highest claim on a unit's hurt of this tick."""
    order = state.claim[unit] % 256
    side = order % 4 ^ coin(state)
    return first_unit(params, side) + order // 4


@rule
def end_spells(state, params, index):
    """Forgets a spell that has taken effect, and the spell of a hero who died or was stunned."""
    unit = unit_of(params, index)
    if is_due(state, index):
        state.spell[index] = np.int32(-1)
        state.cast_tick[index] = state.tick
    elif state.health[unit] <= 0 or state.stun[unit] > 0:
        state.spell[index] = np.int32(-1)
