"""Clipping kernels against the written order of a square norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.clipping import clip
from tests.compile.places import same_bits, targets
from tests.run.graphs import numbers, specials

from isoconv.arithmetic.sums import NORM_BLOCK, square_norm_blocks
from isoconv.compile.reduction.clip import BLOCK
from isoconv.compile.target import Target
from isoconv.graph.operation import Array


def expected(vector: Array, limit: float) -> tuple[np.float32, np.float32]:
    """The same from the arithmetic's own functions."""
    with np.errstate(all="ignore"):
        total = np.float32(square_norm_blocks(vector))
        norm = np.sqrt(total)
        most = np.float32(limit)
        return total, most / norm if norm > most else np.float32(1)


def check(vector: Array, limit: float, **settings: Any) -> None:
    """Bits of the sum and of the factor."""
    same_bits(np.array(clip(vector, limit, **settings)), np.array(expected(vector, limit)))


def test_one_block_size() -> None:
    """Kernels and arithmetic agree on the size of a block."""
    assert BLOCK == NORM_BLOCK


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4095, 4096, 4097, 3 * 4096 + 13, 11 * 4096])
def test_sizes(size: int) -> None:
    """Vectors that fill no partial sum, no block, and no level of the tree."""
    check(numbers(size), 1.0, parts=1 if size % 2 else 3)


@pytest.mark.parametrize("target", targets())
def test_targets(target: Target) -> None:
    """Every target gives the same bits."""
    check(numbers(2 * 4096 + 5), 0.5, target=target)


@pytest.mark.parametrize("limit", [1e-3, 4.9999995, 5.0, 5.000001, 1e30])
def test_limits(limit: float) -> None:
    """A norm of exactly the limit is left alone; 5 = |(3, 4)|."""
    vector = np.array([3, 4], np.float32)
    _, factor = clip(vector, float(np.float32(limit)))
    assert (factor < 1) == (np.float32(limit) < 5)
    check(vector, float(np.float32(limit)))


@pytest.mark.parametrize("value", [0.0, -0.0, np.inf, np.nan])
def test_values_without_a_direction(value: float) -> None:
    """A norm that is 0, infinite or NaN gives a factor of 1, 0 or 1."""
    vector = np.full(9, value, np.float32)
    _, factor = clip(vector, 2.0)
    assert factor == (0.0 if value == np.inf else 1.0)
    check(vector, 2.0)


def test_special_values() -> None:
    """Squares that underflow and overflow."""
    values = specials("float32")
    check(values, 1.0)
    check(values[np.abs(values) < 1e-20], 1.0)
