"""Where the elements that a window covers lie, for the references of convolution and pooling.

Output position ``o`` of an axis with kernel element ``m`` covers input position
``o * stride - pad_before + offset(m)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from isoconv.graph.operation import Array
from isoconv.ops.geometry import ConvGeometry, WindowGeometry

__all__ = ["covered", "in_range", "kernel_positions", "offsets", "take"]

Index = NDArray[np.int64]


def kernel_positions(kernel: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All kernel positions in row-major order; the one empty position at rank 0.

    Example:
        >>> list(kernel_positions((2, 2)))
        [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    return product(*(range(size) for size in kernel))


def offsets(geometry: ConvGeometry | WindowGeometry, position: Sequence[int]) -> tuple[int, ...]:
    """How far from the window's start this kernel position meets the input, per axis."""
    flip = isinstance(geometry, ConvGeometry) and geometry.flip
    return tuple(
        (k - 1 - m if flip else m) * d
        for m, k, d in zip(position, geometry.kernel, geometry.dilation, strict=True)
    )


def covered(
    geometry: ConvGeometry | WindowGeometry, position: Sequence[int], outputs: Sequence[int]
) -> tuple[Index, ...]:
    """Per axis, the input position that each output position meets at this kernel position.

    Positions in the padding are below 0 or beyond the input.
    """
    return tuple(
        np.arange(count, dtype=np.int64) * stride - before + offset
        for count, stride, (before, _), offset in zip(
            outputs, geometry.stride, geometry.padding, offsets(geometry, position), strict=True
        )
    )


def in_range(places: Sequence[Index], sides: Sequence[int]) -> NDArray[np.bool_]:
    """Where a grid of positions lies inside an array with these sides; shape ``(sides..., 1)``."""
    inside = np.ones((), dtype=np.bool_)
    for index, side in zip(places, sides, strict=True):
        inside = inside[..., None] & ((index >= 0) & (index < side))
    return inside[..., None]


def take(x: Array, places: Sequence[Index]) -> Array:
    """The elements of ``x (N, spatial..., C)`` on a grid of positions, +0.0 outside."""
    sides = x.shape[1:-1]
    for axis, (index, side) in enumerate(zip(places, sides, strict=True), start=1):
        x = np.take(x, np.clip(index, 0, side - 1), axis=axis)
    return np.where(in_range(places, sides), x, x.dtype.type(0))
