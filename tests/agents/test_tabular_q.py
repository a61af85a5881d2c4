"""Tabular Q: the update by hand, exact values of what it learns, and the table's pictures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
from agents import tabular_q
from agents.rollout import Rollout
from agents.table_picture import table_figure, table_text
from agents.tabular_q import Config, TrainState, check_spaces, learn
from envs.gridworld import load_level, world
from envs.gridworld.model import Model, policy_value, transition_model

GRID = "quintet/GridWorld-v0"
FOUR = (spaces.Discrete(4), spaces.Discrete(2))
FROZEN_LAKE: dict[str, Any] = {"learning_rate": 1.0, "rate_decay": 0.6, "epsilon": "linear:1:0.3"}


def transitions(rows: list[tuple], **fields: Any) -> Rollout:
    """A rollout of one step from (state, action, reward, next_state, terminated, truncated) rows."""
    s, a, r, s2, terminated, truncated = (torch.tensor(column)[None] for column in zip(*rows, strict=True))
    given = {
        "obs": torch.cat([s, torch.zeros_like(s)]), "action_mask": None, "actions": a, "rewards": r.float(),
        "terminated": terminated, "truncated": truncated, "memory": torch.zeros(1, 0),
        "starts": torch.zeros(2, len(rows)).bool(),
        "valid": torch.ones_like(terminated), "extras": {}, "final_memory": torch.zeros(1, 0),
        "final_index": torch.arange(len(rows)), "final_obs": s2[0],
    }  # fmt: skip
    return Rollout(**{**given, **fields})


def filled(config: Config, values: list[list[float]]) -> tabular_q.TablePolicy:
    """A policy over four states and two actions with a given table."""
    policy = tabular_q.TablePolicy(*FOUR, config)
    policy.tables.copy_(torch.tensor(values))
    return policy


def update(policy: tabular_q.TablePolicy, rollout: Rollout, config: Config) -> float:
    """One update of a policy."""
    state: Any = SimpleNamespace(policy=policy, generator=torch.Generator())
    return tabular_q.update(state, rollout, config)


def train(env: Any, config: Config) -> TrainState:
    """Learns to the end."""
    state = TrainState(env, config)
    for _ in learn(env, config, state):
        pass
    return state


def greedy(state: TrainState) -> np.ndarray:
    """The best action of every state, `[num_states]`."""
    return state.policy.table.argmax(dim=1).numpy()


def gymnasium_model(env: Any) -> Model:
    """The env's own table P as a `Model`."""
    env = env.unwrapped
    rows = [(s, a, *outcome) for s, by in env.P.items() for a, outcomes in by.items() for outcome in outcomes]
    s, a, probability, next_state, reward, terminated = map(np.array, zip(*rows, strict=True))
    return Model(s, a, next_state, probability, reward, terminated, np.asarray(env.initial_state_distrib))


def test_update_by_hand():
    """Termination drops the next value, truncation keeps it; the others stay as they were."""
    config = Config(learning_rate=0.5, gamma=0.9)
    policy = filled(config, [[1, 2], [3, 4], [5, 6], [7, 8]])
    rows = [(0, 0, 1.0, 1, False, False), (1, 1, 1.0, 2, True, False), (2, 0, 1.0, 3, False, True)]
    error = update(policy, transitions(rows), config)
    expected = [[1 + 0.5 * (1 + 0.9 * 4 - 1), 2], [3, 4 + 0.5 * (1 - 4)], [5 + 0.5 * (1 + 0.9 * 8 - 5), 6], [7, 8]]
    assert torch.allclose(policy.table, torch.tensor(expected))
    assert policy.visits.tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert error == pytest.approx(3.6 + 3 + 3.2, rel=1e-5)


def test_rows_of_one_pair_count_as_so_many_updates():
    """Three rows meet one pair: 1 - (1 - rate)^3 of the way to their mean target; an invalid row counts for none."""
    config = Config(learning_rate=0.5, gamma=1.0)
    policy = filled(config, [[0, 0]] * 4)
    rows = [(0, 1, reward, 3, True, False) for reward in (1.0, 2.0, 6.0, 100.0)]
    update(policy, transitions(rows, valid=torch.tensor([[True, True, True, False]])), config)
    assert policy.table[0].tolist() == [0, 3 * (1 - 0.5**3)]
    assert policy.visits[0].tolist() == [0, 3]


