"""`quintet surgery`: from a run to a larger one that goes on with it."""

import json
from pathlib import Path

import pytest
import torch

from agents import checkpoint
from experiments import runs
from experiments.cli import main

TINY = "--num-steps 16 --num-minibatches 2 --update-epochs 1 --eval-episodes 0 --device cpu"


def trained(folder: Path, words: str) -> Path:
    assert main([*words.split(), *TINY.split(), "--runs-dir", str(folder)]) == 0
    (run,) = runs.known_runs(folder)
    return run


def operated(run: Path, changes: str) -> Path:
    config = run.parent / "larger.toml"
    config.write_text(changes)
    assert main(["surgery", str(run), "--to", str(config), "--runs-dir", str(run.parent)]) == 0
    return next(one for one in runs.known_runs(run.parent) if one != run)


def test_a_widened_run_goes_on(tmp_path, capsys):
    run = trained(tmp_path, "train ppo quintet/CartPole-v1 --num-envs 4 --total-timesteps 256 --hidden-sizes 8 8")
    new = operated(run, "hidden_sizes = [16, 12]\ntotal_timesteps = 384\n")
    assert "it acts as before" in capsys.readouterr().out
    before, after = (checkpoint.load(runs.find_checkpoint(one))["train"] for one in (run, new))
    assert after["global_step"] == before["global_step"] == 256
    assert after["policy"]["actor.layers.0.weight"].shape == (16, 4)
    assert torch.equal(after["policy"]["actor.layers.0.weight"][:8], before["policy"]["actor.layers.0.weight"])
    assert after["optimizer"]["steps"] == before["optimizer"]["steps"]
    assert json.loads((new / "config.json").read_text())["config"]["hidden_sizes"] == [16, 12]
    assert main(["train", "--resume", str(new), "--eval-episodes", "0"]) == 0
    assert checkpoint.load(runs.find_checkpoint(new))["train"]["global_step"] == 384


def test_a_league_takes_its_pool_along(tmp_path):
    words = "league quintet/Duel-v0 --num-envs 4 --total-timesteps 512 --snapshot-every 128 --rate-every 0"
    run = trained(tmp_path, f"{words} --entity-size 8 --hidden-sizes 8 --memory lstm --memory-size 8")
    new = operated(run, 'entity_size = 12\nmemory_size = 12\ntotal_timesteps = 768\n[env]\nshopping = "policy"\n')
    before, after = (checkpoint.load(runs.find_checkpoint(one))["train"] for one in (run, new))
    assert [one["name"] for one in after["pool"]] == [one["name"] for one in before["pool"]]
    for member in after["pool"]:
        weights = checkpoint.load(new / "pool" / f"{member['name']}.safetensors")["policy"]
        assert weights["remember.cell.weight_hh"].shape == (48, 12)
    assert main(["train", "--resume", str(new), "--eval-episodes", "0"]) == 0
    assert checkpoint.load(runs.find_checkpoint(new))["train"]["global_step"] == 768


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("hidden_sizes = [4, 4]", "numbers are lost"),
        ("hidden_size = [16, 16]", "did you mean 'hidden_sizes'"),
        ("hidden_sizes = ", "is not TOML"),
        ("[env]\nshoping = 1", "has no option"),
    ],
)
def test_what_can_not_be_done_is_told_and_leaves_no_run(tmp_path, capsys, changes, said):
    run = trained(tmp_path, "train ppo quintet/CartPole-v1 --num-envs 4 --total-timesteps 64 --hidden-sizes 8 8")
    (tmp_path / "to.toml").write_text(changes)
    assert main(["surgery", str(run), "--to", str(tmp_path / "to.toml"), "--runs-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert runs.known_runs(tmp_path) == [run]
