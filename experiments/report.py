"""`quintet report`: every preset trained with several seeds and evaluated, in one table beside what is known of each.

What is trained, and the figures that it stands beside, is in report.toml. A run whose settings have a result already is
not repeated, so that a report that was interrupted, or whose presets changed in part, goes on where it was.
"""

import fnmatch
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from experiments import flags, runs
from experiments.bench.common import RESULTS
from experiments.errors import InputError, as_input_error, check_file

ROWS = Path(__file__).parent / "report.toml"
NEVER = str(10**12)
ONE_CORE = ("--device", "cpu", "--threads", "1")
"""Runs side by side would be in each other's way on a GPU."""
RUNNING: set[int] = set()
"""Ids of the processes that `quintet` waits for."""
STOPPED = {sign for number in (signal.SIGINT, signal.SIGTERM) for sign in (-number, 128 + number)}
"""Exit codes of a process that was stopped."""


@dataclass(frozen=True)
class Options:
    """Trains the presets with several seeds each, evaluates them and writes one table."""

    only: str = "*"
    """Rows to train, by a pattern of "ALGORITHM ENV_ID": "ppo *", "* LunarLander*". The table has all rows."""
    seeds: int = 5
    """Seeds a row: 1, 2, ..."""
    jobs: int = 1
    """Runs side by side, each on one core."""
    table: bool = False
    """Trains nothing: writes the table of what there is."""
    runs_dir: str = "runs/report"
    """Folder of the run folders."""
    out: str = str(RESULTS / "report.json")
    """File of the results; the table goes beside it, as Markdown."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    group: str
    """The heading that it stands under."""
    algorithm: str
    env_id: str
    reference: str
    """What is known that a correct implementation reaches, and whose figure it is."""
    flags: tuple[str, ...] = ()
    """Of the command, after the id."""
    episodes: int = 100
    """That each seed is evaluated on, best actions."""
    note: str = ""
    """What a reader must know of it."""

    @property
    def name(self) -> str:
        """What --only is matched with."""
        return " ".join((self.algorithm, self.env_id, *self.flags))

    @property
    def keeps_best(self) -> bool:
        """Whether it is evaluated while it learns, and the best of it is what counts."""
        return "--eval-every" in self.flags

    @property
    def command(self) -> str:
        """What trains it, but for the seed."""
        return f"quintet train {self.name}"

    def settings(self) -> str | None:
        """A hash of all that is asked for but the seed; None where the environment lacks its extra here."""
        played = [self.episodes, "of the best"] if self.keeps_best else self.episodes
        return settings_of([self.algorithm, self.env_id, *self.flags], played)


def main(argv: list[str]) -> int:
    """`quintet report ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet report")
    rows, path = read_rows(), Path(options.out)
    check(options, [row.name for row in rows])
    settings = {row.name: row.settings() for row in rows}
    results = read_results(path, settings, {"mean", "seconds"})
    failures = [] if options.table else _train(options, rows, settings, results, path)
    path.with_suffix(".md").write_text(table(rows, results))
    print(f"written: {path.with_suffix('.md')}")
    if failures:
        print(f"{len(failures)} runs failed; give the command again to train them anew")
    return 1 if failures else 0


def check(options: Any, names: list[str]) -> None:
    """Seeds, jobs and a pattern of names that can be meant.

    Raises:
        InputError: others.
    """
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, got {getattr(options, name)}")
    check_file("--out", options.out, ".json")
    if not fnmatch.filter(names, options.only):
        raise InputError(f"--only {options.only!r} matches no row; there are: {'; '.join(names)}")


def settings_of(words: list[str], games: Any) -> str | None:
    """A hash of what is asked for but the seed; None where the environment lacks its extra here.

    Fields that have their default don't count, so that results outlive the fields that are added later.

    Args:
        words: of `quintet train`.
        games: what a result is made of: how many episodes or games, and which.
    """
    from experiments.train import parse

    try:
        _, algorithm, choice, config = parse(words)
    except InputError as error:
        if "extra" not in str(error):
            raise
        return None
    usual = asdict(type(config)())
    asked = {name: value for name, value in asdict(config).items() if value != usual[name] and name != "seed"}
    text = json.dumps([algorithm, choice.id, choice.options, asked, games], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_rows() -> list[Row]:
    """The rows of report.toml, in its order."""
    rows = []
    for group, members in tomllib.loads(ROWS.read_text()).items():
        rows += [Row(group=group, **{**one, "flags": tuple(one.get("flags", ()))}) for one in members]
    return rows


def read_results(path: Path, settings: dict[str, str | None], names: Collection[str] = ()) -> list[dict]:
    """The results there are, but for those of rows that are gone or have other settings now."""
    found = stored(path, names)
    return [one for one in found if settings.get(one["row"], "gone") in (one["settings"], None)]


def stored(path: Path, names: Collection[str]) -> list[dict[str, Any]]:
    """The results in a file, none where there is no file.

    Raises:
        InputError: it holds something else, or results that don't tell row, settings, seed and these names.
    """
    needed = {"row", "settings", "seed", *names}
    if not path.exists():
        return []
    with as_input_error(ValueError, prefix=f"{path} is no file of results, move it or give another --out: "):
        results = json.loads(path.read_text())
    if not (isinstance(results, list) and all(isinstance(one, dict) and needed <= set(one) for one in results)):
        raise InputError(f"{path} holds results of another command; give another --out")
    return results


def due(
    names: list[str], seeds: int, settings: dict[str, str | None], results: list[dict[str, Any]]
) -> list[tuple[str, int]]:
    """The rows and seeds that have no result with these settings: of all rows the first seed, then the second, ..."""
    done = {(one["settings"], one["seed"]) for one in results}
    wanted = [name for name in names if settings[name]]
    return [(name, seed) for seed in range(1, seeds + 1) for name in wanted if (settings[name], seed) not in done]


def _train(
    options: Options, rows: list[Row], settings: dict[str, str | None], results: list[dict], path: Path
) -> list[str]:
    """Trains and evaluates what is due; returns what was said by runs that failed."""
    wanted = {row.name: row for row in rows if fnmatch.fnmatchcase(row.name, options.only)}
    for name, row in wanted.items():
        if settings[name] is None:
            print(f"skipped: {name}; its heading names the extra to install: {row.group}", flush=True)

    def work(name: str, seed: int) -> tuple[dict[str, Any], str]:
        result = train_and_evaluate(wanted[name], seed, Path(options.runs_dir))
        return result, f"{result['mean']:.1f} in {result['seconds']:.0f} s"

    return run_all(due(list(wanted), options.seeds, settings, results), work, settings, results, path, options.jobs)


def run_all(
    waiting: list[tuple[str, int]], work: Callable[[str, int], tuple[dict[str, Any], str]],
    settings: dict[str, str | None], results: list[dict[str, Any]], path: Path, jobs: int,
) -> list[str]:  # fmt: skip
    """Does the work for rows and seeds; each result is on disk as soon as it is there, whatever fails beside it.

    Args:
        waiting: names of rows, and seeds.
        work: gives the result and what to say of it, or raises an `InputError`.
        settings: hashes by name.
        results: of before; they grow.
        path: the file of all results.
        jobs: how many side by side.

    Returns:
        what was said by work that failed.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM, here or of a run; all runs have been stopped then.
    """
    from agents.checkpoint import write_atomic

    print(f"{len(waiting)} runs to train, {jobs} side by side", flush=True)
    failures: list[str] = []
    pool = ThreadPoolExecutor(jobs)
    futures = {pool.submit(work, *pair): pair for pair in waiting}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number, future in enumerate(as_completed(futures), start=1):
            name, seed = futures[future]
            try:
                result, said = future.result()
            except InputError as error:
                failures.append(str(error))
                print(f"failed: {name}, seed {seed}: {error}", flush=True)
                continue
            results.append({"row": name, "settings": settings[name], "seed": seed, **result})
            path.parent.mkdir(parents=True, exist_ok=True)
            with runs.locked(path.parent):
                mine = {_key(one) for one in results}  # another process may have added to the file
                results += [one for one in read_results(path, settings) if _key(one) not in mine]
                results.sort(key=lambda one: (one["row"], one["seed"]))
                write_atomic(path, (json.dumps(results, indent=1) + "\n").encode())
            print(f"[{number}/{len(waiting)}] {name}, seed {seed}: {said}", flush=True)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(RUNNING):
            os.kill(process, signal.SIGTERM)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, before)
    return failures


def _key(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["row"], result["settings"], result["seed"]


def train_and_evaluate(row: Row, seed: int, runs_dir: Path) -> dict[str, Any]:
    """One run from the start of its process to its end, and the evaluation of its last, or best, checkpoint.

    Raises:
        InputError: either failed, with what it said.
    """
    end = [] if row.keeps_best else ["--eval-episodes", "0"]
    run, seconds = train(
        ["train", row.algorithm, row.env_id, *ONE_CORE, *row.flags, *end, "--checkpoint-every", NEVER],
        seed, runs_dir / runs.folder_name(f"{row.name} {seed} {time.time_ns()}"),
    )  # fmt: skip
    chosen = ["--checkpoint", "best"] if row.keeps_best else []
    said, _ = quintet("evaluate", str(run), "--episodes", str(row.episodes), "--json", *chosen)
    evaluation = json.loads(said)
    best = evaluation["deterministic"]
    kept = {name: best[name] for name in ("episodes", "mean", "low", "high", "min", "max")}
    drawn = evaluation["stochastic"]["mean"]
    return {**kept, "drawn_actions_mean": drawn, "seconds": round(seconds, 1), "commit": runs.read_config(run).commit}


def train(words: list[str], seed: int, folder: Path) -> tuple[Path, float]:
    """Trains by a command; the run folder in this new folder, and the processor's seconds that it took."""
    _, seconds = quintet(*words, "--seed", str(seed), "--runs-dir", str(folder))
    (run,) = runs.known_runs(folder)
    return run, seconds


def quintet(*words: str) -> tuple[str, float]:
    """What a command of this program prints, and the processor's seconds that it took.

    Raises:
        InputError: it failed, with what it said.
        KeyboardInterrupt: it was stopped by Ctrl-C or SIGTERM.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        process = subprocess.Popen([sys.executable, "-m", "experiments.cli", *words], stdout=out, stderr=err)
        RUNNING.add(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        RUNNING.remove(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        said, complaints = out.read(), err.read()
    if process.returncode in STOPPED:
        raise KeyboardInterrupt
    if process.returncode:
        raise InputError(f"quintet {' '.join(words)} failed:\n{complaints.strip() or said.strip()}")
    return said, used.ru_utime + used.ru_stime


def table(rows: list[Row], results: list[dict]) -> str:
    """The results as a Markdown page."""
    lines = ["# What the presets reach", "", PREFACE]
    for group in dict.fromkeys(row.group for row in rows):
        members = [row for row in rows if row.group == group]
        lines += ["", f"## {group}", "", HEAD, "|---|---|---|---|---|---|"]
        lines += [_line(row, [one for one in results if one["row"] == row.name]) for row in members]
        notes = [f"- `{row.name}`: {row.note}" for row in members if row.note]
        lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


PREFACE = """\
Made by `quintet report`. Each seed is a run of the command with `--seed 1`, `--seed 2`, ..., whose last checkpoint, or
with `--eval-every` the one that did best in other episodes while it learned, then plays whole episodes with its best
actions (`quintet evaluate`). The mean is that of the seeds' means, with half its 95% interval (Student's t over seeds).
All seeds play the same episodes, so it says how runs differ, not how episodes do: each run's own interval is in
report.json. What is known of others' is of the versions that they used; an optimum that was computed is that of who
knows how much time is left. Seconds are those of one core for one run (`--device cpu --threads 1`), from the start of
its process to the end."""
HEAD = "| command | seeds x episodes | return | worst seed | known | seconds |"


def _line(row: Row, found: list[dict]) -> str:
    start = f"| `{row.command}` | "
    if not found:
        return f"{start}not run | | | {row.reference} | |"
    means = [one["mean"] for one in found]
    digits = 3 if max(map(abs, means)) < 2 else 1
    seconds = sum(one["seconds"] for one in found) / len(found)
    return (
        f"{start}{len(found)} x {row.episodes} | {spread(means, digits)} | "
        f"{min(means):.{digits}f} | {row.reference} | {seconds:.0f} |"
    )


def spread(values: list[float], digits: int) -> str:
    """The mean and, where there are two values or more, half its 95% interval (Student's t)."""
    from agents.evaluate import half_width

    half = half_width(values)
    mean = f"{sum(values) / len(values):.{digits}f}"
    return mean if half is None else f"{mean} ± {half:.{digits}f}"
