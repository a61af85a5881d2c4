"""The run folder: one level, `<env>__<algo>__<seed>__<time>`, everything readable with ordinary tools.

config.json      what was asked for: algorithm, id, options, every field of Config, versions
metrics.csv      one row an iteration
timings.csv      what depends on the clock, apart, so that all the rest is reproducible to the byte
checkpoints/     step_000000102400.safetensors, ...: they sort by step; best.safetensors: what evaluated best so far
events.out.*     TensorBoard's
"""

import csv
import io
import json
import os
import platform
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from envs.registration import did_you_mean
from experiments.errors import InputError

SHIPPED = Path(__file__).parent / "shipped"
"""Run folders that come with the package, a policy and no more in each."""
PACKAGES = ("quintet", "torch", "numpy", "numba", "gymnasium")


@dataclass(frozen=True)
class RunConfig:
    """What config.json holds."""

    algorithm: str
    env_id: str
    env_options: dict[str, Any]
    config: dict[str, Any]
    """Every field of the algorithm's Config."""
    device: str = "cpu"
    vectorization: str = "sync"
    threads: int = 1
    checkpoint_every: int = 1
    eval_every: int = 0
    eval_episodes: int = 20
    stop_at_return: float | None = None
    modules: list[str] = field(default_factory=list)
    """Modules that `--module` imported; they are imported again only if named again."""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    """Of the clone that the code ran from, with "+" if files differed from it; None outside a clone."""


KINDS = {"algorithm": str, "env_id": str, "env_options": dict, "config": dict, "device": str, "vectorization": str,
         "threads": int, "checkpoint_every": int, "eval_every": int, "eval_episodes": int,
         "stop_at_return": float | int | None, "modules": list}  # fmt: skip
"""Of fields that config.json may hold wrongly."""
CHOICES = {"device": ("cpu", "cuda"), "vectorization": ("sync", "async")}


