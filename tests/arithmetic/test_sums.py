"""Orders of summation against loops that spell them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isoconv.arithmetic.sums import (
    NORM_BLOCK,
    PARTIALS,
    partial_sum,
    square_norm_blocks,
    tree_sum,
)
from isoconv.errors import ArgumentError, DTypeError, ShapeError


def spelled(values: np.ndarray) -> Any:
    """The rule of a reduction, one addition at a time."""
    p = [values.dtype.type(0)] * PARTIALS
    for i, value in enumerate(values):
        p[i % PARTIALS] = p[i % PARTIALS] + value
    return ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]))


def spelled_tree(values: list[np.floating], start: int, span: int) -> np.floating:
    """The node that covers `span` (a power of two) places from `start`."""
    if span == 1:
        return values[start]
    left = spelled_tree(values, start, span // 2)
    middle = start + span // 2
    return left if middle >= len(values) else left + spelled_tree(values, middle, span // 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 9, 16, 61])
def test_partial_sum_order(count: int, dtype: type[Any]) -> None:
    """Every bit agrees with the rule written as a loop."""
    values = (np.random.default_rng(count).normal(size=count) * 1e3).astype(dtype)
    got = partial_sum(values)
    assert got.dtype == dtype
    assert got == spelled(values)


def test_partial_sum_differs_from_other_orders() -> None:
    """The order matters, so the test above would notice another one."""
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    plain = np.float32(0)
    for value in values:
        plain = plain + value
    assert partial_sum(values) != plain


def test_partial_sum_axes() -> None:
    """Reduced elements are counted in row-major order over the reduced axes."""
    values = np.random.default_rng(1).normal(size=(3, 5, 4)).astype(np.float32)
    got = partial_sum(values, axis=(0, 1))
    want = [spelled(values[..., c].reshape(-1)) for c in range(4)]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got, partial_sum(values, axis=(-2, 0)))
    assert partial_sum(values, axis=None) == spelled(values.reshape(-1))
    np.testing.assert_array_equal(
        partial_sum(values, axis=1),
        [[spelled(values[a, :, c]) for c in range(4)] for a in range(3)],
    )


def test_partial_sum_of_negative_zeros() -> None:
    """Partials start at +0.0, so a sum of -0.0 is +0.0."""
    assert not np.signbit(partial_sum(np.full(20, -0.0, np.float32)))


def test_partial_sum_refusals() -> None:
    """Whole numbers and axes that are not there are refused by name."""
    with pytest.raises(DTypeError, match="partial_sum takes float32 or float64; got int64"):
        partial_sum(np.arange(3))
    with pytest.raises(ArgumentError, match=r"\[-1, 1\); got 1"):
        partial_sum(np.zeros(3), axis=1)
    with pytest.raises(ArgumentError, match=r"named once; got \(0, -1\)"):
        partial_sum(np.zeros(3), axis=(0, -1))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 11])
def test_tree_sum_order(count: int) -> None:
    """Every bit agrees with the tree written as a recursion over node spans."""
    values = list((np.random.default_rng(count).normal(size=count) * 1e3).astype(np.float32))
    assert tree_sum(values) == spelled_tree(values, 0, 16)


def test_tree_sum_is_a_sum_of_subtrees() -> None:
    """A worker with eight shards from a multiple of eight hands over one node of the tree."""
    values = list(np.random.default_rng(2).normal(size=(19, 3)).astype(np.float32))
    parts = [tree_sum(values[start : start + 8]) for start in range(0, 19, 8)]
    np.testing.assert_array_equal(tree_sum(parts), tree_sum(values))


def test_tree_sum_returns_a_new_array() -> None:
    """One shard's sum is a copy, not the shard's own array."""
    only = np.ones(2, np.float32)
    assert tree_sum([only]) is not only
    assert not np.shares_memory(tree_sum([only]), only)


def test_tree_sum_refusals() -> None:
    """No arrays, or arrays that do not match, are refused."""
    with pytest.raises(ArgumentError, match="got none"):
        tree_sum([])
    with pytest.raises(ShapeError, match=r"float32\(1,\) and float32\(2,\)"):
        tree_sum([np.zeros(1, np.float32), np.zeros(2, np.float32)])


@pytest.mark.parametrize("count", [0, 1, 9, NORM_BLOCK, NORM_BLOCK + 1, 3 * NORM_BLOCK - 5])
def test_square_norm_order(count: int) -> None:
    """Squares by the rule of a reduction inside blocks, blocks by the tree."""
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    squares = values * values
    blocks = [spelled(squares[i : i + NORM_BLOCK]) for i in range(0, count, NORM_BLOCK)]
    want = spelled_tree(blocks, 0, 4) if blocks else np.float32(0)
    got = square_norm_blocks(values)
    assert got == want
    assert got.dtype == np.float32


def test_sizes_of_the_orders() -> None:
    """Eight partial sums, and blocks of 4096 elements: another size is another arithmetic."""
    assert (PARTIALS, NORM_BLOCK) == (8, 4096)


def test_square_norm_takes_a_flat_vector() -> None:
    """A matrix is refused: its blocks would depend on its layout."""
    with pytest.raises(ShapeError, match=r"got shape \(2, 2\)"):
        square_norm_blocks(np.zeros((2, 2), np.float32))
