"""The two worlds built from the rules: `arena` (5v5) and `duel` (1v1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.arena import (
    abilities,
    actions,
    bots,
    combat,
    data,
    economy,
    movement,
    objectives,
    observe,
    rewards,
    units,
    vision,
    waves,
)  # fmt: skip
from envs.arena.draw import SCREEN, draw
from envs.arena.map import Map, load_map
from envs.arena.randomize import variants
from envs.arena.state import (
    EVENTS,
    EYES,
    FIXED,
    HOME_ROWS,
    HOSTILE_ROWS,
    MIRROR,
    NEWS,
    NUM_ALL_VERBS,
    NUM_DIRECTIONS,
    NUM_VERBS,
    OWN_ROWS,
    RANDOM,
    SIEGE_ROWS,
    SLOT_NUMBERS,
    TERMS,
    WEIGHTS,
    Size,
    params_row,
    size_of,
    state_dtype,
)  # fmt: skip
from envs.engine import World, random_bits, rule
from envs.registration import did_you_mean

LEVELS = {"easy": bots.EASY, "medium": bots.MEDIUM, "hard": bots.HARD}
HERO_NAMES = tuple(hero.name for hero in data.HEROES)
STATISTICS = ("won", "lost", "kills", "deaths", "assists", "last_hits", "denies", "net_worth", "level", "illegal")
MINUTE = 60 * data.TICKS_PER_SECOND
LINEUPS = {"mirror": MIRROR, "random": RANDOM}
SECOND = data.TICKS_PER_SECOND


def arena(
    map: str = "arena",
    *,
    opponent: str = "medium",
    teammates: str = "medium",
    lineup: str | Sequence[str] = HERO_NAMES,
    team_spirit: float = 0.3,
    shopping: str = "script",
    leveling: str = "script",
    minutes: float = 20,
    randomize: float = 0.0,
    head_start: int = 0,
    frame_skip: int = 1,
    **tunables: float,
) -> World:
    """Five heroes a side, three lanes; the team whose ancient falls loses. Seats 0-4 are the first team.

    A step is 0.2 s of game time. The action is (verb, target row, direction); illegal ones are no-ops and counted.

    Args:
        map: a built-in map ("arena", "duel") or the path of a text file; see `envs.arena.map` for the letters.
        opponent: "easy", "medium" or "hard": who plays the second team's seats that the caller does not hold.
        teammates: likewise, of the first team.
        lineup: the heroes of a team's seats by name (`HERO_NAMES`), or of all seats, first team first; "mirror": drawn
            each game, the same for both teams; "random": drawn for each seat.
        team_spirit: 0..1: how much of a hero's reward is its team's mean.
        shopping: "script": heroes at the fountain buy by their build; "policy": the action has verbs to buy.
        leveling: "script": skills by the hero's order; "policy": the action has verbs to learn.
        minutes: of game time until the engine truncates; 0: never.
        randomize: how far units' numbers vary from world to world, a share of each (`envs.arena.randomize`).
        head_start: levels above `start_level` that heroes start with at most, drawn for each world.
        frame_skip: ticks of 0.2 s that a step plays with the same action, which keeps its target; scripted players
            act in each of them. (`set_params(hold=4)` is for a caller who steps a tick and gives the same action four
            times: its target is kept, whatever row it is in.)
        tunables: numbers of `params` by name: `reward_win=10.0`, `first_wave=1` and the others of `TUNABLES`.

    Raises:
        ValueError: an unknown map, level, hero or tunable, or one that has no such value.
    """
    return _world("Arena", load_map(map), 5, locals())


def duel(
    map: str = "duel",
    *,
    opponent: str = "medium",
    teammates: str = "medium",
    lineup: str | Sequence[str] = "mirror",
    team_spirit: float = 0.0,
    shopping: str = "script",
    leveling: str = "script",
    minutes: float = 7,
    randomize: float = 0.0,
    head_start: int = 0,
    frame_skip: int = 1,
    kills_to_win: int = 2,
    **tunables: float,
) -> World:
    """One hero a side, one lane: the enemy's tower or second death wins. Seat 0 is the first team's.

    Args:
        map: a built-in map ("arena", "duel") or the path of a text file; see `envs.arena.map` for the letters.
        opponent: "easy", "medium" or "hard": who plays seat 1 where the caller does not hold it.
        teammates: who plays seat 0 where the caller does not hold it.
        lineup: the hero of each seat by name (`HERO_NAMES`); "mirror": drawn each game, the same for both; "random":
            drawn for each.
        team_spirit: has no effect with one hero a team.
        shopping: "script": heroes at the fountain buy by their build; "policy": the action has verbs to buy.
        leveling: "script": skills by the hero's order; "policy": the action has verbs to learn.
        minutes: of game time until the engine truncates; 0: never.
        randomize: how far units' numbers vary from world to world, a share of each (`envs.arena.randomize`).
        head_start: levels above `start_level` that heroes start with at most, drawn for each world.
        frame_skip: ticks of 0.2 s that a step plays with the same action, which keeps its target.
        kills_to_win: deaths of the enemy, by whomever, that end the game; 0: only the tower does.
        tunables: numbers of `params` by name: `reward_win=10.0`, `first_wave=1` and the others of `TUNABLES`.

    Raises:
        ValueError: an unknown map, level, hero or tunable, or one that has no such value.
    """
    return _world("Duel", load_map(map), 1, locals())


def _world(name: str, map: Map, team_size: int, options: dict[str, Any]) -> World:
    size = size_of(map, team_size)
    params = _params(map, size, options)
    num_verbs = NUM_VERBS if (options["shopping"], options["leveling"]) == ("script", "script") else NUM_ALL_VERBS
    layout = observe.obs_layout(size)
    width = max(field.slice.stop for field in layout.values())
    own, enemy = _level(options["teammates"]), _level(options["opponent"])
    return World(
        name=name,
        state=state_dtype(size),
        params=params,
        fixed=FIXED_NUMBERS,
        tables={"cells": map.cells, "flow": map.flow},
        reset=_reset(size),
        step=_step(size),
        observe=[
            (observe.observe_world, NEWS), observe.observe_self, (observe.observe_heroes, 2 * team_size),
            (observe.observe_units, HOSTILE_ROWS + OWN_ROWS), (observe.observe_structures, SIEGE_ROWS + HOME_ROWS),
        ],
        mask=[actions.write_mask, (actions.mask_ability, data.NUM_ABILITIES)],
        action_layout=actions.action_layout(num_verbs, size.rows),
        obs_layout=layout,
        observation_space=spaces.Box(-np.inf, np.inf, (width,), np.float32),
        action_space=spaces.MultiDiscrete([num_verbs, size.rows, NUM_DIRECTIONS]),
        num_seats=2 * team_size,
        scripted_levels=len(LEVELS),
        scripted=(own,) * team_size + (enemy,) * team_size,
        statistics=STATISTICS,
        reward_terms=TERMS,
        max_episode_steps=round(options["minutes"] * MINUTE),
        frame_skip=options["frame_skip"],
        draw=draw,
        draw_size=SCREEN,
        render_fps=15,
        step_seconds=1 / data.TICKS_PER_SECOND,
        validate=lambda state, given: _validate(state, given, params),
    )  # fmt: skip


@rule
def deal(state, params):
    """Each team's salt, and what belongs to the world or to a team."""
    state.salt[0] = np.int32(random_bits(state, 0) >> np.uint32(1))
    state.salt[1] = np.int32(random_bits(state, 1) >> np.uint32(1))
    if state.salt[0] == state.salt[1]:
        state.salt[1] ^= np.int32(1)
    state.waves = np.int32(0)
    state.boss_back = params.boss_period
    state.num_events = np.int32(0)
    state.num_due = np.int32(0)
    state.wave_due = np.int32(0)
    state.fallen = np.int32(1)
    for place in range(EVENTS):
        for i in range(4):
            state.event[place, i] = np.int32(0)
    for team in range(2):
        state.team_kills[team] = np.int32(0)
        state.might[team] = np.int32(0)
        state.wards[team] = np.int32(1)


