"""What holds in every game of the arena, whoever plays it: by the rules, against them, greedily or without sense."""

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import envs
from envs.arena import data
from envs.arena.map import WALL
from envs.arena.state import ATTACK, CAST, MOVE, RECALL, STOP, WARD
from envs.engine.vector import WorldVectorEnv

WORLDS = {"quintet/Duel-v0": 48, "quintet/Arena-v0": 12}
STYLES = ("legal", "fighters", "casters", "runners", "warders", "recallers", "idle", "illegal")
FAVOURITES = {
    "fighters": (ATTACK,),
    "casters": tuple(range(CAST, CAST + data.NUM_ABILITIES)),
    "runners": (MOVE,),
    "warders": (WARD, MOVE),
    "recallers": (RECALL,),
    "idle": (STOP,),
}
"""Verbs that a style takes whenever they are legal."""


@cache
def batch(id: str) -> WorldVectorEnv:
    return envs.make_vec(id, WORLDS[id], num_threads=1, seats="all")


def choose(env: WorldVectorEnv, mask: np.ndarray, styles: list[str], rng: np.random.Generator) -> np.ndarray:
    """Actions `[rows, 3]`, a style a team."""
    layout = env.action_layout
    assert layout is not None
    verbs, rows, directions = layout.sizes
    team = np.arange(len(mask)) % env.num_seats // (env.num_seats // 2)
    draws = rng.random(mask.shape) * mask
    for number, style in enumerate(styles):
        for verb in FAVOURITES.get(style, ()):
            draws[team == number, verb] *= 1e6
    kinds = np.array(layout.kinds[0])
    actions = np.zeros((len(mask), 3), np.int64)
    actions[:, 0] = draws[:, :verbs].argmax(1)
    targets = draws[:, verbs:-directions].reshape(len(mask), -1, rows)
    kind = kinds[actions[:, 0]]
    actions[:, 1] = targets[np.arange(len(mask)), np.maximum(kind, 0)].argmax(1) * (kind >= 0)
    actions[:, 2] = draws[:, -directions:].argmax(1)
    wild = np.stack([rng.integers(0, size, len(mask)) for size in layout.sizes], axis=1)
    lawless = np.isin(team, [number for number, style in enumerate(styles) if style == "illegal"])
    return np.where(lawless[:, None], wild, actions)


