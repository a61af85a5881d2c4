"""Advantages and returns of a rollout."""

import torch
from torch import Tensor


def next_values(values: Tensor, final_index: Tensor, final_values: Tensor) -> Tensor:
    """The value of what each step led to.

    Args:
        values: `[T + 1, N]`, of the observations that actions were chosen from.
        final_index: int64 `[K]`, t * N + n of rows that ended; T * N is nowhere.
        final_values: `[K]`, of their final observations.

    Returns:
        `[T, N]`.
    """
    following = torch.cat([values[1:].flatten(), values.new_zeros(1)])
    following[final_index] = final_values
    return following[:-1].view_as(values[1:])


def gae(
    rewards: Tensor,
    values: Tensor,
    following: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float | Tensor,
    lam: float | Tensor,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al., arXiv 1506.02438, eq. 16).

    A terminated step has no future; a truncated one has its final observation's value (Pardo et al., arXiv 1712.00378);
    either cuts the sum. Rows that a rollout calls invalid get numbers that mean nothing and reach no valid row.

    Args:
        rewards: `[T, N]`.
        values: `[T, N]`, of the observations acted on.
        following: `[T, N]`, of what the steps led to, see `next_values`.
        terminated, truncated: bool `[T, N]`.
        gamma: discount a step.
        lam: lambda, weight of longer returns.

    Returns:
        `[T, N]`; add `values` for the lambda-returns.
    """
    deltas = torch.addcmul(rewards, following, (~terminated).float().mul_(gamma)).sub_(values)
    decay = (~(terminated | truncated)).float().mul_(gamma * lam)
    advantages = torch.empty_like(deltas)
    running = torch.zeros_like(deltas[0])
    for delta, keep, out in reversed(list(zip(deltas.unbind(), decay.unbind(), advantages.unbind(), strict=True))):
        running = torch.addcmul(delta, keep, running, out=out)
    return advantages
