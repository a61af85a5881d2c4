"""What a seat is told: one row of floats in its team's frame, in groups of rows of named features.

`FEATURES` says what each number is, in which units and scale; `obs_layout` where each group lies, which is the
structured view for entity networks. Rows of targets come in the order of the action's target rows. Enemy heroes out of
sight stay as they were last seen, enemy structures with the health they were last seen with; nothing else of what a
team does not see is in its rows.
"""

from typing import NamedTuple

import numpy as np

from envs.arena import data
from envs.arena.abilities import can_cast
from envs.arena.actions import can_go
from envs.arena.combat import is_one_blow
from envs.arena.economy import at_shop, wanted_item
from envs.arena.map import ARRIVED
from envs.arena.movement import UNIT_X, UNIT_Y
from envs.arena.rewards import health_share
from envs.arena.state import (
    HOME_ROWS,
    HOSTILE_ROWS,
    LOOK,
    LOOK_HEALTH,
    LOOK_HERO,
    LOOK_LEVEL,
    LOOK_MANA,
    LOOK_POINTS,
    LOOK_STUN,
    NUM_DIRECTIONS,
    NUM_ITEMS,
    OWN_ROWS,
    SIEGE_ROWS,
    TRAITS,
    WARDS,
    Size,
)  # fmt: skip
from envs.arena.units import first_unit, flow_at, is_structure, sign_of, team_of, unit_of
from envs.arena.vision import sees
from envs.engine import ObsField, real, rule, sqrt

HERO, NUM_HEROES, NUM_ABILITIES, MAX_LEVEL = data.HERO, len(data.HEROES), data.NUM_ABILITIES, data.MAX_LEVEL
BARRACKS, BOSS, BEAST, WARD, RANGED = data.BARRACKS, data.BOSS, data.BEAST, data.WARD, data.RANGED
TOWER_1 = data.TOWER_1
CELL, HEALTH, DAMAGE = real(1 / 16), real(1 / 1000), real(1 / 100)
TICK, GOLD, SECONDS_30 = real(1 / 50), real(1 / 1000), real(1 / 150)
TENTH, SIXTH, HALF, QUARTER = real(1 / 10), real(1 / 6), real(1 / 2), real(1 / 4)
ARMOR, SHIELD, LAST_HITS, LEVEL = real(1 / 20), real(1 / 200), real(1 / 50), real(1 / data.MAX_LEVEL)


class Feature(NamedTuple):
    """One number of an observation: its value times `scale` is written."""

    name: str
    units: str
    scale: float = 1.0


