"""What surgery must not change: two policies' outputs for the same sequence, compared."""

from typing import Any

import torch
from torch import Tensor

from agents.distributions import LOWEST, Categorical, Gaussian
from agents.surgery import Layout, memory_places, places
from agents.surgery_names import columns_of, mask_names


@torch.no_grad()
def differences(
    old: Any,
    new: Any,
    obs: Tensor,
    mask: Tensor | None,
    starts: Tensor,
    old_layout: Layout = None,
    new_layout: Layout = None,
) -> dict[str, float]:
    """The largest difference between what two policies make of the same sequence.

    Args:
        old, new: before and after the surgery.
        obs, mask, starts: of the new env, `[T, N, ...]`, bool `[T, N, M]` or None, bool `[T, N]`.
        old_layout, new_layout: of the observations of each.

    Returns:
        of "log_probs" (of the old choices, where they are legal; of Box actions their means), "values" (as a share of
        themselves and 1) and "memory".
    """
    shown, allowed = obs, mask
    if obs.dim() == 3 and obs.is_floating_point():
        shown = obs[..., places("observations", columns_of(old_layout, old), columns_of(new_layout, new))]
    if mask is not None:
        allowed = mask[..., places("masks", mask_names(old.heads), mask_names(new.heads))]
    num_envs = starts.shape[1]
    was, old_value, old_memory = old(shown, allowed, old.initial_memory(num_envs), starts)
    now, new_value, new_memory = new(obs, mask, new.initial_memory(num_envs), starts)
    pairs = zip(_said(was, old.heads), _said(now, old.heads), strict=True)
    return {
        "log_probs": max(_largest((a - b)[a > LOWEST / 2]) for a, b in pairs),
        "values": _largest((old_value - new_value) / (1 + old_value.abs())),
        "memory": _largest(old_memory - new_memory[:, memory_places(old, new)]),
    }


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _said(dist: Any, heads: Any) -> list[Tensor]:
    """What a distribution says of the choices that `heads` know."""
    if isinstance(dist, Gaussian):
        return [dist.mean[..., : heads.num_outputs]]
    if isinstance(dist, Categorical):
        return [_of_legal(dist, heads.sizes[0])]
    said = [_of_legal(dist.verb, heads.sizes[0])]
    for verb in range(heads.sizes[0]):
        later = dist.later(torch.full(dist.verb.logits.shape[:-1], verb))
        used = [table[verb] >= 0 for table in heads.kinds]
        said += [_of_legal(part, size) for (_, part), size, on in zip(later, heads.sizes[1:], used, strict=True) if on]
    return said


def _of_legal(choice: Categorical, count: int) -> Tensor:
    """Log-probabilities `[..., count]`, `LOWEST` for illegal ones."""
    return torch.where(choice.logits > LOWEST / 2, choice.log_probs, LOWEST)[..., :count]
