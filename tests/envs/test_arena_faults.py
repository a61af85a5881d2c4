"""What neutrals, shots, credit, experience and knowledge once got wrong, in situations made by hand."""

from typing import Any

import numpy as np
import pytest

import envs
from envs.arena import FEATURES, arena, data, duel
from envs.arena.map import WALL, load_map
from envs.arena.state import ATTACK, BUY, CAST, LOOK_HEALTH, MOVE, NUM_ITEMS, WARD
from envs.engine.vector import WorldVectorEnv

ARCHER, MAGE = 0, 1
BEAST, BOSS = data.BEAST, data.BOSS


def quiet(id: str = "quintet/Arena-v0", **options: Any) -> WorldVectorEnv:
    """A world into which no creeps come."""
    env = envs.make_vec(id, 1, seed=1, num_threads=1, seats="all", first_wave=10_000, **options)
    env.reset()
    return env


def slots(env: WorldVectorEnv, kind: int) -> np.ndarray:
    return np.flatnonzero(env.params[0].slot_kind == kind)


def stand(env: WorldVectorEnv, unit: int, other: int, distance: float) -> None:
    """Puts a unit so far from another that nothing is in between."""
    x, y = (float(env.state[name][0, other]) for name in ("x", "y"))
    for angle in np.linspace(0, 2 * np.pi, 64, endpoint=False):
        across, down = np.cos(angle), np.sin(angle)
        if all(is_ground(env, x + part * across, y + part * down) for part in np.linspace(0, distance, 20)):
            env.state["x"][0, unit], env.state["y"][0, unit] = x + distance * across, y + distance * down
            return
    raise AssertionError("no free ground")


def is_ground(env: WorldVectorEnv, x: float, y: float) -> bool:
    width, height = int(env.params[0].width), int(env.params[0].height)
    column, row = int(x + width / 2), int(y + height / 2)
    inside = 0 <= column < width and 0 <= row < height
    return inside and env.tables["cells"][row * width + column] != WALL


def step(env: WorldVectorEnv, orders: dict[int, tuple[int, int]]) -> None:
    """A tick in which seats have a verb for a slot; the others stop."""
    actions = np.zeros((env.num_seats, 3), np.int64)
    for seat, (verb, target) in orders.items():
        rows = np.flatnonzero(env.state["row"][0, seat] == target)
        if len(rows):
            actions[seat] = verb, rows[0], 0
    env.step(actions)


def test_a_camp_fights_back_whoever_shoots_at_it_from_afar() -> None:
    env = quiet()
    beast, mate = slots(env, BEAST)[:2]
    for seat in (ARCHER, MAGE):
        stand(env, seat, int(beast), 4.7)
    full = env.state["health"][0, :2].copy()
    env.state["max_health"][0, [beast, mate]] = env.state["health"][0, [beast, mate]] = 5000
    for _ in range(60):
        step(env, {ARCHER: (ATTACK, int(beast)), MAGE: (ATTACK, int(beast))})
    assert set(env.state["target"][0, [beast, mate]]) <= {ARCHER, MAGE}
    assert (env.state["health"][0, :2] < full).any()


def test_a_spell_provokes_a_camp_and_distance_calms_it() -> None:
    env = quiet()
    beast, mate = (int(unit) for unit in slots(env, BEAST)[:2])
    stand(env, MAGE, beast, 4.7)
    env.state["rank"][0, MAGE, 0] = 1
    env.state["max_health"][0, [beast, mate]] = env.state["health"][0, [beast, mate]] = 5000
    step(env, {})
    for _ in range(8):
        step(env, {MAGE: (CAST, beast)})
    assert env.state["target"][0, beast] == env.state["target"][0, mate] == MAGE
    env.state["x"][0, MAGE], env.state["y"][0, MAGE] = env.state["home_x"][0, MAGE], env.state["home_y"][0, MAGE]
    for _ in range(60):
        step(env, {})
    assert (env.state["target"][0, [beast, mate]] == -1).all() and (env.state["foe"][0, [beast, mate]] == -1).all()
    assert np.allclose(env.state["x"][0, [beast, mate]], env.state["home_x"][0, [beast, mate]])


def test_the_boss_reaches_whoever_shoots_at_it() -> None:
    env = quiet(boss_period=1)
    step(env, {})
    (boss,) = (int(unit) for unit in slots(env, BOSS) if env.state["health"][0, unit] > 0)
    stand(env, ARCHER, boss, 5.4)
    env.state["max_health"][0, ARCHER] = env.state["health"][0, ARCHER] = 5000
    for _ in range(30):
        step(env, {ARCHER: (ATTACK, boss)})
    assert env.state["target"][0, boss] == ARCHER and env.state["health"][0, ARCHER] < 5000


