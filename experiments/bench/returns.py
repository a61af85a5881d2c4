"""`quintet bench returns`: what the settings of `bench ppo`, `dqn` and `ddpg` learn, beside stable-baselines3.

Those benchmarks measure speed with one network and the same hyperparameters on both sides; this one holds that the
faster side learns no worse by them: as many steps, several seeds, whole episodes of best actions.
"""

import importlib
import json
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.bench import sb3
from experiments.bench.common import RESULTS, machine, write
from experiments.errors import InputError, check_known

EPISODES = 100
SETTINGS = {
    "ppo": ("CartPole-v1", 100_000),
    "dqn": ("CartPole-v1", 50_000),
    "ddpg": ("Pendulum-v1", 6_000),
}
"""By algorithm what is played, and the steps to learn from; all else is in the benchmark of that name."""


@dataclass(frozen=True)
class Options:
    """Compares returns with stable-baselines3's (extra 'sb3'): same network, hyperparameters and steps, a few seeds."""

    algorithm: tuple[str, ...] = tuple(SETTINGS)
    """Which: ppo (CartPole), dqn (CartPole), ddpg (Pendulum)."""
    turns: int = 3
    """Seeds 1, 2, ..., a turn each."""
    jobs: int = 1
    """Trainings side by side, each on one core."""
    out: str = str(RESULTS / "bench_returns.json")
    """File that the returns are written to; those of algorithms that are not asked for stay."""


def ours(algorithm: str, seed: int) -> float:
    """The mean return of a policy of ours."""
    import envs
    from agents.evaluate import evaluate

    env_id, steps = SETTINGS[algorithm]
    module = importlib.import_module(f"agents.{algorithm}")
    config = _bench(algorithm).config(seed, steps)
    worlds = envs.make_vec(f"quintet/{env_id}", config.num_envs, num_threads=1, seed=seed)
    state = module.TrainState(worlds, config)
    for _ in module.learn(worlds, config, state):
        pass
    judges = envs.make_vec(f"quintet/{env_id}", EPISODES, num_threads=1)
    return evaluate(state.policy, judges, EPISODES, seed=10_000 + seed).mean


def theirs(algorithm: str, seed: int) -> float:
    """The same of stable-baselines3."""
    env_id, steps = SETTINGS[algorithm]
    model = _bench(algorithm).model(seed)
    model.learn(steps)
    return sb3.mean_return(model, env_id, EPISODES)


def _bench(algorithm: str) -> Any:
    """The benchmark whose `config` and `model` these are."""
    return importlib.import_module(f"experiments.bench.{algorithm}")


def train(job: tuple[str, str, int]) -> float:
    """The mean return of an algorithm, a side and a seed; torch keeps to one thread, on both sides."""
    import torch

    torch.set_num_threads(1)
    algorithm, side, seed = job
    return {"ours": ours, "theirs": theirs}[side](algorithm, seed)


def compare(algorithm: str, turns: int, means: Iterator[float]) -> dict[str, Any]:
    """Both sides' returns, seed by seed, as they come in."""
    env_id, steps = SETTINGS[algorithm]
    pairs = []
    for seed in range(1, turns + 1):
        pairs.append((next(means), next(means)))
        print(f"  {algorithm} on {env_id}, seed {seed}: {pairs[-1][0]:.1f}, theirs {pairs[-1][1]:.1f}", flush=True)
    our, their = (list(side) for side in zip(*pairs, strict=True))
    return {"algorithm": algorithm, "env": env_id, "steps": steps, "ours": our, "theirs": their}


def line(found: dict[str, Any]) -> str:
    """For people: means over seeds, with half their 95% interval (Student's t)."""
    from agents.evaluate import half_width

    sides = []
    for side in ("ours", "theirs"):
        half = half_width(found[side])
        sides.append(f"{fmean(found[side]):.1f}" + ("" if half is None else f" ± {half:.1f}"))
    name = f"{found['algorithm']} on {found['env']}, {found['steps']:,} steps, {len(found['ours'])} seeds"
    return f"{name:<58} {sides[0]:>18} {sides[1]:>18}"


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that waits for the others and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(options: Options) -> None:
    """Trains and evaluates, prints a line each and writes them."""
    version = sb3.load().__version__
    for algorithm in options.algorithm:
        check_known("settings for", algorithm, SETTINGS)
    if options.jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {options.jobs}")
    print(f"{'':<58} {'ours':>18} {'theirs':>18}", flush=True)
    seeds, path = range(1, options.turns + 1), Path(options.out)
    jobs = [(name, side, seed) for name in options.algorithm for seed in seeds for side in ("ours", "theirs")]
    with multiprocessing.get_context("spawn").Pool(options.jobs, _leave_interrupts) as pool:
        means = pool.imap(train, jobs)
        for algorithm in options.algorithm:
            found = compare(algorithm, options.turns, means)
            print(line(found), flush=True)
            command = f"quintet bench returns --algorithm {algorithm} --turns {options.turns}"
            keep({**found, "command": command, "machine": {**machine(), "stable_baselines3": version}}, path)


def keep(found: dict[str, Any], path: Path) -> None:
    """Writes an algorithm's returns, in the place of its earlier ones, beside those of the others."""
    there = json.loads(path.read_text())["returns"] if path.exists() else []
    others = {entry["algorithm"]: entry for entry in there}
    write({"returns": list((others | {found["algorithm"]: found}).values())}, path)
