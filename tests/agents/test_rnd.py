"""Random network distillation: what was seen becomes familiar, and a maze that chance does not solve is solved."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import envs
from agents import dqn, ppo
from agents.evaluate import evaluate
from agents.rnd import Novelty
from tests.agents.test_ppo import CONTINUED, run, same
from tests.probe_envs import Drift, Scripted, sync

CURIOUS = replace(CONTINUED, rnd_coef=0.5)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


IMAGES = spaces.Box(0, 255, (40, 40, 1), np.uint8)


@pytest.mark.parametrize(
    ("space", "old", "new"),
    [
        (spaces.Discrete(50), torch.arange(512) % 10, torch.arange(10, 50)),
        (spaces.Box(-5, 5, (2,)), torch.rand(512, 2, generator=generator()), torch.full((1, 2), -1.0)),
        (IMAGES, torch.zeros(64, 40, 40, 1).byte(), torch.full((1, 40, 40, 1), 255).byte()),
    ],
    ids=("discrete", "box", "image"),
)  # fmt: skip
def test_what_was_seen_is_familiar(space: spaces.Space, old: torch.Tensor, new: torch.Tensor) -> None:
    torch.manual_seed(0)
    novelty = Novelty(space, 1, 0.99, minibatch_size=64)
    if novelty.norm is not None:
        novelty.norm.update(novelty.learner.features(old))
    with torch.no_grad():
        before = novelty.errors(old).mean()
    target = {name: value.clone() for name, value in novelty.target.state_dict().items()}
    for _ in range(20):
        novelty.learn(old, generator())
    with torch.no_grad():
        familiar, unseen = novelty.errors(old).mean(), novelty.errors(new).mean()
    assert familiar < 0.1 * before and unseen > 10 * familiar
    assert same(novelty.target.state_dict(), target), "the random network stays as it is"


def test_fake_steps_teach_nothing_and_final_observations_count() -> None:
    """Of worlds that end after each step, every observation that a step leads to is a final one."""
    bonuses = {}
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        state = ppo.TrainState(sync(lambda: Scripted(0, (1,)), mode=mode), replace(CURIOUS, num_envs=1))
        rollout = state.collector.new_rollout(8)
        ppo.collect(state, rollout)
        assert state.novelty is not None and state.novelty.norm is not None
        bonuses[mode] = state.novelty(rollout, state.generator)[rollout.valid]
        assert int(state.novelty.norm.count) == int(state.novelty.scale.norm.count) == int(rollout.valid.sum())
        assert float(state.novelty.norm.mean[2]) == 1, "the last observation of an episode, not the next's first"
    assert [len(bonus) for bonus in bonuses.values()] == [8, 4]


def test_the_bonus_is_learned_from_and_the_return_is_told_without_it() -> None:
    metrics, curious = (next(ppo.learn(Drift(8), config)) for config in (CONTINUED, CURIOUS))
    assert curious["charts/episodic_return"] == metrics["charts/episodic_return"]
    assert curious["losses/value_loss"] != metrics["losses/value_loss"]


def test_a_resumed_run_is_the_run_that_did_not_stop() -> None:
    state = ppo.TrainState(Drift(8), CURIOUS)
    learning = ppo.learn(state.collector.envs, CURIOUS, state)
    next(learning)
    saved = state.state_dict()
    metrics = list(learning)
    again = ppo.TrainState(Drift(8), replace(CURIOUS, seed=77))
    again.load_state_dict(saved)
    assert metrics == list(ppo.learn(again.collector.envs, CURIOUS, again)) and len(metrics) == 3
    assert same(state.state_dict(), again.state_dict())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_way_that_pays_at_its_end_alone_is_found_by_curiosity_and_not_without(seed: int) -> None:
    """16 steps along cliffs, which lead back to the start: chance does not get to the goal, the only reward."""

    def worlds(num_envs: int) -> Any:
        return envs.make_vec("quintet/GridWorld-v0", num_envs, level="ledge", num_threads=1, seed=seed)

    means = []
    for coef in (0.0, 0.1):
        config = ppo.Config(
            total_timesteps=60_000, num_envs=32, num_steps=64, learning_rate=1e-3, anneal_lr=False, rnd_coef=coef,
            seed=seed,
        )  # fmt: skip
        state = run(worlds(32), config)
        means.append(evaluate(state.policy, worlds(4), 4).mean)
    assert means == [0, 1]


def test_replay_keeps_the_bonus_of_each_step() -> None:
    """DQN's transitions hold raw reward + weight * bonus; the bonus of what is known falls, what was stored stays."""
    config = dqn.Config(num_envs=2, train_frequency=8, learning_starts=10**6, rnd_coef=0.5, epsilon=1.0)
    state = dqn.TrainState(sync(*[partial(Scripted, 0, (3,))] * 2), config)
    assert state.novelty is not None
    bonuses = []
    found = state.novelty

    def spy(rollout: Any, generator: torch.Generator) -> torch.Tensor:
        bonuses.append((rollout.rewards.clone(), found(rollout, generator)))
        return bonuses[-1][1]

    state.novelty = spy  # pyright: ignore
    dqn.collect(state, config)
    first = state.replay.store["rewards"][:8].clone()
    assert torch.equal(first, (bonuses[0][0] + 0.5 * bonuses[0][1]).flatten())
    assert (bonuses[0][1] > 0).all()
    for _ in range(30):
        dqn.collect(state, config)
    assert bonuses[-1][1].mean() < 0.5 * bonuses[0][1].mean()
    assert torch.equal(state.replay.store["rewards"][:8], first)
    returns = {value for value, _ in state.collector.episodes.pop()}
    assert returns == {3000.0 + 300 * episode + 3 for episode in range(len(returns))}, "told without the bonus"


