"""Winograd's convolution chunk by chunk: maps and contractions on components that stay in cache.

    for each chunk of rows of tiles:
        map them into components; contract each; map the result's components into the feature map

The components of a chunk lie in the thread's scratch memory. A whole shard's have four times the
size of its feature maps, and each would go through memory four times.

The gradient by the input has overlapping patches: a row of 2×2 blocks takes from two rows of
tiles. The last row of a chunk's components is then moved to the front, for the chunk behind it.
"""

from __future__ import annotations

from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.contraction.weight_gradient import WeightSchedule
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import over_channels
from isoconv.compile.winograd.chunks import Chunks, WinogradConvSpec, WinogradConvWeightSpec
from isoconv.compile.winograd.cpu.components import (
    add_components,
    contract_components,
    own_components,
)
from isoconv.compile.winograd.cpu.maps import components_of_rows, map_of_rows


@emits(WinogradConvSpec)
def convolution(k: Kernel, spec: WinogradConvSpec, chunks: Chunks[Tile]) -> None:
    """A convolution or its gradient by the input; a team shares the rows of blocks."""
    total = k.builder.mul(k.field("images"), k.const(spec.result.blocks))
    begin, end = k.share(total)
    convolve = _Convolution(k, spec, chunks)
    with k.changing():
        if spec.result.kind == "output":
            convolve.apart(begin, end)
        else:
            convolve.overlapping(begin, end)


class _Convolution:
    """Emits the chunks of a convolution.

    Args:
        k: the kernel.
        spec: the convolution.
        chunks: its schedule.
    """

    def __init__(self, k: Kernel, spec: WinogradConvSpec, chunks: Chunks[Tile]) -> None:
        self.k, self.spec, self.chunks = k, spec, chunks
        self.made = spec.result.components

    def apart(self, begin: Value, end: Value) -> None:
        """Each row of blocks is made from one row of tiles."""
        k, rows = self.k, self.chunks.rows
        with k.loop(begin, end, rows) as first:
            last = k.minimum(k.add(first, rows), end)
            self._make(first, last)
            map_of_rows(k, self.spec.result, first, last, first)

    def _make(self, first: Value, last: Value) -> None:
        """The components of some rows of tiles and their contractions."""
        k, spec = self.k, self.spec
        components_of_rows(k, spec.maps, first, last, first)
        positions = k.builder.mul(k.builder.sub(last, first), k.const(spec.maps.tiles[1]))
        contract_components(k, spec.product, self.chunks.product, positions)

    def overlapping(self, begin: Value, end: Value) -> None:
        """A row of blocks takes from the row of tiles of its number and from the one before."""
        k, b, made = self.k, self.k.builder, self.made.buffer
        # The components hold the rows of tiles from the one up to the other.
        held, done = k.variable(k.const(0)), k.variable(k.const(0))
        with k.loop(begin, end, self.chunks.rows) as first:
            last = k.minimum(k.add(first, self.chunks.rows), end)
            start = self._tile_row(first, -1)
            stop = k.add(self._tile_row(b.sub(last, k.const(1)), 0), 1)
            behind = b.icmp_signed(">", done.get(), start)
            with k.when(behind):
                self._move(b.sub(start, held.get()))
            new = b.select(behind, done.get(), start)
            components = k.buffers[made]
            k.buffers[made] = self._row(b.sub(new, start))
            self._make(new, stop)
            k.buffers[made] = components
            map_of_rows(k, self.spec.result, first, last, start)
            held.set(start)
            done.set(stop)

    def _tile_row(self, block_row: Value, shift: int) -> Value:
        """The row of tiles with the number of a row of blocks, or the nearest in its image."""
        k, b, rows = self.k, self.k.builder, self.spec.maps.tiles[0]
        image, i = (f(block_row, k.const(self.spec.result.blocks)) for f in (b.sdiv, b.srem))
        near = k.maximum(k.add(i, shift), k.const(0))
        return k.add(k.mul(image, rows), k.minimum(near, k.const(rows - 1)))

    def _row(self, row: Value) -> Value:
        """Address of a row of the contractions' result."""
        k, made = self.k, self.made
        return k.at(k.buffers[made.buffer], k.mul(row, made.strides[1]), made.dtype)

    def _move(self, row: Value) -> None:
        """A row of the contractions' result, of every component, becomes the first one."""
        k = self.k
        component, elements = self.made.strides[:2]
        dtype, lanes = self.made.dtype, k.target.lanes(self.made.dtype)
        source, to = self._row(row), k.buffers[self.made.buffer]
        with k.loop(0, self.spec.product.count) as number:
            shift = k.mul(number, component)
            here, there = k.at(source, shift, dtype), k.at(to, shift, dtype)

            def block(place: Value, widths: tuple[int, ...]) -> None:
                value = k.load_vector(k.at(here, place, dtype), dtype, widths[0])
                k.store(value, k.at(there, place, dtype))

            over_channels(k, elements, lanes, 1, block)


@emits(WinogradConvWeightSpec)
def convolution_by_weight(
    k: Kernel, spec: WinogradConvWeightSpec, chunks: Chunks[WeightSchedule]
) -> None:
    """A team shares the components, and each part maps into its own."""
    b = k.builder
    rows, columns = spec.source.tiles
    end = b.mul(k.field("images"), k.const(rows))
    with k.changing(), k.loop(k.const(0), end, chunks.rows) as first:
        last = k.minimum(k.add(first, chunks.rows), end)
        for maps in (spec.source, spec.gradient):
            components_of_rows(k, maps, first, last, first, own_components(k, spec.product))
        positions = b.mul(b.sub(last, first), k.const(columns))
        is_first = b.icmp_signed("==", first, k.const(0))
        add_components(k, spec.product, chunks.product, positions, is_first)
