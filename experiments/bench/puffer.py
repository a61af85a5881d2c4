"""`quintet bench puffer`: worlds and PPO beside PufferLib's, whose worlds are written in C.

PufferLib asks for other versions of NumPy and Gymnasium than Quintet, so it runs in an interpreter of its own (built on
Linux, with a C compiler and without nvcc):

    python -m venv puffer
    puffer/bin/pip install "setuptools<66" wheel "numpy<2"
    puffer/bin/pip install --no-build-isolation gym==0.23.0
    puffer/bin/pip install torch Cython
    puffer/bin/pip install --no-build-isolation pufferlib==3.0.0
    quintet bench puffer --python puffer/bin/python

The two CartPoles are the same game but for the end of an episode, after 200 steps there and 500 here; PPO on it has the
same network, batch and minibatches on both sides. The two arenas are different games of five against five, and what
learns in them is a recurrent policy of about the same size: that is a comparison of two programs, not of two codes.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.bench import ppo as bench_ppo
from experiments.bench.common import RESULTS, Figure, cartpole_rate, in_turns, machine, one_core, write
from experiments.bench.dqn import rate
from experiments.bench.solve import run_process
from experiments.errors import InputError

VERSION = "3.0.0"
SCRIPT = Path(__file__).with_name("reference_puffer.py")
SECONDS = 3.0
"""Of one measurement, at least; of our learning so many steps."""
LEARNED = 8 * 4096 * 64
ARENAS, HORIZON = 48, 64


@dataclass(frozen=True)
class Options:
    """Measures worlds and PPO beside PufferLib's, on one core, in turns."""

    python: str = "puffer/bin/python"
    """Interpreter of a venv that has PufferLib 3.0.0; Quintet can't share one with it."""
    turns: int = 5
    """Times that the two sides take turns; the median counts."""
    out: str = str(RESULTS / "bench_puffer.json")
    """File that the figures are written to."""


def check_python(python: str) -> str:
    """Where an interpreter is that has PufferLib, from any folder.

    Raises:
        InputError: there is none of that name, or it has not, or has another version.
    """
    found, has = shutil.which(python), "is no program"
    if found is not None:
        asked = "import importlib.metadata as m; print(m.version('pufferlib'))"
        version = subprocess.run([found, "-I", "-c", asked], capture_output=True, text=True).stdout.strip()
        has = f"has pufferlib {version}" if version else "has no pufferlib"
    if found is None or has != f"has pufferlib {VERSION}":
        raise InputError(
            f"--python {python} {has}; make a venv with pufferlib {VERSION}, as the first lines of "
            f"{Path(__file__).name} say, and give its python"
        )
    return str(Path(found).absolute())


def theirs(python: str, **asked: Any) -> dict[str, float]:
    """What PufferLib's side finds, in a process and a folder of its own, since it leaves a link where it is imported;
    other lines that it prints come before."""
    words = json.dumps(asked | {"seconds": SECONDS})
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(run_process([python, "-I", str(SCRIPT), words], folder).strip().splitlines()[-1])


def cartpole(num_worlds: int) -> Callable[[], float]:
    """Steps a second of our CartPoles, arrays in and out."""
    import gymnasium

    import envs  # noqa: F401  registers ids

    return cartpole_rate(gymnasium.make_vec("quintet/CartPole-v1", num_worlds, num_threads=1), SECONDS)


def arena() -> Callable[[], float]:
    """Agent-steps a second of our arenas, random legal actions in all ten seats."""
    from experiments.bench.arena import Play

    play = Play("quintet/Arena-v0", ARENAS, hard=False)
    return lambda: play.play(400)


def config(num_worlds: int, num_minibatches: int) -> Any:
    """Our PPO on CartPole with their network: a layer of 128 that policy and value share."""
    from agents import ppo

    return ppo.Config(
        num_envs=num_worlds, num_steps=HORIZON, num_minibatches=num_minibatches, update_epochs=1, hidden_sizes=(128,),
        shared_trunk=True, activation="gelu", learning_rate=1e-3, max_grad_norm=1.5, total_timesteps=10**12,
    )  # fmt: skip


def loop(num_worlds: int, num_minibatches: int) -> Callable[[], float]:
    """Steps a second that it learns from."""
    learn = bench_ppo.ours(config(num_worlds, num_minibatches))
    return lambda: rate(learn, LEARNED)


def team() -> tuple[Callable[[], float], int]:
    """Agent-steps a second that our PPO learns from in the arena, and the parameters of its recurrent policy."""
    from experiments.bench.league import iteration

    return iteration(past_share=0.0)


def main(options: Options) -> None:
    """Measures, prints a line for each figure and writes them."""
    python = check_python(options.python)
    one_core()
    learn_team, size = team()
    of_theirs = theirs(python, learns=True, kind="moba", count=ARENAS, num_steps=HORIZON, minibatch=3840)

    def puffer(**asked: Any) -> Callable[[], float]:
        return lambda: theirs(python, **asked)["rate"]

    worlds: dict[str, Any] = {"learns": False}
    learner: dict[str, Any] = {"learns": True, "num_steps": HORIZON}
    name = f"PPO in 5v5, LSTM, {size:,} parameters (theirs {of_theirs['parameters']:,.0f})"
    rows: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("CartPole, 1024 worlds, arrays", cartpole(1024), puffer(**worlds, kind="cartpole", count=1024)),
        ("CartPole, 4096 worlds, arrays", cartpole(4096), puffer(**worlds, kind="cartpole", count=4096)),
        ("5v5, ten players, random actions", arena(), puffer(**worlds, kind="moba", count=ARENAS)),
        (
            "PPO on CartPole, 64 worlds x 64 steps, minibatches of 1024",
            loop(64, 4),
            puffer(**learner, kind="cartpole", count=64, minibatch=1024),
        ),
        (
            "PPO on CartPole, 4096 x 64, of 32,768 (their preset)",
            loop(4096, 8),
            puffer(**learner, kind="cartpole", count=4096, minibatch=32768),
        ),
        (name, learn_team, puffer(**learner, kind="moba", count=ARENAS, minibatch=3840)),
    ]
    print(f"{'':<58} {'ours':>12} {'theirs':>12}", flush=True)
    figures = []
    for name, ours, its in rows:
        figures.append(Figure(name, "steps/s", *in_turns(ours, its, options.turns), bar=""))
        print(figures[-1].line(), flush=True)
    command = f"quintet bench puffer --python {options.python} --turns {options.turns}"
    about = {**machine(), "pufferlib": VERSION}
    write({"machine": about, "command": command, "figures": [vars(one) for one in figures]}, Path(options.out))
