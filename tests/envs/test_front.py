"""What compiled rules would do wrong without a word is told where rules are plain Python, QUINTET_DEBUG=1."""

import os
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.engine import World, real, rule
from envs.engine.races import find_races
from envs.engine.rules import DEBUG

STATE = np.dtype([("h", np.int32, (4,)), ("v", np.int32)])
PARAMS = np.zeros(1, np.dtype([("w", np.int32, (3,))]))
TABLES = {"t": np.array([5, 6, 7], np.int32), "u": np.array([(5,), (6,)], np.dtype([("a", np.int32)]))}


@rule
def reset(state):
    for i in range(4):
        state.h[i] = np.int32(i)
    state.v = np.int32(0)


@rule
def forgets_a_field(state):
    for i in range(4):
        state.h[i] = np.int32(i)


@rule
def forgets_an_element(state):
    for i in range(3):
        state.h[i] = np.int32(i)
    state.v = np.int32(0)


@rule
def does_nothing(state):
    state.v = np.int32(0)


@rule
def writes_the_last(state):
    state.h[state.v - 1] = np.int32(9)


@rule
def reads_the_last(state):
    state.v = state.h[state.v - 1] * np.int32(0)


@rule
def reads_params(state, params):
    state.v = params.w[state.v - 1] * np.int32(0)


@rule
def reads_a_table(state, tables):
    state.v = tables.t[state.v - 1] * np.int32(0)


@rule
def reads_records(state, tables):
    state.v = tables.u[state.v - 1].a * np.int32(0)


@rule
def writes_a_table(state, tables):
    tables.t[0] = np.int32(1)


@rule
def writes_params(state, params):
    params.w[0] = np.int32(1)


@rule
def observe(state, obs):
    obs[0] = real(1)
    obs[1] = real(2)


@rule
def writes_behind(state, obs):
    obs[0] = real(1)
    obs[-1] = real(2)


@rule
def forgets_a_number(state, obs):
    obs[0] = real(1)


def world(**rules):
    given = {"reset": reset, "step": does_nothing, "observe": observe} | rules
    return World(
        name="Front", state=STATE, params=PARAMS, tables=TABLES, **given,
        observation_space=spaces.Box(-9, 9, (2,), np.float32), action_space=spaces.Discrete(2),
    )  # fmt: skip


def plays(**rules):
    made = envs.make_vec(world(**rules), 2)
    made.reset(seed=0)
    made.step([0, 0])


RAISING = (
    ("step", writes_the_last), ("step", reads_the_last), ("step", reads_params), ("step", reads_a_table),
    ("step", reads_records), ("step", writes_a_table), ("step", writes_params), ("observe", writes_behind),
)  # fmt: skip
REPORTED = (
    ("reset", forgets_a_field, "reset does not write state.v; what is there at first is of another episode"),
    ("reset", forgets_an_element, "reset does not write state.h[3]; what is there at first is of another episode"),
    ("observe", forgets_a_number, "observe does not write obs[1], which is then any number"),
)


def main() -> None:
    """Under QUINTET_DEBUG=1."""
    plays()
    assert find_races(world(), 3) == []
    for part, wrong in RAISING:
        for attempt in (plays, lambda **rules: find_races(world(**rules), 3)):
            with pytest.raises((IndexError, ValueError), match=r"count from the front|read-only"):
                attempt(**{part: wrong})
    for part, wrong, said in REPORTED:
        assert find_races(world(**{part: wrong}), 3) == [said]
    assert TABLES["t"].tolist() == [5, 6, 7]


def test_indices_from_the_end_writes_into_tables_and_what_is_left_unwritten_are_told() -> None:
    environ = {**os.environ, "QUINTET_DEBUG": "1"}
    done = subprocess.run([sys.executable, "-m", "tests.envs.test_front"], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_batch_has_tables_of_its_own() -> None:
    """Compiled rules can write into them, and none of it reaches the world."""
    assert not DEBUG
    plays(step=writes_a_table)
    assert TABLES["t"].tolist() == [5, 6, 7]


if __name__ == "__main__":
    main()
