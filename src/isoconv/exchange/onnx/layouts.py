"""How values of an ONNX graph lie: which of its axes an axis of a tensor holds.

ONNX's feature maps are ``(N, C, H, W)``, here they are ``(H, W, C)``, one for each image. So an
axis of an ONNX value is a row of *factors*, and the axes of the tensor that stands for it are rows
of the same factors in another order. To transpose, reshape or flatten an ONNX value is then to
write down its factors anew; elements are moved only where a layer needs them in another order.

A network is read as ONNX computes it for one image. So the image axis has one element; such axes
have no factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from isoconv.graph.operation import Array


class Factor:
    """A part of an axis.

    Args:
        size: elements along it, at least 2.
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def __repr__(self) -> str:
        return f"<{self.size}>"


Row = tuple[Factor, ...]
"""Factors of one axis, the slowest first."""


def row(size: int) -> Row:
    """A new axis.

    Example:
        >>> row(6), row(1)
        ((<6>,), ())
    """
    return (Factor(size),) if size > 1 else ()


def flat(rows: Iterable[Row]) -> Row:
    """The factors of several axes in their order."""
    return tuple(factor for each in rows for factor in each)


def _size(factors: Row) -> int:
    return prod(factor.size for factor in factors)


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """How a value lies.

    Attributes:
        axes: factors of each axis that the value has in ONNX.
        memory: of each axis of the tensor, which has no image axis.
    """

    axes: tuple[Row, ...]
    memory: tuple[Row, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The value's shape in ONNX, for one image."""
        return tuple(map(_size, self.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(map(_size, self.memory))

    def transposed(self, order: Sequence[int]) -> Layout:
        """The axes in another order."""
        return Layout(tuple(self.axes[axis] for axis in order), self.memory)

    def reshaped(self, sizes: Sequence[int]) -> Layout | None:
        """Under another shape; None where axes would have to be joined that do not divide."""
        left = list(flat(self.axes))
        pieces: dict[Factor, list[Factor]] = {factor: [] for factor in left}
        rests = [factor.size for factor in left]
        place = 0
        axes = []
        for size in sizes:
            own: list[Factor] = []
            while size > 1:
                rest = rests[place]
                if size % rest == 0:
                    part = rest
                elif rest % size == 0:
                    part = size
                else:
                    return None
                whole = left[place]
                piece = whole if part == whole.size else Factor(part)
                pieces[whole].append(piece)
                own.append(piece)
                size //= part
                rests[place] //= part
                place += rests[place] == 1
            axes.append(tuple(own))
        memory = (tuple(p for factor in each for p in pieces[factor]) for each in self.memory)
        return Layout(tuple(axes), tuple(memory))

    def order(self) -> list[int]:
        """The axes of more than one element, in an order that is near to how they lie."""
        places = {factor: place for place, factor in enumerate(flat(self.memory))}
        present = [axis for axis, factors in enumerate(self.axes) if factors]
        return sorted(present, key=lambda axis: places[self.axes[axis][-1]])

    def lying(self, order: Sequence[int]) -> tuple[Row, ...]:
        """Memory in which each of the tensor's axes holds one of the value's; others are 1."""
        return tuple(self.axes[axis] for axis in order)


def of_shape(sizes: Sequence[int], order: Sequence[int]) -> Layout:
    """A layout of new axes.

    Args:
        sizes: of the value in ONNX.
        order: which of them the tensor's axes are.

    Example:
        >>> of_shape((1, 3, 8, 8), (2, 3, 1)).shape
        (8, 8, 3)
    """
    axes = tuple(map(row, sizes))
    return Layout(axes, tuple(axes[axis] for axis in order))


def in_order(array: Array, axes: Sequence[Row], memory: Sequence[Row]) -> Array:
    """An array as a tensor with this memory has it.

    Args:
        array: with an axis for each of `axes`, which may be of size 1 where that is not.
        axes: of the value in ONNX.
        memory: of the tensor; factors that the array does not have leave a side of 1.
    """
    present: list[Factor] = []
    for size, axis in zip(array.shape, axes, strict=True):
        present += axis if size > 1 else ()
    kept = [tuple(f for f in each if f in present) for each in memory]
    places = {factor: place for place, factor in enumerate(present)}
    order = [places[factor] for factor in flat(kept)]
    parts = array.reshape([factor.size for factor in present]).transpose(order)
    return np.ascontiguousarray(parts).reshape([_size(each) for each in kept])
