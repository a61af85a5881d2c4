"""Frozen policies of one make, acting together: their weights side by side, one batched forward pass for all rows."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


def make_of(policy: Any) -> Any:
    """Equal for policies that can act in one pass: modules of one class and kind with tensors of the same shapes."""
    if not _stacks(policy):
        return id(policy)
    shapes = tuple((name, tuple(value.shape)) for name, value in policy.state_dict().items())
    return type(policy), policy.kind, shapes


def _stacks(policy: Any) -> bool:
    return isinstance(policy, nn.Module) and hasattr(policy, "heads")


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
        policies: one or more; `enlist` says who plays.
        num_envs: rows of the batch that they play in.
        device: where the policies are.
        fixed: always the same operations on the same tensors, so that a CUDA graph can hold them: there is room for as
            many policies, and for each as many rows, as there ever were, and empty places act too.

    Attributes:
        policies: in the order of their numbers here.
        memory: `[num_envs, m]`; a row's belongs to whoever plays it.
        room: what must not change where it is fixed: places for policies, rows a policy, numbers of owners.
    """

    def __init__(self, policies: Sequence[Any], num_envs: int, device: torch.device, fixed: bool = False) -> None:
        self.memory = policies[0].initial_memory(num_envs).to(device)
        self.policies: list[Any] = []
        self.device, self.fixed = device, fixed
        self.room: tuple[int, ...] = (0, 0, 0)
        self.member = torch.zeros(0, dtype=torch.int64, device=device)

    @torch.no_grad()
    def enlist(self, policies: Sequence[Any], numbers: Sequence[int], longest: int) -> None:
        """Replaces the policies; rows keep their memory.

        Args:
            policies: one or more of this make.
            numbers: by owner's number, which of the policies that is; -1: none.
            longest: rows that any of them will play at most.
        """
        room = (len(policies), longest, len(numbers))
        if self.fixed:
            room = tuple(map(max, room, self.room))
        self.policies = list(policies)
        member = torch.tensor([*numbers, *[-1] * (room[2] - len(numbers))], device=self.device)
        if room != self.room:
            self.room, self.member = room, member
            if _stacks(policies[0]):
                self._stack([*policies, *[policies[0]] * (room[0] - len(policies))])
            return
        self.member.copy_(member)
        for place, policy in enumerate(policies if _stacks(policies[0]) else ()):
            acting = Acting(policy)
            for weights, named in zip(self.stacked, (acting.named_parameters(), acting.named_buffers()), strict=True):
                for name, value in named:
                    weights[name][place].copy_(value)

    def _stack(self, policies: Sequence[Any]) -> None:
        self.stacked = stack_module_state([Acting(policy) for policy in policies])  # pyright: ignore
        self.template = Acting(copy.deepcopy(policies[0]))
        for module in self.template.modules():
            if hasattr(module, "fused"):
                module.fused = False  # pyright: ignore
        self.call = vmap(self._call, in_dims=(0, 0, 0, None, 0, 0, 0), randomness="error")
        self.call_masked = vmap(self._call, randomness="error")

    def _call(self, weights: Any, buffers: Any, obs: Any, mask: Any, memory: Any, starts: Any, noise: Any) -> Any:
        return functional_call(self.template, (weights, buffers), (obs, mask, memory, starts, noise))

    def act(
        self, owner: Tensor, actions: Tensor, obs: Tensor, mask: Tensor | None, starts: Tensor,
        generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """Actions with those of this crowd in its rows' places; its memory goes a step on.

        Args:
            owner: int64 `[num_envs]`: the number of each row's player.
            actions, obs, mask, starts: `[num_envs, ...]`, of all rows.
            generator: noise for all rows is drawn from it, the same whether policies act together or alone.
        """
        member, noise = self.member[owner], None
        if _stacks(self.policies[0]):
            noise = self.policies[0].heads.noise((len(owner),), generator, obs.device)
        if self.fixed:
            acted, later = self._play(member, obs, mask, self.memory, starts, noise, generator)
            self.memory.copy_(torch.where((member >= 0).unsqueeze(1), later, self.memory))
            mine = (member >= 0).view(-1, *[1] * (actions.dim() - 1))
            return torch.where(mine, acted.to(actions.dtype), actions)
        rows = (member >= 0).nonzero().flatten()
        if not len(rows):
            return actions
        inputs = (member, obs, mask, self.memory, starts, noise)
        seen: list[Any] = [None if x is None else x[rows] for x in inputs]
        actions = actions.clone()
        actions[rows], self.memory[rows] = self._play(*seen, generator=generator)
        return actions

    def _play(
        self, member: Tensor, obs: Any, mask: Any, memory: Any, starts: Any, noise: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Actions and memory of some rows, each as its member would; of rows of no member something."""
        one = self.policies[0]
        if not _stacks(one):
            return one.act(obs, mask, memory, starts, generator=generator)
        if len(self.policies) == 1 and not self.fixed:
            return one.act(obs, mask, memory, starts, noise=noise)
        longest = self.room[1] if self.fixed else int(torch.bincount(member).max())
        table, place = by_member(member, self.room[0], longest)
        masked = None if mask is None else mask[table]
        call = self.call if mask is None else self.call_masked
        actions, later = call(*self.stacked, obs[table], masked, memory[table], starts[table], noise[table])
        return actions[member, place], later[member, place]


def by_member(member: Tensor, num_members: int, longest: int) -> tuple[Tensor, Tensor]:
    """Rows sorted into one line a member, without waiting for a device.

    Args:
        member: int64 `[n]`: whose each row is; -1: nobody's.
        num_members: lines.
        longest: length of a line, no less than any member's number of rows.

    Returns:
        int64 `[num_members, longest]`, filled up with row 0, and each row's place in its line, int64 `[n]`.
    """
    rows = torch.arange(len(member), device=member.device)
    line = torch.where(member >= 0, member, num_members)
    counts = torch.zeros(num_members + 1, dtype=torch.int64, device=member.device).index_add_(
        0, line, torch.ones_like(line)
    )
    order = line.argsort(stable=True)
    place = torch.empty_like(line).scatter_(0, order, rows - (counts.cumsum(0) - counts)[line[order]])
    place = place.clamp_(max=longest - 1)
    table = torch.zeros(num_members + 1, longest, dtype=torch.int64, device=member.device)
    table.view(-1).scatter_(0, line * longest + place, rows)
    return table[:-1], place
