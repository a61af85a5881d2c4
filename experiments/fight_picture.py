"""`python -m experiments.fight_picture OUT.png`: the greatest team fight in games of hard players, as a picture."""

import os
import sys
from typing import Any

import numpy as np

GAMES, MINUTES = 24, 14
NEAR, APART = 8.0, 1.4
"""Cells round the middle of a fight within which heroes are in it, and between heroes who can be told apart."""


def heat(state: Any, heroes: np.ndarray) -> np.ndarray:
    """How much of a fight each world holds, float64 `[num_worlds]`: heroes near each other but apart, spells, shots."""
    alive = state["health"][:, heroes] > 0
    x, y = state["x"][:, heroes], state["y"][:, heroes]
    distance = np.hypot(x[:, :, None] - x[:, None], y[:, :, None] - y[:, None])
    near = (distance < NEAR) & alive[:, None] & alive[:, :, None]
    seats = near.shape[1] // 2
    around = np.minimum(near[:, :, :seats].sum(2), near[:, :, seats:].sum(2))
    inside = near[np.arange(len(near)), around.argmax(1)]
    apart = (distance + 99 * np.eye(2 * seats)).min(2) > APART
    casting = (state["spell"] >= 0) | (state["tick"][:, None] - state["cast_tick"] < 3)
    shooting = state["shot_ticks"][:, heroes] > 0
    signs = ((2.0, apart), (1.0, casting), (0.5, shooting))
    return 3.0 * around.max(1) + sum(weight * (inside & sign).sum(1) for weight, sign in signs)


def main(out: str) -> None:
    """Finds the fight and draws it."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    import imageio.v3 as imageio

    import envs
    from envs.arena import data
    from experiments.pictures import Painter

    games = envs.make_vec("quintet/Arena-v0", GAMES, seed=5, seats="all", num_threads=1)
    games.set_control(3)
    games.reset()
    heroes = np.flatnonzero(games.params[0].slot_kind == data.HERO)
    idle = np.zeros((games.num_envs, 3), np.int64)
    best, kept = -1.0, None
    for _ in range(MINUTES * 60 * data.TICKS_PER_SECOND):
        games.step(idle)
        found = heat(games.state, heroes)
        world = int(found.argmax())
        if found[world] > best:
            best, kept = float(found[world]), np.array(games.state)[world : world + 1]
    assert kept is not None
    games.state[:1] = kept
    imageio.imwrite(out, Painter(games).picture())
    print(f"a fight of heat {best:.1f} at {kept['tick'][0] / data.TICKS_PER_SECOND:.0f} s, in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
