"""The arena's scripted players: what they do in situations made by hand, and how their levels fare."""

import numpy as np
import pytest

import envs
from envs.arena import data
from envs.arena.state import ATTACK, CAST, MOVE, RECALL
from envs.engine.vector import WorldVectorEnv
from experiments.arena_games import play_games, wilson

EASY, MEDIUM, HARD = 1, 2, 3


def duel(hero: str = "archer") -> WorldVectorEnv:
    env = envs.make_vec("quintet/Duel-v0", 1, seed=1, num_threads=1, seats="all", lineup=(hero,))
    env.set_control([0, 0])
    env.reset()
    return env


def place(env: WorldVectorEnv, unit: int, x: float, **values: int) -> int:
    """Puts a unit on the lane, alive; `values` go into its slot. Returns the slot."""
    state = env.state
    state["x"][0, unit], state["y"][0, unit] = x, 0.0
    kind = env.params[0].slot_kind[unit]
    if kind != data.HERO:
        params = env.params[0]
        state["max_health"][0, unit] = params.kind_health[kind]
        state["reach"][0, unit] = params.kind_reach[kind]
        state["period"][0, unit] = 5
    for name, value in ({"health": int(state["max_health"][0, unit])} | values).items():
        state[name][0, unit] = value
    return unit


def decide(env: WorldVectorEnv, level: int) -> tuple[int, int, int]:
    """The first seat's action at a level, once it has seen what was placed: (verb, slot in its row, direction)."""
    nothing = np.zeros((2, 3), np.int64)
    env.step(nothing)
    rows = env.state["row"][0, 0].copy()
    env.state["control"][0, 0] = level
    env.step(nothing)
    verb, row, direction = (int(part) for part in env.state["action"][0, 0])
    return verb, int(rows[row]), direction


def creep_slot(env: WorldVectorEnv, team: int) -> int:
    params = env.params[0]
    return int(team * params.team_units + params.team_size + params.structures)


@pytest.mark.parametrize("level", [MEDIUM, HARD])
def test_a_creep_that_the_blow_kills_comes_first(level: int) -> None:
    env = duel()
    place(env, 0, 0.0)
    first = creep_slot(env, 1)
    place(env, first, 4.0)
    weak = place(env, first + 1, 4.5, health=30)
    place(env, creep_slot(env, 0), 3.0)
    verb, slot, _ = decide(env, level)
    assert (verb, slot) == (ATTACK, weak)


def test_an_easy_player_hits_the_nearest_instead() -> None:
    env = duel()
    place(env, 0, 0.0)
    first = creep_slot(env, 1)
    near = place(env, first, 4.0)
    place(env, first + 1, 4.5, health=30)
    assert decide(env, EASY)[:2] == (ATTACK, near)


@pytest.mark.parametrize("level", [MEDIUM, HARD])
def test_a_weak_hero_goes_home_and_recalls_where_nobody_is_near(level: int) -> None:
    env = duel()
    place(env, 0, 0.0, health=60)
    enemy = int(env.params[0].team_units)
    assert decide(env, level)[0] == RECALL
    env = duel()
    place(env, 0, 0.0, health=60)
    place(env, enemy, 6.0)
    verb, _, direction = decide(env, level)
    assert verb == MOVE and direction in (3, 4, 5)


def test_a_recall_channelled_to_its_end_brings_home_and_a_wound_ends_it() -> None:
    env = duel()
    place(env, 0, 0.0)
    ticks = int(env.params[0].recall_ticks)
    action = np.zeros((2, 3), np.int64)
    action[0, 0] = RECALL
    for tick in range(ticks):
        assert env.state["x"][0, 0] == 0 and env.state["recall"][0, 0] == tick
        env.step(action)
    assert env.state["x"][0, 0] == pytest.approx(env.params[0].fountain_x) and env.state["recall"][0, 0] == 0
    place(env, 0, 0.0)
    for _ in range(ticks - 2):
        env.step(action)
    env.state["burn"][0, 0], env.state["burn_ticks"][0, 0] = 5, 6
    env.state["burner"][0, 0] = int(env.params[0].team_units)
    env.step(action)
    assert env.state["x"][0, 0] == 0 and env.state["recall"][0, 0] == 0


@pytest.mark.parametrize("level", [MEDIUM, HARD])
def test_only_a_hard_player_reckons_with_its_spells_and_steps_up_for_a_kill(level: int) -> None:
    env = duel()
    place(env, 0, 0.0, health=140)
    enemy = place(env, int(env.params[0].team_units), 7.0, health=150)
    env.state["rank"][0, 0, :2] = 1
    verb, slot, _ = decide(env, level)
    assert ((verb, slot) == (ATTACK, enemy)) == (level == HARD)