WORLD_FEATURES = (
    Feature("time", "share of the time limit"),
    Feature("own_kills", "kills", 1 / 10),
    Feature("enemy_kills", "kills", 1 / 10),
    Feature("own_structures", "share that stands"),
    Feature("enemy_structures", "share that stands"),
    Feature("own_core", "share of health"),
    Feature("enemy_core", "share of health when last seen"),
    Feature("boss_there", "0 or 1"),
    Feature("boss_returns", "ticks", 1 / 150),
    Feature("own_might", "ticks of the boss's blessing", 1 / 150),
    Feature("enemy_might", "ticks of the boss's blessing", 1 / 150),
    Feature("wards", "wards to place", 1 / WARDS),
    Feature("next_wave", "share of the period"),
    *(Feature(f"own_barracks_{lane}", "0 or 1, own lane by lane") for lane in range(3)),
    *(Feature(f"enemy_barracks_{lane}", "0 or 1, by the same lanes") for lane in range(3)),
)
SELF_FEATURES = (
    Feature("x", "half widths of the map, from its middle"),
    Feature("y", "half heights of the map, from its middle, downwards"),
    Feature("facing_x", "unit vector"),
    Feature("facing_y", "unit vector"),
    Feature("xp", "share of the way to the next level"),
    Feature("gold", "gold", 1 / 1000),
    Feature("price", "gold that the next item of its build still lacks", 1 / 1000),
    Feature("attack_wait", "ticks until it may attack", 1 / 10),
    Feature("burn", "damage a pulse", 1 / 100),
    Feature("recall", "share of the channel"),
    Feature("respawn", "ticks", 1 / 150),
    Feature("at_shop", "0 or 1"),
    Feature("kills", "kills", 1 / 10),
    Feature("deaths", "deaths", 1 / 10),
    Feature("assists", "assists", 1 / 10),
    Feature("last_hits", "last hits", 1 / 50),
    *(Feature(f"lane_{lane}", "0 or 1: the lane it is assigned to") for lane in range(3)),
    Feature("forward_x", "direction of the way along its lane to the enemy's core"),
    Feature("forward_y", "direction of the way along its lane to the enemy's core"),
    Feature("home_x", "direction of the way to its fountain"),
    Feature("home_y", "direction of the way to its fountain"),
    *(Feature(f"free_{i}", "0 or 1: a step in direction i is free") for i in range(NUM_DIRECTIONS)),
    *(Feature(f"item_{item.name}", "how many it has", 1 / 2) for item in data.ITEMS),
    *(
        feature
        for i in range(data.NUM_ABILITIES)
        for feature in (
            Feature(f"rank_{i}", "rank of the ability", 1 / 4),
            Feature(f"cooldown_{i}", "ticks", 1 / 50),
            Feature(f"ready_{i}", "0 or 1: learnt, paid for, ready"),
        )
    ),
)
HERO_FEATURES = (
    Feature("alive", "0 or 1"),
    Feature("visible", "0 or 1"),
    Feature("dx", "cells from oneself", 1 / 16),
    Feature("dy", "cells from oneself, downwards", 1 / 16),
    Feature("distance", "cells", 1 / 16),
    Feature("aims_at_me", "0 or 1: its attack's target"),
    Feature("one_blow", "0 or 1: one attack of one's own would kill"),
    Feature("unseen", "ticks since last seen, 0..1", 1 / 150),
    Feature("respawn", "ticks", 1 / 150),
    Feature("health", "share"),
    Feature("health_points", "points", 1 / 1000),
    Feature("mana", "share"),
    Feature("level", "level", 1 / data.MAX_LEVEL),
    Feature("damage", "points an attack", 1 / 100),
    Feature("reach", "cells", 1 / 6),
    Feature("speed", "cells a tick"),
    Feature("armor", "armour", 1 / 20),
    Feature("stun", "ticks", 1 / 10),
    Feature("slow", "ticks", 1 / 10),
    Feature("shield", "points", 1 / 200),
    Feature("casting", "0 or 1: a spell or a recall under way"),
    *(Feature(f"is_{hero.name}", "0 or 1") for hero in data.HEROES),
)
UNIT_FEATURES = (
    Feature("there", "0 or 1"),
    Feature("dx", "cells from oneself", 1 / 16),
    Feature("dy", "cells from oneself, downwards", 1 / 16),
    Feature("distance", "cells", 1 / 16),
    Feature("aims_at_me", "0 or 1"),
    Feature("one_blow", "0 or 1: one attack of one's own would kill"),
    Feature("health", "share"),
    Feature("health_points", "points", 1 / 1000),
    Feature("ranged", "0 or 1: a ranged creep"),
    Feature("beast", "0 or 1: of a camp"),
    Feature("boss", "0 or 1"),
    Feature("ward", "0 or 1"),
)
STRUCTURE_FEATURES = (
    Feature("there", "0 or 1"),
    Feature("dx", "cells from oneself", 1 / 16),
    Feature("dy", "cells from oneself, downwards", 1 / 16),
    Feature("distance", "cells", 1 / 16),
    Feature("aims_at_me", "0 or 1"),
    Feature("health", "share, when last seen"),
    Feature("health_points", "points, when last seen", 1 / 1000),
    Feature("open", "0 or 1: it can be hurt"),
    Feature("tier", "tier of the tower; 0: barracks or ancient", 1 / 4),
    Feature("barracks", "0 or 1"),
    Feature("core", "0 or 1: its fall ends the game"),
)
FEATURES = {
    "world": WORLD_FEATURES,
    "self": SELF_FEATURES,
    "hero": HERO_FEATURES,
    "unit": UNIT_FEATURES,
    "structure": STRUCTURE_FEATURES,
}
"""What the numbers of a row are, by the kind of group."""
NUM_WORLD, NUM_SELF, NUM_HERO, NUM_UNIT, NUM_STRUCTURE = (len(rows) for rows in FEATURES.values())
SEEN_HERO = NUM_HERO - LOOK


