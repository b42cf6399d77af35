"""The way of a gradient by weight through the images and positions of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from isoconv.compile.contraction.cpu.padding import meets_source
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.native.loops import Kernel, Value

Bounds = tuple[Value | int, Value | int]
"""The first position along an axis, and the one behind the last."""


class Block(NamedTuple):
    """Images and rows that pass through all tiles before the next ones.

    Attributes:
        images, rows: which.
        first: whether they are the first accumulation.
        non_finite: whether the gradient is not finite where its products may be left out.
    """

    images: Bounds
    rows: Bounds
    first: Value
    non_finite: Value = None


class Seen(NamedTuple):
    """An operand as a chain goes through it; strides are in elements.

    Attributes:
        base: where the tile's first element lies, in the first image and at the first position.
        strides: per axis, from a position to the next one.
        image: from an image to the next one.
        begins: the image and the row that lie there.
    """

    base: Value
    strides: tuple[int, ...]
    image: int
    begins: tuple[Value | int, Value | int] = (0, 0)

    def image_of(self, k: Kernel, number: Value) -> Value:
        """How far an image lies behind the first one."""
        return _since(k, number, self.begins[0])

    def row_of(self, k: Kernel, number: Value) -> Value:
        """How far a row lies behind the first one."""
        return _since(k, number, self.begins[1])


def _since(k: Kernel, number: Value, begin: Value | int) -> Value:
    return number if begin == 0 else k.builder.sub(number, k.add(begin), flags=["nsw"])


class Walk(NamedTuple):
    """A way through the positions of the present block.

    Attributes:
        source, gradient: what it goes through.
        step: what is done at a position, given where its source and its gradient lie.
        columns: bounds along the last axis; None for all positions.
        rows: kernel positions along the first axes, where rows of padding may be left out.
        beside: what is done instead where all further axes, from a number on, meet padding, given
            the gradient.
    """

    source: Seen
    gradient: Seen
    step: Callable[[Value, Value], None]
    columns: Bounds | None = None
    rows: tuple[Value, ...] = ()
    beside: Callable[[int, Value], None] = lambda _depth, _gradient: None


def over_positions(k: Kernel, spec: ContractWeightSpec, block: Block, walk: Walk) -> None:
    """Images and positions of a block."""
    with k.loop(*block.images) as image:
        x, g = (
            k.at(seen.base, k.mul(seen.image_of(k, image), seen.image), spec.dtype)
            for seen in (walk.source, walk.gradient)
        )
        positions(k, spec, 0, block.rows, x, g, walk)


def positions(
    k: Kernel,
    spec: ContractWeightSpec,
    depth: int,
    bounds: Bounds,
    x: Value,
    g: Value,
    walk: Walk,
) -> None:
    """Loops over the axes from `depth` on."""
    if depth == len(spec.axes):
        walk.step(x, g)
        return
    axis = spec.axes[depth]
    with k.loop(*bounds) as p:
        source, gradient = (
            k.at(
                place,
                k.mul(p if depth else seen.row_of(k, p), seen.strides[depth]),
                spec.dtype,
            )
            for place, seen in ((x, walk.source), (g, walk.gradient))
        )
        inner_bounds = bounds_of(spec, depth + 1, walk.columns)
        inner = (depth + 1, inner_bounds, source, gradient, walk)
        if depth >= len(walk.rows) or not spec.sides[depth]:
            positions(k, spec, *inner)
            return
        meets = meets_source(k, axis, p, walk.rows[depth], spec.sides[depth])
        with k.builder.if_else(meets) as (on_plane, off):
            with on_plane:
                positions(k, spec, *inner)
            with off:
                walk.beside(depth + 1, gradient)


def bounds_of(spec: ContractWeightSpec, depth: int, columns: Bounds | None = None) -> Bounds:
    """The positions along an axis; along the last one perhaps only those of `columns`."""
    if depth == len(spec.axes) - 1 and columns is not None:
        return columns
    return 0, spec.axes[depth].positions if depth < len(spec.axes) else 0
