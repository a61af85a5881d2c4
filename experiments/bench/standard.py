"""`quintet bench`: our speed beside others', measured in one run on one core, so that the ratios hold on any machine.

The two sides of a comparison take turns; each figure is the median of the turns and a ratio is the median of the
pairwise ratios.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench.common import RESULTS, Figure, cartpole_rate, in_turns, machine, one_core, write


@dataclass(frozen=True)
class Options:
    """Measures speed beside Gymnasium and a plain PPO loop, on one core, in turns."""

    turns: int = 7
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench.json")
    """File that the figures are written to."""


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
    from experiments.bench import dqn as bench_dqn
    from experiments.bench import ppo as bench_ppo
    from experiments.bench.reference_ppo import NUM_ENVS, NUM_STEPS, steps_per_second

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
