"""What a value network says of each action: its mean return, or the distribution of returns.

Each head has `num_atoms` outputs an action; `mean` turns them into values, and `compare` holds those of the actions
taken against what the next observation promised; `losses` are left for when they are logged. All three are used alike.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Compared(NamedTuple):
    """How far outputs are from what was promised."""

    grads: Tensor
    """`[B, num_atoms]`: the derivative of each loss by its outputs, worked out by hand to spare autograd the way."""
    errors: Tensor
    """`[B]`: what priorities and losses are made of."""


class Mean(nn.Module):
    """One number an action, its value. `huber` cuts the gradient of errors above 1 (Mnih et al., 2015)."""

    num_atoms = 1

    def __init__(self, huber: bool = True) -> None:
        super().__init__()
        self.huber = huber

    def mean(self, outputs: Tensor) -> Tensor:
        """`[..., 1]` -> `[...]`."""
        return outputs.squeeze(-1)

    def compare(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> Compared:
        """Errors output - (reward + discount * ahead).

        Args:
            outputs: `[B, num_atoms]`, of the actions taken.
            ahead: `[B, num_atoms]`, of the best next actions.
            rewards, discounts: `[B]`, of a replay's transitions.
        """
        errors = outputs - torch.addcmul(rewards.unsqueeze(1), discounts.unsqueeze(1), ahead)
        return Compared(self._grads(errors), errors.squeeze(1))

    def losses(self, errors: Tensor) -> Tensor:
        """Half of squared errors e, `[...]`; with `huber`, |e| - 1/2 where |e| is above 1."""
        grads = self._grads(errors)
        return grads * (errors - 0.5 * grads)

    def _grads(self, errors: Tensor) -> Tensor:
        return errors.clamp(-1, 1) if self.huber else errors


class Categorical(nn.Module):
    """C51 (Bellemare et al., "A distributional perspective on reinforcement learning", arXiv 1707.06887).

    The outputs are logits of returns that lie evenly within low..high.

    Buffers:
        returns: float32 `[num_atoms]`.
    """

    returns: Tensor

    def __init__(self, num_atoms: int, low: float, high: float) -> None:
        super().__init__()
        self.num_atoms, self.low, self.high = num_atoms, low, high
        self.register_buffer("returns", torch.linspace(low, high, num_atoms), persistent=False)

    def mean(self, outputs: Tensor) -> Tensor:
        """`[..., num_atoms]` -> `[...]`."""
        return outputs.softmax(dim=-1) @ self.returns

    def compare(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> Compared:
        """KL divergences from the promised distribution as errors, as in Rainbow (Hessel et al., arXiv 1710.02298): 0
        where it is met, however broad it is; see `Mean.compare`."""
        promised = self.project(ahead.softmax(dim=-1), rewards, discounts)
        logs = outputs.log_softmax(dim=-1)
        return Compared(logs.exp() - promised, (promised.xlogy(promised) - promised * logs).sum(dim=-1))

    def losses(self, errors: Tensor) -> Tensor:
        """The errors themselves."""
        return errors

    def project(self, probabilities: Tensor, rewards: Tensor, discounts: Tensor) -> Tensor:
        """Probabilities `[B, num_atoms]` moved to rewards + discounts * return, each shared by the two nearest."""
        moved = (rewards.unsqueeze(1) + discounts.unsqueeze(1) * self.returns).clamp_(self.low, self.high)
        place = (moved - self.low) * ((self.num_atoms - 1) / (self.high - self.low))
        below = place.floor().clamp_(max=self.num_atoms - 2)
        upper = probabilities * (place - below)
        index = below.long()
        projected = torch.zeros_like(probabilities).scatter_add_(1, index, probabilities - upper)
        return projected.scatter_add_(1, index + 1, upper)


class Quantiles(nn.Module):
    """QR-DQN (Dabney et al., "Distributional reinforcement learning with quantile regression", arXiv 1710.10044).

    Output i is the quantile (i + 0.5) / num_atoms of the return; no range need be known.

    Buffers:
        shares: float32 `[num_atoms, 1]`.
    """

    shares: Tensor

    def __init__(self, num_atoms: int) -> None:
        super().__init__()
        self.num_atoms = num_atoms
        self.register_buffer("shares", (torch.arange(num_atoms).unsqueeze(1) + 0.5) / num_atoms, persistent=False)

    def mean(self, outputs: Tensor) -> Tensor:
        """`[..., num_atoms]` -> `[...]`."""
        return outputs.mean(dim=-1)

    def compare(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> Compared:
        """Quantile Huber losses as errors; see `Mean.compare`."""
        targets = torch.addcmul(rewards.unsqueeze(1), discounts.unsqueeze(1), ahead)
        errors = targets.unsqueeze(1) - outputs.unsqueeze(2)
        cut = errors.clamp(-1, 1)
        weights = (self.shares - (errors < 0).float()).abs()
        losses = (weights * cut * (errors - 0.5 * cut)).mean(dim=2).sum(dim=1)
        return Compared(-(weights * cut).mean(dim=2), losses)

    def losses(self, errors: Tensor) -> Tensor:
        """The errors themselves."""
        return errors


def make_head(config: Any) -> Mean | Categorical | Quantiles:
    """The head that `config.head` names."""
    if config.head == "categorical":
        return Categorical(config.num_atoms, config.value_min, config.value_max)
    return Quantiles(config.num_atoms) if config.head == "quantile" else Mean(config.huber)
