"""The league's ablation: what is trained, what is not trained again, what the lines say."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from experiments import ablation, report
from experiments.cli import main
from experiments.errors import InputError
from experiments.selfplay import Config
from experiments.train import parse

WON, LOST = {"won": 2, "lost": 0, "drawn": 0}, {"won": 0, "lost": 1, "drawn": 1}
RESULT = {
    "command": "quintet league",
    "steps": 3_000_064,
    "games": {"easy": WON, "medium": LOST, "hard": LOST},
    "ratings": [[750_080, 10.0], [1_500_032, 20.0], [2_250_000, 25.0], [3_000_064, 30.0]],
    "seconds": 400.0,
    "commit": None,
}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was trained, without training."""
    names: list[tuple[str, int]] = []

    def train_and_play(arm: ablation.Arm, seed: int, runs_dir: Path) -> dict[str, Any]:
        names.append((arm.name, seed))
        return RESULT

    monkeypatch.setattr(ablation, "train_and_play", train_and_play)
    return names


def run(folder: Path, *words: str) -> list[dict]:
    out = folder / "ablation.json"
    assert ablation.main(["--out", str(out), "--runs-dir", str(folder / "runs"), *words]) == 0
    return json.loads(out.read_text()) if out.exists() else []


def test_each_arm_differs_from_its_base_in_what_it_says_and_in_nothing_else() -> None:
    configs = {}
    for arm in ablation.read_arms():
        _, _, choice, config = parse(arm.words)
        assert choice.id == arm.env_id and isinstance(config, Config)
        configs[arm.name] = vars(config) | choice.options
    differ = lambda name, base: {key for key, value in configs[name].items() if value != configs[base][key]}  # noqa: E731
    duel, arena = "quintet/Duel-v0", "quintet/Arena-v0"
    assert differ(f"{duel} no-past", f"{duel} base") == {"past_share"}
    assert differ(f"{duel} memory", f"{duel} base") == {"memory"}
    assert differ(f"{duel} win-only", f"{duel} base") == {"knobs"}
    assert differ(f"{arena} no-spirit", f"{arena} base") == differ(f"{arena} all-spirit", f"{arena} base") == {"knobs"}
    base = configs[f"{duel} base"]
    assert (base["past_share"], base["memory"], base["total_timesteps"]) == (0.1, "", 5_000_000)
    assert (base["rate_every"], base["snapshot_every"]) == (625_000, 250_000)
    spirits = [configs[f"{arena} {arm}"]["knobs"] for arm in ("base", "no-spirit", "all-spirit")]
    assert spirits == [("team_spirit=linear:0.3:0.8",), ("team_spirit=0",), ("team_spirit=1",)]


def test_without_shaped_rewards_only_the_win_is_left() -> None:
    from envs.arena.state import TERMS

    (arm,) = [arm for arm in ablation.read_arms() if arm.arm == "win-only"]
    assert set(arm.flags[1:]) == {f"reward_{term}=0" for term in TERMS if term != "win"}


