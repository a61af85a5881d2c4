"""Tabular Q-learning (Watkins, 1989) over a batch of worlds; with `num_envs=1` it is the textbook's algorithm.

Each step of the batch is learned from before the next is taken:

    Q(s, a) <- Q(s, a) + rate * (r + gamma * max_b Q(s', b) - Q(s, a))

where the term with s' falls away if the episode terminated there, but stays if it was only truncated. Several rows may
meet the same pair (s, a) in one step: the k of them move its value as far as k textbook updates towards the mean of
their targets would, 1 - (1 - rate)^k of the way. The result does not depend on the order of the rows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.encoding import discrete_parts
from agents.rollout import Collector, Rollout

MAX_ENTRIES = 1 << 28
"""A table larger than this (1 GiB of float32) is refused."""


@dataclass(frozen=True)
class Config:
    """How to learn a table. The defaults suit small deterministic worlds; chance wants a learning rate that decays."""

    total_timesteps: int = 200_000
    """Steps to learn from, all worlds together."""
    seed: int = 0
    """Of the worlds and of the exploration."""
    num_envs: int = 16
    """Worlds side by side; 1 is the textbook's form."""
    num_steps: int = 128
    """Steps of each world in an iteration, after which progress is reported; learning happens after every step."""
    learning_rate: float = 0.5
    """The rate of a pair (state, action) at its first visit."""
    rate_decay: float = 0.0
    """The rate at the n-th visit is learning_rate / n**rate_decay: 0 keeps it constant, 0.5 to 1 averages."""
    gamma: float = 0.99
    """Discount of the next state's value."""
    epsilon_start: float = 1.0
    """Share of random actions at first."""
    epsilon_end: float = 0.05
    """Share of random actions at last."""
    exploration_fraction: float = 0.5
    """Part of total_timesteps in which the share falls in a straight line from first to last."""
    initial_value: float = 0.0
    """What the table says of pairs never tried; above what is possible it makes the agent try everything."""

    def __post_init__(self) -> None:
        for name in ("total_timesteps", "num_envs", "num_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "gamma", "epsilon_start", "epsilon_end", "exploration_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.rate_decay < 0:
            raise ValueError(f"rate_decay must be at least 0, got {self.rate_decay}")


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
    """A value for every pair (state, action), and a choice by it: the best action, or a random one now and then.

    Of equal values the lowest action is the best. An action that a mask has ruled out in a state has the value -inf.
    Buffers: `table` float32 and `visits` int64 `[num_states, num_actions]`, `epsilon` float32 `[]`, the share of random
    actions.
    """

    table: Tensor
    visits: Tensor
    epsilon: Tensor
    scratch: Tensor
    strides: Tensor
    first_state: Tensor

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, config: Config) -> None:
        check_spaces(observation_space, action_space)
        super().__init__()
        assert isinstance(action_space, spaces.Discrete)
        sizes, first = zip(*(discrete_parts(observation_space) or ()), strict=True)
        shape = (int(np.prod(sizes)), int(action_space.n))
        self.first_action = int(action_space.start)
        self.as_is = len(sizes) == 1 and first[0] == 0
        self.register_buffer("table", torch.full(shape, config.initial_value))
        self.register_buffer("visits", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("epsilon", torch.tensor(config.epsilon_start))
        self.register_buffer("scratch", torch.zeros(shape[0] * shape[1]), persistent=False)
        strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("first_state", torch.tensor(first), persistent=False)

    def states(self, obs: Tensor) -> Tensor:
        """The table's row for each observation: `[N]` or `[N, parts]` -> int64 `[N]`."""
        if self.as_is:
            return obs.view(-1)
        return ((obs.reshape(len(obs), -1).long() - self.first_state) * self.strides).sum(dim=1)

    def initial_memory(self, num_envs: int) -> Tensor:
        """Nothing to remember: `[num_envs, 0]`."""
        return torch.zeros(num_envs, 0, device=self.table.device)

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
        values = self.table[self.states(obs)]
        if mask is not None:
            values = values.masked_fill(~mask, -torch.inf)
        actions = values.argmax(dim=1)
        if not deterministic:
            draws = torch.rand(2, len(obs), generator=generator, device=values.device)
            actions = torch.where(draws[0] < self.epsilon, self._random(draws[1], mask), actions)
        return actions + self.first_action, memory

    def _random(self, draws: Tensor, mask: Tensor | None) -> Tensor:
        """A legal action for each number `[N]` in [0, 1), each as likely as the others."""
        if mask is None:
            return (draws * self.table.shape[1]).long()
        return (mask.cumsum(dim=1) <= draws[:, None] * mask.sum(dim=1, keepdim=True)).sum(dim=1)


def make_policy(
    observation_space: spaces.Space, action_space: spaces.Space, config: Config, action_layout: Any = None
) -> TablePolicy:
    """An untrained policy. `action_layout` is not needed: a Discrete action has one part."""
    return TablePolicy(observation_space, action_space, config)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        self.policy = make_policy(envs.single_observation_space, envs.single_action_space, config).to(device)
        self.optimizer = None
        self.collector = Collector(envs, device=device, seed=config.seed)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.global_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        return {
            "policy": self.policy.state_dict(),
            "collector": self.collector.state_dict(),
            "generator": self.generator.get_state(),
            "global_step": self.global_step,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.policy.load_state_dict(saved["policy"])
        self.collector.load_state_dict(saved["collector"])
        self.generator.set_state(saved["generator"])
        self.global_step = int(saved["global_step"])


def learn(envs: Any, config: Config, state: TrainState | None = None) -> Iterator[dict[str, float]]:
    """Learns until `config.total_timesteps`; one yield an iteration of `num_steps` steps of every world.

    Args:
        envs: what `envs.make_vec` gives, or any Gymnasium vector env whose spaces pass `check_spaces`.
        config: how.
        state: where to go on from; None begins anew.

    Yields:
        "charts/episodic_return", "charts/episodic_length" (means over episodes that ended, absent if none did),
        "charts/epsilon", "losses/td_error" (mean absolute temporal-difference error), "charts/coverage" (share of the
        table's pairs tried so far).
    """
    state = state or TrainState(envs, config)
    policy, collector = state.policy, state.collector
    rollout = collector.new_rollout(1)

    def act(obs: Tensor, mask: Tensor | None, memory: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, dict]:
        return *policy.act(obs, mask, memory, starts, generator=state.generator), {}

    while state.global_step < config.total_timesteps:
        before, error = state.global_step, 0.0
        for _ in range(min(config.num_steps, math.ceil((config.total_timesteps - before) / envs.num_envs))):
            policy.epsilon.fill_(epsilon_at(config, state.global_step))
            collector.collect(act, rollout)
            error += update(policy, rollout, config)
            state.global_step += int(rollout.valid.sum())
        metrics = {
            "losses/td_error": error / max(1, state.global_step - before),
            "charts/epsilon": float(policy.epsilon),
            "charts/coverage": float((policy.visits > 0).float().mean()),
        }
        yield metrics | collector.episode_metrics()


def epsilon_at(config: Config, global_step: int) -> float:
    """The share of random actions after so many steps."""
    progress = min(1.0, global_step / max(1.0, config.exploration_fraction * config.total_timesteps))
    return config.epsilon_start + progress * (config.epsilon_end - config.epsilon_start)


def update(policy: TablePolicy, rollout: Rollout, config: Config) -> float:
    """Learns from a rollout of one step; returns the sum of the absolute temporal-difference errors."""
    one_world = len(rollout.valid[0]) == 1 and not policy.table.is_cuda and rollout.action_mask is None
    return (_update_one if one_world else _update_batch)(policy, rollout, config)


def _update_one(policy: TablePolicy, rollout: Rollout, config: Config) -> float:
    """The textbook's form: one world, one transition."""
    if not rollout.valid[0]:
        return 0.0
    table, visits = policy.table.numpy(), policy.visits.numpy()
    state = int(policy.states(rollout.obs[0]))
    action = int(rollout.actions[0]) - policy.first_action
    target = float(rollout.rewards[0])
    if not rollout.terminated[0]:
        target += config.gamma * float(table[int(policy.states(rollout.next_obs()[0]))].max())
    visits[state, action] += 1
    rate = config.learning_rate / float(visits[state, action]) ** config.rate_decay
    error = target - float(table[state, action])
    table[state, action] += rate * error
    return abs(error)


def _update_batch(policy: TablePolicy, rollout: Rollout, config: Config) -> float:
    """The same for all rows at once; those of the same pair are taken together."""
    table, visits, valid = policy.table.view(-1), policy.visits.view(-1), rollout.valid[0]
    states, next_states = policy.states(rollout.obs[0]), policy.states(rollout.next_obs()[0])
    pairs = states * policy.table.shape[1] + rollout.actions[0] - policy.first_action
    if rollout.action_mask is not None:
        policy.table[states] = policy.table[states].masked_fill(~rollout.action_mask[0], -torch.inf)
    next_values = policy.table[next_states].amax(dim=1)
    targets = rollout.rewards[0] + config.gamma * next_values.masked_fill(rollout.terminated[0], 0)
    values = table[pairs]
    errors = (targets - values).masked_fill(~valid, 0)
    hits = _total(policy.scratch, pairs, valid.float())
    mean_errors = _total(policy.scratch, pairs, errors) / hits.clamp(min=1)
    visits[pairs] = visited = visits[pairs] + hits.long()
    rates = config.learning_rate / visited.clamp(min=1) ** config.rate_decay
    table[pairs] = values + (1 - (1 - rates) ** hits) * mean_errors
    return float(errors.abs().sum())


def _total(scratch: Tensor, pairs: Tensor, values: Tensor) -> Tensor:
    """For each row the sum of `values` `[N]` over all rows of the same pair; `scratch` is zero before and after.

    Sums in the order of the rows on the CPU, by sorting on CUDA, so that it gives the same bits each time.
    """
    if scratch.is_cuda:
        scratch.index_put_((pairs,), values, accumulate=True)
    else:
        scratch.index_add_(0, pairs, values)
    totals = scratch[pairs]
    scratch[pairs] = 0
    return totals
