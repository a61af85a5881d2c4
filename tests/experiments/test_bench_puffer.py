"""Speed beside PufferLib: its interpreter is checked before anything is measured, and networks are alike."""

import sys
from pathlib import Path

import pytest

import envs
from agents import ppo
from experiments.bench import puffer as bench_puffer
from experiments.cli import main


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("no/such/python", "no/such/python is no program; make a venv"),
        (sys.executable, "has no pufferlib; make a venv"),
    ],
)
def test_an_interpreter_without_pufferlib_is_told(
    python: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    assert main(["bench", "puffer", "--python", python, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err and not out.exists()


def test_another_version_is_told(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 2.0.6\n")
    other.chmod(0o755)
    with pytest.raises(Exception, match=r"has pufferlib 2\.0\.6; .*pufferlib 3\.0\.0"):
        bench_puffer.check_python(str(other))


def test_figures_are_read_from_the_last_line_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "python"
    other.write_text('#!/bin/sh\ntouch resources\necho a banner\necho "{\\"isolated\\": \\"$1\\", \\"asked\\": $3}"\n')
    other.chmod(0o755)
    found = bench_puffer.theirs(str(other), learns=False, kind="moba", count=48)
    asked = {"learns": False, "kind": "moba", "count": 48, "seconds": bench_puffer.SECONDS}
    assert found == {"isolated": "-I", "asked": asked}
    assert list(tmp_path.iterdir()) == [other]


def test_our_network_has_the_parameters_of_theirs() -> None:
    config = bench_puffer.config(num_worlds=64, num_minibatches=4)
    state = ppo.TrainState(envs.make_vec("quintet/CartPole-v1", 64), config)
    encoder, decoder, value = 4 * 128 + 128, 128 * 2 + 2, 128 + 1
    assert sum(parameter.numel() for parameter in state.policy.parameters()) == encoder + decoder + value == 1027
    assert config.num_envs * config.num_steps // config.num_minibatches == 1024
