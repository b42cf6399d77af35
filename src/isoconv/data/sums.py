"""Exact sums of images' values and of their squares, in which no order matters."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from isoconv.rows import Array

CHUNK = 1 << 20
"""Elements whose statistics are summed at once; see `sums`."""


def sums(values: Array) -> tuple[Fraction, Fraction]:
    """The exact sums of the values and of their squares."""
    first, second = Fraction(0), Fraction(0)
    for part in _chunks(values):
        if part.dtype == np.uint8:
            # Below 2**20 * 2**16: far from the end of int64, in any order.
            wide = part.astype(np.int64)
            first += int(wide.sum())
            second += int((wide * wide).sum())
            continue
        # A float32 is m * 2**(e - 24) with |m| < 2**24. For each e the values m, and the squares
        # in halves of 24 bits, add up to less than 2**53 in a chunk, so float64 holds every
        # partial sum exactly and the order does not matter.
        fractions, exponents = np.frexp(part.astype(np.float64))
        whole = (fractions * 2.0**24).astype(np.int64)
        squares = whole * whole
        low = int(exponents.min())
        places = exponents - low
        high_half, low_half = squares >> 24, squares & 0xFFFFFF
        plain = np.bincount(places, weights=whole.astype(np.float64))
        high = np.bincount(places, weights=high_half.astype(np.float64))
        rest = np.bincount(places, weights=low_half.astype(np.float64))
        for place in np.flatnonzero(np.bincount(places)):
            power = Fraction(2) ** (int(place) + low - 24)
            first += int(plain[place]) * power
            second += ((int(high[place]) << 24) + int(rest[place])) * power * power
    return first, second


def _chunks(values: Array) -> Iterator[Array]:
    rows = max(1, CHUNK // max(1, values[0].size))
    for start in range(0, len(values), rows):
        flat = values[start : start + rows].reshape(-1)
        for place in range(0, len(flat), CHUNK):
            yield flat[place : place + CHUNK]