def _look(size: Size) -> list[Any]:
    """The phases that end a tick: what is seen, described and within reach."""
    seats = 2 * size.team_size
    return [
        (units.open_up, size.units), (units.muster, 2),
        (vision.light_up, 2), (vision.look_around, 2, EYES), (vision.lift_fog, 2, size.fog_rows),
        (vision.notice, size.units), (vision.sight, 2), (observe.describe_hero, seats), (observe.describe_world, 2),
        (actions.measure, seats, actions.SHARES), (actions.find_targets, seats), (actions.find_ways, seats),
    ]  # fmt: skip


def _reset(size: Size) -> list[Any]:
    seats = 2 * size.team_size
    return [
        deal, units.clear_lists, (units.reset_units, size.units), (observe.reset_traits, size.units),
        (economy.reset_hero, seats), (observe.reset_known, seats), *_look(size),
        (rewards.reset_rewards, seats), rewards.reset_siege,
    ]  # fmt: skip


def _step(size: Size) -> list[Any]:
    seats, all_units = 2 * size.team_size, size.units
    return [
        (bots.think, seats), (actions.obey, seats), (rewards.remember, seats),
        (combat.pulse, all_units), (combat.pulse_hero, seats),
        (abilities.cast, seats), (combat.acquire, all_units),
        (movement.steer, all_units), (movement.move, all_units),
        (combat.attack, all_units), (combat.count_landing, size.groups), combat.strike,
        abilities.count_due, (abilities.suffer, all_units),
        (combat.endure, all_units),
        (abilities.end_spells, seats), (objectives.count_dead, size.groups), objectives.settle_deaths,
        waves.place_wards, waves.count_time,
        (waves.spawn, all_units), waves.boss_arrived,
        (economy.grow, seats), objectives.judge, *_look(size),
        (rewards.judge_hero, seats), (rewards.judge_siege, 2), (rewards.weigh, seats), (rewards.share_rewards, seats),
    ]  # fmt: skip


