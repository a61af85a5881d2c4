"""DDPG finds a known optimum, goes on where it stopped, and says what it can't take."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import envs
from agents import checkpoint, ddpg, dqn, schedules
from agents.evaluate import evaluate
from agents.optimizer import flatten_parameters
from agents.rollout import Collector
from experiments.algorithms import preset
from tests.agents.test_ppo import ACTIONS, same
from tests.probe_envs import Anything, Probe, sync


def run(vector: Any, config: ddpg.Config) -> ddpg.TrainState:
    state = ddpg.TrainState(vector, config)
    for _ in ddpg.learn(vector, config, state):
        pass
    return state


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
    "hidden_sizes": (32,), "tau": 0.05, "log_every": 1000, "exploration_noise": 0.3,
}  # fmt: skip
TD3 = {"twin_critics": True, "policy_delay": 2, "target_noise": 0.2}


@pytest.mark.parametrize("settings", [{}, TD3, {"ou_theta": 0.3}])
def test_it_learns_where_to_aim(settings: dict[str, Any]) -> None:
    config = ddpg.Config(**{**QUICK, "total_timesteps": 4000, **settings})
    state = run(sync(*[Aim] * 8), config)
    targets = torch.linspace(-0.9, 0.9, 20).unsqueeze(1)
    none = torch.zeros(20, 0)
    actions, _ = state.policy.act(targets, None, none, none, deterministic=True)
    assert (actions - (5 + 3 * targets)).abs().mean() < 0.6


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("task", ["value", "obs", "discount", "action", "obs_action"])
def test_probes(task: str, mode: AutoresetMode) -> None:
    settings = {**QUICK, "total_timesteps": 2500, "gamma": 0.5, "exploration_noise": 0.5, "learning_rate": 3e-3}
    config = ddpg.Config(**settings)
    state = run(sync(*[partial(Probe, task, True)] * 8, mode=mode), config)
    obs = torch.tensor([[-1.0], [0.0], [1.0]])
    none = torch.zeros(3, 0)
    with torch.no_grad():
        actions, _ = state.policy.act(obs, None, none, none, deterministic=True)
        low, middle, high = state.critics(obs, actions)[0].tolist()
    match task:
        case "value":
            assert middle == pytest.approx(1, abs=0.05)
        case "obs":
            assert [low, high] == pytest.approx([-1, 1], abs=0.1)
        case "discount":
            assert [middle, high] == pytest.approx([0.5, 1], abs=0.1)
        case "action":
            assert float(actions[1]) == pytest.approx(0.5, abs=0.15)
        case "obs_action":
            assert actions[[0, 2], 0].tolist() == pytest.approx([-0.5, 0.5], abs=0.15)


class Endless(gymnasium.Env):
    """Earns 1 a step and is cut after five: only truncation, so its value is 1 / (1 - gamma)."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.ones(1, np.float32), 1.0, False, self.steps == 5, {}


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_truncation_bootstraps(n_steps: int, mode: AutoresetMode) -> None:
    settings = {**QUICK, "total_timesteps": 2500, "gamma": 0.5, "n_steps": n_steps}
    state = run(sync(*[Endless] * 8, mode=mode), ddpg.Config(**settings))
    values = state.critics(torch.ones(3, 1), torch.tensor([[-0.5], [0.0], [0.5]]))[0].detach()
    assert values.tolist() == pytest.approx([2.0, 2.0, 2.0], abs=0.1)


def test_the_lower_of_twin_critics_is_believed() -> None:
    config = ddpg.Config(**{**QUICK, "gamma": 0.5, "twin_critics": True, "num_envs": 1, "train_frequency": 1})
    state = ddpg.TrainState(sync(Endless), config)
    for critics, values in ((state.critics, (10.0, 20.0)), (state.target_critics, (4.0, 3.0))):
        for critic, value in zip(critics.critics, values, strict=True):
            critic.layers[-1].weight.data.zero_()  # pyright: ignore
            critic.layers[-1].bias.data.fill_(value)  # pyright: ignore
    ddpg.collect(state, config)
    loss, values, actor_loss = ddpg.update(state, config)
    assert values.tolist() == [[10.0] * 64, [20.0] * 64]
    target = 1 + 0.5 * 3
    assert float(loss) == pytest.approx((10 - target) ** 2 + (20 - target) ** 2)
    assert actor_loss is not None and float(actor_loss) == pytest.approx(-10, abs=0.01), "the first critic's"


