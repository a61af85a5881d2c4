"""A shipped policy is the run's, without what training needs, and is found by its name."""

from pathlib import Path

import pytest
import torch

from agents import checkpoint
from experiments import runs
from experiments.cli import main


def test_a_shipped_policy_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "shipped")
    words = "--total-timesteps 200 --num-envs 4 --num-steps 16 --num-minibatches 2 --eval-episodes 0 --rate-every 0"
    league = ["league", "quintet/Duel-v0", *words.split(), "--env.minutes", "0.2", "--runs-dir", str(tmp_path / "runs")]
    assert main(league) == 0
    (run,) = (tmp_path / "runs").iterdir()
    for _ in range(2):
        assert main(["league", "--ship", str(run), "mine"]) == 0
    found = runs.find("mine", tmp_path / "empty")
    assert runs.read_config(found) == runs.read_config(run)
    shipped, whole = (checkpoint.load(runs.find_checkpoint(folder)) for folder in (found, run))
    assert shipped.keys() == {"train"} and shipped["train"].keys() == {"policy"}
    for name, value in whole["train"]["policy"].items():
        assert torch.equal(shipped["train"]["policy"][name], value)


def test_bad_names_are_refused(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["league", "--ship", "duel", "../x", "--runs-dir", str(tmp_path)]) == 2
    assert "must be letters, digits and _" in capsys.readouterr().err
