"""The table of what the presets reach: what is trained, what is not trained again, what the lines say."""

import json
from pathlib import Path

import pytest

from experiments import report, runs

ROWS = """
[[Tables]]
algorithm = "q"
env_id = "quintet/GridWorld-v0"
flags = ["--total-timesteps", "{steps}", "--num-envs", "64"]
reference = "known"
note = "a short run"

[[Others]]
algorithm = "ppo"
env_id = "quintet/CartPole-v1"
reference = "500"
"""


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report.toml"
    path.write_text(ROWS.format(steps=2000))
    monkeypatch.setattr(report, "ROWS", path)
    return path


def run(folder: Path, *words: str) -> list[dict]:
    out = folder / "report.json"
    assert report.main(["--out", str(out), "--runs-dir", str(folder / "runs"), *words]) == 0
    return json.loads(out.read_text()) if out.exists() else []


def test_each_seed_is_trained_once_and_again_when_its_settings_change(rows: Path, tmp_path: Path) -> None:
    first = run(tmp_path, "--only", "q *", "--seeds", "2", "--jobs", "2")
    assert [(one["row"].split()[0], one["seed"], one["episodes"]) for one in first] == [("q", 1, 100), ("q", 2, 100)]
    assert run(tmp_path, "--only", "q *", "--seeds", "2") == first
    assert len(list((tmp_path / "runs").iterdir())) == 2
    rows.write_text(ROWS.format(steps=3000))
    again = run(tmp_path, "--only", "q *", "--seeds", "1")
    assert [one["seed"] for one in again] == [1] and again[0]["settings"] != first[0]["settings"]


def test_a_line_has_mean_interval_and_worst_of_the_seeds_or_says_that_none_was_run(rows: Path, tmp_path: Path) -> None:
    (row, other) = report.read_rows()
    about = {"row": row.name, "settings": row.settings(), "seconds": 10.0}
    results = [{**about, "seed": 1, "mean": 7.0}, {**about, "seed": 2, "mean": 9.0}]
    (tmp_path / "report.json").write_text(json.dumps(results))
    run(tmp_path, "--table")
    page = (tmp_path / "report.md").read_text()
    # mean 8; Student's t for one degree of freedom 12.706 times the deviation sqrt(2) over sqrt(2)
    assert f"| `{row.command}` | 2 x 100 | 8.0 ± 12.7 | 7.0 | known | 10 |" in page
    assert f"| `{other.command}` | not run | | | 500 | |" in page
    assert page.index("## Tables") < page.index("a short run") < page.index("## Others")


def test_a_pattern_that_matches_nothing_is_told_with_the_rows(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(report.InputError, match="matches no row; there are: q quintet/GridWorld-v0"):
        run(tmp_path, "--only", "dqn *")


def test_a_run_that_fails_is_told_and_what_came_before_is_kept(rows: Path, tmp_path: Path) -> None:
    before = run(tmp_path, "--only", "q *", "--seeds", "1")
    rows.write_text(ROWS.format(steps=2000).replace('"ppo"\nenv_id', '"ppo"\nflags = ["--minibatch-sze", "3"]\nenv_id'))
    with pytest.raises(report.InputError, match="minibatch"):
        run(tmp_path, "--only", "ppo *", "--seeds", "1")
    assert json.loads((tmp_path / "report.json").read_text()) == before


def test_the_rows_that_are_kept_are_different_and_known_to_train() -> None:
    names = [row.name for row in report.read_rows()]
    assert len(set(names)) == len(names)
    assert all(row.settings() for row in report.read_rows() if row.group in ("Tables", "Classic control"))


def test_a_row_that_is_evaluated_while_it_learns_counts_the_best_of_it(rows: Path, tmp_path: Path) -> None:
    (last,) = run(tmp_path, "--only", "q *", "--seeds", "1")
    rows.write_text(ROWS.format(steps=2000).replace('"64"]', '"64", "--eval-every", "500"]'))
    (best,) = run(tmp_path, "--only", "q *", "--seeds", "1", "--runs-dir", str(tmp_path / "best"))
    assert best["settings"] != last["settings"]
    (folder,) = (tmp_path / "best").glob("*/*")
    assert best["mean"] == evaluated(folder, "best") and runs.best_path(folder).is_file()


def evaluated(folder: Path, checkpoint: str) -> float:
    said, _ = report.quintet("evaluate", str(folder), "--episodes", "100", "--json", "--checkpoint", checkpoint)
    return json.loads(said)["deterministic"]["mean"]


def test_results_that_another_process_added_meanwhile_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    settings: dict[str, str | None] = {"mine": "a", "theirs": "b", "outdated": "c"}

    def work(name: str, seed: int) -> tuple[dict, str]:
        others = [{"row": "theirs", "settings": "b", "seed": 1}, {"row": "outdated", "settings": "old", "seed": 1}]
        path.write_text(json.dumps(others))
        return {"mean": 3.0}, "done"

    before = [{"row": "theirs", "settings": "older", "seed": 1}]
    report.run_all([("mine", 1)], work, settings, before, path, jobs=1)
    found = json.loads(path.read_text())
    assert [(one["row"], one["settings"]) for one in found] == [("mine", "a"), ("theirs", "older"), ("theirs", "b")]