def test_a_shot_misses_who_is_born_into_its_victims_slot() -> None:
    env = quiet()
    params = env.params[0]
    creep = int(params.team_units + params.team_size + params.structures)
    env.state["shot_victim"][0, ARCHER], env.state["shot_ticks"][0, ARCHER] = creep, 3
    env.state["max_health"][0, creep] = env.state["health"][0, creep] = 50
    env.state["x"][0, creep] = env.state["y"][0, creep] = 0
    env.state["burn"][0, creep], env.state["burn_ticks"][0, creep] = 500, 5 * data.PULSE + 1
    env.state["burner"][0, creep] = MAGE
    step(env, {})
    assert env.state["health"][0, creep] == 0 and env.state["shot_victim"][0, ARCHER] == -1
    env.state["health"][0, creep] = 50
    for _ in range(4):
        step(env, {})
    assert env.state["health"][0, creep] == 50


def test_a_blow_from_a_former_life_earns_nothing() -> None:
    env = quiet(respawn_base=1, respawn_level=0)
    victim = int(env.params[0].team_units)
    killed = []
    for source in (ARCHER, int(slots(env, data.TOWER_1)[0])):
        env.state["shot_victim"][0, source], env.state["shot_ticks"][0, source] = victim, 2
        env.state["damage"][0, source] = 9999
        step(env, {})
        killed.append(int(env.state["kills"][0, ARCHER]))
        for _ in range(3):
            step(env, {})
        assert env.state["health"][0, victim] > 0, "back again"
    assert killed == [1, 1] and env.state["deaths"][0, env.num_seats // 2] == 2


def test_the_return_of_the_dead_is_known() -> None:
    env = quiet(respawn_base=2, respawn_level=0)
    seat, unit = 5, int(env.params[0].team_units)
    state = env.state
    state["x"][0, [ARCHER, unit]] = -12.0, -10.0
    state["y"][0, [ARCHER, unit]] = 12.0
    state["health"][0, unit] = 30
    step(env, {})
    assert 0 < state["known_look"][0, seat, LOOK_HEALTH] < 0.2
    state["shot_victim"][0, ARCHER], state["shot_ticks"][0, ARCHER] = unit, 2
    step(env, {})
    assert state["health"][0, unit] == 0
    for _ in range(3):
        obs = env.step(np.zeros((10, 3), np.int64))[0]
    assert state["health"][0, unit] == state["max_health"][0, unit]
    row = env.obs_layout["enemies"].view(obs[0])[0].tolist()  # pyright: ignore
    names = [feature.name for feature in FEATURES["hero"]]  # pyright: ignore
    seen = dict(zip(names, row, strict=True))
    assert seen["alive"] == 1 and seen["visible"] == 0 and seen["health"] == 1
    assert seen["dx"] * 16 == pytest.approx(float(state["x"][0, unit] - state["x"][0, ARCHER]), abs=1e-4)
    assert seen["health_points"] * 1000 == pytest.approx(float(state["max_health"][0, unit]), rel=1e-3)


def test_experience_ends_at_the_highest_level() -> None:
    env = quiet(start_level=data.MAX_LEVEL)
    params = env.params[0]
    creep = int(params.team_units + params.team_size + params.structures)
    before = int(env.state["xp"][0, ARCHER])
    env.state["health"][0, creep] = env.state["max_health"][0, creep] = 1
    env.state["x"][0, creep], env.state["y"][0, creep] = env.state["x"][0, ARCHER], env.state["y"][0, ARCHER]
    env.state["shot_victim"][0, ARCHER], env.state["shot_ticks"][0, ARCHER] = creep, 2
    step(env, {})
    assert env.state["last_hits"][0, ARCHER] == 1 and env.state["xp"][0, ARCHER] == before


def test_one_blow_reckons_with_armour_and_luck() -> None:
    env = quiet("quintet/Duel-v0", lineup=("archer",))
    enemy = int(env.params[0].team_units)
    env.state["x"][0, [0, enemy]] = -2.0, 2.0
    env.state["y"][0, [0, enemy]] = 0.0
    env.state["damage"][0, 0], env.state["armor"][0, enemy] = 100, 25  # half of it: 50, at least 42
    place = [feature.name for feature in FEATURES["hero"]].index("one_blow")  # pyright: ignore
    told = []
    for health in (42, 43, 100):
        env.state["health"][0, enemy] = health
        obs = env.step(np.zeros((2, 3), np.int64))[0]
        told.append(float(env.obs_layout["enemies"].view(obs[0])[0, place]))  # pyright: ignore
    assert told == [1, 0, 0]


def test_every_skill_can_be_learnt_when_its_turn_comes() -> None:
    for hero in data.HEROES:
        ranks = [0] * data.NUM_ABILITIES
        for level, ability in enumerate(map(int, hero.skills), 1):
            ultimate = ability == data.ULTIMATE
            most = data.MAX_ULTIMATE_RANK if ultimate else data.MAX_RANK
            due = 4 * (ranks[ability] + 1) if ultimate else 2 * ranks[ability] + 1
            assert ranks[ability] < most and level >= due, (hero.name, level)
            ranks[ability] += 1
        assert ranks[data.ULTIMATE] == data.MAX_ULTIMATE_RANK


def test_the_fastest_do_not_jump_walls() -> None:
    env = quiet("quintet/Duel-v0")
    params, cells = env.params[0], env.tables["cells"]
    grid = np.array(cells).reshape(int(params.height), int(params.width)) == WALL
    row, column = next(
        (r, c) for r, c in np.argwhere(grid[:, 2:-2]) + [0, 2] if not grid[r, c - 1] and not grid[r, c + 1]
    )
    x, y = column - 0.1 - params.half_width, row + 0.5 - params.half_height
    env.state["x"][0, 0], env.state["y"][0, 0], env.state["speed"][0, 0] = x, y, 1.24
    env.step([[MOVE, 0, 0], [0, 0, 0]])
    env.step([[MOVE, 0, 0], [0, 0, 0]])
    assert env.state["x"][0, 0] < column - params.half_width


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (arena, {"wave_period": 0}, "wave_period must be 1 or more, got 0"),
        (arena, {"recall_ticks": 0}, "recall_ticks must be 1 or more"),
        (arena, {"boss_period": 0}, "boss_period must be 1 or more"),
        (duel, {"respawn_base": 0}, "respawn_base must be 1 or more"),
        (duel, {"start_level": 13}, r"start_level must lie in 1\.\.12, got 13"),
        (duel, {"gold_pulse": -50}, "gold_pulse must be 0 or more"),
        (arena, {"team_spirit": 3}, r"team_spirit must lie in 0\.\.1, got 3"),
        (duel, {"minutes": 0.001}, "minutes must be 0, for no limit, or a tick"),
        (duel, {"reward_win": float("nan")}, "reward_win must be a finite number, got nan"),
    ],
)
def test_numbers_that_would_break_a_game_are_refused(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_the_first_wave_may_come_at_once_and_time_without_a_limit_is_zero() -> None:
    env = envs.make_vec("quintet/Duel-v0", 1, num_threads=1, first_wave=0, minutes=0)
    env.reset()
    for _ in range(3):
        obs = env.step(np.zeros((2, 3), np.int64))[0]
    assert env.state["waves"][0] == 1
    assert float(env.obs_layout["world"].view(obs[0])[0]) == 0  # pyright: ignore


@pytest.mark.parametrize(
    ("letters", "message"),
    [
        ("12", "guard an ancient"),
        ("14A", "open when a third tower"),
        ("1RR", "guard an ancient"),
        ("1A", "opens when the fourth towers"),
        ("134A", "of tier 3 open when one of tier 2"),
        ("1AA234", "4 ancients"),
        ("F1", "4 fountains"),
    ],
)
def test_maps_whose_core_can_not_fall_are_refused(tmp_path: Any, letters: str, message: str) -> None:
    row = "F" + letters.ljust(6, "m") + "mmm"
    text = "\n".join(["." * 20, row + "." * 10, "." * 10 + row[::-1], "." * 20])
    (tmp_path / "map.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_map(str(tmp_path / "map.txt"))


def test_a_fountain_within_walls_is_refused(tmp_path: Any) -> None:
    half = ["##".ljust(20, "."), "F#1mmmmmmm".ljust(20, "."), "##".ljust(20, ".")]
    (tmp_path / "map.txt").write_text("\n".join(half + [row[::-1] for row in half[::-1]]))
    with pytest.raises(ValueError, match="no way leads from a fountain"):
        load_map(str(tmp_path / "map.txt"))


def test_what_is_done_once_is_done_once_in_a_step_of_several_ticks() -> None:
    """A purchase, a point for an ability, a ward; a move goes on in each tick."""
    env = envs.make_vec(
        "quintet/Duel-v0", 1, num_threads=1, shopping="policy", leveling="policy", frame_skip=4, start_gold=5000,
        lineup=["archer"], start_level=4, ward_period=1, autoreset_mode="Disabled",
    )  # fmt: skip
    env.reset()
    for verb, before in ((BUY, env.state["items"][0].copy()), (BUY + NUM_ITEMS, env.state["rank"][0].copy())):
        name = "items" if verb == BUY else "rank"
        env.step(np.array([[verb, 0, 0], [0, 0, 0]]))
        assert (env.state[name][0] - before).tolist() == [[1] + [0] * (before.shape[1] - 1), [0] * before.shape[1]]
    for _ in range(5):
        env.step(np.zeros((2, 3), np.int64))
    placed = int((env.state["health"][0][env.params[0].slot_kind == data.WARD] > 0).sum())
    env.step(np.array([[WARD, 0, 0], [0, 0, 0]]))
    assert int((env.state["health"][0][env.params[0].slot_kind == data.WARD] > 0).sum()) == placed + 1
    assert not env.state["illegal"].any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frame_skip": 2.5}, "frame_skip must be a whole number"),
        ({"frame_skip": 0}, "frame_skip must be a whole number of 1 or more"),
        ({"minutes": "soon"}, "minutes must be a finite number, got 'soon'"),
        ({"first_wave": 1.5}, "first_wave must be a whole number"),
        ({"start_gold": 2**31}, "start_gold must be a whole number below"),
        ({"reward_kill": None}, "reward_kill must be a finite number, got None"),
        ({"lineup": ["acher"] * 5}, r"no hero 'acher' \(did you mean 'archer'\?\); there are"),
    ],
)
def test_numbers_that_are_none_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        envs.make_vec("quintet/Arena-v0", 1, **options)
