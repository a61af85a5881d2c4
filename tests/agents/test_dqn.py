"""DQN learns known values, goes on where it stopped, and says what it can't take."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from agents import checkpoint, dqn
from agents.evaluate import evaluate
from experiments.algorithms import preset
from tests.agents.test_ppo import same
from tests.probe_envs import Anything, Probe, Scripted, sync


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
    "num_envs": 4, "learning_starts": 200, "buffer_size": 4000, "batch_size": 64, "train_frequency": 4,
    "learning_rate": 1e-2, "target_network_frequency": 20, "epsilon": "linear:1:0.5",
    "hidden_sizes": (32,), "log_every": 500,
}  # fmt: skip


SAME_STEP, NEXT_STEP = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
C51: dict[str, Any] = {
    "head": "categorical",
    "value_min": -2.0,
    "value_max": 2.0,
    "num_atoms": 9,
    "learning_rate": 0.03,
}
QR: dict[str, Any] = {"head": "quantile", "num_atoms": 11}
EVERYTHING: dict[str, Any] = {**C51, "n_steps": 3, "prioritized": True, "dueling": True}
OPTIONS: list[dict[str, Any]] = [
    {}, {"double": False}, {"dueling": True}, {"tau": 0.05}, {"huber": False}, {"prioritized": True}, C51, QR,
]  # fmt: skip


def learned(
    env: Callable[[], gymnasium.Env], mode: AutoresetMode = AutoresetMode.SAME_STEP, **settings: Any
) -> dqn.Policy:
    config = dqn.Config(**{**QUICK, "total_timesteps": 2000, **settings})
    state = dqn.TrainState(SyncVectorEnv([env] * config.num_envs, autoreset_mode=mode), config)
    for _ in dqn.learn(state.collector.envs, config, state):
        pass
    return state.policy


@pytest.mark.parametrize("settings", OPTIONS)
def test_values_of_a_corridor_are_the_known_ones(settings: dict[str, Any]) -> None:
    values = learned(Corridor, gamma=0.9, **settings)(torch.eye(2)).detach()
    assert torch.allclose(values, torch.tensor([[0.5, 0.9], [0.5, 1.0]]), atol=0.06)


@pytest.mark.parametrize(
    ("settings", "mode"), [({}, SAME_STEP), ({}, NEXT_STEP), ({"n_steps": 3}, SAME_STEP), ({"n_steps": 3}, NEXT_STEP)]
)
def test_truncation_bootstraps(settings: dict[str, Any], mode: AutoresetMode) -> None:
    values = learned(Endless, mode, gamma=0.5, **settings)(torch.ones(1, 1)).detach()
    assert torch.allclose(values, torch.full((1, 2), 2.0), atol=0.1)


@pytest.mark.parametrize(("settings", "mode"), [({}, SAME_STEP), ({}, NEXT_STEP), (EVERYTHING, NEXT_STEP)])
@pytest.mark.parametrize("task", ["value", "obs", "discount", "action", "obs_action"])
def test_probes(task: str, settings: dict[str, Any], mode: AutoresetMode) -> None:
    policy = learned(partial(Probe, task, False), mode, gamma=0.5, **settings)
    values = policy(torch.tensor([[-1.0], [0.0], [1.0]])).detach()
    low, middle, high = values
    match task:
        case "value":
            assert middle.tolist() == pytest.approx([1.0, 1.0], abs=0.05)
        case "obs":
            assert [*low.tolist(), *high.tolist()] == pytest.approx([-1, -1, 1, 1], abs=0.05)
        case "discount":
            assert [*middle.tolist(), *high.tolist()] == pytest.approx([0.5, 0.5, 1, 1], abs=0.05)
        case "action":
            assert middle.tolist() == pytest.approx([-1.0, 1.0], abs=0.05)
        case "obs_action":
            assert [*low.tolist(), *high.tolist()] == pytest.approx([1, -1, -1, 1], abs=0.05)


class Forbidden(gymnasium.Env):
    """Two steps. In the second, action 1 earns 1 but the mask rules action 2 out, which was once seen to earn 9."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def _seen(self) -> tuple[np.ndarray, dict]:
        mask = np.array([1, 1, self.place == 0], np.int8)
        return np.eye(2, dtype=np.float32)[self.place], {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self._seen()

    def step(self, action):
        assert self.place == 0 or action < 2, "an illegal action"
        over, self.place = self.place == 1, 1
        obs, info = self._seen()
        return obs, float(over and action == 1), over, False, info


@pytest.mark.parametrize("double", [True, False])
def test_illegal_actions_do_not_enter_targets(double: bool) -> None:
    """The value of action 2 in the second place is never corrected, since nobody may try it: targets go round it."""
    config = dqn.Config(**{**QUICK, "total_timesteps": 2000, "gamma": 0.9, "double": double})
    state = dqn.TrainState(sync(*[Forbidden] * config.num_envs), config)
    for network in (state.policy, state.target):
        network.advantage.layers[-1].bias.data[2] = 50.0  # pyright: ignore
    for _ in dqn.learn(state.collector.envs, config, state):
        pass
    values = state.policy(torch.eye(2)).detach()
    assert values[1, :2].tolist() == pytest.approx([0.0, 1.0], abs=0.1)
    assert values[0, :2].tolist() == pytest.approx([0.9, 0.9], abs=0.15)


def test_double_values_the_choice_of_the_network_by_the_target() -> None:
    """By hand: one transition, tables for networks."""
    for double, expected in ((True, 1 + 0.5 * 3.0), (False, 1 + 0.5 * 7.0)):
        config = dqn.Config(
            gamma=0.5,
            double=double,
            huber=False,
            num_envs=1,
            train_frequency=1,
            batch_size=1,
            hidden_sizes=(),
            epsilon=1.0,
        )
        state = dqn.TrainState(sync(partial(Probe, "value", False)), config)
        for network, biases in ((state.policy, [4.0, 2.0]), (state.target, [3.0, 7.0])):
            network.advantage.layers[0].weight.data.zero_()  # pyright: ignore
            network.advantage.layers[0].bias.data.copy_(torch.tensor(biases))  # pyright: ignore
        dqn.collect(state, config)
        state.replay.store["discounts"].fill_(0.5)
        taken = int(state.replay.store["actions"][0])
        error, values = dqn.update(state, config)
        assert values.tolist() == [[[4.0, 2.0][taken]]]
        assert float(error) == pytest.approx(values.item() - expected)


def test_a_dueling_network_has_advantages_of_mean_zero() -> None:
    space = spaces.Box(-1, 1, (3,))
    policy = dqn.Policy(space, spaces.Discrete(4), dqn.Config(dueling=True))
    obs = torch.randn(5, 3)
    values = policy(obs)
    assert values.shape == (5, 4)
    assert policy.state_value is not None
    assert torch.allclose(values.mean(-1), policy.state_value(obs).squeeze(-1), atol=1e-6)


@pytest.mark.parametrize(("num_envs", "frequency"), [(1, 4), (4, 1), (4, 4), (8, 3), (2, 16)])
def test_updates_are_as_many_as_the_steps_ask_for(num_envs: int, frequency: int) -> None:
    settings = {"num_envs": num_envs, "train_frequency": frequency, "total_timesteps": 400, "learning_starts": 100}
    config = dqn.Config(**{**QUICK, **settings})
    state = dqn.TrainState(sync(*[Corridor] * num_envs), config)
    assert len(list(dqn.learn(state.collector.envs, config, state))) == 1
    assert state.num_updates == state.global_step // frequency - 100 // frequency
    assert int(state.optimizer.steps) == state.num_updates


def test_the_target_network_follows_as_told() -> None:
    for settings, share in (({"tau": 0.25}, 0.25), ({"target_network_frequency": 1}, 1.0), ({}, 0.0)):
        config = dqn.Config(**{**QUICK, "epsilon": 1.0, **settings})
        state = dqn.TrainState(sync(*[Corridor] * 4), config)
        dqn.collect(state, config)
        before = state.target_parameters.data.clone()
        dqn.update(state, config)
        expected = before.lerp(state.optimizer.flat.data, share)
        assert torch.allclose(state.target_parameters.data, expected, atol=1e-7)
        assert not torch.equal(state.optimizer.flat.data, before)


def test_epsilon_and_learning_rate_fall_in_straight_lines() -> None:
    settings = {"total_timesteps": 2000, "epsilon": "linear:1:0.1:0.5", "learning_rate": "linear:0.01:0"}
    config = dqn.Config(**{**QUICK, **settings})
    state = dqn.TrainState(sync(*[Corridor] * 4), config)
    records = list(dqn.learn(state.collector.envs, config, state))
    assert [record["charts/epsilon"] for record in records] == pytest.approx([0.55, 0.1, 0.1, 0.1], abs=0.01)
    rates = [record["charts/learning_rate"] for record in records]
    assert rates == pytest.approx([0.0075, 0.005, 0.0025, 0], abs=1e-4)


def test_first_actions_and_pictures() -> None:
    """Actions that count from 2, and uint8 observations that the replay keeps as they are."""
    config = dqn.Config(**{**QUICK, "total_timesteps": 64, "learning_starts": 32, "batch_size": 4, "buffer_size": 50})
    space = spaces.Box(0, 255, (40, 40, 1), np.uint8)
    state = dqn.TrainState(sync(*[partial(Anything, space, spaces.Discrete(3, start=2))] * 4), config)
    metrics = list(dqn.learn(state.collector.envs, config, state))
    assert all(np.isfinite(value) for value in metrics[0].values())
    assert state.replay.store["obs"].dtype == torch.uint8
    assert set(state.replay.store["actions"].tolist()) <= {2, 3, 4}


def test_runs_depend_on_the_seed_alone() -> None:
    def weights(seed: int, elsewhere: int) -> torch.Tensor:
        torch.manual_seed(elsewhere)
        config = dqn.Config(**{**QUICK, "total_timesteps": 600, "seed": seed})
        state = dqn.TrainState(envs.make_vec("quintet/CartPole-v1", 4), config)
        for _ in dqn.learn(state.collector.envs, config, state):
            pass
        return state.optimizer.flat.data

    assert torch.equal(weights(1, elsewhere=5), weights(1, elsewhere=6))
    assert not torch.equal(weights(1, elsewhere=5), weights(2, elsewhere=5))


def test_illegal_actions_are_never_taken_nor_valued() -> None:
    policy = dqn.Policy(spaces.Box(-1, 1, (3,)), spaces.Discrete(4), dqn.Config())
    mask = torch.tensor([[False, True, False, False]] * 50)
    none = torch.zeros(50, 0)
    for deterministic in (True, False):
        actions, _ = policy.act(torch.randn(50, 3), mask, none, none, deterministic=deterministic)
        assert (actions == 1).all()


RESUMED = [{}, EVERYTHING, {"n_steps": 3, "tau": 0.05, "learning_rate": "cosine:0.01:0"}, {"rnd_coef": 0.5}]


@pytest.mark.parametrize("settings", RESUMED)
def test_a_resumed_run_equals_one_that_never_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    """To the last bit, replay and worlds included, through a checkpoint file; the ring has wrapped round by then."""
    config = dqn.Config(**{**QUICK, "total_timesteps": 2000, "buffer_size": 600, **settings})

    def fresh(seed: int = 1) -> dqn.TrainState:
        return dqn.TrainState(envs.make_vec("quintet/CartPole-v1", 4), replace(config, seed=seed))

    whole, again = fresh(), fresh(seed=7)
    learning = dqn.learn(whole.collector.envs, config, whole)
    records = [next(learning), next(learning)]
    checkpoint.save(tmp_path / "state", whole.state_dict())
    records += list(learning)
    again.load_state_dict(checkpoint.load(tmp_path / "state"))
    assert list(dqn.learn(again.collector.envs, config, again)) == records[2:] and len(records) == 4
    assert same(whole.state_dict(), again.state_dict())


def test_spaces_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"DQN needs a Discrete action space, got Box.*use ddpg or ppo"):
        dqn.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (1,)))
    with pytest.raises(ValueError, match=r"epsilon must lie in 0\.\.1, got linear:2:0"):
        dqn.Config(epsilon="linear:2:0")
    with pytest.raises(ValueError, match="batch_size 64 is more than buffer_size 32"):
        dqn.Config(batch_size=64, buffer_size=32)
    with pytest.raises(ValueError, match="total_timesteps must be at least 1"):
        dqn.Config(total_timesteps=0)
    with pytest.raises(ValueError, match="lower buffer_size to"):
        dqn.TrainState(sync(Corridor), dqn.Config(buffer_size=10**12))
    masked = sync(partial(Scripted, 0, (3,), masks="info"))
    masked.single_action_space = spaces.Discrete(4)
    with pytest.raises(ValueError, match="3 columns, its actions need 4"):
        dqn.TrainState(masked, dqn.Config())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_preset_solves_cartpole(seed: int) -> None:
    config = dqn.Config(**{**preset("dqn", "quintet/CartPole-v1"), "seed": seed})
    worlds = envs.make_vec("quintet/CartPole-v1", config.num_envs, seed=seed, num_threads=1)
    state = dqn.TrainState(worlds, config)
    for _ in dqn.learn(worlds, config, state):
        pass
    assert evaluate(state.policy, envs.make_vec("quintet/CartPole-v1", 100), 100, seed=1000).mean >= 475
