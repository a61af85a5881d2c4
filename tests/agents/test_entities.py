"""Entity networks: the order of rows means nothing, a target depends on the verb, features tell rows apart."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

import envs
from agents import ppo
from agents.entities import Entities, tied_columns
from agents.evaluate import evaluate
from agents.normalize import RunningNorm
from tests.agents.test_ppo import PROBES, run, same
from tests.probe_envs import Drift, Pick, Tell

CONFIG = replace(PROBES, network="entities", entity_size=16, hidden_sizes=(32,), normalize_obs=True)
ORDER = torch.tensor([3, 0, 4, 1, 2, 7, 5, 6])
"""A permutation within each of Pick's groups, 5 near rows and 3 far ones."""


def policy_of(config: ppo.Config = CONFIG) -> ppo.Policy:
    """One with larger outputs than an untrained one's, and statistics that differ by row unless they are shared."""
    torch.manual_seed(0)
    spaces_of = Pick.single_observation_space, Pick.single_action_space
    policy = ppo.Policy(*spaces_of, config, Pick.action_layout, Pick.obs_layout)
    last_weight(policy).data.normal_()
    policy.features.bias.data.normal_()  # pyright: ignore
    assert policy.norm is not None
    policy.norm.update(observations(50) * torch.linspace(0.5, 2, 25) + torch.linspace(-1, 1, 25))
    return policy


def last_weight(policy: ppo.Policy) -> Tensor:
    return list(policy.actor.parameters())[-2]


def observations(count: int) -> Tensor:
    return torch.randn(count, 25, generator=torch.Generator().manual_seed(3))


def permuted(obs: Tensor, order: Tensor) -> Tensor:
    rows = obs[:, 1:].unflatten(1, (8, 3))[:, order]
    return torch.cat([obs[:, :1], rows.flatten(1)], dim=1)


@torch.no_grad()
def test_permuted_rows_have_permuted_probabilities_and_the_same_value() -> None:
    policy, obs, empty = policy_of(), observations(20), torch.zeros(20, 0)
    mask = torch.rand(20, 19, generator=torch.Generator().manual_seed(4)) < 0.8
    other_mask = torch.cat([mask[:, :3], mask[:, 3:].unflatten(1, (2, 8))[..., ORDER].flatten(1)], dim=1)
    dist, values, _ = policy(obs, mask, empty, empty)
    other, other_values, _ = policy(permuted(obs, ORDER), other_mask, empty, empty)
    torch.testing.assert_close(other_values, values)
    torch.testing.assert_close(other.entropy(), dist.entropy())
    for verb in (1, 2):
        actions = torch.tensor([[verb, int(row)] for row in ORDER])
        again = torch.tensor([[verb, row] for row in range(8)])
        for place in range(8):
            here = dist.log_prob(actions[place].expand(20, 2))
            torch.testing.assert_close(other.log_prob(again[place].expand(20, 2)), here)
    across = permuted(obs, torch.arange(8).flip(0))
    assert not torch.allclose(policy(across, None, empty, empty)[1], values), "groups are told apart"


@torch.no_grad()
def test_targets_depend_on_the_verb() -> None:
    dist, _, _ = policy_of()(observations(20), None, torch.zeros(20, 0), torch.zeros(20, 0))
    targets = [
        torch.stack([dist.log_prob(torch.tensor([verb, row]).expand(20, 2)) for row in range(8)]) for verb in (1, 2)
    ]
    first, second = (one.log_softmax(0) for one in targets)
    assert (first - second).abs().max() > 0.1


def test_a_target_teaches_its_verbs_query_and_every_row() -> None:
    policy, obs = policy_of(), observations(5).requires_grad_()
    dist, values, _ = policy(obs, None, torch.zeros(5, 0), torch.zeros(5, 0))
    dist.log_prob(torch.tensor([[1, 2]]).expand(5, 2)).sum().backward(retain_graph=True)
    weight = last_weight(policy)
    assert weight.grad is not None and weight.grad[:19].any(1).all() and not weight.grad[19:].any()
    assert obs.grad is not None and (obs.grad[:, 1:].unflatten(1, (8, 3)) != 0).any(2).all()
    policy.zero_grad()
    (dist.log_prob(torch.tensor([[0, 0]]).expand(5, 2)).sum() + values.sum()).backward()
    assert not weight.grad[3:].any(), "a verb without a target leaves the queries alone"


@pytest.mark.parametrize("memory", ["", pytest.param("gru", marks=pytest.mark.slow)])
def test_the_row_that_the_verb_wants_is_picked(memory: str) -> None:
    config = replace(
        CONFIG, num_envs=64, num_steps=16, total_timesteps=20_000, num_minibatches=4, memory=memory, memory_size=16,
        segment_steps=1, shared_trunk=bool(memory),
    )  # fmt: skip
    state = run(Pick(64), config)
    assert evaluate(state.policy, Pick(50), 500).mean > -0.01
    assert evaluate(state.policy, Pick(50), 500, deterministic=False).min >= -1, "never an illegal one"


