"""What a stranger's world or call may get wrong, and what the engine once got wrong with it."""

import copy
import pickle
import random
import subprocess
import sys
import textwrap
from enum import Enum
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import envs
from envs.arena import parallel_env
from envs.engine import ObsField, World, real, rule
from envs.engine.canvas import Canvas
from envs.engine.rules import ActionLayout
from envs.gridworld.levels import Level
from tests.probe_worlds import pennies

STATE = np.dtype([("x", np.int32)])


class Color(Enum):
    RED = "red"


@rule
def reset(state):
    state.x = 0


@rule
def step(state):
    state.x += 1
    state.reward[0] = real(state.x)


@rule
def observe(state, obs):
    obs[0] = real(state.x)


@rule
def mask(state, mask):
    mask[0] = True


def plain_function(state):
    state.x = 0


def world(**fields: Any) -> World:
    given: dict[str, Any] = {
        "name": "Fault", "state": STATE, "reset": reset, "step": step, "observe": observe,
        "observation_space": spaces.Box(-1, 1, (1,), np.float32), "action_space": spaces.Discrete(3),
    }  # fmt: skip
    return World(**(given | fields))


@rule
def asks_seat(state, seat):
    state.reward[seat] += real(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"step": asks_seat}, r"step rule asks_seat asks for \['seat'\]; there the engine gives state, params, tables"),
        ({"step": plain_function}, "plain_function, in step, is no rule; define it by def and put @rule above it"),
        ({"step": (step, 3)}, "step must be a rule or a list of rules"),
        ({"mask": [(step, 0)]}, "mask must be a rule or a list of rules"),
        ({"step": [(step, 0)]}, "counts of 1 or more"),
        ({"step": [(step, 2, 0)]}, "counts of 1 or more"),
        ({"name": 'a"""b'}, "a world's name is of letters"),
        ({"mask": mask, "action_layout": ActionLayout((2,))}, r"action_layout must have the sizes \(3,\)"),
        (
            {"action_space": spaces.MultiDiscrete([3, 2]), "action_layout": ActionLayout((3, 2), ((0, 0),))},
            "3 kinds of -1 or more",
        ),
        ({"action_space": spaces.MultiDiscrete([3, 2]), "action_layout": ActionLayout((3, 2))}, "for each part but"),
        ({"params": np.zeros(0, STATE)}, "params must be one or more rows"),
        ({"params": np.zeros(2)}, "params must be one or more rows of a structured dtype"),
        ({"state": np.dtype([("round", np.int32)])}, r"state has fields \['round'\], which NumPy or the engine owns"),
        ({"params": np.zeros(1, [("frame_skip", np.int32)])}, "params has fields"),
        ({"tables": {"a-b": np.zeros(3)}}, "tables are read as tables.NAME"),
        ({"tables": {"a": [1, 2]}}, "table 'a' must be a flat array"),
        ({"state": [("x", np.int32)]}, r"state must be np.dtype\(\[\(name, type\)"),
        ({"params": {"length": 3}}, "params must be np.array"),
        ({"mask": mask, "action_layout": (3,)}, "action_layout must be an ActionLayout"),
        ({"num_seats": 0}, "num_seats must be at least 1, got 0"),
        ({"max_episode_steps": 60.5}, "max_episode_steps must be whole numbers, got 60.5"),
        ({"max_episode_steps": [3, 4]}, "max_episode_steps has 2 numbers for 1 rows of params"),
        ({"observation_space": spaces.Box(-1, 1, (1,), np.float64)}, "Box is of np.float32 or np.uint8"),
        ({"state": np.dtype([("x", object)])}, "state field 'x' must be of numbers, got object"),
        ({"obs_layout": {"own": (slice(0, 1), (1,))}}, r"obs_layout\['own'\] must be an ObsField"),
        ({"obs_layout": {"own": ObsField(slice(0, 2), (2,))}}, "must be a slice within the 1 numbers of a row"),
        ({"obs_layout": {"own": ObsField(slice(0, 1), (2,))}}, r"as many as its shape \(2,\) holds"),
    ],
)
def test_a_wrong_world_is_refused_when_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world(**fields)


@rule
def writes_what_is_not_there(state):
    state.z = 1


@rule
def prints(state):
    print(state.x)


@rule
def asserts(state):
    assert state.x < 9


@rule
def calls_itself(state):
    if state.x > 0:
        calls_itself(state)


@rule
def draws_by_numpy(state):
    state.x = np.random.randint(3)


@rule
def draws_by_python(state):
    state.x = random.randrange(3)


@rule
def makes_a_list(state):
    numbers = [1, state.x]
    state.x = numbers[0]


@rule
def calls_numpy(state):
    state.x = np.clip(state.x, 0, 3)


