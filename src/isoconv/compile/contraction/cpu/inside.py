"""Contractions that leave out the products with padding, and keep every bit of what they give.

One addition for each kernel position stands for its products with padding (see ``padding``); what
is added lies behind the packed weights.

Of a 3×3 kernel that meets a plane of 7×7 this saves 18% of the products, of 2×2 more than half.
Each tile of a row has code of its own, so that which of its columns meet padding is known when the
kernel is made; a tile's rows are the same row of several images, so that one branch leaves out a
kernel row of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.cpu.chain import Chain, Heads
from isoconv.compile.contraction.cpu.contract import At, Block, Emission
from isoconv.compile.contraction.cpu.padding import meets_source
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.padding import met
from isoconv.compile.contraction.tiles import Tile, each_part
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable


@emits(InsideContractSpec)
def inside_contraction(k: Kernel, spec: InsideContractSpec, tile: Tile) -> None:
    """A contraction over planes, without the products with padding."""
    _InsideEmission(k, spec, tile).run()


class _Place(NamedTuple):
    """Where the chains of a tile stand: in the source, the packed weights and the zeros."""

    source: Value
    weights: Value
    zeros: Value


class _Row(NamedTuple):
    """A tile: one row of a plane in several images.

    Attributes:
        acc: an accumulator for each image, column and vector.
        at: where it stands.
        offsets: elements of the source from the first position, of each image and column.
    """

    acc: list[Variable]
    at: At
    offsets: list[int]


class _InsideEmission(Emission):
    rows_are_images = True

    def __init__(self, k: Kernel, spec: InsideContractSpec, tile: Tile) -> None:
        super().__init__(k, spec, tile)
        self._sides = spec.sides
        self._zeros = k.at(k.buffers[spec.weights], spec.zeros, spec.dtype)

    def run(self) -> None:
        """Groups of images and blocks of filters; through each, all rows of the plane."""
        k, b = self.k, self.k.builder
        most = self.tile.rows
        *outer, height, width = (axis.positions for axis in self.spec.axes)
        parts = each_part(width, self.tile.columns)
        images = k.field("images")
        groups = b.sdiv(images, k.const(most))
        grouped = b.mul(groups, k.const(most))
        units = b.add(groups, b.sub(images, grouped))
        mine = self._share(units, k.const(height)).mine

        def rows(unit: Value, image: Value, count: int, block: Block) -> None:
            def plane(leading: tuple[Value, ...]) -> None:
                with k.loop(0, height) as y, mine(unit, y, block.vector, block.vectors):
                    for columns, first in parts:
                        place = (*leading, y, k.const(first))
                        self._tile(At(image, place, count, columns, block, first))

            self._outer(outer, (), plane)

        def each(body: Callable[[Value, Value, int], None]) -> None:
            """Groups of images, then one by one those that fill none."""
            with k.loop(0, groups) as group:
                body(group, k.mul(group, most), most)
            if most > 1:
                with k.loop(grouped, images) as image:
                    body(b.add(groups, b.sub(image, grouped)), image, 1)

        def all_rows(block: Block) -> None:
            each(lambda unit, image, count: rows(unit, image, count, block))

        if self.blocks_outermost:
            self._blocks(all_rows)
        else:
            each(lambda *group: self._blocks(partial(rows, *group)))

    def _source_shift(self, row: int, column: int) -> int:
        """Elements from the tile's first position to another one, in another image."""
        axis, source = self.spec.axes[-1], self.spec.source
        return row * source.image + column * axis.in_step * source.strides[-2]

    def _chains(self, acc: list[Variable], at: At) -> None:
        """All kernel positions and channels of a tile."""
        zeros = self.k.at(self._zeros, self.k.mul(at.block.lane, self.spec.taps), self.spec.dtype)
        row = _Row(acc, at, self._offsets(at))
        self._taps(row, _Place(self._source_base(at), at.block.weights, zeros), [])

    def _taps(self, row: _Row, here: _Place, inside: list[Value]) -> None:
        """Loops over the kernel positions of all axes but the last."""
        k, b, spec = self.k, self.k.builder, self.spec
        done = len(inside)
        if done == len(spec.axes) - 1:
            with b.if_else(reduce(b.and_, inside)) as (on_plane, beside):
                with on_plane:
                    self._kernel_row(row, here, on_plane=True)
                with beside:
                    self._kernel_row(row, here, on_plane=False)
            return
        axis = spec.axes[done]
        with k.loop(0, axis.taps) as tap:
            meets = meets_source(k, axis, row.at.place[done], tap, self._sides[done])
            self._taps(row, self._moved(row, here, done, tap), [*inside, meets])

    def _moved(self, row: _Row, here: _Place, number: int, tap: Value | int) -> _Place:
        """At a kernel position along one of the axes."""
        k, spec = self.k, self.spec
        step = spec.axes[number].in_tap * spec.source.strides[number]
        taps = prod(axis.taps for axis in spec.axes[number + 1 :])
        vectors = row.at.block.vectors * self.lanes
        return _Place(
            k.at(here.source, k.mul(tap, step), spec.dtype),
            k.at(here.weights, k.mul(tap, taps * spec.channels * vectors), spec.dtype),
            k.at(here.zeros, k.mul(tap, taps * vectors), spec.dtype),
        )

    def _kernel_row(self, row: _Row, here: _Place, *, on_plane: bool) -> None:
        """The last axis' kernel positions: each with the columns at which it meets the plane."""
        k, spec, vectors = self.k, self.spec, row.at.block.vectors
        last = len(spec.axes) - 1
        for tap in range(spec.axes[last].taps):
            there = self._moved(row, here, last, tap)
            met_here = met(spec.axes[last], tap, self._sides[last]) if on_plane else []
            columns = [column - row.at.first for column in met_here]
            chosen = [p for p in range(len(row.offsets)) if p % row.at.columns in columns]
            beside = [p for p in range(len(row.offsets)) if p % row.at.columns not in columns]
            if beside:
                for v in range(vectors):
                    place = k.at(there.zeros, v * self.lanes, spec.dtype)
                    zeros = k.load_vector(place, spec.dtype, self.lanes, aligned=True)
                    for position in beside:
                        acc = row.acc[position * vectors + v]
                        acc.set(k.builder.fadd(acc.get(), zeros))
            if chosen:
                offsets = [row.offsets[p] for p in chosen]
                chain = Chain(k, spec.dtype, [], spec.channels, offsets, vectors, self.lanes, 0)
                heads = Heads(there.source, there.weights, None)
                chain.run(heads, [row.acc[p * vectors + v] for p in chosen for v in range(vectors)])
