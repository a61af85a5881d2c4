"""What a trained policy of any algorithm says of an observation: its best action, and what that was chosen by."""

from typing import Any

import torch
from torch import Tensor

from agents.distributions import Gaussian, Parts


def outputs(policy: Any, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> dict[str, Tensor]:
    """A pure function of tensors: nothing is drawn, nothing is changed.

    Args:
        policy: of any of the algorithms.
        obs: encoded observations (agents/encoding.py), `[N, *shape]`.
        mask: bool `[N, M]`, what is legal, or None.
        memory: `[N, m]`, of what was seen before; only PPO's policies with a memory look at it.
        starts: bool `[N]`: `obs` begins an episode.

    Returns:
        "action": int64 `[N, ...]`, or float32 `[N, d]` that may lie beyond the bounds of a PPO policy's Box.
        "logits" `[N, ...]`, those of illegal choices of a first part far down; "values" `[N, n]`, those of illegal
        actions -inf; or "mean" `[N, d]` for a Box.
        "value" `[N]` and "next_memory" `[N, m]`, where the policy has them.
    """
    if hasattr(policy, "heads"):
        return _of_actor_critic(policy, obs, mask, memory, starts)
    if hasattr(policy, "center"):
        action = policy.scaled(policy(obs))
        return {"action": action, "mean": action}
    values = policy.values(policy.states(obs)) if hasattr(policy, "states") else policy(obs)
    values = values if mask is None else values.masked_fill(~mask, -torch.inf)
    return {"action": values.argmax(dim=-1) + policy.first_action, "values": values}


def _of_actor_critic(
    policy: Any, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor
) -> dict[str, Tensor]:
    distribution, value, later = policy.step(obs, mask, memory, starts)
    found = {"action": distribution.mode()}
    if isinstance(distribution, Gaussian):
        found["mean"] = distribution.mean
    elif isinstance(distribution, Parts):
        found["logits"] = torch.cat([distribution.verb.logits, *distribution.logits], dim=-1)
    else:
        found["logits"] = distribution.logits
    found["value"] = value
    return found | ({} if policy.remember is None else {"next_memory": later})