@rule
def calls_no_rule(state):
    plain_function(state)


COUNT = 0


@rule
def writes_a_global(state):
    global COUNT
    COUNT += 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (writes_what_is_not_there, "the rules can't be compiled: .*'z'"),
        (prints, "the rule prints prints, which compiled rules can't"),
        (asserts, "the rule asserts raises or asserts, which compiled rules can't"),
        (calls_itself, "the rule calls_itself calls itself"),
        (draws_by_numpy, r"draws_by_numpy draws from np.random; use randint or uniform of envs.engine"),
        (draws_by_python, "draws_by_python draws from random; use randint"),
        (makes_a_list, r"rules can't make lists.*test_engine_faults.py"),
        (calls_numpy, "rules can't call clip so"),
        (calls_no_rule, "plain_function is neither a number nor a rule.* put @rule above it"),
        (writes_a_global, "STORE_GLOBAL.*in writes_a_global"),
    ],
)
def test_a_rule_that_can_not_be_compiled_says_why(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make_vec(world(step=wrong), 2, num_threads=1).reset()  # pyright: ignore


def test_a_seat_that_nobody_plays_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Pennies has no scripted players for the seats \[1\]; take all"):
        envs.make_vec(pennies(), 2, seats=(0,))
    assert envs.make_vec(pennies(), 2).num_envs == 4


def test_threads_compile_side_by_side_and_numba_stays_as_it_is(tmp_path: Path) -> None:
    """In a process of its own with an empty cache: two worlds and a user's own function at once."""
    code = """
        import threading, numba, numpy as np, envs
        errors = []
        def make(id):
            try:
                envs.make_vec(id, 2, num_threads=1).reset()
            except Exception as error:
                errors.append(repr(error))
        ids = ("quintet/CartPole-v1", "quintet/MountainCar-v0")
        threads = [threading.Thread(target=make, args=(id,)) for id in ids]
        for thread in threads:
            thread.start()
        found = [numba.njit(lambda a: a[-1] + k)(np.arange(5)) for k in range(20)]
        for thread in threads:
            thread.join()
        assert not errors, errors
        assert found == list(range(4, 24)), found
        assert numba.njit(lambda a: a[-1])(np.arange(5)) == 4
    """
    environment = {"QUINTET_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


READERS = {
    "module in a module": ("import box", "box.inner.K", "K = {}", "from package import inner"),
    "tuple": ("import box", "box.K[0]", "", "K = ({}, 1)"),
    "enum": ("import box", "box.K.A", "", "from enum import IntEnum\nclass K(IntEnum):\n    A = {}"),
}


@pytest.mark.parametrize("how", READERS)
def test_an_edited_constant_is_compiled_anew_however_it_is_read(tmp_path: Path, how: str) -> None:
    header, read, inner, outer = READERS[how]
    code = f"""
        import numpy as np, envs
        from gymnasium import spaces
        from envs.engine import World, rule, real
        {header}
        @rule
        def reset(state):
            state.x = 0
        @rule
        def step(state):
            state.x = {read}
        @rule
        def observe(state, obs):
            obs[0] = real(state.x)
        made = envs.make_vec(World(name="Stale", state=np.dtype([("x", np.int32)]), reset=reset, step=step,
            observe=observe, observation_space=spaces.Box(-9, 9, (1,), np.float32),
            action_space=spaces.Discrete(2)), 1, num_threads=1)
        made.reset()
        print(int(made.step(np.zeros(1, int))[0][0, 0]))
    """
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "main.py").write_text(textwrap.dedent(code))
    environment = {
        "QUINTET_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{Path.cwd()}:{tmp_path}",
    }  # fmt: skip
    told = []
    for value in (3, 8):
        (tmp_path / "package" / "inner.py").write_text(inner.format(value))
        (tmp_path / "box.py").write_text(outer.format(value))
        done = subprocess.run(
            [sys.executable, str(tmp_path / "main.py")], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        told.append(done.stdout.strip())
    assert told == ["3", "8"]


@pytest.mark.parametrize("id", ["quintet/CartPole-v1", "quintet/GridWorld-v0"])
def test_a_deep_copy_goes_on_by_itself(id: str) -> None:
    env = envs.make_vec(id, 3, num_threads=1)
    env.reset(seed=4)
    actions = np.zeros(3, np.int64)
    env.step(actions)
    other = copy.deepcopy(env)
    for _ in range(30):
        assert torch.equal(env.step(actions)[0], other.step(actions)[0])
    first = other.reset(seed=9)[0]
    assert torch.equal(first, envs.make_vec(id, 3, num_threads=1).reset(seed=9)[0])
    single = gymnasium.make(id)
    single.reset(seed=1)
    twin = copy.deepcopy(single)
    assert np.array_equal(single.step(0)[0], twin.step(0)[0])
    with pytest.raises(TypeError, match="load_state"):
        pickle.dumps(env)


def test_a_wrong_reset_changes_nothing() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 2, num_threads=1)
    env.reset(seed=1)
    before = env.save_state()
    for options in ({"reset_mask": [True, False]}, {"no": 1}):
        with pytest.raises(ValueError):
            env.reset(seed=5, options=options)
        assert torch.equal(env.save_state()["records"], before["records"])
    env.step(np.zeros(2, np.int64))


def test_read_only_actions_are_taken_by_the_same_kernel() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 2, num_threads=1)
    env.reset()
    env.step(np.zeros(2, np.int64))
    drive = env._kernels.drive
    before = len(drive.signatures)  # pyright: ignore
    env.step(np.frombuffer(np.zeros(2, np.int64).tobytes(), np.int64))
    assert len(drive.signatures) == before  # pyright: ignore


