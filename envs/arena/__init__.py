"""The arena: a simplified 5v5 MOBA and its 1v1 duel. `arena` and `duel` list the options."""

from typing import Any

from envs.arena.describe import describe
from envs.arena.observe import FEATURES
from envs.arena.state import TERMS, mirror, partners
from envs.arena.world import HERO_NAMES, LEVELS, arena, duel

__all__ = [
    "FEATURES", "HERO_NAMES", "LEVELS", "TERMS", "arena", "describe", "duel", "mirror", "parallel_env", "partners",
]  # fmt: skip


def parallel_env(seed: int = 0, render_mode: str | None = None, **options: Any) -> Any:
    """All ten seats of `arena(**options)` as a PettingZoo `ParallelEnv`.

    Args:
        seed: of the games.
        render_mode: "rgb_array", "human" or None.
        options: of `arena`.
    """
    from envs.engine.parallel import WorldParallelEnv

    return WorldParallelEnv(arena(**options), seed=seed, render_mode=render_mode)
