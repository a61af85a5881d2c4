"""`quintet bench league`: a recurrent team that learns 5v5 by self-play on one core, and what its past costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench.common import RESULTS, Figure, in_turns, machine, one_core, write

WORLDS, STEPS = 48, 64


@dataclass(frozen=True)
class Options:
    """Measures league training in the arena with a recurrent policy of 0.4 million parameters, on one core."""

    turns: int = 5
    """Times that training with and without past opponents take turns; the median counts."""
    out: str = str(RESULTS / "bench_league.json")
    """File that the figures are written to."""


def iteration(past_share: float) -> tuple[Callable[[], float], int]:
    """What trains for an iteration and says how many agent-steps a second were played; and its parameters."""
    import envs
    from experiments import selfplay

    worlds = envs.make_vec("quintet/Arena-v0", WORLDS, num_threads=1)
    config = selfplay.Config(
        num_envs=WORLDS, num_steps=STEPS, num_minibatches=8, update_epochs=1, normalize_obs=True,
        memory="lstm", memory_size=144, hidden_sizes=(128,), shared_trunk=True, rate_every=0,
        past_share=past_share, opponents=1, total_timesteps=10**12,
    )  # fmt: skip
    state = selfplay.TrainState(worlds, config)
    learning = selfplay.learn(worlds, config, state)
    for _ in range(2):
        next(learning)

    def run() -> float:
        started = time.perf_counter()
        next(learning)
        return worlds.num_envs * STEPS / (time.perf_counter() - started)

    return run, sum(parameter.numel() for parameter in state.policy.parameters())


def main(options: Options) -> None:
    """Measures, prints a line each and writes them."""
    one_core()
    with_past, size = iteration(0.1)
    alone, _ = iteration(0.0)
    print(f"{'':<58} {'with a past':>12} {'without':>12}", flush=True)
    result = in_turns(with_past, alone, options.turns)
    name = f"league in 5v5, LSTM, {size:,} parameters, a tenth past"
    figure = Figure(name, "steps/s", *result, bar="at least 12,000; at least 0.9x")
    print(figure.line(), flush=True)
    document: dict[str, Any] = {"machine": machine(), "command": f"quintet bench league --turns {options.turns}"}
    write(document | {"figures": [vars(figure)]}, Path(options.out))
