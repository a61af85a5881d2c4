"""Constants and clocks in a compiled driver: neither changes what is played."""

from dataclasses import replace

import numpy as np
import pytest

import envs
from envs.engine.profile import profiled
from tests.games import build, play

CARTPOLE = "quintet/CartPole-v1"


def test_a_fixed_param_plays_the_same_and_stays_as_built() -> None:
    world = build(CARTPOLE, gravity=8.0)
    fixed = envs.make_vec(replace(world, fixed=("gravity",)), 16, seed=3)
    assert play(fixed, 200) == play(envs.make_vec(world, 16, seed=3), 200)
    with pytest.raises(ValueError, match="gravity is fixed when a world is built"):
        fixed.set_params(gravity=9.0)
    saved = envs.make_vec(world, 16, seed=3)
    saved.set_params(gravity=9.0)
    saved.reset()
    with pytest.raises(ValueError, match="fixed"):
        fixed.load_state(saved.save_state())


@pytest.mark.parametrize("value", [8.0, 20.0])
def test_each_fixed_value_has_a_driver_of_its_own(value: float) -> None:
    fixed = envs.make_vec(replace(build(CARTPOLE, gravity=value), fixed=("gravity",)), 4, seed=3)
    assert play(fixed, 100) == play(envs.make_vec(build(CARTPOLE, gravity=value), 4, seed=3), 100)


def test_what_is_fixed_must_be_a_single_number_of_params() -> None:
    world = build(CARTPOLE)
    with pytest.raises(ValueError, match="'gravty', which is no field of params"):
        replace(world, fixed=("gravty",))
    assert world.params is not None
    rows = np.repeat(world.params, 2)
    rows["gravity"] = [9, 10]
    with pytest.raises(ValueError, match="one number, the same in every row"):
        replace(world, params=rows, fixed=("gravity",))


def test_a_profiled_world_plays_the_same_and_its_clock_runs_in_every_phase() -> None:
    world, names = profiled(build(CARTPOLE))
    env = envs.make_vec(world, 16, seed=5)
    assert play(env, 200) == play(envs.make_vec(CARTPOLE, 16, seed=5), 200)
    assert names[0] == "rest and mask" and all(name.startswith(("step: ", "observe: ")) for name in names[1:])
    assert (env.tables["clock"] > 0).all() and env.tables["clock"].shape == (len(names) + 1,)
