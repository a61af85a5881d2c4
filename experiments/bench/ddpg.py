"""`quintet bench ddpg`: DDPG on Pendulum with networks of 400 and 300, beside stable-baselines3, and beside sgemm.

Nine tenths of such an update are matrix products, so the second figure tells how near the update comes to what one
product of its greatest shape reaches on the same core.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench import sb3
from experiments.bench.common import RESULTS, Figure, in_turns, machine, one_core, write
from experiments.bench.dqn import rate

BATCH, HIDDEN, RATE, BUFFER, STARTS, TAU, NOISE = 256, (400, 300), 1e-3, 100_000, 300, 0.005, 0.1
"""stable-baselines3's defaults for DDPG, but for a smaller buffer and noise for exploration."""
STEPS = 200


@dataclass(frozen=True)
class Options:
    """Measures DDPG on Pendulum beside stable-baselines3 (extra 'sb3'), on one core, in turns."""

    turns: int = 9
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench_ddpg.json")
    """File that the figures are written to."""


def config(seed: int = 1, total_timesteps: int = 10**9) -> Any:
    """Our hyperparameters."""
    from agents import ddpg

    return ddpg.Config(
        num_envs=1, train_frequency=1, total_timesteps=total_timesteps, learning_rate=RATE, batch_size=BATCH,
        buffer_size=BUFFER, learning_starts=STARTS, tau=TAU, exploration_noise=NOISE, hidden_sizes=HIDDEN,
        log_every=STEPS, seed=seed,
    )  # fmt: skip


def model(seed: int = 1) -> Any:
    """stable-baselines3's learner with the same."""
    import importlib

    import numpy as np

    noise = importlib.import_module("stable_baselines3.common.noise").NormalActionNoise(np.zeros(1), NOISE * np.ones(1))
    return sb3.load().DDPG(
        "MlpPolicy", sb3.vector("Pendulum-v1", 1, seed), train_freq=1, gradient_steps=1, learning_rate=RATE, tau=TAU,
        batch_size=BATCH, buffer_size=BUFFER, learning_starts=STARTS, action_noise=noise,
        policy_kwargs={"net_arch": list(HIDDEN)}, device="cpu", seed=seed,
    )  # fmt: skip


def ours() -> Callable[[int], Any]:
    """What trains for so many steps, past the start."""
    import envs
    from agents import ddpg

    learning = ddpg.learn(envs.make_vec("quintet/Pendulum-v1", 1, num_threads=1), config())
    for _ in range(2):
        next(learning)
    return lambda steps: [next(learning) for _ in range(steps // STEPS)]


def flops() -> int:
    """Floating-point operations in the matrix products of one update."""
    first, second = HIDDEN
    rest = first * second + second
    actor, critic = 3 * first + rest, 4 * first + rest
    forward = 2 * actor + 3 * critic
    by_weights = actor + critic
    by_inputs = 2 * rest + rest + first  # the actor's and the critic's hidden layers, and the action's column
    return 2 * BATCH * (forward + by_weights + by_inputs)


def products() -> float:
    """Floating-point operations a second of the greatest product in an update, over and over."""
    import torch

    left, right, out = torch.randn(BATCH, HIDDEN[0]), torch.randn(HIDDEN[0], HIDDEN[1]), torch.empty(BATCH, HIDDEN[1])
    started = time.perf_counter()
    for _ in range(1000):
        torch.mm(left, right, out=out)
    return 1000 * 2 * BATCH * HIDDEN[0] * HIDDEN[1] / (time.perf_counter() - started)


def main(options: Options) -> None:
    """Measures, prints a line each and writes them."""
    version = sb3.load().__version__
    one_core()
    our, their = ours(), sb3.stepper(model(), STARTS + 100)
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    result = in_turns(lambda: rate(our, STEPS), lambda: rate(their, STEPS), options.turns)
    loop = Figure("DDPG on Pendulum, networks of 400 and 300, batches of 256", "steps/s", *result, bar="at least 1.4x")
    print(loop.line(), flush=True)
    result = in_turns(lambda: rate(our, STEPS) * flops() / 1e9, lambda: products() / 1e9, options.turns)
    share = Figure("its matrix products (theirs: one product over and over)", "Gflop/s", *result, bar="")
    print(share.line(), flush=True)
    about = {**machine(), "stable_baselines3": version}
    write({"machine": about, "figures": [vars(figure) for figure in (loop, share)]}, Path(options.out))
