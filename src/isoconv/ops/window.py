"""Where the elements that a window covers lie: all of them at once, or those of one element.

The references of convolution and pooling ask for the first, their terms for the second.

Output position ``o`` of an axis with kernel element ``m`` covers input position
``o * stride - pad_before + offset(m)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array
from isoconv.graph.terms import Element, Padding
from isoconv.ops.geometry import ConvGeometry, WindowGeometry

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


def at(
    geometry: ConvGeometry | WindowGeometry, position: Sequence[int], output: Sequence[int]
) -> tuple[int, ...]:
    """The input position that one output position meets at this kernel position.

    Example:
        >>> at(WindowGeometry((2, 2), (2, 2), ((1, 1), (0, 0)), (1, 1)), (0, 1), (0, 3))
        (-1, 7)
    """
    return tuple(
        o * stride - before + offset
        for o, stride, (before, _), offset in zip(
            output, geometry.stride, geometry.padding, offsets(geometry, position), strict=True
        )
    )


def met_by(
    geometry: ConvGeometry | WindowGeometry, position: Sequence[int], input_: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """The output position that meets one input position at this kernel position, if one can.

    It may lie beyond the output: before its first position, or behind its last.

    Example:
        >>> window = WindowGeometry((2,), (2,), ((0, 0),), (1,))
        >>> list(met_by(window, (1,), (3,))), list(met_by(window, (0,), (3,)))
        ([(1,)], [])
    """
    output = []
    for i, stride, (before, _), offset in zip(
        input_, geometry.stride, geometry.padding, offsets(geometry, position), strict=True
    ):
        place, rest = divmod(i + before - offset, stride)
        if rest:
            return
        output.append(place)
    yield tuple(output)


def inside(index: Sequence[int], sides: Sequence[int]) -> bool:
    """Whether a position lies inside sides of these lengths."""
    return all(0 <= i < side for i, side in zip(index, sides, strict=True))


def row_major(index: Sequence[int], sides: Sequence[int]) -> int:
    """The number of a position, the last index running fastest.

    Example:
        >>> row_major((1, 2), (3, 5))
        7
    """
    number = 0
    for i, side in zip(index, sides, strict=True):
        number = number * side + i
    return number


def read(
    operand: int, spec: TensorSpec, image: tuple[int, ...], index: tuple[int, ...]
) -> Element | Padding:
    """An operand's element, or what is read in its place beyond the edge."""
    kind = Element if inside(index, spec.shape) else Padding
    return kind(operand, (*image, *index))