SHORTER_LEDGE = """
CCCCCCC
S.....C
CCCCC.C
G.....C
CCCCCCC
"""
"""12 steps along cliffs; the goal is the only reward."""


OTHERS = [(2, 0.3), (3, 0.3), (4, 0.3), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)]
SLOWLY = [pytest.param(*one, marks=pytest.mark.slow) for one in OTHERS]


@pytest.mark.parametrize(("seed", "coef"), [(1, 0.3), *SLOWLY])
def test_dqn_finds_a_way_by_curiosity_and_not_without(seed: int, coef: float) -> None:
    def worlds(num_envs: int) -> Any:
        options = {"step_reward": 0.0, "cliff_reward": 0.0, "max_episode_steps": 100}
        return envs.make_vec("quintet/GridWorld-v0", num_envs, level=SHORTER_LEDGE, num_threads=1, seed=seed, **options)

    config = dqn.Config(
        total_timesteps=40_000, num_envs=16, train_frequency=16, batch_size=64, learning_rate=1e-3, n_steps=3,
        learning_starts=1000, epsilon="linear:1:0.05:0.5", hidden_sizes=(64,), buffer_size=20_000,
        target_network_frequency=100, rnd_coef=coef, seed=seed,
    )  # fmt: skip
    state = dqn.TrainState(worlds(16), config)
    for _ in dqn.learn(state.collector.envs, config, state):
        pass
    assert evaluate(state.policy, worlds(4), 4).mean == (coef > 0)


def test_steps_that_do_not_count_teach_nothing() -> None:
    """All worlds end at once, so that a rollout of one step has none that counts."""
    vector = sync(*[partial(Scripted, 0, (2,))] * 2, mode=AutoresetMode.NEXT_STEP)
    config = dqn.Config(num_envs=2, rnd_coef=0.3, learning_starts=4, total_timesteps=12, batch_size=4, log_every=4)
    state = dqn.TrainState(vector, config)
    for _ in dqn.learn(vector, config, state):
        pass
    assert state.num_updates == 1 and state.novelty is not None
    assert all(value.isfinite().all() for value in state.novelty.learner.state_dict().values())


@pytest.mark.parametrize("module", [dqn, ppo])
def test_horizons_keep_the_last_observations_of_all_episodes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Horizons of fixed operations, as worlds on a GPU have them, would keep those of truncated ones alone."""
    monkeypatch.setattr("agents.horizon.fits", lambda collector: True)
    worlds = envs.make_vec("quintet/CartPole-v1", 4, num_threads=1)
    state = module.TrainState(worlds, module.Config(num_envs=4, rnd_coef=0.1))
    rollout = state.collector.new_rollout(64)
    state.collector.collect(lambda obs, mask, memory, starts: (torch.zeros(4).long(), memory, {}), rollout)
    assert rollout.terminated.any()
    assert (rollout.next_obs()[rollout.terminated][:, 2].abs() > 0.2).all(), "the pole has fallen"
