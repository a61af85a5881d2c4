"""What a value network says of each action: its mean return, or the distribution of returns.

Each head has `num_atoms` outputs an action; `mean` turns them into values, and `losses` compares those of the actions
taken with what the next observation promised. All three are used alike.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, smooth_l1_loss


class Mean(nn.Module):
    """One number an action, its value. `huber` cuts the gradient of errors above 1 (Mnih et al., 2015)."""

    num_atoms = 1

    def __init__(self, huber: bool = True) -> None:
        super().__init__()
        self.loss = smooth_l1_loss if huber else mse_loss

    def mean(self, outputs: Tensor) -> Tensor:
        """`[..., 1]` -> `[...]`."""
        return outputs.squeeze(-1)

    def losses(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and errors, `[B]` both.

        Args:
            outputs: `[B, num_atoms]`, of the actions taken.
            ahead: `[B, num_atoms]`, of the best next actions.
            rewards, discounts: `[B]`, of a replay's transitions.
        """
        values = outputs.squeeze(-1)
        targets = torch.addcmul(rewards, discounts, ahead.squeeze(-1))
        return self.loss(values, targets, reduction="none"), (targets - values).detach()


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

    def losses(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropies with the promised distribution, which serve as errors too; see `Mean.losses`."""
        promised = self.project(ahead.softmax(dim=-1), rewards, discounts)
        losses = -(promised * outputs.log_softmax(dim=-1)).sum(dim=-1)
        return losses, losses.detach()

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

    def losses(self, outputs: Tensor, ahead: Tensor, rewards: Tensor, discounts: Tensor) -> tuple[Tensor, Tensor]:
        """Quantile Huber losses, which serve as errors too; see `Mean.losses`."""
        targets = torch.addcmul(rewards.unsqueeze(1), discounts.unsqueeze(1), ahead)
        predicted, promised = torch.broadcast_tensors(outputs.unsqueeze(2), targets.unsqueeze(1))
        below = (promised < predicted).float()
        losses = (self.shares - below).abs() * smooth_l1_loss(predicted, promised, reduction="none")
        losses = losses.mean(dim=2).sum(dim=1)
        return losses, losses.detach()


def make_head(config: Any) -> Mean | Categorical | Quantiles:
    """The head that `config.head` names."""
    if config.head == "categorical":
        return Categorical(config.num_atoms, config.value_min, config.value_max)
    return Quantiles(config.num_atoms) if config.head == "quantile" else Mean(config.huber)
