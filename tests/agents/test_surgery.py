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
from agents.rollout import Collector
from agents.surgery_check import differences

BASE = ppo.Config(num_envs=4, num_steps=16, hidden_sizes=(16, 16))


def policy_for(made, config, seed=0) -> Any:
    torch.manual_seed(seed)
    policy: Any = ppo.make_policy(made, config)
    if policy.norm is not None:
        policy.norm.update(torch.randn(50, *made.single_observation_space.shape))
    policy.actor.layers[-1].weight.data.mul_(30)  # so that outputs are far from alike, as the values are by themselves
    return policy


def plain(width: int, choices: int) -> Any:
    """An env with a vector to see and some choices."""
    space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
    return SimpleNamespace(single_observation_space=space, single_action_space=spaces.Discrete(choices))


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
    found = differences(old, new, torch.randn(6, 5, 4), None, starts.expand(6, 5))
    assert max(found.values()) < 1e-6


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_but_for_rounding_a_wider_memory_is_exact(kind: str) -> None:
    """In float64, with elementary operations, over steps of one episode."""
    config = replace(BASE, memory=kind, memory_size=8, shared_trunk=True)
    wider = replace(config, hidden_sizes=(24, 40), memory_size=20)
    old, new = policy_for(plain(4, 3), config), policy_for(plain(4, 3), wider, seed=1)
    surgery.grow(old, new)
    memories, place = [policy.initial_memory(5).double() for policy in (old, new)], surgery.memory_places(old, new)
    for _ in range(6):
        obs, found = torch.randn(5, 4, dtype=torch.float64), []
        for k, policy in enumerate((old.double(), new.double())):
            policy.remember.fused = False
            state = policy.remember._advance(obs, memories[k].chunk(policy.remember.num_states, -1), torch.ones(5, 1))
            memories[k], seen = torch.cat(state, dim=-1), policy.trunk.activation(policy.trunk(state[0]))
            found.append((policy.actor(seen), policy.critic(seen)))
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-13)
        torch.testing.assert_close(memories[0], memories[1][:, place], rtol=0, atol=1e-13)


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

    config = replace(BASE, normalize_obs=True)
    old, new = policy_for(plain(4, 3), config), policy_for(plain(7, 3), config, seed=1)
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
        kept = dict(old.named_parameters())[name].detach()
        corner = mine[tuple(slice(size) for size in kept.shape)]
        assert torch.equal(corner, kept)
        assert mine.abs().sum() == pytest.approx(float(kept.abs().sum()), rel=1e-4)


def test_games_of_duels_tell_no_difference_though_all_grows() -> None:
    """Network, memory and choices at once, asked in the same games of a world that takes more."""
    small, large = (envs.make_vec("quintet/Duel-v0", 3, num_threads=1, shopping=how) for how in ("script", "policy"))
    config = replace(BASE, network="entities", entity_size=8, memory="lstm", memory_size=8, normalize_obs=True,
                     shared_trunk=True, activation="relu")  # fmt: skip
    wider = replace(config, entity_size=12, memory_size=10, hidden_sizes=(20, 30, 24))
    old, new = policy_for(small, config), policy_for(large, wider, seed=1)
    surgery.grow(old, new, small.obs_layout, large.obs_layout)
    collector, generator = Collector(large, seed=1), torch.Generator().manual_seed(1)
    collector.memory = new.initial_memory(large.num_envs)
    rollout = collector.new_rollout(20)
    collector.collect(lambda *seen: (*new.act(*seen, generator=generator), {}), rollout)
    assert rollout.action_mask is not None and rollout.actions.unique().numel() > 3
    seen = rollout.obs[:-1], rollout.action_mask[:-1], rollout.starts[:-1]
    found = differences(old, new, *seen, small.obs_layout, large.obs_layout)
    assert max(found.values()) < 1e-5 and found["memory"] < 1e-6
    new.actor.layers[-1].bias.data[0] += 0.1
    assert differences(old, new, *seen, small.obs_layout, large.obs_layout)["log_probs"] > 0.01, "it would be seen"


def test_new_choices_begin_far_below_the_old_ones_wherever_these_are() -> None:
    config = replace(BASE, num_envs=4)
    old, new = policy_for(plain(4, 3), config), policy_for(plain(4, 5), config, seed=1)
    old.actor.layers[-1].bias.data -= 30.0
    surgery.grow(old, new)
    dist, _, _ = new(torch.randn(6, 4), None, torch.zeros(6, 0), torch.zeros(6, dtype=torch.bool))
    assert dist.log_probs[:, 3:].exp().max() < 1e-6
    surgery.grow(old, new, unlikely=0.0)
    dist, _, _ = new(torch.zeros(1, 4), None, torch.zeros(1, 0), torch.zeros(1, dtype=torch.bool))
    assert 0.01 < dist.log_probs.exp()[0, 4].item() < 0.99