def test_each_seed_is_trained_once_first_seeds_first_and_again_with_another_budget(
    trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    first = run(tmp_path, "--only", "*Duel*", "--seeds", "2")
    arms = [f"quintet/Duel-v0 {name}" for name in ("base", "no-past", "memory", "win-only")]
    assert trained == [(arm, seed) for seed in (1, 2) for arm in arms]
    assert run(tmp_path, "--only", "*Duel*", "--seeds", "2") == first and len(trained) == 8
    again = run(tmp_path, "--only", "*Duel* base", "--seeds", "1", "--steps", "20000")
    assert len(trained) == 9 and len(again) == 9, "results of other settings stay"


def test_a_line_has_means_and_intervals_over_seeds_and_what_was_not_run_says_so(
    trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    base, memory = (
        arm for arm in ablation.read_arms() if arm.name in ("quintet/Duel-v0 base", "quintet/Duel-v0 memory")
    )
    settings = report.settings_of(base.words, base.games)
    other = RESULT | {"games": {"easy": LOST, "medium": LOST, "hard": LOST}, "seconds": 500.0}
    about = {"row": base.name, "settings": settings}
    results = [
        about | {"seed": 1} | RESULT | {"commit": "abcdefabcdef"},
        about | {"seed": 2} | other | {"commit": "01234567890+"},
        about | {"seed": 3, "settings": "old"} | other,
    ]
    (tmp_path / "ablation.json").write_text(json.dumps(results))
    run(tmp_path, "--table")
    page = (tmp_path / "ablation.md").read_text()
    command = " ".join(["quintet", *base.words, "--seed K"])
    shares = "62.5 (25 to 100) | 25.0 (25 to 25) | 25.0 (25 to 25)"
    told = f"3,000,064 | {shares} | 27.5 ± 0.0 | 30.0 ± 0.0 | 450 | 0123456+, abcdefa"
    assert f"| 2 of 3, others not run | {told} | `{command}` |" in page
    assert f"| memory | {memory.about} | not run | 5,000,000 |" in page
    assert "![ratings over agent-steps](ablation_duel.png)" in page and "ablation_arena" not in page
    assert (tmp_path / "ablation_duel.png").read_bytes().startswith(b"\x89PNG")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1 and trained == []


def test_a_run_that_fails_is_told_at_the_end_and_the_others_go_on(
    trained: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    good = ablation.train_and_play

    def failing(arm: ablation.Arm, seed: int, runs_dir: Path) -> dict[str, Any]:
        if arm.arm == "no-past":
            raise InputError("out of memory")
        return good(arm, seed, runs_dir)

    monkeypatch.setattr(ablation, "train_and_play", failing)
    with pytest.raises(InputError, match="1 runs failed, the same command tries them again; the first: out of memory"):
        run(tmp_path, "--only", "*Duel*", "--seeds", "1")
    assert len(json.loads((tmp_path / "ablation.json").read_text())) == 3
    assert "failed: quintet/Duel-v0 no-past, seed 1: out of memory" in capsys.readouterr().out
    monkeypatch.setattr(ablation, "train_and_play", good)
    assert len(run(tmp_path, "--only", "*Duel*", "--seeds", "1")) == 4


def test_a_stop_ends_the_run_keeps_the_results_and_the_same_command_goes_on(
    trained: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, began = ablation.train_and_play, time.monotonic()

    def slow(arm: ablation.Arm, seed: int, runs_dir: Path) -> dict[str, Any]:
        if arm.arm == "memory":
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
            endless = ["train", "q", "quintet/GridWorld-v0", "--total-timesteps", str(10**12)]
            report.quintet(*endless, "--runs-dir", str(runs_dir))
        return quick(arm, seed, runs_dir)

    monkeypatch.setattr(ablation, "train_and_play", slow)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "--only", "*Duel*", "--seeds", "1")
    assert len(json.loads((tmp_path / "ablation.json").read_text())) == 2 and time.monotonic() - began < 30
    monkeypatch.setattr(ablation, "train_and_play", quick)
    assert len(run(tmp_path, "--only", "*Duel*", "--seeds", "1")) == 4 and len(trained) == 4


def test_a_policy_plays_each_scripted_player(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = "--total-timesteps 200 --num-envs 4 --num-steps 16 --num-minibatches 2 --eval-episodes 0 --rate-every 0"
    assert main(["league", "quintet/Duel-v0", *words.split(), "--env.minutes", "0.2", "--runs-dir", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["ablation", "--play", "latest", "--games", "2", "--runs-dir", str(tmp_path)]) == 0
    games = json.loads(capsys.readouterr().out)
    assert list(games) == ["easy", "medium", "hard"] and all(sum(tally.values()) == 2 for tally in games.values())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("--only *Chess*", "matches no row; there are: quintet/Duel-v0 base; quintet/Duel-v0 no-past"),
        ("--seeds 0", "--seeds must be at least 1, got 0"),
        ("--jobs 0", "--jobs must be at least 1, got 0"),
        ("--steps 3", "--steps must be at least 20"),
        ("--games 3", "--games must be even"),
        ("--out here.txt", "must end in .json"),
        ("--play nothing", "run 'nothing' does not exist"),
        ("--table --out broken.json", "broken.json is no file of results"),
        ("--table --out other.json", "other.json holds results of another command"),
    ],
)
def test_bad_requests(
    words: str, answer: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("[{")
    Path("other.json").write_text('[{"row": "ppo", "settings": "a", "seed": 1}]')
    assert main(["ablation", *words.split()]) == 2
    assert answer in capsys.readouterr().err
