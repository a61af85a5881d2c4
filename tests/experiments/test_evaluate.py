"""`quintet evaluate` of several runs: a line each, or one agent together."""

import json
from pathlib import Path

import pytest

from experiments import runs
from experiments.cli import main

GRID = "quintet/GridWorld-v0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tables and a PPO on one level, a table on another."""
    folder = tmp_path_factory.mktemp("runs")
    grid = ["--env.level", "open", "--eval-episodes", "0", "--runs-dir", str(folder)]
    lines = [["q", GRID, "--total-timesteps", "8192", "--num-steps", "16", "--seed", str(seed)] for seed in (1, 2)]
    lines.append(["ppo", GRID, "--total-timesteps", "512", "--num-envs", "4", "--num-steps", "32", "--seed", "3"])
    for line in lines:
        assert main(["train", *line, *grid]) == 0
    other = [*grid[2:], "--env.level", "cliff"]
    assert main(["train", "q", GRID, "--total-timesteps", "512", "--seed", "4", *other]) == 0
    return folder


def named(folder: Path, seed: int) -> str:
    """The run of a seed."""
    return str(next(run for run in runs.known_runs(folder) if f"__{seed}__" in run.name))


def test_several_runs_have_a_line_each(folder: Path, capsys: pytest.CaptureFixture) -> None:
    several = [named(folder, seed) for seed in (1, 2, 4)]
    capsys.readouterr()
    assert main(["evaluate", *several, "--episodes", "5"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert "5 episodes of each" in title
    assert [line.split()[-2].rstrip(",") for line in lines] == several
    assert main(["evaluate", *several, "--episodes", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in found] == several
    assert main(["evaluate", several[1], "--episodes", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found[1]


def test_an_ensemble_of_one_is_the_run_and_of_two_is_another(folder: Path, capsys: pytest.CaptureFixture) -> None:
    first, second = named(folder, 1), named(folder, 2)
    found = {}
    for name, words in {"run": [first], "one": [first, "--ensemble"], "two": [first, second, "--ensemble"]}.items():
        capsys.readouterr()
        assert main(["evaluate", *words, "--episodes", "20", "--json"]) == 0
        found[name] = json.loads(capsys.readouterr().out)
    assert found["one"]["deterministic"] == found["run"]["deterministic"]
    assert found["two"]["checkpoints"] == [str(runs.find_checkpoint(Path(run))) for run in (first, second)]
    assert main(["evaluate", first, second, "--ensemble", "--episodes", "20"]) == 0
    assert f"ensemble of 2 on {GRID}, 20 episodes of each kind" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seeds", "said"), [((1, 4), "needs runs of one environment"), ((1, 3), "have no mean"), ((), "which run")]
)
def test_what_can_not_play_together_is_told(
    folder: Path, capsys: pytest.CaptureFixture, seeds: tuple[int, ...], said: str
) -> None:
    several = [named(folder, seed) for seed in seeds]
    capsys.readouterr()
    assert main(["evaluate", *several, "--ensemble", "--episodes", "5"]) == 2
    assert said in capsys.readouterr().err
