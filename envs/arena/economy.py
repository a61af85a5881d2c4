"""Heroes' growth: lineup, levels, skills, gold, the shop, death and return."""

import numpy as np

from envs.arena import data
from envs.arena.state import (
    BUY,
    LEARN,
    LOOK_HEALTH,
    LOOK_HERO,
    LOOK_MANA,
    LOOK_POINTS,
    LOOK_STUN,
    MIRROR,
    NUM_ITEMS,
    RANDOM,
)  # fmt: skip
from envs.arena.units import clear_unit, pick, sign_of, team_of, unit_of
from envs.engine import real, rule

NUM_HEROES = len(data.HEROES)
NUM_ABILITIES, ULTIMATE, MAX_RANK, MAX_ULTIMATE_RANK = (
    data.NUM_ABILITIES,
    data.ULTIMATE,
    data.MAX_RANK,
    data.MAX_ULTIMATE_RANK,
)
MAX_LEVEL, MAX_ITEMS, PULSE = data.MAX_LEVEL, data.MAX_ITEMS, data.PULSE
DRAW_HERO = 0


@rule
def reset_hero(state, params, index):
    """A hero at the start of a game, at its fountain."""
    choose_hero(state, params, index)
    for ability in range(NUM_ABILITIES):
        state.rank[index, ability] = np.int32(0)
        state.cooldown[index, ability] = np.int32(0)
    for item in range(NUM_ITEMS):
        state.items[index, item] = np.int32(0)
    state.num_items[index] = np.int32(0)
    state.lane[index] = lane_of(params, index)
    state.level[index] = params.start_level
    state.points[index] = params.start_level
    state.xp[index] = params.level_xp[params.start_level]
    state.gold[index] = params.start_gold
    state.earned[index] = np.int32(0)
    state.spent[index] = np.int32(0)
    state.net_worth[index] = params.start_gold
    state.respawn[index] = np.int32(0)
    state.kills[index] = np.int32(0)
    state.deaths[index] = np.int32(0)
    state.assists[index] = np.int32(0)
    state.last_hits[index] = np.int32(0)
    state.denies[index] = np.int32(0)
    state.illegal[index] = np.int32(0)
    state.won[index] = np.int32(0)
    state.lost[index] = np.int32(0)
    state.cast_tick[index] = np.int32(-1000)
    if params.auto_learn != 0:
        learn_by_script(state, params, index)
    refresh(state, params, index)
    return_hero(state, params, index)


@rule
def choose_hero(state, params, seat):
    """The row of the heroes' table: as set; or by chance, the same for both teams or not."""
    rank = seat % params.team_size
    state.hero[seat] = params.heroes[seat]
    if params.lineup == MIRROR:
        smaller = np.int32(0) if state.salt[0] < state.salt[1] else params.team_units
        state.hero[seat] = pick(state, params, smaller + rank, NUM_HEROES, DRAW_HERO)
    elif params.lineup == RANDOM:
        state.hero[seat] = pick(state, params, unit_of(params, seat), NUM_HEROES, DRAW_HERO)


@rule
def lane_of(params, seat):
    """Heroes 0 and 1 go to the last lane, 2 to the middle one, 3 and 4 to the first; in the team's frame."""
    if params.lanes < 3:
        return np.int32(0)
    rank = seat % params.team_size
    if rank <= 1:
        return np.int32(2)
    return np.int32(1) if rank == 2 else np.int32(0)


@rule
def return_hero(state, params, seat):
    """Puts a hero at its fountain, sound, facing the enemy."""
    unit = unit_of(params, seat)
    team = team_of(params, seat)
    sign = sign_of(team)
    clear_unit(state, unit)
    spread = real(seat % params.team_size) * real(0.5)
    state.x[unit] = sign * (params.fountain_x + spread)
    state.y[unit] = sign * params.fountain_y
    state.home_x[unit] = state.x[unit]
    state.home_y[unit] = state.y[unit]
    state.health[unit] = state.max_health[unit]
    state.mana[seat] = state.max_mana[seat]
    for enemy in range(params.team_size):
        state.hit_tick[seat, enemy] = np.int32(-1000)
    state.recall[seat] = np.int32(0)
    state.held[seat] = np.int32(-1)
    state.provoked[seat] = np.int32(0)
    state.facing_x[seat] = sign
    state.facing_y[seat] = real(0)
    state.dash[seat] = real(0)
    state.spell[seat] = np.int32(-1)
    state.spell_ticks[seat] = np.int32(0)
    state.spell_victim[seat] = np.int32(-1)
    state.spell_x[seat] = real(0)
    state.spell_y[seat] = real(0)


@rule
def refresh(state, params, seat):
    """What a hero's level and things make of it."""
    unit = unit_of(params, seat)
    hero = state.hero[seat]
    grown = state.level[seat] - 1
    health = params.hero_health[hero] + grown * params.hero_health_growth[hero]
    mana = params.hero_mana[hero] + grown * params.hero_mana_growth[hero]
    damage = params.hero_damage[hero] + grown * params.hero_damage_growth[hero]
    armor, period = params.hero_armor[hero], params.hero_period[hero]
    regen, mana_regen = params.hero_regen[hero], params.hero_mana_regen[hero]
    speed, power = params.hero_speed[hero], np.int32(0)
    for item in range(NUM_ITEMS):
        count = state.items[seat, item]
        if count > 0:
            health += count * params.item_health[item]
            mana += count * params.item_mana[item]
            damage += count * params.item_damage[item]
            armor += count * params.item_armor[item]
            regen += count * params.item_regen[item]
            mana_regen += count * params.item_mana_regen[item]
            speed += real(count) * params.item_speed[item]
            power += count * params.item_power[item]
            period -= count * params.item_haste[item]
    state.health[unit] = state.health[unit] + max(health - state.max_health[unit], 0) if state.health[unit] > 0 else 0
    state.mana[seat] += max(mana - state.max_mana[seat], 0)
    state.max_health[unit] = health
    state.max_mana[seat] = mana
    state.damage[unit] = damage
    state.armor[unit] = armor
    state.reach[unit] = params.hero_reach[hero]
    state.period[unit] = max(period, 3)
    state.speed[unit] = speed
    state.regen[seat] = regen
    state.mana_regen[seat] = mana_regen
    state.power[seat] = power


