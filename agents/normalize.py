"""Running statistics: observations to zero mean and unit variance, rewards to unit variance of the return."""

from typing import Any

import torch
from torch import Tensor, nn

from agents import distributed


class RunningNorm(nn.Module):
    """Standardises by the mean and variance of all it was shown, clipped to +-`clip`.

    Buffers: `count`, `mean`, `var` float64, merged batch by batch, those of all ranks together (Chan et al., "Updating
    formulae and a pairwise algorithm for computing sample variances", 1979). Before the first update it passes values
    through. `count` is one number, or, where columns joined later (agents/surgery.py), one a column.

    Args:
        shape: of one value.
        clip: largest absolute result.
        tied: int64 `[C]` for values of shape (C,): columns with the same number share their statistics.
    """

    count: Tensor
    mean: Tensor
    var: Tensor
    shift: Tensor
    scale: Tensor

    tied: Tensor | None

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0, tied: Tensor | None = None) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("tied", tied, persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def _load_from_state_dict(self, saved: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        count = saved.get(f"{prefix}count", self.count)
        if count.shape in ((), self.mean.shape):
            self.count = torch.zeros_like(count, device=self.count.device)
        super()._load_from_state_dict(saved, prefix, *rest)

    def forward(self, values: Tensor) -> Tensor:
        """`[..., *shape]` -> float32 of the same shape."""
        return ((values - self.shift) * self.scale).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, values: Tensor, valid: Tensor | None = None) -> None:
        """Merges a batch.

        Args:
            values: `[B, *shape]`.
            valid: bool `[B]`: which of them count.
        """
        number, mean, var = distributed.moments(values, valid)
        if self.tied is not None:
            own_mean, mean = mean, _shared(mean, self.tied)
            var = _shared(var + (own_mean - mean).square(), self.tied)
        total = self.count + number
        share = number / total.clamp(min=1)
        delta = mean - self.mean
        self.var.copy_(self.var + (var - self.var) * share + delta.square() * share * (1 - share))
        self.mean += delta * share
        self.count.copy_(total)
        self.shift.copy_(self.mean)
        self.scale.copy_((self.var + 1e-8).rsqrt())


def _shared(values: Tensor, tied: Tensor) -> Tensor:
    """`[C]`: for each column the mean over the columns of the same number."""
    sums = torch.zeros_like(values).index_add_(0, tied, values)
    counts = torch.zeros_like(values).index_add_(0, tied, torch.ones_like(values))
    return (sums / counts)[tied]


class RewardScale(nn.Module):
    """Divides rewards by the standard deviation of the running discounted return (Engstrom et al., arXiv 2005.12729).

    Buffers: the statistics of the returns, and the running return of each row, `[num_envs]`.
    """

    returns: Tensor

    def __init__(self, num_envs: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.norm = RunningNorm(())
        self.register_buffer("returns", torch.zeros(num_envs))

    @torch.no_grad()
    def forward(self, rewards: Tensor, ended: Tensor, valid: Tensor | None) -> Tensor:
        """Takes in a rollout's rewards `[T, N]` (which rows ended, which are valid; None: all) and scales them."""
        running = rewards.clone() if valid is None else rewards * valid
        for earned, over in zip(running, ended, strict=True):
            earned.add_(self.returns, alpha=self.gamma)
            self.returns.copy_(earned.masked_fill(over, 0))
        self.norm.update(running.flatten(), None if valid is None else valid.flatten())
        return (rewards * self.norm.scale).clamp_(-10, 10)
