"""`quintet bench ppo`: PPO on CartPole beside stable-baselines3, the same network and hyperparameters."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench import sb3
from experiments.bench.common import RESULTS, Figure, in_turns, machine, one_core, write
from experiments.bench.dqn import rate
from experiments.bench.reference_ppo import NUM_ENVS, NUM_STEPS

RATE, MINIBATCHES, EPOCHS, ENTROPY = 2.5e-4, 4, 4, 0.01
"""CleanRL's defaults; all else is the same in stable-baselines3 and here."""
STEPS = 8 * NUM_ENVS * NUM_STEPS


@dataclass(frozen=True)
class Options:
    """Measures PPO on CartPole beside stable-baselines3 (extra 'sb3'), on one core, in turns."""

    turns: int = 9
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench_ppo.json")
    """File that the figures are written to."""


def config(seed: int = 1, total_timesteps: int = 10**9) -> Any:
    """Our hyperparameters."""
    from agents import ppo

    return ppo.Config(
        num_envs=NUM_ENVS, num_steps=NUM_STEPS, total_timesteps=total_timesteps, learning_rate=RATE, anneal_lr=False,
        num_minibatches=MINIBATCHES, update_epochs=EPOCHS, ent_coef=ENTROPY, clip_vloss=False, seed=seed,
    )  # fmt: skip


def model(seed: int = 1) -> Any:
    """stable-baselines3's learner with the same."""
    return sb3.load().PPO(
        "MlpPolicy", sb3.vector("CartPole-v1", NUM_ENVS, seed), n_steps=NUM_STEPS, learning_rate=RATE, n_epochs=EPOCHS,
        batch_size=NUM_ENVS * NUM_STEPS // MINIBATCHES, ent_coef=ENTROPY, device="cpu", seed=seed,
    )  # fmt: skip


def ours(config: Any) -> Callable[[int], Any]:
    """What trains on our CartPole for so many steps, past the start."""
    import envs
    from agents import ppo

    learning = ppo.learn(envs.make_vec("quintet/CartPole-v1", config.num_envs, num_threads=1), config)
    for _ in range(3):
        next(learning)
    return lambda steps: [next(learning) for _ in range(steps // (config.num_envs * config.num_steps))]


def main(options: Options) -> None:
    """Measures, prints a line and writes it."""
    version = sb3.load().__version__
    one_core()
    our, their = ours(config()), sb3.stepper(model(), NUM_ENVS * NUM_STEPS)
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    result = in_turns(lambda: rate(our, 4 * STEPS), lambda: rate(their, STEPS), options.turns)
    figure = Figure("PPO on CartPole, 8 envs x 128 steps", "steps/s", *result, bar="at least 3x")
    print(figure.line(), flush=True)
    about = {**machine(), "stable_baselines3": version}
    write({"machine": about, "figures": [vars(figure)]}, Path(options.out))
