"""The PettingZoo face of a world with two seats."""

import warnings

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from envs.engine.parallel import WorldParallelEnv
from tests.games import batch, random_actions
from tests.probe_worlds import two_seats


def test_two_seats_pass_pettingzoos_tests() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parallel_api_test(WorldParallelEnv(two_seats()), num_cycles=300)
        parallel_seed_test(lambda: WorldParallelEnv(two_seats()), num_cycles=50)


def test_it_plays_as_world_0_of_a_batch() -> None:
    env, many = WorldParallelEnv(two_seats()), batch("two_seats", 2)
    obs, infos = env.reset(seed=9)
    rows, _ = many.reset(seed=9)
    assert np.array_equal(obs["seat_1"], rows[1].numpy())
    mask = infos["seat_0"]["action_mask"]
    assert [part.tolist() for part in mask] == [[1, 1, 0], [1, 1]]
    actions = np.tile([[1, 1], [1, 0]], (2, 1))
    rewards = many.step(actions)[1]
    assert env.step({"seat_0": actions[0], "seat_1": actions[1]})[1]["seat_1"] == float(rewards[1])


def test_statistics_and_reward_terms_are_in_each_agents_info() -> None:
    env, many = WorldParallelEnv(two_seats()), batch("two_seats", 1, autoreset_mode="Disabled")
    _, infos = env.reset(seed=4)
    many.reset(seed=4)
    assert all(info["reward_terms"] == {"dots": 0, "win": 0} and info["eaten"] == 0 for info in infos.values())
    actions, finals = random_actions(many, 3), {}
    while env.agents:
        rows = next(actions)
        _, rewards, _, _, infos = env.step(dict(zip(env.agents, rows, strict=True)))
        finals = many.step(rows)[4]
        assert all(sum(infos[agent]["reward_terms"].values()) == reward for agent, reward in rewards.items())
    for name in ("eaten", "effort"):
        assert [info[name] for info in infos.values()] == finals["episode"][name].tolist()


def test_a_missing_action_is_named() -> None:
    env = WorldParallelEnv(two_seats())
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"no action for \['seat_1'\]"):
        env.step({"seat_0": np.array([0, 0])})
