"""CartPole: keep a pole upright on a cart by pushing the cart left or right.

Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983),
with the equations of Florian, "Correct equations for the dynamics of the cart-pole system" (2007); step by step as
Gymnasium's CartPole-v1.
"""

import math

import numpy as np
from gymnasium import spaces

from envs.classic import checked_choice, finite, positive
from envs.classic.draw import draw_cartpole
from envs.engine import ObsField, World, cos, real, rule, sin, uniform

STATE = np.dtype([("x", real), ("x_dot", real), ("theta", real), ("theta_dot", real)])
PARAMS = np.dtype(
    [
        ("gravity", real),
        ("masscart", real),
        ("masspole", real),
        ("length", real),
        ("force_mag", real),
        ("tau", real),
        ("x_threshold", real),
        ("theta_threshold", real),
        ("upright_reward", real),
        ("fall_reward", real),
        ("semi_implicit", np.int32),
    ]
)
LAYOUT = {
    "x": ObsField(slice(0, 1), (1,), "position", "m"),
    "x_dot": ObsField(slice(1, 2), (1,), "velocity", "m/s"),
    "theta": ObsField(slice(2, 3), (1,), "angle from upright", "rad"),
    "theta_dot": ObsField(slice(3, 4), (1,), "angular velocity", "rad/s"),
}
_ONE, _FOUR_THIRDS, _WIDTH, _HALF = real(1), real(4 / 3), real(0.1), real(0.05)


@rule
def reset(state):
    """Everything near zero: uniform in -0.05..0.05."""
    state.x = uniform(state, 0) * _WIDTH - _HALF
    state.x_dot = uniform(state, 1) * _WIDTH - _HALF
    state.theta = uniform(state, 2) * _WIDTH - _HALF
    state.theta_dot = uniform(state, 3) * _WIDTH - _HALF


@rule
def step(state, params):
    """Pushes right on action 1, left on 0, for `tau` seconds."""
    force = params.force_mag * real(2 * state.action[0] - 1)
    sine, cosine = sin(state.theta), cos(state.theta)
    per_mass = _ONE / (params.masscart + params.masspole)
    pole_share = params.masspole * per_mass
    push = force * per_mass + pole_share * params.length * (state.theta_dot * state.theta_dot) * sine
    theta_acc = (params.gravity * sine - cosine * push) / (
        params.length * (_FOUR_THIRDS - pole_share * (cosine * cosine))
    )
    x_acc = push - pole_share * params.length * theta_acc * cosine
    if params.semi_implicit != 0:
        state.x_dot += params.tau * x_acc
        state.theta_dot += params.tau * theta_acc
        state.x += params.tau * state.x_dot
        state.theta += params.tau * state.theta_dot
    else:
        state.x += params.tau * state.x_dot
        state.theta += params.tau * state.theta_dot
        state.x_dot += params.tau * x_acc
        state.theta_dot += params.tau * theta_acc
    fell = abs(state.x) > params.x_threshold or abs(state.theta) > params.theta_threshold
    state.terminated = np.uint8(fell)
    state.reward[0] = params.fall_reward if fell else params.upright_reward


@rule
def observe(state, obs):
    """The state as it is."""
    obs[0] = state.x
    obs[1] = state.x_dot
    obs[2] = state.theta
    obs[3] = state.theta_dot


def world(
    sutton_barto_reward: bool = False,
    gravity: float = 9.8,
    masscart: float = 1.0,
    masspole: float = 0.1,
    length: float = 0.5,
    force_mag: float = 10.0,
    tau: float = 0.02,
    kinematics_integrator: str = "euler",
    max_episode_steps: int = 500,
) -> World:
    """CartPole-v1.

    Args:
        sutton_barto_reward: 0 a step and -1 for falling, instead of 1 a step.
        gravity: m/s^2.
        masscart, masspole: kg.
        length: half the pole's, m.
        force_mag: of a push, N.
        tau: seconds a step.
        kinematics_integrator: "euler" or "semi-implicit euler".
        max_episode_steps: time limit; 0 is none.
    """
    finite(gravity=gravity)
    positive(masscart=masscart, masspole=masspole, length=length, force_mag=force_mag, tau=tau)
    integrators = ("euler", "semi-implicit euler")
    semi_implicit = integrators.index(checked_choice("kinematics_integrator", kinematics_integrator, integrators))
    x_threshold, theta_threshold = 2.4, 12 * 2 * math.pi / 360
    rewards = (0.0, -1.0) if sutton_barto_reward else (1.0, 1.0)
    values = (
        gravity, masscart, masspole, length, force_mag, tau, x_threshold, theta_threshold, *rewards, semi_implicit,
    )  # fmt: skip
    high = np.array([x_threshold * 2, np.inf, theta_threshold * 2, np.inf], np.float32)
    return World(
        name="CartPole",
        state=STATE,
        params=np.array([values], PARAMS),
        reset=reset,
        step=step,
        observe=observe,
        observation_space=spaces.Box(-high, high, dtype=np.float32),
        action_space=spaces.Discrete(2),
        obs_layout=LAYOUT,
        max_episode_steps=max_episode_steps,
        draw=draw_cartpole,
        draw_size=(600, 400),
        render_fps=50,
    )
