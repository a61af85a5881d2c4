"""What benchmarks share: figures, turns, the machine, and where results lie."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured line: ours, theirs where there is one, their ratio and what it must reach."""

    name: str
    unit: str
    ours: float
    theirs: float | None
    ratio: float | None
    bar: str

    def line(self) -> str:
        """For people."""
        theirs = "" if self.theirs is None else f"{self.theirs:>12,.1f}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return f"{self.name:<58} {self.ours:>12,.1f} {theirs:>12} {self.unit:<12} {ratio:>7}  {self.bar}"


def in_turns(ours: Callable[[], float], theirs: Callable[[], float], turns: int) -> tuple[float, float, float]:
    """Medians of both and of the pairwise ratios, measured turn by turn."""
    return medians([(ours(), theirs()) for _ in range(turns)])


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Of ours, of theirs and of their ratios, pair by pair."""
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def rate(step: Callable[[int], Any], units: int, seconds: float) -> float:
    """Units a second of a step that does `units` of them, called for about `seconds`."""
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(32):
            step(calls)
            calls += 1
    return calls * units / (time.perf_counter() - started)


def cartpole_rate(worlds: Any, seconds: float, tensors: bool = False) -> Callable[[], float]:
    """Steps a second of a batch of CartPoles, random actions given as arrays or tensors; measured anew at each call."""
    import torch

    worlds.reset(seed=0)
    actions = torch.randint(0, 2, (64, worlds.num_envs)).unbind()
    given = actions if tensors else [row.numpy() for row in actions]
    return lambda: rate(lambda i: worlds.step(given[i % 64]), worlds.num_envs, seconds)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import numba
    import torch

    import envs

    folder = Path(envs.__file__).parent.parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True)
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def one_core() -> None:
    """Keeps this process on one core, torch's threads included: one that waits on a core's other half slows it down."""
    import torch

    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def write(document: dict[str, Any], out: Path) -> None:
    """Writes figures as JSON and says where."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {out}")
