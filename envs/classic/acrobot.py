"""Acrobot: swing the tip of a two-link arm above the bar by a motor at the elbow.

Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse coding" (NIPS 1995), with the
equations of Sutton and Barto's book; step by step as Gymnasium's Acrobot-v1.
"""

import math

import numpy as np
from gymnasium import spaces

from envs.classic import checked_choice, finite, positive
from envs.classic.draw import draw_acrobot
from envs.classic.pendulum import wrapped
from envs.engine import ObsField, World, cos, real, rule, sin, uniform

STATE = np.dtype([("theta1", real), ("theta2", real), ("theta1_dot", real), ("theta2_dot", real)])
PARAMS = np.dtype(
    [
        ("gravity", real),
        ("dt", real),
        ("link_mass_1", real),
        ("link_mass_2", real),
        ("link_moi", real),
        ("nips", np.int32),
    ]
)
LAYOUT = {
    "upper": ObsField(slice(0, 2), (2,), "cosine and sine of the upper link's angle from hanging", ""),
    "lower": ObsField(slice(2, 4), (2,), "cosine and sine of the elbow's angle", ""),
    "velocity": ObsField(slice(4, 6), (2,), "angular velocities", "rad/s"),
}
_LENGTH, _CENTER = real(1), real(0.5)
"""Of the upper link, and from each link's joint to its center of mass, m."""
_HALF_PI = real(math.pi / 2)
_MAX_SPEED_1, _MAX_SPEED_2 = real(4 * math.pi), real(9 * math.pi)
_ZERO, _ONE, _TWO, _SIX, _FIFTH, _TENTH = real(0), real(1), real(2), real(6), real(0.2), real(0.1)


@rule
def reset(state):
    """Hanging almost at rest: uniform in -0.1..0.1."""
    state.theta1 = uniform(state, 0) * _FIFTH - _TENTH
    state.theta2 = uniform(state, 1) * _FIFTH - _TENTH
    state.theta1_dot = uniform(state, 2) * _FIFTH - _TENTH
    state.theta2_dot = uniform(state, 3) * _FIFTH - _TENTH


@rule
def accelerations(params, torque, theta1, theta2, dtheta1, dtheta2):
    """Angular accelerations of both links, rad/s^2."""
    m1, m2, inertia, gravity = params.link_mass_1, params.link_mass_2, params.link_moi, params.gravity
    l1, lc1, lc2 = _LENGTH, _CENTER, _CENTER
    sin2, cos2 = sin(theta2), cos(theta2)
    d1 = m1 * (lc1 * lc1) + m2 * (l1 * l1 + lc2 * lc2 + _TWO * l1 * lc2 * cos2) + inertia + inertia
    d2 = m2 * (lc2 * lc2 + l1 * lc2 * cos2) + inertia
    phi2 = m2 * lc2 * gravity * cos(theta1 + theta2 - _HALF_PI)
    phi1 = (
        -m2 * l1 * lc2 * (dtheta2 * dtheta2) * sin2
        - _TWO * m2 * l1 * lc2 * dtheta2 * dtheta1 * sin2
        + (m1 * lc1 + m2 * l1) * gravity * cos(theta1 - _HALF_PI)
        + phi2
    )
    swing = _ZERO if params.nips != 0 else m2 * l1 * lc2 * (dtheta1 * dtheta1) * sin2
    ddtheta2 = (torque + d2 / d1 * phi1 - swing - phi2) / (m2 * (lc2 * lc2) + inertia - d2 * d2 / d1)
    ddtheta1 = -(d2 * ddtheta2 + phi1) / d1
    return ddtheta1, ddtheta2


@rule
def step(state, params):
    """Torque -1, 0, 1 N m on actions 0, 1, 2 for `dt` seconds, by the classical Runge-Kutta method; -1 until done."""
    torque = real(state.action[0] - 1)
    q1, q2, v1, v2 = state.theta1, state.theta2, state.theta1_dot, state.theta2_dot
    dt, half = params.dt, params.dt / _TWO
    a1, a2 = accelerations(params, torque, q1, q2, v1, v2)
    v1_b, v2_b = v1 + half * a1, v2 + half * a2
    b1, b2 = accelerations(params, torque, q1 + half * v1, q2 + half * v2, v1_b, v2_b)
    v1_c, v2_c = v1 + half * b1, v2 + half * b2
    c1, c2 = accelerations(params, torque, q1 + half * v1_b, q2 + half * v2_b, v1_c, v2_c)
    v1_d, v2_d = v1 + dt * c1, v2 + dt * c2
    e1, e2 = accelerations(params, torque, q1 + dt * v1_c, q2 + dt * v2_c, v1_d, v2_d)
    sixth = dt / _SIX
    state.theta1 = wrapped(q1 + sixth * (v1 + _TWO * v1_b + _TWO * v1_c + v1_d))
    state.theta2 = wrapped(q2 + sixth * (v2 + _TWO * v2_b + _TWO * v2_c + v2_d))
    speed1, speed2 = v1 + sixth * (a1 + _TWO * b1 + _TWO * c1 + e1), v2 + sixth * (a2 + _TWO * b2 + _TWO * c2 + e2)
    state.theta1_dot = min(max(speed1, -_MAX_SPEED_1), _MAX_SPEED_1)
    state.theta2_dot = min(max(speed2, -_MAX_SPEED_2), _MAX_SPEED_2)
    above = -cos(state.theta1) - cos(state.theta2 + state.theta1) > _ONE
    state.terminated = np.uint8(above)
    state.reward[0] = _ZERO if above else -_ONE


@rule
def observe(state, obs):
    """Both angles on the circle, then both speeds."""
    obs[0] = cos(state.theta1)
    obs[1] = sin(state.theta1)
    obs[2] = cos(state.theta2)
    obs[3] = sin(state.theta2)
    obs[4] = state.theta1_dot
    obs[5] = state.theta2_dot


def world(
    gravity: float = 9.8,
    dt: float = 0.2,
    link_mass_1: float = 1.0,
    link_mass_2: float = 1.0,
    link_moi: float = 1.0,
    book_or_nips: str = "book",
    max_episode_steps: int = 500,
) -> World:
    """Acrobot-v1, both links 1 m long.

    Args:
        gravity: m/s^2.
        dt: seconds a step.
        link_mass_1, link_mass_2: of the upper and the lower link, kg.
        link_moi: moment of inertia of either link, kg m^2.
        book_or_nips: equations of the "book", or of the "nips" paper, which lack a term.
        max_episode_steps: time limit; 0 is none.
    """
    finite(gravity=gravity)
    positive(dt=dt, link_mass_1=link_mass_1, link_mass_2=link_mass_2, link_moi=link_moi)
    nips = ("book", "nips").index(checked_choice("book_or_nips", book_or_nips, ("book", "nips")))
    high = np.array([1, 1, 1, 1, _MAX_SPEED_1, _MAX_SPEED_2], np.float32)
    return World(
        name="Acrobot",
        state=STATE,
        params=np.array([(gravity, dt, link_mass_1, link_mass_2, link_moi, nips)], PARAMS),
        reset=reset,
        step=step,
        observe=observe,
        observation_space=spaces.Box(-high, high, dtype=np.float32),
        action_space=spaces.Discrete(3),
        obs_layout=LAYOUT,
        max_episode_steps=max_episode_steps,
        draw=draw_acrobot,
        draw_size=(500, 500),
        render_fps=15,
    )
