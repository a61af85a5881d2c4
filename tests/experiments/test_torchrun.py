"""Training in two processes: one run folder, the same to the byte after a stop, and an end that says why."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode

from agents import checkpoint, distributed, ppo
from experiments import runs, selfplay, train
from experiments.cli import main
from experiments.selfplay import past_owners
from tests.experiments.test_train import GRID, ROOT, SMALL, lasting, rows

COMMAND = ("-m", "experiments.cli")
LONG = ["train", *SMALL["ppo"], "--total-timesteps", "1000000", "--eval-episodes", "0"]


def start(*words: str, **environ: str) -> list[subprocess.Popen]:
    """The command in two processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    given = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port, **environ}
    return [popen([sys.executable, *COMMAND, *words], given | {"RANK": str(rank)}) for rank in (0, 1)]


def popen(command: list[str], environ: dict[str, str] | None = None) -> subprocess.Popen:
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes: list[subprocess.Popen]) -> tuple[list[int], list[str], list[str]]:
    """Exit codes, what was said and the errors."""
    said = [process.communicate(timeout=120) for process in processes]
    return [process.returncode for process in processes], [out for out, _ in said], [errors for _, errors in said]


def under_way(folder: Path, processes: list[subprocess.Popen]) -> Path:
    """The run folder, once a few rows are logged."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        for run in runs.known_runs(folder):
            if (run / "metrics.csv").exists() and len(rows(run)) >= 3:
                return run
        time.sleep(0.02)
    for process in processes:
        process.kill()
    raise AssertionError(f"nothing was logged: {finish(processes)}")


def resumed(words: Sequence[str], folder: Path) -> None:
    """A run whose last checkpoints are lost goes on to the bytes of the one that was not stopped."""
    codes, said, errors = finish(start(*words, "--runs-dir", str(folder / "whole")))
    assert codes == [0, 0], errors
    assert said[0].count("training") > 1 and "next:" in said[0] and not said[1] and "Traceback" not in "".join(errors)
    (whole,) = runs.known_runs(folder / "whole")
    cut = folder / "cut"
    shutil.copytree(whole, cut)
    for path in runs.checkpoints(cut)[1:]:
        path.unlink()
    codes, _, errors = finish(start("train", "--resume", str(cut), "--eval-episodes", "0"))
    assert codes == [0, 0], errors
    assert lasting(cut) == lasting(whole)


def test_a_run_of_two_processes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    words = ["train", *SMALL["ppo"], "--checkpoint-every", "500", "--eval-episodes", "2", "--eval-every", "500"]
    resumed(words, tmp_path)
    (run,) = runs.known_runs(tmp_path / "whole")
    assert [int(row["step"]) for row in rows(run)] == list(range(128, 1025, 128)), "steps of both"
    assert runs.read_config(run).config["num_envs"] == 4 and runs.best_path(run).exists()
    saved = checkpoint.load(runs.find_checkpoint(run))["train"]
    (second,) = saved["ranks"]
    assert not torch.equal(saved["generator"], second["generator"])
    assert len(saved["collector"]["returns"]) == len(second["collector"]["returns"]) == 2
    assert torch.equal(saved["reward_scale"]["norm.mean"], second["reward_scale"]["norm.mean"])
    assert float(saved["reward_scale"]["norm.count"]) == 1024


def test_a_dead_process_ends_the_others(tmp_path: Path) -> None:
    processes = start(*LONG, "--runs-dir", str(tmp_path))
    run = under_way(tmp_path, processes)
    processes[1].kill()
    codes, _, errors = finish(processes)
    assert codes == [2, -signal.SIGKILL]
    assert "process 0 of 2: another process of this run has ended" in errors[0] and "Traceback" not in errors[0]
    assert f"with: torchrun --nproc-per-node 2 -m experiments.cli train --resume {run}" in errors[0]


@pytest.mark.slow
def test_an_interrupt_leaves_a_checkpoint_and_the_way_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    starter = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *COMMAND]
    torchrun = popen([*starter, *LONG, "--runs-dir", str(tmp_path)])
    run = under_way(tmp_path, [torchrun])
    torchrun.send_signal(signal.SIGINT)
    said, errors = torchrun.communicate(timeout=60)
    again = f"torchrun --nproc-per-node 2 -m experiments.cli train --resume {run}"
    assert "stopped by SIGINT after" in said and said.count(again) == 1, errors
    step = checkpoint.load(runs.find_checkpoint(run))["train"]["global_step"]
    assert step == int(rows(run)[-1]["step"])
    assert main(["train", "--resume", str(run)]) == 2
    assert "it is of 2 process(es), here are 1; go on with torchrun --nproc-per-node 2" in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(tmp_path: Path) -> None:
    processes = start(*LONG, "--runs-dir", str(tmp_path), QUINTET_TIMEOUT="5")
    under_way(tmp_path, processes)
    processes[1].send_signal(signal.SIGSTOP)
    _, errors = processes[0].communicate(timeout=60)
    processes[1].kill()
    processes[1].communicate()
    assert processes[0].returncode == 2 and "does not answer" in errors and "--resume" in errors


@pytest.mark.slow
def test_a_league_of_two_processes_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    words = (
        "league quintet/Duel-v0 --knobs max_episode_steps=40 --num-envs 10 --num-steps 32 --total-timesteps 6000 "
        "--past-share 0.4 --opponents 2 --pool-size 2 --scripted easy --snapshot-every 600 --redraw-every 500 "
        "--rate-every 3000 --rating-games 2 --checkpoint-every 2000 --eval-episodes 0"
    )
    resumed([*words.split()], tmp_path)
    (run,) = runs.known_runs(tmp_path / "whole")
    assert sum(float(row["league/past_games"]) for row in rows(run)) > 4
    assert len([row for row in rows(run) if row["league/rating"]]) == 2
    saved = checkpoint.load(runs.find_checkpoint(run))["train"]
    assert saved["playing"] and saved["ranks"][0]["playing"]


def as_one_of(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    """This process takes itself for one of several."""
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "size", lambda: size)


def planned(*words: str) -> tuple[runs.RunConfig, Any]:
    """What a command line asks for."""
    options, algorithm, choice, config = train.parse([*words])
    return train.plan(algorithm, choice, config, options), config


def test_each_process_has_its_part_of_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for env_id in (GRID, "CartPole-v1"):
        asked = planned("ppo", env_id, "--num-envs", "6", "--num-steps", "8", "--num-minibatches", "1")
        whole = ppo.TrainState(train._environments(*asked), asked[1]).collector.obs
        with monkeypatch.context() as patch:
            as_one_of(patch, rank=2, size=3)
            state = ppo.TrainState(train._environments(*asked), asked[1])
        assert torch.equal(state.collector.obs, whole[4:])
        assert state.collector.envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dqn", GRID], "dqn learns in one process, ppo and league in several; start it without torchrun"),
        (["ppo", GRID, "--num-envs", "7"], "--num-envs 7 does not divide among 3 processes; give a multiple"),
        (
            ["ppo", GRID, "--num-envs", "3", "--num-steps", "4", "--num-minibatches", "8"],
            "of each of 3 processes: 4 steps can't be cut into 8 minibatches; lower num_minibatches",
        ),
    ],
)
def test_what_does_not_fit_is_told(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_one_of(monkeypatch, rank=0, size=3)
    with pytest.raises(train.InputError, match=said.replace("(", r"\(")):
        train._environments(*planned(*words))


def test_the_past_is_met_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = past_owners(num_worlds=12, num_seats=4, share=0.4, opponents=3)
    parts = []
    for rank in (0, 1):
        as_one_of(monkeypatch, rank, 2)
        parts.append(past_owners(num_worlds=12, num_seats=4, share=0.4, opponents=3))
    assert [len(part) for part in parts] == [24, 24]
    both = torch.cat(parts)
    assert torch.equal(both.unique(), torch.arange(4)) and torch.equal(both.sort().values, whole.sort().values)
    assert [int((part.reshape(6, 4) > 0).any(1).sum()) for part in parts] == [3, 2]
    assert selfplay.SEATS == "all"
