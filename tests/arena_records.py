"""Records of the arena filled by hand, for what needs a game under way but no rules."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from envs.arena import data
from envs.engine.rules import World, param_records, record_dtype

TICK = 1000
START = {"target": -1, "shot_victim": -1, "spell": -1, "spell_victim": -1, "burner": -1, "row": -1, "cast_tick": -1000}


def game(world: World) -> tuple[Any, Any, Any]:
    """(state, params, tables): structures, neutrals and all heroes stand, each hero near its fountain; all is seen."""
    params = param_records(world).view(np.recarray)[0]
    state = np.zeros(1, record_dtype(world)).view(np.recarray)[0]
    for name, value in START.items():
        state[name] = value
    kind = params.slot_kind
    state.x[:], state.y[:] = params.slot_x, params.slot_y
    state.home_x[:], state.home_y[:] = params.slot_x, params.slot_y
    state.max_health[:] = np.where(kind == data.HERO, 500, params.kind_health[kind])
    stands = ~np.isin(kind, (data.MELEE, data.RANGED, data.WARD))
    state.health[:] = np.where(stands, state.max_health, 0)
    state.known_health[:], state.open[:], state.seen[:] = state.health, 1, 3
    state.fog[:] = 0xFFFFFFFF
    state.hero[:] = np.arange(world.num_seats) % len(data.HEROES)
    state.level[:], state.mana[:], state.max_mana[:], state.rank[:] = 3, 150, 200, 1
    state.facing_x[:], state.known_tick[:] = 1, TICK
    state.tick = TICK
    heroes = np.flatnonzero(kind == data.HERO)
    for rank, unit in enumerate(heroes):
        place(state, int(unit), float(state.x[unit]) * 0.8, float(state.y[unit]) * 0.8 + rank % 5)
        state.reach[unit], state.speed[unit] = 5, 0.6
    return state, params, SimpleNamespace(**world.tables)


def place(state: Any, unit: int, x: float, y: float) -> None:
    """Puts a unit somewhere."""
    state.x[unit], state.y[unit] = x, y


def darken(state: Any, params: Any, team: int) -> None:
    """A team sees nothing but its own units."""
    state.fog[team] = 0
    state.seen[:] = np.where(params.slot_faction == team, 3, 3 & ~(1 << team))
