"""Logarithm and exponential from additions and multiplications only.

numpy's own differ in the last bit between processors (each has its vector code); IEEE 754 makes these four operations
the same everywhere, so that what is drawn from them is the same on any machine. Accurate to 1e-13, relative.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float64: TypeAlias = npt.NDArray[np.float64]

_LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476
_LOG_TERMS = 14
_EXP_TERMS = 18


def log(x: Float64) -> Float64:
    """Natural logarithm of positive numbers, any shape."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    exponent = np.where(low, exponent - 1, exponent)
    # log(m) = 2 atanh(r), r = (m - 1) / (m + 1), |r| < 0.172
    r = (mantissa - 1.0) / (mantissa + 1.0)
    square = r * r
    total = np.zeros_like(r)
    for term in range(_LOG_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * term + 1)
    return 2.0 * r * total + exponent * _LN2


def exp(x: Float64) -> Float64:
    """e to the x, for |x| < 700, any shape."""
    twos = np.floor(x / _LN2 + 0.5)
    rest = x - twos * _LN2
    total = np.ones_like(rest)
    for term in range(_EXP_TERMS, 0, -1):
        total = total * rest / term + 1.0
    return np.ldexp(total, twos.astype(np.int64))
