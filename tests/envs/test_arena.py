"""The arena: symmetry, fog, masks, accounts, faces, saved states."""

import gymnasium
import numpy as np
import pytest
import torch

import envs
from envs.arena import arena, data, duel, mirror, parallel_env, partners
from envs.arena.map import ARRIVED, DX, DY, WALL, load_map
from envs.arena.state import GOLD, MOVE, STOP, TERMS
from envs.engine.vector import WorldVectorEnv

IDS = ["quintet/Arena-v0", "quintet/Duel-v0"]


def legal_actions(mask: np.ndarray, env: WorldVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """One random action a row that the mask allows, `[rows, 3]`."""
    layout = env.action_layout
    assert layout is not None
    verbs, rows, directions = layout.sizes
    draws = rng.random(mask.shape) * mask
    actions = np.zeros((len(mask), 3), np.int64)
    actions[:, 0] = draws[:, :verbs].argmax(1)
    block = np.array(layout.kinds[0])[actions[:, 0]]
    targets = draws[:, verbs:-directions].reshape(len(mask), -1, rows)
    actions[:, 1] = targets[np.arange(len(mask)), np.maximum(block, 0)].argmax(1) * (block >= 0)
    actions[:, 2] = draws[:, -directions:].argmax(1)
    return actions


def play(env: WorldVectorEnv, ticks: int, seed: int = 0):
    """Yields (obs, mask, rewards) of legal random play."""
    rng = np.random.default_rng(seed)
    obs, infos = env.reset()
    mask = infos["action_mask"].numpy()
    for _ in range(ticks):
        obs, rewards, *_, infos = env.step(legal_actions(mask, env, rng))
        mask = infos["action_mask"].numpy()
        yield obs.numpy(), mask, rewards.numpy()


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("control", [0, 3])
def test_a_turned_world_gives_the_exchanged_seats_the_same(id: str, control: int) -> None:
    worlds, ticks = 4, 1500
    one, two = (envs.make_vec(id, worlds, seed=3, num_threads=1, seats="all") for _ in range(2))
    for env in (one, two):
        env.set_control(np.full(one.num_seats, control))
    _, infos = one.reset()
    two.reset()
    two.state[...] = mirror(np.asarray(one.state), np.asarray(one.params)[0]).view(np.recarray)
    exchange = np.arange(one.num_envs).reshape(worlds, 2, -1)[:, ::-1].ravel()
    rng = np.random.default_rng(0)
    mask = infos["action_mask"].numpy()
    for _ in range(ticks):
        actions = legal_actions(mask, one, rng)
        obs, rewards, terminated, _, infos = one.step(actions)
        mask = infos["action_mask"].numpy()
        obs_2, rewards_2, terminated_2, _, infos_2 = two.step(actions[exchange])
        assert np.array_equal(obs.numpy(), obs_2.numpy()[exchange])
        assert np.array_equal(mask, infos_2["action_mask"].numpy()[exchange])
        assert np.array_equal(rewards.numpy(), rewards_2.numpy()[exchange])
        assert torch.equal(terminated, terminated_2[exchange])
        if terminated.any():
            two.state[...] = mirror(np.asarray(one.state), np.asarray(one.params)[0]).view(np.recarray)


def test_nothing_of_what_a_team_does_not_see_is_in_its_observations() -> None:
    one, two = (envs.make_vec("quintet/Arena-v0", 8, seed=1, num_threads=1, seats="all") for _ in range(2))
    for env in (one, two):
        env.set_control(np.full(10, 3))
        env.reset()
    hidden_ever = told = 0
    nothing = np.zeros((80, 3), np.int64)
    for tick in range(600):
        one.step(nothing)
        if tick % 20:
            continue
        two.load_state(one.save_state())
        state = two.state
        first = int(two.params[0].team_units)
        for world in range(8):
            for seat in range(5, 10):
                unit = first + seat - 5
                if not state["seen"][world, unit] & 1 and state["health"][world, unit] > 0:
                    hidden_ever += 1
                    state["x"][world, unit] += 0.25
                    state["health"][world, unit] = 1
                    for name in ("mana", "gold", "xp", "level"):
                        state[name][world, seat] += 1
                    state["items"][world, seat] += 1
                    state["cooldown"][world, seat] = 9
                    state["look"][world, seat] += 1
        seen, hidden = one.observe()[0].numpy(), two.observe()[0].numpy()
        team = np.arange(80) % 10 < 5
        assert seen[team].tobytes() == hidden[team].tobytes()
        told += int((seen[~team] != hidden[~team]).any())
    assert hidden_ever > 100 and told > 5


@pytest.mark.parametrize("id", IDS)
def test_random_play_keeps_the_invariants(id: str) -> None:
    env = envs.make_vec(id, 32, seed=2, num_threads=1, seats="all")
    params = env.params[0]
    for number, (obs, mask, rewards) in enumerate(play(env, 1200)):
        assert np.isfinite(obs).all() and np.isfinite(rewards).all()
        assert mask[:, STOP].all()
        per_world = rewards.reshape(32, 2, -1).astype(np.float64).sum(2)
        assert np.abs(per_world.sum(1)).max() < 1e-4
        if number % 50:
            continue
        state = env.state
        assert (state["health"] >= 0).all() and (state["health"] <= state["max_health"]).all()
        assert (state["mana"] >= 0).all() and (state["mana"] <= state["max_mana"]).all()
        assert (state["gold"] == params.start_gold + state["earned"] - state["spent"]).all()
        assert (state["gold"] >= 0).all()
        alive = state["health"] > 0
        column = (state["x"] + params.half_width).astype(int)
        row = (state["y"] + params.half_height).astype(int)
        cells = env.world.tables["cells"][row * params.width + column]
        heroes = params.slot_kind == data.HERO
        assert (cells[:, heroes] != 1)[alive[:, heroes]].all()
        dead = ~alive[:, heroes].reshape(env.num_envs)
        assert (mask[dead].sum(1) == 1).all()
    assert env.state["illegal"].sum() == 0


def test_an_illegal_action_is_a_counted_no_op() -> None:
    env = envs.make_vec("quintet/Duel-v0", 1, num_threads=1)
    env.reset()
    before = env.state["x"].copy()
    env.step([[6, 0, 0], [STOP, 0, 0]])
    assert env.state["illegal"].tolist() == [[1, 0]]
    assert (env.state["x"][0, :1] == before[0, :1]).all()


def test_an_action_that_holds_for_several_ticks_keeps_its_target() -> None:
    from experiments.matches import random_legal

    held, free = (envs.make_vec("quintet/Arena-v0", 4, seed=5, num_threads=1, frame_skip=skip) for skip in (3, 1))
    obs, infos = held.reset()
    free.reset()
    rng, moved, lost = np.random.default_rng(1), 0, 0
    for _ in range(400):
        actions = random_legal(infos["action_mask"].numpy(), held.action_layout, rng)
        obs, _, _, _, infos = held.step(actions)
        actions = actions.reshape(4, 10, 3)
        aim = np.take_along_axis(free.state["row"], actions[..., 1:2].astype(int), 2)[..., 0]
        for tick in range(3):
            if tick:
                actions = free.state["action"].copy()
                rows = (free.state["row"] == aim[..., None]).argmax(2)
                seen = np.take_along_axis(free.state["row"], rows[..., None], 2)[..., 0] == aim
                aimed = (actions[..., 0] == 2) | ((actions[..., 0] > 2) & (actions[..., 0] < 7))
                moved += int((seen & aimed & (rows != actions[..., 1])).sum())
                lost += int((~seen & aimed).sum())
                actions[..., 1] = np.where(seen, rows, actions[..., 1])
                actions[~seen & aimed, 0] = STOP
            seen_now = free.step(actions.reshape(40, 3))[0]
        assert torch.equal(obs, seen_now)  # pyright: ignore
        for name in ("x", "y", "health", "target", "gold", "recall", "mana", "tick"):
            assert (held.state[name] == free.state[name]).all(), name
    assert moved > 10 and lost > 0, "no target changed its row, so nothing was shown"
    assert held.state["illegal"].sum() == 0 < free.state["illegal"].sum()


def test_a_saved_state_replays_byte_equal_and_a_damaged_one_is_refused() -> None:
    env = envs.make_vec("quintet/Arena-v0", 4, seed=5, num_threads=1, seats="all")
    env.set_control(np.full(10, 3))
    env.reset()
    nothing = np.zeros((40, 3), np.int64)
    for _ in range(300):
        env.step(nothing)
    saved = env.save_state()
    first = [env.step(nothing)[0].numpy().tobytes() for _ in range(100)]
    env.load_state(saved)
    assert first == [env.step(nothing)[0].numpy().tobytes() for _ in range(100)]
    env.state["target"][0, 0] = 5000
    damaged = env.save_state()
    env.load_state(saved)
    with pytest.raises(ValueError, match=r"target must be within -1\.\.\d+, got"):
        env.load_state(damaged)


def test_reward_terms_weighted_and_shared_are_the_reward() -> None:
    env = envs.make_vec("quintet/Duel-v0", 16, seed=4, num_threads=1, zero_sum=0.0)
    env.set_control([3, 2])
    env.reset()
    earned = np.zeros(32)
    for _ in range(400):
        rewards = env.step(np.zeros((32, 3), np.int64))[1].numpy()
        terms = env.reward_terms()
        assert list(terms) == list(TERMS)
        params = env.params[0]
        fade = env.state["fade"].repeat(2) / params.fade
        total = sum(params[f"reward_{name}"] * terms[name].numpy() * (1 if name == "win" else fade) for name in TERMS)
        assert np.abs(total - rewards)[env.state["tick"].repeat(2) > 0].max() < 1e-3
        earned += terms[TERMS[GOLD]].numpy()
    assert earned.min() > 50


def test_team_spirit_can_change_while_it_runs() -> None:
    env = envs.make_vec("quintet/Arena-v0", 8, seed=4, num_threads=1, seats="all")
    env.set_control(np.full(10, 2))
    env.reset()
    env.set_params(team_spirit=1.0)
    for _ in range(200):
        rewards = env.step(np.zeros((80, 3), np.int64))[1].numpy().reshape(16, 5)
        assert np.abs(rewards - rewards[:, :1]).max() < 1e-5
    with pytest.raises(ValueError, match="slot_kind is given by the map"):
        env.set_params(slot_kind=3)


def test_faces_and_options() -> None:
    env = gymnasium.make("quintet/Duel-v0", opponent="easy")
    env.reset(seed=1)
    assert env.unwrapped.worlds.state["control"].tolist() == [[0, 1]]  # pyright: ignore
    env = gymnasium.make("quintet/Arena-v0", seats=(0,))
    _, info = env.reset(seed=1)
    env.action_space.seed(0)
    for _ in range(20):
        info = env.step(env.action_space.sample(info["action_mask"]))[-1]
    assert env.unwrapped.worlds.state["control"].tolist() == [[0] + [2] * 9]  # pyright: ignore
    assert envs.make_vec("quintet/Arena-v0", 3, seats=(0, 5)).num_envs == 6
    for options, message in [
        ({"opponent": "mediun"}, "did you mean 'medium'"),
        ({"lineup": ("mage", "archr", "guard", "healer", "rogue")}, "did you mean 'archer'"),
        ({"reward_wim": 1.0}, "did you mean 'reward_win'"),
        ({"map": "nowhere"}, "the built-in ones are arena, duel"),
        ({"shopping": "never"}, 'must be "script" or "policy"'),
    ]:
        with pytest.raises(ValueError, match=message):
            envs.make_vec("quintet/Arena-v0", 1, **options)


def test_shopping_and_levelling_can_be_the_policys() -> None:
    env = envs.make_vec(
        "quintet/Duel-v0", 8, seed=1, num_threads=1, shopping="policy", leveling="policy", start_gold=2000
    )
    for _ in play(env, 60):
        pass
    assert (env.state["num_items"] > 0).all() and (env.state["rank"].sum(2) > 0).all()
    assert env.state["illegal"].sum() == 0


def test_a_hero_walks_where_it_is_told() -> None:
    env = envs.make_vec("quintet/Duel-v0", 1, num_threads=1)
    env.reset()
    x = env.state["x"][0, 0]
    speed = env.state["speed"][0, 0]
    env.step([[MOVE, 0, 0], [MOVE, 0, 0]])
    assert env.state["x"][0, 0] == pytest.approx(x + speed)
    enemy = int(env.params[0].team_units)
    assert env.state["x"][0, enemy] == pytest.approx(-x - speed)


def test_partners_are_each_others() -> None:
    for world in (arena(), duel()):
        params = world.params[0]  # pyright: ignore[reportOptionalSubscript]
        partner = partners(params)
        assert (partner[partner] == np.arange(len(partner))).all()
        assert (params["slot_x"] == -params["slot_x"][partner]).all()


def test_pettingzoos_own_checks_pass() -> None:
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    parallel_api_test(parallel_env(), num_cycles=60)
    parallel_seed_test(parallel_env, num_cycles=30)


@pytest.mark.parametrize("name", ["arena", "duel"])
def test_every_way_leads_over_free_ground_to_its_landmark(name: str) -> None:
    drawn = load_map(name)
    free = (drawn.cells != WALL).reshape(drawn.height, drawn.width)
    for flow in drawn.flow.reshape(-1, drawn.height, drawn.width):
        rows, columns = np.nonzero(free)
        for _ in range(drawn.area):
            direction = flow[rows, columns]
            going = direction != ARRIVED
            if not going.any():
                break
            steps = direction[going]
            rows[going] += DY[steps]
            columns[going] += DX[steps]
            assert free[rows, columns].all()
        assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == 1
