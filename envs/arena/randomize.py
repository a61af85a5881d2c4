"""Worlds that are not all alike, so that a policy learns to play and not the tables by heart: domain randomisation, as
OpenAI Five's units, levels and gold were varied (arXiv 1912.06680, section 4.1 and appendix O).
"""

import numpy as np

from envs.arena import data

VARIANTS = 64
"""Different worlds of a batch; world i of a larger one is like world i % 64."""
GOLD_A_LEVEL = 300
"""More at the start with each level of a head start."""
VARIED = (
    "hero_health", "hero_mana", "hero_damage", "hero_armor", "hero_reach", "hero_period", "hero_speed", "hero_regen",
    "hero_mana_regen", "ability_range", "ability_damage", "ability_heal", "ability_shield", "ability_cooldown",
    "ability_mana", "kind_health", "kind_damage", "kind_armor", "kind_speed", "kind_gold", "kind_xp",
)  # fmt: skip
"""Columns of data.py's tables that are drawn anew; a zero stays one."""


def variants(row: np.ndarray, randomize: float, head_start: int) -> np.ndarray:
    """`VARIANTS` rows of params from one, the same at each call; the one itself where nothing is to vary.

    Args:
        row: params `[1]`.
        randomize: 0..0.9: each number of `VARIED` is multiplied by one drawn from 1 - randomize to 1 + randomize.
        head_start: heroes start up to so many levels above `start_level`, with `GOLD_A_LEVEL` more gold for each.

    Raises:
        ValueError: values outside these.
    """
    most = data.MAX_LEVEL - int(row["start_level"][0])
    if not 0 <= randomize <= 0.9:
        raise ValueError(f"randomize must lie in 0..0.9, got {randomize}")
    if not 0 <= head_start <= most:
        raise ValueError(
            f"head_start must lie in 0..{most}, from start_level to level {data.MAX_LEVEL}; got {head_start}"
        )
    if not (randomize or head_start):
        return row
    rng = np.random.default_rng(0)
    rows = np.repeat(row, VARIANTS)
    for name in VARIED:
        plain = row[name]
        drawn = plain * rng.uniform(1 - randomize, 1 + randomize, rows[name].shape)
        if plain.dtype.kind == "i":
            drawn = np.maximum(np.rint(drawn), plain > 0)
        rows[name] = drawn
    ahead = rng.integers(0, head_start + 1, VARIANTS)
    rows["start_level"] += ahead.astype(np.int32)
    rows["start_gold"] += (GOLD_A_LEVEL * ahead).astype(np.int32)
    return rows
