"""The random numbers of the worlds: uniform, independent of each other, and functions of their coordinates."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.engine.random import episode_key, randint, random_bits, seed_word, uniform


def coordinates(seed: int = 0, world: int = 0, episode: int = 0, tick: int = 0) -> SimpleNamespace:
    """What a rule sees of a record, as far as randomness goes."""
    key = episode_key(seed_word(seed), np.int32(world), np.int32(episode))
    return SimpleNamespace(key=np.uint64(key), tick=np.int32(tick))


def plain_uniform(state: SimpleNamespace, stream: int) -> float:
    from envs.engine import random

    with np.errstate(over="ignore"):
        bits = random._draw.py_func(state, stream) if hasattr(random._draw, "py_func") else random._draw(state, stream)
    return float(int(bits) >> 40) / 2**24


@pytest.mark.parametrize("axis", ["seed", "world", "episode", "tick", "stream"])
def test_draws_along_every_coordinate_are_uniform_and_uncorrelated(axis: str) -> None:
    fixed = {"seed": 3, "world": 1, "episode": 2, "tick": 5}
    count = 4000
    draws = np.array(
        [
            plain_uniform(
                coordinates(**{**fixed, **({axis: i} if axis != "stream" else {})}), i if axis == "stream" else 0
            )
            for i in range(count)
        ]
    )
    observed = np.histogram(draws, 20, (0, 1))[0]
    chi_square = ((observed - count / 20) ** 2 / (count / 20)).sum()
    assert chi_square < 50.0, "19 degrees of freedom: 50 has probability 1e-4"
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / count**0.5


@given(st.integers(0, 2**70), st.integers(0, 2**70))
def test_different_seeds_give_different_words(one: int, other: int) -> None:
    assert (seed_word(one) == seed_word(other)) == (one == other)


def test_rules_draw_inside_their_bounds() -> None:
    import numba

    @numba.njit
    def draws(key):
        lowest, highest, seen = 1.0, 0.0, np.zeros(7, np.int64)
        for stream in range(20000):
            value = uniform(key, stream)
            lowest, highest = min(lowest, value), max(highest, value)
            seen[randint(key, 7, stream)] += 1
        return lowest, highest, seen, random_bits(key, 0)

    record = np.zeros(1, np.dtype([("key", np.uint64), ("tick", np.int32)]))
    record["key"] = episode_key(seed_word(1), 0, 0)
    lowest, highest, seen, bits = draws(record[0])
    assert 0 <= lowest < 0.001 and 0.999 < highest < 1
    assert abs(seen - 20000 / 7).max() < 250
    assert 0 <= bits < 2**32
