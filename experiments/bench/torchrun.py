"""`quintet bench torchrun`: PPO in the arena in several processes beside the same run in one, a core each."""

import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from experiments import runs
from experiments.bench.common import RESULTS, Figure, in_turns, machine, write
from experiments.errors import InputError

NUM_STEPS, BEGINNING = 128, 2
"""Steps of each arena an iteration, and iterations that are not counted."""


@dataclass(frozen=True)
class Options:
    """Measures training in the arena in several processes beside one, past the first iterations."""

    turns: int = 3
    """Times that the two take turns; the median counts."""
    processes: int = 2
    """How many beside one; each needs a core."""
    worlds: tuple[int, ...] = (48, 256)
    """Arenas in total, a figure each."""
    iterations: int = 6
    """Of a run."""
    out: str = str(RESULTS / "bench_torchrun.json")
    """File that the figures are written to."""


def speed(processes: int, worlds: int, iterations: int) -> float:
    """Agent-steps a second of a run."""
    total = worlds * NUM_STEPS * iterations
    words = f"train ppo quintet/Arena-v0 --num-envs {worlds} --num-steps {NUM_STEPS} --total-timesteps {total}".split()
    starter = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [*starter, "-m", "experiments.cli", *words, "--eval-episodes", "0", "--runs-dir", folder]
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        if done.returncode:
            raise InputError(f"training in {processes} process(es) failed:\n{done.stderr}")
        (run,) = runs.known_runs(Path(folder))
        with open(run / "timings.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    first, last = rows[BEGINNING - 1], rows[-1]
    return (int(last["step"]) - int(first["step"])) / (float(last["seconds"]) - float(first["seconds"]))


def main(options: Options) -> None:
    """Measures, prints a line and writes it."""
    print(f"{'':<58} {'several':>12} {'one':>12}", flush=True)
    figures = [measure(worlds, options) for worlds in options.worlds]
    worlds = " ".join(map(str, options.worlds))
    counts = f"--turns {options.turns} --processes {options.processes} --iterations {options.iterations}"
    command = f"quintet bench torchrun {counts} --worlds {worlds}"
    document = {"machine": machine(), "command": command, "figures": [vars(figure) for figure in figures]}
    write(document, Path(options.out))


def measure(worlds: int, options: Options) -> Figure:
    """Several processes and one, turn by turn."""
    many = options.processes
    result = in_turns(
        lambda: speed(many, worlds, options.iterations), lambda: speed(1, worlds, options.iterations), options.turns
    )
    name = f"PPO, {worlds} arenas, {many} processes (beside: one)"
    figure = Figure(name, "steps/s", *result, bar="at least 1.6x on two cores")
    print(figure.line(), flush=True)
    return figure
