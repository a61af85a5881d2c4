"""One arena as a record, its tunables, and how units are numbered.

Units stand in fixed slots of one table, faction by faction: the first team, the second, the neutrals of the first
team's half, those of the second's. A team's slots are its heroes, structures, creeps (lane by lane) and wards; a half's
are its camp beasts and the boss of its pit. So slot `u` of the first team answers slot `u + team_units` of the second,
and turning the world by 180 degrees is an exchange of slots and a change of sign (`mirror`).
"""

from typing import Any, NamedTuple

import numpy as np

from envs.arena import data
from envs.arena.map import Map
from envs.engine.rules import real

i32 = np.int32

CREEPS_A_LANE, WARDS, BEASTS_A_CAMP = 8, 3, 2
HOSTILE_ROWS, OWN_ROWS, SIEGE_ROWS, HOME_ROWS = 8, 4, 2, 1
"""Rows of a hero's table beside heroes: enemy creeps, neutrals and wards; own creeps; enemy structures; an own one."""
EVENTS = 16
GROUP = 8
"""Slots that are counted together."""
EYES = 4
"""Groups of a team's units that look round side by side."""
NUM_ITEMS = len(data.ITEMS)

STOP, MOVE, ATTACK, CAST, WARD, RECALL, BUY = 0, 1, 2, 3, 7, 8, 9
"""Verbs: `CAST` to `CAST + 3` are the abilities; `BUY` to `BUY + NUM_ITEMS - 1` items and the four after them abilities
to learn, where an option hands these to the policy."""
LEARN = BUY + NUM_ITEMS
NUM_VERBS, NUM_ALL_VERBS = BUY, LEARN + data.NUM_ABILITIES
NUM_DIRECTIONS = 8

TERMS = (
    "win", "ancient", "structures", "kill", "assist", "death", "last_hit", "deny", "gold", "gold_spent", "xp", "health",
    "mana", "boss",
)  # fmt: skip
WEIGHTS = (5.0, 5.0, 1.0, -0.6, 0.0, -1.0, -0.16, 0.15, 0.006, 0.0006, 0.002, 2.0, 0.75, 0.0)
"""OpenAI Five's weights (arXiv 1912.06680, table 6); `structures` carries the tier's own weight, `Kind.worth`."""
(WIN, CORE, STRUCTURES, KILL, ASSIST, DEATH, LAST_HIT, DENY, GOLD, SPENT, XP, HEALTH, MANA, BOSS_TERM) = range(
    len(TERMS)
)

KILLED, FELL, BOSS_SLAIN, WARDED = range(1, 5)
"""Events: (tick, what, unit, other unit or number)."""


