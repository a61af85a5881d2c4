"""Compiled code on disk: a second process hits, an edited rule misses, a folder that can't be written is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELPER = """
from envs.engine.rules import rule
import numpy as np
@rule
def bonus(state):
    return np.float32(REWARD)
"""
WORLD = """
import numpy as np
from gymnasium import spaces
from envs.engine.rules import World, rule
from helper import bonus
@rule
def reset(state):
    state.x = np.int32(0)
@rule
def step(state):
    state.x += np.int32(1)
    state.reward[0] = bonus(state)
@rule
def observe(state, obs):
    obs[0] = state.x
WORLD = World(name="Tiny", state=np.dtype([("x", np.int32)]), reset=reset, step=step, observe=observe,
              observation_space=spaces.Discrete(9), action_space=spaces.Discrete(2), max_episode_steps=3)
"""
PROGRAM = """
import envs, tiny
env = envs.make_vec(tiny.WORLD, 1)
env.reset()
reward = env.step([0])[1]
stats = env._kernels.drive.stats
print(float(reward), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run(folder: Path, cache: Path, program: str = PROGRAM) -> tuple[str, str]:
    """Plays one step of the world in `folder`, or another program; returns what it printed."""
    environ = {**os.environ, "QUINTET_CACHE_DIR": str(cache), "PYTHONPATH": f"{folder}{os.pathsep}{os.getcwd()}"}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_second_process_hits_and_an_edited_callee_misses(tmp_path: Path) -> None:
    helper, cache = tmp_path / "helper.py", tmp_path / "cache"
    (tmp_path / "tiny.py").write_text(WORLD)
    helper.write_text(HELPER.replace("REWARD", "2.5"))
    assert run(tmp_path, cache)[0] == "2.5 0 1"
    assert run(tmp_path, cache)[0] == "2.5 1 0"
    helper.write_text(HELPER.replace("REWARD", "7.5"))
    assert run(tmp_path, cache)[0] == "7.5 0 1"
    helper.write_text("# a comment\n" + HELPER.replace("REWARD", "2.5"))
    assert run(tmp_path, cache)[0] == "2.5 1 0"


def test_rules_in_a_file_by_another_name_are_found(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(WORLD)
    (tmp_path / "helper.py").write_text(HELPER.replace("REWARD", "2.5"))
    assert run(tmp_path, tmp_path / "cache")[0] == "2.5 0 1"
    (tmp_path / "helper.py").rename(tmp_path / "aid.py")
    (tmp_path / "tiny.py").write_text(WORLD.replace("from helper", "from aid"))
    assert run(tmp_path, tmp_path / "cache")[0] == "2.5 0 1"


@pytest.mark.parametrize(("ending", "content"), [("nbi", b""), ("nbc", None)])
def test_what_is_damaged_in_the_cache_is_compiled_anew(tmp_path: Path, ending: str, content: bytes | None) -> None:
    (tmp_path / "tiny.py").write_text(WORLD)
    (tmp_path / "helper.py").write_text(HELPER.replace("REWARD", "2.5"))
    cache = tmp_path / "cache"
    assert run(tmp_path, cache)[0] == "2.5 0 1"
    for path in cache.rglob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert run(tmp_path, cache)[0] == "2.5 0 1"
    assert run(tmp_path, cache)[0] == "2.5 1 0"


FULL_DISK = """
import errno
from numba.core.caching import IndexDataCacheFile
def save(self, key, data):
    raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile.save = save
"""


def test_a_full_disk_is_said_and_play_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(FULL_DISK + WORLD)
    (tmp_path / "helper.py").write_text(HELPER.replace("REWARD", "2.5"))
    printed, warned = run(tmp_path, tmp_path / "cache")
    assert printed == "2.5 0 1"
    assert "can't be cached" in warned and "No space left on device" in warned


CHANGED = """
import envs, helper, tiny, torch
helper.AMOUNT = 2.5
one = envs.make_vec(tiny.WORLD, 1)
helper.AMOUNT = 7.5
try:
    one.reset()
except ValueError as error:
    print(error)
other = envs.make_vec(tiny.WORLD, 1)
other.reset()
print(float(other.step([0])[1]))
"""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_global_that_changes_before_rules_are_compiled_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    (tmp_path / "tiny.py").write_text(WORLD)
    (tmp_path / "helper.py").write_text("AMOUNT = 0.0\n" + HELPER.replace("REWARD", "AMOUNT"))
    if device == "cuda":
        for name in ("NUMBA_ENABLE_CUDASIM", "QUINTET_DEBUG"):
            monkeypatch.setenv(name, "1")
    program = CHANGED.replace("WORLD, 1", f"WORLD, 1, device={device!r}").replace(
        "step([0])", "step(torch.tensor([0]))"
    )
    refused, reward = run(tmp_path, tmp_path / "cache", program)[0].splitlines()
    assert "a global that its rules read is not what it was" in refused and "in params or tables" in refused
    assert reward == "7.5"


def test_a_cache_that_cannot_be_written_is_said_and_play_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(WORLD)
    (tmp_path / "helper.py").write_text(HELPER.replace("REWARD", "2.5"))
    blocked = tmp_path / "cache"
    blocked.write_text("a file where the folder should be")
    printed, warned = run(tmp_path, blocked)
    assert printed == "2.5 0 1"
    assert "can't be cached" in warned and "QUINTET_CACHE_DIR" in warned
