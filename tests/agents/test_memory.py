"""Memories: a sequence is its steps, an episode knows nothing of the one before, and what they are for is learned."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from agents import ppo
from agents.evaluate import evaluate
from agents.memory import Attention, make_memory
from agents.minibatches import standardise
from tests.agents.test_ppo import PROBES, run, same
from tests.probe_envs import LENGTHS_OF_TESTS as LENGTHS
from tests.probe_envs import Drift, Probe, Recall, Scripted, Verbs, sync

KINDS = ["lstm", "gru", "transformer"]


def memory_of(kind: str, context: int = 5) -> Any:
    torch.manual_seed(0)
    memory = make_memory(kind, 3, 8, context)
    for parameter in memory.parameters():  # pyright: ignore
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return memory


def sequence(steps: int = 12, rows: int = 6) -> tuple[Tensor, Tensor]:
    """Inputs `[T, N, 3]` and starts `[T, N]`, some rows without any."""
    generator = torch.Generator().manual_seed(1)
    starts = torch.rand(steps, rows, generator=generator) < 0.2
    starts[:, 0], starts[3:5, 1], starts[0, 2] = False, True, True
    return torch.randn(steps, rows, 3, generator=generator), starts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begun", [False, True])
@torch.no_grad()
def test_a_sequence_is_its_steps(kind: str, begun: bool) -> None:
    net, (inputs, starts) = memory_of(kind), sequence()
    memory = torch.zeros(6, net.num_numbers)
    if begun:
        _, memory = net(*(inputs[:4], memory, starts[:4]))
    outputs, last = net(inputs, memory, starts)
    half, middle = net(inputs[:7], memory, starts[:7])
    rest, end = net(inputs[7:], middle, starts[7:])
    torch.testing.assert_close(torch.cat([half, rest]), outputs)
    torch.testing.assert_close(end, last)
    for t in range(12):
        output, memory = net.step(inputs[t], memory, starts[t])
        torch.testing.assert_close(output, outputs[t])
    torch.testing.assert_close(memory, last)


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_knows_nothing_of_the_one_before_and_all_of_its_own(kind: str) -> None:
    net, inputs = memory_of(kind, context=4), sequence()[0][:8, :2].clone()
    starts = torch.zeros(8, 2, dtype=torch.bool)
    starts[5, 0] = True
    inputs.requires_grad_()
    memory = torch.zeros(2, net.num_numbers).requires_grad_()
    outputs, _ = net(inputs, memory, starts)
    (told,) = torch.autograd.grad(outputs[6, 0].sum(), inputs, retain_graph=True)
    assert (told[:5] == 0).all() and (told[7:] == 0).all() and (told[5:7, 0] != 0).all() and (told[:, 1] == 0).all()
    (told,) = torch.autograd.grad(outputs[6, 1].sum(), inputs)
    assert (told[:7, 1] != 0).all(), "8 steps lie within two blocks of 4"
    memory = torch.randn(2, net.num_numbers)
    starts[0] = True
    anew, forgotten = (net(inputs, one, starts)[0] for one in (torch.zeros_like(memory), memory))
    assert torch.equal(anew, forgotten)


def test_a_transformer_looks_back_as_far_as_its_context() -> None:
    net = memory_of("transformer", context=2)
    inputs, starts = torch.randn(9, 1, 3).requires_grad_(), torch.zeros(9, 1, dtype=torch.bool)
    outputs, _ = net(inputs, torch.zeros(1, net.num_numbers), starts)
    (told,) = torch.autograd.grad(outputs[8].sum(), inputs)
    assert (told[:4] == 0).all() and (told[4:] != 0).all()


def test_memories_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="memory must be one of"):
        make_memory("elephant", 3, 8, 5)
    with pytest.raises(ValueError, match="multiple of 4"):
        Attention(3, 6, 5)
    with pytest.raises(ValueError, match="segment_steps = 16"):
        ppo.Config(memory="lstm", num_steps=24)
    with pytest.raises(ValueError, match="4 segments"):
        ppo.Config(memory="lstm", num_envs=2, num_steps=32, num_minibatches=5)


REMEMBERING = ppo.Config(
    total_timesteps=4 * 8 * 16, num_envs=8, num_steps=16, hidden_sizes=(8,), memory_size=8, segment_steps=4,
    context_steps=6, normalize_obs=True,
)  # fmt: skip


def collected(mode: AutoresetMode, config: ppo.Config, steps: int) -> tuple[ppo.TrainState, Any]:
    """The second rollout of three scripted worlds, so that it begins within episodes."""
    envs = sync(*(partial(Scripted, n, LENGTHS[n]) for n in range(3)), mode=mode)
    state = ppo.TrainState(envs, config)
    rollout = state.collector.new_rollout(steps)
    ppo.collect(state, rollout)
    ppo.collect(state, rollout)
    return state, rollout


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_values_are_the_same_however_worlds_reset_themselves(kind: str) -> None:
    config = replace(REMEMBERING, memory=kind, num_envs=3, num_minibatches=1, normalize_obs=False)
    seen = []
    for mode in AutoresetMode:
        state, rollout = collected(mode, config, 16)
        policy = state.policy
        _, values, _ = ppo.review(policy, rollout, 4)
        found = dict(zip(map(tuple, rollout.obs[:-1].flatten(0, 1).tolist()), values.flatten().tolist(), strict=True))
        finals = policy.value(rollout.final_obs, rollout.final_memory).tolist()
        found |= dict(zip(map(tuple, rollout.final_obs.tolist()), finals, strict=True))
        seen.append(found)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        common = seen[one].keys() & seen[other].keys()
        assert len(common) > 20
        assert [seen[one][obs] for obs in common] == pytest.approx([seen[other][obs] for obs in common], abs=1e-5)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("kind", KINDS)
def test_learning_starts_from_what_was_acted_by_and_fake_steps_do_not_count(kind: str, mode: AutoresetMode) -> None:
    config = replace(REMEMBERING, memory=kind, num_envs=3, num_minibatches=1)
    state, rollout = collected(mode, config, 16)
    fakes = ~rollout.valid
    assert fakes.any() == (mode == AutoresetMode.NEXT_STEP)
    rollout.rewards[fakes] = 1e9
    batch = ppo.estimate(state, rollout, config)
    standardise([batch])
    counts = torch.ones_like(batch.starts) if batch.weight is None else batch.weight.bool()  # pyright: ignore
    assert int(counts.sum()) == int(rollout.valid.sum())
    policy_losses, *_, kls, clipped = ppo.minibatch_step(state, batch, config)[:, counts.flatten()]
    assert float(policy_losses.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kls.abs().max()) < 1e-6 and not clipped.any()
    assert float(batch.advantages[counts].abs().max()) < 1e5
    assert all(parameter.isfinite().all() for parameter in state.policy.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_run_that_did_not_stop(kind: str) -> None:
    config = replace(REMEMBERING, memory=kind, shared_trunk=True)
    envs = Drift(8)
    state = ppo.TrainState(envs, config)
    learning = ppo.learn(envs, config, state)
    next(learning)
    saved = state.state_dict()
    assert saved["collector"]["memory"].any()
    metrics = list(learning)
    again = ppo.TrainState(Drift(8), replace(config, seed=77))
    again.load_state_dict(saved)
    assert metrics == list(ppo.learn(again.collector.envs, config, again)) and len(metrics) == 3
    assert same(state.state_dict(), again.state_dict())


def test_opponents_rows_are_not_learned_from() -> None:
    config = replace(REMEMBERING, memory="lstm")
    state = ppo.TrainState(Drift(8), config)
    frozen = ppo.make_policy(Drift(1), config)
    state.collector.set_opponents([frozen], torch.arange(8) % 2)
    rollout = state.collector.new_rollout(16)
    ppo.collect(state, rollout)
    batch = ppo.estimate(state, rollout, config)
    assert batch.obs.shape[:2] == (4 * 4, 4) and batch.weight is None
    results = ppo.minibatch_step(state, batch, config)
    assert results.shape == (5, 4 * 16) and float(results[3].abs().max()) < 1e-6


RECALL = ppo.Config(
    total_timesteps=24_000, num_envs=64, num_steps=32, segment_steps=32, learning_rate=3e-3, gamma=0.9, gae_lambda=0.9,
    hidden_sizes=(32,), memory_size=32, clip_vloss=False,
)  # fmt: skip


@pytest.mark.parametrize(("kind", "masked"), [("lstm", True), ("gru", False), ("transformer", True)])
def test_what_was_seen_twenty_steps_ago_is_recalled(kind: str, masked: bool) -> None:
    config = replace(RECALL, memory=kind)
    state = run(Recall(64, masked=masked), config)
    assert evaluate(state.policy, Recall(50, masked=masked), 100).mean == 1


def test_a_policy_without_memory_guesses() -> None:
    state = run(Recall(64), RECALL)
    assert evaluate(state.policy, Recall(50), 500).mean == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize(("kind", "continuous"), [("", True), ("lstm", False), ("gru", True)])
def test_probe_of_actions_with_a_memory_and_a_shared_trunk(kind: str, continuous: bool, mode: AutoresetMode) -> None:
    config = replace(PROBES, memory=kind, memory_size=16, segment_steps=4, shared_trunk=True)
    state = run(sync(*[partial(Probe, "obs_action", continuous)] * 8, mode=mode), config)
    policy, starts = state.policy, torch.ones(2, dtype=torch.bool)
    obs = torch.tensor([[-1.0], [1.0]])
    with torch.no_grad():
        actions, _ = policy.act(obs, None, policy.initial_memory(2), starts, deterministic=True)
    assert actions.flatten().tolist() == pytest.approx([-0.5, 0.5] if continuous else [0, 1], abs=0.15)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("", "gru", "transformer")]


@pytest.mark.parametrize("kind", ["lstm", *SLOW])
def test_probe_of_masks_with_a_memory_and_a_shared_trunk(kind: str) -> None:
    config = replace(
        PROBES, num_envs=32, total_timesteps=30_000, hidden_sizes=(64,), num_minibatches=4, learning_rate=5e-3,
        memory=kind, memory_size=32, context_steps=2, segment_steps=1, shared_trunk=True,
    )  # fmt: skip
    state = run(Verbs(32), config)
    assert evaluate(state.policy, Verbs(50), 500).mean > -0.05, "the best legal action nearly always"
    assert evaluate(state.policy, Verbs(50), 500, deterministic=False).min >= -1, "never an illegal one"


@pytest.mark.parametrize("kind", KINDS)
def test_what_acting_says_is_what_going_through_the_segments_says(kind: str) -> None:
    config = replace(REMEMBERING, memory=kind, num_envs=3, num_minibatches=1)
    state, _ = collected(AutoresetMode.SAME_STEP, config, 16)
    rollout = ppo.new_rollout(state, config)
    for _ in range(3):
        ppo.collect(state, rollout)
        log_probs, values, memories = ppo.review(state.policy, rollout, config.segment_steps)
        torch.testing.assert_close(rollout.extras["log_probs"], log_probs, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(rollout.extras["values"], values, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close([*state.begun, state.collector.memory], memories, rtol=1e-5, atol=1e-5)
