"""`quintet bench arena`: the arena's speed on one core, beside Gymnasium's NumPy CartPole, and phase by phase.

All ten seats are the caller's, one decision a 0.2 s of game, observations and masks included, in worlds whose games
began one after another: once with random legal actions, once with the hard scripted player in every seat.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.common import RESULTS, Figure, cartpole_rate, in_turns, machine, one_core, write
from experiments.matches import random_legal

APART = 60
"""Ticks from one world's first reset to the next one's."""
HARD = 3


@dataclass(frozen=True)
class Options:
    """Measures the arena's speed on one core, with random legal actions and with hard scripted players."""

    turns: int = 9
    """Times that the arena and Gymnasium's CartPole take turns; the median counts."""
    worlds: int = 64
    """Arenas stepped together."""
    profile: bool = False
    """Also tell where the time goes, phase by phase."""
    out: str = str(RESULTS / "bench_arena.json")
    """File that the figures are written to."""


class Play:
    """Arenas at staggered game times, ready to be stepped by one of two kinds of player."""

    def __init__(self, world: Any, num_worlds: int, hard: bool) -> None:
        import envs

        self.envs = envs.make_vec(world, num_worlds, num_threads=1)
        self.rng = np.random.default_rng(0)
        self.hard = hard
        self.actions = np.zeros((self.envs.num_envs, 3), np.int64)
        if hard:
            self.envs.set_control(np.full(self.envs.num_seats, HARD))
        _, infos = self.envs.reset(seed=0)
        self.mask = infos["action_mask"].numpy()
        self.seconds = 0.0
        for number in range(num_worlds):
            self.play(APART)
            chosen = np.zeros(num_worlds, bool)
            chosen[number] = True
            rows = np.repeat(chosen, self.envs.num_seats)
            self.mask = self.envs.reset(options={"reset_mask": rows})[1]["action_mask"].numpy()

    def play(self, steps: int) -> float:
        """Agent-steps a second over some steps; choosing random actions is not counted."""
        self.seconds = 0.0
        for _ in range(steps):
            if not self.hard:
                self.actions = random_legal(self.mask, self.envs.action_layout, self.rng)
            started = time.perf_counter()
            infos = self.envs.step(self.actions)[4]
            self.seconds += time.perf_counter() - started
            self.mask = infos["action_mask"].numpy()
        return steps * self.envs.num_envs / self.seconds


def speed(options: Options, hard: bool) -> Figure:
    """Agent-steps a second, and as a ratio to the steps of Gymnasium's NumPy batch of CartPoles."""
    from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

    players = "hard players" if hard else "random legal"
    print(f"  {players}: compiling, then staggering {options.worlds} games", flush=True)
    play = Play("quintet/Arena-v0", options.worlds, hard)
    result = in_turns(lambda: play.play(60), cartpole_rate(CartPoleVectorEnv(1024), 0.3), options.turns)
    size = play.envs.state.dtype.itemsize
    name = f"arena, {options.worlds} worlds, {players} ({size / 1024:.1f} KiB a world; theirs: CartPole)"
    return Figure(name, "steps/s", *result, bar="at least 600,000/s and 0.06x")


def phases(options: Options, hard: bool) -> dict[str, float]:
    """Microseconds of a world's step by phase, the dearest first; the clock itself makes the sum a little longer."""
    from envs.arena import arena
    from envs.engine.profile import EARLIER, profiled

    world, names = profiled(arena())
    play = Play(world, options.worlds, hard)
    clock = play.envs.tables["clock"]
    columns, steps = [], 60
    for _ in range(options.turns):
        clock[:] = 0
        seconds = 0.0
        for _ in range(steps):
            clock[EARLIER] = 0
            play.play(1)
            seconds += play.seconds
        microseconds = 1e6 * seconds / steps / options.worlds
        cycles = np.delete(clock.astype(np.float64), EARLIER)
        columns.append(microseconds * cycles / cycles.sum())
    medians = np.median(columns, axis=0)
    return {names[i]: round(float(medians[i]), 3) for i in np.argsort(-medians)}


def main(options: Options) -> None:
    """Measures, prints a line a figure, and writes them."""
    one_core()
    figures = []
    for hard in (False, True):
        figures.append(speed(options, hard))
        print(figures[-1].line(), flush=True)
    document: dict[str, Any] = {"machine": machine(), "figures": [vars(figure) for figure in figures]}
    if options.profile:
        document["microseconds by phase"] = {}
        for hard, players in ((False, "random legal"), (True, "hard players")):
            found = phases(options, hard)
            document["microseconds by phase"][players] = found
            print(f"\n{players}: {sum(found.values()):.1f} microseconds a world's step")
            for name, microseconds in found.items():
                print(f"  {microseconds:7.2f}  {100 * microseconds / sum(found.values()):4.1f}%  {name}")
    write(document, Path(options.out))
