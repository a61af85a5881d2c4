"""What the command answers: help, lists, and a line or two for whatever can't be."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from experiments import algorithms, flags, runs, train
from experiments.cli import COMMANDS, main

ROOT = Path(__file__).parent.parent.parent
GRID = "quintet/GridWorld-v0"
LEVEL = ["--env.level", "frozen_lake_4x4", "--env.slippery", "false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained run."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["q", GRID, "--total-timesteps", "4096", "--num-envs", "16", *LEVEL]
    assert main(["train", *words, "--runs-dir", str(folder), "--eval-episodes", "0"]) == 0
    return runs.known_runs(folder)[0]


BAD = {
    "trian": "did you mean 'train'",
    "train pp CartPole-v1": "did you mean 'ppo'",
    "train --seed 3": "the algorithm comes first",
    "train ppo": "which environment",
    "train ppo --seed 3": "which environment",
    "train ppo quintet/GridWord-v0": f"did you mean '{GRID}'",
    "train ppo GridWorld-v0": f"did you mean '{GRID}'",
    "train ppo CartPole": "did you mean 'CartPole-v1'",
    "train ppo CartPole-v1 --num-env 3": "did you mean --num-envs",
    "train ppo CartPole-v1 --num-envs many": "--num-envs",
    "train ppo CartPole-v1 --num-envs 0": "num_envs must be at least 1, got 0",
    "train ppo CartPole-v1 --num-envs 1.5": "--num-envs: '1.5' is no whole number",
    "train ppo CartPole-v1 --vf-coef much": "--vf-coef: 'much' is no number",
    "train ppo CartPole-v1 --hidden-sizes 1.5": "--hidden-sizes: '1.5' is none of what it takes",
    "train ppo quintet/CartPole-v1 --env.gravity lots": "gravity must be a finite number, got 'lots'",
    "train ppo CartPole-v1 --device gpu": "--device",
    "train ppo CartPole-v1 --num-steps 0": "num_steps must be at least 1, got 0",
    "train ppo CartPole-v1 --seed -1": "--seed must be at least 0, got -1",
    "train ppo CartPole-v1 --threads -1": "--threads must be at least 0, got -1",
    "train ppo CartPole-v1 --rnd-coef -1": "rnd_coef must be at least 0, got -1",
    "train ppo CartPole-v1 --hidden-sizes 0": "layers must be at least 1 wide, got hidden_sizes (0,)",
    "train ppo CartPole-v1 --activation wavy": "activation must be one of tanh, relu",
    "train dqn CartPole-v1 --total-timesteps 0": "total_timesteps must be at least 1, got 0",
    "train dqn CartPole-v1 --buffer-size 100": "batch_size 256 is more than buffer_size 100",
    "train dqn CartPole-v1 --total-timesteps 3000 --learning-starts 5000": "nothing would be learned",
    "train ppo CartPole-v1 --hidden-sizes 10000000 10000000": "there is not enough memory",
    "train dqn CartPole-v1 --buffer-size 10000000000000": "a replay of 10,000,000,000,000 transitions takes",
    f"train q {GRID} --env.levl maze": "did you mean '--env.level'",
    f"train q {GRID} --env.level mase": "did you mean 'maze'",
    f"train q {GRID} --env.level": "level must be a name, a path or a text, or a list of these, got True",
    f"train q {GRID} --env.level maze --env.level open": "given twice",
    f"train q {GRID} --env.view-size 4 --env.observation egocentric": "view_size must be odd",
    "train q FrozenLake-v1 --env.map-nam 8x8": "did you mean '--env.map-name'",
    "train q FrozenLake-v1 --env.map-name 9x9": "FrozenLake-v1 can't be made with --env.map-name 9x9",
    "train q CartPole-v1": "algorithms that fit: ",
    "train q Pendulum-v1": "use ddpg or ppo",
    "train ppo ALE/Pong-v5": "quintet[atari]",
    "train ppo Ant-v5": "quintet[mujoco]",
    "train ppo LunarLander-v3": "quintet[box2d]",
    "train ppo phys2d/CartPole-v1": "something that it needs is missing here",
    "train ppo no_such_module:Lake-v0": "no such module",
    "train ppo CartPole-v1 --module no_such_module": "no such module",
    "train --resume nowhere": "does not exist",
    "play": "required",
    "play nowhere": "does not exist",
    "play nowhere elsewhere": "unexpected 'elsewhere': there is one too many",
    "evaluate nowhere --episodes 0": "at least 1",
    "envs quintet/GridWrld-v0": f"did you mean '{GRID}'",
    "envs --al": "did you mean --all",
    "bench --turns 0": "at least 1",
    "bench aren": "did you mean 'arena'",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_answered_in_a_line_or_two(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for extra, package in (("mujoco", "mujoco"), ("box2d", "Box2D"), ("atari", "ale_py")):
        if f"quintet[{extra}]" in BAD[line]:
            monkeypatch.setitem(sys.modules, package, None)
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert BAD[line] in said.err
    assert len(said.err.strip().splitlines()) <= 2
    assert said.out == ""
    assert not list(tmp_path.iterdir()), "bad input leaves no run folder"


def test_a_misspelt_run_is_answered_with_the_nearest(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["play", str(run)[:-1]]) == 2
    assert f"did you mean '{run.name}'" in capsys.readouterr().err
    assert main(["evaluate", run.name[:-2], "--runs-dir", str(run.parent)]) == 2
    assert f"did you mean '{run.name}'" in capsys.readouterr().err
    assert main(["evaluate", str(run.parent)]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_a_missing_or_damaged_checkpoint_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", str(run), "--checkpoint", "12"]) == 2
    assert "those after steps" in capsys.readouterr().err
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(runs.find_checkpoint(run).read_bytes()[:-3])
    assert main(["evaluate", str(run), "--checkpoint", str(broken)]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_checkpoint_of_another_environment_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "other"
    (other / "checkpoints").mkdir(parents=True)
    for name in ("config.json", "checkpoints/" + runs.find_checkpoint(run).name):
        (other / name).write_bytes((run / name).read_bytes())
    config = json.loads((other / "config.json").read_text())
    config["env_options"] = {"level": "maze"}
    (other / "config.json").write_text(json.dumps(config))
    for command in (["evaluate", str(other)], ["train", "--total-timesteps", "9000", "--resume", str(other)]):
        assert main(command) == 2
        assert "doesn't fit" in capsys.readouterr().err
    (other / "config.json").write_text("{}")
    assert main(["evaluate", str(other)]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*words: Any, **named: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("agents.evaluate.evaluate", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["evaluate", str(run), "--episodes", "1"])


def test_evaluate_for_people_and_as_json(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", str(run), "--episodes", "30", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for kind in ("deterministic", "stochastic"):
        result = shown[kind]
        assert result["episodes"] == 30
        assert result["min"] <= result["low"] <= result["mean"] <= result["high"] <= result["max"]
    assert shown["deterministic"]["mean"] == 1.0
    assert main(["evaluate", "latest", "--runs-dir", str(run.parent), "--episodes", "30"]) == 0
    assert "deterministic  1.00 ± 0.00" in capsys.readouterr().out


def test_the_list_of_environments(capsys: pytest.CaptureFixture) -> None:
    assert main(["envs", "--all"]) == 0
    said = capsys.readouterr().out
    assert f"{GRID}\n  observation  Discrete" in said and "--env.level" in said
    assert "CartPole-v1" in said and "CartPole-v0" not in said
    assert main(["envs", GRID]) == 0
    assert "a built-in name" in capsys.readouterr().out
    assert main(["envs", "FrozenLake-v1"]) == 0
    assert "--env.is-slippery = True" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--help"], *([name, "--help"] for name in COMMANDS), ["train", "q", "--help"]])
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture) -> None:
    try:
        assert main(words) == 0
    except SystemExit as stop:
        assert not stop.code
    assert "usage: quintet" in capsys.readouterr().out


@pytest.mark.parametrize("algorithm", ["q", "ppo"])
def test_every_field_is_a_documented_flag(algorithm: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["train", algorithm, "--help"])
    said = capsys.readouterr().out
    module = algorithms.load_algorithm(algorithm)
    for one in (*fields(module.Config), *fields(train.Options)):
        assert f"--{one.name.replace('_', '-')}" in said
    lines = [line.strip("│ ") for line in said.splitlines()]
    assert not [line for line in lines if line.startswith("(default") and not lines[lines.index(line) - 1]]


def test_presets_fit_their_configs_and_show_in_the_help(capsys: pytest.CaptureFixture) -> None:
    for name in ("q", "ppo"):
        module = algorithms.load_algorithm(name)
        path = algorithms.PRESETS / f"{name}.toml"
        for pattern in algorithms.tomllib.loads(path.read_text()):
            module.Config(**algorithms.preset(name, pattern.replace("*", "")))
    preset = algorithms.preset("ppo", "quintet/CartPole-v1")
    assert preset == algorithms.preset("ppo", "CartPole-v1")
    assert preset["num_envs"] != algorithms.load_algorithm("ppo").Config().num_envs
    _, _, _, config = train.parse(["ppo", "CartPole-v1", "--num-steps", "9"])
    assert (config.num_envs, config.num_steps) == (preset["num_envs"], 9)
    with pytest.raises(SystemExit):
        main(["train", "ppo", "CartPole-v1", "--help"])
    assert f"(default: {preset['num_envs']})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("None", None),
        ("four_rooms", "four_rooms"),
        ("[1, 2]", [1, 2]),
        ("{1, 2}", "{1, 2}"),
        ("...", "..."),
    ],
)
def test_values_of_environment_options(text: str, value: Any) -> None:
    assert flags.split_env_options(["--env.key", text, "--seed", "1"]) == ({"key": value}, ["--seed", "1"])
    assert flags.split_env_options([f"--env.key={text}"]) == ({"key": value}, [])
    assert flags.split_env_options(["--env.some-key", "--seed"]) == ({"some_key": True}, ["--seed"])
    assert flags.split_env_options(["--env.key", "-1"]) == ({"key": -1}, [])


@pytest.mark.parametrize("words", [["--help"], ["envs", "--help"], ["train", "--help"], ["play", "--help"]])
def test_help_comes_without_torch(words: list[str]) -> None:
    check = f"""
import sys
from experiments.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print("loaded:", sorted({{"torch", "numba", "pygame", "tensorboard", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def test_a_level_s_file_is_found_from_another_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("#####\n#S.G#\n#####\n")
    words = ["--total-timesteps", "2000", "--eval-episodes", "0"]
    assert main(["train", "q", GRID, "--env.level", "mine.txt", *words]) == 0
    run = runs.find("latest").resolve()
    assert runs.read_config(run).env_options == {"level": str(tmp_path / "mine.txt")}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["evaluate", str(run), "--episodes", "5"]) == 0


@pytest.mark.parametrize("line", ["envs nosuch", "train ppo quintet/CartPole-v1 --env.foo 1", "zzz ppo"])
def test_what_is_nothing_like_is_not_proposed(line: str, capsys: pytest.CaptureFixture) -> None:
    assert main(line.split()) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"quintet \d+\.\d+\.\d+\n", capsys.readouterr().out)
