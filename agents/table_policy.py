"""A table of values as a policy: a row for each observation, a column for each action (tabular_q.py learns it)."""

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents import schedules
from agents.encoding import discrete_parts

MAX_ENTRIES = 1 << 28
"""A table larger than this (1 GiB of float32) is refused."""


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """Says whether a table can be learned.

    Raises:
        ValueError: observations that are no product of Discretes, actions that are not Discrete, or a table too large;
            it names the algorithms that fit.
    """
    others = "ddpg or ppo" if isinstance(action_space, spaces.Box) else "ppo"
    others = "dqn or ppo" if isinstance(action_space, spaces.Discrete) else others
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(f"tabular Q needs a Discrete action space, got {action_space}; use {others}")
    parts = discrete_parts(observation_space)
    if parts is None:
        raise ValueError(
            f"tabular Q needs Discrete observations or a product of them, got {observation_space}; use {others}"
        )
    entries = int(action_space.n) * int(np.prod([float(size) for size, _ in parts]))
    if entries > MAX_ENTRIES:
        raise ValueError(f"a table for {observation_space} has {entries} entries, {MAX_ENTRIES} at most; use {others}")


class TablePolicy(nn.Module):
    """A value for every pair (state, action), and a choice by it: the best action, or one to explore.

    Of equal values the lowest action is the best.
    Buffers: `tables` float32 and `counts` int64 `[1 or 2, num_states, num_actions]`, `legal` bool `[num_states,
    num_actions]`, what the last mask of a state allowed, `epsilon` float32 `[]`, the share of random actions.
    """

    tables: Tensor
    counts: Tensor
    legal: Tensor
    epsilon: Tensor
    scratch: Tensor
    strides: Tensor
    first_state: Tensor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: Any) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        assert isinstance(action_space, spaces.Discrete)
        sizes, first = zip(*(discrete_parts(observation_space) or ()), strict=True)
        shape = (2 if config.target == "double" else 1, int(np.prod(sizes)), int(action_space.n))
        self.first_action = int(action_space.start)
        self.as_is = len(sizes) == 1 and first[0] == 0
        self.visit_bonus = config.visit_bonus if config.exploration == "visits" else None
        self.register_buffer("tables", torch.full(shape, float(config.initial_value)))
        self.register_buffer("counts", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("legal", torch.ones(shape[1:], dtype=torch.bool))
        self.register_buffer("epsilon", torch.tensor(float(schedules.value(config.epsilon, 0))))
        self.register_buffer("scratch", torch.zeros(math.prod(shape)), persistent=False)
        strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("first_state", torch.tensor(first), persistent=False)

    @property
    def table(self) -> Tensor:
        """The values, `[num_states, num_actions]`; of two tables their mean; -inf where a mask ruled an action out."""
        return self.tables.mean(dim=0).masked_fill(~self.legal, -torch.inf)

    @property
    def visits(self) -> Tensor:
        """How often each pair was learned from, int64 `[num_states, num_actions]`."""
        return self.counts.sum(dim=0)

    def states(self, obs: Tensor) -> Tensor:
        """The table's row for each observation: `[N]` or `[N, parts]` -> int64 `[N]`."""
        if self.as_is:
            return obs.view(-1)
        return ((obs.reshape(obs.shape[0], -1).long() - self.first_state) * self.strides).sum(dim=1)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Nothing to remember: `[num_envs, 0]`."""
        return torch.zeros(num_envs, 0, device=self.tables.device)

    def act(
        self,
        obs: Tensor,
        mask: Tensor | None,
        memory: Tensor,
        starts: Tensor,
        *,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Actions int64 `[N]` for observations `[N, ...]`, legal where a mask bool `[N, num_actions]` is given."""
        states = self.states(obs)
        values = self.values(states, mask)
        if deterministic:
            actions = values.argmax(dim=1)
        elif self.visit_bonus is None:
            draws = torch.rand(2, len(obs), generator=generator, device=values.device)
            random = _random(draws[1], mask, values.shape[1])
            actions = torch.where(draws[0] < self.epsilon, random, values.argmax(dim=1))
        else:
            draws = torch.rand(values.shape, generator=generator, device=values.device)
            actions = (values + self.visit_bonus * self.curiosity(states, draws)).argmax(dim=1)
        return actions + self.first_action, memory

    def values(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """`[N, num_actions]` of states int64 `[N]`; of illegal actions -inf."""
        values = self.tables[0][states] if len(self.tables) == 1 else self.tables[:, states].mean(dim=0)
        return values if mask is None else values.masked_fill(~mask, -torch.inf)

    def curiosity(self, states: Tensor, draws: Tensor) -> Tensor:
        """UCB1's bonus (Auer et al., 2002) for each action, `[N, num_actions]`, sqrt(ln(sum of tries) / tries).

        Numbers `draws` in [0, 1) of the same shape are added to the tries: they break ties, and rows in the same state
        part.
        """
        tries = self.counts[:, states].sum(dim=0)
        return ((tries.sum(dim=1, keepdim=True) + 2).log() / (tries + draws).clamp(min=1e-6)).sqrt()


def _random(draws: Tensor, mask: Tensor | None, num_actions: int) -> Tensor:
    """A legal action for each number `[N]` in [0, 1), each as likely as the others."""
    if mask is None:
        return (draws * num_actions).long()
    return (mask.cumsum(dim=1) <= draws[:, None] * mask.sum(dim=1, keepdim=True)).sum(dim=1)
