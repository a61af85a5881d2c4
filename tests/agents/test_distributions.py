"""Distributions against torch's, masks against enumeration."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents.distributions import Heads

LAYOUT = SimpleNamespace(sizes=(3, 4, 2), kinds=((-1, 0, 1), (0, -1, -1)))
PARTS = spaces.MultiDiscrete([3, 4, 2])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_gaussian_is_torchs() -> None:
    heads = Heads(spaces.Box(-1, 1, (3,)), log_std=-0.4)
    mean = torch.randn(5, 3, generator=generator())
    reference = torch.distributions.Normal(mean, heads.log_std.exp())
    dist = heads(mean)
    actions = dist.sample(heads.noise((5,), generator(), "cpu"))
    assert torch.allclose(dist.log_prob(actions), reference.log_prob(actions).sum(-1), atol=1e-5)
    assert torch.allclose(dist.entropy(), reference.entropy().sum(-1), atol=1e-5)
    assert torch.equal(dist.mode(), mean)


def test_a_categorical_is_torchs() -> None:
    heads = Heads(spaces.Discrete(4))
    logits = torch.randn(6, 4, generator=generator())
    reference, dist = torch.distributions.Categorical(logits=logits), heads(logits)
    actions = torch.tensor([0, 1, 2, 3, 0, 1])
    assert torch.allclose(dist.log_prob(actions), reference.log_prob(actions), atol=1e-6)
    assert torch.allclose(dist.entropy(), reference.entropy(), atol=1e-6)
    assert torch.equal(dist.mode(), logits.argmax(-1))


def test_samples_follow_the_probabilities() -> None:
    heads = Heads(spaces.Discrete(3))
    probabilities = torch.tensor([0.1, 0.3, 0.6])
    dist = heads(probabilities.log().expand(20_000, 3))
    actions = dist.sample(heads.noise((20_000,), generator(), "cpu"))
    shares = torch.bincount(actions, minlength=3) / 20_000
    assert torch.allclose(shares, probabilities, atol=0.015)
    heads = Heads(spaces.Box(-1, 1, (1,)), log_std=0.5)
    drawn = heads(torch.full((20_000, 1), 2.0)).sample(heads.noise((20_000,), generator(), "cpu")).detach()
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(drawn.std()) == pytest.approx(np.exp(0.5), abs=0.05)


def test_the_same_generator_gives_the_same_actions() -> None:
    heads = Heads(PARTS)
    dist = heads(torch.zeros(8, 9))
    first, again = (dist.sample(heads.noise((8,), generator(3), "cpu")) for _ in range(2))
    assert torch.equal(first, again)


def test_masked_choices_never_come_and_cost_nothing() -> None:
    heads = Heads(spaces.Discrete(5))
    logits = torch.randn(4000, 5, generator=generator()).mul_(5).requires_grad_()
    mask = torch.rand(4000, 5, generator=generator(1)) < 0.4
    mask[:, 2] = True
    mask[0] = torch.tensor([False, False, True, False, False])
    dist = heads(logits, mask)
    actions = dist.sample(heads.noise((4000,), generator(), "cpu"))
    assert mask.gather(1, actions[:, None]).all() and mask.gather(1, dist.mode()[:, None]).all()
    assert dist.entropy()[0].item() == 0 and dist.log_prob(actions)[0].item() == 0
    lowered = logits.detach().masked_fill(~mask, -torch.inf)
    reference = torch.distributions.Categorical(probs=lowered.softmax(-1))
    assert torch.allclose(dist.log_prob(actions), reference.log_prob(actions), atol=1e-4)
    (dist.entropy().sum() + dist.log_prob(actions).sum()).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert (logits.grad[~mask] == 0).all()


def test_a_mask_without_a_legal_action_stays_finite() -> None:
    dist = Heads(spaces.Discrete(3))(torch.randn(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    assert dist.entropy().isfinite().all() and dist.log_prob(torch.tensor([0, 2])).isfinite().all()


def random_mask(rows: int) -> Tensor:
    """Of LAYOUT: 3 verbs, 2 blocks of 4, 1 of 2; something is legal everywhere."""
    mask = torch.rand(rows, 13, generator=generator(5)) < 0.6
    mask[:, [0, 3, 7, 11]] = True
    return mask


def legal_actions(mask: Tensor) -> list[tuple[int, int, int]]:
    """Every action that a mask row of LAYOUT allows, unused parts 0."""
    found = []
    for verb in range(3):
        first, second = LAYOUT.kinds[0][verb], LAYOUT.kinds[1][verb]
        ones = [0] if first < 0 else [i for i in range(4) if mask[3 + 4 * first + i]]
        twos = [0] if second < 0 else [i for i in range(2) if mask[11 + i]]
        if mask[verb]:
            found += itertools.product([verb], ones, twos)
    return found


@pytest.mark.parametrize("by_kind", [False, True])
def test_parts_given_the_first_sum_to_one_and_have_the_entropy_of_their_actions(by_kind: bool) -> None:
    heads = Heads(PARTS, LAYOUT, by_kind=by_kind)
    assert heads.num_columns == 13 and heads.num_outputs == (13 if by_kind else 9)
    mask = random_mask(20)
    logits = torch.randn(20, heads.num_outputs, generator=generator())
    dist = heads(logits, mask)
    for row in range(20):
        actions = torch.tensor(legal_actions(mask[row]))
        alone = heads(logits[row].expand(len(actions), -1), mask[row].expand(len(actions), 13))
        log_probs = alone.log_prob(actions)
        assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-5)
        assert float(dist.entropy()[row]) == pytest.approx(-float((log_probs.exp() * log_probs).sum()), abs=1e-4)


@pytest.mark.parametrize("by_kind", [False, True])
def test_parts_sample_only_legal_actions(by_kind: bool) -> None:
    heads = Heads(PARTS, LAYOUT, by_kind=by_kind)
    mask = random_mask(50).repeat(40, 1)
    dist = heads(torch.randn(2000, heads.num_outputs, generator=generator()), mask)
    for actions in (dist.sample(heads.noise((2000,), generator(), "cpu")), dist.mode()):
        for row, action in enumerate(actions.tolist()):
            assert tuple(action) in legal_actions(mask[row])


def test_an_unused_part_gets_no_gradient() -> None:
    heads = Heads(PARTS, LAYOUT)
    logits = torch.zeros(1, 9, requires_grad=True)
    heads(logits, torch.ones(1, 13, dtype=torch.bool)).log_prob(torch.tensor([[1, 2, 0]])).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[0, :7] != 0).all() and (logits.grad[0, 7:] == 0).all()


def test_by_kind_a_part_has_the_logits_of_its_verb() -> None:
    heads = Heads(PARTS, LAYOUT, by_kind=True)
    logits = torch.randn(1, 13, generator=generator(), requires_grad=True)
    for verb, block in ((1, slice(3, 7)), (2, slice(7, 11))):
        target = heads(logits).log_prob(torch.tensor([[verb, 2, 0]])) - logits[:, :3].log_softmax(-1)[:, verb]
        assert target.item() == pytest.approx(logits[0, block].log_softmax(-1)[2].item(), abs=1e-5)
        (told,) = torch.autograd.grad(target.sum(), logits)
        assert (told[0, block] != 0).all() and int((told.abs() > 1e-6).sum()) == 4


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([3]), spaces.MultiDiscrete([2, 3]), spaces.Discrete(2)])
def test_shapes(space: spaces.Space) -> None:
    heads = Heads(space)
    dist = heads(torch.zeros(4, 5, heads.num_outputs))
    actions = dist.sample(heads.noise((4, 5), generator(), "cpu"))
    assert actions.shape == dist.mode().shape == (4, 5, *(space.shape or ()))
    assert actions.dtype == torch.int64
    assert dist.log_prob(actions).shape == dist.entropy().shape == (4, 5)


def test_spaces_without_a_distribution() -> None:
    with pytest.raises(ValueError, match="Dict"):
        Heads(spaces.Dict())
    with pytest.raises(ValueError, match="count from 0"):
        Heads(spaces.Discrete(3, start=1))
