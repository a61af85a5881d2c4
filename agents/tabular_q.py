"""Q-learning, SARSA and their kin with a table, over a batch of worlds; with one world each is the textbook's.

Each step of the batch is learned from before the next is taken:

    Q(s, a) <- Q(s, a) + rate * (r + gamma * V(s') - Q(s, a))

where the term with s' falls away if the episode terminated there, but stays if it was only truncated. `Config.target`
says what V is (Sutton and Barto, "Reinforcement learning", 2018, chapter 6):

    q               max_b Q(s', b)                           Q-learning (Watkins, 1989)
    double          Q2(s', argmax_b Q1(s', b))               double Q-learning (van Hasselt, 2010): of two tables a coin
                                                             says for each row which is Q1, and learns; their mean acts
    sarsa           Q(s', b), b the action taken there       SARSA (Rummery and Niranjan, 1994)
    expected_sarsa  sum_b share of b in s' * Q(s', b)        expected SARSA (van Seijen et al., 2009)

Several rows may meet the same pair (s, a) in one step: the k of them move its value as far as k textbook updates
towards the mean of their targets would, 1 - (1 - rate_1) ... (1 - rate_k) of the way. The result does not depend on the
order of the rows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from agents import checks, schedules
from agents.networks import copied
from agents.rollout import Collector, Rollout, placed
from agents.schedules import Schedule
from agents.table_policy import TablePolicy
from agents.table_policy import check_spaces as check_spaces


@dataclass(frozen=True)
class Config:
    """How to learn a table. The defaults suit small deterministic worlds; chance wants a learning rate that decays.

    A field that says "schedule" also takes one, such as linear:1:0.1 (agents/schedules.py).
    """

    total_timesteps: int = 200_000
    """Steps to learn from, over all worlds."""
    seed: int = 0
    """Seed of the worlds and of the exploration."""
    num_envs: int = 16
    """Worlds stepped in parallel; 1 is the textbook's form."""
    num_steps: int = 128
    """Steps per world in each iteration, after which progress is reported; learning happens after every step."""
    target: Literal["q", "double", "sarsa", "expected_sarsa"] = "q"
    """What the next state is worth: the value of its best action (q), the same by two tables (double),
    of the action taken next (sarsa), or the mean over actions as they are explored (expected_sarsa)."""
    learning_rate: float = 0.5
    """Learning rate of a pair (state, action) at its first visit."""
    rate_decay: float = 0.0
    """The learning rate at the n-th visit is learning_rate / n**rate_decay: 0 keeps it constant, 0.5 to 1 averages."""
    gamma: float = 0.99
    """Discount factor per step."""
    exploration: Literal["epsilon", "visits"] = "epsilon"
    """How the agent explores: by random actions (epsilon), or by a bonus for what was rarely tried (visits)."""
    visit_bonus: float = 1.0
    """With exploration "visits": weight of the bonus, in units of the return;
    the bonus is sqrt(ln(tries of all actions) / tries of this one)."""
    epsilon: Schedule = "linear:1:0.05:0.5"
    """Probability of a random action (schedule)."""
    initial_value: float = 0.0
    """Initial value of every pair; above what is possible it makes the agent try everything."""

    def __post_init__(self) -> None:
        checks.kinds(self)
        checks.numbers(self, "total_timesteps num_envs num_steps", low=1)
        checks.numbers(self, "learning_rate gamma epsilon", 0, 1)
        checks.numbers(self, "rate_decay visit_bonus", low=0)
        checks.numbers(self, "initial_value")
        if self.target == "expected_sarsa" and self.exploration == "visits":
            raise ValueError('target "expected_sarsa" needs exploration "epsilon", whose shares are known; use "sarsa"')


def make_policy(envs: Any, config: Config) -> TablePolicy:
    """An untrained policy for the spaces of envs."""
    return TablePolicy(envs.single_observation_space, envs.single_action_space, config)


