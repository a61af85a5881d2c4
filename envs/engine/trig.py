"""Sine, cosine and square root for rules: only + - * / and sqrt, so equal to the bit in Python, on CPU and on CUDA.

Range reduction after Cody and Waite ("Software Manual for the Elementary Functions", 1980), the minimax polynomials of
the Cephes library for single precision: absolute error below 2e-7 for |x| <= 1000. With float64 reals, which serve
numeric tests only, they are the math library's.
"""

import math

import numpy as np

from envs.engine.rules import real, rule

_TWO_OVER_PI = np.float32(2 / math.pi)
_PI_HALF_1, _PI_HALF_2, _PI_HALF_3 = (
    np.float32(1.5703125),
    np.float32(4.837512969970703125e-4),
    np.float32(7.549789954e-8),
)
_S1, _S2, _S3 = np.float32(-1.6666654611e-1), np.float32(8.3321608736e-3), np.float32(-1.9515295891e-4)
_C1, _C2, _C3 = np.float32(4.166664568298827e-2), np.float32(-1.388731625493765e-3), np.float32(2.443315711809948e-5)
_ONE, _HALF = np.float32(1), np.float32(0.5)


@rule
def _kernel_sin(x):
    """sin on [-pi/4, pi/4]."""
    q = x * x
    return x + x * q * (_S1 + q * (_S2 + q * _S3))


@rule
def _kernel_cos(x):
    """cos on [-pi/4, pi/4]."""
    q = x * x
    return _ONE - _HALF * q + q * q * (_C1 + q * (_C2 + q * _C3))


@rule
def _quadrant(x):
    """The nearest whole number of quarter turns, int32."""
    turns = x * _TWO_OVER_PI
    return np.int32(turns + _HALF) if turns >= 0 else np.int32(turns - _HALF)


@rule
def _reduced(x, quadrant):
    """x less that many quarter turns."""
    n = np.float32(quadrant)
    return ((x - n * _PI_HALF_1) - n * _PI_HALF_2) - n * _PI_HALF_3


@rule
def _turned(x, quadrant):
    """sin(x + quadrant quarter turns) for x on [-pi/4, pi/4]."""
    value = _kernel_cos(x) if quadrant & 1 else _kernel_sin(x)
    return -value if quadrant & 2 else value


@rule
def _sin32(x):
    quadrant = _quadrant(x)
    return _turned(_reduced(x, quadrant), quadrant)


@rule
def _cos32(x):
    quadrant = _quadrant(x)
    return _turned(_reduced(x, quadrant), quadrant + np.int32(1))


@rule
def _sin64(x):
    return math.sin(x)


@rule
def _cos64(x):
    return math.cos(x)


sin = _sin32 if real is np.float32 else _sin64
"""sin(x), x in radians: a real."""
cos = _cos32 if real is np.float32 else _cos64
"""cos(x), x in radians: a real."""


@rule
def sqrt(x):
    """The correctly rounded square root of a real >= 0."""
    return real(math.sqrt(x))
