"""The classic control tasks step as Gymnasium's own do, in float32 and, whole episodes long, in float64."""

import json
import math
import os
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import acrobot

import envs
from envs.engine.rules import record_dtype
from envs.registration import load_world

NUM_STATES = 3000
FIELDS = {
    "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
    "Pendulum-v1": ("theta", "theta_dot"),
    "Acrobot-v1": ("theta1", "theta2", "theta1_dot", "theta2_dot"),
}
RANGES = {
    "CartPole-v1": [(-2.3, 2.3), (-3, 3), (-0.2, 0.2), (-3, 3)],
    "MountainCar-v0": [(-1.19, 0.59), (-0.069, 0.069)],
    "MountainCarContinuous-v0": [(-1.19, 0.59), (-0.069, 0.069)],
    "Pendulum-v1": [(-9, 9), (-7.9, 7.9)],
    "Acrobot-v1": [(-3.1, 3.1), (-3.1, 3.1), (-4, 4), (-9, 9)],
}
VARIANTS = [
    *((name, {}, {}) for name in FIELDS),
    ("CartPole-v1", {"sutton_barto_reward": True}, {"_sutton_barto_reward": True}),
    ("CartPole-v1", {"gravity": 3.7, "force_mag": 7.0, "tau": 0.01}, {"gravity": 3.7, "force_mag": 7.0, "tau": 0.01}),
    (
        "CartPole-v1",
        {"masscart": 2.0, "masspole": 0.5, "length": 0.8},
        {"masscart": 2.0, "masspole": 0.5, "length": 0.8, "total_mass": 2.5, "polemass_length": 0.4},
    ),
    (
        "CartPole-v1",
        {"kinematics_integrator": "semi-implicit euler"},
        {"kinematics_integrator": "semi-implicit euler"},
    ),
    ("MountainCar-v0", {"goal_velocity": 0.03, "force": 0.002}, {"goal_velocity": 0.03, "force": 0.002}),
    ("MountainCarContinuous-v0", {"goal_velocity": 0.03, "power": 0.002}, {"goal_velocity": 0.03, "power": 0.002}),
    ("Pendulum-v1", {"g": 9.81}, {"g": 9.81}),
    ("Pendulum-v1", {"m": 2.0, "length": 0.7, "dt": 0.02}, {"m": 2.0, "l": 0.7, "dt": 0.02}),
    ("Acrobot-v1", {"book_or_nips": "nips"}, {"book_or_nips": "nips"}),
    (
        "Acrobot-v1",
        {"dt": 0.05, "link_mass_1": 2.0, "link_mass_2": 0.5, "link_moi": 1.5},
        {"dt": 0.05, "LINK_MASS_1": 2.0, "LINK_MASS_2": 0.5, "LINK_MOI": 1.5},
    ),
]


def margin(name: str, state: np.ndarray) -> float:
    """How far a state is from where a flag flips or an angle wraps."""
    if name == "CartPole-v1":
        return min(abs(abs(state[0]) - 2.4), abs(abs(state[2]) - 12 * 2 * np.pi / 360))
    if name.startswith("MountainCar"):
        return min(abs(state[0] - (0.5 if name == "MountainCar-v0" else 0.45)), abs(state[0] + 1.2), abs(state[1]))
    if name == "Acrobot-v1":
        height = -np.cos(state[0]) - np.cos(state[0] + state[1])
        return min(abs(height - 1), np.pi - abs(state[0]), np.pi - abs(state[1]))
    return 1.0


@pytest.mark.parametrize(("name", "options", "attributes"), VARIANTS)
def test_one_step_from_any_state_is_gymnasiums(name: str, options: dict, attributes: dict) -> None:
    rng = np.random.default_rng(0)
    ours = envs.make_vec(f"quintet/{name}", NUM_STATES, **options)
    theirs: Any = gymnasium.make(name).unwrapped
    for attribute, value in attributes.items():
        assert hasattr(theirs, attribute)
        setattr(theirs, attribute, value)
    ours.reset()
    theirs.reset(seed=0)
    states = np.stack([rng.uniform(low, high, NUM_STATES) for low, high in RANGES[name]], axis=1).astype(np.float32)
    for column, field in enumerate(FIELDS[name]):
        ours.state[field] = states[:, column]
    space = ours.single_action_space
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(NUM_STATES)])
    obs, rewards, terminated, _, infos = ours.step(actions)
    rows = np.where(np.asarray(terminated)[:, None], infos.get("final_obs", obs), obs)
    compared = 0
    for index in range(NUM_STATES):
        start = states[index].astype(np.float64)
        theirs.state = tuple(start) if name.startswith("MountainCar") else start
        theirs.steps_beyond_terminated = None
        their_obs, their_reward, their_terminated, _, _ = theirs.step(actions[index])
        if min(margin(name, np.asarray(theirs.state)), margin(name, start)) < 1e-4:
            continue
        compared += 1
        assert np.allclose(rows[index], their_obs, atol=1e-5, rtol=0), (states[index], actions[index])
        assert np.isclose(float(rewards[index]), their_reward, rtol=1e-5, atol=1e-7)
        assert bool(terminated[index]) == their_terminated
    assert compared > 0.95 * NUM_STATES


