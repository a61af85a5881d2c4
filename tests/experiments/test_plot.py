"""Curves of runs: seeds are averaged, other settings apart, and what can't be drawn is said."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from experiments import runs
from experiments.cli import main
from experiments.plot import average, label


def run_of(folder: Path, name: str, seed: int, values: list[float], **config: float) -> Path:
    """A run folder with a metric at steps 10, 20, ..."""
    run = folder / name
    run.mkdir()
    settings = runs.RunConfig("ppo", "quintet/CartPole-v1", {}, {"seed": seed, **config})
    (run / "config.json").write_text(json.dumps(asdict(settings)))
    rows = [f"{10 * (i + 1)},{value}" for i, value in enumerate(values)]
    (run / "metrics.csv").write_text("\n".join(["step,charts/episodic_return", *rows, "999,"]) + "\n")
    times = [f"{10 * (i + 1)},{i + 1}" for i in range(len(values))]
    (run / "timings.csv").write_text("\n".join(["step,seconds", *times]) + "\n")
    return run


def test_seeds_of_one_setting_are_one_curve(tmp_path: Path) -> None:
    one = run_of(tmp_path, "a", 1, [1, 2, 3], gamma=0.9)
    two = run_of(tmp_path, "b", 2, [3, 4, 5], gamma=0.9)
    other = run_of(tmp_path, "c", 1, [9, 9, 9], gamma=0.5)
    out = tmp_path / "curves.png"
    assert main(["plot", str(one), str(two), str(other), "--out", str(out)]) == 0
    assert out.stat().st_size > 10_000
    with open(out.with_suffix(".csv")) as file:
        rows = list(csv.reader(file))[1:]
    names = {row[0] for row in rows}
    assert len(names) == 2 and all(name.startswith("ppo quintet/CartPole-v1 (") for name in names)
    same = [row[1:] for row in rows if row[0] == label(runs.read_config(one))]
    assert [[float(x) for x in row] for row in same] == [[10, 2, 1, 3], [20, 3, 2, 4], [30, 4, 3, 5]]


def test_uneven_runs_are_averaged_as_far_as_all_of_them_go() -> None:
    long, short = (np.array([10.0, 20, 30, 40]), np.array([1.0, 1, 1, 1])), (np.array([10.0, 20]), np.array([3.0, 5]))
    found = average([long, short])
    assert found["x"].tolist() == [10, 20]
    assert found["mean"].tolist() == [2, 3] and found["high"].tolist() == [3, 5]


def test_runs_with_values_at_other_places_are_averaged_along_their_lines() -> None:
    slow, fast = (np.arange(12.0, 145, 12), np.full(12, 15.0)), (np.arange(10.0, 121, 10), np.full(12, 30.0))
    found = average([slow, fast])
    assert len(found["x"]) > 15 and found["x"].max() <= 120
    assert (found["mean"] == 22.5).all() and (found["low"] == 15).all() and (found["high"] == 30).all()
    ramp = average([(np.array([0.0, 100]), np.array([0.0, 10])), (np.arange(1.0, 101), np.zeros(100))])
    assert ramp["high"] == pytest.approx(ramp["x"] / 10, abs=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which runs"),
        (["nowhere"], "does not exist"),
        (["RUN", "--y", "charts/wins"], "no metric 'charts/wins'; there are: charts/episodic_return"),
        (["RUN", "--x", "hours"], "one of step, seconds, got 'hours'"),
    ],
)
def test_what_cant_be_drawn_is_said(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path, "RUN", 1, [1, 2])
    assert main(["plot", *words]) == 2
    assert said in capsys.readouterr().err
