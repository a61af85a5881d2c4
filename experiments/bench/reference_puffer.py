# pyright: reportMissingImports=false
"""PufferLib's worlds in C and its PPO, to be measured against (Suarez, "PufferLib", arXiv 2406.12905).

Run by an interpreter that has PufferLib, with one JSON object in its arguments; prints a JSON object. Knows nothing of
Quintet: the two want versions of NumPy and Gymnasium that exclude each other.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pufferlib.models
import pufferlib.ocean.torch
import pufferlib.vector
import torch
from pufferlib import pufferl
from pufferlib.ocean.cartpole.cartpole import Cartpole
from pufferlib.ocean.moba.moba import Moba

NEVER = 10**9
"""Steps after which an env would sum up what happened."""


class Learner(pufferl.PuffeRL):
    """Its PPO without the pictures of its progress, which it would draw four times a second."""

    def print_dashboard(self, *_: Any, **__: Any) -> None:
        """Draws nothing."""


def worlds(kind: str, count: int) -> Any:
    """So many of its CartPoles, or of its MOBAs with ten learned heroes each."""
    if kind == "cartpole":
        return Cartpole(num_envs=count, report_interval=NEVER)
    return Moba(num_envs=count, report_interval=NEVER, script_opponents=False)


def step(kind: str, count: int, seconds: float) -> float:
    """Agent-steps a second of random actions that were drawn before."""
    made = worlds(kind, count)
    rng = np.random.default_rng(0)
    shape, choices = (256, made.num_agents), 2
    if kind == "moba":
        shape, choices = (*shape, 6), made.single_action_space.nvec
    actions = rng.integers(0, choices, shape).astype(np.int32)
    made.reset(seed=1)
    for i in range(512):  # a MOBA keeps the paths that it has looked for
        made.step(actions[i % len(actions)])
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(32):
            made.step(actions[calls % len(actions)])
            calls += 1
    return calls * made.num_agents / (time.perf_counter() - started)


def train(kind: str, count: int, num_steps: int, minibatch: int, seconds: float) -> dict[str, float]:
    """Agent-steps a second that its PPO learns from in one pass, with its own settings for the world, on a CPU."""
    pufferl.ADVANTAGE_CUDA = False
    sys.argv = sys.argv[:1]  # it reads them
    config = pufferl.load_config(f"puffer_{kind}")["train"]
    recurrent = kind == "moba"
    config |= {"device": "cpu", "use_rnn": recurrent, "env": kind, "data_dir": "data", "optimizer": "adam"}
    config |= {"minibatch_size": minibatch, "bptt_horizon": num_steps, "total_timesteps": NEVER, "learning_rate": 1e-3}
    vec = pufferlib.vector.make(
        lambda **given: worlds(kind, count), backend=pufferlib.vector.Serial, num_envs=1, seed=1
    )
    if recurrent:
        policy = pufferlib.ocean.torch.MOBA(vec.driver_env, 128)
        policy = pufferlib.ocean.torch.Recurrent(vec.driver_env, policy, 128, 128)
    else:
        policy = pufferlib.models.Default(vec.driver_env, 128)
    learner = Learner(config, vec, policy)

    def iterate() -> None:
        learner.evaluate()
        learner.train()

    iterate()
    iterate()
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or not calls:
        iterate()
        calls += 1
    rate = calls * learner.total_agents * num_steps / (time.perf_counter() - started)
    learner.utilization.stop()
    return {"rate": rate, "parameters": sum(parameter.numel() for parameter in policy.parameters())}


def main() -> None:
    """Measures what is asked for."""
    torch.set_num_threads(1)
    asked = json.loads(sys.argv[1])
    learns = asked.pop("learns")
    found = train(**asked) if learns else {"rate": step(**asked)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
