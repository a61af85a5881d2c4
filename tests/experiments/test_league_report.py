"""The cross table of a league: who plays, what the shares and intervals are, and what is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.league_report import Options, points, table, versions
from experiments.matches import Tally
from experiments.ratings import Rating

TALLIES = {("a", "b"): Tally(8, 1, 1), ("a", "c"): Tally(10, 0, 0), ("b", "c"): Tally(5, 5, 0)}


def test_shares_are_of_points_and_turn_round() -> None:
    assert points(TALLIES, "a", "b")[0] == pytest.approx(0.85) and points(TALLIES, "b", "a")[0] == pytest.approx(0.15)
    share, (low, high) = points(TALLIES, "c", "b")
    assert share == 0.5 and (low, high) == pytest.approx((0.2366, 0.7634), abs=1e-4), "Wilson, 5 of 10"


def test_the_table_has_a_row_and_a_column_each() -> None:
    ratings = {name: Rating(mu, 1.0) for name, mu in (("a", 9.0), ("b", 1.0), ("c", 0.0))}
    lines = table("quintet/Duel-v0", ["a", "b", "c"], TALLIES, ratings, Options(run=("r",), games=10)).splitlines()
    assert "10 games a pair, trained players take their best actions" in lines[0]
    assert lines[2] == "| | player | rating ± standard error | 1 | 2 | 3 |"
    assert lines[4] == "| 1 | a | 9.0 ± 1.0 |  | 85 [54, 96] | 100 [72, 100] |"
    assert lines[6] == "| 3 | c | 0.0 ± 1.0 | 0 [0, 28] | 50 [24, 76] |  |"


def test_versions_are_drawn_from_the_whole_pool(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for step in range(0, 900, 100):
        (tmp_path / "pool" / f"step_{step:012d}.safetensors").touch()
    steps: Any = lambda count: [int(path.stem[5:]) for path in versions(tmp_path, count)]  # noqa: E731
    assert steps(3) == [0, 400, 800] and steps(0) == [] and len(steps(99)) == 9


def test_a_run_and_its_past_play_each_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = "--total-timesteps 200 --num-envs 4 --num-steps 16 --num-minibatches 2 --eval-episodes 0 --rate-every 0"
    assert main(["league", "quintet/Duel-v0", *words.split(), "--env.minutes", "0.2", "--runs-dir", str(tmp_path)]) == 0
    (run,) = tmp_path.iterdir()
    out = tmp_path / "table.json"
    report = ["league", "--report", str(run), "--games", "4", "--versions", "1", "--out", str(out)]
    assert main([*report, "--no-scripted"]) == 0
    figures = json.loads(out.read_text())
    (game,) = figures["games"]
    assert game["one"] == f"{run.name}@0" and game["won"] + game["lost"] + game["drawn"] == 4
    assert figures["command"].endswith("--games 4 --seed 10000 --versions 1 --no-scripted")
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert f"| 2 | {run.name} |" in out.with_suffix(".md").read_text()
    assert "[1/1]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("", "which runs?"),
        ("x --games 1", "--games must be at least 2"),
        ("x --out y.txt", "must end in .json"),
        ("nothing", "run 'nothing' does not exist"),
    ],
)
def test_bad_requests(words: str, answer: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["league", "--report", *words.split(), "--runs-dir", str(tmp_path)]) == 2
    assert answer in capsys.readouterr().err
