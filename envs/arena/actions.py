"""What a hero may do now: the table of its targets, the mask of legal actions, and obedience to the action given."""

import numpy as np

from envs.arena import data
from envs.arena.abilities import ability_of, can_act, can_aim, can_cast
from envs.arena.economy import at_shop, can_buy, can_learn
from envs.arena.movement import SLOWED, UNIT_X, UNIT_Y
from envs.arena.state import (
    ATTACK,
    BUY,
    CAST,
    HOME_ROWS,
    HOSTILE_ROWS,
    LEARN,
    MOVE,
    NUM_DIRECTIONS,
    NUM_VERBS,
    OWN_ROWS,
    RECALL,
    SIEGE_ROWS,
    STOP,
    WARD,
)  # fmt: skip
from envs.arena.units import (
    first_unit,
    is_creep,
    is_free,
    is_structure,
    sign_of,
    team_of,
    unit_of,
)  # fmt: skip
from envs.arena.vision import sees
from envs.arena.waves import free_ward
from envs.engine import ActionLayout, real, rule

NUM_ABILITIES, HERO = data.NUM_ABILITIES, data.HERO
SELF, AROUND, FRIEND = data.SELF, data.AROUND, data.FRIEND
HOSTILE_REACH2, OWN_REACH2 = real(12 * 12), real(9 * 9)
FAR = real(1e9)
SHARES = 3
"""Of the slots, in which a hero measures how far they are: so that thirty threads have something to do."""


def action_layout(num_verbs: int, num_rows: int) -> ActionLayout:
    """Verbs; a target's row, legal by verb: attacks, then each ability; one of eight directions, for `MOVE`."""
    target = [-1] * num_verbs
    target[ATTACK] = 0
    for ability in range(NUM_ABILITIES):
        target[CAST + ability] = 1 + ability
    direction = [-1] * num_verbs
    direction[MOVE] = 0
    return ActionLayout((num_verbs, num_rows, NUM_DIRECTIONS), (tuple(target), tuple(direction)))


