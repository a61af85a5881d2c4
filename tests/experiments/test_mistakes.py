"""Users' mistakes and machines' failures: a line that says what to do, and nothing lost."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import cli, plot, report, runs
from experiments.errors import InputError, check_file
from experiments.screens import Video

SHORT = [
    "train", "ppo", "quintet/CartPole-v1", "--num-envs", "4", "--num-steps", "32", "--hidden-sizes", "8",
    "--eval-episodes", "0", "--seed", "1",
]  # fmt: skip


def trained(folder: Path, *words: str, steps: int = 512) -> Path:
    assert cli.main([*SHORT, "--total-timesteps", str(steps), "--runs-dir", str(folder), *words]) == 0
    return runs.find("latest", folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


def told(capsys: pytest.CaptureFixture, *words: str) -> str:
    """What is said of a wrong command line, exit code 2."""
    assert cli.main(list(words)) == 2
    return capsys.readouterr().err


def test_zero_steps_at_most_are_no_end(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = tmp_path / "play.gif"
    words = ["play", str(run), "--max-steps", "0", "--episodes", "1", "--video", str(video), "--seed", "3"]
    assert cli.main(words) == 0
    assert "episode 1: return" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "RUN", "--seed", "-1"), "--seed must lie in 0"),
        (("play", "RUN", "--seed", "99999999999999", "--video", "x.gif"), "--seed must lie in 0"),
        (("play", "RUN", "--video", "FILE/x.gif"), "can't be written"),
        (("export", "RUN", "--to", "FILE/x.pt"), "there is no folder"),
        (("plot", "RUN", "--out", "x.csv"), "must end in .png or .pdf or .svg"),
        (("report", "--table", "--out", "x.md"), "must end in .json"),
        (("arena-games", "--out", "FILE/x.json"), "can't be written"),
        (("train", "--resume", "RUN", "--total-timesteps", "-4"), "--total-timesteps must be at least 1, got -4"),
        (("train", "--resume", "RUN", "--total-timesteps", "10"), "train longer with --total-timesteps 1024"),
        (("train", "--resume", "RUN", "--eval-episodes", "-4"), "--eval-episodes must be at least 0"),
        (("train", "--resume", "duel"), "holds a policy without what training needs"),
        (("surgery", "RUN", "--hidden-sizes", "16", "--new-choices", "nan"), "--new-choices must be a finite number"),
        (("train", "q", "Catch-v0", "--module", ""), "give a module's name"),
        (("train", "q", "Catch-v0", "--module", "../x.py"), "give a module's name"),
        (("league", "--report", "duel", "--games", "3"), "--games must be even"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, words: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    given = [word.replace("RUN", str(run)).replace("FILE", str(file)) for word in words]
    said = told(capsys, *given)
    assert message in said and "Traceback" not in said


def test_a_module_may_be_given_as_a_file_and_what_is_wrong_in_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken_world.py").write_text("def f(:\n")
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    (tmp_path / "fine_world.py").write_text("x = 1\n")
    assert "broken_world.py, line 1" in told(capsys, "train", "q", "X-v0", "--module", "./broken_world.py")
    assert "needs 'no_such_package'" in told(capsys, "train", "q", "X-v0", "--module", str(tmp_path / "needs_more.py"))
    assert "no environment 'X-v0'" in told(capsys, "train", "q", "X-v0", "--module", "./fine_world.py")


def test_a_folder_called_agents_does_not_hide_ours(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    (tmp_path / "mine.py").write_text("x = 1\n")
    words = [sys.executable, "-c", "from experiments.worlds import import_modules; import_modules(['mine']); "
             "import agents.ensemble"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_wrong_world_in_a_module_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_world.py").write_text(
        "from envs.engine import World\nraise ValueError('Wrong: state is wrong')\n"
    )
    monkeypatch.chdir(tmp_path)
    said = told(capsys, "train", "ppo", "Wrong-v0", "--module", "wrong_world")
    assert "--module wrong_world: Wrong: state is wrong" in said and "Traceback" not in said


def test_training_that_goes_astray_ends_with_its_checkpoints(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents import ppo

    learn = ppo.learn

    def astray(*given: Any) -> Any:
        for number, metrics in enumerate(learn(*given)):
            yield metrics | ({"losses/value_loss": float("nan")} if number == 2 else {})

    monkeypatch.setattr(ppo, "learn", astray)
    words = [*SHORT, "--total-timesteps", "1024", "--checkpoint-every", "128", "--runs-dir", str(tmp_path)]
    said = told(capsys, *words)
    assert "training went astray: after 384 steps losses/value_loss is nan" in said
    steps = [int(path.stem[5:]) for path in runs.checkpoints(runs.find("latest", tmp_path))]
    assert steps == [128, 256]


def test_the_clock_goes_on_after_a_stop(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    seconds = [float(row["seconds"]) for row in plot.table(folder / "timings.csv")]
    assert cli.main(["train", "--resume", str(folder), "--total-timesteps", "1024", "--eval-episodes", "0"]) == 0
    after = [float(row["seconds"]) for row in plot.table(folder / "timings.csv")]
    assert after[: len(seconds)] == seconds and after == sorted(after) and len(after) > len(seconds)


def test_a_row_without_its_time_is_left_out_of_curves(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    lines = (folder / "timings.csv").read_text().splitlines()
    (folder / "timings.csv").write_text("\n".join(lines[:-1]) + "\n")
    y = "losses/value_loss"
    whole, short = (plot.curve(folder, x, y) for x in ("step", "seconds"))
    assert len(short[0]) == len(whole[0]) - 1 and np.isfinite(short[0]).all()


def test_a_run_whose_checkpoints_are_gone_keeps_its_log(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = trained(tmp_path)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    (folder / "checkpoints").rmdir()
    log = (folder / "metrics.csv").read_bytes()
    said = told(capsys, "train", "--resume", str(folder), "--total-timesteps", "2048")
    assert "its checkpoints are gone" in said and (folder / "metrics.csv").read_bytes() == log


def test_two_processes_do_not_train_one_run(run: Path, capsys: pytest.CaptureFixture) -> None:
    with runs.alone(run):
        said = told(capsys, "train", "--resume", str(run), "--total-timesteps", "2048", "--eval-episodes", "0")
    assert "is being trained by another process" in said
    with runs.alone(run):
        pass


def test_a_resume_that_is_refused_changes_nothing(run: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with runs.alone(run):
        told(capsys, "train", "--resume", str(run), "--total-timesteps", "4096")
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_that_was_killed_as_its_first_checkpoint_was_written_begins_anew(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", "--checkpoint-every", "256", steps=512)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    lines = (cut / "metrics.csv").read_text().splitlines()
    (cut / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    assert lines[2].startswith("256,")
    for path in runs.checkpoints(cut):
        path.unlink()
    draft = cut / "checkpoints" / ".step_000000000256.safetensors.99999"
    draft.write_bytes(b"half")
    assert cli.main(["train", "--resume", str(cut), "--eval-episodes", "0"]) == 0
    assert (cut / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert not draft.exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("step,", "stop,", "its first column is 'stop', not 'step'"),
        ("\n128,", '\n128,"', "can't be read as a table"),
        ("\n256,", "\n256,1,1,1,1,1,1,1,1,1,1,1,1,1,", "its row 2 has another number of columns"),
        ("\n256,", "\n256,0.1x", "could not convert string to float"),
    ],
)
def test_a_damaged_log_is_told_and_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, before: str, after: str, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    damaged = (copy / "metrics.csv").read_text().replace(before, after, 1)
    (copy / "metrics.csv").write_text(damaged)
    said = told(capsys, "train", "--resume", str(copy), "--total-timesteps", "2048", "--eval-episodes", "0")
    assert message in said and "move it away" in said
    assert (copy / "metrics.csv").read_text() == damaged


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "cqu"), ("threads", "2"), ("threads", 0), ("checkpoint_every", 0), ("stop_at_return", "x"),
        ("modules", [3]), ("eval_episodes", -1), ("seed", 1.5),
    ],
)  # fmt: skip
def test_what_a_configuration_can_not_say_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, value: Any
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    (config["config"] if name == "seed" else config)[name] = value
    (copy / "config.json").write_text(json.dumps(config))
    said = told(capsys, "train", "--resume", str(copy), "--total-timesteps", "2048")
    assert "config" in said and "Traceback" not in said


def test_a_full_disk_is_told_with_the_way_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)

    free = 3  # for config.json, metrics.csv and timings.csv

    def fill(file: int) -> None:
        nonlocal free
        free -= 1
        if free < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("agents.checkpoint.os.fsync", fill)
    resume = ("train", "--resume", str(copy), "--total-timesteps", "2048", "--eval-episodes", "0")
    said = told(capsys, *resume)
    assert "can't be written to after 640 steps: No space left" in said and f"train --resume {copy}" in said
    assert "No space left on device; make room" in told(capsys, *resume)
    monkeypatch.undo()
    assert cli.main(list(resume)) == 0


@pytest.mark.parametrize("content", ['""', "[", "[1]", '[{"row": 1}]'])
def test_a_file_of_other_results_is_told(tmp_path: Path, capsys: pytest.CaptureFixture, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert "give another --out" in told(capsys, "report", "--table", "--out", str(tmp_path / "x.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_closed_terminal_leaves_a_checkpoint_as_ctrl_c_does(tmp_path: Path, number: int) -> None:
    words = [*SHORT, "--total-timesteps", "100000000", "--checkpoint-every", "100000000", "--runs-dir", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        begun = time.monotonic()
        while not any(path.read_text().count("\n") > 2 for path in tmp_path.glob("*/metrics.csv")):
            assert time.monotonic() - begun < 120 and process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number and len(runs.checkpoints(runs.find("latest", tmp_path))) == 1
    assert "go on with: quintet train --resume" in out
    assert ("Ctrl-C again: at once" in error) == (number == signal.SIGINT)


def test_results_beside_a_run_that_failed_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(row: Any, seed: int, runs_dir: Path) -> dict[str, Any]:
        if seed == 1:
            raise InputError("it failed")
        return {"mean": 1.0, "seconds": 1.0, "solved": None}

    monkeypatch.setattr(report, "train_and_evaluate", work)
    out = tmp_path / "r.json"
    rows = report.read_rows()[:1]
    settings: dict[str, str | None] = {rows[0].name: "hash"}
    options = report.Options(seeds=2, out=str(out), only=rows[0].name)
    assert report._train(options, rows, settings, [], out) == ["it failed"]
    assert [one["seed"] for one in json.loads(out.read_text())] == [2]


def test_a_video_that_was_not_written_is_told(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.mp4", 10)
    picture = np.zeros((64, 64, 3), np.uint8)
    for _ in range(5):
        video.show(picture, "")
    video.writer.close()
    (tmp_path / "a.mp4").write_bytes(b"cut off")
    with pytest.raises(InputError, match="can't write --video"):
        video.close()


def test_a_file_s_folder_is_made_and_the_file_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    assert check_file("--out", path, ".json") == path
    assert path.parent.is_dir() and not list(path.parent.iterdir())


def test_a_team_is_exported_whole_and_bfloat16_as_float32(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = trained(tmp_path, "--precision", "bfloat16")
    for given, ending in ((str(folder), "onnx"), ("arena", "pt")):
        path = tmp_path / f"out.{ending}"
        assert cli.main(["export", given, "--to", str(path)]) == 0
        assert path.is_file()


def test_a_policy_of_no_numbers_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from agents import checkpoint

    folder = trained(tmp_path)
    path = runs.find_checkpoint(folder)
    saved = checkpoint.load(path)
    for tensor in saved["train"]["policy"].values():
        tensor.fill_(float("nan"))
    checkpoint.save(path, saved)
    assert cli.main(["export", str(folder), "--to", str(tmp_path / "a.pt")]) == 1
    assert "does not do as the policy does" in capsys.readouterr().out and not (tmp_path / "a.pt").exists()