def test_rate_decays_with_visits():
    """With learning_rate 1 and rate_decay 1 the value is the plain mean of the targets, in one world and in many."""
    config = Config(learning_rate=1.0, rate_decay=1.0)
    for padding in (0, 1):
        policy = filled(config, [[0, 0]] * 4)
        for reward in (4.0, 0.0, 5.0):
            rows = [(0, 0, reward, 1, True, False)] + [(2, 1, 0.0, 1, True, False)] * padding
            update(policy, transitions(rows), config)
        assert policy.table[0, 0].item() == pytest.approx(3.0)


@pytest.mark.parametrize("decay", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_many_rows_of_a_pair_move_it_as_far_as_so_many_of_one_world(rate, decay):
    """Of one target, over three steps, beside rows of another pair and rows that don't count."""
    config = Config(learning_rate=rate, rate_decay=decay, gamma=1.0)
    many, one = (filled(config, [[8.0, 8.0]] * 4) for _ in range(2))
    hit, other = (0, 0, 1.0, 1, True, False), (2, 1, 3.0, 1, True, False)
    for count in (1, 5, 2):
        rows = [hit, other] * count + [hit]
        update(many, transitions(rows, valid=torch.tensor([[True] * 2 * count + [False]])), config)
        for row in (hit, other) * count:
            tabular_q._update_one(one, transitions([row]), config)
    assert torch.equal(many.visits, one.visits)
    torch.testing.assert_close(many.table, one.table, rtol=1e-5, atol=1e-5)


def test_one_world_is_the_textbook():
    """The form for one world and the one for many agree on every single transition."""
    config, rng = Config(learning_rate=0.7, rate_decay=0.3), np.random.default_rng(0)
    one, many = (filled(config, [[0.0, 0.1]] * 4) for _ in range(2))
    for _ in range(300):
        row = (*(int(n) for n in rng.integers((4, 2))), float(rng.normal()), int(rng.integers(4)), rng.random() < 0.2)
        rollout = transitions([(*row, bool(rng.random() < 0.2))])
        tabular_q._update_one(one, rollout, config)
        tabular_q._update_batch(many, rollout, config)
    assert torch.equal(one.visits, many.visits)
    assert torch.allclose(one.table, many.table, atol=1e-5)


def test_order_of_rows_does_not_matter():
    """A thousand rows on eight pairs, shuffled: the same table but for rounding; unshuffled: the same bits."""
    config, rng = Config(learning_rate=0.1), np.random.default_rng(1)
    rows = [
        (int(rng.integers(4)), int(rng.integers(2)), float(rng.normal()), int(rng.integers(4)), False, False)
        for _ in range(1000)
    ]
    tables = []
    for order in (range(1000), range(1000), rng.permutation(1000)):
        policy = filled(config, [[1, 2]] * 4)
        update(policy, transitions([rows[i] for i in order]), config)
        tables.append(policy.table)
    assert torch.equal(tables[0], tables[1])
    assert torch.allclose(tables[0], tables[2], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_frozen_lake(seed):
    """At least 0.73 of the 0.7442 that no policy betters in 100 steps, by dynamic programming."""
    env = gymnasium.make_vec("FrozenLake-v1", 64, vectorization_mode="sync")
    state = train(env, Config(num_envs=64, total_timesteps=100_000, seed=seed, **FROZEN_LAKE))
    assert policy_value(gymnasium_model(gymnasium.make("FrozenLake-v1")), greedy(state), horizon=100) >= 0.73


@pytest.mark.parametrize("seed", range(5))
def test_frozen_lake_of_a_thousand_worlds(seed):
    """The same on quintet's own, a thousand at a time."""
    env = envs.make_vec(GRID, 1024, level="frozen_lake_4x4")
    state = train(env, Config(num_envs=1024, total_timesteps=500_000, seed=seed, **FROZEN_LAKE))
    assert policy_value(transition_model(world("frozen_lake_4x4")), greedy(state), horizon=100) >= 0.73


@pytest.mark.parametrize("seed", range(5))
def test_cliff_walking(seed):
    """Exactly -13."""
    env = gymnasium.make_vec("CliffWalking-v1", 16, vectorization_mode="sync")
    config = Config(num_envs=16, total_timesteps=20_000, learning_rate=1.0, gamma=1.0, seed=seed)
    state = train(env, config)
    assert policy_value(gymnasium_model(gymnasium.make("CliffWalking-v1")), greedy(state), horizon=1000) == -13


@pytest.mark.parametrize(
    ("level", "steps", "best"), [("key_door", 200_000, 0.90), ("maze", 500_000, 0.71), ("four_rooms", 200_000, 0.84)]
)
def test_learns_levels(level, steps, best):
    """The optimum, exactly: shortest ways, also by way of the key."""
    env = envs.make_vec(GRID, 256, level=level)
    state = train(env, Config(num_envs=256, total_timesteps=steps, learning_rate=1.0))
    limit = load_level(level).max_episode_steps
    assert policy_value(transition_model(world(level)), greedy(state), horizon=limit) == pytest.approx(best)


def test_several_levels_in_one_batch():
    """One table holds both levels, since their states don't meet."""
    levels = ["S..\n.#.\n..G\n", "key_door"]
    env = envs.make_vec(GRID, 64, level=levels, step_reward=-0.01)
    actions = greedy(train(env, Config(num_envs=64, total_timesteps=100_000, learning_rate=1.0)))
    grid = world(levels, step_reward=-0.01)
    assert policy_value(transition_model(grid, 0), actions[:9], horizon=100) == pytest.approx(0.97)
    assert policy_value(transition_model(grid, 1), actions[9:], horizon=100) == pytest.approx(0.90)


def test_one_world_learns():
    """num_envs=1 on a small level."""
    level = "S..#\n.#.G\n....\n"
    state = train(envs.make_vec(GRID, 1, level=level), Config(num_envs=1, total_timesteps=4000))
    assert policy_value(transition_model(world(level)), greedy(state), 0.5, horizon=50) == 0.5**3
    assert state.global_step == 4000


@pytest.mark.slow
def test_taxi():
    """The optimal mean over the 300 starts."""
    env = gymnasium.make_vec("Taxi-v4", 64, vectorization_mode="sync")
    state = train(env, Config(num_envs=64, total_timesteps=300_000, learning_rate=1.0))
    assert policy_value(gymnasium_model(gymnasium.make("Taxi-v4")), greedy(state), horizon=200) >= 7.9


def test_masks_of_taxi():
    """Actions that Taxi's mask rules out are never taken and worth nothing."""
    env = gymnasium.make_vec("Taxi-v4", 8, vectorization_mode="sync")
    policy = train(env, Config(num_envs=8, total_timesteps=4000)).policy
    ruled_out = policy.table == -torch.inf
    assert ruled_out.any()
    assert not policy.visits[ruled_out].any()
    mask = torch.tensor([[False, True, False, True, False, False]]).expand(2000, -1)
    arguments = (torch.zeros(2000, dtype=torch.int64), mask, policy.initial_memory(2000), torch.zeros(2000))
    policy.epsilon.fill_(1.0)
    actions, _ = policy.act(*arguments, generator=torch.Generator().manual_seed(0))
    assert set(actions.tolist()) == {1, 3}
    assert 0.45 < (actions == 1).float().mean() < 0.55


def test_products_of_discretes():
    """Blackjack's Tuple: one row of the table for each of 32 * 11 * 2 observations."""
    env = gymnasium.make_vec("Blackjack-v1", 16, vectorization_mode="sync")
    policy = train(env, Config(num_envs=16, total_timesteps=8000, rate_decay=0.6, gamma=1.0)).policy
    assert policy.table.shape == (704, 2)
    assert policy.states(torch.tensor([[20, 10, 1], [31, 10, 1]])).tolist() == [20 * 22 + 21, 703]
    hit_on_20 = policy.table[policy.states(torch.tensor([[20, 10, 0]]))][0]
    assert hit_on_20[0] > hit_on_20[1]


def test_spaces_that_count_from_elsewhere():
    """Discrete(n, start): rows and actions are shifted."""
    policy = tabular_q.TablePolicy(spaces.Discrete(3, start=5), spaces.Discrete(2, start=-1), Config())
    policy.tables[0, 2, 0] = 1.0
    actions, _ = policy.act(torch.tensor([7]), None, policy.initial_memory(1), torch.zeros(1), deterministic=True)
    assert actions.tolist() == [-1]
    shifted = spaces.MultiDiscrete([3, 4], start=[1, 2])
    assert tabular_q.TablePolicy(shifted, FOUR[1], Config()).states(torch.tensor([[3, 5]])).tolist() == [11]


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (spaces.Box(0, 1, (4,)), spaces.Discrete(2), "needs Discrete observations.*use dqn or ppo"),
        (spaces.Discrete(4), spaces.Box(0, 1, (2,)), "needs a Discrete action space.*use ddpg or ppo"),
        (spaces.Discrete(4), spaces.MultiDiscrete([2, 2]), "needs a Discrete action space.*use ppo"),
        (spaces.MultiDiscrete([1000] * 5), spaces.Discrete(4), "4000000000000000 entries"),
    ],
)
def test_spaces_that_do_not_fit(observation_space, action_space, message):
    """The error says which algorithms do."""
    with pytest.raises(ValueError, match=message):
        check_spaces(observation_space, action_space)


