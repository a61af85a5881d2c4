"""Pendulum: swing a pendulum up with too weak a motor and hold it there.

Step by step as Gymnasium's Pendulum-v1, except that the angle is kept within a step of -pi..pi, where sines are exact.
"""

import math

import numpy as np
from gymnasium import spaces

from envs.classic import finite, positive
from envs.classic.draw import draw_pendulum
from envs.engine import ObsField, World, cos, real, rule, sin, uniform

STATE = np.dtype([("theta", real), ("theta_dot", real)])
PARAMS = np.dtype([("g", real), ("m", real), ("length", real), ("dt", real)])
LAYOUT = {
    "cos_theta": ObsField(slice(0, 1), (1,), "cosine of the angle from upright", ""),
    "sin_theta": ObsField(slice(1, 2), (1,), "sine of the angle from upright", ""),
    "theta_dot": ObsField(slice(2, 3), (1,), "angular velocity", "rad/s"),
}
MAX_SPEED, MAX_TORQUE = real(8), 2.0
_PI, _TWO_PI, _ONE, _TWO, _THREE = real(math.pi), real(2 * math.pi), real(1), real(2), real(3)
_SPEED_COST, _TORQUE_COST = real(0.1), real(0.001)


@rule
def reset(state):
    """Any angle, and a speed in -1..1."""
    state.theta = uniform(state, 0) * _TWO_PI - _PI
    state.theta_dot = uniform(state, 1) * _TWO - _ONE


@rule
def wrapped(angle):
    """The angle less whole turns, in -pi..pi."""
    turns = (angle + _PI) / _TWO_PI
    whole = np.int32(turns)
    if turns < real(whole):
        whole -= np.int32(1)
    return angle - real(whole) * _TWO_PI


@rule
def step(state, params):
    """Turns by the action, a torque in -2..2 N m; costs grow with angle, speed and torque."""
    torque, speed = state.action[0, 0], state.theta_dot
    angle = wrapped(state.theta)
    state.reward[0] = -(angle * angle + _SPEED_COST * (speed * speed) + _TORQUE_COST * (torque * torque))
    pull = _THREE * params.g / (_TWO * params.length) * sin(angle)
    speed += (pull + _THREE / (params.m * (params.length * params.length)) * torque) * params.dt
    speed = min(max(speed, -MAX_SPEED), MAX_SPEED)
    state.theta = angle + speed * params.dt
    state.theta_dot = speed


@rule
def observe(state, obs):
    """The end of the pendulum and its speed."""
    obs[0] = cos(state.theta)
    obs[1] = sin(state.theta)
    obs[2] = state.theta_dot


def world(
    g: float = 10.0, m: float = 1.0, length: float = 1.0, dt: float = 0.05, max_episode_steps: int = 200
) -> World:
    """Pendulum-v1.

    Args:
        g: gravity, m/s^2.
        m: mass, kg.
        length: m.
        dt: seconds a step.
        max_episode_steps: time limit; 0 is none.
    """
    finite(g=g)
    positive(m=m, length=length, dt=dt)
    high = np.array([1, 1, MAX_SPEED], np.float32)
    return World(
        name="Pendulum",
        state=STATE,
        params=np.array([(g, m, length, dt)], PARAMS),
        reset=reset,
        step=step,
        observe=observe,
        observation_space=spaces.Box(-high, high, dtype=np.float32),
        action_space=spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32),
        obs_layout=LAYOUT,
        max_episode_steps=max_episode_steps,
        draw=draw_pendulum,
        draw_size=(500, 500),
        render_fps=30,
    )
