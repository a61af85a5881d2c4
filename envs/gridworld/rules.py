"""GridWorld's rules: walk a text level, one cell a step.

Actions are numbered as in Gymnasium's FrozenLake: 0 left, 1 down, 2 right, 3 up.
"""

import numpy as np

from envs.engine import randint, real, rule
from envs.gridworld.levels import LETTERS

LEFT, DOWN, RIGHT, UP = 0, 1, 2, 3
WALL, FLOOR, START, GOAL, HOLE, CLIFF, ICE, KEY, DOOR = range(len(LETTERS))
NOWHERE, ON_ICE, EVERYWHERE = 0, 1, 2
DRAW_SLIP, DRAW_START = 0, 1
TRAIL = 12
CHANNELS = ("wall", "goal", "hole", "cliff", "ice", "key", "door", "has_key")
"""What the egocentric view shows: seven kinds of cell, and a plane of ones once the key is held."""
CHANNEL_OF = np.array([0, -1, -1, 1, 2, 3, 4, 5, 6], np.int32)
"""Code of a cell -> its channel, -1: all channels are zero (floor and start)."""

STATE = np.dtype(
    [
        ("row", np.int32),
        ("col", np.int32),
        ("has_key", np.int32),
        ("heading", np.int32),  # the direction last gone, which on ice is not always the action
        ("fell", np.int32),  # the cliff cell entered in this step, else -1
        ("trail", np.int32, (TRAIL,)),  # cells of the last steps, a ring by tick; for drawing
    ]
)
PARAMS = np.dtype(
    [
        ("offset", np.int32),  # of the level's cells in tables.cells
        ("height", np.int32),
        ("width", np.int32),
        ("first_start", np.int32),  # of the level's starts in tables.starts
        ("num_starts", np.int32),
        ("first_state", np.int32),  # of the level's states in the Discrete observation
        ("slippery", np.int32),
        ("step_reward", real),
        ("goal_reward", real),
        ("hole_reward", real),
        ("cliff_reward", real),
    ]
)


@rule
def reset(state, params, tables):
    """A start, drawn from the level's."""
    place(state, params, tables, randint(state, params.num_starts, DRAW_START))
    state.has_key = np.int32(0)
    state.heading = np.int32(DOWN)
    state.fell = np.int32(-1)
    for i in range(TRAIL):
        state.trail[i] = state.row * params.width + state.col


@rule
def step(state, params, tables):
    """One move: the ice turns it, then it happens."""
    direction = state.action[0]
    if slips(state, params, tables):
        direction = (direction + np.int32(3) + randint(state, 3, DRAW_SLIP)) % np.int32(4)
    move(state, params, tables, direction, randint(state, params.num_starts, DRAW_START))
    state.trail[state.tick % TRAIL] = state.row * params.width + state.col


@rule
def slips(state, params, tables):
    """Whether a move from here goes astray with a chance of 2/3."""
    icy = kind_at(params, tables, state.row, state.col) == ICE
    return params.slippery == EVERYWHERE or (params.slippery == ON_ICE and icy)


@rule
def move(state, params, tables, direction, start):
    """All of a step but its chances: the direction gone, and the start that a cliff would put back to, are given."""
    row, col = state.row, state.col
    if direction == LEFT:
        col -= 1
    elif direction == DOWN:
        row += 1
    elif direction == RIGHT:
        col += 1
    else:
        row -= 1
    kind = kind_at(params, tables, row, col)
    state.heading = direction
    state.fell = np.int32(-1)
    state.reward[0] = params.step_reward
    if kind == WALL or (kind == DOOR and state.has_key == 0):
        return
    state.row = row
    state.col = col
    if kind == KEY:
        state.has_key = np.int32(1)
    elif kind == GOAL:
        state.reward[0] = params.goal_reward
        state.terminated = np.uint8(1)
    elif kind == HOLE:
        state.reward[0] = params.hole_reward
        state.terminated = np.uint8(1)
    elif kind == CLIFF:
        state.reward[0] = params.cliff_reward
        state.fell = row * params.width + col
        place(state, params, tables, start)


@rule
def place(state, params, tables, start):
    """Puts the agent on the level's start number `start`."""
    cell = tables.starts[params.first_start + start]
    state.row = cell // params.width
    state.col = cell % params.width


@rule
def kind_at(params, tables, row, col):
    """The code of a cell; outside the map is wall."""
    if row < 0 or row >= params.height or col < 0 or col >= params.width:
        return np.int32(WALL)
    return np.int32(tables.cells[params.offset + row * params.width + col])


@rule
def observe_index(state, params, obs):
    """The state's number: first those without the key, cell by cell, then those with it."""
    floor = state.has_key * params.height
    obs[0] = params.first_state + (floor + state.row) * params.width + state.col


@rule
def observe_view(state, params, tables, obs):
    """`[channel, row, column]` of the cells round the agent, who is in the middle."""
    size = obs.shape[1]
    for i in range(size):
        for j in range(size):
            for channel in range(len(CHANNELS) - 1):
                obs[channel, i, j] = real(0)
            obs[len(CHANNELS) - 1, i, j] = real(state.has_key)
            kind = kind_at(params, tables, state.row + i - size // 2, state.col + j - size // 2)
            gone = state.has_key != 0 and (kind == KEY or kind == DOOR)
            if CHANNEL_OF[kind] >= 0 and not gone:
                obs[CHANNEL_OF[kind], i, j] = real(1)
