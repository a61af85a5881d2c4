"""What is recorded and replayed learns as plain calls do; on a CPU, with tapes for graphs (tests/tape.py)."""

from dataclasses import replace
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.vector import AutoresetMode

import envs
from agents import ddpg, dqn, horizon, ppo
from agents.graphs import Graphs
from agents.ppo import make_policy
from tests.opponents import iterate_beside_opponents
from tests.tape import TapedGraphs, noted, widened

PPO = ppo.Config(num_envs=16, num_steps=8, num_minibatches=2, update_epochs=2, total_timesteps=16 * 8 * 7)


def prepared(module, name, config, count, recorded, monkeypatch):
    """Worlds and a state with numbers in tensors as on a GPU; horizons of our worlds are of fixed operations."""
    ours = name.startswith("quintet/")
    monkeypatch.setattr(horizon, "fits", lambda collector: ours)
    monkeypatch.setattr(module, "Graphs", TapedGraphs if recorded else Graphs)
    if ours:
        worlds = envs.make_vec(name, count, num_threads=1)
        worlds.step = noted(worlds.step)
        worlds.set_params(max_episode_steps=13)
    else:
        settings = {"autoreset_mode": AutoresetMode.SAME_STEP}
        worlds = gymnasium.make_vec(name, count, vectorization_mode="sync", vector_kwargs=settings)
    if module is ppo:
        monkeypatch.setattr(ppo, "make_policy", widened(make_policy))
    state = module.TrainState(worlds, replace(config, num_envs=worlds.num_envs, cuda_graphs=recorded))
    for optimizer in ("optimizer", "actor_optimizer", "critic_optimizer"):
        if hasattr(state, optimizer):
            getattr(state, optimizer)._learning_rate = torch.tensor(getattr(state, optimizer).learning_rate)
    if hasattr(state, "replay"):
        state.replay.filled = torch.zeros((), dtype=torch.float64)
    return worlds, state


def weights_of(state):
    return torch.cat([value.flatten().float() for value in state.policy.state_dict().values()])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quintet/CartPole-v1", {"normalize_obs": True, "normalize_reward": True, "gamma": "linear:0.9:0.99"}),
        ("quintet/CartPole-v1", {"memory": "lstm", "memory_size": 8, "segment_steps": 4, "ent_coef": "linear:0.01:0"}),
        ("quintet/CartPole-v1", {"update_epochs": 3, "target_kl": 0.002, "learning_rate": 0.01}),
        ("quintet/Pendulum-v1", {"update_epochs": 4}),
        ("quintet/Duel-v0", {"network": "entities", "entity_size": 8, "team_size": 2, "shared_trunk": True}),
    ],
)
def test_recorded_iterations_of_ppo_are_those_of_plain_calls(name, options, monkeypatch):
    found = []
    for recorded in (True, False):
        count = 8 if "Duel" in name else 16
        worlds, state = prepared(ppo, name, replace(PPO, **options), count, recorded, monkeypatch)
        metrics = list(ppo.learn(worlds, replace(PPO, **options), state))
        assert {"collect", "estimate", "epoch"} <= state.graphs._recorded.keys() if recorded else True
        found.append((weights_of(state), metrics))
    (weights, metrics), (expected, others) = found
    if "shared_trunk" in options:  # acting's values are learned from, and tapes round products of rows otherwise
        torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)
    else:
        assert torch.equal(weights, expected)
    for one, other in zip(metrics, others, strict=True):
        assert one == pytest.approx(other, nan_ok=True, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"normalize_reward": True}, {"memory": "lstm", "memory_size": 8, "segment_steps": 4}]
)
def test_recorded_iterations_beside_opponents_are_those_of_plain_calls(options, monkeypatch):
    found = []
    for recorded in (True, False):
        config = replace(PPO, num_envs=16, **options)
        _, state = prepared(ppo, "quintet/Duel-v0", config, 8, recorded, monkeypatch)
        metrics, games = iterate_beside_opponents(state, config, free=8, each=4)
        assert games > 4
        found.append((weights_of(state), metrics, games))
    (weights, metrics, games), (expected, others, theirs) = found
    assert games == theirs
    assert torch.equal(weights, expected)
    for one, other in zip(metrics, others, strict=True):
        assert one == pytest.approx(other, nan_ok=True, rel=1e-4, abs=1e-6)


def weights_both_ways(module, name, config, monkeypatch):
    """After a run that is recorded, and after a plain one."""
    found = []
    for recorded in (True, False):
        worlds, state = prepared(module, name, config, 8, recorded, monkeypatch)
        list(module.learn(worlds, config, state))
        assert bool(state.graphs._recorded) == recorded
        found.append(weights_of(state))
    return found


SHORT: dict[str, Any] = {"total_timesteps": 800, "learning_starts": 128, "buffer_size": 500, "batch_size": 32}


@pytest.mark.parametrize("options", [{}, {"prioritized": True, "double": True, "head": "quantile", "n_steps": 3}])
def test_recorded_updates_of_dqn_are_those_of_plain_calls(options, monkeypatch):
    assert torch.equal(*weights_both_ways(dqn, "quintet/CartPole-v1", dqn.Config(**SHORT, **options), monkeypatch))


@pytest.mark.parametrize(
    "options", [{}, {"twin_critics": True, "target_noise": 0.2, "policy_delay": 2}, {"ou_theta": 0.15}]
)
def test_recorded_updates_of_ddpg_are_those_of_plain_calls(options, monkeypatch):
    assert torch.equal(*weights_both_ways(ddpg, "quintet/Pendulum-v1", ddpg.Config(**SHORT, **options), monkeypatch))


@pytest.mark.parametrize(
    ("module", "name", "config"),
    [
        (ppo, "CartPole-v1", replace(PPO, num_envs=8, num_steps=16, normalize_obs=True, normalize_reward=True)),
        (ppo, "CartPole-v1", replace(PPO, num_envs=8, memory="gru", memory_size=8, segment_steps=4)),
        (dqn, "CartPole-v1", dqn.Config(**SHORT)),
        (dqn, "CartPole-v1", dqn.Config(**SHORT, prioritized=True, n_steps=3)),
        (ddpg, "Pendulum-v1", ddpg.Config(**SHORT, twin_critics=True, target_noise=0.2, policy_delay=2)),
    ],
)
def test_updates_are_recorded_with_environments_that_are_not_ours(module, name, config, monkeypatch):
    assert torch.equal(*weights_both_ways(module, name, config, monkeypatch))
