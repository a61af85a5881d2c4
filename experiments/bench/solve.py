"""`quintet bench solve`: from the start of a process to a task solved, beside stable-baselines3, each as it does best.

Ours stops when the return that it learns from has reached the threshold, theirs when an evaluation has; both then play
100 episodes with their best actions, and only a run whose mean there reaches the threshold counts as solved. Theirs has
the settings that its authors tuned (rl-baselines3-zoo), ours its presets.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import runs
from experiments.bench import sb3
from experiments.bench.common import RESULTS, Figure, machine, write
from experiments.errors import InputError, check_known

EPISODES = 100


@dataclass(frozen=True)
class Task:
    """What is to be solved, and how stable-baselines3 does it."""

    algorithm: str
    env: str
    threshold: float
    theirs: str
    """Its class."""
    settings: dict[str, Any]
    steps: int
    num_envs: int = 1
    eval_every: int = 1_000
    """Steps between its evaluations."""


def _down(number: float) -> Callable[[float], float]:
    """From a number to 0 in a straight line, as stable-baselines3 takes schedules."""
    return lambda left: left * number


TASKS = {
    "ppo": Task(
        "ppo", "CartPole-v1", 475, "PPO",
        {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20, "ent_coef": 0.0,
         "learning_rate": _down(0.001), "clip_range": _down(0.2)}, 100_000, 8, 2_000,
    ),
    "dqn": Task(
        "dqn", "CartPole-v1", 475, "DQN",
        {"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000, "gamma": 0.99,
         "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.16,
         "exploration_final_eps": 0.04, "policy_kwargs": {"net_arch": [256, 256]}}, 50_000,
    ),
    "ddpg": Task(
        "ddpg", "Pendulum-v1", -200, "DDPG",
        {"learning_rate": 1e-3, "buffer_size": 200_000, "learning_starts": 10_000, "gamma": 0.98, "train_freq": 1,
         "gradient_steps": 1, "policy_kwargs": {"net_arch": [400, 300]}}, 20_000,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Measures the time to a solved task beside stable-baselines3 (extra 'sb3'), on one core, in turns."""

    task: tuple[str, ...] = tuple(TASKS)
    """Which: ppo (CartPole), dqn (CartPole), ddpg (Pendulum)."""
    turns: int = 3
    """Seeds, a turn each; the median counts."""
    out: str = str(RESULTS / "bench_solve.json")
    """File that the figures are written to."""


def ours(task: Task, seed: int) -> tuple[float, float]:
    """Seconds from the start of a process of ours to its end without the evaluation, and what that said."""
    return trained(f"{task.algorithm} quintet/{task.env} --seed {seed} --stop-at-return {task.threshold}")


def trained(words: str) -> tuple[float, float]:
    """Seconds that a process of `quintet train` takes, and what its agent reaches then in `EPISODES` episodes."""
    program = [sys.executable, "-m", "experiments.cli"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_process([*program, "train", *words.split(), "--eval-episodes", "0", "--runs-dir", folder])
        seconds = time.perf_counter() - started
        (run,) = runs.known_runs(Path(folder))
        shown = json.loads(run_process([*program, "evaluate", str(run), "--episodes", str(EPISODES), "--json"]))
    return seconds, shown["deterministic"]["mean"]


def theirs(task: Task, seed: int) -> tuple[float, float]:
    """The same of stable-baselines3."""
    started = time.perf_counter()
    said = run_process([sys.executable, "-m", "experiments.bench.solve", task.algorithm, str(seed)])
    total = time.perf_counter() - started
    judged, value = json.loads(said.splitlines()[-1])
    return total - judged, value


def run_process(command: list[str], folder: str | None = None) -> str:
    """What a program prints, on a thread, in this folder or another.

    Raises:
        InputError: it failed.
    """
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(command[2:])} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def their_process(task: Task, seed: int) -> None:
    """What `theirs` runs: learns until an evaluation reaches the threshold, then prints [seconds, mean] of another."""
    import importlib

    package = sb3.load()
    callbacks = importlib.import_module("stable_baselines3.common.callbacks")
    noise = importlib.import_module("stable_baselines3.common.noise")
    settings = dict(task.settings)
    if task.algorithm == "ddpg":
        import numpy as np

        settings["action_noise"] = noise.NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
    worlds = sb3.vector(task.env, task.num_envs)
    model = getattr(package, task.theirs)("MlpPolicy", worlds, seed=seed, device="cpu", **settings)
    stop = callbacks.StopTrainingOnRewardThreshold(reward_threshold=task.threshold)
    every = max(task.eval_every // task.num_envs, 1)
    judge = callbacks.EvalCallback(
        sb3.vector(task.env, 1), callback_on_new_best=stop, eval_freq=every, n_eval_episodes=10, verbose=0
    )
    model.learn(task.steps, callback=judge)
    started = time.perf_counter()
    mean = sb3.mean_return(model, task.env, EPISODES)
    print(json.dumps([time.perf_counter() - started, mean]))


def measure(task: Task, turns: int) -> tuple[Figure, list[dict[str, Any]]]:
    """Both sides, seed by seed; a seed that is not solved counts as never."""
    records = []
    for seed in range(1, turns + 1):
        record: dict[str, Any] = {"seed": seed}
        for side, solve in (("ours", ours), ("theirs", theirs)):
            record[f"{side}_seconds"], record[f"{side}_mean"] = solve(task, seed)
        print(f"  {task.algorithm} {task.env}, seed {seed}: {_told(record)}", flush=True)
        records.append(record)
    our, their = (_median(records, side, task.threshold) for side in ("ours", "theirs"))
    solved = sum(record["ours_mean"] >= task.threshold for record in records)
    name = f"{task.algorithm} on {task.env}, start to {task.threshold:g} ({solved} of {turns} seeds)"
    return Figure(name, "s", our, their, our / their, "at most a third"), records


def _told(record: dict[str, Any]) -> str:
    return ", ".join(
        f"{side} {record[f'{side}_seconds']:.1f} s, then {record[f'{side}_mean']:.0f}" for side in ("ours", "theirs")
    )


def _median(records: list[dict[str, Any]], side: str, threshold: float) -> float:
    solved = (r[f"{side}_seconds"] if r[f"{side}_mean"] >= threshold else float("inf") for r in records)
    return statistics.median(solved)


def main(options: Options) -> None:
    """Measures every task, prints a line each and writes them."""
    from experiments.bench.common import one_core

    version = sb3.load().__version__
    for name in options.task:
        check_known("task", name, TASKS)
    one_core()
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    figures = []
    for name in options.task:
        figure, records = measure(TASKS[name], options.turns)
        print(figure.line(), flush=True)
        figures.append({**vars(figure), "seeds": records})
    command = f"quintet bench solve --turns {options.turns}"
    write(
        {"machine": {**machine(), "stable_baselines3": version}, "command": command, "figures": figures},
        Path(options.out),
    )


if __name__ == "__main__":
    their_process(TASKS[sys.argv[1]], int(sys.argv[2]))