def test_the_actor_and_the_targets_wait_for_their_turn() -> None:
    config = ddpg.Config(**{**QUICK, **TD3, "policy_delay": 3})
    state = ddpg.TrainState(sync(*[Aim] * 8), config)
    ddpg.collect(state, config)
    for turn in range(1, 7):
        before = [flat.data.clone() for flat in (state.actor_optimizer.flat, *state.targets)]
        *_, actor_loss = ddpg.update(state, config)
        after = [state.actor_optimizer.flat.data, *(flat.data for flat in state.targets)]
        moved = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
        assert moved == [turn % 3 == 0] * 3 and (actor_loss is not None) == moved[0]
    assert int(state.actor_optimizer.steps) == 2 and int(state.critic_optimizer.steps) == 6


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (3,)), spaces.Box(0, 255, (40, 40, 2), np.uint8)])
def test_gradients_by_hand_are_autograd_s(space: spaces.Box) -> None:
    """Of critics, actor and convolutions, in vectors and pictures."""
    torch.manual_seed(0)
    config, action_space = ddpg.Config(hidden_sizes=(8,), twin_critics=True), spaces.Box(-1, 1, (2,))
    policy, critics = ddpg.Policy(space, action_space, config), ddpg.Critics(space, 2, config)
    flats = [flatten_parameters([policy]), flatten_parameters([critics])]
    obs = torch.as_tensor(space.sample()).unsqueeze(0).repeat(6, *[1] * len(space.shape))
    tried, grads = torch.rand(6, 2), torch.randn(2, 6)
    with policy.features.no_autograd():
        critics.backward(critics.trace(obs, tried), grads)
        traces = policy.trace(obs)
        policy.backward(traces, critics.uphill(obs, traces.output)[1])
    found = [flat.grad.clone() for flat in flats]  # pyright: ignore
    for flat in flats:
        flat.grad.zero_()  # pyright: ignore
    torch.stack(critics(obs, tried)).backward(grads)
    expected = flats[1].grad.clone()  # pyright: ignore
    critics(obs, policy(obs))[0].sum().backward()
    assert torch.allclose(found[1], expected, atol=1e-5)
    assert torch.allclose(found[0], flats[0].grad, atol=1e-5) and found[0].any()  # pyright: ignore


def test_noise_and_learning_rates_follow_their_schedules() -> None:
    settings = {"total_timesteps": 2000, "exploration_noise": "linear:0.4:0", "learning_rate": "linear:1e-3:0"}
    config = ddpg.Config(**{**QUICK, **settings, "actor_learning_rate": 1e-4})
    state = ddpg.TrainState(sync(*[Aim] * 8), config)
    noises = []
    for _ in ddpg.learn(state.collector.envs, config, state):
        noises.append(float(state.policy.noise))
    assert noises == pytest.approx([0.2, 0.0], abs=0.01)
    assert state.critic_optimizer.learning_rate == pytest.approx(0, abs=1e-5)
    assert state.actor_optimizer.learning_rate == 1e-4


def test_the_actor_s_step_leaves_the_critics_gradients_alone() -> None:
    """And it is the gradient of the first critic's mean value, as autograd finds it through both networks."""
    state = ddpg.TrainState(sync(*[Aim] * 8), ddpg.Config(**QUICK))
    obs = torch.randn(5, 1)
    loss = -state.critics(obs, state.policy(obs))[0].mean()
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(state.policy.parameters()))])
    before = state.critic_optimizer.grad.clone()
    with state.policy.features.no_autograd():
        assert float(ddpg.update_actor(state, obs)) == pytest.approx(float(loss))
    assert torch.equal(state.critic_optimizer.grad, before)
    assert torch.allclose(state.actor_optimizer.grad, expected, atol=1e-7)


def test_ornstein_uhlenbeck_noise_remembers_within_an_episode() -> None:
    settings = ddpg.Config(ou_theta=0.25, exploration_noise=0.1)
    policy = ddpg.Policy(spaces.Box(-1, 1, (1,)), spaces.Box(-1, 1, (1,)), settings)
    generator, obs = torch.Generator().manual_seed(0), torch.zeros(5000, 1)
    memory, starts = policy.initial_memory(5000), torch.zeros(5000, dtype=torch.bool)
    noises = []
    for _ in range(30):
        _, memory = policy.act(obs, None, memory, starts, generator=generator)
        noises.append(memory)
    before, last = noises[-2].flatten(), noises[-1].flatten()
    assert float((before * last).mean() / before.square().mean()) == pytest.approx(0.75, abs=0.05)
    assert float(last.std()) == pytest.approx(0.1 / (1 - 0.75**2) ** 0.5, abs=0.01)
    _, memory = policy.act(obs, None, 100 + memory, ~starts, generator=generator)
    assert float(memory.std()) == pytest.approx(0.1, abs=0.01) and abs(float(memory.mean())) < 0.01


