"""`quintet bench jax`: PPO on CartPole beside the same PPO in JAX, worlds and updates compiled into one.

Both sides have the same network and hyperparameters. What is measured is the speed of the loop once all is compiled,
and what somebody waits for: from the start of a process to so many steps learned from, and to CartPole solved.
"""

import importlib.metadata
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.algorithms import preset
from experiments.bench import ppo as bench_ppo
from experiments.bench.common import RESULTS, Figure, machine, medians, one_core, write
from experiments.bench.dqn import rate
from experiments.bench.solve import EPISODES, run_process, trained
from experiments.errors import InputError, install

WORLD, THRESHOLD = "quintet/CartPole-v1", 475.0
STEPS = 499_712
"""Half a million, in whole iterations."""
MANY, HORIZON = 1024, 32
"""Environments of the wider loop, and their steps an iteration."""


@dataclass(frozen=True)
class Options:
    """Measures PPO on CartPole beside the same PPO in JAX (extra 'jax'), on one core, in turns."""

    turns: int = 5
    """Seeds, a turn each; the medians count."""
    out: str = str(RESULTS / "bench_jax.json")
    """File that the figures are written to."""


def check_installed() -> str:
    """The version of JAX.

    Raises:
        InputError: it, or optax, is not installed.
    """
    if importlib.util.find_spec("jax") is None or importlib.util.find_spec("optax") is None:
        raise InputError(f"this benchmark stands beside JAX, which needs the extra 'jax': {install('jax')}")
    return importlib.metadata.version("jax")


def configs(seed: int) -> dict[str, Any]:
    """CleanRL's hyperparameters, for so many steps; the same with many environments, in minibatches of 4,096; and those
    of our preset, until it is solved."""
    from agents import ppo

    steps = replace(bench_ppo.config(seed, STEPS), anneal_lr=True)
    return {
        "steps": steps,
        "many": replace(
            steps, num_envs=MANY, num_steps=HORIZON, num_minibatches=8, total_timesteps=20 * MANY * HORIZON
        ),
        "solve": ppo.Config(**preset("ppo", WORLD), seed=seed),
    }


def ours(what: str, seed: int) -> dict[str, float]:
    """Seconds of a process of ours, and the mean return of what it has learned."""
    found = configs(seed)
    usual, config = asdict(found["solve"]), asdict(found[what])
    flags = [_flag(name, value) for name, value in config.items() if value != usual[name]]
    stop = f"--stop-at-return {THRESHOLD}" if what == "solve" else ""
    seconds, mean = trained(f"ppo {WORLD} --seed {seed} {' '.join(flags)} {stop}")
    return {"seconds": seconds, "mean": mean}


def _flag(name: str, value: Any) -> str:
    name = name.replace("_", "-")
    return f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name} {value}"


def theirs(what: str, seed: int) -> dict[str, float]:
    """The same of JAX, and its steps a second once everything was compiled."""
    settings = {"stop_at_return": THRESHOLD if what == "solve" else 1e9, "episodes": EPISODES}
    started = time.perf_counter()
    words = json.dumps(asdict(configs(seed)[what]) | settings)
    said = json.loads(run_process([sys.executable, "-m", "experiments.bench.reference_jax", words]))
    seconds = time.perf_counter() - started - said["judged_seconds"]
    return {"seconds": seconds, "mean": said["mean"], "rate": said["later_steps"] / said["seconds"]}


def solved_after(side: dict[str, float]) -> float:
    """Seconds to a solved task; a seed that is not solved counts as never."""
    return side["seconds"] if side["mean"] >= THRESHOLD else float("inf")


def main(options: Options) -> None:
    """Measures, prints a line for each figure and writes them with every turn."""
    version = check_installed()
    one_core()
    endless = replace(configs(seed=1)["many"], total_timesteps=10**12, anneal_lr=False)
    loop, wide, turns = bench_ppo.ours(bench_ppo.config()), bench_ppo.ours(endless), []
    for seed in range(1, options.turns + 1):
        turn: dict[str, Any] = {"seed": seed, "many": {"ours": {"rate": rate(wide, 10 * MANY * HORIZON)}}}
        turn["many"]["theirs"] = theirs("many", seed)
        for what in ("steps", "solve"):
            turn[what] = {"ours": ours(what, seed), "theirs": theirs(what, seed)}
        turn["steps"]["ours"]["rate"] = rate(loop, bench_ppo.STEPS)
        print(f"  seed {seed}: {_told(turn)}", flush=True)
        turns.append(turn)

    def both(what: str, of: Callable[[dict[str, float]], float]) -> tuple[float, float, float]:
        return medians([(of(turn[what]["ours"]), of(turn[what]["theirs"])) for turn in turns])

    solved = [sum(turn["solve"][side]["mean"] >= THRESHOLD for turn in turns) for side in ("ours", "theirs")]
    of_each = f"solved {solved[0]} and {solved[1]} of {options.turns}"
    seconds = both("steps", lambda side: side["seconds"])
    loops = {what: both(what, lambda side: side["rate"]) for what in ("steps", "many")}
    figures = [
        Figure("PPO on CartPole, 8 envs x 128 steps, once compiled", "steps/s", *loops["steps"], bar=""),
        Figure(f"the same, {MANY} envs x {HORIZON}, minibatches of 4,096", "steps/s", *loops["many"], bar=""),
        Figure(f"{STEPS:,} steps of 8 envs from a process's start", "s", *seconds, bar=""),
        Figure(f"start to {THRESHOLD:g}, our preset ({of_each})", "s", *both("solve", solved_after), bar=""),
    ]
    print(f"{'':<58} {'ours':>12} {'theirs':>12}")
    for one in figures:
        print(one.line())
    about = {**machine(), "jax": version}
    command = f"quintet bench jax --turns {options.turns}"
    document = {"machine": about, "command": command, "figures": [vars(one) for one in figures], "turns": turns}
    write(document, Path(options.out))


def _told(turn: dict[str, Any]) -> str:
    return "; ".join(
        f"{what} {turn[what]['ours']['seconds']:.1f} s beside {turn[what]['theirs']['seconds']:.1f} s"
        for what in ("steps", "solve")
    )
