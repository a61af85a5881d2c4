"""Environments that break while an agent learns: the error names them, and what was learned is kept."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents import checkpoint
from experiments import runs
from experiments.cli import main


class Breaking(gymnasium.Env):
    """Does something wrong in step 295 of its life, or 300, an episode's last; an episode takes 10 steps."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, fault: str = "", continuous: bool = False) -> None:
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)
        self.fault, self.steps = fault, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.steps += 1
        broken = self.fault if self.steps == (300 if self.fault == "final" else 295) else ""
        if broken == "raises":
            raise KeyError("the cabbage")
        obs = np.zeros(4 if broken in ("shape", "final") else 3, np.float32)
        return obs, float("nan") if broken == "nan" else 1.0, self.steps % 10 == 0, False, {}


gymnasium.register("Breaking-v0", f"{__name__}:Breaking", disable_env_checker=True, order_enforce=False)
SMALL = ["--learning-starts", "50", "--batch-size", "8", "--train-frequency", "8", "--log-every", "100"]
SMALL += ["--num-envs", "2", "--hidden-sizes", "8", "--eval-episodes", "0"]


@pytest.mark.parametrize("algorithm", ["dqn", "ddpg"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "its step failed with KeyError: 'the cabbage'"),
        ("shape", "its step failed with ValueError: "),
        ("final", "its last observation has shape (4,) where its space promises (3,)"),
        ("nan", "its world 0 gave the reward nan"),
    ],
)
def test_a_broken_environment_is_named_and_what_was_learned_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture, algorithm: str, fault: str, said: str
) -> None:
    words = ["train", algorithm, "Breaking-v0", *SMALL, "--total-timesteps", "1000", "--runs-dir", str(tmp_path)]
    words += ["--env.continuous", str(algorithm == "ddpg")]
    assert main([*words, "--env.fault", fault]) == 2
    errors = capsys.readouterr().err
    (run,) = runs.known_runs(tmp_path)
    assert f"Breaking-v0 broke down after {592 if fault == 'final' else 584} steps: {said}" in errors
    assert "Traceback" not in errors and f"--resume {run}" in errors
    saved = checkpoint.load(runs.find_checkpoint(run))["train"]
    assert saved["global_step"] > 500 and saved["num_updates"] > 50
    assert main(["train", "--resume", str(run), "--total-timesteps", "1100", "--eval-episodes", "1"]) == 0


def test_a_run_stops_at_a_return(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["train", "dqn", "Breaking-v0", *SMALL, "--total-timesteps", "5000", "--runs-dir", str(tmp_path)]
    assert main([*words, "--stop-at-return", "10"]) == 0
    said = capsys.readouterr().out
    (run,) = runs.known_runs(tmp_path)
    assert checkpoint.load(runs.find_checkpoint(run))["train"]["global_step"] == 504
    assert "replay of 100,000 transitions: " in said


def test_what_does_not_fit_into_memory_is_told_before_training(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["train", "dqn", "Breaking-v0", *SMALL, "--buffer-size", "10000000000000", "--runs-dir", str(tmp_path)]
    assert main(words) == 2
    assert "Breaking-v0: a replay of 10,000,000,000,000 transitions takes" in capsys.readouterr().err
