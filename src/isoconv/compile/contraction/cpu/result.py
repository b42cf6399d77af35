"""Where the positions of a contraction's tile lie in the result: by loops, or unrolled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.cpu.expression import Index
from isoconv.compile.pointwise.cpu.operations import is_quick
from isoconv.compile.pointwise.expression import Expression

_SHORT_CHAIN = 160  # steps; what comes after so few of them is a good part of a kernel's time
_SHORT_EPILOGUE = 8  # operations that may be unrolled for every position


def unrolls(chain: int, epilogue: Expression) -> bool:
    """Whether the work behind a chain of so many steps is unrolled over a tile's positions."""
    steps = epilogue.steps
    if chain > _SHORT_CHAIN or len(steps) > _SHORT_EPILOGUE:
        return False
    return all(is_quick(step.op) for step in steps)


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of a tile in the result.

    Unrolled, their addresses differ by constants, and what was spilled on the stack stays in
    registers. That takes more code, which pays where the chain is short.

    Attributes:
        k: the kernel.
        flat: whether the image and position axes are one.
        axes: (first coordinate, step) of the result's spatial axes.
        rows, columns: of the tile.
        lanes: filters in a vector.
        unrolled: one after the other in place of loops.
        rows_are_images: the tile's rows are images, at the same row of each.
    """

    k: Kernel
    flat: bool
    axes: tuple[tuple[int, int], ...]
    rows: int
    columns: int
    lanes: int
    unrolled: bool
    rows_are_images: bool = False

    def each(
        self, image: Value, place: tuple[Value, ...], filters: Value
    ) -> Iterator[tuple[Value, Index]]:
        """Number and place of each position, given those of the first and the first filter."""
        k = self.k
        if self.unrolled:
            first = self._index(image, place, k.const(0), k.const(0), filters)
            for position in range(self.rows * self.columns):
                shift = self._shift(*divmod(position, self.columns))
                yield k.const(position), replace(first, shift=shift)
            return
        with k.loop(0, self.rows) as row, k.loop(0, self.columns) as column:
            number = k.add(k.mul(row, self.columns), column)
            yield number, self._index(image, place, row, column, filters)

    def _index(
        self, image: Value, place: tuple[Value, ...], row: Value, column: Value, filters: Value
    ) -> Index:
        k = self.k
        axes: list[Value] = []
        if self.flat:
            image = k.add(image, column)
        else:
            down: Value | int = row
            if self.rows_are_images:
                image, down = k.add(image, row), 0
            moved = (*place[:-2], k.add(place[-2], down), k.add(place[-1], column))
            taken = moved[len(moved) - len(self.axes) :]
            axes = [
                k.add(first, k.mul(c, step))
                for c, (first, step) in zip(taken, self.axes, strict=True)
            ]
        return Index(image, (*axes, filters), self.lanes, (0,) * (len(axes) + 2), {})

    def _shift(self, row: int, column: int) -> tuple[int, ...]:
        """From the first position to another one: image, axes and filter."""
        if self.flat:
            return column, 0
        images, down = (row, 0) if self.rows_are_images else (0, row)
        moved = [*((0,) * len(self.axes)), down, column][2:]
        return images, *(c * step for c, (_, step) in zip(moved, self.axes, strict=True)), 0


def vector_of(index: Index, number: int, lanes: int) -> Index:
    """The place of a further vector of filters, of which so many lanes count."""
    return replace(index, lanes=lanes, shift=(*index.shift[:-1], number * index.lanes))
