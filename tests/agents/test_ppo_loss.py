"""PPO's gradient, whether worked out by hand or by autograd, is that of the loss as the paper writes it."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Normal

from agents import minibatches, ppo
from agents.minibatches import Batch, pieces
from agents.networks import FEW, tanh_
from tests.probe_envs import LENGTHS_OF_TESTS, Anything, Scripted, sync

ROWS, CLIP = 64, 0.1
SPACES = {
    "Discrete": spaces.Discrete(5),
    "one part": spaces.MultiDiscrete([5]),
    "two parts": spaces.MultiDiscrete([3, 2]),
    "Box": spaces.Box(-1, 1, (3,), np.float32),
}


def state_for(space: spaces.Space, config: ppo.Config) -> ppo.TrainState:
    obs = spaces.Box(-1, 1, (4,), np.float32)
    return ppo.TrainState(sync(*[partial(Anything, obs, space)] * 2), config)


def batch_for(policy: Any, space: spaces.Space, weighted: bool) -> Batch:
    """Steps of a policy that was near to this one: about half of the ratios and values have left what is clipped."""
    space.seed(0)
    obs, actions = torch.rand(ROWS, 4) * 2 - 1, torch.as_tensor(np.stack([space.sample() for _ in range(ROWS)]))
    mask = None
    if policy.heads.is_box is False:
        mask = torch.rand(ROWS, policy.heads.num_columns) < 0.7
        first, lead = 0, actions if actions.dim() > 1 else actions.unsqueeze(1)
        for part, size in enumerate(policy.heads.sizes):  # what was done was legal
            mask[torch.arange(ROWS), first + lead[:, part]] = True
            first += size
    with torch.no_grad():
        dist, values, _ = policy(obs, mask, obs, obs)
        log_probs = dist.log_prob(actions) + 0.2 * torch.randn(ROWS)
        values, returns = values + 0.2 * torch.randn(ROWS), values + torch.randn(ROWS)
    weight = (torch.rand(ROWS) < 0.8).float() if weighted else None
    return Batch(obs, mask, actions, log_probs, values, torch.randn(ROWS), returns, weight)


def as_the_paper_has_it(policy: Any, batch: Batch, config: ppo.Config) -> Tensor:
    """Equations 7 and 9 of Schulman et al., with values that are clipped as well."""
    outputs, values = policy.actor(batch.obs), policy.critic(batch.obs).squeeze(-1)
    if policy.heads.is_box:
        dist: Any = Normal(outputs, policy.heads.log_std.exp())
        log_probs, entropy = dist.log_prob(batch.actions).sum(-1), dist.entropy().sum(-1)
    else:
        logits = outputs.masked_fill(~batch.action_mask, -1e30)  # pyright: ignore
        dists = [Categorical(logits=part) for part in logits.split(policy.heads.sizes, dim=-1)]
        actions = batch.actions.view(ROWS, -1).unbind(-1)
        log_probs = sum(dist.log_prob(action) for dist, action in zip(dists, actions, strict=True))
        entropy = sum(dist.entropy() for dist in dists)
    ratio = torch.exp(log_probs - batch.log_probs)
    clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
    assert 0.2 < (ratio != clipped).float().mean() < 0.8
    gains = torch.min(ratio * batch.advantages, clipped * batch.advantages)
    errors = (values - batch.returns) ** 2
    if config.clip_vloss:
        near = batch.values + torch.clamp(values - batch.values, -CLIP, CLIP)
        errors = torch.max(errors, (near - batch.returns) ** 2)
    losses = -gains + config.vf_coef * 0.5 * errors - config.ent_coef * entropy
    return losses.mean() if batch.weight is None else (losses * batch.weight).sum() / batch.weight.sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip_vloss", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "silu"])
@pytest.mark.parametrize("name", SPACES)
def test_the_gradient_is_that_of_the_paper_s_loss(
    name: str, activation: str, clip_vloss: bool, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = ppo.Config(
        num_envs=2, hidden_sizes=(80, 8), activation=activation, clip_coef=CLIP, clip_vloss=clip_vloss, ent_coef=0.3,
        vf_coef=0.7, max_grad_norm=0, log_std_init=0.4,
    )  # fmt: skip
    state = state_for(SPACES[name], config)
    assert state.policy.has_backward == (name != "two parts")
    with torch.no_grad():
        list(state.policy.actor.parameters())[-2].mul_(50)
    batch = batch_for(state.policy, SPACES[name], weighted)
    state.optimizer.grad.zero_()
    as_the_paper_has_it(state.policy, batch, config).backward()
    expected, begun = state.optimizer.grad.clone(), state.state_dict()
    assert expected.abs().max() > 0.02
    state.optimizer.grad.fill_(7)
    results = ppo.minibatch_step(state, batch, config)
    assert torch.allclose(state.optimizer.grad, expected, atol=2e-6)
    assert results.shape == (5, ROWS) and 0.2 < results[4].mean() < 0.8
    monkeypatch.setattr(minibatches, "PIECE", 24)  # 24, 24 and 16 steps
    state.load_state_dict(begun)
    state.optimizer.grad.fill_(7)
    in_pieces = ppo.minibatch_step(state, batch, config)
    assert torch.allclose(state.optimizer.grad, expected, atol=2e-6)
    assert torch.allclose(in_pieces, results, atol=1e-6)


def test_tanh_of_many_numbers_is_tanh() -> None:
    x = torch.cat([torch.linspace(-20, 20, FEW), torch.tensor([-1e30, -0.0, 0.0, 1e-8, 1e30, torch.inf, -torch.inf])])
    assert torch.allclose(tanh_(x.clone()), torch.tanh(x), rtol=0, atol=2e-7)
    assert tanh_(torch.full((FEW,), torch.nan)).isnan().all()


@pytest.mark.parametrize("settings", [{}, {"team_size": 2}, {"memory": "gru", "segment_steps": 4}], ids=str)
def test_pieces_are_a_minibatch_in_its_order_and_keep_teams_and_segments(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minibatches, "PIECE", 12)
    config = ppo.Config(num_envs=10, num_steps=4, **settings)
    rows, lead = (10, (10, 4)) if config.memory else (40, (40,))
    numbers = torch.arange(rows * 4.0).view(*lead, -1)
    obs, flat = numbers, numbers[..., 0]
    batch = Batch(obs, None, flat, flat, flat, flat, flat, memory=obs[:, 0] if config.memory else None)
    parts = pieces(batch, config.team_size)
    assert [part.returns.numel() for part in parts] == [12, 12, 12, 4]
    assert all(len(part.obs) % config.team_size == 0 for part in parts)
    assert torch.equal(torch.cat([part.returns for part in parts]), batch.returns)
    monkeypatch.setattr(minibatches, "PIECE", 1)  # less than a team or segment
    size = max(config.team_size, 4 if config.memory else 1)
    assert {piece.returns.numel() for piece in pieces(batch, config.team_size)} == {size}


@pytest.mark.parametrize("piece", [7, 15])  # of three rows two steps, or five, which don't divide the horizon
@pytest.mark.parametrize("settings", [{}, {"memory": "lstm", "segment_steps": 4}], ids=str)
def test_what_is_learned_is_the_same_in_pieces_but_for_rounding(
    settings: dict[str, Any], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learned(piece: int) -> tuple[Tensor, dict[str, float]]:
        monkeypatch.setattr(minibatches, "PIECE", piece)
        torch.manual_seed(0)
        config = ppo.Config(num_envs=3, num_steps=16, num_minibatches=2, hidden_sizes=(16,), **settings)
        worlds = sync(*[partial(Scripted, number, lengths) for number, lengths in enumerate(LENGTHS_OF_TESTS)])
        state = ppo.TrainState(worlds, config)
        metrics = next(ppo.learn(worlds, config, state))
        return state.optimizer.flat.detach().clone(), metrics

    whole, metrics = learned(2048)
    parts, other = learned(piece)
    assert not torch.equal(whole, parts) and torch.allclose(whole, parts, atol=1e-5)
    assert metrics == pytest.approx(other, abs=1e-4)
