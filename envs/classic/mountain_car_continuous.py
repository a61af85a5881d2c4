"""MountainCarContinuous: the valley with a throttle, and a price on using it.

Step by step as Gymnasium's MountainCarContinuous-v0; the price is on the action clipped to -1..1.
"""

import numpy as np
from gymnasium import spaces

from envs.classic import finite, positive
from envs.classic.draw import draw_mountain_car
from envs.classic.mountain_car import LAYOUT, MAX_POSITION, MAX_SPEED, MIN_POSITION, STATE, observe, reset, roll
from envs.engine import World, real, rule

PARAMS = np.dtype([("power", real), ("gravity", real), ("goal_position", real), ("goal_velocity", real)])
_PRICE, _PRIZE = real(0.1), real(100)


@rule
def step(state, params):
    """Pushes by the action, -1..1; 100 for arriving, less a tenth of the action squared."""
    throttle = state.action[0, 0]
    roll(state, throttle * params.power, params.gravity)
    arrived = state.position >= params.goal_position and state.velocity >= params.goal_velocity
    state.terminated = np.uint8(arrived)
    state.reward[0] = (_PRIZE if arrived else real(0)) - throttle * throttle * _PRICE


def world(
    goal_velocity: float = 0.0, power: float = 0.0015, gravity: float = 0.0025, max_episode_steps: int = 999
) -> World:
    """MountainCarContinuous-v0.

    Args:
        goal_velocity: least velocity at the goal, position a step.
        power: of the engine, velocity a step.
        gravity: of the slope, velocity a step.
        max_episode_steps: time limit; 0 is none.
    """
    finite(goal_velocity=goal_velocity)
    positive(power=power, gravity=gravity)
    low = np.array([MIN_POSITION, -MAX_SPEED], np.float32)
    high = np.array([MAX_POSITION, MAX_SPEED], np.float32)
    return World(
        name="MountainCarContinuous",
        state=STATE,
        params=np.array([(power, gravity, 0.45, goal_velocity)], PARAMS),
        reset=reset,
        step=step,
        observe=observe,
        observation_space=spaces.Box(low, high, dtype=np.float32),
        action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        obs_layout=LAYOUT,
        max_episode_steps=max_episode_steps,
        draw=draw_mountain_car,
        draw_size=(600, 400),
        render_fps=30,
    )