def test_play_is_random_before_learning_starts() -> None:
    config = ddpg.Config(**{**QUICK, "total_timesteps": 300, "exploration_noise": 0.0, "learning_starts": 400})
    state = run(sync(*[Aim] * 8), config)
    actions = state.replay.store["actions"][: state.replay.size]
    assert state.num_updates == 0 and actions.min() < 1 and actions.max() > 9
    assert float(actions.mean()) == pytest.approx(5, abs=1)


def test_actions_stay_within_the_box() -> None:
    policy = ddpg.Policy(spaces.Box(-1, 1, (2,)), Aim.action_space, ddpg.Config(exploration_noise=5.0))
    none = torch.zeros(100, 0)
    actions, _ = policy.act(torch.randn(100, 2), None, none, none)
    assert actions.min() == 0 and actions.max() == 10


@pytest.mark.parametrize("settings", [{}, {**TD3, "ou_theta": 0.2, "n_steps": 3, "learning_rate": "linear:1e-3:0"}])
def test_a_resumed_run_equals_one_that_never_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    """To the last bit, replay and worlds included, through a checkpoint file; the ring has wrapped round by then."""
    config = ddpg.Config(**{**QUICK, "total_timesteps": 3000, "buffer_size": 900, **settings})

    def fresh(seed: int = 1) -> ddpg.TrainState:
        return ddpg.TrainState(envs.make_vec("quintet/Pendulum-v1", 8), replace(config, seed=seed))

    whole, again = fresh(), fresh(seed=7)
    learning = ddpg.learn(whole.collector.envs, config, whole)
    records = [next(learning), next(learning)]
    checkpoint.save(tmp_path / "state", whole.state_dict())
    records += list(learning)
    again.load_state_dict(checkpoint.load(tmp_path / "state"))
    assert list(ddpg.learn(again.collector.envs, config, again)) == records[2:] and len(records) == 3
    assert same(whole.state_dict(), again.state_dict())


def test_spaces_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"DDPG needs a one-dimensional Box action space.*use dqn or ppo"):
        ddpg.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    with pytest.raises(ValueError, match="DDPG needs bounds that are finite"):
        ddpg.check_spaces(spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (1,)))
    with pytest.raises(ValueError, match="batch_size 64 is more than buffer_size 32"):
        ddpg.Config(batch_size=64, buffer_size=32)
    with pytest.raises(ValueError, match="exploration_noise must be at least 0, got -1"):
        ddpg.Config(exploration_noise=-1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_preset_solves_pendulum(seed: int) -> None:
    config = ddpg.Config(**{**preset("ddpg", "quintet/Pendulum-v1"), "seed": seed})
    worlds = envs.make_vec("quintet/Pendulum-v1", config.num_envs, seed=seed, num_threads=1)
    state = ddpg.TrainState(worlds, config)
    for _ in ddpg.learn(worlds, config, state):
        pass
    assert evaluate(state.policy, envs.make_vec("quintet/Pendulum-v1", 100), 100, seed=1000).mean >= -200


def test_an_actor_s_own_schedule_may_come_to_nothing() -> None:
    """Where it is 0 the actor rests; only a rate that was never given is the critics'."""
    own = ddpg.Config(**{**QUICK, "actor_learning_rate": "linear:1e-4:0:0.5", "learning_rate": 1e-3})
    for config, expected in ((own, 0.0), (ddpg.Config(**{**QUICK, "learning_rate": 1e-3}), 1e-3)):
        state = ddpg.TrainState(sync(*[Aim] * 8), config)
        ddpg.set_learning_rates(state, schedules.at(config, 0.75))
        assert state.actor_optimizer.learning_rate == expected
        assert state.critic_optimizer.learning_rate == 1e-3


@pytest.mark.parametrize("module", [ddpg, dqn])
def test_updates_wait_for_the_first_transition_of_several_steps(module: Any) -> None:
    space = {ddpg: ACTIONS[2], dqn: ACTIONS[0]}[module]
    vector = sync(partial(Anything, spaces.Box(-1, 1, (2,)), space))
    config = module.Config(
        num_envs=1, n_steps=3, learning_starts=0, train_frequency=1, batch_size=4, buffer_size=50, log_every=1,
        total_timesteps=5,
    )  # fmt: skip
    state = module.TrainState(vector, config)
    learned = [any("q_value" in name for name in found) for found in module.learn(vector, config, state)]
    assert learned == [False, False, True, True, True] and state.num_updates == 3


def test_boxes_of_whole_numbers_get_the_nearest() -> None:
    space = spaces.Box(-2, 2, (1,), np.int64)
    vector = sync(partial(Anything, spaces.Box(-1, 1, (2,)), space))
    others = Collector(vector).others
    assert others is not None
    sent = others._to_envs(torch.tensor([[1.6], [-0.4], [9.0]]))
    assert sent.tolist() == [[2], [0], [2]] and sent.dtype == np.int64