def is_legal(env: WorldVectorEnv, mask: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Whether masks `[rows, M]` allow actions `[rows, 3]`: bool `[rows]`."""
    layout = env.action_layout
    assert layout is not None
    verbs, size, directions = layout.sizes
    rows = np.arange(len(mask))
    kind = np.array(layout.kinds[0])[actions[:, 0]]
    targets = mask[:, verbs:-directions].reshape(len(mask), -1, size)
    aimed = targets[rows, np.maximum(kind, 0), actions[:, 1]] | (kind < 0)
    goes = mask[:, -directions:][rows, actions[:, 2]] | (actions[:, 0] != MOVE)
    return mask[rows, actions[:, 0]] & aimed & goes


def check_mask(env: WorldVectorEnv, mask: np.ndarray) -> None:
    """Stopping is always legal, and a legal verb has a legal target or direction."""
    layout = env.action_layout
    assert layout is not None
    verbs, rows, directions = layout.sizes
    assert mask[:, STOP].all()
    assert (mask[:, -directions:].any(1) == mask[:, MOVE]).all()
    targets = np.any(mask[:, verbs:-directions].reshape(len(mask), -1, rows), axis=2)
    for verb, kind in enumerate(layout.kinds[0]):
        if kind >= 0:
            assert (targets[:, kind] == mask[:, verb]).all(), verb


def check_state(env: WorldVectorEnv) -> None:
    """Bounds and accounts of every record."""
    state, params = env.state, env.params[0]
    for name in state.dtype.names or ():
        if state[name].dtype.kind == "f":
            assert np.isfinite(state[name]).all(), name
    assert (state.health >= 0).all() and (state.health <= state.max_health).all()
    assert (state.mana >= 0).all() and (state.mana <= state.max_mana).all()
    assert (state.gold >= 0).all()
    assert (state.gold + state.spent == env.params.start_gold[state.param][:, None] + state.earned).all()
    assert (state.spent == (state["items"] * params.item_cost).sum(2)).all()
    assert (state["items"].sum(2) == state.num_items).all() and (state.num_items <= data.MAX_ITEMS).all()
    assert (state.xp >= params.level_xp[state.level]).all()
    level = np.asarray(state.level)
    below = level < data.MAX_LEVEL
    needed = params.level_xp[np.minimum(level + 1, data.MAX_LEVEL)]
    assert (np.asarray(state.xp)[below] < np.asarray(needed)[below]).all()
    assert (state["rank"].sum(2) + state.points == state.level).all()
    assert (state.team_kills.sum(1) <= state.deaths.sum(1)).all()
    walks = (state.health > 0) & (state.speed > 0)
    # in a side's own frame, whose edges are its, and in float32 as the rules reckon: else it rounds to another cell
    sign = np.broadcast_to(np.float32(1) - 2 * (params.slot_faction & 1).astype(np.float32), walks.shape)[walks]
    column = (sign * np.asarray(state.x)[walks] + np.float32(params.half_width)).astype(int)
    row = (sign * np.asarray(state.y)[walks] + np.float32(params.half_height)).astype(int)
    assert (env.tables["cells"][row * params.width + column] != WALL).all()


def check_dead(env: WorldVectorEnv, before: np.ndarray) -> None:
    """A hero who was dead and still is has done nothing; what it shot or lit before may still kill."""
    now, units = env.state, np.flatnonzero(env.params[0].slot_kind == data.HERO)
    same_game = (now.tick == before["tick"] + 1)[:, None]
    dead = same_game & (before["health"][:, units] == 0) & (now.health[:, units] == 0)
    for name in ("x", "y"):
        assert (now[name][:, units] == before[name][:, units])[dead].all()
    for name in ("spent", "num_items", "level", "recall"):
        assert (now[name] == before[name])[dead].all(), name
    assert (now.target[:, units][dead] == -1).all() and (now.spell[dead] == -1).all()
    assert (now["cooldown"] <= before["cooldown"])[dead].all()
    assert (now.xp >= before["xp"])[np.broadcast_to(same_game, now.xp.shape)].all()


def play_games(id: str, seed: int, styles: list[str], tunables: dict[str, float], ticks: int) -> int:
    """Plays and checks; returns how many games ended."""
    env, rng = batch(id), np.random.default_rng(seed)
    env.set_params(**tunables)
    env.set_control(0)
    ended, replay_at = 0, int(rng.integers(1, ticks - 8))
    _, infos = env.reset(seed=seed)
    mask = infos["action_mask"].numpy()
    for tick in range(ticks):
        if tick == replay_at:
            check_replay(env, mask, styles, seed)
        check_mask(env, mask)
        before = np.array(env.state)
        actions = choose(env, mask, styles, rng)
        lawful = is_legal(env, mask, actions).reshape(env.num_worlds, -1)
        obs, rewards, terminated, truncated, infos = env.step(actions)
        mask = infos["action_mask"].numpy()
        assert np.isfinite(obs.numpy()).all() and np.isfinite(rewards.numpy()).all()
        goes_on = env.state.tick == before["tick"] + 1
        counted = env.state.illegal - before["illegal"]
        assert (counted[goes_on] == ~lawful[goes_on]).all()
        assert np.abs(rewards.numpy().reshape(env.num_worlds, -1).sum(1)).max() < 1e-2
        check_state(env)
        check_dead(env, before)
        ended += int((terminated | truncated).sum()) // env.num_seats
    return ended


def check_replay(env: WorldVectorEnv, mask: np.ndarray, styles: list[str], seed: int) -> None:
    """From a saved state the same actions give the same bytes, and illegal ones what stopping gives."""
    saved, played = env.save_state(), []
    for stops in (False, False, True):
        env.load_state(saved)
        rng, seen = np.random.default_rng(seed), []
        now = mask
        for _ in range(6):
            actions = choose(env, now, styles, rng)
            if stops:
                actions[~is_legal(env, now, actions), 0] = STOP
            obs, rewards, *_, infos = env.step(actions)
            now = infos["action_mask"].numpy().copy()
            seen.append((obs.numpy().tobytes(), rewards.numpy().tobytes(), now.tobytes()))
        played.append((seen, {name: env.state[name].copy() for name in env.state.dtype.names or ()}))
    env.load_state(saved)
    (first, state), (again, state_again), (stopped, state_stopped) = played
    assert first == again == stopped
    for name, values in state.items():
        assert (values == state_again[name]).all(), name
        assert name in ("action", "illegal") or (values == state_stopped[name]).all(), name


TUNABLES = st.fixed_dictionaries(
    {
        "start_level": st.integers(1, data.MAX_LEVEL),
        "start_gold": st.sampled_from([0, 350, 5000]),
        "max_episode_steps": st.integers(20, 120),
        "first_wave": st.integers(0, 40),
        "wave_period": st.integers(20, 130),
        "respawn_base": st.integers(1, 40),
        "recall_ticks": st.integers(1, 30),
        "gold_pulse": st.integers(0, 5),
        "team_spirit": st.floats(0, 1),
    }
)
TEAMS = st.lists(st.sampled_from(STYLES), min_size=2, max_size=2)


@pytest.mark.parametrize("id", WORLDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), styles=TEAMS, tunables=TUNABLES)
def test_every_game_keeps_the_rules(id: str, seed: int, styles: list[str], tunables: dict[str, float]) -> None:
    assert play_games(id, seed, styles, tunables, ticks=130) > 0


@pytest.mark.slow
@pytest.mark.parametrize("id", WORLDS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), styles=TEAMS, tunables=TUNABLES)
def test_thousands_of_games_keep_the_rules(id: str, seed: int, styles: list[str], tunables: dict[str, float]) -> None:
    play_games(id, seed, styles, tunables | {"max_episode_steps": 300}, ticks=900)


def test_all_but_the_win_fades_to_three_fifths_in_ten_minutes() -> None:
    env = envs.make_vec("quintet/Duel-v0", 1, num_threads=1, seats="all")
    env.set_params(max_episode_steps=4000)
    env.reset(seed=1)
    first, idle = np.zeros((2, 3), np.int64), np.zeros((2, 3), np.int64)
    earned = {}
    for tick in (10, 3010):
        env.state.tick[0] = tick
        env.state.fade[0] = env.params[0].fade ** tick
        env.state.mana[0] = env.state.max_mana[0]
        env.step(idle)
        before = env.state.mana[0, 0]
        env.state.mana[0, 0] = before // 2
        rewards = env.step(first)[1].numpy()
        terms = env.reward_terms()
        assert terms["mana"][0] < -0.3
        earned[tick] = float(rewards[0] / terms["mana"][0])
        env.state.mana[0, 0] = env.state.max_mana[0, 0]
        env.step(idle)
    assert earned[3010] / earned[10] == pytest.approx(0.6, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("id", "limit"), [("quintet/Duel-v0", 2200), ("quintet/Arena-v0", 6100)])
def test_no_side_is_favoured_in_a_thousand_games_of_hard_players(id: str, limit: int) -> None:
    """Of n decided games a fair side wins n/2, within 2.6 standard deviations in 99 of 100 such tests."""
    games = 1000
    env = envs.make_vec(id, games, seed=77, num_threads=2, seats="all", autoreset_mode="Disabled")
    env.set_control(3)
    env.reset()
    idle = np.zeros((env.num_envs, 3), np.int64)
    for _ in range(limit):
        env.step(idle)
        if env.state.ended.all():
            break
    won, lost = (int((env.state[name][:, 0] > 0).sum()) for name in ("won", "lost"))
    print(f"{id}: {won} won, {lost} lost, {games - won - lost} drawn or out of time")
    assert abs(won - (won + lost) / 2) <= 2.6 * 0.5 * (won + lost) ** 0.5
