"""The rules' own sine and cosine."""

import math

import numpy as np
import pytest

from envs.engine.rules import plain
from envs.engine.trig import cos, sin, sqrt


@pytest.mark.parametrize("largest", [0.3, 4.0, 1000.0])
def test_sine_and_cosine_are_within_2e_7(largest: float) -> None:
    angles = np.random.default_rng(0).uniform(-largest, largest, 2000).astype(np.float32)
    for angle in (*angles, np.float32(0), np.float32(math.pi), np.float32(-math.pi / 2)):
        assert abs(float(sin(angle)) - math.sin(float(angle))) < 2e-7
        assert abs(float(cos(angle)) - math.cos(float(angle))) < 2e-7


def test_compiled_and_plain_roots_are_the_same_bits() -> None:
    for value in np.random.default_rng(1).uniform(0, 1e6, 500).astype(np.float32):
        assert np.float32(sqrt(value)) == np.float32(plain(sqrt)(value)) == np.sqrt(value)
