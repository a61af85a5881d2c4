"""Horizons of fixed operations, which a CUDA graph can hold: the same learning as any other's."""

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import envs
from agents import ddpg, dqn, horizon, ppo, schedules
from agents.rollout import Collector
from tests.tape import TapedGraphs, widened

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


def test_nor_is_a_recorded_horizon_played_then(monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    monkeypatch.setattr(ppo, "Graphs", TapedGraphs)
    made = worlds(13)
    state = ppo.TrainState(made, SMALL)
    rollout = ppo.new_rollout(state, SMALL)
    for _ in range(3):
        ppo.collect(state, rollout)
    made.set_params(max_episode_steps=4)
    with pytest.raises(ValueError, match="max_episode_steps fell below 13"):
        ppo.iterate(state, rollout, ppo.at(SMALL, 0.0))
    made.set_params(max_episode_steps=13)
    ppo.iterate(state, rollout, ppo.at(SMALL, 0.0))


@contextmanager
def nothing_known():
    """Whatever asks for a number in a tensor, or how many there are of something, raises: it would wait for a GPU."""

    def wait(*_: Any) -> None:
        raise AssertionError("this waits for the device")

    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patched, FakeTensorMode(allow_non_fake_inputs=True):
        for name in ("cpu", "tolist", "numpy", "item"):
            patched.setattr(torch.Tensor, name, wait)
        yield


@pytest.mark.parametrize("name", ["cpu", "tolist", "numpy", "item", "nonzero"])
def test_what_waits_for_a_gpu_is_noticed(name):
    number = torch.ones(())
    with pytest.raises(Exception, match=r"waits for the device|nonzero"), nothing_known():
        getattr(torch.rand(3) if name == "nonzero" else number, name)()


def blind(state, monkeypatch):
    """The state's worlds stand still, and its noise is drawn without a generator, which fake tensors can't have."""
    monkeypatch.setattr(state.collector.envs, "step", lambda actions, out=None: None)
    if hasattr(state.policy, "heads"):
        monkeypatch.setattr(
            state.policy.heads, "noise", lambda shape, *_: torch.empty(*shape, state.policy.heads.num_noise)
        )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quintet/CartPole-v1", {"normalize_obs": True, "normalize_reward": True}),
        ("quintet/CartPole-v1", {"memory": "lstm", "shared_trunk": True}),
        ("quintet/CartPole-v1", {"memory": "transformer"}),
        ("quintet/Pendulum-v1", {"memory": "gru"}),
        ("quintet/Duel-v0", {"network": "entities", "memory": "lstm", "team_size": 2}),
    ],
)
def test_nothing_in_an_iteration_of_ppo_waits_for_the_device(name, options, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    made = envs.make_vec(name, 4, num_threads=1)
    config = replace(SMALL, num_envs=made.num_envs, ent_coef="linear:0.01:0", **options)
    state = ppo.TrainState(made, config)
    rollout = state.collector.new_rollout(config.num_steps)
    now = ppo.at(config, 0.0)
    ppo.collect(state, rollout)
    batch = ppo.estimate(state, rollout, now)
    vars(now)["ent_coef"] = torch.tensor(0.01)
    blind(state, monkeypatch)
    with nothing_known():
        ppo.collect(state, rollout)
        ppo.estimate(state, rollout, now)
        ppo.epoch(state, batch, now)


@pytest.mark.parametrize(
    "options", [{}, {"dueling": True, "double": True, "head": "categorical"}, {"prioritized": True}]
)
def test_nothing_in_an_update_of_dqn_waits_for_the_device(options, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    config = dqn.Config(num_envs=6, learning_starts=32, batch_size=16, buffer_size=500, **options)
    state = dqn.TrainState(worlds(), config)
    now = schedules.at(config, 0.0)
    for _ in range(8):
        dqn.collect(state, now)
    state.replay.filled = torch.tensor(float(state.replay.size), dtype=torch.float64)
    blind(state, monkeypatch)
    with nothing_known(), state.policy.features.no_autograd():
        state.collector.collect(lambda *seen: (*state.policy.act(*seen, generator=state.generator), {}), state.rollout)
        dqn.descend(state, now)


@pytest.mark.parametrize("options", [{}, {"twin_critics": True, "target_noise": 0.2, "ou_theta": 0.15}])
def test_nothing_in_an_update_of_ddpg_waits_for_the_device(options, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    config = ddpg.Config(num_envs=4, learning_starts=16, batch_size=16, buffer_size=500, **options)
    state = ddpg.TrainState(envs.make_vec("quintet/Pendulum-v1", 4, num_threads=1), config)
    now = schedules.at(config, 0.0)
    for _ in range(8):
        ddpg.collect(state, now)
    state.replay.filled = torch.tensor(float(state.replay.size), dtype=torch.float64)
    blind(state, monkeypatch)
    with nothing_known(), state.policy.features.no_autograd():
        state.collector.collect(lambda *seen: (*state.policy.act(*seen, generator=state.generator), {}), state.rollout)
        ddpg.step_all(state, now)


def test_with_opponents_it_holds_what_a_horizon_of_any_operations_holds():
    results, frozen = [], [policy_of(5), policy_of(6)]
    for fixed in (False, True):
        made = envs.make_vec("quintet/Duel-v0", 3, num_threads=1, seed=2)
        made.set_params(max_episode_steps=9)
        collector = Collector(made, seed=4, fixed=fixed)
        rollout = collector.new_rollout(8)
        idle, seen = Idle(), []
        for owner in ([0] * 6, [0, 1, 0, 2, 0, 3], [0, 1] * 3, [0] * 6, [2, 0] * 3, [0, 1] * 3):
            collector.set_opponents([*frozen, idle][: max(owner)], torch.tensor(owner))
            collector.collect(idle.step, rollout)
            if fixed:
                collector.episodes.note_games(rollout, collector.envs.world.statistics)
            seen += [rollout.obs.clone(), rollout.actions.clone(), rollout.rewards.clone(), rollout.starts.clone()]
            seen += [rollout.valid.clone(), rollout.next_obs()[rollout.truncated & ~rollout.terminated].clone()]
            for players, ended, told in collector.episodes.pop_games() if max(owner) else ():
                seen += [players, ended, told["won"][ended], told["last_hits"][ended]]
            metrics = collector.episode_metrics()
            seen.append(torch.tensor([metrics[name] for name in sorted(metrics)]))
        results.append(seen)
    assert len(results[0]) > 6 * 7 + 4 * 3
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def policy_of(seed: int) -> Any:
    """An untrained player of the duel, who remembers."""
    made = envs.make_vec("quintet/Duel-v0", 1, num_threads=1)
    torch.manual_seed(seed)
    config = ppo.Config(memory="gru", memory_size=8, hidden_sizes=(8,))
    return ppo.make_policy(made, config).eval()


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_ppo_learns_the_same_beside_opponents(memory, monkeypatch):
    """With one minibatch, whose order does not matter: shuffles of more rows draw other numbers."""
    config = replace(SMALL, memory=memory, memory_size=8, normalize_obs=True, normalize_reward=True, num_minibatches=1)
    found = []
    for fixed in (False, True):
        monkeypatch.setattr(horizon, "fits", lambda collector, fixed=fixed: fixed)
        made = envs.make_vec("quintet/Duel-v0", 3, num_threads=1)
        made.set_params(max_episode_steps=13)
        state, now, metrics = ppo.TrainState(made, replace(config, num_envs=6)), ppo.at(config, 0.0), []
        state.collector.set_opponents([policy_of(1), policy_of(2)], torch.tensor([0, 0, 0, 1, 2, 0]))
        rollout = ppo.new_rollout(state, config)
        for seed in range(4):
            state.generator.manual_seed(seed)
            metrics.append(ppo.iterate(state, rollout, now))
        weights = torch.cat([p.detach().flatten() for p in state.policy.parameters()])
        found.append((weights, {name: [one.get(name, -1.0) for one in metrics] for name in metrics[-1]}))
    (weights, metrics), (others, theirs) = found
    torch.testing.assert_close(weights, others, rtol=1e-3, atol=1e-5)
    assert metrics.keys() == theirs.keys() and state.global_step == 4 * 4 * 16
    for name, values in metrics.items():
        assert values == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_nothing_waits_beside_opponents(memory, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    made = envs.make_vec("quintet/Duel-v0", 4, num_threads=1)
    config = replace(SMALL, num_envs=8, memory=memory, normalize_reward=True)
    state = ppo.TrainState(made, config)
    owner = torch.tensor([0, 0, 0, 0, 0, 1, 2, 0])
    state.collector.set_opponents([policy_of(1), policy_of(2)], owner)
    rollout, now = ppo.new_rollout(state, config), ppo.at(config, 0.0)
    ppo.collect(state, rollout)
    batch = ppo.estimate(state, rollout, now)
    assert batch.weight is not None and not batch.weight.all()
    blind(state, monkeypatch)
    for one in state.collector.owners.opponents:
        monkeypatch.setattr(one.heads, "noise", lambda shape, *_: torch.empty(*shape, state.policy.heads.num_noise))
    with nothing_known():
        ppo.collect(state, rollout)
        ppo.estimate(state, rollout, now)
        ppo.epoch(state, batch, now)


class Idle:
    """Does the first thing."""

    def initial_memory(self, num_envs):
        return torch.zeros(num_envs, 0)

    def act(self, obs, mask, memory, starts, generator=None):
        return torch.zeros(len(obs), 3, dtype=torch.int64), memory

    def step(self, obs, mask, memory, starts):
        return *self.act(obs, mask, memory, starts), {}


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_bfloat16_acts_and_learns_nearly_as_float32(memory, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    found = []
    for options in ({}, {"precision": "bfloat16", "bf16_obs": True}):
        made = worlds()
        config = replace(SMALL, memory=memory, memory_size=8, hidden_sizes=(32,), **options)
        state = ppo.TrainState(made, config)
        obs, starts = torch.linspace(-1, 1, 20).view(5, 4), torch.zeros(5, dtype=torch.bool)
        found.append(state.policy.value(obs, state.policy.initial_memory(5)))
        dist, value, _ = state.policy(obs[None], None, state.policy.initial_memory(5), starts[None])
        assert dist.log_probs.dtype == value.dtype == torch.float32
        rollout = state.collector.new_rollout(config.num_steps)
        assert rollout.obs.dtype == (torch.bfloat16 if options else torch.float32)
        ppo.collect(state, rollout)
        batch = ppo.estimate(state, rollout, ppo.at(config, 0.0))
        metrics = ppo.update(state, batch, ppo.at(config, 0.0))
        assert all(np.isfinite(value) for value in metrics.values())
        assert {parameter.dtype for parameter in state.policy.parameters()} == {torch.float32}
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("options", [{}, {"normalize_obs": True}, {"network": "entities"}], ids=str)
def test_wide_observations_in_bfloat16_are_learned_from_as_narrow_ones(options, monkeypatch):
    monkeypatch.setattr(horizon, "fits", lambda collector: True)
    found, narrow = [], ppo.make_policy
    for wide in (False, True):
        monkeypatch.setattr(ppo, "make_policy", widened(narrow) if wide else narrow)
        duels = envs.make_vec("quintet/Duel-v0", 6)
        duels.set_params(max_episode_steps=11)
        config = ppo.Config(
            num_envs=12, num_steps=16, num_minibatches=2, update_epochs=1, hidden_sizes=(40,), precision="bfloat16",
            bf16_obs=True, total_timesteps=12 * 16 * 3, **options,
        )  # fmt: skip
        state = ppo.TrainState(duels, config)
        rollout = state.collector.new_rollout(config.num_steps)
        (width,) = duels.single_observation_space.shape or (0,)
        padded = wide and not options
        assert rollout.obs.shape[-1] == width + -width % 8 * padded and width % 8
        metrics = list(ppo.learn(duels, config, state))
        assert state.collector.obs.shape == (12, width)
        found.append((metrics, torch.cat([value.flatten() for value in state.policy.parameters()])))
    (metrics, weights), (others, expected) = found
    torch.testing.assert_close(weights, expected, rtol=0, atol=2e-3)
    for one, other in zip(metrics, others, strict=True):
        assert one == pytest.approx(other, rel=0.1, abs=0.05)


def test_observations_are_kept_in_bfloat16_only_on_a_gpu():
    with pytest.raises(ValueError, match="only where they are real numbers of worlds on a GPU"):
        ppo.TrainState(worlds(), replace(SMALL, bf16_obs=True))
