"""Winograd's convolution chunk by chunk: maps and contractions on planes that stay in the cache.

    for each chunk of rows of tiles:
        map them into planes; contract each plane; map the result's planes into the feature map

The planes of a chunk lie in the thread's scratch memory. A whole shard's have four times the size
of its feature maps, and each would go through memory four times.

The gradient by the input has overlapping patches: a row of 2×2 blocks takes from two rows of
tiles. The last row of a chunk's planes is then moved to the front, for the chunk behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import over_channels
from isoconv.compile.winograd.components import PlanesSpec
from isoconv.compile.winograd.maps import WinogradMapSpec, WinogradPlanesSpec

__all__ = ["WinogradConvSpec", "WinogradConvWeightSpec"]


@dataclass(frozen=True, slots=True)
class WinogradConvSpec:
    """A convolution or its gradient by the input, from feature map to feature map.

    Attributes:
        maps: the source into planes.
        product: the contractions.
        result: their planes into the result, with pointwise work behind it.
        rows: of blocks in a chunk.
        buffers: number of pointers.
    """

    maps: WinogradPlanesSpec
    product: PlanesSpec
    result: WinogradMapSpec
    rows: int
    buffers: int

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        total = k.builder.mul(k.slot("images"), k.const(self.result.blocks))
        begin, end = k.share(total)
        with k.changing():
            if self.result.kind == "output":
                self._apart(k, begin, end)
            else:
                self._overlapping(k, begin, end)

    def _apart(self, k: Kernel, begin: Value, end: Value) -> None:
        """Each row of blocks is made from one row of tiles."""
        with k.loop(begin, end, self.rows) as first:
            last = k.minimum(k.add(first, self.rows), end)
            self._make(k, first, last)
            self.result.rows(k, first, last, first)

    def _make(self, k: Kernel, first: Value, last: Value) -> None:
        """The planes of some rows of tiles and their contractions."""
        self.maps.rows(k, first, last, first)
        self.product.alone(k, k.builder.mul(k.builder.sub(last, first), self._columns(k)))

    def _columns(self, k: Kernel) -> Value:
        return k.const(self.maps.tiles[1])

    def _overlapping(self, k: Kernel, begin: Value, end: Value) -> None:
        """A row of blocks takes from the row of tiles of its number and from the one before."""
        b, made = k.builder, self.result.planes.buffer
        # The planes hold the rows of tiles from the one up to the other.
        held, done = k.variable(k.const(0)), k.variable(k.const(0))
        with k.loop(begin, end, self.rows) as first:
            last = k.minimum(k.add(first, self.rows), end)
            start = self._tile_row(k, first, -1)
            stop = k.add(self._tile_row(k, b.sub(last, k.const(1)), 0), 1)
            behind = b.icmp_signed(">", done.get(), start)
            with k.when(behind):
                self._move(k, b.sub(start, held.get()))
            fresh = b.select(behind, done.get(), start)
            planes = k.buffers[made]
            k.buffers[made] = self._row(k, b.sub(fresh, start))
            self._make(k, fresh, stop)
            k.buffers[made] = planes
            self.result.rows(k, first, last, start)
            held.set(start)
            done.set(stop)

    def _tile_row(self, k: Kernel, block_row: Value, shift: int) -> Value:
        """The row of tiles with the number of a row of blocks, or the nearest in its image."""
        b, rows = k.builder, self.maps.tiles[0]
        image, i = (f(block_row, k.const(self.result.blocks)) for f in (b.sdiv, b.srem))
        near = k.maximum(k.add(i, shift), k.const(0))
        return k.add(k.mul(image, rows), k.minimum(near, k.const(rows - 1)))

    def _row(self, k: Kernel, row: Value) -> Value:
        """Address of a row of the contractions' result."""
        step = self.result.planes.strides[1]
        return k.at(k.buffers[self.result.planes.buffer], k.mul(row, step), self.result.dtype)

    def _move(self, k: Kernel, row: Value) -> None:
        """A row of the contractions' result, of every plane, becomes the first one."""
        plane, elements = self.result.planes.strides[:2]
        dtype, lanes = self.result.dtype, k.target.lanes(self.result.dtype)
        source, to = self._row(k, row), k.buffers[self.result.planes.buffer]
        with k.loop(0, self.product.count) as number:
            shift = k.mul(number, plane)
            here, there = k.at(source, shift, dtype), k.at(to, shift, dtype)

            def block(place: Value, widths: tuple[int, ...]) -> None:
                value = k.load_vector(k.at(here, place, dtype), dtype, widths[0])
                k.store(value, k.at(there, place, dtype))

            over_channels(k, elements, lanes, 1, block)


@dataclass(frozen=True, slots=True)
class WinogradConvWeightSpec:
    """The gradient by the transformed kernel, from two feature maps.

    Attributes:
        source: the convolution's input into planes.
        gradient: the gradient of its output into planes.
        product: the contractions.
        rows: of tiles in a chunk.
        buffers: number of pointers.
    """

    source: WinogradPlanesSpec
    gradient: WinogradPlanesSpec
    product: PlanesSpec
    rows: int
    buffers: int

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body: a team shares the planes, and each part maps into its own."""
        b = k.builder
        rows, columns = self.source.tiles
        end = b.mul(k.slot("images"), k.const(rows))
        with k.changing(), k.loop(k.const(0), end, self.rows) as first:
            last = k.minimum(k.add(first, self.rows), end)
            for maps in (self.source, self.gradient):
                maps.rows(k, first, last, first, self.product.mine(k))
            positions = b.mul(b.sub(last, first), k.const(columns))
            self.product.onto(k, positions, b.icmp_signed("==", first, k.const(0)))
