"""Counter-based random numbers: pure functions of (seed, world, episode, tick, stream).

Every draw hashes its coordinates by the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), so a game is the same in any batch, on any number of threads and on any
device. Draws of one tick need different `stream` numbers; a stream may be any non-negative int.
"""

import numpy as np

from envs.engine.rules import real, rule

_u64 = np.uint64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = np.uint64(0xD1342543DE82EF95)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32, _S40 = (np.uint64(n) for n in (27, 30, 31, 32, 40))
_TO_UNIT = real(1 / (1 << 24))


@rule
def mix(x):
    """Scrambles 64 bits: a bijection on uint64."""
    x = _u64((x ^ (x >> _S30)) * _MIX_1)
    x = _u64((x ^ (x >> _S27)) * _MIX_2)
    return x ^ (x >> _S31)


@rule
def episode_key(seed, world, episode):
    """The key of one episode's random numbers, uint64."""
    return mix(_u64(mix(_u64(seed + _u64(world) * _GOLDEN)) + _u64(episode) * _STREAM))


@rule
def _draw(state, stream):
    return mix(_u64(state.key + _u64(_u64(state.tick) * _GOLDEN) + _u64(_u64(stream) * _STREAM)))


@rule
def random_bits(state, stream):
    """32 random bits, uint32."""
    return np.uint32(_draw(state, stream) >> _S32)


@rule
def uniform(state, stream):
    """A real in [0, 1), a multiple of 2^-24."""
    return real(np.int32(_draw(state, stream) >> _S40)) * _TO_UNIT


@rule
def randint(state, n, stream):
    """An int32 in 0..n-1, n >= 1 (Lemire's multiply-shift; bias below n / 2^32)."""
    return np.int32(_u64((_draw(state, stream) >> _S32) * _u64(n)) >> _S32)


def seed_word(seed: int) -> np.uint64:
    """Any non-negative int as 64 well-mixed bits.

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"a seed is a non-negative int, got {seed}")
    word = 0
    while True:
        word = _mix_int(word + (seed & 0xFFFFFFFFFFFFFFFF) + int(_GOLDEN))
        seed >>= 64
        if seed == 0:
            return np.uint64(word)


def _mix_int(x: int) -> int:
    """`mix` in Python ints."""
    full = 0xFFFFFFFFFFFFFFFF
    x &= full
    x = (x ^ (x >> 30)) * int(_MIX_1) & full
    x = (x ^ (x >> 27)) * int(_MIX_2) & full
    return x ^ (x >> 31)