def test_a_network_without_verbs_in_its_targets_cannot() -> None:
    """Where verb 2 alone is legal and wants another row than verb 1, one set of logits has the wrong row first."""
    config = replace(CONFIG, network="mlp", num_envs=64, num_steps=16, total_timesteps=20_000, num_minibatches=4)
    assert evaluate(run(Pick(64), config).policy, Pick(50), 500).mean < -0.04


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_a_resumed_run_is_the_run_that_did_not_stop(memory: str) -> None:
    config = replace(CONFIG, num_steps=16, total_timesteps=4 * 8 * 16, memory=memory, memory_size=8)
    state = ppo.TrainState(Pick(8), config)
    learning = ppo.learn(state.collector.envs, config, state)
    next(learning)
    saved = state.state_dict()
    metrics = list(learning)
    again = ppo.TrainState(Pick(8), replace(config, seed=77))
    again.load_state_dict(saved)
    assert metrics == list(ppo.learn(again.collector.envs, config, again)) and len(metrics) == 3
    assert same(state.state_dict(), again.state_dict())


def test_the_arenas_target_rows_are_its_groups() -> None:
    worlds: Any = envs.make_vec("quintet/Duel-v0", 2, seats=(0,), num_threads=1)
    config = replace(CONFIG, num_envs=2, num_steps=8, total_timesteps=1, memory="lstm", segment_steps=4, entity_size=8)
    state = ppo.TrainState(worlds, config)
    features, pointer = state.policy.features, state.policy.pointer
    assert isinstance(features, Entities) and pointer is not None and pointer.part == 1
    assert features.num_rows == worlds.action_layout.sizes[1]
    assert [kind for kind, _, _ in features.tables] == ["hero", "unit", "structure"]
    assert sum(columns.stop - columns.start for _, columns, _ in features.tables) + sum(
        columns.stop - columns.start for columns in features.singles
    ) == worlds.single_observation_space.shape[0]  # fmt: skip
    metrics = next(ppo.learn(worlds, config, state))
    assert all(np.isfinite(value) for value in metrics.values())
    worlds.close()


def test_rows_of_a_kind_share_their_statistics() -> None:
    tied = tied_columns(Pick.obs_layout, 25)
    norm = RunningNorm((25,), tied=tied)
    batches = [observations(40) * torch.linspace(0.5, 2, 25), observations(7) + 3]
    for batch in batches:
        norm.update(batch)
    values = torch.cat(batches).double()
    rows = values[:, 1:].reshape(-1, 3)
    torch.testing.assert_close(norm.mean[0], values[:, 0].mean())
    torch.testing.assert_close(norm.mean[1:], rows.mean(0).repeat(8))
    torch.testing.assert_close(norm.var[1:], rows.var(0, correction=0).repeat(8))


def test_actions_without_a_row_in_them_have_no_pointer() -> None:
    space = Pick.single_observation_space
    for actions, part in ((spaces.Discrete(3), None), (spaces.Discrete(8), 0), (spaces.Box(-1, 1, (8,)), None)):
        policy = ppo.Policy(space, actions, CONFIG, None, Pick.obs_layout)
        assert (policy.pointer and policy.pointer.part) == part
        memory, starts = policy.initial_memory(4), torch.zeros(4, dtype=torch.bool)
        chosen, _ = policy.act(observations(4), None, memory, starts, deterministic=True)
        assert chosen.shape == (4, *(actions.shape or ()))


def test_observations_that_are_no_entities() -> None:
    with pytest.raises(ValueError, match="this one has no obs_layout"):
        ppo.TrainState(Drift(2), CONFIG)
    with pytest.raises(ValueError, match="this one has bias; use"):
        Entities({"bias": Pick.obs_layout["bias"]}, 8)
    wide = SimpleNamespace(slice=slice(25, 33), shape=(2, 4), kind="unit")
    with pytest.raises(ValueError, match="same features"):
        Entities(Pick.obs_layout | {"wide": wide}, 8)
    with pytest.raises(ValueError, match="one-dimensional"):
        ppo.Policy(spaces.Box(-1, 1, (5, 5)), spaces.Discrete(2), CONFIG, None, Pick.obs_layout)


TEAM = replace(PROBES, num_envs=24, total_timesteps=24_000, team_size=3, entity_size=8, hidden_sizes=(32,))


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_a_team_learns_what_one_of_it_sees(memory: Any) -> None:
    config = replace(TEAM, memory=memory, memory_size=32)
    assert evaluate(run(Tell(24), config).policy, Tell(60), 600).mean > 0.97


def test_who_has_no_team_says_what_he_sees_or_guesses() -> None:
    assert evaluate(run(Tell(24), replace(TEAM, team_size=1)).policy, Tell(60), 600).mean == pytest.approx(0.5, abs=0.1)


@torch.no_grad()
def test_only_team_mates_tell_each_other() -> None:
    torch.manual_seed(0)
    policy = ppo.make_policy(Tell, TEAM)
    obs, empty = torch.rand(9, 4), torch.zeros(9, 0)
    values = policy.value(obs, empty)
    torch.testing.assert_close(policy(obs.unflatten(0, (3, 3)), None, empty, empty)[1].flatten(), values)
    torch.testing.assert_close(policy.value(obs[3:6], empty[3:6]), values[3:6])
    swapped = policy.value(obs[[1, 0, 2, 3, 4, 5, 6, 7, 8]], empty)
    torch.testing.assert_close(swapped[[1, 0, 2, 3, 4, 5, 6, 7, 8]], values)
    obs[4] += 3
    assert (policy.value(obs, empty) != values).tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_a_team_must_fit_the_seats_and_the_minibatches() -> None:
    with pytest.raises(ValueError, match="team_size = 2 does not divide the 3 seats"):
        ppo.TrainState(Tell(24), replace(TEAM, team_size=2))
    with pytest.raises(ValueError, match="can't be cut into 4 minibatches of teams of 3"):
        replace(TEAM, num_envs=3, num_steps=3, num_minibatches=4)
