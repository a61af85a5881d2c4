"""Plays games and hashes them; as a program, prints the hash of each world named: `python -m tests.games ID ...`."""

import hashlib
import sys
from typing import Any

import numpy as np

import envs
from envs.engine.races import find_races
from envs.engine.vector import WorldVectorEnv
from envs.registration import load_world
from tests import probe_worlds

PROBES: dict[str, Any] = {"two_seats": probe_worlds.two_seats, "racing": probe_worlds.racing}
WORLDS = ["two_seats", *envs.registered_worlds()]


def build(name: str, **options: Any) -> Any:
    """The World of a probe's name or of a registered id."""
    return PROBES[name](**options) if name in PROBES else load_world(envs.registered_worlds()[name], **options)


def batch(name: str, num_worlds: int, **options: Any) -> WorldVectorEnv:
    """A batch of a probe or of a registered world."""
    return envs.make_vec(build(name), num_worlds, **options)


def random_actions(env: WorldVectorEnv, seed: int) -> Any:
    """An endless stream of actions; world i's are the same in any batch."""
    per_world = [np.random.default_rng([seed, world]) for world in range(env.num_worlds)]
    space = env.single_action_space
    while True:
        rows = [rng for rng in per_world for _ in range(env.num_seats)]
        if hasattr(space, "low"):
            low, high = np.maximum(space.low, -3), np.minimum(space.high, 3)  # pyright: ignore
            yield np.stack([rng.uniform(low, high).astype(np.float32) for rng in rows])
        else:
            sizes = getattr(space, "nvec", None)
            sizes = space.n if sizes is None else sizes  # pyright: ignore
            yield np.stack([rng.integers(0, sizes) for rng in rows])


def play(env: WorldVectorEnv, num_steps: int, rows: int | None = None, seed: int = 0) -> str:
    """The hash of observations, masks, rewards, flags and final observations of the first `rows` rows."""
    digest = hashlib.sha256()
    actions = random_actions(env, seed)
    obs, infos = env.reset()
    for _ in range(num_steps):
        results = [obs, infos.get("action_mask")]
        obs, rewards, terminated, truncated, infos = env.step(next(actions))
        results += [rewards, terminated, truncated]
        for result in results:
            if result is not None:
                digest.update(np.asarray(result)[:rows].tobytes())
        ended = np.asarray(terminated | truncated)[:rows]
        if ended.any():
            digest.update(np.asarray(infos["final_obs"])[:rows][ended].tobytes())
            digest.update(np.asarray(infos["episode"]["r"])[:rows][ended].tobytes())
    return digest.hexdigest()


def main(arguments: list[str]) -> None:
    """`games ID ...` prints hashes; `games --races ID ...` prints the races of each."""
    for name in arguments:
        if name == "--races":
            continue
        if "--races" in arguments:
            print(name, find_races(build(name), 60))
        else:
            print(name, play(batch(name, 2, seed=5), 60))


if __name__ == "__main__":
    main(sys.argv[1:])