@rule
def measure(state, params, index, part):
    """The squared distances of a hero to a share of the slots."""
    unit = unit_of(params, index)
    x, y = state.x[unit], state.y[unit]
    for other in range(params.units * part // SHARES, params.units * (part + 1) // SHARES):
        dx, dy = state.x[other] - x, state.y[other] - y
        state.d2[index, other] = dx * dx + dy * dy


@rule
def find_targets(state, params, index):
    """Fills a hero's table: enemy heroes, itself, its mates, the nearest hostile units, own creeps and structures."""
    team, size = team_of(params, index), params.team_size
    for rank in range(size):
        enemy = first_unit(params, 1 - team) + rank
        state.row[index, rank] = enemy if state.health[enemy] > 0 and sees(state, team, enemy) else -1
        mate = first_unit(params, team) + (index + rank) % size
        state.row[index, size + rank] = mate if state.health[mate] > 0 else -1
    find_hostile(state, index, team, 2 * size)
    find_own(state, params, index, team, 2 * size + HOSTILE_ROWS)
    first = 2 * size + HOSTILE_ROWS + OWN_ROWS
    nearest, second = nearest_structures(state, params, index, 1 - team)
    state.row[index, first] = nearest
    state.row[index, first + 1] = second
    nearest, second = nearest_structures(state, params, index, team)
    state.row[index, first + SIEGE_ROWS] = nearest


@rule
def find_hostile(state, seat, team, first):
    """The nearest enemy creeps, wards and neutrals in sight."""
    clear_rows(state, seat, first, HOSTILE_ROWS)
    for i in range(state.num_sighted[team]):
        unit = state.sighted[team, i]
        if state.d2[seat, unit] <= HOSTILE_REACH2:
            keep_nearest(state, seat, unit, first, HOSTILE_ROWS)


@rule
def find_own(state, params, seat, team, first):
    """The nearest own creeps."""
    clear_rows(state, seat, first, OWN_ROWS)
    for i in range(state.num_living[team]):
        unit = state.living[team, i]
        if state.d2[seat, unit] <= OWN_REACH2 and is_creep(params.slot_kind[unit]):
            keep_nearest(state, seat, unit, first, OWN_ROWS)


@rule
def nearest_structures(state, params, seat, faction):
    """The two nearest standing structures of a team, or -1."""
    best, nearest, other, farther = np.int32(-1), FAR, np.int32(-1), FAR
    start = first_unit(params, faction) + params.team_size
    for unit in range(start, start + params.structures):
        d2 = state.d2[seat, unit] if state.health[unit] > 0 else FAR
        if d2 < nearest:
            best, nearest, other, farther = np.int32(unit), d2, best, nearest
        elif d2 < farther:
            other, farther = np.int32(unit), d2
    return best, other


@rule
def find_ways(state, params, tables, index):
    """Notes the directions in which a hero's step ends on free ground."""
    unit, team = unit_of(params, index), team_of(params, index)
    speed = state.speed[unit] * SLOWED if state.slow[unit] > 0 else state.speed[unit]
    step = sign_of(team) * speed
    ways = np.int32(0)
    for direction in range(NUM_DIRECTIONS):
        x, y = state.x[unit] + UNIT_X[direction] * step, state.y[unit] + UNIT_Y[direction] * step
        if is_free(params, tables, team, x, y):
            ways |= np.int32(1 << direction)
    state.ways[index] = ways


@rule
def clear_rows(state, seat, first, count):
    """Empties rows of a hero's table."""
    for i in range(count):
        state.row[seat, first + i] = np.int32(-1)
        state.near[seat, i] = FAR


@rule
def keep_nearest(state, seat, unit, first, count):
    """Inserts a unit among the `count` nearest so far, which are in order."""
    d2 = state.d2[seat, unit]
    i = count - 1
    if d2 >= state.near[seat, i]:
        return
    while i > 0 and d2 < state.near[seat, i - 1]:
        state.near[seat, i] = state.near[seat, i - 1]
        state.row[seat, first + i] = state.row[seat, first + i - 1]
        i -= 1
    state.near[seat, i] = d2
    state.row[seat, first + i] = np.int32(unit)


@rule
def can_attack(state, params, seat, target):
    """Whether a slot of the table may be attacked: enemies, open structures, own creeps below half their health."""
    if target < 0:
        return False
    kind = params.slot_kind[target]
    if params.slot_faction[target] == team_of(params, seat):
        return is_creep(kind) and 2 * state.health[target] < state.max_health[target]
    return not is_structure(kind) or state.open[target] != 0


@rule
def can_go(state, seat, direction):
    """Whether a step in a direction ends on free ground."""
    return (state.ways[seat] >> direction) & 1 != 0


@rule
def can_recall(state, params, seat):
    """Whether there is any point in it."""
    return not at_shop(state, params, seat)


@rule
def can_ward(state, params, seat):
    """Whether the team has a ward in stock and a free slot for it."""
    team = team_of(params, seat)
    return state.wards[team] > 0 and free_ward(state, params, team) >= 0


@rule
def is_legal(state, params, seat):
    """Whether the mask allows a seat's action."""
    verb = state.action[seat, 0]
    if verb == STOP:
        return True
    if verb >= LEARN:
        return params.auto_learn == 0 and can_learn(state, seat, verb - LEARN)
    if not can_act(state, params, seat):
        return False
    if verb == MOVE:
        return can_go(state, seat, state.action[seat, 2])
    if verb == ATTACK:
        return can_attack(state, params, seat, state.row[seat, state.action[seat, 1]])
    if verb == WARD:
        return can_ward(state, params, seat)
    if verb == RECALL:
        return can_recall(state, params, seat)
    if verb >= BUY:
        return params.auto_shop == 0 and at_shop(state, params, seat) and can_buy(state, params, seat, verb - BUY)
    target = state.row[seat, state.action[seat, 1]]
    if target < 0 or not can_cast(state, params, seat, verb - CAST):
        return False
    return can_aim(state, params, seat, ability_of(state, seat, verb - CAST), target)


@rule
def obey(state, params, index):
    """Turns an illegal action into `STOP` and counts it; anything but `STOP` and `RECALL` ends a recall.

    An action that holds for several ticks keeps its target, whatever row it is in by now.
    """
    held = state.control[index] == 0 and (state.tick - 1) % params.hold[index] > 0
    if held:
        keep_target(state, index)
    else:
        state.held[index] = state.row[index, state.action[index, 1]]
    if not is_legal(state, params, index):
        state.action[index, 0] = np.int32(STOP)
        state.illegal[index] += np.int32(0 if held else 1)
    verb = state.action[index, 0]
    if verb == RECALL:
        state.recall[index] += np.int32(1)
    elif verb != STOP:
        state.recall[index] = np.int32(0)


@rule
def keep_target(state, seat):
    """Finds the row of what the seat's action was aimed at; if it is gone, an action that is aimed ends, and what is
    done once (a ward, a purchase, a point for an ability) was done in the first tick."""
    verb = state.action[seat, 0]
    if verb == WARD or verb >= BUY:
        state.action[seat, 0] = np.int32(STOP)
        return
    for row in range(state.row.shape[1]):
        if state.row[seat, row] == state.held[seat]:
            state.action[seat, 1] = np.int32(row)
            return
    if verb == ATTACK or CAST <= verb < WARD:
        state.action[seat, 0] = np.int32(STOP)


@rule
def write_mask(state, params, seat, mask):
    """Columns: verbs, then the rows legal for an attack and for each ability, then directions; see `action_layout`. All
    but what abilities may be aimed at."""
    rows = state.row.shape[1]
    num_verbs = mask.shape[0] - (1 + NUM_ABILITIES) * rows - NUM_DIRECTIONS
    mask[STOP] = True
    if num_verbs > NUM_VERBS:
        mask_shop(state, params, seat, mask)
    if not can_act(state, params, seat):
        return
    mask[MOVE] = state.ways[seat] != 0
    for direction in range(NUM_DIRECTIONS):
        mask[mask.shape[0] - NUM_DIRECTIONS + direction] = can_go(state, seat, direction)
    mask[WARD] = can_ward(state, params, seat)
    mask[RECALL] = can_recall(state, params, seat)
    mask_attack(state, params, seat, mask, num_verbs, 0, params.team_size)
    mask_attack(state, params, seat, mask, num_verbs, 2 * params.team_size, rows - HOME_ROWS)


@rule
def mask_attack(state, params, seat, mask, num_verbs, first, last):
    """Marks which of some rows may be attacked; mates and the home never are."""
    for row in range(first, last):
        if can_attack(state, params, seat, state.row[seat, row]):
            mask[num_verbs + row] = True
            mask[ATTACK] = True


@rule
def mask_ability(state, params, seat, index, mask):
    """Marks the rows that a ready ability may be aimed at: oneself, mates, or enemy heroes and hostile units."""
    if not (can_act(state, params, seat) and can_cast(state, params, seat, index)):
        return
    ability, size, rows = ability_of(state, seat, index), params.team_size, state.row.shape[1]
    first = mask.shape[0] - NUM_DIRECTIONS - (NUM_ABILITIES - index) * rows
    aim = params.ability_aim[ability]
    first_row, last_row = 0, 2 * size + HOSTILE_ROWS
    if aim == SELF or aim == AROUND:
        first_row, last_row = size, size + 1
    elif aim == FRIEND:
        first_row, last_row = size, 2 * size
    for row in range(first_row, last_row):
        target = state.row[seat, row]
        if target >= 0 and can_aim(state, params, seat, ability, target):
            mask[first + row] = True
            mask[CAST + index] = True


@rule
def mask_shop(state, params, seat, mask):
    """Marks what the policy may buy and learn, where options hand that to it."""
    if params.auto_learn == 0:
        for ability in range(NUM_ABILITIES):
            mask[LEARN + ability] = can_learn(state, seat, ability)
    if params.auto_shop == 0 and can_act(state, params, seat) and at_shop(state, params, seat):
        for item in range(LEARN - BUY):
            mask[BUY + item] = can_buy(state, params, seat, item)
