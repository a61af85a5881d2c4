"""Horizons of fixed operations, which a CUDA graph can hold: the same learning as any other's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import envs
from agents import horizon, ppo
from agents.rollout import Collector

SMALL = ppo.Config(num_envs=6, num_steps=16, num_minibatches=2, update_epochs=2, total_timesteps=6 * 16 * 5)


def act(obs, mask, memory, starts):
    return (obs[:, 2] > 0).long(), memory + 1, {}


def worlds(limit: int = 13):
    made = envs.make_vec("quintet/CartPole-v1", 6, num_threads=1)
    made.set_params(max_episode_steps=limit)
    return made


@pytest.mark.parametrize("limit", [5, 13, 100, 0])
def test_it_holds_what_a_horizon_of_any_operations_holds(limit):
    plain, fixed = (Collector(worlds(limit), seed=4, fixed=kind) for kind in (False, True))
    for collector in (plain, fixed):
        collector.memory = torch.zeros(6, 1)
    rollouts = [collector.new_rollout(16) for collector in (plain, fixed)]
    cuts = 0
    for _ in range(6):
        for collector, rollout in zip((plain, fixed), rollouts, strict=True):
            collector.collect(act, rollout)
        one, other = rollouts
        for name in ("obs", "actions", "rewards", "terminated", "truncated", "starts", "valid", "memory"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        given = one.truncated & ~one.terminated
        assert torch.equal(one.next_obs()[given], other.next_obs()[given])
        places = dict(zip(other.final_index.tolist(), other.final_memory.tolist(), strict=True))
        wanted = dict(zip(one.final_index.tolist(), one.final_memory.tolist(), strict=True))
        for index in given.flatten().nonzero().flatten().tolist():
            assert places[index] == wanted[index]
            cuts += 1
        mine, theirs = plain.episode_metrics(), fixed.episode_metrics()
        assert mine.keys() == theirs.keys()
        assert list(mine.values()) == pytest.approx(list(theirs.values()))
    assert (cuts > 0) == (limit in (5, 13))


@pytest.mark.parametrize("memory", ["", "gru"])
def test_ppo_learns_the_same(memory, monkeypatch):
    config = replace(SMALL, memory=memory, memory_size=8, normalize_obs=True, normalize_reward=True)
    weights = []
    for fixed in (False, True):
        monkeypatch.setattr(horizon, "fits", lambda collector, fixed=fixed: fixed)
        made = worlds()
        state = ppo.TrainState(made, config)
        assert state.collector.fixed == fixed
        metrics = list(ppo.learn(made, config, state))
        weights.append(torch.cat([p.detach().flatten() for p in state.policy.parameters()]))
        assert all(np.isfinite(value) for one in metrics for value in one.values())
        assert any("charts/episodic_return" in one for one in metrics)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


def test_a_shorter_time_limit_than_the_rollout_was_made_for_is_refused():
    made = worlds(13)
    collector = Collector(made, fixed=True)
    rollout = collector.new_rollout(16)
    made.set_params(max_episode_steps=4)
    with pytest.raises(ValueError, match="max_episode_steps fell below 13"):
        collector.collect(act, rollout)
