"""Surgery: the larger network says what the smaller one said."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
from agents import ppo, surgery
from agents.optimizer import FlatAdam

BASE = ppo.Config(num_envs=4, num_steps=16, hidden_sizes=(16, 16))


def policy_for(made, config, seed=0) -> Any:
    torch.manual_seed(seed)
    layouts = (getattr(made, name, None) for name in ("action_layout", "obs_layout"))
    policy: Any = ppo.make_policy(made.single_observation_space, made.single_action_space, config, *layouts)
    if policy.norm is not None:
        policy.norm.update(torch.randn(50, *made.single_observation_space.shape))
    for layer in (policy.actor.layers[-1], policy.critic.layers[-1]):  # so that outputs are far from alike
        layer.weight.data.mul_(30)
    return policy


def said(policy, obs, mask, starts, steps=3):
    """Logits and values over some steps, with what is remembered."""
    memory, found = policy.initial_memory(len(obs)), []
    for _ in range(steps):
        dist, value, memory = policy(obs[None], None if mask is None else mask[None], memory, starts[None])
        found.append((dist.log_probs if hasattr(dist, "log_probs") else dist.verb.log_probs, value, dist))
    return found


@pytest.mark.parametrize(
    "small",
    [
        {}, {"shared_trunk": True, "activation": "relu", "normalize_obs": True}, {"memory": "lstm", "memory_size": 8},
        {"memory": "gru", "memory_size": 8, "shared_trunk": True},
    ],
)  # fmt: skip
def test_wider_layers_and_memories_change_nothing_at_first(small):
    made = envs.make_vec("quintet/CartPole-v1", 5, num_threads=1)
    config = replace(BASE, **small)
    old = policy_for(made, config)
    new = policy_for(made, replace(config, hidden_sizes=(24, 40), memory_size=20), seed=1)
    surgery.grow(old, new, None, None)
    obs, starts = torch.randn(5, 4), torch.tensor([True, False, False, False, False])
    for one, other in zip(said(old, obs, None, starts), said(new, obs, None, starts), strict=True):
        torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(one[1], other[1], rtol=0, atol=1e-5)


def test_what_is_new_learns():
    made = envs.make_vec("quintet/CartPole-v1", 5, num_threads=1)
    old, new = policy_for(made, BASE), policy_for(made, replace(BASE, hidden_sizes=(24, 24)), seed=1)
    surgery.grow(old, new, None, None)
    (new.critic(torch.randn(5, 4)).sum() + new.actor(torch.randn(5, 4))[:, 0].sum()).backward()
    grads = {name: parameter.grad for name, parameter in new.named_parameters()}
    for name, rows in (("critic.layers.1.weight", 16), ("critic.layers.2.weight", 1), ("actor.layers.2.weight", 1)):
        grad = grads[name]
        assert grad is not None and grad[:rows, 16:].abs().min() > 0, (
            "what the new units say is not heeded, but it can be"
        )


@pytest.mark.parametrize("memory", ["", "lstm"])
def test_networks_of_entities_grow_with_their_memory_and_their_choices(memory):
    small, large = (envs.make_vec("quintet/Duel-v0", 3, num_threads=1, shopping=how) for how in ("script", "policy"))
    obs, infos = small.reset(seed=1)
    config = replace(BASE, num_envs=6, network="entities", entity_size=8, memory=memory, memory_size=8,
                     normalize_obs=True, shared_trunk=True)  # fmt: skip
    old = policy_for(small, config)
    new = policy_for(large, replace(config, entity_size=12, memory_size=10, hidden_sizes=(20, 30)), seed=1)
    surgery.grow(old, new, small.obs_layout, large.obs_layout)
    large.reset(seed=1)
    mask, starts = infos["action_mask"], torch.zeros(len(obs), dtype=torch.bool)
    verbs, wider = (int(made.action_layout.sizes[0]) for made in (small, large))  # pyright: ignore
    assert wider > verbs
    everything = large.observe()[1]["action_mask"]
    for one, other in zip(said(old, obs, mask, starts), said(new, obs, everything, starts), strict=True):
        torch.testing.assert_close(one[1], other[1], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(one[0].exp(), other[0][..., :verbs].exp(), rtol=0, atol=1e-5)
        assert other[0][..., verbs:].exp().max() < 1e-6
        kinds = zip(one[2].logits, other[2].logits, strict=True)
        for before, after in kinds:
            torch.testing.assert_close(before, after[..., : before.shape[-1]], rtol=1e-4, atol=1e-4)


def test_columns_of_observations_follow_their_names():
    def field(start, stop, *shape):
        return SimpleNamespace(slice=slice(start, stop), shape=shape or (stop - start,), kind="")

    before = {"place": field(0, 2), "speed": field(2, 4)}
    after = {"speed": field(0, 2), "wind": field(2, 5), "place": field(5, 7)}

    def env(width):
        space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        return SimpleNamespace(single_observation_space=space, single_action_space=spaces.Discrete(3))

    config = replace(BASE, normalize_obs=True)
    old, new = policy_for(env(4), config), policy_for(env(7), config, seed=1)
    surgery.grow(old, new, before, after)
    obs = torch.randn(6, 4)
    wide = torch.cat([obs[:, 2:], torch.randn(6, 3), obs[:, :2]], dim=1)
    starts = torch.zeros(6, dtype=torch.bool)
    for one, other in zip(said(old, obs, None, starts, 1), said(new, wide, None, starts, 1), strict=True):
        torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(one[1], other[1], rtol=0, atol=1e-5)


def test_a_team_can_be_put_together():
    made = envs.make_vec("quintet/Arena-v0", 1, num_threads=1)
    config = replace(BASE, num_envs=10, network="entities", entity_size=8)
    old, new = policy_for(made, config), policy_for(made, replace(config, team_size=5), seed=1)
    surgery.grow(old, new, made.obs_layout, made.obs_layout)
    obs, infos = made.reset(seed=1)
    starts = torch.zeros(10, dtype=torch.bool)
    (one,), (other,) = (said(policy, obs, infos["action_mask"], starts, 1) for policy in (old, new))
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one[1], other[1], rtol=1e-4, atol=1e-4)


def test_moments_are_laid_where_their_parameters_are():
    made = envs.make_vec("quintet/CartPole-v1", 5, num_threads=1)
    old, new = policy_for(made, BASE), policy_for(made, replace(BASE, hidden_sizes=(24, 24)), seed=1)
    for policy in (old, new):
        FlatAdam([policy], 1e-3)
    flat = torch.cat([parameter.detach().flatten() for parameter in old.parameters()])
    surgery.grow(old, new, None, None)
    grown, at = surgery.grow_moments(old, new, flat, None, None), 0
    for name, parameter in new.named_parameters():
        mine = grown[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
        kept = dict(old.named_parameters())[name]
        corner = mine[tuple(slice(size) for size in kept.shape)]
        assert torch.equal(corner, kept)
        assert mine.abs().sum() == pytest.approx(float(kept.abs().sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        ({}, {"hidden_sizes": (8, 16)}, "numbers are lost"),
        ({}, {"hidden_sizes": (16, 16, 16)}, "keep the number of layers"),
        ({}, {"memory": "lstm"}, "keep the number of layers, the memory"),
        ({"memory": "transformer", "memory_size": 8}, {"memory_size": 12}, "does not let it grow"),
    ],
)
def test_what_can_not_be_kept_is_refused(small, large, said):
    made = envs.make_vec("quintet/CartPole-v1", 5, num_threads=1)
    config = replace(BASE, **small)
    old, new = policy_for(made, config), policy_for(made, replace(config, **large), seed=1)
    with pytest.raises(ValueError, match=said):
        surgery.grow(old, new, None, None)
