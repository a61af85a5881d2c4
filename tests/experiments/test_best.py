"""Evaluations while an agent learns: they change nothing, and the best agent is kept."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from agents import checkpoint
from experiments import runs
from experiments.best import Judge, best_of
from experiments.cli import main
from tests.experiments.test_train import GRID, SMALL, rows, train

EVERY = ["--eval-every", "500", "--checkpoint-every", "1000"]
WORDS = {
    **SMALL,
    "dqn": [
        *("dqn", "CartPole-v1", "--total-timesteps", "2048", "--num-envs", "4", "--learning-starts", "100"),
        *("--log-every", "128", "--prioritized", "--epsilon", "0.3"),
    ],
}


def begin(folder: Path, *words: str) -> Path:
    """A run that was not evaluated at its end, but is while it learns if asked."""
    assert main(["train", *words, "--runs-dir", str(folder)]) == 0
    return runs.known_runs(folder)[0]


@pytest.mark.parametrize("algorithm", WORDS)
def test_evaluating_changes_nothing_that_training_leaves(tmp_path: Path, algorithm: str) -> None:
    watched = begin(tmp_path / "watched", *WORDS[algorithm], *EVERY, "--eval-episodes", "3")
    alone = train(tmp_path / "alone", *WORDS[algorithm], *EVERY[2:])
    for one, other in zip(runs.checkpoints(watched), runs.checkpoints(alone), strict=True):
        assert one.read_bytes() == other.read_bytes()
    for one, other in zip(rows(watched), rows(alone), strict=True):
        assert one == {**one, **other}


def test_the_best_is_kept_logged_and_can_be_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = begin(tmp_path, *SMALL["q"], *EVERY, "--eval-episodes", "10")
    found = {int(row["step"]): float(row["eval/return"]) for row in rows(run) if row["eval/return"]}
    assert list(found) == [512, 1024, 1536, 2048]  # iterations of 256 steps
    best = best_of(run)
    assert best is not None and best["episodes"] == 10
    assert best["step"] == max(found, key=lambda step: found[step])
    assert best["mean"] == pytest.approx(max(found.values()))
    assert f"after {best['step']:,} steps (--checkpoint best)" in capsys.readouterr().out
    events = EventAccumulator(str(run))
    events.Reload()
    assert [event.step for event in events.Scalars("eval/return")] == list(found)
    assert main(["evaluate", str(run), "--checkpoint", "best", "--episodes", "10", "--seed", "20000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["checkpoint"] == "best.safetensors"
    assert shown["deterministic"]["mean"] == best["mean"]
    play = ["play", str(run), "--checkpoint", "best", "--episodes", "1", "--max-steps", "5"]
    assert main([*play, "--video", str(tmp_path / "best.gif")]) == 0


def test_the_best_is_the_first_of_the_highest_also_after_a_stop(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "checkpoints").mkdir()
    means = iter([1.0, 3.0, 2.0, 3.0, 2.5, 4.0])
    monkeypatch.setattr(Judge, "evaluate", lambda *_: SimpleNamespace(mean=next(means), mean_length=7.0, episodes=5))
    run_config = runs.RunConfig("q", GRID, {}, {}, eval_every=10)
    kept = []
    for last, steps in ((0, (9, 10, 25, 29, 30)), (100, (119, 121, 130))):
        judge = Judge(tmp_path, run_config, 5)
        for step in steps:
            state = SimpleNamespace(policy=torch.nn.Linear(1, 1), global_step=step)
            logged = judge.look(state, last)
            kept.append((step, bool(logged), (best_of(tmp_path) or {}).get("step")))
            last = step
    assert kept == [
        (9, False, None), (10, True, 10), (25, True, 25), (29, False, 25), (30, True, 25), (119, True, 25),
        (121, True, 25), (130, True, 130),
    ]  # fmt: skip
    assert checkpoint.load(runs.best_path(tmp_path))["train"]["policy"]["weight"].shape == (1, 1)


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_resumed_run_has_the_same_best(tmp_path: Path, algorithm: str) -> None:
    words = [*SMALL[algorithm], "--eval-every", "200", "--checkpoint-every", "500", "--eval-episodes", "4"]
    whole, broken = (begin(tmp_path / name, *words) for name in ("whole", "broken"))
    for path in runs.checkpoints(broken)[1:]:
        path.unlink()
    assert main(["train", "--resume", str(broken)]) == 0
    assert runs.best_path(broken).read_bytes() == runs.best_path(whole).read_bytes()
    assert (broken / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_what_can_not_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = train(tmp_path, *SMALL["q"])
    for words, said in (
        (["evaluate", str(run), "--checkpoint", "best"], "only runs trained with --eval-every keep one"),
        (["train", *SMALL["q"], "--eval-every", "10", "--eval-episodes", "0"], "--eval-every needs episodes"),
        (["train", *SMALL["q"], "--eval-every", "-1"], "--eval-every must be at least 0, got -1"),
    ):
        assert main([*words, "--runs-dir", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert runs.known_runs(tmp_path) == [run]
