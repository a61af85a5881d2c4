"""What the targets of tabular Q are: by hand, beside the textbook's loop, and by dynamic programming."""

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import envs
from agents import tabular_q
from agents.tabular_q import Config, TrainState
from envs.gridworld import world
from envs.gridworld.model import action_values, optimal_values, policy_value, transition_model
from tests.agents.test_tabular_q import GRID, filled, gymnasium_model, train, transitions
from tests.probe_envs import Scripted, TorchProbe, sync

TABLE = [[1.0, 2.0], [3.0, 8.0], [5.0, 6.0], [7.0, 4.0]]
ROWS = [(0, 0, 1.0, 1, False, False), (2, 1, 1.0, 1, True, False), (3, 0, 1.0, 2, False, True)]


def updated(config: Config, **fields: Any) -> tuple[Any, Any]:
    """The policy and the state after one update with `ROWS`."""
    policy = filled(config, TABLE)
    policy.epsilon.fill_(0.5)
    state: Any = SimpleNamespace(policy=policy, generator=torch.Generator().manual_seed(0), **fields)
    tabular_q.update(state, transitions(ROWS), config)
    return policy, state


def test_expected_sarsa_by_hand() -> None:
    """With half of the actions random: 0.5 max + 0.5 mean; nothing after a termination."""
    policy, _ = updated(Config(target="expected_sarsa", learning_rate=1.0, gamma=0.9))
    first, third = 1 + 0.9 * (0.5 * 8 + 0.5 * 5.5), 1 + 0.9 * (0.5 * 6 + 0.5 * 5.5)
    assert torch.allclose(policy.table, torch.tensor([[first, 2], [3, 8], [5, 1], [third, 4]]))


def test_sarsa_by_hand() -> None:
    """The values of the actions that it says it takes next, also where the episode was cut off."""
    policy, state = updated(Config(target="sarsa", learning_rate=1.0, gamma=0.9))
    first, third = (1 + 0.9 * TABLE[s][state.next_actions[row]] for row, s in ((0, 1), (2, 2)))
    assert torch.allclose(policy.table, torch.tensor([[first, 2], [3, 8], [5, 1], [third, 4]]))


def test_double_by_hand() -> None:
    """The table that the coin names chooses and learns, the other values; the other stays; their mean acts."""
    config = Config(target="double", learning_rate=1.0, gamma=0.9)
    for coin in (0, 1):
        policy = filled(config, TABLE)
        policy.tables[1 - coin, 1] = torch.tensor([-1.0, -2.0])
        before = policy.tables.clone()
        tabular_q._update_batch(policy, transitions(ROWS[:1]), config, torch.tensor([coin]))
        before[coin, 0, 0] = 1 + 0.9 * -2.0
        assert torch.allclose(policy.tables, before)
        assert policy.counts[coin, 0, 0] == policy.counts.sum() == 1
        assert policy.table[1].tolist() == [1.0, 3.0]
        action, _ = policy.act(torch.tensor([1]), None, torch.zeros(1, 0), torch.zeros(1), deterministic=True)
        assert action.item() == 1


@pytest.mark.parametrize("target", ["q", "double", "sarsa", "expected_sarsa"])
def test_what_is_not_legal_next_counts_for_nothing(target: Any) -> None:
    """The better action of the next state is ruled out: all targets are of the other, once the tables know it too."""
    config = Config(target=target, learning_rate=1.0, gamma=1.0)
    policy = filled(config, TABLE)
    policy.epsilon.fill_(1.0)
    mask = torch.tensor([[[True, True]], [[True, False]]])
    rollout = transitions(ROWS[:1], action_mask=mask, final_index=torch.zeros(0, dtype=torch.int64))
    rollout.obs[1] = 1
    state: Any = SimpleNamespace(policy=policy, generator=torch.Generator().manual_seed(0))
    tabular_q.update(state, rollout, config)
    assert policy.tables[:, 0, 0].max() == 1 + 3


