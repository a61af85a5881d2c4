"""Prioritised sampling (Schaul et al., "Prioritized experience replay", arXiv 1511.05952), the proportional variant.

    P(i) = p_i^alpha / sum_k p_k^alpha,    weight_i = (size * P(i))^-beta / max_j weight_j

In place of a binary tree of sums there are two levels, blocks and the places in them: a batch is drawn by a dozen calls
rather than by a dozen for each level. A block's sum is made anew from its places, so that no rounding error builds up.
"""

from typing import Any

import torch
from torch import Tensor

BLOCK = 128
SMALLEST = 1e-6
"""Added to errors, so that no transition is lost for good."""


class Priorities:
    """How likely each place of a ring is drawn.

    Args:
        capacity: places.
        alpha: 0 draws uniformly, 1 in proportion to the errors.
        device: of the tensors.

    Attributes:
        leaves: float32 `[blocks, BLOCK]`, p^alpha of each place, 0 where nothing is.
        sums: float64 `[blocks]`, of the leaves.
        largest: float32 `[]`, the largest p^alpha so far, which new transitions get.
    """

    def __init__(self, capacity: int, alpha: float, device: torch.device | str) -> None:
        self.alpha = alpha
        self.leaves = torch.zeros(-(-capacity // BLOCK), BLOCK, device=device)
        self.sums = torch.zeros(len(self.leaves), dtype=torch.float64, device=device)
        self.largest = torch.ones((), device=device)

    def enter(self, places: Tensor) -> None:
        """New transitions lie at these places, int64 `[B]`; they are as likely as the likeliest so far."""
        self._set(places, self.largest)

    def update(self, places: Tensor, errors: Tensor) -> None:
        """The transitions at these places, int64 `[B]`, had these errors `[B]`, of either sign."""
        priorities = (errors.abs() + SMALLEST).pow_(self.alpha)
        self.largest.copy_(torch.maximum(self.largest, priorities.max()))
        self._set(places, priorities)

    def _set(self, places: Tensor, priorities: Tensor) -> None:
        self.leaves.view(-1)[places] = priorities
        blocks = places // BLOCK
        self.sums[blocks] = self.leaves[blocks].sum(dim=1, dtype=torch.float64)

    def draw(self, number: int, size: int | Tensor, beta: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One place from each of `number` equal parts of the sum, and the weights that make up for the preference.

        Args:
            number: of places.
            size: transitions in the ring, at least 1.
            beta: 0 leaves the preference, 1 makes up for all of it.
            generator: of the draws.

        Returns:
            int64 `[number]` and float32 `[number]`, the largest weight 1.
        """
        device = self.leaves.device
        upto = self.sums.cumsum(0)
        parts = torch.arange(number, device=device) + torch.rand(number, generator=generator, device=device)
        blocks, left = find(upto, parts.double().mul_(upto[-1] / number))
        inside, _ = find(self.leaves[blocks].cumsum(dim=1, dtype=torch.float64), left.unsqueeze(1))
        places = blocks * BLOCK + inside.squeeze(1)
        weights = (self.leaves.view(-1)[places] * (size / upto[-1])).pow_(-beta).float()
        return places, weights / weights.max()

    def state_dict(self) -> dict[str, Any]:
        """The leaves and the largest."""
        return {"leaves": self.leaves.clone(), "largest": self.largest.clone()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave; the sums follow from the leaves."""
        self.leaves.copy_(saved["leaves"])
        self.largest.copy_(saved["largest"])
        self.sums.copy_(self.leaves.sum(dim=1, dtype=torch.float64))


def find(upto: Tensor, amounts: Tensor) -> tuple[Tensor, Tensor]:
    """Where running sums `[..., n]` first exceed amounts `[..., B]`, int64, and how much of each is left there.

    An amount that rounding brought up to the last sum counts as a little less: what has no share is never found.
    """
    amounts = torch.minimum(amounts, upto[..., -1:] * (1 - 1e-12))
    found = torch.searchsorted(upto, amounts, right=True)
    return found, amounts - upto.gather(-1, (found - 1).clamp_(min=0)).masked_fill_(found == 0, 0)
