"""`quintet bench`: our speed beside others', measured in one run on one core, so that the ratios hold on any machine.

The two sides of a comparison take turns; each figure is the median of the turns and a ratio is the median of the
pairwise ratios.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


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


def cartpole_worlds(turns: int, tensors: bool, num_worlds: int = 1024) -> Figure:
    """Batched CartPole, tensors or arrays in and out, beside Gymnasium's own NumPy batch."""
    import gymnasium
    from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

    import envs

    make: Any = envs.make_vec if tensors else gymnasium.make_vec
    ours, theirs = make("quintet/CartPole-v1", num_worlds, num_threads=1), CartPoleVectorEnv(num_worlds)
    result = in_turns(cartpole_rate(ours, 0.5, tensors), cartpole_rate(theirs, 0.5), turns)
    kind = "tensors" if tensors else "arrays"
    name = f"CartPole, {num_worlds} worlds, {kind} (theirs: Gymnasium's batch)"
    return Figure(name, "env-steps/s", *result, bar="at least 3x")


def ppo_loop(turns: int) -> Figure:
    """PPO on CartPole with CleanRL's hyperparameters, beside a plain loop that has the same."""
    from agents import ppo
    from experiments import bench_dqn, bench_ppo
    from experiments.reference_ppo import NUM_ENVS, NUM_STEPS, steps_per_second

    learn = bench_ppo.ours(ppo.Config(num_envs=NUM_ENVS, num_steps=NUM_STEPS, total_timesteps=10**9))
    result = in_turns(lambda: bench_dqn.rate(learn, 25 * NUM_ENVS * NUM_STEPS), steps_per_second, turns)
    name = "PPO on CartPole, 8 envs x 128 steps (theirs: a plain loop)"
    return Figure(name, "env-steps/s", *result, bar="at least 3x, 20,000/s")


def time_to_solve(cached: bool) -> Figure:
    """Seconds from the start of a process to the end of its training on CartPole; NaN unless what it learned then
    reaches 475 or more over 100 episodes."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        if not cached:
            environ["QUINTET_CACHE_DIR"] = str(Path(folder) / "cache")
        command = [sys.executable, "-m", "experiments.cli", "train", "ppo", "quintet/CartPole-v1", "--runs-dir", folder]
        started = time.perf_counter()
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        run = next(path for path in Path(folder).iterdir() if path.name.startswith("quintet-CartPole"))
        evaluate = [sys.executable, "-m", "experiments.cli", "evaluate", str(run), "--episodes", "100", "--json"]
        seconds = time.perf_counter() - started
        shown = json.loads(subprocess.run(evaluate, env=environ, check=True, capture_output=True, text=True).stdout)
    score = shown["deterministic"]["mean"]
    if score < 475:
        seconds = float("nan")
    name = f"start to CartPole solved ({'cached' if cached else 'cold'}; evaluated {score:.0f})"
    return Figure(name, "s", seconds, None, None, "under 15 s" if cached else "")


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


@dataclass(frozen=True)
class Options:
    """Measures speed beside Gymnasium and a plain PPO loop, on one core, in turns."""

    turns: int = 7
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench.json")
    """File that the figures are written to."""


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


def main(options: Options) -> None:
    """Measures every figure on one core, prints a line each and writes them."""
    one_core()
    turns = options.turns
    measures: list[Callable[[], Figure]] = [
        lambda: cartpole_worlds(turns, tensors=True),
        lambda: cartpole_worlds(turns, tensors=False),
        lambda: ppo_loop(turns),
        lambda: time_to_solve(cached=True),
        lambda: time_to_solve(cached=False),
    ]
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    figures = []
    for measure in measures:
        figures.append(measure())
        print(figures[-1].line(), flush=True)
    write({"machine": machine(), "figures": [vars(figure) for figure in figures]}, Path(options.out))
