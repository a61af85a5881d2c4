"""A level's exact transition model, made by running its own rules, and dynamic programming on it."""

from typing import Any, NamedTuple

import numpy as np

from envs.engine import World
from envs.engine.compile import constants
from envs.engine.rules import param_records, record_dtype
from envs.gridworld import rules

NUM_ACTIONS = 4
TURNS = (-1, 0, 1)
"""Where ice may send a move: one direction on or back, in the order left, down, right, up."""


class Model(NamedTuple):
    """What can happen: one entry an outcome, of P(next_state, reward, terminated | state, action).

    The first six are flat arrays `[K]`; outcomes of a pair (state, action) that end alike are apart.
    """

    state: np.ndarray
    action: np.ndarray
    next_state: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    start: np.ndarray
    """`[num_states]`: the probability of each state at reset."""

    @property
    def num_states(self) -> int:
        """States, also those that no episode reaches."""
        return len(self.start)


def transition_model(world: World, row: int = 0) -> Model:
    """The model of one level of a GridWorld, states numbered from 0 as its Discrete observation numbers them.

    From each state the rule `move` plays every direction that the ice allows, with every start a cliff may put back to.

    Args:
        world: what `envs.gridworld.world` returned.
        row: which of its levels.
    """
    params = param_records(world).view(np.recarray)[row]
    tables = constants(world)["Tables"](*world.tables.values())
    record = np.zeros(1, record_dtype(world)).view(np.recarray)[0]
    first = params.offset
    cells = tables.cells[first : first + params.height * params.width]
    num_states = len(cells) * (2 if rules.KEY in cells else 1)
    outcomes = [
        outcome
        for state in range(num_states)
        for action in range(NUM_ACTIONS)
        for outcome in _outcomes(record, params, tables, state, action)
    ]
    start = np.zeros(num_states)
    starts = tables.starts[params.first_start : params.first_start + params.num_starts]
    start[starts] = 1 / len(starts)
    columns = [np.array(column) for column in zip(*outcomes, strict=True)]
    return Model._make([*columns, start])


def _outcomes(record: Any, params: Any, tables: Any, state: int, action: int) -> list[tuple[Any, ...]]:
    """Rows of a `Model` for one pair (state, action)."""
    area = params.height * params.width
    outcomes = []
    _enter(record, params, state)
    turns = TURNS if rules.slips(record, params, tables) else (0,)
    for turn in turns:
        for start in range(params.num_starts):
            _enter(record, params, state)
            rules.move(record, params, tables, np.int32((action + turn) % NUM_ACTIONS), np.int32(start))
            next_state = int(record.has_key * area + record.row * params.width + record.col)
            probability = 1 / (len(turns) * params.num_starts)
            outcomes.append((state, action, next_state, probability, float(record.reward[0]), bool(record.terminated)))
    return outcomes


def _enter(record: Any, params: Any, state: int) -> None:
    cell = state % (params.height * params.width)
    record.has_key = state // (params.height * params.width)
    record.row, record.col = cell // params.width, cell % params.width
    record.terminated = 0


def optimal_values(model: Model, gamma: float = 1.0, horizon: int = 10_000) -> np.ndarray:
    """The best expected return from every state, `[num_states]`, when `horizon` steps are left: value iteration."""
    values = np.zeros(model.num_states)
    for _ in range(horizon):
        new = action_values(model, values, gamma).max(axis=1)
        if np.array_equal(new, values):
            break
        values = new
    return values


def policy_value(model: Model, policy: np.ndarray, gamma: float = 1.0, horizon: int = 10_000) -> float:
    """The exact expected return of an episode, of `horizon` steps at most, from the starts.

    Args:
        model: of the world.
        policy: the action taken in each state, integers `[num_states]`.
        gamma: the discount.
        horizon: steps until truncation.
    """
    values, everywhere = np.zeros(model.num_states), np.arange(model.num_states)
    for _ in range(horizon):
        new = action_values(model, values, gamma)[everywhere, policy]
        if np.array_equal(new, values):
            break
        values = new
    return float(model.start @ values)


def action_values(model: Model, values: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """One step ahead of `values` `[num_states]`: `[num_states, num_actions]`."""
    ahead = model.probability * (model.reward + gamma * np.where(model.terminated, 0, values[model.next_state]))
    num_actions = int(model.action.max()) + 1
    index = model.state * num_actions + model.action
    return np.bincount(index, ahead, model.num_states * num_actions).reshape(-1, num_actions)
