"""`quintet bench warps`: what a warp of a GPU would run in a tick, phase by phase, counted on this processor.

No GPU is needed: the kernel's code is played here as it was optimised for a GPU (`envs/engine/cuda_host.py`). What is
counted are instructions of LLVM's assembly, of which a GPU's are some 1.5 each; memory and waiting don't show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.arena import Play
from experiments.bench.common import RESULTS, machine, write
from experiments.errors import check_known
from experiments.matches import random_legal

WORLDS = ("quintet/Arena-v0", "quintet/Duel-v0")


@dataclass(frozen=True)
class Options:
    """Counts what a warp of a GPU would run in a tick of an arena, phase by phase; needs no GPU."""

    world: str = WORLDS[0]
    """quintet/Arena-v0 or quintet/Duel-v0."""
    worlds: int = 16
    """Games, begun one after another; each is played by a warp."""
    turns: int = 30
    """Ticks of each game that are counted."""
    out: str = str(RESULTS / "bench_warps.json")
    """File that the figures are written to."""


def main(options: Options) -> None:
    """Counts, prints a line a phase and writes them."""
    from envs.engine.cuda_code import lowered
    from envs.registration import load_world, registered_worlds

    check_known("count of", options.world, WORLDS)
    world = load_world(registered_worlds()[options.world])
    print("  lowering the kernel", flush=True)
    modules = lowered(world)
    players = ("random legal", False), ("hard players", True)
    counts = {name: counted(world, modules, options, hard) for name, hard in players}
    for name, found in counts.items():
        print(f"{options.world}, {name}: {found['warp']:,.0f} instructions of a warp a tick, {found['at work']} of 32")
        for phase in found["phases"]:
            print(f"{phase['warp']:>9,.0f} {phase['at work']:>6} at work  {phase['name']}")
    write({"machine": machine(), "world": options.world, "instructions": counts}, Path(options.out))


def counted(world: Any, modules: list[str], options: Options, hard: bool) -> dict[str, Any]:
    """Instructions of a warp in a tick and threads at work, in all and by phase, the dearest first."""
    from envs.engine.cuda_driver import phase_names
    from envs.engine.cuda_host import HostKernel

    print("  staggering games", flush=True)
    play = Play(options.world, options.worlds, hard)
    kernel, mask = HostKernel(world, options.worlds, modules, counted=True), play.mask
    for _ in range(options.turns):
        actions = play.actions if hard else random_legal(mask, play.envs.action_layout, play.rng)
        mask = kernel.step(play.envs, actions)["action_mask"]
    found = kernel.counts()
    names = np.array(phase_names(world))
    sums = [
        (float(found.warps[names == name].sum()), float(found.threads[names == name].sum()), name)
        for name in dict.fromkeys(names)
    ]
    phases = [_figures(warps, threads, found.worlds, str(name)) for warps, threads, name in sorted(sums, reverse=True)]
    whole = _figures(float(found.warps.sum()), float(found.threads.sum()), found.worlds)
    return whole | {"phases": [phase for phase in phases if phase["warp"] >= 1]}


def _figures(warps: float, threads: float, ticks: int, name: str = "") -> dict[str, Any]:
    figures = {"warp": round(warps / max(ticks, 1)), "at work": round(threads / max(warps, 1), 1)}
    return figures | ({"name": name} if name else {"worlds and ticks": ticks})
