"""`quintet export`: the file is compared with the policy, and what can't be is told in a line."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import runs
from experiments.cli import main
from experiments.export import compare, export, prepare, random_inputs
from tests.experiments.test_train import SMALL, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["ppo", "quintet/CartPole-v1", "--total-timesteps", "512", "--num-envs", "4", "--num-steps", "32"]
    return train(tmp_path_factory.mktemp("runs"), *words, "--normalize-obs", "--memory", "lstm")


def test_the_file_is_written_checked_and_runs_without_this_code(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for words in ([], ["--int8"]):
        assert main(["export", str(run), "--to", str(tmp_path / "policy.pt"), *words]) == 0
        said = capsys.readouterr().out
        assert "takes obs float32[N, 4], memory float32[N, 128], starts bool[N]" in said
        assert "gives action, logits, value, next_memory" in said
        assert ("actions 100.00%" in said) or words
        earned = [line.split(" earns ")[1] for line in said.splitlines() if " earns " in line]
        assert len(earned) == 2 * len(words)
    function = torch.jit.load(str(tmp_path / "policy.pt"))
    action, *_ = function(torch.zeros(6, 4), torch.zeros(6, 128), torch.ones(6, dtype=torch.bool))
    assert action.shape == (6,) and action.dtype == torch.int64


@pytest.mark.parametrize("name", ["policy.pt", "policy.onnx"])
def test_a_file_plays_as_its_policy_does(run: Path, tmp_path: Path, name: str) -> None:
    """Memory and all: the same returns in the same episodes."""
    if name.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    from agents.evaluate import evaluate
    from agents.export import Loaded
    from experiments.trained import evaluation_envs

    config = runs.read_config(run)
    policy, function, inputs = prepare(config, runs.find_checkpoint(run))
    assert export(policy, function, inputs, tmp_path / name, int8=False) == 0
    results = [evaluate(one, evaluation_envs(config, 6), 6) for one in (policy, Loaded(tmp_path / name))]
    assert results[0] == results[1]


def test_a_file_that_does_otherwise_is_found_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    policy, function, inputs = prepare(runs.read_config(run), runs.find_checkpoint(run))
    function.policy.actor.layers[-1].bias.data[1] += 0.5
    assert export(policy, function, inputs, tmp_path / "policy.pt", int8=False) == 1
    assert "does not do as the policy does" in capsys.readouterr().out and not list(tmp_path.iterdir())

    def other(*given: Any) -> dict[str, Any]:
        return dict(zip(function.outputs, function(*given), strict=True))

    difference, equal = compare(policy, function, other, inputs)
    assert 0.1 < difference < 1 and equal < 0.999


def test_random_inputs_have_something_legal_and_begin_with_starts() -> None:
    from gymnasium import spaces

    inputs = random_inputs(spaces.Discrete(5, start=2), 3, 64)
    assert all(given["mask"].any(dim=1).all() for given in inputs)
    assert inputs[0]["starts"].all() and not inputs[1]["starts"].all()
    assert set(inputs[0]["obs"].tolist()) == {2, 3, 4, 5, 6}


def test_what_can_not_be_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = train(tmp_path, *SMALL["q"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    for words, said in (
        ([str(run), "--to", "policy.h5"], "must end in .pt or .onnx"),
        ([str(run), "--to", "nowhere/policy.pt"], "there is no folder nowhere"),
        ([str(run), "--to", str(tmp_path / "policy.onnx")], "quintet[export]"),
        ([str(table), "--to", str(tmp_path / "policy.pt"), "--int8"], "leave --int8 out"),
        ([str(run), "--checkpoint", "best", "--to", str(tmp_path / "policy.pt")], "has no best checkpoint"),
    ):
        assert main(["export", *words]) == 2
        assert said in capsys.readouterr().err
