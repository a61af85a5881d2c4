"""What every rule asks of units: whose they are, where they stand, what chance gives them; how they come to life."""

import numpy as np

from envs.arena import data
from envs.arena.map import WALL
from envs.engine import randint, real, rule

DRAWS = 64
"""Streams that a unit has for its random numbers."""
FACTION_STREAMS = 1 << 16
HERO, WARD = data.HERO, data.WARD


@rule
def unit_of(params, seat):
    """The slot of a seat's hero."""
    return seat if seat < params.team_size else seat + params.team_units - params.team_size


@rule
def team_of(params, seat):
    """0 or 1."""
    return np.int32(0) if seat < params.team_size else np.int32(1)


@rule
def seat_of(params, unit):
    """The seat of a hero's slot; -1 for any other slot."""
    if params.slot_kind[unit] != HERO:
        return np.int32(-1)
    return np.int32(params.slot_faction[unit] * params.team_size + params.slot_rank[unit])


@rule
def first_unit(params, faction):
    """The first slot of a faction: 0, 1 the teams, 2, 3 the halves' neutrals."""
    if faction < 2:
        return faction * params.team_units
    return 2 * params.team_units + (faction - 2) * params.half_units


@rule
def sign_of(faction):
    """+1 or -1: what turns a faction's frame into the world's, and back."""
    return real(1) if faction & 1 == 0 else real(-1)


@rule
def coin(state):
    """0 or 1, by chance once a game: settles ties between the teams, and changes sides in the turned world."""
    return np.int32(1) if state.salt[0] > state.salt[1] else np.int32(0)


@rule
def pick(state, params, unit, n, draw):
    """An int in 0..n-1 for a unit: draw number `draw` (below `DRAWS`) of this tick."""
    return randint(state, n, stream_of(state, params, unit, draw))


@rule
def stream_of(state, params, unit, draw):
    """The stream of a unit's draw, told apart by its side's salt: both teams have random numbers of their own."""
    faction = params.slot_faction[unit]
    number = (faction >> 1) * DRAWS + params.slot_rank[unit]
    return np.int64(state.salt[faction & 1]) * np.int64(FACTION_STREAMS) + np.int64(number * DRAWS + draw)


@rule
def cell_at(params, tables, faction, x, y):
    """The cell of a place in a faction's frame: an index into `tables.cells`, or -1 outside the map."""
    sign = sign_of(faction)
    across, down = sign * x + params.half_width, sign * y + params.half_height
    if across < real(0) or down < real(0):
        return np.int32(-1)
    column, row = np.int32(across), np.int32(down)
    if column >= params.width or row >= params.height:
        return np.int32(-1)
    return np.int32(row * params.width + column)


@rule
def is_free(params, tables, faction, x, y):
    """Whether a unit can stand at a place."""
    cell = cell_at(params, tables, faction, x, y)
    return cell >= 0 and tables.cells[cell] != WALL


@rule
def flow_at(params, tables, faction, landmark, x, y):
    """The direction (0..7, 8 there) that leads to a landmark, in the faction's frame."""
    cell = cell_at(params, tables, faction, x, y)
    return np.int32(tables.flow[landmark * params.width * params.height + cell])


@rule
def distance2(state, a, b):
    """The squared distance of two units."""
    dx, dy = state.x[b] - state.x[a], state.y[b] - state.y[a]
    return dx * dx + dy * dy


@rule
def is_structure(kind):
    """Towers, barracks, ancients."""
    return data.TOWER_1 <= kind <= data.ANCIENT


@rule
def is_creep(kind):
    """Melee and ranged."""
    return kind == data.MELEE or kind == data.RANGED


@rule
def is_wild(kind):
    """Neutrals that fight: beasts of a camp and the boss."""
    return kind == data.BEAST or kind == data.BOSS


@rule
def is_open(state, params, unit):
    """Whether a structure can be hurt: the tiers before it on its lane have fallen; at the ancient, any one lane's."""
    faction = params.slot_faction[unit]
    kind = params.slot_kind[unit]
    lane = params.slot_lane[unit]
    first = first_unit(params, faction) + params.team_size
    if kind == data.TOWER_1:
        return True
    if kind == data.ANCIENT:
        for other in range(first, first + params.structures):
            if params.slot_kind[other] == data.TOWER_4 and state.health[other] > 0:
                return False
        return True
    if kind == data.TOWER_4:
        for other in range(first, first + params.structures):
            if params.slot_kind[other] == data.TOWER_3 and state.health[other] <= 0:
                return True
        return False
    before = data.TOWER_3 if kind == data.BARRACKS else kind - 1
    for other in range(first, first + params.structures):
        if params.slot_kind[other] == before and params.slot_lane[other] == lane and state.health[other] > 0:
            return False
    return True