class TrainState:
    """Everything that training changes."""

    def __init__(self, envs: Any, config: Config, device: str = "cpu") -> None:
        self.policy = make_policy(envs, config).to(device)
        self.collector = Collector(envs, device=device, seed=config.seed)
        checks.mask_columns(self.collector.masks.num_columns, self.policy.tables.shape[-1])
        self.generator = torch.Generator(device).manual_seed(config.seed)
        self.next_actions = torch.zeros(envs.num_envs, dtype=torch.int64, device=device)
        """int64 `[N]`: chosen already, for each row whose episode goes on; SARSA's only."""
        self.global_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON scalars, nested."""
        return {
            "policy": copied(self.policy),
            "collector": self.collector.state_dict(),
            "generator": self.generator.get_state(),
            "next_actions": self.next_actions.clone(),
            "global_step": self.global_step,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.policy.load_state_dict(saved["policy"])
        self.collector.load_state_dict(saved["collector"])
        self.generator.set_state(saved["generator"])
        self.next_actions.copy_(saved["next_actions"])
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
        actions, memory = policy.act(obs, mask, memory, starts, generator=state.generator)
        if config.target == "sarsa":
            actions = torch.where(starts, actions, state.next_actions)
        return actions, memory, {}

    while state.global_step < config.total_timesteps:
        before, error = state.global_step, 0.0
        for _ in range(min(config.num_steps, math.ceil((config.total_timesteps - before) / envs.num_envs))):
            policy.epsilon.fill_(schedules.value(config.epsilon, state.global_step / config.total_timesteps))
            collector.collect(act, rollout)
            error += update(state, rollout, config)
            state.global_step += int(rollout.valid.sum())
        metrics = {
            "losses/td_error": error / max(1, state.global_step - before),
            "charts/epsilon": float(policy.epsilon),
            "charts/coverage": float((policy.visits > 0).float().mean()),
        }
        yield metrics | collector.episode_metrics()


def update(state: TrainState, rollout: Rollout, config: Config) -> float:
    """Learns from a rollout of one step; returns the sum of the absolute temporal-difference errors.

    SARSA's next actions are chosen here, by the values that the update sees, and taken in the next step. Where an
    episode was truncated the action is one that would have been taken.
    """
    policy, drawn = state.policy, None
    if config.target == "sarsa":
        next_obs, mask = rollout.next_obs()[0], next_mask(policy, rollout)
        drawn, _ = policy.act(next_obs, mask, rollout.memory, rollout.starts[1], generator=state.generator)
        state.next_actions = drawn
    elif config.target == "double":
        drawn = torch.randint(2, rollout.valid[0].shape, generator=state.generator, device=policy.tables.device)
    simplest = config.target == "q" and len(rollout.valid[0]) == 1 and rollout.action_mask is None
    if simplest and not policy.tables.is_cuda:
        return _update_one(policy, rollout, config)
    return _update_batch(policy, rollout, config, drawn)


def _update_one(policy: TablePolicy, rollout: Rollout, config: Config) -> float:
    """The textbook's Q-learning: one world, one transition."""
    if not rollout.valid[0]:
        return 0.0
    table, counts = policy.tables[0].numpy(), policy.counts[0].numpy()
    state = int(policy.states(rollout.obs[0]))
    action = int(rollout.actions[0]) - policy.first_action
    target = float(rollout.rewards[0])
    if not rollout.terminated[0]:
        target += config.gamma * float(table[int(policy.states(rollout.next_obs()[0]))].max())
    counts[state, action] += 1
    rate = config.learning_rate / float(counts[state, action]) ** config.rate_decay
    error = target - float(table[state, action])
    table[state, action] += rate * error
    return abs(error)


def _update_batch(policy: TablePolicy, rollout: Rollout, config: Config, drawn: Tensor | None = None) -> float:
    """All rows at once, those of the same pair together.

    `drawn` int64 `[N]`: SARSA's next actions, or which of two tables learns.
    """
    tables, counts, valid = policy.tables.view(-1), policy.counts.view(-1), rollout.valid[0]
    _, num_states, num_actions = policy.tables.shape
    states = policy.states(rollout.obs[0])
    pairs = states * num_actions + rollout.actions[0] - policy.first_action
    if config.target == "double" and drawn is not None:
        pairs = pairs + drawn * (num_states * num_actions)
    if rollout.action_mask is not None:
        policy.legal[states] = rollout.action_mask[0]
    next_values = _next_values(policy, rollout, config.target, drawn).masked_fill(rollout.terminated[0], 0)
    values = tables[pairs]
    errors = (rollout.rewards[0] + config.gamma * next_values - values).masked_fill(~valid, 0)
    hits = _total(policy.scratch, pairs, valid.float())
    mean_errors = _total(policy.scratch, pairs, errors) / hits.clamp(min=1)
    before = counts[pairs]
    counts[pairs] = before + hits.long()
    if config.rate_decay:
        rates = config.learning_rate / (before + _places(pairs, valid)) ** config.rate_decay
        left = _total(policy.scratch, pairs, torch.log1p(-rates).masked_fill(~valid, 0)).exp()
    else:
        left = (1 - config.learning_rate) ** hits
    tables[pairs] = values + (1 - left) * mean_errors
    return float(errors.abs().sum())


def _places(pairs: Tensor, valid: Tensor) -> Tensor:
    """For each valid row its place, from 1, among the valid rows of the same pair; int64 `[N]`."""
    pairs = torch.where(valid, pairs, -1)
    order = pairs.argsort(stable=True)
    ordered = pairs[order]
    numbers = torch.arange(1, len(pairs) + 1, device=pairs.device)
    return torch.empty_like(pairs).scatter_(0, order, numbers - torch.searchsorted(ordered, ordered))


def _next_values(policy: TablePolicy, rollout: Rollout, target: str, drawn: Tensor | None) -> Tensor:
    """V of the states that a rollout of one step led to, `[N]`."""
    states, mask = policy.states(rollout.next_obs()[0]), next_mask(policy, rollout)
    if target == "double" and drawn is not None:
        learning = policy.tables[drawn, states]
        best = (learning if mask is None else learning.masked_fill(~mask, -torch.inf)).argmax(dim=1)
        return policy.tables[1 - drawn, states, best]
    values = policy.values(states, mask)
    if target == "sarsa" and drawn is not None:
        return values.gather(1, drawn[:, None] - policy.first_action).squeeze(1)
    best = values.amax(dim=1)
    if target == "q":
        return best
    legal = values > -torch.inf
    mean = values.masked_fill(~legal, 0).sum(dim=1) / legal.sum(dim=1)
    return torch.lerp(best, mean, policy.epsilon)


def next_mask(policy: TablePolicy, rollout: Rollout) -> Tensor | None:
    """What is legal where a rollout of one step led, bool `[N, num_actions]`; where it ended, as seen there before."""
    if rollout.action_mask is None:
        return None
    legal = policy.legal[policy.states(rollout.final_obs)]
    if rollout.final_mask is not None:
        legal = legal & rollout.final_mask
    mask = placed(rollout.action_mask[1:], rollout.final_index, legal)[0]
    return mask | ~mask.any(dim=1, keepdim=True)


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