@pytest.mark.parametrize("name", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_the_wall_stops_the_car(name: str) -> None:
    env = envs.make_vec(f"quintet/{name}", 1)
    env.reset()
    env.state["position"], env.state["velocity"] = -1.19, -0.05
    action = [0] if name == "MountainCar-v0" else [[-1.0]]
    assert env.step(action)[0].tolist() == [[np.float32(-1.2), 0.0]]


def test_an_endless_pendulum_keeps_its_angle_small() -> None:
    env = envs.make_vec("quintet/Pendulum-v1", 1, max_episode_steps=0)
    env.reset()
    for _ in range(3000):
        env.state["theta_dot"] = 8.0
        env.step([[2.0]])
    assert abs(float(env.state.theta[0])) < 4


WHOLE_EPISODES = """
import json, sys
from tests.envs.test_classic import whole_episodes
print(json.dumps(whole_episodes(sys.argv[1], int(sys.argv[2]))))
"""


def whole_episodes(name: str, count: int) -> list[list[float]]:
    """(our length, theirs, our return, theirs) of episodes from our first states under the same random actions.

    The acrobot is chaotic: over 500 steps a last bit grows to another ending, and Gymnasium's squares by `pow` and
    takes NumPy's sine. So its actions mostly swing it up, and Gymnasium's takes the math library's sine here.
    """
    assert record_dtype(load_world(envs.registered_worlds()[f"quintet/{name}"]))["reward"].base == np.float64
    ours = envs.make_vec(f"quintet/{name}", count)
    ours.reset(seed=1)
    starts = np.stack([ours.state[field].copy() for field in FIELDS[name]], axis=1)
    rng = np.random.default_rng(2)
    limit = int(ours.params.max_episode_steps[0])
    space: Any = ours.single_action_space
    shape = (limit, count, *(space.shape or ()))
    discrete = isinstance(space, gymnasium.spaces.Discrete)
    actions = rng.integers(0, space.n, shape) if discrete else rng.uniform(space.low, space.high, shape)
    actions = actions if discrete else actions.astype(np.float32)
    found = np.zeros((count, 2))
    running = np.ones(count, bool)
    for t in range(limit):
        if name == "Acrobot-v1":
            actions[t] = np.where(rng.random(count) < 0.9, np.where(ours.state["theta2_dot"] > 0, 2, 0), actions[t])
        _, _, terminated, truncated, infos = ours.step(actions[t])
        ended = np.asarray(terminated | truncated) & running
        if ended.any():
            found[ended, 0] = np.asarray(infos["episode"]["l"])[ended]
            found[ended, 1] = np.asarray(infos["episode"]["r"])[ended]
            running &= ~ended
    reference: Any = acrobot
    reference.sin, reference.cos = math.sin, math.cos
    theirs: Any = gymnasium.make(name)
    rows = []
    for index in range(count):
        theirs.reset(seed=0)
        state = starts[index]
        theirs.unwrapped.state = tuple(state) if name.startswith("MountainCar") else state
        total, length, over = 0.0, 0, False
        while not over:
            _, reward, terminated, truncated, _ = theirs.step(actions[length, index])
            total, length, over = total + float(reward), length + 1, terminated or truncated
        rows.append([found[index, 0], length, found[index, 1], total])
    return rows


@pytest.mark.parametrize("name", FIELDS)
def test_hundreds_of_whole_episodes_in_float64_are_gymnasiums(name: str) -> None:
    count = "100" if name == "MountainCarContinuous-v0" else "200"
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_EPISODES, name, count],
        env={**os.environ, "QUINTET_REAL": "float64"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = np.array(json.loads(done.stdout.splitlines()[-1]))
    assert np.array_equal(rows[:, 0], rows[:, 1])
    assert np.allclose(rows[:, 2], rows[:, 3], atol=1e-3, rtol=1e-6)


@pytest.mark.parametrize("name", FIELDS)
def test_spaces_and_time_limits_are_gymnasiums(name: str) -> None:
    ours, theirs = gymnasium.make(f"quintet/{name}"), gymnasium.make(name)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert theirs.spec is not None
    assert ours.unwrapped.worlds.params.max_episode_steps[0] == theirs.spec.max_episode_steps  # pyright: ignore


@pytest.mark.parametrize("name", FIELDS)
def test_first_states_are_spread_as_gymnasiums_are(name: str) -> None:
    ours, _ = envs.make_vec(f"quintet/{name}", 4000).reset(seed=3)
    theirs = gymnasium.make(name)
    rows = np.stack([theirs.reset(seed=seed)[0] for seed in range(1500)])
    assert np.allclose(ours.mean(0), rows.mean(0), atol=0.08) and np.allclose(ours.std(0), rows.std(0), atol=0.05)
    assert (ours.min(0).values.numpy() >= rows.min(0) - 0.02).all()
    assert (ours.max(0).values.numpy() <= rows.max(0) + 0.02).all()


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("CartPole-v1", "masspole", -1, "masspole must be above 0, got -1"),
        ("CartPole-v1", "gravity", float("nan"), "gravity must be a finite number, got nan"),
        ("CartPole-v1", "gravty", 1, r"no option 'gravty' \(did you mean 'gravity'"),
        ("CartPole-v1", "kinematics_integrator", "rk4", "must be one of 'euler', 'semi-implicit euler', got 'rk4'"),
        ("MountainCar-v0", "force", 0, "force must be above 0, got 0"),
        ("MountainCarContinuous-v0", "goal_velocity", float("inf"), "goal_velocity must be a finite number, got inf"),
        ("Pendulum-v1", "length", 0, "length must be above 0, got 0"),
        ("Acrobot-v1", "book_or_nips", "blog", "book_or_nips must be one of 'book', 'nips', got 'blog'"),
    ],
)
def test_bad_options_are_named(name: str, option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make_vec(f"quintet/{name}", 1, **{option: value})


def test_a_changed_param_is_the_option_it_is_named_after() -> None:
    changed, made = envs.make_vec("quintet/CartPole-v1", 3), envs.make_vec("quintet/CartPole-v1", 3, masspole=0.4)
    changed.set_params(masspole=0.4)
    changed.reset()
    made.reset()
    assert (changed.step([0, 1, 0])[0] == made.step([0, 1, 0])[0]).all()