def test_spaces_of_two_envs_draw_by_themselves() -> None:
    made = world()
    one, two = (envs.make_vec(made, 1, num_threads=1).single_action_space for _ in range(2))  # pyright: ignore
    one.seed(1)
    two.seed(1)
    assert [one.sample() for _ in range(8)] == [two.sample() for _ in range(8)]


def test_out_is_read_as_it_is_now() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 2, num_threads=1)
    env.reset()
    obs, rewards, terminated, truncated, _ = env.step(np.zeros(2, np.int64))
    out = {"obs": obs, "rewards": rewards, "terminated": terminated, "truncated": truncated}
    for _ in range(3):
        env.step(np.zeros(2, np.int64), out=out)
    out["returns"] = torch.full((2,), 7.0)
    env.step(np.zeros(2, np.int64), out=out)
    assert out["returns"].tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"out has \['fianl_obs'\]; what can be written is obs, rewards"):
        env.step(np.zeros(2, np.int64), out=out | {"fianl_obs": obs})
    del out["rewards"]
    with pytest.raises(ValueError, match="out lacks 'rewards'"):
        env.step(np.zeros(2, np.int64), out=out)


def test_dicts_that_come_once_are_not_kept() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 2, num_threads=1)
    obs, _ = env.reset()
    flags = torch.zeros(2, dtype=torch.bool)
    for _ in range(50):
        out = {"obs": obs.clone(), "rewards": torch.zeros(2), "terminated": flags.clone(), "truncated": flags.clone()}
        env.step(np.zeros(2, np.int64), out=out)
    assert sum(kept is not None for kept, *_ in env._kept_views.values()) <= 1


def test_the_world_s_own_limit_can_be_moved() -> None:
    env = gymnasium.make("quintet/MountainCar-v0")
    env.unwrapped.worlds.set_params(max_episode_steps=250)  # pyright: ignore
    env.reset(seed=1)
    assert next(t for t in range(1, 301) if env.step(1)[3]) == 250


def test_an_episode_is_told_once_where_nothing_resets() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 1, num_threads=1, autoreset_mode="Disabled")
    env.reset()
    told = ["episode" in env.step(np.zeros(1, np.int64))[4] for _ in range(40)]
    assert sum(told) == 1


def test_a_state_of_other_seats_is_refused() -> None:
    both, one = (envs.make_vec("quintet/Duel-v0", 1, num_threads=1, seats=seats) for seats in ("all", (0,)))
    both.reset()
    one.reset()
    with pytest.raises(ValueError, match=r"the caller plays some of the seats \[1\]"):
        one.load_state(both.save_state())


def test_a_state_before_any_episode_begins_none() -> None:
    env = envs.make_vec("quintet/CartPole-v1", 1, num_threads=1)
    saved = env.save_state()
    env.reset()
    env.load_state(saved)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(1, np.int64))


def test_agents_of_pettingzoo_need_a_reset_and_actions_of_their_shape() -> None:
    env = parallel_env()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step({})
    env.reset()
    with pytest.raises(ValueError, match=r"must have the shape \(3,\), that of seat_0 has \(2,\)"):
        env.step({agent: [0, 0] for agent in env.agents})
    assert env.action_space("seat_0") is not env.action_space("seat_1")


def test_one_of_two_windows_may_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    one, two = (Canvas((60, 40), window=name) for name in ("one", "two"))
    one.show()
    one.close()
    two.show()
    two.close()


@pytest.mark.parametrize(
    ("rows", "message"), [((), "there is no map"), (("S.", "G"), "this row has 1 cells"), (("..", ".G"), "no start")]
)
def test_levels_made_by_hand_are_checked(rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Level("mine", rows)
