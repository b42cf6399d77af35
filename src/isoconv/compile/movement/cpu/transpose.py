"""Transposed values: vectors are loaded along one axis and stored along another.

    for n, place on the other axes, i along the axis that lies without gaps in the source:
        for j along the last axis:
            result[n, place, i, j] = source[n, place, i, j]

Schedule: tiles of one cache line by one cache line, so that each line of both sides is used whole
while it is in the cache. Within a tile squares of vectors are loaded along i, transposed in
registers and stored along j; what is left over at the ends are smaller squares.
"""

from __future__ import annotations

from math import prod

import llvmlite.ir as ir

from isoconv.compile.layout import ALIGNMENT
from isoconv.compile.movement.cpu.nest import Axis, corner, joined
from isoconv.compile.movement.transpose import TransposeSpec
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I32, Kernel, Value
from isoconv.compile.native.nest import dot
from isoconv.graph.ir import DTYPES


@emits(TransposeSpec)
def transpose(k: Kernel, spec: TransposeSpec) -> None:
    """Share out images × other axes × tiles along the source's axis."""
    axes = joined(spec.domain.axes, spec.source.strides, spec.result.strides)
    *outer, inner = axes
    across = next(axis for axis in outer if axis.source == 1)
    outer.remove(across)
    tile = ALIGNMENT // DTYPES[spec.source.dtype]
    bands, b = -(-across.size // tile), k.builder
    images = k.field("images") if spec.domain.batched else k.const(1)
    count = prod(axis.size for axis in outer) * bands
    begin, end = k.share(b.mul(images, k.const(count)))
    with k.loop(begin, end) as unit:
        band, rest = b.srem(unit, k.const(bands)), b.sdiv(unit, k.const(bands))
        place: list[Value | int] = [k.mul(band, tile)]
        for axis in reversed(outer):
            place.insert(0, b.srem(rest, k.const(axis.size)))
            rest = b.sdiv(rest, k.const(axis.size))
        bases = [
            k.at(corner(k, operand, rest), dot(k, place, strides), operand.dtype)
            for operand, strides in (
                (spec.source, [axis.source for axis in (*outer, across)]),
                (spec.result, [axis.result for axis in (*outer, across)]),
            )
        ]
        square = _Squares(k, spec.source.dtype, across, inner, *bases)
        last = across.size % tile
        if not last:
            square.band(tile, tile)
        elif bands == 1:
            square.band(last, tile)
        else:
            whole = b.icmp_signed("<", band, k.const(bands - 1))
            with b.if_else(whole) as (within, at_the_end):
                with within:
                    square.band(tile, tile)
                with at_the_end:
                    square.band(last, tile)


class _Squares:
    """A band of places along the axis that is loaded, over all of the one that is stored."""

    def __init__(
        self, k: Kernel, dtype: str, across: Axis, inner: Axis, source: Value, result: Value
    ) -> None:
        self.k, self.dtype = k, dtype
        self.down, self.right = across.result, inner.source
        self.length = inner.size
        self.source, self.result = source, result
        self.lanes = k.target.lanes(dtype)

    def band(self, height: int, tile: int) -> None:
        """So many places, tile after tile along the axis that is stored."""
        k, whole = self.k, self.length - self.length % tile
        if whole:
            with k.loop(0, whole, tile) as j:
                self._tile(0, j, height, tile)
        if self.length % tile:
            self._tile(0, whole, height, self.length % tile)

    def _tile(self, i: Value | int, j: Value | int, height: int, width: int) -> None:
        """A part of a tile: as many squares of the largest size as fit, then what is left."""
        k, side = self.k, 1
        while 2 * side <= min(height, width, self.lanes):
            side *= 2
        tall, wide = height - height % side, width - width % side
        with k.loop(0, tall, side) as down, k.loop(0, wide, side) as right:
            self._square(k.add(i, down), k.add(j, right), side)
        if wide < width:
            self._tile(i, k.add(j, wide), tall, width - wide)
        if tall < height:
            self._tile(k.add(i, tall), j, height - tall, width)

    def _square(self, i: Value, j: Value, side: int) -> None:
        k = self.k
        source = k.at(self.source, k.add(i, k.mul(j, self.right)), self.dtype)
        result = k.at(self.result, k.add(j, k.mul(i, self.down)), self.dtype)
        rows = [
            k.load_vector(k.at(source, n * self.right, self.dtype), self.dtype, side)
            for n in range(side)
        ]
        for n, row in enumerate(_transposed(k, rows)):
            k.store(row, k.at(result, n * self.down, self.dtype))


def _transposed(k: Kernel, rows: list[Value]) -> list[Value]:
    """A square in registers, its corners exchanged at each size: single elements, pairs, fours."""
    side, size = len(rows), 1
    while size < side:
        keep = _mask([n + (side - size if n & size else 0) for n in range(side)])
        give = _mask([n + (side if n & size else size) for n in range(side)])
        for n in (n for n in range(side) if not n & size):
            upper, lower = rows[n], rows[n + size]
            rows[n] = k.builder.shuffle_vector(upper, lower, keep)
            rows[n + size] = k.builder.shuffle_vector(upper, lower, give)
        size *= 2
    return rows


def _mask(lanes: list[int]) -> Value:
    return ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