TUNABLES = {
    "first_wave": 5 * SECOND, "wave_period": 25 * SECOND, "camp_period": MINUTE, "boss_period": 3 * MINUTE,
    "ward_period": MINUTE, "respawn_base": 4 * SECOND, "respawn_level": 2 * SECOND, "recall_ticks": 4 * SECOND,
    "shop_reach": 4.5, "share_reach": 9.0, "start_gold": 350, "start_level": 1, "gold_pulse": 1, "kill_gold": 130,
    "kill_gold_level": 15, "assist_gold": 50, "kill_xp": 60, "kill_xp_level": 25, "zero_sum": 1.0,
    "fade": 0.6 ** (1 / (10 * MINUTE)),
    **{f"reward_{term}": weight for term, weight in zip(TERMS, WEIGHTS, strict=True)},
}  # fmt: skip
"""Numbers of `params` that options set by name: ticks, cells, gold, experience, weights of the reward."""
NUMBERS = ("minutes", "randomize", "head_start", "frame_skip")
"""Options that are numbers beside the tunables."""
BOUNDS = {
    "wave_period": (1, np.inf), "camp_period": (1, np.inf), "boss_period": (1, np.inf), "ward_period": (1, np.inf),
    "first_wave": (0, np.inf), "respawn_base": (1, np.inf), "respawn_level": (0, np.inf), "recall_ticks": (1, np.inf),
    "start_level": (1, data.MAX_LEVEL), "start_gold": (0, np.inf), "gold_pulse": (0, np.inf), "zero_sum": (0, 1),
    "team_spirit": (0, 1), "fade": (0, 1), "kills_to_win": (0, np.inf), "hold": (1, np.inf),
}  # fmt: skip
"""What numbers of `params` must lie within."""


def _params(map: Map, size: Size, options: dict[str, Any]) -> np.ndarray:
    row = params_row(map, size)
    given = TUNABLES | {"kills_to_win": options.get("kills_to_win", 0), "team_spirit": options["team_spirit"]}
    for name, value in options["tunables"].items():
        if name not in given:
            raise ValueError(f"no option or tunable {name!r}{did_you_mean(name, [*options, *given])}")
        given[name] = value
    for name, value in (given | {name: options[name] for name in NUMBERS}).items():
        if not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")
    for name, value in given.items():
        if row.dtype[name].base.kind in "iu" and (value != int(value) or abs(value) >= 2**31):
            raise ValueError(f"{name} must be a whole number below {2**31}, got {value!r}")
        row[name] = value
    if not (options["minutes"] == 0 or round(options["minutes"] * MINUTE) >= 1):
        raise ValueError(f"minutes must be 0, for no limit, or a tick (1/{MINUTE}) or more; got {options['minutes']}")
    row["auto_shop"] = _by_script("shopping", options["shopping"])
    row["auto_learn"] = _by_script("leveling", options["leveling"])
    if int(options["frame_skip"]) != options["frame_skip"] or options["frame_skip"] < 1:
        raise ValueError(f"frame_skip must be a whole number of 1 or more, got {options['frame_skip']}")
    row["hold"] = options["frame_skip"]
    _check_bounds(row)
    levels = np.arange(data.MAX_LEVEL + 1)
    row["level_xp"] = np.maximum(levels - 1, 0) * 90 + np.maximum(levels - 1, 0) * np.maximum(levels - 2, 0) * 28
    row["lineup"], row["heroes"] = _lineup(options["lineup"], size.team_size)
    return variants(row, options["randomize"], options["head_start"])