@rule
def can_learn(state, seat, ability):
    """Whether a point can go into an ability: below its highest rank; the ultimate at levels 4, 8 and 12."""
    rank = state.rank[seat, ability]
    if state.points[seat] <= 0:
        return False
    if ability == ULTIMATE:
        return rank < MAX_ULTIMATE_RANK and state.level[seat] >= 4 * (rank + 1)
    return rank < MAX_RANK and state.level[seat] >= 2 * rank + 1


@rule
def learn(state, seat, ability):
    """Spends a point."""
    state.rank[seat, ability] += np.int32(1)
    state.points[seat] -= np.int32(1)


@rule
def learn_by_script(state, params, seat):
    """Spends all points in the hero's order; where that ability is full, in the first that is not."""
    while state.points[seat] > 0:
        learnt = state.level[seat] - state.points[seat]
        wanted = params.hero_skill[state.hero[seat], min(learnt, MAX_LEVEL - 1)]
        found = np.int32(-1)
        if can_learn(state, seat, wanted):
            found = wanted
        for ability in range(NUM_ABILITIES):
            if found < 0 and can_learn(state, seat, ability):
                found = np.int32(ability)
        if found < 0:
            return
        learn(state, seat, found)


@rule
def at_shop(state, params, seat):
    """Whether a living hero is near enough to its fountain to buy."""
    unit = unit_of(params, seat)
    sign = sign_of(team_of(params, seat))
    dx, dy = sign * state.x[unit] - params.fountain_x, sign * state.y[unit] - params.fountain_y
    return state.health[unit] > 0 and dx * dx + dy * dy <= params.shop_reach * params.shop_reach


@rule
def can_buy(state, params, seat, item):
    """Whether a hero at the shop has the gold and a free place for an item."""
    return state.num_items[seat] < MAX_ITEMS and state.gold[seat] >= params.item_cost[item]


@rule
def buy(state, params, seat, item):
    """Pays and equips."""
    cost = params.item_cost[item]
    state.gold[seat] -= cost
    state.spent[seat] += cost
    state.items[seat, item] += np.int32(1)
    state.num_items[seat] += np.int32(1)


@rule
def wanted_item(state, params, seat):
    """The next item of the hero's build, or -1 when it is complete."""
    if state.num_items[seat] >= MAX_ITEMS:
        return np.int32(-1)
    return params.hero_build[state.hero[seat], state.num_items[seat]]


@rule
def grow(state, params, index):
    """Return from death, the end of a recall, level-ups, skills and the shop of one hero."""
    unit = unit_of(params, index)
    changed = False
    if state.recall[index] >= params.recall_ticks:
        state.recall[index] = np.int32(0)
        state.x[unit] = state.home_x[unit]
        state.y[unit] = state.home_y[unit]
    if state.health[unit] <= 0 and state.respawn[index] > 0:
        state.respawn[index] -= np.int32(1)
        if state.respawn[index] == 0:
            return_hero(state, params, index)
            tell_return(state, index, unit)
    while state.level[index] < MAX_LEVEL and state.xp[index] >= params.level_xp[state.level[index] + 1]:
        state.level[index] += np.int32(1)
        state.points[index] += np.int32(1)
        changed = True
    if state.points[index] > 0 and params.auto_learn != 0:
        learn_by_script(state, params, index)
    if spend(state, params, index):
        changed = True
    if changed:
        refresh(state, params, index)
    state.net_worth[index] = state.gold[index] + state.spent[index]


@rule
def tell_return(state, seat, unit):
    """The enemy, who sees that a dead hero lives again, knows that he stands at his fountain, sound and free."""
    state.known_x[seat] = state.x[unit]
    state.known_y[seat] = state.y[unit]
    known = state.known_look
    if known[seat, LOOK_HEALTH] > real(0):
        known[seat, LOOK_POINTS] /= known[seat, LOOK_HEALTH]
        known[seat, LOOK_HEALTH] = real(1)
        known[seat, LOOK_MANA] = real(1)
    for number in range(LOOK_STUN, LOOK_HERO):
        known[seat, number] = real(0)


@rule
def spend(state, params, seat):
    """Learns and buys what the action asks for, or what the shop's script wants; whether anything was bought."""
    verb = state.action[seat, 0]
    if params.auto_learn == 0 and verb >= LEARN and can_learn(state, seat, verb - LEARN):
        learn(state, seat, verb - LEARN)
    if not at_shop(state, params, seat):
        return False
    item = wanted_item(state, params, seat)
    if params.auto_shop == 0:
        item = verb - BUY if BUY <= verb < LEARN else np.int32(-1)
    if item < 0 or not can_buy(state, params, seat, item):
        return False
    buy(state, params, seat, item)
    return True


@rule
def earn(state, seat, gold):
    """Adds gold to a hero."""
    state.gold[seat] += gold
    state.earned[seat] += gold
