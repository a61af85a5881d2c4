"""Under QUINTET_DEBUG=1 rules are ordinary Python, in which a breakpoint stops."""

import os
import subprocess
import sys
from pathlib import Path

WORLD = """
import numpy as np
from gymnasium import spaces
from envs.engine import World, rule
STATE = np.dtype([("x", np.int32)])
@rule
def reset(state):
    state.x = 0
@rule
def step(state):
    state.x += 1
    if state.x == 2:
        breakpoint()
@rule
def observe(state, obs):
    obs[0] = state.x
WORLD = World(name="Stops", state=STATE, reset=reset, step=step, observe=observe,
              observation_space=spaces.Discrete(9), action_space=spaces.Discrete(2))
"""
HOOK = """
import sys
def stop():
    frame = sys._getframe(1)
    print("stopped in", frame.f_code.co_name, "of", frame.f_code.co_filename.rsplit("/", 1)[-1], "with x =",
          frame.f_locals["state"].x)
"""
PROGRAM = "import envs, stops; env = envs.make_vec(stops.WORLD, 1); env.reset(); [env.step([0]) for _ in range(3)]"


def test_a_breakpoint_in_a_rule_stops(tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(WORLD)
    (tmp_path / "hook.py").write_text(HOOK)
    environ = {**os.environ, "QUINTET_DEBUG": "1", "PYTHONBREAKPOINT": "hook.stop"}
    environ["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{os.getcwd()}"
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["stopped in step of stops.py with x = 2"]
