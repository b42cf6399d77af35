"""The orders in which numbers are added: partial sums, the tree over shards, the square norm.

Floating-point addition is not associative, so an order is part of the meaning of a sum. Each order
here leaves room for vectors and threads and depends on neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from isoconv.arithmetic.bits import Array
from isoconv.checks import refusal
from isoconv.errors import ArgumentError, DTypeError, ShapeError

PARTIALS = 8
"""Number of interleaved partial sums of a reduction: a constant of the arithmetic."""

NORM_BLOCK = 4096
"""Elements in one block of a square norm: a constant of the arithmetic."""


def partial_sum(values: Array, axis: int | Sequence[int] | None = 0) -> Array:
    """Sum over axes in the order of a reduction.

    Number the reduced elements i = 0, 1, … in row-major order over the reduced axes. Partial sum
    ``p[j]`` starts at +0.0 and adds the elements with ``i mod 8 = j`` in increasing i; the result
    is ``((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))``, with all eight, also when there are
    fewer elements.

    Args:
        values: float32 or float64, any shape.
        axis: the reduced axis or axes (row-major in increasing axis order); None for all.

    Returns:
        The sums in the dtype of ``values``, without the reduced axes.

    Raises:
        DTypeError: ``values`` is neither float32 nor float64.

    Example:
        >>> import numpy as np
        >>> partial_sum(np.ones((9, 2), np.float32))
        array([9., 9.], dtype=float32)
    """
    values = _floating("partial_sum", values)
    axes = _axes(axis, values.ndim)
    kept = [side for side in range(values.ndim) if side not in axes]
    shape = tuple(values.shape[side] for side in kept)
    count = prod(values.shape[side] for side in axes)
    rows = values.transpose(*axes, *kept).reshape(count, *shape)
    partials = np.zeros((PARTIALS, *shape), values.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, count, PARTIALS):
            chunk = rows[start : start + PARTIALS]
            partials[: len(chunk)] += chunk
        return _eight(partials)


def tree_sum(values: Sequence[Array]) -> Array:
    """Sum arrays by the binary tree over their positions, as shards are combined.

    The node ``k`` of level ``l`` covers positions ``k * 2**l`` to ``(k + 1) * 2**l - 1`` and is its
    left child plus its right child, or its left child alone when the right one covers nothing.

    Args:
        values: arrays of one shape and dtype (float32 or float64), one for each shard.

    Returns:
        Their sum, a new array.

    Raises:
        ArgumentError: there are no arrays.
        DTypeError: an array is neither float32 nor float64.
        ShapeError: shapes or dtypes differ.

    Example:
        >>> import numpy as np
        >>> tree_sum([np.float32([1, 2]), np.float32([3, 4]), np.float32([5, 6])])
        array([ 9., 12.], dtype=float32)
    """
    level = [_floating("tree_sum", value) for value in values]
    if not level:
        text = "tree_sum takes at least one array; got none"
        raise ArgumentError(text, argument="values", value=values)
    for value in level:
        if value.shape != level[0].shape or value.dtype != level[0].dtype:
            raise ShapeError(
                "tree_sum takes arrays of one shape and dtype; got "
                f"{level[0].dtype}{level[0].shape} and {value.dtype}{value.shape}"
            )
    if len(level) == 1:
        return level[0].copy()
    with np.errstate(all="ignore"):
        while len(level) > 1:
            pairs = [level[k] + level[k + 1] for k in range(0, len(level) - 1, 2)]
            level = pairs + level[2 * len(pairs) :]
    return np.asarray(level[0])


def square_norm_blocks(values: Array) -> Any:
    """Sum of squares of a flat vector, ``sum(x * x)``, in blocks of 4096 elements.

    Each square is rounded, the squares of a block are added as in :func:`partial_sum`, and the
    blocks are combined as in :func:`tree_sum`. The last block may be shorter.

    Args:
        values: float32 or float64 of shape (length,).

    Returns:
        A NumPy scalar of the same dtype; +0.0 for an empty vector.

    Raises:
        DTypeError: ``values`` is neither float32 nor float64.
        ShapeError: ``values`` is not flat.

    Example:
        >>> import numpy as np
        >>> float(square_norm_blocks(np.float32([3, 4])))
        25.0
    """
    values = _floating("square_norm_blocks", values)
    if values.ndim != 1:
        raise ShapeError(f"square_norm_blocks takes a flat vector; got shape {values.shape}")
    if not values.size:
        return values.dtype.type(0)
    blocks = -(-values.size // NORM_BLOCK)
    # Added zeros change no bit: a partial sum that starts at +0.0 is never -0.0.
    padded = np.zeros(blocks * NORM_BLOCK, values.dtype)
    with np.errstate(all="ignore"):
        padded[: values.size] = values * values
    sums = partial_sum(padded.reshape(blocks, NORM_BLOCK), axis=1)
    return tree_sum(list(sums))[()]


def _eight(p: Array) -> Array:
    return np.asarray(((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7])))


def _axes(axis: int | Sequence[int] | None, rank: int) -> list[int]:
    if axis is None:
        return list(range(rank))
    axes = [axis] if isinstance(axis, int) else list(axis)
    for side in axes:
        if not -rank <= side < rank:
            raise refusal("axis", f"lie in [-{rank}, {rank})", side, got=f"{side}")
    if len({side % rank for side in axes}) != len(axes):
        text = f"an axis may be named once; got {tuple(axes)}"
        raise ArgumentError(text, argument="axis", value=axis)
    return sorted(side % rank for side in axes)


def _floating(name: str, values: Array) -> Array:
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        raise DTypeError(f"{name} takes float32 or float64; got {values.dtype}")
    return values