@pytest.mark.parametrize(
    ("field", "value"), [("num_envs", 0), ("gamma", 1.5), ("rate_decay", -1.0), ("visit_bonus", -1.0)]
)
def test_bad_config(field, value):
    """The error names the field and its range."""
    with pytest.raises(ValueError, match=field):
        Config(**{field: value})


KINDS = [
    ("q", "epsilon"),
    ("double", "epsilon"),
    ("sarsa", "epsilon"),
    ("expected_sarsa", "epsilon"),
    ("sarsa", "visits"),
]


@pytest.mark.parametrize(("target", "exploration"), KINDS)
def test_resumed_training_is_the_same(target, exploration):
    """Saved after two of four iterations and gone on with in new objects: the same bits as without a stop."""
    config = Config(num_envs=8, num_steps=50, total_timesteps=1600, seed=3, target=target, exploration=exploration)

    def begin() -> tuple[Any, TrainState]:
        env = envs.make_vec(GRID, 8, level="frozen_lake_4x4")
        return env, TrainState(env, config)

    env, whole = begin()
    metrics = list(learn(env, config, whole))
    env, first = begin()
    for _ in zip(range(2), learn(env, config, first), strict=False):
        pass
    saved = first.state_dict()
    env, second = begin()
    second.load_state_dict(saved)
    assert list(learn(env, config, second)) == metrics[2:]
    assert torch.equal(second.policy.tables, whole.policy.tables)
    assert second.global_step == whole.global_step == 1600


