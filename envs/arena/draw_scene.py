"""One record as the renderers ask for it: who is where, what the team whose view is shown knows, what was just cast."""

from functools import cached_property
from typing import Any

import numpy as np

from envs.arena import data
from envs.arena.state import LOOK_LEVEL
from envs.engine.colors import BLUE, ORANGE, VIOLET, Color

TEAM_COLORS: tuple[Color, Color, Color, Color] = (BLUE, ORANGE, VIOLET, VIOLET)
"""By faction: the teams and the neutrals."""
TEAM_NAMES = ("BLUE", "ORANGE")
GLOW = 3
"""Ticks for which a spell that took effect is drawn."""


class Scene:
    """A record with its tunables, seen by `team`: 0 or 1, or -1 for a spectator who sees all.

    Args:
        state: one record.
        params: its row of tunables.
        team: whose fog hides things.
        scale: cells that a symbol designed as one cell takes.
        top: the upper edge of what is shown.
    """

    def __init__(self, state: Any, params: Any, team: int = -1, scale: float = 1.0, top: float = -99.0) -> None:
        self.state, self.params, self.team, self.scale, self.top = state, params, team, scale, top
        self.kind, self.faction = np.asarray(params.slot_kind), np.asarray(params.slot_faction)
        self.x, self.y = np.asarray(state.x, float).tolist(), np.asarray(state.y, float).tolist()
        self.health = np.asarray(state.health)
        self.tick = int(state.tick)
        self.team_size = int(params.team_size)
        self.seats = range(2 * self.team_size)

    @cached_property
    def shown(self) -> np.ndarray:
        """bool `[units]`: alive, and seen by the team; structures always."""
        structures = (self.kind >= data.TOWER_1) & (self.kind <= data.ANCIENT)
        return (self.health > 0) & (self.seen | structures)

    @cached_property
    def seen(self) -> np.ndarray:
        """bool `[units]`: stands where the team sees."""
        if self.team < 0:
            return np.ones(len(self.kind), np.bool_)
        return (np.asarray(self.state.seen) >> self.team) & 1 != 0

    @cached_property
    def lit(self) -> np.ndarray:
        """bool `[height / 2, width / 2]`: where the team sees, in the world's frame."""
        shape = int(self.params.height) // 2, int(self.params.width) // 2
        if self.team < 0:
            return np.ones(shape, np.bool_)
        rows = np.asarray(self.state.fog)[self.team]
        grid = (rows[:, None] >> np.arange(shape[1], dtype=np.uint32)) & 1 != 0
        return grid[::-1, ::-1] if self.team else grid

    def is_lit(self, x: float, y: float) -> bool:
        """Whether the team sees a place."""
        row, column = int((y + float(self.params.half_height)) / 2), int((x + float(self.params.half_width)) / 2)
        height, width = self.lit.shape
        return bool(self.lit[min(max(row, 0), height - 1), min(max(column, 0), width - 1)])

    def unit(self, seat: int) -> int:
        """The slot of a seat's hero."""
        return seat if seat < self.team_size else seat + int(self.params.team_units) - self.team_size

    def seat(self, unit: int) -> int:
        """The seat of a hero's slot; -1 for others."""
        if self.kind[unit] != data.HERO:
            return -1
        return int(self.faction[unit]) * self.team_size + int(self.params.slot_rank[unit])

    def at(self, unit: int) -> tuple[float, float]:
        """Where a unit stands."""
        return self.x[unit], self.y[unit]

    def color(self, unit: int) -> Color:
        """Of a unit's side."""
        return TEAM_COLORS[int(self.faction[unit])]

    def knows(self, seat: int) -> bool:
        """Whether the team knows how a seat's hero is: its own, or one in sight."""
        return self.team < 0 or seat // self.team_size == self.team or bool(self.shown[self.unit(seat)])

    def level_of(self, seat: int) -> int:
        """The level of a seat's hero, or what the team last saw of it; 0: it has never seen him."""
        if self.knows(seat):
            return int(self.state.level[seat])
        return round(float(self.state.known_look[seat, LOOK_LEVEL]) * data.MAX_LEVEL)

    def health_of(self, unit: int) -> float:
        """The share of its health that the team knows of."""
        known = int(self.health[unit])
        if not self.seen[unit]:
            known = int(self.state.known_health[unit])
        return known / max(int(self.state.max_health[unit]), 1)

    def under_way(self, seat: int) -> tuple[int, float] | None:
        """(ability, share of its delay that has passed) of a spell not yet in effect."""
        ability = int(self.state.spell[seat])
        if ability < 0:
            return None
        delay = int(self.params.ability_delay[ability]) + 1
        return ability, 1 - int(self.state.spell_ticks[seat]) / delay

    def just_cast(self, seat: int) -> tuple[int, float] | None:
        """(ability, share of its afterglow that has passed) of a spell that took effect a moment ago.

        The record says when, not which: that is the one whose cooldown began its delay before.
        """
        age = self.tick - int(self.state.cast_tick[seat])
        if not 0 <= age <= GLOW + 1:
            return None
        best = None
        for number in range(data.NUM_ABILITIES):
            ability = int(self.state.hero[seat]) * data.NUM_ABILITIES + number
            begun = int(self.params.ability_cooldown[ability]) - int(self.state.cooldown[seat, number])
            off = abs(begun - age - int(self.params.ability_delay[ability]))
            if int(self.state.cooldown[seat, number]) > 0 and (best is None or off < best[0]):
                best = off, ability
        return (best[1], age / (GLOW + 2)) if best and best[0] <= 1 else None

    def spot_of(self, seat: int, ability: int) -> tuple[float, float]:
        """Where a seat's spell takes effect."""
        aim = int(self.params.ability_aim[ability])
        if aim == data.SPOT:
            return float(self.state.spell_x[seat]), float(self.state.spell_y[seat])
        victim = int(self.state.spell_victim[seat])
        return self.at(victim if aim in (data.FOE, data.FRIEND) and victim >= 0 else self.unit(seat))