def _level(name: str) -> int:
    if name not in LEVELS:
        raise ValueError(f"no scripted player {name!r}{did_you_mean(str(name), LEVELS)}; there are {', '.join(LEVELS)}")
    return LEVELS[name]


def _by_script(option: str, value: str) -> int:
    if value not in ("script", "policy"):
        raise ValueError(f'{option} must be "script" or "policy", got {value!r}')
    return int(value == "script")


def _lineup(lineup: str | Sequence[str], team_size: int) -> tuple[int, np.ndarray]:
    """How heroes are chosen, and who they are where they are fixed."""
    if isinstance(lineup, str):
        if lineup not in LINEUPS:
            raise ValueError(f'lineup must be "mirror", "random" or names of heroes, got {lineup!r}')
        return LINEUPS[lineup], np.zeros(2 * team_size, np.int32)
    names = list(lineup)
    if unknown := [name for name in names if name not in HERO_NAMES]:
        hint = did_you_mean(str(unknown[0]), HERO_NAMES)
        raise ValueError(f"no hero {unknown[0]!r}{hint}; there are {', '.join(HERO_NAMES)}")
    if len(names) not in (team_size, 2 * team_size):
        raise ValueError(f"lineup names {len(names)} heroes; give {team_size} (for both teams) or {2 * team_size}")
    numbers = [HERO_NAMES.index(name) for name in names]
    return FIXED, np.array(numbers * (2 * team_size // len(names)), np.int32)


FIXED_NUMBERS = ("team_size", "team_units", "half_units", "units", "structures", "lanes", "camps", "boss", "core",
                 "width", "height", "half_width", "half_height")  # fmt: skip
FIXED_TABLES = ("slot_kind", "slot_faction", "slot_rank", "slot_lane", "kind_sight", "hero_build", "hero_skill")
"""Params by which rules index: what the map and the tables of data.py make of them, and nothing else."""


def _validate(state: np.ndarray, params: np.ndarray, built: np.ndarray) -> None:
    for name in FIXED_TABLES:
        if not (params[name] == built[name][0]).all():
            raise ValueError(f"params.{name} is given by the map and the tables; it can't be changed in a built world")
    _check_bounds(params)
    _within("params.heroes", params["heroes"], 0, len(data.HEROES))
    size = built[0]
    for name in SLOT_NUMBERS:
        _within(name, state[name], -1, int(size["units"]))
    _within("hero", state["hero"], 0, len(data.HEROES))
    _within("level", state["level"], 0, data.MAX_LEVEL + 1)
    _within("lane", state["lane"], 0, int(size["lanes"]))
    _within("spell", state["spell"], -1, len(data.ABILITIES))
    _within("num_items", state["num_items"], 0, data.MAX_ITEMS + 1)
    for name in ("living", "front", "sighted"):
        _within(f"num_{name}", state[f"num_{name}"], 0, state[name].shape[-1] + 1)
    _within("claim", state["claim"], 0, 2**31)
    for name, half in (("x", size["half_width"]), ("y", size["half_height"])):
        if not (np.abs(state[name]) < half).all():
            raise ValueError(f"the saved state has {name} outside the map, which reaches from {-half} to {half}")


def _check_bounds(params: np.ndarray) -> None:
    for name, (low, high) in BOUNDS.items():
        values = params[name]
        if not ((low <= values) & (values <= high)).all():
            rule = f"lie in {low}..{high}" if high < np.inf else f"be {low} or more"
            raise ValueError(f"{name} must {rule}, got {values.min()}..{values.max()}")


def _within(name: str, values: np.ndarray, low: int, high: int) -> None:
    if (values < low).any() or (values >= high).any():
        raise ValueError(f"{name} must be within {low}..{high - 1}, got {values.min()}..{values.max()}")