def test_whole_numbers_are_numbers_too():
    """Of the kind that a preset may write."""
    policy = tabular_q.TablePolicy(*FOUR, Config(epsilon=1, initial_value=1, rate_decay=1))  # pyright: ignore
    assert policy.tables.dtype == policy.epsilon.dtype == torch.float32
    update(policy, transitions([(0, 0, 0.0, 1, True, False)]), Config(learning_rate=0.25))
    assert policy.table[0].tolist() == [0.75, 1.0]


def test_a_saved_state_does_not_change_while_training_goes_on():
    state = TrainState(envs.make_vec("quintet/GridWorld-v0", 4, level="open"), Config(num_envs=4))
    learning = learn(state.collector.envs, Config(num_envs=4), state)
    next(learning)
    saved = state.state_dict()
    before = saved["policy"]["tables"].clone()
    next(learning)
    assert torch.equal(saved["policy"]["tables"], before)
    assert not torch.equal(state.policy.tables, before)


def test_text_of_a_table():
    """An arrow and a value where something was tried, the letter elsewhere; two layers below each other."""
    table = torch.zeros(4, 4)
    table[0, 2], table[2, 1] = 0.5, -12.25
    visits = (table != 0).int()
    assert table_text(table, visits, (1, 2), ["SG"]) == "→ 0.50   G\n\n↓  -12   G"
    assert table_text(table, visits, (2, 2)) == "→ 0.50   ·\n↓  -12   ·"
    assert table_text(table, visits).splitlines()[1].split() == ["0", "→", "0.00", "0.00", "0.50", "0.00"]
    with pytest.raises(ValueError, match="4 states don't fill a grid of 3 x 1"):
        table_text(table, visits, (3, 1))


def test_picture_of_a_table(tmp_path: Path):
    """A picture is drawn and saved, also of a table of which nothing is known."""
    table = torch.arange(48.0).reshape(12, 4)
    for visits in (torch.ones(12, 4), torch.zeros(12, 4)):
        figure = table_figure(table, visits, (2, 3), ["S..", "..G"], title="two layers", path=tmp_path / "t.png")
        assert len(figure.axes) == 3
        assert (tmp_path / "t.png").stat().st_size > 3000