def test_the_bonus_for_seldom_tried_actions() -> None:
    """UCB1 by hand: sqrt(ln(2 + 7 + 0 + 2) / tries); an untried action is worth more than any."""
    config = Config(exploration="visits", visit_bonus=2.0)
    policy = filled(config, TABLE)
    policy.counts[0, 0] = torch.tensor([7, 2])
    bonus = policy.curiosity(torch.tensor([0]), torch.zeros(1, 2))
    assert torch.allclose(bonus, torch.tensor([[(np.log(11) / 7) ** 0.5, (np.log(11) / 2) ** 0.5]]).float())
    policy.counts[0, 0] = torch.tensor([0, 10**6])
    policy.tables[0, 0] = torch.tensor([0.0, 1.0])
    action, _ = policy.act(torch.zeros(64).long(), None, torch.zeros(64, 0), torch.zeros(64))
    assert not action.any()


def test_visits_know_no_shares() -> None:
    with pytest.raises(ValueError, match='use "sarsa"'):
        Config(target="expected_sarsa", exploration="visits")


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_sarsa_is_the_textbooks_loop(mode: AutoresetMode, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one world the action learned from is the one taken next, and a loop in Python reaches the same table."""
    config = Config(target="sarsa", num_envs=1, num_steps=7, total_timesteps=200, learning_rate=0.5, gamma=0.9)
    env = sync(lambda: Scripted(0, (3, 5), ending, form="discrete"), mode=mode)
    steps: list[tuple] = []
    learned = tabular_q.update

    def spy(state: TrainState, rollout: Any, config: Config) -> float:
        error = learned(state, rollout, config)
        if rollout.valid[0]:
            row = (rollout.obs[0], rollout.actions[0], rollout.rewards[0], rollout.next_obs()[0], state.next_actions)
            ended = (rollout.terminated[0, 0], rollout.truncated[0, 0])
            steps.append((*(x.item() for x in (*row, *ended)),))
        return error

    monkeypatch.setattr(tabular_q, "update", spy)
    state = train(env, config)
    table = np.zeros((20, 3))
    for k, (s, a, reward, next_s, chosen, terminated, truncated) in enumerate(steps):
        if not (terminated or truncated) and k + 1 < len(steps):
            assert (next_s, chosen) == steps[k + 1][:2]
        table[s, a] += 0.5 * (reward + 0.9 * (not terminated) * table[next_s, chosen] - table[s, a])
    assert len(steps) == state.global_step >= 200
    assert np.allclose(state.policy.table, table, rtol=1e-5)


@pytest.mark.parametrize("target", ["q", "double", "sarsa", "expected_sarsa"])
def test_values_of_frozen_lake(target: Any) -> None:
    """Exploring at random, Q and double learn the optimal values, SARSA and expected SARSA those of random play."""
    config = Config(
        target=target, num_envs=256, total_timesteps=400_000, gamma=0.9, learning_rate=1.0, rate_decay=0.8,
        epsilon=1.0,
    )  # fmt: skip
    policy = train(envs.make_vec(GRID, 256, level="frozen_lake_4x4"), config).policy
    model = gymnasium_model(gymnasium.make("FrozenLake-v1"))
    values = optimal_values(model, 0.9)
    if "sarsa" in target:
        values = np.zeros(16)
        for _ in range(500):
            values = action_values(model, values, 0.9).mean(axis=1)
    tried = policy.visits.sum(dim=1) > 0
    errors = np.abs(policy.table.numpy() - action_values(model, values, 0.9))[tried]
    assert tried.sum() == 11  # all but the holes and the goal
    assert errors.mean() < (0.03 if target == "double" else 0.012)
    assert errors.max() < 0.07


@pytest.mark.parametrize(("target", "steps"), [("q", 13), ("sarsa", 15), ("expected_sarsa", 15)])
def test_sarsa_keeps_away_from_the_cliff(target: Any, steps: int) -> None:
    """Sutton and Barto, example 6.6: with a tenth of the actions random Q-learning walks along the edge all the same,
    SARSA a row above it, which is the best way as long as a tenth is random, by dynamic programming.
    """
    model = gymnasium_model(gymnasium.make("CliffWalking-v1"))
    values = np.zeros(model.num_states)
    for _ in range(1000):
        ahead = action_values(model, values)
        values = 0.9 * ahead.max(axis=1) + 0.1 * ahead.mean(axis=1)
    assert policy_value(model, ahead.argmax(axis=1), horizon=1000) == -15
    config = Config(
        target=target, num_envs=64, total_timesteps=150_000, gamma=1.0, learning_rate=1.0, rate_decay=0.6,
        epsilon=0.1,
    )  # fmt: skip
    policy = train(envs.make_vec(GRID, 64, level="cliff"), config).policy
    grid = transition_model(world("cliff"))  # the same world, its actions in another order
    assert policy_value(grid, policy.table.argmax(dim=1).numpy(), horizon=1000) == -steps


class Biased(TorchProbe):
    """Sutton and Barto's example 6.7, a world of its own for each row: from A right ends with 0, left leads to B.

    There each of ten actions ends with a reward drawn from N(-0.1, 1). Row k's A is state 2 k, its B is 2 k + 1.
    """

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.single_observation_space = spaces.Discrete(2 * num_envs)
        self.single_action_space = spaces.Discrete(10)
        self.in_b = torch.zeros(num_envs, dtype=torch.bool)

    def observe(self) -> tuple[torch.Tensor, torch.Tensor]:
        mask = self.in_b[:, None] | (torch.arange(10) < 2)
        return 2 * torch.arange(self.num_envs) + self.in_b, mask

    def begin(self, rows: torch.Tensor) -> None:
        self.in_b = self.in_b & ~rows

    def play(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = torch.randn(self.num_envs, generator=self.random) - 0.1
        ends = self.in_b | (actions == 1)
        rewards = torch.where(self.in_b, drawn, 0.0)
        self.in_b = ~ends
        return rewards, ends


def test_two_tables_overestimate_less() -> None:
    """A thousand learners each: whose value of B is too high goes left, where it loses."""
    lefts, bests = {}, {}
    for target in ("q", "double"):
        config = Config(
            target=target, num_envs=1000, total_timesteps=150_000, gamma=1.0, learning_rate=0.1,
            epsilon=0.1,
        )  # fmt: skip
        policy = train(Biased(1000), config).policy
        values = policy.table.view(1000, 2, 10)
        lefts[target] = float((values[:, 0, 0] >= values[:, 0, 1]).float().mean())
        bests[target] = float(policy.tables[0].view(1000, 2, 10)[:, 0, 0].mean())
    assert lefts["q"] > 2 * lefts["double"]
    assert bests["q"] > 0 > bests["double"]


@pytest.mark.parametrize("target", ["q", "double", "sarsa", "expected_sarsa"])
def test_what_was_once_illegal_keeps_its_value_till_it_is_legal_again(target: Any) -> None:
    """Of a state that two masks are told of: its values stay numbers, and the last mask is what the table shows."""
    config = Config(target=target, learning_rate=0.5, gamma=0.9)
    policy = filled(config, TABLE)
    state: Any = SimpleNamespace(policy=policy, generator=torch.Generator().manual_seed(0))
    for only in ([True, False], [True, True]):
        mask = torch.tensor([[only], [only]])
        rows = [(0, only.count(True) - 1, 1.0, 0, False, False)]
        rollout = transitions(rows, action_mask=mask, final_index=torch.zeros(0, dtype=torch.int64))
        tabular_q.update(state, rollout, config)
        assert policy.tables.isfinite().all()
        assert (policy.table[0] > -torch.inf).tolist() == only
    assert float(policy.tables[0, 0, 1]) != 2.0 or float(policy.tables[-1, 0, 1]) != 2.0