class Size(NamedTuple):
    """How many units of each sort a world has, and rows of its fog."""

    team_size: int
    structures: int
    lanes: int
    camps: int
    boss: int
    fog_rows: int

    @property
    def team_units(self) -> int:
        """Slots of a team."""
        return self.team_size + self.structures + self.lanes * CREEPS_A_LANE + WARDS

    @property
    def half_units(self) -> int:
        """Slots of the neutrals of a half."""
        return self.camps * BEASTS_A_CAMP + self.boss

    @property
    def units(self) -> int:
        """All slots."""
        return 2 * (self.team_units + self.half_units)

    @property
    def groups(self) -> int:
        """Groups of all slots."""
        return -(-self.units // GROUP)

    @property
    def rows(self) -> int:
        """Rows of a hero's table of targets."""
        return 2 * self.team_size + HOSTILE_ROWS + OWN_ROWS + SIEGE_ROWS + HOME_ROWS


def size_of(map: Map, team_size: int) -> Size:
    """The slots that a map and a team need."""
    camps, boss = len(map.camps), int(map.pit is not None)
    return Size(team_size, len(map.structures), len(map.lanes), camps, boss, map.height // 2)


def state_dtype(size: Size) -> np.dtype:
    """The record of one arena. `[u]` is a slot, `[h]` a hero (a seat), `[t]` a team."""
    u, h, t = (size.units,), (2 * size.team_size,), (2,)
    fields: list[Any] = [
        ("salt", i32, t),  # of each team's random numbers; `mirror` exchanges them
        ("x", real, u),
        ("y", real, u),
        ("vx", real, u),  # cells it wants to go this tick
        ("vy", real, u),
        ("health", i32, u),  # 0: dead, or not there
        ("max_health", i32, u),
        ("damage", i32, u),
        ("armor", i32, u),
        ("reach", real, u),
        ("speed", real, u),
        ("period", i32, u),
        ("target", i32, u),  # slot, or -1
        ("foe", i32, u),  # of neutrals: slot of the hero who hurt it last, or -1
        ("wait", i32, u),  # ticks until it may attack
        ("shot_victim", i32, u),
        ("shot_ticks", i32, u),  # until what it shot lands; 0: nothing flies
        ("shot_time", i32, u),  # how long it flies in all
        ("hurt", i32, u),  # damage taken this tick
        ("claim", i32, u),  # who did the most of it: damage * 256 + order
        ("stun", i32, u),  # ticks left, as those below
        ("slow", i32, u),
        ("shield", i32, u),
        ("shield_ticks", i32, u),
        ("burn", i32, u),
        ("burn_ticks", i32, u),
        ("burner", i32, u),  # slot of the hero who lit it
        ("died", i32, u),  # 1 in the tick of its death
        ("landing", i32, size.groups),  # attacks of a group of slots that land this tick
        ("dead", i32, size.groups),  # deaths in a group of slots this tick
        ("open", i32, u),  # 0: a structure that can't be hurt
        ("seen", i32, u),  # bit t: team t sees it
        ("known_health", i32, u),  # of structures: when the enemy last saw it
        ("back", i32, u),  # tick at which a beast or boss comes back
        ("home_x", real, u),
        ("home_y", real, u),
        ("hero", i32, h),  # row of the heroes' table
        ("lane", i32, h),  # that it is assigned to
        ("level", i32, h),
        ("xp", i32, h),
        ("gold", i32, h),
        ("earned", i32, h),
        ("spent", i32, h),
        ("mana", i32, h),
        ("max_mana", i32, h),
        ("regen", i32, h),
        ("mana_regen", i32, h),
        ("power", i32, h),
        ("points", i32, h),  # to learn with
        ("rank", i32, (*h, data.NUM_ABILITIES)),
        ("cooldown", i32, (*h, data.NUM_ABILITIES)),
        ("items", i32, (*h, NUM_ITEMS)),
        ("num_items", i32, h),
        ("respawn", i32, h),  # ticks until it lives again
        ("recall", i32, h),  # ticks that it has channelled
        ("provoked", i32, h),  # ticks in which towers and creeps turn on it
        ("facing_x", real, h),
        ("facing_y", real, h),
        ("dash", real, h),  # cells left to leap this tick
        ("spell", i32, h),  # ability under way, or -1
        ("spell_ticks", i32, h),
        ("spell_victim", i32, h),
        ("spell_x", real, h),
        ("spell_y", real, h),
        ("num_due", i32),  # spells that take effect this tick
        ("cast_tick", i32, h),  # when the last spell took effect; for drawing
        ("hit_tick", i32, (*h, size.team_size)),  # when enemy j last hurt it
        ("known_tick", i32, h),  # when the enemy last saw it
        ("known_x", real, h),
        ("known_y", real, h),
        ("known_look", real, (*h, LOOK)),
        ("look", real, (*h, LOOK)),  # what its own team knows of it
        ("news", real, (2, NEWS)),  # what a team knows of the world
        ("d2", real, (*h, size.units)),  # squared distance to every slot
        ("near", real, (*h, HOSTILE_ROWS)),  # scratch
        ("ways", i32, h),  # bit i: a step in direction i ends on free ground
        ("row", i32, (*h, size.rows)),  # slots of its table of targets, or -1
        ("held", i32, h),  # slot that its last action was aimed at, or -1
        ("trait", real, (size.units, TRAITS)),
        ("glimpse", np.uint32, (2, EYES, size.fog_rows)),  # what some of its units see
        ("fog", np.uint32, (2, size.fog_rows)),  # bits that the team sees, in its own frame
        ("lit", np.uint32, (2, size.fog_rows)),  # the part of it that its structures see
        ("fallen", i32),  # structures that fell this tick
        ("living", i32, (2, size.team_units)),  # a team's living creeps and wards, in order
        ("num_living", i32, t),
        ("front", i32, (2, size.structures)),  # a team's structures that can be hurt, in order
        ("num_front", i32, t),
        ("sighted", i32, (2, size.team_units + 2 * size.half_units)),  # hostile units that a team sees, but heroes
        ("num_sighted", i32, t),  # and structures
        ("kills", i32, h),
        ("deaths", i32, h),
        ("assists", i32, h),
        ("last_hits", i32, h),
        ("denies", i32, h),
        ("illegal", i32, h),
        ("won", i32, h),
        ("lost", i32, h),
        ("net_worth", i32, h),
        ("terms", real, (*h, len(TERMS))),
        ("own", real, h),  # weighted, before it is shared
        ("before", real, (*h, 2)),  # health and mana as the reward last saw them
        ("siege", real, (2, 2)),  # what a team has done to the enemy's core and structures, likewise
        ("team_kills", i32, t),
        ("fade", real),  # of rewards, so far
        ("might", i32, t),  # ticks left of the boss's blessing
        ("wards", i32, t),  # to place
        ("waves", i32),
        ("wave_due", i32),  # 1: creeps come this tick
        ("boss_back", i32),  # tick at which the boss comes; 0: it is there
        ("event", i32, (EVENTS, 4)),
        ("num_events", i32),
    ]
    return np.dtype(fields, align=True)


LOOK_HEALTH, LOOK_POINTS, LOOK_MANA, LOOK_LEVEL, LOOK_STUN, LOOK_HERO = 0, 1, 2, 3, 8, 12
LOOK = LOOK_HERO + len(data.HEROES)
"""Numbers that describe a hero beside where it is (see `observe.describe_hero`); some of their places: its share of
health, the points, its share of mana, its level, the first of what holds it for the moment, which hero it is."""
NEWS = 19
"""Numbers that describe the world to a team; see observe.py."""
TRAITS = 4
"""Numbers that tell any other unit's kind."""


def params_dtype(size: Size) -> np.dtype:
    """The tunables: of the world, of its slots, and every column of data.py."""
    slots = (size.units,)
    fields: list[Any] = [
        ("team_size", i32),
        ("team_units", i32),
        ("half_units", i32),
        ("units", i32),
        ("structures", i32),
        ("lanes", i32),
        ("camps", i32),
        ("boss", i32),
        ("core", i32),  # team-relative slot of the structure whose fall ends the game
        ("width", i32),
        ("height", i32),
        ("half_width", real),
        ("half_height", real),
        ("fountain_x", real),
        ("fountain_y", real),
        ("lane_name", i32, (3,)),  # 0 top, 1 middle, 2 bottom of the map's lanes
        ("slot_kind", i32, slots),
        ("slot_faction", i32, slots),  # 0, 1 the teams, 2, 3 the halves' neutrals
        ("slot_rank", i32, slots),  # number within the faction
        ("slot_lane", i32, slots),  # or -1; of beasts the camp
        ("slot_x", real, slots),  # where structures and neutrals stand
        ("slot_y", real, slots),
        ("lineup", i32),  # FIXED, MIRROR or RANDOM
        ("heroes", i32, (2 * size.team_size,)),  # rows of the heroes' table under FIXED
        ("hold", i32, (2 * size.team_size,)),  # ticks for which a caller's action holds
        ("kills_to_win", i32),  # 0: only the core counts
        ("first_wave", i32),
        ("wave_period", i32),
        ("camp_period", i32),
        ("boss_period", i32),
        ("ward_period", i32),
        ("respawn_base", i32),
        ("respawn_level", i32),
        ("recall_ticks", i32),
        ("shop_reach", real),
        ("share_reach", real),  # cells within which a death gives experience
        ("start_gold", i32),
        ("start_level", i32),
        ("gold_pulse", i32),
        ("kill_gold", i32),
        ("kill_gold_level", i32),
        ("assist_gold", i32),
        ("kill_xp", i32),
        ("kill_xp_level", i32),
        ("level_xp", i32, (data.MAX_LEVEL + 1,)),  # experience at which level i is reached
        ("auto_shop", i32),
        ("auto_learn", i32),
        ("team_spirit", real),
        ("zero_sum", real),
        ("fade", real),  # what all rewards but the win are multiplied by from tick to tick
    ]
    fields += [(f"reward_{name}", real) for name in TERMS]
    fields += [(name, column.dtype, column.shape) for name, column in data.tables().items()]
    return np.dtype(fields, align=True)


FIXED, MIRROR, RANDOM = 0, 1, 2


def params_row(map: Map, size: Size) -> np.ndarray:
    """One row of tunables with the map, the slots and the tables of data.py in it; the rest is zero."""
    row = np.zeros(1, params_dtype(size))
    for name in ("team_size", "team_units", "half_units", "units", "structures", "lanes", "camps", "boss"):
        row[name] = getattr(size, name)
    for name, column in data.tables().items():
        row[name] = column
    for term, weight in zip(TERMS, WEIGHTS, strict=True):
        row[f"reward_{term}"] = weight
    row["width"], row["height"] = map.width, map.height
    row["half_width"], row["half_height"] = map.width / 2, map.height / 2
    row["fountain_x"], row["fountain_y"] = map.fountain
    row["lane_name"][0, : size.lanes] = map.lanes
    row["core"] = size.team_size + max(range(size.structures), key=lambda i: map.structures[i].kind)
    _slots(row, map, size)
    return row


def _slots(row: np.ndarray, map: Map, size: Size) -> None:
    """Numbers the slots: the first team's and its half's, then their images."""
    own = [(data.HERO, -1, *map.fountain)] * size.team_size
    own += [(s.kind, map.lanes.index(s.lane) if s.lane >= 0 else -1, s.x, s.y) for s in map.structures]
    for lane in range(size.lanes):
        own += [(data.RANGED if i % 4 == 3 else data.MELEE, lane, 0.0, 0.0) for i in range(CREEPS_A_LANE)]
    own += [(data.WARD, -1, 0.0, 0.0)] * WARDS
    wild = []
    for number, (x, y) in enumerate(map.camps):
        wild += [(data.BEAST, number, x - 0.5, y), (data.BEAST, number, x + 0.5, y)]
    if map.pit:
        wild.append((data.BOSS, -1, *map.pit))
    factions = [(0, own, 1.0), (1, own, -1.0), (2, wild, 1.0), (3, wild, -1.0)]
    slots = [(f, i, s, *unit) for f, units, s in factions for i, unit in enumerate(units)]
    for u, (faction, rank, sign, kind, lane, x, y) in enumerate(slots):
        row["slot_faction"][0, u], row["slot_rank"][0, u], row["slot_kind"][0, u] = faction, rank, kind
        row["slot_lane"][0, u], row["slot_x"][0, u], row["slot_y"][0, u] = lane, sign * x, sign * y


def partners(params: np.ndarray) -> np.ndarray:
    """For each slot the one that it changes places with when the world is turned, int `[units]`."""
    team, half, units = int(params["team_units"]), int(params["half_units"]), int(params["units"])
    slots = np.arange(units)
    turned = np.where(slots < team, slots + team, slots - team)
    return np.where(slots < 2 * team, turned, np.where(slots < 2 * team + half, slots + half, slots - half))


PLACES = ("x", "y", "vx", "vy", "home_x", "home_y", "facing_x", "facing_y", "spell_x", "spell_y", "known_x", "known_y")
SLOT_NUMBERS = ("target", "foe", "shot_victim", "burner", "spell_victim", "row", "held", "living", "front", "sighted")


def mirror(records: np.ndarray, params: np.ndarray) -> np.ndarray:
    """The same worlds turned by 180 degrees with the teams exchanged: a copy of `records` `[num_worlds]`.

    Playing it with the exchanged seats' actions gives the exchanged seats the same observations, masks and rewards.
    """
    turned = records.copy()
    partner = partners(params)
    seats, units = turned["hero"].shape[1], len(partner)
    exchange = (np.arange(seats) + seats // 2) % seats
    of_size = {(seats,): exchange, (units,): partner, (2,): np.array([1, 0])}
    for name in records.dtype.names or ():
        shape = records.dtype[name].shape
        if shape[:1] in of_size and name != "event":
            turned[name] = turned[name][:, of_size[shape[:1]]]
        if name in PLACES:
            turned[name] = -turned[name]
        if name in SLOT_NUMBERS:
            turned[name] = np.where(turned[name] >= 0, partner[turned[name]], -1)
    turned["d2"] = turned["d2"][:, :, partner]
    return turned
