"""Frozen policies of one make, acting together: their weights side by side, one batched forward pass for all rows."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


def make_of(policy: Any) -> Any:
    """Equal for policies that can act in one pass: modules of one class whose tensors have the same shapes."""
    if not isinstance(policy, nn.Module) or not hasattr(policy, "heads"):
        return id(policy)
    return type(policy), tuple((name, tuple(value.shape)) for name, value in policy.state_dict().items())


class Acting(nn.Module):
    """A policy whose `forward` is its `act`, with the noise given."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor, noise: Tensor) -> Any:
        """Actions and the next memory."""
        return self.policy.act(obs, mask, memory, starts, noise=noise)


class Crowd:
    """Policies that `make_of` calls equal, and what they remember in the rows that they play.

    Args:
        policies: one or more.
        num_envs: rows of the batch that they play in.
        device: where the policies are.

    Attributes:
        policies: in the order of their numbers here.
        memory: `[num_envs, m]`; a row's belongs to whoever plays it.
    """

    def __init__(self, policies: Sequence[Any], num_envs: int, device: torch.device) -> None:
        self.memory = policies[0].initial_memory(num_envs).to(device)
        self.enlist(policies)

    def enlist(self, policies: Sequence[Any]) -> None:
        """Replaces the policies; rows keep their memory."""
        self.policies = list(policies)
        if len(policies) > 1:
            self.stacked = stack_module_state([Acting(policy) for policy in policies])
            self.template = Acting(copy.deepcopy(policies[0]))
            for module in self.template.modules():
                if hasattr(module, "fused"):
                    module.fused = False  # pyright: ignore
            self.call = vmap(self._call, in_dims=(0, 0, 0, None, 0, 0, 0), randomness="error")
            self.call_masked = vmap(self._call, randomness="error")

    def _call(self, weights: Any, buffers: Any, obs: Any, mask: Any, memory: Any, starts: Any, noise: Any) -> Any:
        return functional_call(self.template, (weights, buffers), (obs, mask, memory, starts, noise))

    def act(
        self, member: Tensor, rows: Tensor, obs: Tensor, mask: Tensor | None, starts: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Actions of some rows, and their memory a step on.

        Args:
            member: int64 `[n]`: which of the policies plays each row.
            rows: int64 `[n]`: which rows these are.
            obs, mask, starts: `[num_envs, ...]`, of all rows.
            generator: the noise of actions is drawn from it, the same whether policies act together or alone.

        Returns:
            `[n, ...]`.
        """
        obs, starts, memory = obs[rows], starts[rows], self.memory[rows]
        mask = None if mask is None else mask[rows]
        if len(self.policies) == 1:
            actions, self.memory[rows] = self.policies[0].act(obs, mask, memory, starts, generator=generator)
            return actions
        noise = self.policies[0].heads.noise((len(rows),), generator, obs.device)
        table, place = _by_member(member, len(self.policies))
        masked = None if mask is None else mask[table]
        call = self.call if mask is None else self.call_masked
        actions, later = call(*self.stacked, obs[table], masked, memory[table], starts[table], noise[table])
        self.memory[rows] = later[member, place]
        return actions[member, place]


def _by_member(member: Tensor, num_members: int) -> tuple[Tensor, Tensor]:
    """Rows sorted into one line a member, int64 `[members, longest]` (filled up with row 0), and each row's place."""
    counts = torch.bincount(member, minlength=num_members)
    order = member.argsort(stable=True)
    place = torch.empty_like(member)
    place[order] = torch.arange(len(member), device=member.device) - (counts.cumsum(0) - counts)[member[order]]
    table = torch.zeros(num_members, int(counts.max()), dtype=torch.int64, device=member.device)
    table[member, place] = torch.arange(len(member), device=member.device)
    return table, place
