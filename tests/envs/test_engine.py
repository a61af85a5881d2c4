"""The engine's promises, held for every registered world and for the two-seat probe."""

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv

import envs
from envs.engine.races import find_races
from envs.engine.rules import real, rule
from envs.engine.single import SingleEnv
from envs.engine.vector import make_numpy
from envs.registration import load_world
from tests.games import WORLDS, batch, build, play, random_actions

IDS = [name for name in WORLDS if name.startswith("quintet/")]
ARENAS = ("quintet/Arena-v0", "quintet/Duel-v0")


def run(*arguments: str, **environ: str) -> str:
    """Runs `python -m tests.games` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.games", *arguments], env={**os.environ, **environ}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_plays_the_same_alone_and_in_a_batch_of_1024(name: str) -> None:
    rows = batch(name, 1).num_envs
    assert play(batch(name, 1, seed=7), 300) == play(batch(name, 1024, seed=7, num_threads=1), 300, rows=rows)


@pytest.mark.parametrize("name", WORLDS)
def test_one_thread_and_two_play_the_same(name: str) -> None:
    one, two = batch(name, 2048, seed=3, num_threads=1), batch(name, 2048, seed=3, num_threads=2)
    assert not one._parallel and two._parallel
    assert play(one, 60) == play(two, 60)


def test_compiled_and_plain_python_play_the_same() -> None:
    assert run(*WORLDS) == run(*WORLDS, QUINTET_DEBUG="1")


def test_no_phase_of_any_world_has_a_race_and_the_finder_finds_one() -> None:
    lines = run("--races", *WORLDS, "racing", QUINTET_DEBUG="1").splitlines()
    assert lines[:-1] == [f"{name} []" for name in WORLDS]
    assert "step rule racy: state.dot.0 is written by index 0 and touched by index 5" in lines[-1]
    assert "step rule crowd: state.eater.0 is written by index 0 and touched by index 3" in lines[-1]
    assert "reset writes state.terms" in lines[-1]


def races_with(*control: int) -> list[str]:
    """What `find_races` says of the racing probe with these players."""
    return find_races(build("racing"), 20, control=control)


def test_the_race_finder_takes_who_plays() -> None:
    program = "from tests.envs.test_engine import races_with as f; print(len(f(2, 2)), len(f(0, 1))); f(3, 0)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "QUINTET_DEBUG": "1"}, capture_output=True, text=True
    )
    assert min(int(count) for count in done.stdout.split()) > 0
    assert "ValueError: control must give each of the 2 seats 0..2, got (3, 0)" in done.stderr


MODES = ("SameStep", "NextStep", "Disabled")


def accounts(mode: str, num_steps: int = 120) -> str:
    """The hash of all statistics and reward terms of a game, each held against the records and the rewards."""
    digest = hashlib.sha256()
    env = batch("two_seats", 3, seed=4, autoreset_mode=mode)
    actions = random_actions(env, 1)
    env.reset()
    assert env.reward_terms().keys() == {"dots", "win"} and not any(v.any() for v in env.reward_terms().values())
    for _ in range(num_steps):
        _, rewards, terminated, truncated, infos = env.step(next(actions))
        terms = env.reward_terms()
        assert torch.equal(terms["dots"] + terms["win"], rewards)
        ended = terminated | truncated
        digest.update(np.stack([value.numpy() for value in terms.values()]).tobytes())
        assert ("episode" in infos) == bool(ended.any())
        for name in ("eaten", "effort") if ended.any() else ():
            values = infos["episode"][name]
            assert values.shape == (6,) and values.dtype == torch.float32 and not values[~ended].any()
            if mode != "SameStep":
                assert values[ended].tolist() == env.state[name].reshape(-1)[ended.numpy()].tolist()
            digest.update(values.numpy().tobytes())
        if mode == "Disabled" and ended.any():
            env.reset(options={"reset_mask": ended.numpy()})
            assert not any(value[ended].any() for value in env.reward_terms().values())
    return digest.hexdigest()


def test_statistics_and_reward_terms_are_the_same_compiled_and_plain() -> None:
    program = "from tests.envs.test_engine import MODES, accounts; print([accounts(mode) for mode in MODES])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "QUINTET_DEBUG": "1"}, capture_output=True, text=True
    )
    assert done.stdout == f"{[accounts(mode) for mode in MODES]}\n", done.stderr


def test_statistics_are_those_of_the_episode_that_ended_in_every_mode() -> None:
    found = []
    for mode in MODES:
        env = batch("two_seats", 2, seed=4, autoreset_mode=mode)
        actions = random_actions(env, 1)
        env.reset()
        infos: dict = {}
        while "episode" not in infos:
            infos = env.step(next(actions))[4]
        found.append({name: values.tolist() for name, values in infos["episode"].items()})
    assert found[0] == found[1] == found[2] and found[0].keys() == {"r", "l", "eaten", "effort"}
    assert any(found[0]["eaten"]) and any(found[0]["effort"])


def test_a_parallel_batch_and_the_callers_own_seats_have_statistics_too() -> None:
    one, two = (batch("two_seats", 512, seed=3, num_threads=n, seats=(1,)) for n in (1, 2))
    actions = random_actions(one, 0)
    one.reset()
    two.reset()
    num_ended = 0
    for _ in range(45):
        action = next(actions)
        (*_, infos), (*_, others) = one.step(action), two.step(action)
        assert all(torch.equal(one.reward_terms()[name], rows) for name, rows in two.reward_terms().items())
        if "episode" in infos:
            num_ended += int(infos["_episode"].sum())
            assert all(torch.equal(infos["episode"][name], rows) for name, rows in others["episode"].items())
    assert num_ended >= 512


def test_gymnasiums_faces_give_statistics_and_reward_terms() -> None:
    env = SingleEnv("tests.probe_worlds:two_seats", seats=(1,))
    vector = make_numpy(2, "tests.probe_worlds:two_seats", seats=(1,))
    _, info = env.reset(seed=4)
    vector.reset(seed=4)
    assert (info["eaten"], info["effort"], info["reward_terms"]) == (0, 0, {"dots": 0, "win": 0})
    ended = False
    while not ended:
        action = env.action_space.sample()
        _, reward, terminated, truncated, info = env.step(action)
        infos = vector.step(np.stack([action, action]))[4]
        assert sum(info["reward_terms"].values()) == reward
        assert {name: float(rows[0]) for name, rows in vector.reward_terms().items()} == info["reward_terms"]
        ended = terminated or truncated
    episode = infos["episode"]
    assert isinstance(episode["eaten"], np.ndarray) and isinstance(vector.reward_terms()["win"], np.ndarray)
    assert (info["eaten"], info["effort"]) == (episode["eaten"][0], episode["effort"][0])
    _, info = env.reset()
    assert (info["eaten"], info["effort"], info["reward_terms"]) == (0, 0, {"dots": 0, "win": 0})


def test_a_world_without_terms_has_none() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 2)
    env.reset()
    assert env.reward_terms() == {}


def test_each_seat_has_its_own_scripted_level() -> None:
    world = replace(build("two_seats"), scripted=(1, 2))
    assert envs.make_vec(world, 2, seats=(0,)).state.next_control.tolist() == [[0, 2], [0, 2]]
    assert envs.make_vec(world, 1, seats=(1,)).state.next_control.tolist() == [[1, 0]]
    assert envs.make_vec(world, 1).state.next_control.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scripted": (1,)}, r"TwoSeats: scripted must give each of the 2 seats a level of 1\.\.2, got \(1,\)"),
        ({"scripted": (0, 1)}, r"a level of 1\.\.2, got \(0, 1\)"),
        ({"scripted": (1, 1), "scripted_levels": 0}, "scripted_levels is 0; leave scripted out"),
        ({"statistics": ("eaten", "kills")}, "statistic 'kills' must be a field of state, .* got fields place"),
        ({"statistics": ("dot",)}, r"statistic 'dot' must be .* integer or real \[2\]; got int32 \[6\]"),
        ({"statistics": ("eaten", "eaten")}, "named twice"),
        ({"statistics": ("r",)}, r"infos hold \['r'\] already"),
        ({"reward_terms": ("dots",)}, r"'terms' must be a field of state, real \[2, 1\]; got float32 \[2, 2\]"),
        ({"reward_terms": ("dots", "dots")}, "named twice"),
    ],
)
def test_what_is_not_in_the_world_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(build("two_seats"), **changes)


def test_tables_may_hold_records() -> None:
    program = "from tests.envs.test_engine import tabled; print(tabled())"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "QUINTET_DEBUG": "1"}, capture_output=True, text=True
    )
    assert done.stdout == f"{tabled()}\n", done.stderr
    assert tabled() == [4.0, 5.5, 4.0]


@rule
def paid(state, tables):
    row = tables.pay[state.tick % 2]
    state.reward[0] = row.wage + real(row.bonus)


def tabled() -> list[float]:
    """The rewards of a world that reads a table of records."""
    pay = np.array([(1.5, 4), (3.0, 1)], [("wage", real), ("bonus", np.int32)])
    world = replace(load_world("envs.classic.cartpole:world"), name="Tabled", step=paid, tables={"pay": pay})
    env = envs.make_vec(world, 1)
    env.reset()
    return [float(env.step([0])[1]) for _ in range(3)]


@pytest.mark.parametrize("id", IDS)
def test_make_and_world_0_of_a_batch_play_the_same_ten_episodes(id: str) -> None:
    options: dict[str, Any] = {"minutes": 0.5} if id in ARENAS else {}
    single, many = gymnasium.make(id, **options), envs.make_vec(id, 3, seed=11, seats=(0,), **options)
    actions = random_actions(many, 0)
    obs, _ = single.reset(seed=11)
    rows, _ = many.reset()
    num_ended, num_steps = 0, 0
    while num_ended < 10:
        num_steps += 1
        assert num_steps < 20_000
        assert np.array_equal(obs, np.asarray(rows[0]))
        batch_actions = next(actions)
        obs, reward, terminated, truncated, _ = single.step(batch_actions[0])
        rows, rewards, all_terminated, all_truncated, infos = many.step(batch_actions)
        assert (reward, terminated, truncated) == (float(rewards[0]), bool(all_terminated[0]), bool(all_truncated[0]))
        if terminated or truncated:
            assert np.array_equal(obs, np.asarray(infos["final_obs"][0]))
            assert infos["_final_obs"][0]
            num_ended += 1
            obs, _ = single.reset()


@pytest.mark.parametrize("id", IDS)
def test_every_world_passes_gymnasiums_checker(id: str) -> None:
    check_env(gymnasium.make(id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("id", IDS)
def test_gymnasiums_vector_maker_gives_numpy(id: str) -> None:
    vector = gymnasium.make_vec(id, num_envs=3)
    obs, _ = vector.reset(seed=1)
    same, _ = envs.make_vec(id, 3, seats=(0,)).reset(seed=1)
    assert isinstance(obs, np.ndarray) and np.array_equal(obs, same.numpy())
    assert vector.observation_space.contains(obs)
    obs, rewards, terminated, truncated, _ = vector.step(vector.action_space.sample())
    assert obs.shape[0] == 3 and rewards.shape == terminated.shape == truncated.shape == (3,)


def test_worlds_step_in_processes_of_their_own() -> None:
    vector = AsyncVectorEnv([lambda: gymnasium.make("envs:quintet/CartPole-v1")] * 2, context="spawn")
    vector.reset(seed=[1, 2])
    obs, *_ = vector.step(np.array([0, 1]))
    vector.close()
    assert obs.shape == (2, 4)


@pytest.mark.parametrize("name", WORLDS)
def test_saved_state_replays_byte_equal(name: str) -> None:
    env = batch(name, 4, seed=2)
    play(env, 30)
    saved = env.save_state()
    before, _ = env.observe()
    actions = random_actions(env, 9)
    steps = [next(actions) for _ in range(50)]
    first = [tuple(torch.as_tensor(x).clone() for x in env.step(a)[:4]) for a in steps]
    obs, _ = env.load_state(saved)
    assert torch.equal(obs, before)
    for action, expected in zip(steps, first, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(env.step(action)[:4], expected, strict=True))


def test_loading_refuses_other_worlds_sizes_and_damage() -> None:
    env, other = batch("two_seats", 4), envs.make_vec("quintet/CartPole-v1", 4)
    env.reset()
    with pytest.raises(ValueError, match="another world"):
        env.load_state({**other.save_state()})
    with pytest.raises(ValueError, match="holds 3 worlds, this env has 4"):
        env.load_state(batch("two_seats", 3).save_state())
    damaged = env.save_state()
    view = damaged["records"].numpy().view(env.state.dtype)
    view["param"] = 99
    with pytest.raises(ValueError, match=r"param outside 0\.\.0"):
        env.load_state(damaged)


def test_autoreset_modes_give_what_gymnasium_says() -> None:
    same, later, never = (batch("two_seats", 2, seed=4, autoreset_mode=m) for m in ("SameStep", "NextStep", "Disabled"))
    actions = random_actions(same, 1)
    for env in (same, later, never):
        env.reset()
    ended = torch.zeros(4, dtype=torch.bool)
    while not ended.any():
        action = next(actions)
        obs, rewards, terminated, truncated, infos = same.step(action)
        ended = terminated | truncated
        for env in (later, never):
            other_obs, other_rewards, *flags, other_infos = env.step(action)
            assert torch.equal(rewards, other_rewards) and torch.equal(flags[0] | flags[1], ended)
    assert torch.equal(infos["final_obs"][ended], other_obs[ended]) and "final_obs" not in other_infos
    assert torch.equal(infos["_final_obs"], ended) and (infos["final_obs"][~ended] == 0).all()
    assert infos["episode"]["l"][ended].unique().tolist() == [int(never.state.tick[ended[::2].numpy()][0])]
    next_obs, next_rewards, next_terminated, *_ = later.step(next(actions))
    assert torch.equal(next_obs[ended], obs[ended])
    assert (next_rewards[ended] == 0).all() and not next_terminated[ended].any()
    still, zero, *_ = never.step(next(actions))
    assert torch.equal(still[ended], other_obs[ended]) and (zero[ended] == 0).all()
    fresh, _ = never.reset(options={"reset_mask": ended.numpy()})
    assert torch.equal(fresh[ended], obs[ended]) and torch.equal(fresh[~ended], still[~ended])


def test_a_time_limit_truncates_and_does_not_terminate() -> None:
    env = envs.make_vec("quintet/Pendulum-v1", 3)
    env.reset()
    for tick in range(1, 201):
        _, _, terminated, truncated, _ = env.step(torch.zeros(3, 1))
        assert not terminated.any() and truncated.all() == (tick == 200)


@pytest.mark.parametrize("name", ["quintet/CartPole-v1", "quintet/GridWorld-v0", "two_seats"])
def test_a_step_of_several_ticks_is_those_ticks_until_the_episode_ends(name: str) -> None:
    world = build(name)
    skipping = envs.make_vec(replace(world, frame_skip=3), 6, seed=2, autoreset_mode="Disabled", num_threads=1)
    plain = envs.make_vec(world, 6, seed=2, autoreset_mode="Disabled", num_threads=1)
    assert torch.equal(skipping.reset()[0], plain.reset()[0])
    skipping.action_space.seed(0)
    lengths = np.zeros(plain.num_envs, np.int64)
    for _ in range(50):
        actions, total = skipping.action_space.sample(), torch.zeros(plain.num_envs)
        over = plain.state["ended"].repeat(plain.num_seats) > 0
        for _ in range(3):
            obs, rewards, terminated, truncated, _ = plain.step(actions)
            total += rewards
        found, summed, *ends, infos = skipping.step(actions)
        assert torch.equal(found, obs) and torch.equal(summed, total)  # pyright: ignore
        assert torch.equal(ends[0], terminated) and torch.equal(ends[1], truncated)  # pyright: ignore
        assert (plain.state["tick"] == skipping.state["tick"]).all()
        ended = (ends[0] | ends[1]).numpy() & ~over  # pyright: ignore
        if ended.any():
            lengths[ended] = infos["episode"]["l"][ended]
    over = plain.state["ended"].repeat(plain.num_seats) > 0
    ticks = plain.state["tick"].repeat(plain.num_seats)[over]
    assert over.any() and (lengths[over] == -(-ticks // 3)).all() and (lengths[~over] == 0).all()
    with pytest.raises(ValueError, match="frame_skip is an option of the world; make another"):
        plain.set_params(frame_skip=2)
    with pytest.raises(ValueError, match="frame_skip must be at least 1, got 0"):
        replace(world, frame_skip=0)


def test_rows_are_seats_and_both_see_their_own_side() -> None:
    env = batch("two_seats", 3, seed=1)
    obs, infos = env.reset()
    assert (env.num_envs, env.num_worlds, env.num_seats, env.seats) == (6, 3, 2, (0, 1))
    by_seat = obs.reshape(3, 2, -1)
    assert torch.equal(by_seat[:, 0, 0], by_seat[:, 1, 1]) and torch.equal(by_seat[:, 0, 1], by_seat[:, 1, 0])
    assert infos["action_mask"].shape == (6, env.action_layout.num_columns) == (6, 7)  # pyright: ignore
    rewards = env.step(np.tile([[1, 1], [1, 0]], (3, 1)))[1].reshape(3, 2)
    assert torch.equal(rewards.sum(1), torch.zeros(3))


def test_masks_tell_what_is_legal() -> None:
    env = batch("two_seats", 1, seed=1)
    _, infos = env.reset()
    mask = infos["action_mask"].reshape(2, 7)
    assert mask[0].tolist() == [True, True, False, False, True, True, True]
    assert mask[1].tolist() == [True, True, False, True, False, True, True]
    assert env.action_masks().tolist() == [[True, True, False, True, True]] * 2, "of either direction, of any verb"
    for name, masked in (("quintet/CartPole-v1", False), ("quintet/Duel-v0", True)):
        made: list[Any] = [envs.make_vec(name, 2), gymnasium.make(name).unwrapped]
        for one in made:
            assert hasattr(one, "action_masks") == masked
            one.reset(seed=1)
            if masked:
                assert one.action_masks().shape[-1] == sum(made[1].action_space.nvec)


def test_a_seat_without_a_row_is_scripted_and_control_changes_between_episodes() -> None:
    env = batch("two_seats", 2, seats=(0,), seed=6)
    env.reset()
    assert env.num_envs == 2 and env.state.control.tolist() == [[0, 1], [0, 1]]
    env.step(np.zeros((2, 2), np.int64))
    env.set_control([0, 2])
    assert env.state.control.tolist() == [[0, 1], [0, 1]], "the episode has begun"
    env.reset()
    assert env.state.control.tolist() == [[0, 2], [0, 2]]
    env.set_control([0, 1])
    assert env.state.control.tolist() == [[0, 1], [0, 1]], "it has not"
    env.set_control([0, 2])
    places = []
    for _ in range(5):
        env.step(np.zeros((2, 2), np.int64))
        places.append(int(env.state.place[0, 1]))
    assert places == [5, 4, 3, 2, 1]
    with pytest.raises(ValueError, match=r"seats \[1\] have no row"):
        env.set_control([1, 0])
    with pytest.raises(ValueError, match=r"control must be 0\.\.2"):
        env.set_control([0, 3])


def test_params_change_in_place_and_rows_of_params_are_shared_out() -> None:
    from tests.probe_worlds import two_seats

    env = envs.make_vec(two_seats(lengths=(5, 9)), 4)
    env.reset()
    assert env.state.place[:, 1].tolist() == [4, 8, 4, 8]
    env.set_params(win_reward=2.5)
    assert env.params.win_reward.tolist() == [2.5, 2.5]
    with pytest.raises(ValueError, match="no param 'win_rewards'"):
        env.set_params(win_rewards=1)


def test_results_go_where_out_says() -> None:
    env, twin = batch("two_seats", 2, seed=8), batch("two_seats", 2, seed=8)
    env.reset()
    twin.reset()
    out = {
        "obs": torch.empty(4, 9), "rewards": torch.empty(4), "action_mask": torch.empty(4, 7, dtype=torch.bool),
        "terminated": torch.empty(4, dtype=torch.bool), "truncated": torch.empty(4, dtype=torch.bool),
    }  # fmt: skip
    actions = random_actions(env, 0)
    for _ in range(60):
        action = next(actions)
        given, fresh = env.step(action, out=out), twin.step(action)
        assert given[0] is out["obs"] and given[4]["action_mask"] is out["action_mask"]
        assert all(torch.equal(x, y) for x, y in zip(given[:4], fresh[:4], strict=True))
        assert given[4].keys() == fresh[4].keys()
    with pytest.raises(ValueError, match=r"out\['obs'\] must be contiguous float32 \[4, 9\]"):
        env.step(action, out={**out, "obs": torch.empty(9, 4).T})


@pytest.mark.parametrize("actions", [[[0, 0], [3, 0]], [[0, 0], [-1, 0]], [[0, 0], [0, 2]]])
def test_an_action_outside_the_space_is_refused_and_nothing_steps(actions: list) -> None:
    env = batch("two_seats", 1, seed=1)
    env.reset()
    before = env.save_state()["records"]
    with pytest.raises(ValueError, match=r"actions\[1\] = .* is not in MultiDiscrete"):
        env.step(actions)
    with pytest.raises(ValueError, match=r"actions must be \[2, 2\], got \[2\]"):
        env.step([0, 1])
    with pytest.raises(ValueError, match="must be integers"):
        env.step([[0.5, 0], [0, 0]])
    assert torch.equal(before, env.save_state()["records"])


def test_box_actions_are_clipped_and_nan_is_refused() -> None:
    env, twin = (envs.make_vec("quintet/Pendulum-v1", 2) for _ in range(2))
    env.reset()
    twin.reset()
    assert torch.equal(env.step([[5.0], [-9.0]])[0], twin.step([[2.0], [-2.0]])[0])
    with pytest.raises(ValueError, match=r"actions\[1\] = \[nan\] is not in Box"):
        env.step([[0.0], [float("nan")]])


def test_actions_may_have_any_strides() -> None:
    env, twin = batch("two_seats", 3), batch("two_seats", 3)
    env.reset()
    twin.reset()
    actions = torch.tensor([[1, 1, 0, 2, 1, 0], [1, 0, 1, 1, 0, 0]])
    assert torch.equal(env.step(actions.T)[0], twin.step(actions.T.contiguous())[0])


def test_seeds_of_their_own_make_each_world_world_0() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 3)
    rows, _ = env.reset(seed=[5, 6, 5])
    assert torch.equal(rows[0], rows[2]) and not torch.equal(rows[0], rows[1])
    alone, _ = gymnasium.make("quintet/CartPole-v1").reset(seed=6)
    assert np.array_equal(alone, rows[1].numpy())
    with pytest.raises(ValueError, match="got 2 for 3 worlds"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="non-negative int, got -4"):
        env.reset(seed=-4)


def test_two_python_threads_may_step_two_parallel_batches() -> None:
    expected = play(batch("two_seats", 1024, seed=1, num_threads=2), 40)
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(play(batch("two_seats", 1024, seed=1, num_threads=2), 40)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 2


@pytest.mark.parametrize("seats", ["all", (1,)])
def test_two_parts_of_a_batch_play_what_the_whole_plays(seats: Any) -> None:
    """The second part begins at an odd world, whose tunables are the second row."""
    from tests.probe_worlds import two_seats

    whole = envs.make_vec(two_seats(lengths=(5, 9)), 8, seed=3, seats=seats)
    parts = [
        envs.make_vec(two_seats(lengths=(5, 9)), number, seed=3, seats=seats, first_world=first)
        for first, number in ((0, 3), (3, 5))
    ]
    for seed in (None, 4):
        assert torch.equal(whole.reset(seed=seed)[0], torch.cat([part.reset(seed=seed)[0] for part in parts]))
        for actions, _ in zip(random_actions(whole, 1), range(60), strict=False):
            pieces = np.split(actions, [parts[0].num_envs])
            together = [part.step(piece)[:4] for part, piece in zip(parts, pieces, strict=True)]
            for one, others in zip(whole.step(actions)[:4], zip(*together, strict=True), strict=True):
                assert torch.equal(one, torch.cat(others))
    with pytest.raises(ValueError, match="first_world must be at least 0, got -1"):
        envs.make_vec("quintet/CartPole-v1", 1, first_world=-1)


@pytest.mark.parametrize(("extent", "parts"), [(2, 3), (1, 6), (6, 1)])
def test_a_phase_is_played_once_for_each_part_of_each_index(extent, parts):
    @rule
    def mark(state, index, part):
        state.dot[index * np.int32(parts) + part] = np.int32(10 * index + part)
        state.eaten[0] += np.int32(1)

    from tests.probe_worlds import two_seats

    worlds = envs.make_vec(replace(two_seats(), step=[(mark, extent, parts)]), 1)
    worlds.reset(seed=0)
    worlds.step(np.zeros((2, 2), np.int64))
    assert worlds.state["eaten"][0, 0] == extent * parts
    assert worlds.state["dot"][0].tolist() == [10 * index + part for index in range(extent) for part in range(parts)]


def test_a_field_of_the_state_under_the_name_of_something_else_is_refused():
    @rule
    def paint(state, mask):
        mask[0] = np.int32(1)

    @rule
    def step(state):
        paint(state, state.place)

    from tests.probe_worlds import two_seats

    world = replace(two_seats(), step=step)
    with pytest.raises(ValueError, match="paint is given a field of the state as its argument 'mask'"):
        envs.make_vec(world, 1).reset(seed=0)
