"""DQN learns known values, goes on where it stopped, and says what it can't take."""

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from agents import dqn
from agents.evaluate import evaluate
from experiments.algorithms import preset


class Corridor(gymnasium.Env):
    """Two places; action 1 walks on and earns 1 at the end, action 0 gives up for 0.5 at once."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _obs(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[self.place]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self._obs(), {}

    def step(self, action):
        reward, over = (0.5, True) if action == 0 else (float(self.place), self.place == 1)
        self.place = min(self.place + 1, 1)
        return self._obs(), reward, over, False, {}


class Endless(gymnasium.Env):
    """Earns 1 a step and is cut after five: only truncation, so its value is 1 / (1 - gamma)."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.ones(1, np.float32), 1.0, False, self.steps == 5, {}


QUICK: dict[str, Any] = {
    "num_envs": 4, "learning_starts": 200, "buffer_size": 4000, "batch_size": 64, "train_frequency": 2,
    "learning_rate": 3e-3, "target_network_frequency": 20, "exploration_fraction": 1.0, "epsilon_end": 0.5,
    "hidden_sizes": (32,), "log_every": 500,
}  # fmt: skip


def learned(env: type, mode: AutoresetMode = AutoresetMode.SAME_STEP, **settings: Any) -> dqn.Policy:
    config = dqn.Config(**{**QUICK, "total_timesteps": 3000, **settings})
    state = dqn.TrainState(SyncVectorEnv([env] * config.num_envs, autoreset_mode=mode), config)
    for _ in dqn.learn(state.collector.envs, config, state):
        pass
    return state.policy


@pytest.mark.parametrize("settings", [{}, {"double": False}, {"dueling": True}, {"tau": 0.05}, {"huber": False}])
def test_values_of_a_corridor_are_the_known_ones(settings: dict[str, Any]) -> None:
    values = learned(Corridor, gamma=0.9, **settings)(torch.eye(2)).detach()
    assert torch.allclose(values, torch.tensor([[0.5, 0.9], [0.5, 1.0]]), atol=0.06)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_truncation_bootstraps(mode: AutoresetMode) -> None:
    values = learned(Endless, mode, gamma=0.5)(torch.ones(1, 1)).detach()
    assert torch.allclose(values, torch.full((1, 2), 2.0), atol=0.1)


def test_illegal_actions_are_never_taken_nor_valued() -> None:
    policy = dqn.make_policy(spaces.Box(-1, 1, (3,)), spaces.Discrete(4), dqn.Config())
    mask = torch.tensor([[False, True, False, False]] * 50)
    none = torch.zeros(50, 0)
    for deterministic in (True, False):
        actions, _ = policy.act(torch.randn(50, 3), mask, none, none, deterministic=deterministic)
        assert (actions == 1).all()


def test_a_resumed_run_equals_one_that_never_stopped() -> None:
    config = dqn.Config(**{**QUICK, "total_timesteps": 2000})

    def fresh() -> dqn.TrainState:
        return dqn.TrainState(envs.make_vec("quintet/CartPole-v1", 4, seed=1), config)

    whole, first, second = fresh(), fresh(), fresh()
    records = list(dqn.learn(whole.collector.envs, config, whole))
    learning = dqn.learn(first.collector.envs, config, first)
    before = [next(learning), next(learning)]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    after = list(dqn.learn(second.collector.envs, config, second))
    assert before + after == records and len(records) == 4
    assert torch.equal(whole.optimizer.flat, second.optimizer.flat)


def test_spaces_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"DQN needs a Discrete action space, got Box.*use ddpg or ppo"):
        dqn.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (1,)))
    with pytest.raises(ValueError, match=r"epsilon_end must lie in 0\.\.1, got 2"):
        dqn.Config(epsilon_end=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_preset_solves_cartpole(seed: int) -> None:
    config = dqn.Config(**{**preset("dqn", "quintet/CartPole-v1"), "seed": seed})
    worlds = envs.make_vec("quintet/CartPole-v1", config.num_envs, seed=seed, num_threads=1)
    state = dqn.TrainState(worlds, config)
    for _ in dqn.learn(worlds, config, state):
        pass
    assert evaluate(state.policy, envs.make_vec("quintet/CartPole-v1", 100), 100, seed=1000).mean >= 475
