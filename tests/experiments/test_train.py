"""A run folder is complete, reproducible to the byte, and goes on where it stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents import checkpoint
from experiments import runs
from experiments.cli import main

ROOT = Path(__file__).parent.parent.parent
GRID = "quintet/GridWorld-v0"
SMALL = {
    "q": ["q", GRID, "--total-timesteps", "2048", "--num-envs", "16", "--num-steps", "16", "--env.level", "open"],
    "ppo": [
        *("ppo", GRID, "--total-timesteps", "1024", "--num-envs", "4", "--num-steps", "32"),
        *("--env.observation", "egocentric", "--normalize-obs", "--normalize-reward"),
    ],
}


def train(folder: Path, *words: str) -> Path:
    """Runs `quintet train` in this process and returns the run folder."""
    assert main(["train", *words, "--runs-dir", str(folder), "--eval-episodes", "0"]) == 0
    (run,) = runs.known_runs(folder)
    return run


def rows(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with open(run / name, newline="") as file:
        return list(csv.DictReader(file))


def lasting(run: Path) -> dict[str, bytes]:
    """Every file that must not depend on the clock, but for checkpoints that a stop added."""
    last = runs.find_checkpoint(run)
    return {name: (run / name).read_bytes() for name in ("config.json", "metrics.csv")} | {last.name: last.read_bytes()}


def test_the_run_folder(tmp_path: Path) -> None:
    run = train(tmp_path, *SMALL["q"], "--seed", "7", "--checkpoint-every", "1000")
    assert run.parent == tmp_path
    assert run.name.startswith("quintet-GridWorld-v0__q__7__")
    config = json.loads((run / "config.json").read_text())
    assert config["algorithm"] == "q" and config["env_id"] == GRID
    assert config["env_options"] == {"level": "open"}
    assert config["config"]["seed"] == 7 and config["config"]["num_steps"] == 16
    assert config["commit"] is None or len(config["commit"].rstrip("+")) == 40
    assert {"python", "torch", "numpy", "gymnasium", "quintet"} <= set(config["versions"])
    steps = [int(row["step"]) for row in rows(run)]
    assert steps == list(range(256, 2049, 256))
    assert [row["step"] for row in rows(run, "timings.csv")] == [row["step"] for row in rows(run)]
    names = [path.name for path in runs.checkpoints(run)]
    assert names == [f"step_{step:012d}.safetensors" for step in (1024, 2048)]
    assert names == sorted(names)
    assert checkpoint.load(runs.find_checkpoint(run))["train"]["global_step"] == 2048


def test_tensorboard_has_every_metric(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(tmp_path, *SMALL["ppo"])
    events = EventAccumulator(str(run))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {*rows(run)[0], "timings/steps_per_second"} - {"step"}
    assert [event.step for event in events.Scalars("losses/value_loss")] == [int(row["step"]) for row in rows(run)]


@pytest.mark.parametrize("algorithm", SMALL)
def test_two_runs_are_equal_to_the_byte(tmp_path: Path, algorithm: str) -> None:
    first, second = (train(tmp_path / name, *SMALL[algorithm]) for name in ("a", "b"))
    assert lasting(first) == lasting(second)
    for one, other in zip(runs.checkpoints(first), runs.checkpoints(second), strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("algorithm", SMALL)
def test_resume_after_a_crash_is_as_if_it_had_not_happened(tmp_path: Path, algorithm: str) -> None:
    words = [*SMALL[algorithm], "--checkpoint-every", "500"]
    whole, broken = (train(tmp_path / name, *words) for name in ("whole", "broken"))
    for path in runs.checkpoints(broken)[1:]:
        path.unlink()
    for name in ("metrics.csv", "timings.csv"):
        with open(broken / name, "a") as file:
            file.write("204")
    assert main(["train", "--resume", str(broken), "--eval-episodes", "0"]) == 0
    assert lasting(broken) == lasting(whole)
    assert len(rows(broken, "timings.csv")) == len(rows(whole))


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    whole, broken = (train(tmp_path / name, *SMALL["q"]) for name in ("whole", "broken"))
    for path in runs.checkpoints(broken):
        path.unlink()
    log = (broken / "metrics.csv").read_text()
    (broken / "metrics.csv").write_text(log[: log.index("\n") + 1])
    assert main(["train", "--resume", str(broken), "--eval-episodes", "0"]) == 0
    assert lasting(broken) == lasting(whole)


def start(folder: Path, *words: str) -> tuple[subprocess.Popen, Path]:
    """`quintet train` in a process of its own, once it has logged three rows."""
    command = [sys.executable, "-m", "experiments.cli", "train", *words, "--runs-dir", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for run in runs.known_runs(folder):
            if (run / "metrics.csv").exists() and len(rows(run)) >= 3:
                return process, run
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"nothing was logged: {process.communicate()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_a_complete_log(tmp_path: Path, number: signal.Signals) -> None:
    words = ["q", GRID, "--total-timesteps", "60000", "--num-steps", "16", "--eval-episodes", "0"]
    process, run = start(tmp_path / "stopped", *words)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert f"stopped by {number.name}" in said and f"--resume {run}" in said
    assert "Traceback" not in errors
    step = checkpoint.load(runs.find_checkpoint(run))["train"]["global_step"]
    assert step == int(rows(run)[-1]["step"]) == int(rows(run, "timings.csv")[-1]["step"])
    assert 0 < step < 60000
    if number == signal.SIGINT:
        assert main(["train", "--resume", str(run), "--eval-episodes", "0"]) == 0
        assert lasting(run) == lasting(train(tmp_path / "whole", *words[:-2]))


def test_others_environments_resume_and_say_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["ppo", "CartPole-v1", "--total-timesteps", "1024", "--num-envs", "4", "--num-steps", "32"]
    run = train(tmp_path, *words, "--checkpoint-every", "512")
    runs.checkpoints(run)[-1].unlink()
    capsys.readouterr()
    assert main(["train", "--resume", str(run), "--eval-episodes", "2"]) == 0
    said = capsys.readouterr().out
    assert "note: CartPole-v1 can't save its own state" in said
    assert "evaluated return over 2 episodes" in said and f"quintet play {run}" in said
    assert [int(row["step"]) for row in rows(run)] == list(range(128, 1025, 128))


def test_a_complete_run_can_be_trained_longer(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = train(tmp_path, *SMALL["q"])
    assert main(["train", "--resume", str(run)]) == 2
    assert "is complete" in capsys.readouterr().err
    assert main(["train", "--resume", str(run), "--total-timesteps", "3000", "--eval-episodes", "0"]) == 0
    assert int(rows(run)[-1]["step"]) >= 3000
    assert runs.read_config(run).config["total_timesteps"] == 3000


def test_processes_step_others_environments(tmp_path: Path) -> None:
    words = ["ppo", "CartPole-v1", "--total-timesteps", "256", "--num-envs", "2", "--num-steps", "64"]
    apart = train(tmp_path / "async", *words, "--vectorization", "async")
    together = train(tmp_path / "sync", *words)
    assert (apart / "metrics.csv").read_bytes() == (together / "metrics.csv").read_bytes()


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.time, "strftime", lambda form: "20260101-000000")
    config = runs.RunConfig("q", "ALE/Pong-v5:x", {}, {"seed": 3})
    made = [runs.create(tmp_path, config) for _ in range(3)]
    assert [run.name for run in made] == [f"ALE-Pong-v5-x__q__3__20260101-000000{end}" for end in ("", "-2", "-3")]
    assert not runs.known_runs(tmp_path), "none is a run before its config.json is written"
    runs.write_config(made[2], config)
    assert runs.read_config(made[2]) == config


def test_a_table_takes_new_columns_and_drops_later_rows(tmp_path: Path) -> None:
    table = runs.Table(tmp_path / "t.csv")
    table.add(1, {"a": 0.1})
    table.add(2, {"a": 1 / 3, "b": 7})
    table.add(3, {"b": float("nan")})
    assert (tmp_path / "t.csv").read_text() == "step,a,b\n1,0.1,\n2,0.333333333,7\n3,,nan\n"
    runs.Table(tmp_path / "t.csv", keep_until=2).add(4, {"a": 1.0})
    assert (tmp_path / "t.csv").read_text() == "step,a,b\n1,0.1,\n2,0.333333333,7\n4,1,\n"
    with open(tmp_path / "t.csv", "a") as file:
        file.write("5,0.2,1e-")
    assert [row["step"] for row in runs.Table.read(tmp_path / "t.csv")[1]] == ["1", "2", "4"], "a line that was cut off"
    runs.Table(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "step\n"


def test_a_users_module_is_imported_only_if_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'import envs\nenvs.register_world("mine/Lake-v0", "envs.gridworld:world", level="frozen_lake_4x4")\n'
    (tmp_path / "my_lake.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}

    def quintet(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "experiments.cli", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True)

    words = ("train", "q", "mine/Lake-v0", "--total-timesteps", "512", "--num-steps", "16")
    assert quintet(*words).returncode == 2
    done = quintet(*words, "--module", "my_lake")
    assert done.returncode == 0, done.stderr
    assert "--module my_lake" in done.stdout
    (run,) = runs.known_runs(tmp_path / "runs")
    assert runs.read_config(run).modules == ["my_lake"]
    refused = quintet("evaluate", str(run), "--episodes", "3")
    assert refused.returncode == 2 and "--module my_lake" in refused.stderr
    assert quintet("evaluate", str(run), "--episodes", "3", "--module", "my_lake").returncode == 0
