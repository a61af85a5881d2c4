"""DDPG finds a known optimum, goes on where it stopped, and says what it can't take."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from agents import ddpg
from agents.evaluate import evaluate
from experiments.algorithms import preset


class Aim(gymnasium.Env):
    """One step: sees a target in -1..1; earns minus the squared distance of its action from 5 + 3 times the target."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(0, 10, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.target = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.target, {}

    def step(self, action):
        error = float(action[0] - (5 + 3 * self.target[0])) / 5
        return self.target, -(error**2), True, False, {}


QUICK: dict[str, Any] = {
    "num_envs": 8, "learning_starts": 300, "buffer_size": 4000, "batch_size": 64, "train_frequency": 4,
    "hidden_sizes": (32, 32), "tau": 0.05, "log_every": 1000, "exploration_noise": 0.3,
}  # fmt: skip
TD3 = {"twin_critics": True, "policy_delay": 2, "target_noise": 0.2}


@pytest.mark.parametrize("settings", [{}, TD3, {"ou_theta": 0.3}])
def test_it_learns_where_to_aim(settings: dict[str, Any]) -> None:
    config = ddpg.Config(**{**QUICK, "total_timesteps": 5000, **settings})
    vector = SyncVectorEnv([Aim] * 8, autoreset_mode=AutoresetMode.SAME_STEP)
    state = ddpg.TrainState(vector, config)
    for _ in ddpg.learn(vector, config, state):
        pass
    targets = torch.linspace(-0.9, 0.9, 20).unsqueeze(1)
    none = torch.zeros(20, 0)
    actions, _ = state.policy.act(targets, None, none, none, deterministic=True)
    assert (actions - (5 + 3 * targets)).abs().mean() < 0.6


def test_actions_stay_within_the_box() -> None:
    policy = ddpg.make_policy(spaces.Box(-1, 1, (2,)), Aim.action_space, ddpg.Config(exploration_noise=5.0))
    none = torch.zeros(100, 0)
    actions, _ = policy.act(torch.randn(100, 2), None, none, none)
    assert actions.min() == 0 and actions.max() == 10


@pytest.mark.parametrize("settings", [{}, {**TD3, "ou_theta": 0.2}])
def test_a_resumed_run_equals_one_that_never_stopped(settings: dict[str, Any]) -> None:
    config = ddpg.Config(**{**QUICK, "total_timesteps": 3000, **settings})

    def fresh() -> ddpg.TrainState:
        return ddpg.TrainState(envs.make_vec("quintet/Pendulum-v1", 8, seed=1), config)

    whole, first, second = fresh(), fresh(), fresh()
    records = list(ddpg.learn(whole.collector.envs, config, whole))
    learning = ddpg.learn(first.collector.envs, config, first)
    before = [next(learning), next(learning)]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    after = list(ddpg.learn(second.collector.envs, config, second))
    assert before + after == records and len(records) == 3
    assert torch.equal(whole.actor_optimizer.flat, second.actor_optimizer.flat)


def test_spaces_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"DDPG needs a one-dimensional Box action space.*use dqn or ppo"):
        ddpg.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    with pytest.raises(ValueError, match="DDPG needs bounded actions"):
        ddpg.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (1,)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_preset_solves_pendulum(seed: int) -> None:
    config = ddpg.Config(**{**preset("ddpg", "quintet/Pendulum-v1"), "seed": seed})
    worlds = envs.make_vec("quintet/Pendulum-v1", config.num_envs, seed=seed, num_threads=1)
    state = ddpg.TrainState(worlds, config)
    for _ in ddpg.learn(worlds, config, state):
        pass
    assert evaluate(state.policy, envs.make_vec("quintet/Pendulum-v1", 100), 100, seed=1000).mean >= -200
