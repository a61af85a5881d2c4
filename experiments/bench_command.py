"""`quintet bench`: its flags."""

from dataclasses import dataclass
from pathlib import Path

from experiments import bench, flags
from experiments.errors import InputError


@dataclass(frozen=True)
class Options:
    """Measures speed beside Gymnasium and a plain PPO loop, on one core, in turns."""

    turns: int = 7
    """Times that the two sides take turns; the median counts."""
    out: str = str(bench.RESULTS / "bench.json")
    """File that the figures are written to."""


def main(argv: list[str]) -> int:
    """`quintet bench ...`; returns the exit code."""
    options = flags.parse(Options, argv, "quintet bench")
    if options.turns < 1:
        raise InputError(f"--turns must be at least 1, got {options.turns}")
    bench.main(options.turns, Path(options.out))
    return 0