def commit() -> str | None:
    """The git commit of the clone that this code is in."""
    clone = Path(__file__).parent.parent
    if not (clone / ".git").exists():
        return None
    try:
        head, changed = (
            subprocess.run(["git", *words], cwd=clone, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def versions() -> dict[str, str]:
    """Of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def create(runs_dir: str | Path, config: RunConfig) -> Path:
    """Makes the folder of a new run, which `write_config` makes a run of; two never share one.

    Raises:
        InputError: the folder can't be made there.
    """
    seed = config.config.get("seed", 0)
    name = f"{folder_name(config.env_id)}__{config.algorithm}__{seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    run = _new_folder(Path(runs_dir), name)
    (run / "checkpoints").mkdir()
    return run


def folder_name(env_id: str) -> str:
    """An id as one level of a path: "quintet/CartPole-v1" -> "quintet-CartPole-v1"."""
    return re.sub(r"[^\w.+-]", "-", env_id)


def _new_folder(parent: Path, name: str) -> Path:
    count = 1
    while True:
        path = parent / (name if count == 1 else f"{name}-{count}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not parent.is_dir():
                raise InputError(f"{parent} is a file; give --runs-dir a folder") from None
            count += 1
        except OSError as error:
            raise InputError(f"can't make the run folder {path}: {error.strerror}; give another --runs-dir") from error


def write_config(run: Path, config: RunConfig) -> None:
    """Writes config.json whole or not at all."""
    from agents.checkpoint import write_atomic

    write_atomic(run / "config.json", (json.dumps(asdict(config), indent=2) + "\n").encode())


def read_config(run: Path) -> RunConfig:
    """What config.json says.

    Raises:
        InputError: it can't be read, or is not a run's.
    """
    path = run / "config.json"
    try:
        config = RunConfig(**json.loads(path.read_text()))
        for name, kind in KINDS.items():
            value = getattr(config, name)
            if not isinstance(value, kind) or value not in CHOICES.get(name, (value,)):
                raise ValueError(f"{name} is {value!r}")
        if min(config.threads, config.checkpoint_every) < 1 or min(config.eval_every, config.eval_episodes) < 0:
            raise ValueError("threads or steps are fewer than there can be")
        if not all(isinstance(name, str) for name in config.modules):
            raise ValueError(f"modules is {config.modules}")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} can't be read as a run's configuration: {error}") from error
    return config


def find(name: str, runs_dir: str | Path = "runs") -> Path:
    """The run folder that a user means: a path, a name in `runs_dir`, "latest", or a policy that is shipped.

    Raises:
        InputError: there is none, with the nearest that there is.
    """
    runs = known_runs(Path(runs_dir))
    if name == "latest" and runs:
        return max(runs, key=lambda run: (run / "config.json").stat().st_mtime)
    for path in (Path(name), Path(runs_dir) / name, SHIPPED / name):
        if (path / "config.json").is_file():
            return path
    path = Path(name)
    known = {run.name: run for run in [*known_runs(SHIPPED), *runs, *known_runs(path.parent)]}
    hint = did_you_mean(path.name, known)
    if not hint and known:
        hint = f"; there are: {', '.join(str(run) for run in list(known.values())[-3:])}"
    what = "is no run folder: it has no config.json" if path.exists() else "does not exist"
    raise InputError(f"run {name!r} {what}{hint or '; `quintet train` makes runs'}")


def words(run: Path) -> str:
    """A run as it is named on a command line, with the modules that it needs."""
    return shlex.join([str(run), *(word for name in read_config(run).modules for word in ("--module", name))])


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """While this lasts, no other process trains the run.

    Raises:
        InputError: one does already.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(run, wait=False))
        except BlockingIOError as error:
            raise InputError(f"{run} is being trained by another process; wait for it, or stop it") from error
        yield


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """While this lasts, no other process has the folder's lock; where the system has no such locks, anything goes.

    Raises:
        BlockingIOError: another has it, and it is not to be waited for.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(opened)


def remove_drafts(run: Path) -> None:
    """Removes what was being written when a process was killed; for who trains the run `alone`."""
    for path in (path for folder in (run, run / "checkpoints", run / "pool") for path in folder.glob(".*")):
        if re.fullmatch(r"\..+\.(safetensors|json|csv)\.\d+", path.name):
            path.unlink()


def known_runs(parent: Path) -> list[Path]:
    """The run folders in a folder, by name."""
    return sorted(path.parent for path in parent.glob("*/config.json"))


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint after so many steps is."""
    return run / "checkpoints" / f"step_{step:012d}.safetensors"


def best_path(run: Path) -> Path:
    """Where the policy is that evaluated best while it learned."""
    return run / "checkpoints" / "best.safetensors"


def checkpoints(run: Path) -> list[Path]:
    """All of them, by step."""
    return sorted((run / "checkpoints").glob(f"step_{'[0-9]' * 12}.safetensors"))


def find_checkpoint(run: Path, name: str | None = None) -> Path:
    """The last checkpoint, or the one that `name` says: "best", a step, a file's name or its path.

    Raises:
        InputError: there is none.
    """
    found = checkpoints(run)
    if not found:
        raise InputError(f"{run} has no checkpoint: the run ended before its first one; train anew")
    if name is None:
        return found[-1]
    if name == "best" and not best_path(run).is_file():
        raise InputError(f"{run} has no best checkpoint: only runs trained with --eval-every keep one")
    if name == "best":
        return best_path(run)
    if name.isdecimal():
        name = checkpoint_path(run, int(name)).name
    for path in (Path(name), run / "checkpoints" / name):
        if path.is_file():
            return path
    steps = ", ".join(str(int(path.stem.split("_")[1])) for path in found)
    raise InputError(f"{run} has no checkpoint {name!r}; there are those after steps {steps}")


def returns(run: Path, until: int) -> list[float]:
    """What metrics.csv says of the returns of iterations up to a step, of those in which episodes ended."""
    rows = Table.read(run / "metrics.csv")[1]
    told = [row.get("charts/episodic_return", "") for row in rows if int(row["step"]) <= until]
    return [float(value) for value in told if value]


class Table:
    """A CSV file that grows by rows, whose first column is the step; each row is on disk when `add` returns.

    Columns are in the order in which they first appeared; a new one rewrites the file.
    """

    def __init__(self, path: Path, keep_until: int | None = None) -> None:
        """Opens the file, or goes on with one: rows after step `keep_until` are dropped, `None` drops all."""
        self.path = path
        self.columns: list[str] = ["step"]
        self.rows: list[dict[str, str]] = []
        if keep_until is not None and path.exists():
            columns, rows = self.read(path)
            self.rows = [row for row in rows if int(row["step"]) <= keep_until]
            self.columns = columns or self.columns
        self._rewrite()

    @staticmethod
    def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
        """The columns and the rows of a file, but for a last line that was cut off.

        Raises:
            InputError: it is no such table, or a damaged one.
        """
        try:
            with open(path, newline="") as file:
                whole = [line for line in file if line.endswith("\n")]
            reader = csv.DictReader(whole, strict=True)
            columns, rows = list(reader.fieldnames or ()), list(reader)
            _check(columns, rows)
            return columns, rows
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path} can't be read as a table: {error}; move it away to begin a new one") from error

    def add(self, step: int, values: dict[str, float]) -> None:
        """Appends a row."""
        row = {"step": str(step), **{name: _text(value) for name, value in values.items()}}
        new = [name for name in row if name not in self.columns]
        self.rows.append(row)
        if new:
            self.columns += new
            self._rewrite()
        else:
            with open(self.path, "a", newline="") as file:
                file.write(self._lines([row]))

    def _rewrite(self) -> None:
        from agents.checkpoint import write_atomic

        header = dict(zip(self.columns, self.columns, strict=True))
        write_atomic(self.path, self._lines([header, *self.rows]).encode())

    def _lines(self, rows: list[dict[str, str]]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()


def _check(columns: list[str], rows: list[dict[str, str]]) -> None:
    """Holds a table to steps and numbers.

    Raises:
        ValueError: something else is in it.
    """
    if columns[:1] not in ([], ["step"]):
        raise ValueError(f"its first column is {columns[0]!r}, not 'step'")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values() or not row["step"].isdecimal():
            raise ValueError(f"its row {number} has another number of columns, or no step")
        for cell in row.values():
            float(cell or 0)


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9g}"