def obs_layout(size: Size) -> dict[str, ObsField]:
    """Where each group of rows lies: name -> slice, shape (rows, features) and the kind that `FEATURES` lists.

    "enemies" to "siege" are the action's target rows, in order; "home" is the last row.
    """
    groups = [
        ("world", 1, "world"),
        ("self", 1, "self"),
        ("enemies", size.team_size, "hero"),
        ("allies", size.team_size, "hero"),
        ("hostile", HOSTILE_ROWS, "unit"),
        ("own_creeps", OWN_ROWS, "unit"),
        ("siege", SIEGE_ROWS, "structure"),
        ("home", HOME_ROWS, "structure"),
    ]
    layout, start = {}, 0
    for name, rows, kind in groups:
        width = len(FEATURES[kind])
        shape = (width,) if name in ("world", "self") else (rows, width)
        layout[name] = ObsField(slice(start, start + rows * width), shape, kind)
        start += rows * width
    return layout


@rule
def flag(condition):
    """1 or 0."""
    return real(1) if condition else real(0)


@rule
def reset_traits(state, params, index):
    """What a row says of a unit or structure at all times."""
    kind = params.slot_kind[index]
    if is_structure(kind):
        state.trait[index, 0] = real(kind - TOWER_1 + 1) * QUARTER if kind < BARRACKS else real(0)
        state.trait[index, 1] = flag(kind == BARRACKS)
        state.trait[index, 2] = flag(params.slot_rank[index] == params.core)
        state.trait[index, 3] = real(0)
    else:
        state.trait[index, 0] = flag(kind == RANGED)
        state.trait[index, 1] = flag(kind == BEAST)
        state.trait[index, 2] = flag(kind == BOSS)
        state.trait[index, 3] = flag(kind == WARD)


@rule
def describe_hero(state, params, index):
    """What a row says of a hero: to its own team now, to the enemy when it sees him."""
    unit = unit_of(params, index)
    hero = state.hero[index]
    look = state.look
    look[index, LOOK_HEALTH] = health_share(state, unit)
    look[index, LOOK_POINTS] = real(state.health[unit]) * HEALTH
    look[index, LOOK_MANA] = real(state.mana[index]) / real(max(state.max_mana[index], 1))
    look[index, LOOK_LEVEL] = real(state.level[index]) * LEVEL
    look[index, 4] = real(state.damage[unit]) * DAMAGE
    look[index, 5] = state.reach[unit] * SIXTH
    look[index, 6] = state.speed[unit]
    look[index, 7] = real(state.armor[unit]) * ARMOR
    look[index, LOOK_STUN] = real(state.stun[unit]) * TENTH
    look[index, 9] = real(state.slow[unit]) * TENTH
    look[index, 10] = real(state.shield[unit]) * SHIELD
    look[index, 11] = flag(state.spell[index] >= 0 or state.recall[index] > 0)
    for row in range(NUM_HEROES):
        look[index, LOOK_HERO + row] = flag(row == hero)
    if state.health[unit] > 0 and sees(state, 1 - team_of(params, index), unit):
        state.known_tick[index] = state.tick
        state.known_x[index] = state.x[unit]
        state.known_y[index] = state.y[unit]
        for i in range(LOOK):
            state.known_look[index, i] = look[index, i]


@rule
def reset_known(state, params, index):
    """Nobody has been seen: enemies stand at their fountain."""
    unit = unit_of(params, index)
    state.known_tick[index] = np.int32(-1000)
    state.known_x[index] = state.x[unit]
    state.known_y[index] = state.y[unit]
    for i in range(LOOK):
        state.known_look[index, i] = real(0)


@rule
def describe_world(state, params, index):
    """What the group "world" says to a team."""
    team, news = index, state.news
    own, enemy = first_unit(params, team) + params.team_size, first_unit(params, 1 - team) + params.team_size
    core = params.core - params.team_size
    news[team, 0] = real(state.tick) / real(params.max_episode_steps) if params.max_episode_steps > 0 else real(0)
    news[team, 1] = real(state.team_kills[team]) * TENTH
    news[team, 2] = real(state.team_kills[1 - team]) * TENTH
    news[team, 5] = health_share(state, own + core)
    news[team, 6] = real(state.known_health[enemy + core]) / real(state.max_health[enemy + core])
    news[team, 7] = flag(params.boss > 0 and state.boss_back == 0)
    news[team, 8] = real(max(state.boss_back - state.tick, 0)) * SECONDS_30 if params.boss > 0 else real(0)
    news[team, 9] = real(state.might[team]) * SECONDS_30
    news[team, 10] = real(state.might[1 - team]) * SECONDS_30
    news[team, 11] = real(state.wards[team]) / real(WARDS)
    news[team, 12] = real((state.tick - params.first_wave) % params.wave_period) / real(params.wave_period)
    if state.fallen != 0:
        describe_structures(state, params, team, own, enemy)


