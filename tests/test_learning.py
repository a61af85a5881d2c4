"""What the presets promise: each task solved for each of five seeds, over 100 deterministic episodes."""

from typing import Any

import numpy as np
import pytest

import envs
from agents import ppo, tabular_q
from agents.evaluate import evaluate
from envs.gridworld.model import policy_value, transition_model
from experiments.algorithms import preset
from tests.games import build

SEEDS = range(1, 6)


def trained(algorithm: Any, name: str, env_id: str, seed: int, **options: Any) -> Any:
    """The policy that the preset leaves behind."""
    config = algorithm.Config(**{**preset(name, env_id, options), "seed": seed})
    worlds = envs.make_vec(env_id, config.num_envs, seed=seed, num_threads=1, **options)
    state = algorithm.TrainState(worlds, config)
    for _ in algorithm.learn(worlds, config, state):
        pass
    return state.policy


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("env_id", "least"), [("quintet/CartPole-v1", 495.0), ("quintet/Pendulum-v1", -200.0)])
def test_ppo_solves_control(env_id: str, least: float, seed: int) -> None:
    policy = trained(ppo, "ppo", env_id, seed)
    assert evaluate(policy, envs.make_vec(env_id, 100, num_threads=1), 100, seed=1000).mean >= least


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("level", "least"), [("frozen_lake_4x4", 0.73), ("cliff", -13.0)])
def test_tabular_q_learns_the_grid(level: str, least: float, seed: int) -> None:
    policy = trained(tabular_q, "q", "quintet/GridWorld-v0", seed, level=level)
    model = transition_model(build("quintet/GridWorld-v0", level=level))
    greedy = np.asarray(policy.table.argmax(dim=1))
    horizon = 100 if level == "frozen_lake_4x4" else 1000
    assert policy_value(model, greedy, gamma=1.0, horizon=horizon) >= least
