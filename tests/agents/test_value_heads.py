"""Distributions of returns: projections by hand, and losses whose minimum is the known distribution."""

import math
from typing import Any

import pytest
import torch

from agents.value_heads import Categorical, Mean, Quantiles


def test_a_mean_s_losses_by_hand() -> None:
    outputs, ahead = torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([[4.0], [4.0], [4.0]])
    rewards, discounts = torch.tensor([0.5, 0.0, 2.0]), torch.tensor([0.5, 0.0, 0.5])
    for huber, expected in ((True, [1.0, 0.5, 2.5]), (False, [1.125, 0.5, 4.5])):
        head = Mean(huber)
        errors = head.compare(outputs, ahead, rewards, discounts).errors
        assert head.losses(errors).tolist() == expected and errors.tolist() == [-1.5, 1.0, -3.0]


def test_probabilities_go_to_the_nearest_returns() -> None:
    """Returns -1, 0, 1: 0.25 + 0.5 z is -0.25, 0.25, 0.75; a terminal 1 is 1; 5 + z is cut at 1."""
    head = Categorical(3, -1, 1)
    probabilities = torch.tensor([[0.2, 0.3, 0.5]] * 3)
    projected = head.project(probabilities, torch.tensor([0.25, 1.0, 5.0]), torch.tensor([0.5, 0.0, 1.0]))
    by_hand = [0.2 * 0.25, 0.2 * 0.75 + 0.3 * 0.75 + 0.5 * 0.25, 0.3 * 0.25 + 0.5 * 0.75]
    assert projected.flatten().tolist() == pytest.approx([*by_hand, 0, 0, 1, 0, 0, 1], abs=1e-6)


def test_a_projection_keeps_the_mean_and_the_mass() -> None:
    torch.manual_seed(0)
    head = Categorical(51, -10, 10)
    probabilities = torch.randn(100, 51).softmax(-1)
    rewards, discounts = torch.empty(100).uniform_(-1, 1), torch.empty(100).uniform_(0, 0.9)
    projected = head.project(probabilities, rewards, discounts)
    assert torch.allclose(projected.sum(1), torch.ones(100), atol=1e-5)
    assert torch.allclose(projected @ head.returns, rewards + discounts * (probabilities @ head.returns), atol=1e-4)
    still = head.project(probabilities, torch.zeros(100), torch.ones(100))
    assert torch.allclose(still, probabilities, atol=1e-5)


def test_what_is_predicted_exactly_has_no_error_however_broad_it_is() -> None:
    head = Categorical(51, -10, 10)
    logits = torch.stack([torch.zeros(51), torch.linspace(-3, 3, 51)])
    errors = head.compare(logits, logits, torch.zeros(2), torch.ones(2)).errors
    torch.testing.assert_close(errors, torch.zeros(2), rtol=0, atol=1e-5)
    halves = head.compare(torch.zeros(1, 51), torch.zeros(1, 51), torch.tensor([3.0]), torch.tensor([0.0])).errors
    assert halves.item() == pytest.approx(math.log(51) - 2 * 0.5 * math.log(2), abs=1e-4)  # 3 is between 2.8 and 3.2


def test_the_least_loss_is_at_the_promised_distribution() -> None:
    """Returns are 0 or 10 with probability a half each: so says the categorical one; the quantiles are 0, 0, 10, 10."""
    torch.manual_seed(0)
    for head, expected in ((Categorical(3, 0, 20), [0.5, 0.5, 0.0]), (Quantiles(4), [0.0, 0.0, 10.0, 10.0])):
        outputs = torch.randn(1, head.num_atoms).requires_grad_()
        optimizer = torch.optim.Adam([outputs], lr=0.1)
        for _ in range(400):
            rewards = 10.0 * torch.randint(0, 2, (64,))
            ahead = torch.zeros(64, head.num_atoms)
            grads = head.compare(outputs.detach().expand(64, -1), ahead, rewards, torch.zeros(64)).grads
            outputs.grad = grads.mean(0, keepdim=True)
            optimizer.step()
        found = outputs.detach().softmax(-1) if isinstance(head, Categorical) else outputs.detach()
        assert found.flatten().tolist() == pytest.approx(expected, abs=0.05 if isinstance(head, Categorical) else 1)
        assert head.mean(outputs.detach()).tolist() == pytest.approx([5], abs=0.5)


@pytest.mark.parametrize("head", [Mean(True), Mean(False), Categorical(11, -3, 3), Quantiles(7)])
def test_slopes_are_those_that_autograd_finds(head: Any) -> None:
    torch.manual_seed(0)
    outputs = torch.randn(50, head.num_atoms).mul_(2).requires_grad_()
    compared = head.compare(outputs, torch.randn(50, head.num_atoms), torch.randn(50), torch.rand(50))
    (expected,) = torch.autograd.grad(head.losses(compared.errors).sum(), outputs)
    assert torch.allclose(compared.grads, expected, atol=1e-5)


def test_quantile_losses_by_hand() -> None:
    """Two quantiles at 0 and 1, one promised return 2, whatever the atoms: errors 2 and 1 weigh 1/4 and 3/4."""
    outputs = torch.tensor([[0.0, 1.0]])
    head = Quantiles(2)
    for reward, expected in ((2.0, 0.25 * 1.5 + 0.75 * 0.5), (-1.0, 0.75 * 0.5 + 0.25 * 1.5)):
        errors = head.compare(outputs, torch.zeros(1, 2), torch.tensor([reward]), torch.tensor([0.0])).errors
        assert float(head.losses(errors)) == pytest.approx(expected)
