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
    """Does something wrong in step 295 of its life, or 300, an episode's last; an episode takes 10 steps.

    Faults that begin with "reset" are in its first reset.
    """

    def __init__(self, fault: str = "", continuous: bool = False) -> None:
        whole = fault in ("beyond", "reset beyond")
        self.observation_space = spaces.Discrete(5) if whole else spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)
        self.fault, self.steps = fault, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if self.fault == "reset raises":
            raise KeyError("the goat")
        return self.seen(self.fault.removeprefix("reset ") if self.fault.startswith("reset") else ""), {}

    def seen(self, fault: str) -> Any:
        """An observation, as it should be or not."""
        if isinstance(self.observation_space, spaces.Discrete):
            return 7 if fault == "beyond" else 4
        obs = np.zeros(4 if fault in ("shape", "final") else 3, np.float32)
        return {"endless": obs + np.inf, "words": "abc"}.get(fault, obs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self.steps += 1
        broken = self.fault if self.steps == (300 if self.fault in ("final", "words") else 295) else ""
        if broken == "raises":
            raise KeyError("the cabbage")
        return self.seen(broken), float("nan") if broken == "nan" else 1.0, self.steps % 10 == 0, False, {}


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
        ("endless", "its step failed with ValueError: it showed [inf, inf, inf], which is not in Box(-1.0, 1.0, (3,)"),
        ("beyond", "its step failed with ValueError: it showed 7, which is not in Discrete(5)"),
        ("words", "its step failed with TypeError: "),
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
    assert f"Breaking-v0 broke down after {592 if fault in ('final', 'words') else 584} steps: {said}" in errors
    assert "Traceback" not in errors and f"--resume {run}" in errors
    saved = checkpoint.load(runs.find_checkpoint(run))["train"]
    assert saved["global_step"] > 500 and saved["num_updates"] > 50
    assert main(["train", "--resume", str(run), "--total-timesteps", "1100", "--eval-episodes", "1"]) == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "its reset failed with KeyError: 'the goat'"),
        (
            "shape",
            "its reset failed with ValueError: Output array is the wrong shape; rewards must be numbers, and obs",
        ),
        ("endless", "its reset failed with ValueError: it showed [inf, inf, inf], which is not in Box"),
        ("beyond", "its reset failed with ValueError: it showed 7, which is not in Discrete(5)"),
    ],
)
def test_an_environment_that_can_not_begin_leaves_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture, fault: str, said: str
) -> None:
    words = ["train", "dqn", "Breaking-v0", *SMALL, "--runs-dir", str(tmp_path)]
    assert main([*words, "--env.fault", f"reset {fault}"]) == 2
    assert f"Breaking-v0: {said}" in capsys.readouterr().err
    assert not runs.known_runs(tmp_path)


def test_an_environment_that_breaks_while_it_is_evaluated_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["train", "dqn", "Breaking-v0", *SMALL, "--total-timesteps", "100", "--runs-dir", str(tmp_path)]
    assert main([*words, "--env.fault", "raises", "--eval-episodes", "400"]) == 2
    assert "Breaking-v0 broke down while the agent was evaluated: its step failed" in capsys.readouterr().err
    (run,) = runs.known_runs(tmp_path)
    assert main(["evaluate", str(run), "--episodes", "400"]) == 2
    assert "Breaking-v0 broke down: its step failed" in capsys.readouterr().err


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
    assert not runs.known_runs(tmp_path)
