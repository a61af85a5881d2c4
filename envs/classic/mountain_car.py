"""MountainCar: a weak engine must swing a car back and forth to get out of a valley.

Moore, "Efficient memory-based learning for robot control" (1990); step by step as Gymnasium's MountainCar-v0.
"""

import numpy as np
from gymnasium import spaces

from envs.classic import finite, positive
from envs.classic.draw import draw_mountain_car
from envs.engine import ObsField, World, cos, real, rule, uniform

STATE = np.dtype([("position", real), ("velocity", real)])
PARAMS = np.dtype([("force", real), ("gravity", real), ("goal_position", real), ("goal_velocity", real)])
LAYOUT = {
    "position": ObsField(slice(0, 1), (1,), "position", ""),
    "velocity": ObsField(slice(1, 2), (1,), "velocity", "a step"),
}
MIN_POSITION, MAX_POSITION, MAX_SPEED = real(-1.2), real(0.6), real(0.07)
_FIFTH, _START, _THREE = real(0.2), real(-0.6), real(3)


@rule
def reset(state):
    """At rest near the bottom: uniform in -0.6..-0.4."""
    state.position = uniform(state, 0) * _FIFTH + _START
    state.velocity = real(0)


@rule
def roll(state, thrust, gravity):
    """Moves the car under thrust and slope; the left wall stops it."""
    velocity = state.velocity + (thrust - cos(_THREE * state.position) * gravity)
    velocity = min(max(velocity, -MAX_SPEED), MAX_SPEED)
    position = min(max(state.position + velocity, MIN_POSITION), MAX_POSITION)
    if position == MIN_POSITION and velocity < real(0):
        velocity = real(0)
    state.position = position
    state.velocity = velocity


@rule
def step(state, params):
    """Pushes left, not at all, or right on actions 0, 1, 2; -1 a step."""
    roll(state, real(state.action[0] - 1) * params.force, params.gravity)
    arrived = state.position >= params.goal_position and state.velocity >= params.goal_velocity
    state.terminated = np.uint8(arrived)
    state.reward[0] = real(-1)


@rule
def observe(state, obs):
    """The state as it is."""
    obs[0] = state.position
    obs[1] = state.velocity


def world(
    goal_velocity: float = 0.0, force: float = 0.001, gravity: float = 0.0025, max_episode_steps: int = 200
) -> World:
    """MountainCar-v0.

    Args:
        goal_velocity: least velocity at the goal, position a step.
        force: of the engine, velocity a step.
        gravity: of the slope, velocity a step.
        max_episode_steps: time limit; 0 is none.
    """
    finite(goal_velocity=goal_velocity)
    positive(force=force, gravity=gravity)
    low = np.array([MIN_POSITION, -MAX_SPEED], np.float32)
    high = np.array([MAX_POSITION, MAX_SPEED], np.float32)
    return World(
        name="MountainCar",
        state=STATE,
        params=np.array([(force, gravity, 0.5, goal_velocity)], PARAMS),
        reset=reset,
        step=step,
        observe=observe,
        observation_space=spaces.Box(low, high, dtype=np.float32),
        action_space=spaces.Discrete(3),
        obs_layout=LAYOUT,
        max_episode_steps=max_episode_steps,
        draw=draw_mountain_car,
        draw_size=(600, 400),
        render_fps=30,
    )