@pytest.mark.parametrize("shared", [False, True])
def test_a_layer_behind_a_relu_passes_on_what_it_is_given(shared: bool) -> None:
    config = replace(BASE, activation="relu", shared_trunk=shared)
    deep = replace(config, hidden_sizes=(20, 24, 18, 16))
    old, new = policy_for(plain(4, 3), config), policy_for(plain(4, 3), deep, seed=1)
    surgery.grow(old, new)
    found = differences(old, new, torch.randn(3, 5, 4), None, torch.zeros(3, 5, dtype=torch.bool))
    assert max(found.values()) < 1e-6
    moments = surgery.grow_moments(old, new, torch.ones(sum(p.numel() for p in old.parameters())))
    assert int(moments.sum()) == sum(p.numel() for p in old.parameters())


def test_new_columns_have_statistics_of_their_own() -> None:
    """However much the old ones have seen; and a run may be operated on again."""
    config = replace(BASE, normalize_obs=True)
    old, new, newest = (policy_for(plain(width, 3), config) for width in (4, 5, 6))
    old.norm.count.fill_(1e9)
    surgery.grow(old, new)
    values = torch.randn(2048, 5) + 500 * torch.tensor([0.0, 0, 0, 0, 1])
    new.norm.update(values)
    normed = new.norm(values)[:, 4]
    assert normed.mean().abs() < 0.01 and (normed.std() - 1).abs() < 0.01
    torch.testing.assert_close(new.norm.mean[:4], old.norm.mean, rtol=0, atol=1e-5)
    surgery.grow(new, newest)
    assert newest.norm.count.tolist() == [*new.norm.count.tolist(), 0.0]
    again = policy_for(plain(6, 3), config)
    again.load_state_dict(newest.state_dict())
    assert torch.equal(again.norm.count, newest.norm.count)


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        ({}, {"hidden_sizes": (8, 16)}, r"can't become \(8, 16\): surgery only adds"),
        ({}, {"hidden_sizes": (16,)}, "surgery only adds"),
        ({}, {"hidden_sizes": (16, 16, 16)}, "a layer more"),
        ({}, {"memory": "lstm"}, "memory is '' and can't become 'lstm'"),
        ({"memory": "gru"}, {"memory": "lstm"}, "memory is 'gru' and can't become 'lstm'"),
        ({}, {"activation": "relu"}, "activation is 'tanh' and can't become 'relu'"),
        ({}, {"normalize_obs": True}, "normalize_obs is False"),
        ({"memory": "transformer", "memory_size": 8}, {"memory_size": 12}, "keep memory_size 8"),
        ({"team_size": 5, "num_envs": 20}, {"team_size": 10, "num_envs": 40}, "team_size is 5"),
    ],
)
def test_what_can_not_be_kept_is_refused(small, large, said):
    config = replace(BASE, **small)
    with pytest.raises(ValueError, match=said):
        surgery.check_configs(config, replace(config, **large))


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        ({}, {"hidden_sizes": (8, 16)}, "lacks 8 of its numbers"),
        ({}, {"memory": "lstm"}, "can't become lstm"),
        ({"memory": "gru"}, {"memory": "lstm"}, "memory is gru and can't become lstm"),
        ({}, {"activation": "relu"}, "activation is tanh and can't become relu"),
    ],
)
def test_policies_themselves_refuse_it_too(small, large, said):
    config = replace(BASE, **small)
    old, new = policy_for(plain(4, 3), config), policy_for(plain(4, 3), replace(config, **large), seed=1)
    with pytest.raises(ValueError, match=said):
        surgery.grow(old, new)


def test_worlds_that_show_or_take_less_are_refused() -> None:
    with pytest.raises(ValueError, match="lacks 1 of its numbers, the first column 4"):
        surgery.grow(policy_for(plain(5, 3), BASE), policy_for(plain(4, 3), BASE))
    with pytest.raises(ValueError, match="lacks 1 of its numbers, the first choice"):
        surgery.grow(policy_for(plain(4, 3), BASE), policy_for(plain(4, 2), BASE))
    arena, duel = (envs.make_vec(f"quintet/{name}-v0", 1, num_threads=1) for name in ("Arena", "Duel"))
    config = replace(BASE, network="entities", entity_size=8)
    with pytest.raises(ValueError, match="rows that actions choose from"):
        surgery.grow(policy_for(duel, config), policy_for(arena, config), duel.obs_layout, arena.obs_layout)