@rule
def describe_structures(state, params, team, own, enemy):
    """What stands, in a team's frame; `own` and `enemy` are the first structures of the two teams."""
    news = state.news
    news[team, 3] = standing(state, params, own)
    news[team, 4] = standing(state, params, enemy)
    for lane in range(3):
        news[team, 13 + lane] = real(0)
        news[team, 16 + lane] = real(0)
    for i in range(params.structures):
        if params.slot_kind[own + i] == BARRACKS:
            lane = params.slot_lane[own + i]
            news[team, 13 + lane] = flag(state.health[own + i] > 0)
            news[team, 15 + params.lanes - lane] = flag(state.health[enemy + i] > 0)


@rule
def observe_world(state, params, seat, index, obs):
    """A number of the group "world"."""
    obs[index] = state.news[team_of(params, seat), index]


@rule
def standing(state, params, first):
    """The share of a team's structures that stands."""
    count = np.int32(0)
    for unit in range(first, first + params.structures):
        count += np.int32(1) if state.health[unit] > 0 else np.int32(0)
    return real(count) / real(params.structures)


@rule
def observe_self(state, params, tables, seat, obs):
    """The group "self"."""
    unit, team = unit_of(params, seat), team_of(params, seat)
    sign = sign_of(team)
    at = NUM_WORLD
    level = state.level[seat]
    obs[at] = sign * state.x[unit] / params.half_width
    obs[at + 1] = sign * state.y[unit] / params.half_height
    obs[at + 2] = sign * state.facing_x[seat]
    obs[at + 3] = sign * state.facing_y[seat]
    obs[at + 4] = real(1)
    if level < MAX_LEVEL:
        reached, needed = params.level_xp[level], params.level_xp[level + 1]
        obs[at + 4] = real(state.xp[seat] - reached) / real(max(needed - reached, 1))
    obs[at + 5] = real(state.gold[seat]) * GOLD
    item = wanted_item(state, params, seat)
    obs[at + 6] = real(max(params.item_cost[item] - state.gold[seat], 0)) * GOLD if item >= 0 else real(0)
    obs[at + 7] = real(max(state.wait[unit], state.shot_ticks[unit])) * TENTH
    obs[at + 8] = real(state.burn[unit]) * DAMAGE
    obs[at + 9] = real(state.recall[seat]) / real(params.recall_ticks)
    obs[at + 10] = real(state.respawn[seat]) * SECONDS_30
    obs[at + 11] = flag(at_shop(state, params, seat))
    obs[at + 12] = real(state.kills[seat]) * TENTH
    obs[at + 13] = real(state.deaths[seat]) * TENTH
    obs[at + 14] = real(state.assists[seat]) * TENTH
    obs[at + 15] = real(state.last_hits[seat]) * LAST_HITS
    for lane in range(3):
        obs[at + 16 + lane] = flag(lane == state.lane[seat])
    way(state, params, tables, unit, team, state.lane[seat], obs, at + 19)
    way(state, params, tables, unit, team, params.lanes, obs, at + 21)
    for direction in range(NUM_DIRECTIONS):
        obs[at + 23 + direction] = flag(can_go(state, seat, direction))
    for thing in range(NUM_ITEMS):
        obs[at + 31 + thing] = real(state.items[seat, thing]) * HALF
    observe_abilities(state, params, seat, obs, at + 31 + NUM_ITEMS)


@rule
def observe_abilities(state, params, seat, obs, at):
    """Rank, cooldown and readiness of each ability."""
    for number in range(NUM_ABILITIES):
        obs[at + 3 * number] = real(state.rank[seat, number]) * QUARTER
        obs[at + 3 * number + 1] = real(state.cooldown[seat, number]) * TICK
        obs[at + 3 * number + 2] = flag(can_cast(state, params, seat, number))


