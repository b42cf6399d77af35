"""Float64 taken apart into bits and put together again, and Horner's rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROUND = 1.5 * 2.0**52
"""Adding this to |x| < 2**51 rounds x to a whole number, which the low bits of the sum hold."""
ROUND_BITS = 0x4338_0000_0000_0000
SIGN = np.int64(-(2**63))
MANTISSA = 52
BIAS = 1023


def polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's rule from the last coefficient."""
    total = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * x + coefficient
    return total


def with_sign(size: Array, x: Array) -> Array:
    """A number without sign bit, given that of x."""
    return np.asarray((bits_of(size) | (bits_of(x) & SIGN)).view(np.float64))


def bits_of(x: Array) -> Array:
    """The float64 as an integer."""
    return np.asarray(x, dtype=np.float64).view(np.int64)


def power_of_two(k: Array) -> Array:
    """2**k for an int64 k within the normal range."""
    return np.asarray((k + BIAS) << MANTISSA).view(np.float64)


def whole_part(x: Array) -> tuple[Array, Array]:
    """The nearest whole number, as float64 and as int64, for |x| < 2**51."""
    shifted = x + ROUND
    return shifted - ROUND, bits_of(shifted) - ROUND_BITS