@rule
def open_up(state, params, index):
    """Which structures can be hurt, whenever one has fallen."""
    if state.fallen > 0 and is_structure(params.slot_kind[index]):
        state.open[index] = np.int32(1) if is_open(state, params, index) else np.int32(0)


@rule
def clear_lists(state):
    """Nothing is listed, nothing lands and nobody is dead."""
    for team in range(2):
        for place in range(state.living.shape[1]):
            state.living[team, place] = np.int32(0)
        for place in range(state.front.shape[1]):
            state.front[team, place] = np.int32(0)
        for place in range(state.sighted.shape[1]):
            state.sighted[team, place] = np.int32(0)
    for group in range(state.landing.shape[0]):
        state.landing[group] = np.int32(0)
        state.dead[group] = np.int32(0)


@rule
def muster(state, params, index):
    """Lists a team's living creeps and wards, and, whenever a structure has fallen, those that can be hurt."""
    count = np.int32(0)
    first = first_unit(params, index)
    for unit in range(first + params.team_size + params.structures, first + params.team_units):
        if state.health[unit] > 0:
            state.living[index, count] = np.int32(unit)
            count += np.int32(1)
    state.num_living[index] = count
    if state.fallen > 0:
        list_front(state, params, index, first + params.team_size)


@rule
def list_front(state, params, team, first):
    """Lists a team's standing structures that can be hurt; its first structure is `first`."""
    count = np.int32(0)
    for unit in range(first, first + params.structures):
        if state.health[unit] > 0 and state.open[unit] != 0:
            state.front[team, count] = np.int32(unit)
            count += np.int32(1)
    state.num_front[team] = count


@rule
def clear_unit(state, unit):
    """No harm, no aim, no effect."""
    state.vx[unit] = real(0)
    state.vy[unit] = real(0)
    state.target[unit] = np.int32(-1)
    state.foe[unit] = np.int32(-1)
    state.wait[unit] = np.int32(0)
    state.shot_victim[unit] = np.int32(-1)
    state.shot_ticks[unit] = np.int32(0)
    state.shot_time[unit] = np.int32(0)
    state.hurt[unit] = np.int32(0)
    state.claim[unit] = np.int32(0)
    state.stun[unit] = np.int32(0)
    state.slow[unit] = np.int32(0)
    state.shield[unit] = np.int32(0)
    state.shield_ticks[unit] = np.int32(0)
    state.burn[unit] = np.int32(0)
    state.burn_ticks[unit] = np.int32(0)
    state.burner[unit] = np.int32(-1)
    state.died[unit] = np.int32(0)


@rule
def raise_unit(state, params, unit, x, y):
    """Brings a unit that nobody plays to life at a place, as strong as the game's time makes it."""
    kind = params.slot_kind[unit]
    minutes = state.tick // np.int32(60 * data.TICKS_PER_SECOND)
    clear_unit(state, unit)
    state.x[unit] = x
    state.y[unit] = y
    state.home_x[unit] = x
    state.home_y[unit] = y
    state.max_health[unit] = params.kind_health[kind] + minutes * params.kind_health_growth[kind]
    state.health[unit] = state.max_health[unit]
    state.damage[unit] = params.kind_damage[kind] + minutes * params.kind_damage_growth[kind]
    state.armor[unit] = params.kind_armor[kind]
    state.reach[unit] = params.kind_reach[kind]
    state.speed[unit] = params.kind_speed[kind]
    state.period[unit] = params.kind_period[kind]
    state.back[unit] = np.int32(0)


@rule
def reset_units(state, params, index):
    """Every slot at the start of a game: structures stand, the boss waits for its time, heroes come in economy.py."""
    kind = params.slot_kind[index]
    raise_unit(state, params, index, params.slot_x[index], params.slot_y[index])
    if is_creep(kind) or kind == WARD or kind == data.BOSS:
        state.health[index] = np.int32(0)
    state.seen[index] = np.int32(0)
    state.open[index] = np.int32(0) if is_structure(kind) else np.int32(1)
    state.known_health[index] = state.max_health[index]
