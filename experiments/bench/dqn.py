"""`quintet bench dqn`: DQN on CartPole at one update a step, beside stable-baselines3 with the same hyperparameters."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench import sb3
from experiments.bench.common import RESULTS, Figure, in_turns, machine, one_core, write

BATCH, HIDDEN, RATE, BUFFER, STARTS = 32, (64, 64), 1e-4, 100_000, 1_000
"""stable-baselines3's defaults for DQN, but for a smaller buffer, a later start and an update after every step."""
TARGET_EVERY = 10_000
STEPS = 2_000


@dataclass(frozen=True)
class Options:
    """Measures DQN on CartPole beside stable-baselines3 (extra 'sb3'), an update a step, on one core, in turns."""

    turns: int = 9
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench_dqn.json")
    """File that the figures are written to."""


def config(seed: int = 1, total_timesteps: int = 10**9, num_envs: int = 1) -> Any:
    """Our hyperparameters."""
    from agents import dqn

    return dqn.Config(
        num_envs=num_envs, train_frequency=1, total_timesteps=total_timesteps, learning_rate=RATE, batch_size=BATCH,
        buffer_size=BUFFER, learning_starts=STARTS, target_network_frequency=TARGET_EVERY, double=False,
        epsilon=0.05, hidden_sizes=HIDDEN, log_every=STEPS, seed=seed,
    )  # fmt: skip


def model(seed: int = 1, num_envs: int = 1) -> Any:
    """stable-baselines3's learner with the same."""
    return sb3.load().DQN(
        "MlpPolicy", sb3.vector("CartPole-v1", num_envs, seed), train_freq=1, gradient_steps=-1, learning_rate=RATE,
        batch_size=BATCH, buffer_size=BUFFER, learning_starts=STARTS, target_update_interval=TARGET_EVERY,
        exploration_initial_eps=0.05, exploration_final_eps=0.05, policy_kwargs={"net_arch": list(HIDDEN)},
        device="cpu", seed=seed,
    )  # fmt: skip


def ours(num_envs: int) -> Callable[[int], Any]:
    """What trains for so many steps, past the start."""
    import envs
    from agents import dqn

    worlds = envs.make_vec("quintet/CartPole-v1", num_envs, num_threads=1)
    learning = dqn.learn(worlds, config(num_envs=num_envs))
    next(learning)
    return lambda steps: [next(learning) for _ in range(steps // STEPS)]


def rate(learn: Callable[[int], Any], steps: int) -> float:
    """Steps a second of a learner."""
    started = time.perf_counter()
    learn(steps)
    return steps / (time.perf_counter() - started)


def dqn_loop(turns: int, num_envs: int) -> Figure:
    """Env-steps a second of both, each with an update."""
    our, their = ours(num_envs), sb3.stepper(model(num_envs=num_envs), STARTS + 200)
    result = in_turns(lambda: rate(our, STEPS), lambda: rate(their, STEPS), turns)
    worlds = "1 world" if num_envs == 1 else f"{num_envs} worlds"
    return Figure(f"DQN on CartPole, {worlds}, an update a step", "steps/s", *result, bar="at least 2.5x")


def main(options: Options) -> None:
    """Measures with 1 and 8 worlds, prints a line each and writes them."""
    version = sb3.load().__version__
    one_core()
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    figures = []
    for num_envs in (8, 1):
        figures.append(dqn_loop(options.turns, num_envs))
        print(figures[-1].line(), flush=True)
    about = {**machine(), "stable_baselines3": version}
    write({"machine": about, "figures": [vars(figure) for figure in figures]}, Path(options.out))
