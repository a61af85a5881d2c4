"""The time to a solved task: what counts as solved, and how ours is measured."""

import importlib.util
import math

import pytest

from experiments.bench import solve as bench_solve
from experiments.cli import main


def test_a_run_that_did_not_solve_its_task_took_forever():
    records = [
        {"ours_seconds": 3.0, "ours_mean": 480.0, "theirs_seconds": 9.0, "theirs_mean": 500.0},
        {"ours_seconds": 1.0, "ours_mean": 470.0, "theirs_seconds": 7.0, "theirs_mean": 100.0},
        {"ours_seconds": 5.0, "ours_mean": 500.0, "theirs_seconds": 8.0, "theirs_mean": 200.0},
    ]
    assert bench_solve._median(records, "ours", 475) == 5.0
    assert math.isinf(bench_solve._median(records, "theirs", 475))


def test_ours_stops_at_the_threshold_and_is_judged_by_its_best_actions():
    seconds, mean = bench_solve.ours(bench_solve.TASKS["ppo"], seed=1)
    assert mean >= 475
    assert 0 < seconds < 120


@pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="needs the extra sb3")
def test_theirs_is_judged_the_same_way():
    _, mean = bench_solve.theirs(bench_solve.TASKS["ppo"], seed=1)
    assert mean >= 400


def test_without_the_extra_it_says_what_to_install(capsys):
    if importlib.util.find_spec("stable_baselines3") is not None:
        pytest.skip("it is installed")
    assert main(["bench", "solve"]) != 0
    assert "pip install 'quintet[sb3]'" in capsys.readouterr().err
