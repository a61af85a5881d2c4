"""`quintet plot`: a metric of several runs as curves, runs that differ in the seed alone as one with its spread."""

import csv
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from experiments import flags, runs
from experiments.errors import InputError, check_file

POINTS = 120
"""Of a curve: runs are averaged over this many equal parts of the longest."""
X_NAMES = ("step", "seconds")
FEW = 4
"""Fewer points than this are also marked: one alone would not show."""


@dataclass(frozen=True)
class Options:
    """Draws a metric of runs, with the spread over seeds, into a picture."""

    run: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folders, or names in --runs-dir."""
    y: str = "charts/episodic_return"
    """A column of metrics.csv."""
    x: str = "step"
    """step or seconds."""
    out: str = "curves.png"
    """The picture; the curves' numbers go beside it as CSV."""
    runs_dir: str = "runs"
    """Folder of run folders."""


def main(argv: list[str]) -> int:
    """`quintet plot ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet plot")
    if not options.run:
        raise InputError("which runs? quintet plot RUN ...")
    if options.x not in X_NAMES:
        raise InputError(f"--x must be one of {', '.join(X_NAMES)}, got {options.x!r}")
    out = check_file("--out", options.out, ".png", ".pdf", ".svg")
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name in options.run:
        run = runs.find(name, options.runs_dir)
        groups.setdefault(label(runs.read_config(run)), []).append(curve(run, options.x, options.y))
    plain = {title: title.rpartition(" (")[0] for title in groups}
    if len(set(plain.values())) == len(plain):  # no need to tell settings apart
        groups = {plain[title]: each for title, each in groups.items()}
    curves = {title: average(each) for title, each in groups.items()}
    several = {title: f", mean and span of {len(each)} runs" for title, each in groups.items() if len(each) > 1}
    shown = {title + several.get(title, ""): one for title, one in curves.items()}
    draw(shown, "agent-steps" if options.x == "step" else "seconds", words_of(options.y), out)
    write(curves, options, out.with_suffix(".csv"))
    print(f"written to {out} and {out.with_suffix('.csv')}")
    return 0


def label(config: runs.RunConfig) -> str:
    """What a run is, apart from its seed; runs with different settings have different labels."""
    rest = {name: value for name, value in config.config.items() if name != "seed"}
    options = " ".join(f"{name}={value}" for name, value in config.env_options.items())
    mark = format(zlib.crc32(json.dumps(rest, sort_keys=True).encode()) % 4096, "03x")
    return f"{config.algorithm} {config.env_id} {options}".strip() + f" ({mark})"


def curve(run: Path, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a run where y was logged, float64 `[n]` each.

    Raises:
        InputError: no such column, or nothing in it.
    """
    metrics, timings = table(run / "metrics.csv"), table(run / "timings.csv")
    if not metrics or y not in metrics[0]:
        known = ", ".join(sorted(metrics[0])) if metrics else "none yet"
        raise InputError(f"{run} has no metric {y!r}; there are: {known}")
    seconds = {row["step"]: row["seconds"] for row in timings}
    rows = [row for row in metrics if row[y]]
    if not rows:
        raise InputError(f"{run} has no value of {y!r} yet")
    if x == "seconds":
        rows = [row for row in rows if row["step"] in seconds]
    places = [float(row["step"] if x == "step" else seconds[row["step"]]) for row in rows]
    if not rows:
        raise InputError(f"{run} has no times of {y!r}; use --x step")
    return np.array(places), np.array([float(row[y]) for row in rows])


def table(path: Path) -> list[dict[str, str]]:
    """The complete rows of a run's table."""
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return runs.Table.read(path)[1]


def average(curves: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Runs in equal parts of x, as far as all of them go, float64 `[p]` each: "x" (the mean of where values were),
    "mean", "low" and "high" (the least and the greatest run). In a part where a run has no value it is taken to lie on
    the line between its neighbours."""
    edges = np.linspace(0, min(places[-1] for places, _ in curves), POINTS + 1)
    means = [_means_in_parts(edges, *curve) for curve in curves]
    x = np.stack([middles for middles, _ in means])
    there = np.flatnonzero(np.isfinite(x[:, :-1]).any(0))  # what lies beyond serves to draw lines to
    x = np.nanmean(x[:, there], 0)
    lines = []
    for middles, values in means:
        told = np.isfinite(middles)
        lines.append(np.interp(x, middles[told], values[told]))
    stacked = np.stack(lines)
    return {"x": x, "mean": stacked.mean(0), "low": stacked.min(0), "high": stacked.max(0)}


def _means_in_parts(edges: np.ndarray, places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means of places and of values in each part between edges, NaN where there are none; the part after the last
    edge counts too, so that a run of few values has one beyond it."""
    part = np.searchsorted(edges, places, side="left").clip(1) - 1
    counts, *sums = (np.bincount(part, weights, len(edges)) for weights in (None, places, values))
    counts = np.where(counts > 0, counts, np.nan)
    return sums[0] / counts, sums[1] / counts


def words_of(name: str) -> str:
    """What a metric is called in a picture."""
    return name.rsplit("/", 1)[-1].replace("_", " ")


def draw(curves: dict[str, dict[str, np.ndarray]], x_label: str, y_label: str, out: Path) -> None:
    """The picture of curves that `average` gave, by what the legend calls them."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for title, one in curves.items():
        marker = "o" if len(one["x"]) < FEW else None
        (line,) = axes.plot(one["x"], one["mean"], label=title, linewidth=1.8, marker=marker)
        axes.fill_between(one["x"], one["low"], one["high"], color=line.get_color(), alpha=0.2, linewidth=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def write(curves: dict[str, dict[str, np.ndarray]], options: Options, out: Path) -> None:
    """The numbers of the picture."""
    with open(out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["curve", options.x, f"mean {options.y}", "least run", "greatest run"])
        for title, one in curves.items():
            rows: Any = zip(*(one[name] for name in ("x", "mean", "low", "high")), strict=True)
            writer.writerows([title, *(f"{value:.6g}" for value in row)] for row in rows)
