"""PPO: the probes, what must not change a run, and what a run must not use."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from agents import ppo
from agents.evaluate import evaluate
from agents.minibatches import standardise
from tests.probe_envs import LENGTHS_OF_TESTS as LENGTHS
from tests.probe_envs import Anything, Drift, Probe, Scripted, Verbs, sync

PROBES = ppo.Config(
    total_timesteps=8000, num_envs=8, num_steps=32, learning_rate=1e-2, gamma=0.5, hidden_sizes=(16,),
    num_minibatches=2, clip_vloss=False, ent_coef=0.0, anneal_lr=True,
)  # fmt: skip


def run(envs: Any, config: ppo.Config) -> ppo.TrainState:
    state = ppo.TrainState(envs, config)
    for _ in ppo.learn(envs, config, state):
        pass
    return state


def values_of(state: ppo.TrainState, *obs: float) -> list[float]:
    memory = state.policy.initial_memory(len(obs))
    with torch.no_grad():
        return state.policy.value(torch.tensor(obs)[:, None], memory).tolist()


def best(state: ppo.TrainState, *obs: float) -> list[float]:
    memory, starts = state.policy.initial_memory(len(obs)), torch.zeros(len(obs), dtype=torch.bool)
    with torch.no_grad():
        actions, _ = state.policy.act(torch.tensor(obs)[:, None], None, memory, starts, deterministic=True)
    return actions.flatten().tolist()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("task", ["value", "obs", "discount", "action", "obs_action"])
def test_probes(task: str, continuous: bool, mode: AutoresetMode) -> None:
    state = run(sync(*[partial(Probe, task, continuous)] * 8, mode=mode), PROBES)
    match task:
        case "value":
            assert values_of(state, 0.0) == pytest.approx([1.0], abs=0.02)
        case "obs":
            assert values_of(state, -1.0, 1.0) == pytest.approx([-1.0, 1.0], abs=0.05)
        case "discount":
            assert values_of(state, 0.0, 1.0) == pytest.approx([0.5, 1.0], abs=0.05)
        case "action":
            assert best(state, 0.0) == pytest.approx([0.5 if continuous else 1], abs=0.15)
        case "obs_action":
            assert best(state, -1.0, 1.0) == pytest.approx([-0.5, 0.5] if continuous else [0, 1], abs=0.15)


def test_probe_of_masks_given_the_first_part() -> None:
    config = replace(PROBES, num_envs=32, total_timesteps=40_000, hidden_sizes=(64,), num_minibatches=4)
    state = run(Verbs(32), config)
    result = evaluate(state.policy, Verbs(50), 500)
    assert result.mean > -0.05, "the best legal action nearly always"
    assert evaluate(state.policy, Verbs(50), 500, deterministic=False).min >= -1, "never an illegal one"


CONTINUED = ppo.Config(
    total_timesteps=4 * 8 * 16, num_envs=8, num_steps=16, hidden_sizes=(8, 8), normalize_obs=True,
    normalize_reward=True, target_kl=0.05,
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether two nested states are equal to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("continuous", [False, True])
def test_a_resumed_run_is_the_run_that_did_not_stop(continuous: bool) -> None:
    envs = Drift(8, continuous)
    state = ppo.TrainState(envs, CONTINUED)
    learning = ppo.learn(envs, CONTINUED, state)
    metrics = [next(learning), next(learning)]
    saved = state.state_dict()
    metrics += list(learning)
    envs = Drift(8, continuous)
    again = ppo.TrainState(envs, replace(CONTINUED, seed=77))
    again.load_state_dict(saved)
    assert metrics[2:] == list(ppo.learn(envs, CONTINUED, again)) and len(metrics) == 4
    assert same(state.state_dict(), again.state_dict())


def test_a_saved_state_does_not_change_while_training_goes_on() -> None:
    envs = Drift(8)
    state = ppo.TrainState(envs, CONTINUED)
    learning = ppo.learn(envs, CONTINUED, state)
    next(learning)
    saved = state.state_dict()
    sums = {name: value.double().sum() for name, value in saved["policy"].items()}
    next(learning)
    assert all(value.double().sum() == sums[name] for name, value in saved["policy"].items())


def test_runs_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = run(Drift(8), CONTINUED).state_dict()
    torch.manual_seed(2)
    assert same(first, run(Drift(8), CONTINUED).state_dict())
    assert not same(first, run(Drift(8), replace(CONTINUED, seed=2)).state_dict())


def test_fake_steps_are_not_used() -> None:
    """Under NEXT_STEP, whatever stands in the fake rows: batch, statistics and counts are the same."""
    config = replace(CONTINUED, num_envs=3, num_steps=9, num_minibatches=1)
    results = []
    for poison in (False, True):
        envs = sync(*(partial(Scripted, n, LENGTHS[n]) for n in range(3)), mode=AutoresetMode.NEXT_STEP)
        state = ppo.TrainState(envs, config)
        rollout = state.collector.new_rollout(9)
        ppo.collect(state, rollout)
        fakes = ~rollout.valid
        assert fakes.any()
        if poison:
            rollout.rewards[fakes] = 1e9
        batch = ppo.estimate(state, rollout, config)
        assert len(batch.obs) == int(rollout.valid.sum()) == int(state.reward_scale.norm.count)
        results.append((batch.obs, batch.advantages, batch.returns, state.reward_scale.state_dict()))
    clean, poisoned = results
    assert all(torch.equal(one, other) for one, other in zip(clean[:3], poisoned[:3], strict=True))
    assert same(clean[3], poisoned[3])


def test_opponents_rows_are_not_learned_from() -> None:
    envs = Drift(8)
    state = ppo.TrainState(envs, CONTINUED)
    frozen = ppo.make_policy(envs, CONTINUED)
    state.collector.set_opponents([frozen], torch.arange(8) % 2)
    metrics = next(ppo.learn(envs, CONTINUED, state))
    assert state.global_step == 4 * 16
    assert int(state.policy.norm.count) == 4 * 16  # pyright: ignore[reportOptionalMemberAccess]
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_kl_stop_ends_an_iteration() -> None:
    moved = []
    for target_kl in (0.0, 1e-9):
        config = replace(CONTINUED, total_timesteps=1, target_kl=target_kl, learning_rate=1e-2)
        state = run(Drift(8), config)
        moved.append(int(state.optimizer.steps))
    assert moved == [4 * 4, 4]


def test_the_learning_rate_falls_to_zero() -> None:
    rates = [metrics["charts/learning_rate"] for metrics in ppo.learn(Drift(8), CONTINUED)]
    assert rates == pytest.approx([2.5e-4 * share for share in (1.0, 0.75, 0.5, 0.25)])
    config = replace(CONTINUED, anneal_lr=False)
    assert {metrics["charts/learning_rate"] for metrics in ppo.learn(Drift(8), config)} == {2.5e-4}


OBSERVATIONS = [
    spaces.Box(0, 255, (3, 40, 40), np.uint8), spaces.Box(0, 255, (40, 44, 3), np.uint8), spaces.Box(-1, 1, (2, 3)),
    spaces.Discrete(5, start=2), spaces.Discrete(5, dtype=np.uint8),  # pyright: ignore
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), spaces.MultiBinary((2, 3)),
    spaces.Tuple((spaces.Discrete(3), spaces.Tuple((spaces.Discrete(2, start=-1),)))),
    spaces.Dict({"place": spaces.Box(-1, 1, (2,)), "kind": spaces.Discrete(3)}),
]  # fmt: skip
ACTIONS = [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,), np.float32)]


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("space", OBSERVATIONS, ids=str)
def test_any_observation(space: spaces.Space, mode: AutoresetMode) -> None:
    check_one_iteration(space, ACTIONS[1], mode)


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_any_action(space: spaces.Space) -> None:
    check_one_iteration(OBSERVATIONS[2], space, AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("space", OBSERVATIONS, ids=str)
def test_only_real_numbers_are_standardised(space: spaces.Space) -> None:
    """Pictures are divided by 255 and Discretes become one-hot: neither has statistics of its own."""
    policy = ppo.Policy(space, ACTIONS[0], ppo.Config(normalize_obs=True, hidden_sizes=(8,)))
    real = isinstance(space, spaces.Dict) or (isinstance(space, spaces.Box) and space.dtype == np.float32)
    assert (policy.norm is not None) == real
    check_one_iteration(space, ACTIONS[0], AutoresetMode.SAME_STEP, normalize_obs=True)


def test_an_iteration_of_fake_steps_alone_changes_nothing() -> None:
    """One step an iteration of an env whose episodes are of one step: every other iteration has nothing to learn."""
    vector = sync(lambda: Scripted(0, (1,)), mode=AutoresetMode.NEXT_STEP)
    config = ppo.Config(num_envs=1, num_steps=1, num_minibatches=1, total_timesteps=3, hidden_sizes=(8,), rnd_coef=0.1)
    state = ppo.TrainState(vector, config)
    learned = []
    before = state.optimizer.flat.clone()
    for metrics in ppo.learn(vector, config, state):
        assert all(np.isfinite(value) for value in metrics.values())
        learned.append(not torch.equal(state.optimizer.flat, before))
        assert learned[-1] == ("losses/value_loss" in metrics)
        before = state.optimizer.flat.clone()
    assert learned == [True, False, True, False, True]


def check_one_iteration(
    observations: spaces.Space, actions: spaces.Space, mode: AutoresetMode, **settings: Any
) -> None:
    envs = sync(*[partial(Anything, observations, actions)] * 2, mode=mode)
    config = ppo.Config(total_timesteps=1, num_envs=2, num_steps=8, hidden_sizes=(8,), num_minibatches=2, **settings)
    metrics = list(ppo.learn(envs, config))
    assert len(metrics) == 1 and all(np.isfinite(value) for value in metrics[0].values())
    assert metrics[0]["charts/episodic_return"] == metrics[0]["charts/episodic_length"] == 3


def test_spaces_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="PPO needs"):
        ppo.check_spaces(OBSERVATIONS[2], spaces.Text(3))
    with pytest.raises(ValueError, match="one-dimensional MultiDiscrete"):
        ppo.check_spaces(OBSERVATIONS[2], spaces.MultiDiscrete(np.array([[2, 3], [2, 2]])))
    for nothing in (spaces.Text(3), spaces.Tuple(())):
        with pytest.raises(ValueError, match="fixed size"):
            ppo.check_spaces(nothing, ACTIONS[0])


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="num_minibatches"):
        ppo.Config(num_envs=1, num_steps=2, num_minibatches=4)
    with pytest.raises(ValueError, match="gamma"):
        ppo.Config(gamma=1.5)
    with pytest.raises(ValueError, match="leave one of them out"):
        ppo.Config(bf16_obs=True, rnd_coef=0.1)
    envs = sync(partial(Scripted, 0, (3,), masks="info"))
    envs.single_action_space = spaces.Discrete(4)
    with pytest.raises(ValueError, match="3 columns"):
        ppo.TrainState(envs, CONTINUED)


def test_advantages_are_standardised_over_the_minibatch_and_the_ratio_starts_at_one() -> None:
    envs = Drift(8)
    state = ppo.TrainState(envs, CONTINUED)
    rollout = state.collector.new_rollout(16)
    ppo.collect(state, rollout)
    batch = ppo.estimate(state, rollout, CONTINUED)
    advantages = batch.advantages
    standardise([batch])
    assert torch.allclose(torch.stack(torch.std_mean(batch.advantages)), torch.tensor([1.0, 0.0]), atol=1e-5)
    policy_losses, value_losses, entropies, kls, clipped = ppo.minibatch_step(state, batch, CONTINUED)
    assert float(policy_losses.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kls.abs().max()) < 1e-6 and not clipped.any()
    assert torch.allclose(value_losses, 0.5 * advantages.square(), atol=1e-4)
    assert (entropies <= np.log(3) + 1e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["", "lstm"])
def test_a_compiled_network_learns_as_any_other(memory: str) -> None:
    config = replace(PROBES, memory=memory, memory_size=8, total_timesteps=1024, learning_rate=1e-3)
    plain, compiled = (run(Drift(8), replace(config, compile=kind)) for kind in (False, True))
    assert compiled.reconsider is not ppo.reconsider
    torch.testing.assert_close(plain.optimizer.flat, compiled.optimizer.flat, rtol=1e-3, atol=1e-4)


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="no g\\+\\+ or clang\\+\\+ here; install one"):
        ppo.TrainState(Drift(8), replace(PROBES, compile=True))
