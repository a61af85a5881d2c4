"""`quintet surgery`: from a run to a larger one that goes on with it."""

import json
from pathlib import Path

import pytest
import torch

from agents import checkpoint
from experiments import runs
from experiments.cli import main
from experiments.surgery import parse

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
    assert "old and new differ at most: log-probs by" in capsys.readouterr().out
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
    gone = next(
        path for path in (run / "pool").glob("*.safetensors") if path.stem in {m["name"] for m in before["pool"]}
    )
    gone.unlink()
    there = runs.known_runs(tmp_path)
    assert main(["surgery", str(run), "--entity-size", "12", "--runs-dir", str(tmp_path)]) == 2
    assert runs.known_runs(tmp_path) == there


def test_flags_and_options_come_over_the_file(tmp_path):
    run = trained(tmp_path, "train ppo quintet/CartPole-v1 --num-envs 4 --total-timesteps 64 --hidden-sizes 8 8")
    (tmp_path / "to.toml").write_text("hidden_sizes = [16, 12]\nlearning_rate = 0.5\n[env]\nmax_episode_steps = 70\n")
    words = ["surgery", str(run), "--to", str(tmp_path / "to.toml"), "--runs-dir", str(tmp_path)]
    _, _, before, after = parse([*words[1:], "--learning-rate=0.25", "--env.max-episode-steps", "90"])
    assert before.config["hidden_sizes"] == [8, 8] and after.config["hidden_sizes"] == (16, 12)
    assert after.config["learning_rate"] == 0.25 and after.env_options == {"max_episode_steps": 90}
    assert after.config["num_envs"] == 4 and after.threads == before.threads


def test_statistics_of_rewards_come_along_to_more_worlds(tmp_path):
    words = "train ppo quintet/CartPole-v1 --num-envs 4 --total-timesteps 64 --hidden-sizes 8 --normalize-reward"
    run = trained(tmp_path, words)
    assert main(["surgery", str(run), "--hidden-sizes", "12", "--num-envs", "6", "--runs-dir", str(tmp_path)]) == 0
    new = next(one for one in runs.known_runs(tmp_path) if one != run)
    before, after = (checkpoint.load(runs.find_checkpoint(one))["train"]["reward_scale"] for one in (run, new))
    assert torch.equal(before["norm.scale"], after["norm.scale"]) and float(after["norm.count"]) == 64
    assert after["returns"].shape == (6,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("hidden_sizes = [4, 4]", "hidden_sizes is (8, 8) and can't become (4, 4)"),
        ("hidden_sizes = 4", "hidden_sizes takes a list"),
        ('activation = "relu"', "activation is 'tanh'"),
        ('memory = "lstm"', "memory is ''"),
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