@rule
def way(state, params, tables, unit, team, landmark, obs, at):
    """The direction that leads to a landmark, as a vector; (0, 0) there."""
    direction = flow_at(params, tables, team, landmark, state.x[unit], state.y[unit])
    obs[at] = UNIT_X[direction] if direction != ARRIVED else real(0)
    obs[at + 1] = UNIT_Y[direction] if direction != ARRIVED else real(0)


@rule
def observe_heroes(state, params, seat, index, obs):
    """A row of the groups "enemies", as last seen, and "allies", as they are; oneself is first among the allies."""
    size, team, enemy = params.team_size, team_of(params, seat), index < params.team_size
    other = (1 - team) * size + index if enemy else team * size + (seat + index) % size
    me, unit = unit_of(params, seat), unit_of(params, other)
    at = NUM_WORLD + NUM_SELF + index * NUM_HERO
    alive = state.health[unit] > 0
    visible = alive and (not enemy or sees(state, team, unit))
    x, y, look = state.x[unit], state.y[unit], state.look[other]
    if enemy:
        x, y, look = state.known_x[other], state.known_y[other], state.known_look[other]
    obs[at] = flag(alive)
    obs[at + 1] = flag(visible)
    place(state, params, seat, x, y, obs, at + 2)
    obs[at + 5] = flag(enemy and visible and state.target[unit] == me)
    obs[at + 6] = flag(enemy and visible and is_one_blow(state, params, me, unit))
    obs[at + 7] = min(real(state.tick - state.known_tick[other]) * SECONDS_30, real(1)) if enemy else real(0)
    obs[at + 8] = real(state.respawn[other]) * SECONDS_30
    for i in range(LOOK):
        obs[at + SEEN_HERO + i] = look[i]


@rule
def place(state, params, seat, x, y, obs, at):
    """Where something is from a seat's hero: dx, dy and distance."""
    me = unit_of(params, seat)
    sign = sign_of(team_of(params, seat))
    dx, dy = (x - state.x[me]) * CELL, (y - state.y[me]) * CELL
    obs[at] = sign * dx
    obs[at + 1] = sign * dy
    obs[at + 2] = sqrt(dx * dx + dy * dy)


@rule
def observe_units(state, params, seat, index, obs):
    """A row of the groups "hostile" and "own_creeps"."""
    first = 2 * params.team_size
    at = NUM_WORLD + NUM_SELF + first * NUM_HERO + index * NUM_UNIT
    unit = state.row[seat, first + index]
    if unit < 0:
        for i in range(NUM_UNIT):
            obs[at + i] = real(0)
        return
    me = unit_of(params, seat)
    obs[at] = real(1)
    place(state, params, seat, state.x[unit], state.y[unit], obs, at + 1)
    obs[at + 4] = flag(state.target[unit] == me)
    obs[at + 5] = flag(is_one_blow(state, params, me, unit))
    obs[at + 6] = health_share(state, unit)
    obs[at + 7] = real(state.health[unit]) * HEALTH
    for i in range(TRAITS):
        obs[at + 8 + i] = state.trait[unit, i]


@rule
def observe_structures(state, params, seat, index, obs):
    """A row of the groups "siege" and "home"."""
    units = 2 * params.team_size + HOSTILE_ROWS + OWN_ROWS
    at = NUM_WORLD + NUM_SELF + 2 * params.team_size * NUM_HERO + (HOSTILE_ROWS + OWN_ROWS) * NUM_UNIT
    at += index * NUM_STRUCTURE
    unit = state.row[seat, units + index]
    if unit < 0:
        for i in range(NUM_STRUCTURE):
            obs[at + i] = real(0)
        return
    me, team = unit_of(params, seat), team_of(params, seat)
    health = state.health[unit] if index >= SIEGE_ROWS else state.known_health[unit]
    obs[at] = real(1)
    place(state, params, seat, state.x[unit], state.y[unit], obs, at + 1)
    obs[at + 4] = flag(sees(state, team, unit) and state.target[unit] == me)
    obs[at + 5] = real(health) / real(state.max_health[unit])
    obs[at + 6] = real(health) * HEALTH
    obs[at + 7] = real(state.open[unit])
    for i in range(TRAITS - 1):
        obs[at + 8 + i] = state.trait[unit, i]