def test_a_spell_that_kills_is_cast_under_the_enemys_tower() -> None:
    env = duel()
    params = env.params[0]
    enemy = int(params.team_units)
    tower = enemy + 1
    x = float(env.state["x"][0, tower])
    place(env, 0, x - 5.0)
    place(env, enemy, x, health=40)
    verb, slot, _ = decide(env, HARD)
    assert verb >= CAST and slot == enemy
    env = duel()
    place(env, 0, x - 5.0)
    place(env, enemy, x)
    verb, _, direction = decide(env, HARD)
    assert verb == MOVE and direction in (3, 4, 5)


def test_a_tower_that_falls_first_is_attacked_by_a_hard_player() -> None:
    env = duel()
    tower = int(env.params[0].team_units) + 1
    place(env, 0, float(env.state["x"][0, tower]) - 5.0)
    env.state["health"][0, tower] = env.state["known_health"][0, tower] = 60
    assert decide(env, HARD)[:2] == (ATTACK, tower)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "first", "second", "games", "least"),
    [
        ("quintet/Duel-v0", "easy", "random", 256, 0.98),
        ("quintet/Duel-v0", "medium", "easy", 256, 0.9),
        ("quintet/Duel-v0", "hard", "medium", 256, 0.75),
        ("quintet/Arena-v0", "easy", "random", 48, 0.9),
        ("quintet/Arena-v0", "medium", "easy", 64, 0.9),
        ("quintet/Arena-v0", "hard", "medium", 64, 0.75),
    ],
)
def test_a_level_beats_the_one_below(id: str, first: str, second: str, games: int, least: float) -> None:
    played = play_games(id, first, second, games, seed=7)
    assert played.won.sum() / games >= least


@pytest.mark.slow
@pytest.mark.parametrize("id", ["quintet/Duel-v0", "quintet/Arena-v0"])
def test_games_of_hard_players_are_decided(id: str) -> None:
    played = play_games(id, "hard", "hard", 64, seed=8)
    assert (played.won | played.lost).mean() > 0.9
    low, high = wilson(int(played.won.sum()), int((played.won | played.lost).sum()))
    assert low < 0.5 < high


def test_wilsons_interval_is_the_textbooks() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-4)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=5e-4)


def watched(control: int, worlds: int, ticks: int) -> WorldVectorEnv:
    env = envs.make_vec("quintet/Arena-v0", worlds, seed=3, num_threads=1, seats="all")
    env.set_control(np.full(env.num_seats, control))
    env.reset()
    for _ in range(ticks):
        env.step(np.zeros((env.num_envs, 3), np.int64))
    return env


@pytest.mark.parametrize(("control", "most"), [(EASY, 600), (HARD, 600)])
def test_nobody_stands_still_for_minutes(control: int, most: int) -> None:
    """Ticks that a living hero stays where he is, away from his fountain (a tower of another lane once held him)."""
    env = watched(control, 12, 0)
    state = env.state
    heroes = np.flatnonzero(env.params[0].slot_kind == data.HERO)
    still, longest, before = np.zeros((12, 10)), 0.0, np.zeros((2, 12, 10))
    for _ in range(3000):
        env.step(np.zeros((env.num_envs, 3), np.int64))
        place = np.stack([state["x"][:, heroes], state["y"][:, heroes]])
        home = np.stack([state["home_x"][:, heroes], state["home_y"][:, heroes]])
        away = np.hypot(*(place - home)) > 5
        still = np.where((place == before).all(0) & away & (state["health"][:, heroes] > 0), still + 1, 0)
        longest, before = max(longest, still.max()), place
    assert longest < most


def test_wards_are_spread() -> None:
    env = watched(HARD, 48, 3000)
    state, params = env.state, env.params[0]
    wards = np.flatnonzero(params.slot_kind == data.WARD).reshape(2, -1)
    apart = []
    for world in range(48):
        for team in wards:
            alive = [unit for unit in team if state["health"][world, unit] > 0]
            apart += [
                float(np.hypot(*(state[axis][world, one] - state[axis][world, other] for axis in ("x", "y"))))
                for i, one in enumerate(alive)
                for other in alive[:i]
            ]
    assert len(apart) > 10 and np.mean(np.array(apart) < 4) < 0.2
