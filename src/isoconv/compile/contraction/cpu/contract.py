"""Contractions whose lanes are filters: convolution, its gradient by input, linear layers.

    for n, group, position..., filter o:
        acc = +0.0
        for kernel position m, channel c:                    # the chain, in this order
            acc = fma(source[n, where(position, m), c], weight[m, c, o], acc)
        result[n, position, o] = epilogue(acc)

Schedule: a register tile holds T positions × V vectors of filters through the whole chain. Each
step loads V vectors of packed weights, broadcasts T scalars of the source, and does T·V FMAs. The
weights of a block of filters lie in the order of the chain, so one pointer walks through them.
Where the source lies flat in memory (1×1 kernels, linear layers) the positions of all images form
one long axis.

A team of threads shares pieces: a band of rows (or a chunk of positions) and a block of filters.
Each thread gets neighbouring ones, by blocks first where the weights are larger than an image of
the source: what is large is then read by one core alone, which also finds in its cache the rows
that it wrote a layer before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.cpu.chain import Chain, Heads
from isoconv.compile.contraction.cpu.partition import Partition
from isoconv.compile.contraction.cpu.result import Positions, unrolls, vector_of
from isoconv.compile.contraction.tiles import (
    Tile,
    chunk_size,
    equal_parts,
    runs,
    weights_pass_once,
)
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression, prefetch
from isoconv.graph.ir import DTYPES


@emits(ContractSpec)
def contraction(k: Kernel, spec: ContractSpec, tile: Tile) -> None:
    """A contraction over positions, in planes or flat."""
    Emission(k, spec, tile).run()


class Block(NamedTuple):
    """A block of filters.

    Attributes:
        vectors: of filters.
        filters: the first one.
        weights: the packed weights of these filters.
        group: which group they belong to.
        lane: lanes of all blocks before, which have as many packed weights each as a chain steps.
        vector: number of the first vector, counted through all blocks.
        number: of the block, counted through all groups.
        last: whether it is the last of its size.
        widths: lanes to store per vector: of every block of its size, or of all but the last and of
            the last.
    """

    vectors: int
    filters: Value
    weights: Value
    group: Value
    lane: Value
    vector: Value
    number: Value
    last: Value
    widths: list[list[int]]


class At(NamedTuple):
    """A tile: its size, and where it stands.

    Attributes:
        image: of its first position.
        place: the first position's coordinates; none when flat.
        rows, columns: of positions.
        block: of filters.
        first: column, where that is known when the kernel is made.
    """

    image: Value
    place: tuple[Value, ...]
    rows: int
    columns: int
    block: Block
    first: int = 0


class Emission:
    """Emits a contraction.

    Args:
        k: the kernel.
        spec: the contraction.
        tile: its register tile.
    """

    rows_are_images = False

    def __init__(self, k: Kernel, spec: ContractSpec, tile: Tile) -> None:
        self.k, self.spec, self.tile = k, spec, tile
        self.lanes = tile.lanes
        self.source = k.buffers[spec.source.buffer]
        self.weights = k.at(k.buffers[spec.weights], spec.offset, spec.dtype)
        self.stack = k.stack(spec.dtype, tile.rows * tile.columns * tile.vectors * tile.lanes)
        self.vectors = -(-spec.filters // tile.lanes)
        self.blocks = -(-self.vectors // tile.vectors)
        self.packed_size = spec.groups * spec.filters * spec.taps * spec.channels
        self.blocks_outermost = weights_pass_once(
            k.target, self.packed_size, spec.source.image, self.blocks, DTYPES[spec.dtype]
        )

    # The nest over results ----------------------------------------------------------------------

    def run(self) -> None:
        """Emit all of it."""
        if self.spec.flat:
            self._flat()
        else:
            self._planes()

    def _share(self, images: Value, bands: Value) -> Partition:
        """What a team shares: blocks first where the weights are the larger operand."""
        spec = self.spec
        first = self.packed_size > spec.source.image * max(1, spec.flat)
        return Partition(self.k, images, bands, spec.groups * self.vectors, blocks_first=first)

    def _blocks(self, body: Callable[[Block], None]) -> None:
        """``body(block)`` for each block of filters."""
        k, spec = self.k, self.spec
        with k.loop(0, spec.groups) as group:
            first = past = 0
            for size, count in runs(self.vectors, self.tile.vectors):
                width = size * self.lanes
                room = spec.filters - first - (count - 1) * width
                with k.loop(0, count) as block:
                    filters = k.add(k.mul(group, spec.filters), first, k.mul(block, width))
                    lane = k.add(
                        k.mul(group, self.vectors * self.lanes), first, k.mul(block, width)
                    )
                    packed = k.mul(lane, spec.taps * spec.channels)
                    last = k.builder.icmp_signed("==", block, k.const(count - 1))
                    number = k.add(k.mul(group, self.blocks), block, past)
                    vector = k.add(
                        k.mul(group, self.vectors), first // self.lanes, k.mul(block, size)
                    )
                    weights = k.at(self.weights, packed, spec.dtype)
                    widths = self._widths(size, count, room)
                    body(Block(size, filters, weights, group, lane, vector, number, last, widths))
                first += count * width
                past += count

    def _planes(self) -> None:
        """Images, blocks of filters, then tiles of each plane of positions."""
        k, spec = self.k, self.spec
        *outer, height, width = (*((1,) * (2 - len(spec.axes))), *(a.positions for a in spec.axes))
        bands = equal_parts(height, self.tile.rows)
        before = [sum(count for _, count, _ in bands[:i]) for i in range(len(bands) + 1)]
        mine = self._share(k.field("images"), k.const(before[-1])).mine

        def through(image: Value, block: Block) -> None:
            def plane(leading: tuple[Value, ...]) -> None:
                for (rows, row_count, first_row), past in zip(bands, before, strict=False):
                    with (
                        k.loop(0, row_count) as r,
                        mine(image, k.add(r, past), block.vector, block.vectors),
                    ):
                        row = k.add(k.mul(r, rows), first_row)
                        for columns, column_count, first_column in equal_parts(
                            width, self.tile.columns
                        ):
                            with k.loop(0, column_count) as c:
                                column = k.add(k.mul(c, columns), first_column)
                                place = (*leading, row, column)
                                self._tile(At(image, place, rows, columns, block))

            self._outer(outer, (), plane)

        def all_through(block: Block) -> None:
            with k.loop(0, k.field("images")) as image:
                through(image, block)

        if self.blocks_outermost:
            self._blocks(all_through)
            return
        with k.loop(0, k.field("images")) as image:
            self._blocks(partial(through, image))

    def _outer(
        self, sizes: list[int], done: tuple[Value, ...], body: Callable[[tuple[Value, ...]], None]
    ) -> None:
        if not sizes:
            body(done)
            return
        with self.k.loop(0, sizes[0]) as i:
            self._outer(sizes[1:], (*done, i), body)

    def _flat(self) -> None:
        """Chunks of positions; through each chunk all blocks of filters.

        What a team shares is single tiles: of one image there may be a chunk alone.
        """
        k, spec, b = self.k, self.spec, self.k.builder
        most = self.tile.columns
        total = b.mul(k.field("images"), k.const(spec.flat))
        chunk = chunk_size(spec.flat, most)
        tiles = b.sdiv(b.add(total, k.const(most - 1)), k.const(most))
        mine = self._share(k.const(1), tiles).mine

        with k.loop(0, total, chunk) as first:
            last = k.minimum(k.add(first, chunk), total)

            def through(block: Block) -> None:
                position = first
                columns = most
                while columns:
                    room = b.sub(last, position)
                    stop = b.sub(last, b.srem(room, k.const(columns)))
                    with k.loop(position, stop, columns) as p:
                        band = b.sdiv(p, k.const(most))
                        with mine(k.const(0), band, block.vector, block.vectors):
                            self._tile(At(p, (), 1, columns, block))
                    position = stop
                    columns //= 2

            self._blocks(through)

    # One tile -----------------------------------------------------------------------------------

    def _tile(self, at: At) -> None:
        """Accumulate and finish a tile; the last block may have fewer filters."""
        zero = self.k.splat_const(0.0, self.spec.dtype, self.lanes)
        acc = [self.k.variable(zero) for _ in range(at.rows * at.columns * at.block.vectors)]
        self._fetch(at)
        if self.spec.taps:
            self._chains(acc, at)
        self._spill(acc)
        if len(at.block.widths) == 1:
            self._finish(at, at.block.widths[0])
            return
        every, of_last = at.block.widths
        with self.k.builder.if_else(at.block.last) as (last, others):
            with last:
                self._finish(at, of_last)
            with others:
                self._finish(at, every)

    def _chains(self, acc: list[Variable], at: At) -> None:
        """All kernel positions and channels of a tile."""
        spec = self.spec
        base = self._source_base(at)
        ahead, size = self._ahead(base, at)
        taps = [
            (axis.taps, axis.in_tap * stride)
            for axis, stride in zip(spec.axes, spec.source.strides[:-1], strict=True)
        ]
        chain = Chain(
            self.k, spec.dtype, taps, spec.channels, self._offsets(at), at.block.vectors,
            self.lanes, size,
        )  # fmt: skip
        chain.run(Heads(base, at.block.weights, ahead), acc)

    def _offsets(self, at: At) -> list[int]:
        """Elements of the source from the tile's first position to each of its positions."""
        return [
            self._source_shift(row, column)
            for row in range(at.rows)
            for column in range(at.columns)
        ]

    def _widths(self, vectors: int, count: int, room: int) -> list[list[int]]:
        """`Block.widths` of so many blocks, the last of which has room for so many lanes."""
        full = [self.lanes] * vectors
        last = [max(0, min(self.lanes, room - v * self.lanes)) for v in range(vectors)]
        if last == full:
            return [full]
        return [last] if count == 1 else [full, last]

    def _source_shift(self, row: int, column: int) -> int:
        """Elements from the tile's first position to another one."""
        spec = self.spec
        if spec.flat:
            return column * spec.source.image
        steps = [axis.in_step for axis in spec.axes]
        shift = 0
        for offset, axis in ((row, -2), (column, -1)):
            if offset:
                shift += offset * steps[axis] * spec.source.strides[axis - 1]
        return shift

    def _source_base(self, at: At) -> Value:
        """Address of what the tile's first position reads at tap 0, channel 0 of the group."""
        k, spec = self.k, self.spec
        terms: list[Value | int] = [spec.source.offset, k.mul(at.image, spec.source.image)]
        terms.append(k.mul(at.block.group, spec.channels))
        coordinates = at.place[len(at.place) - len(spec.axes) :]
        for axis, coordinate, stride in zip(
            spec.axes, coordinates, spec.source.strides[:-1], strict=True
        ):
            terms.append(axis.in_first * stride)
            terms.append(k.mul(coordinate, axis.in_step * stride))
        return k.at(self.source, k.add(*terms), spec.dtype)

    def _ahead(self, base: Value, at: At) -> tuple[Value | None, int]:
        """What a later tile will be the first to read, and how many bytes; None if it is near.

        In a plane that is the last kernel row of the tile below; of a flat source, the same part of
        the next chunk, which is asked for while the last block of filters passes.
        """
        k, spec = self.k, self.spec
        size = DTYPES[spec.dtype]
        if spec.flat:
            shift = k.const(chunk_size(spec.flat, self.tile.columns) * spec.source.image)
            last = k.builder.icmp_signed(
                "==", at.block.number, k.const(spec.groups * self.blocks - 1)
            )
            base = k.at(base, k.builder.select(last, shift, k.const(0)), spec.dtype)
            return base, at.columns * spec.source.image * size
        near = spec.source.image * size <= k.target.core.near and not self.blocks_outermost
        if near or spec.groups > 1 or len(spec.axes) < 2:
            return None, 0
        (height, width), (down, across) = spec.axes[-2:], spec.source.strides[-3:-1]
        below = at.rows * height.in_step + max(0, (height.taps - 1) * height.in_tap)
        return k.at(base, below * down, spec.dtype), at.columns * width.in_step * across * size

    # The result ---------------------------------------------------------------------------------

    def _spill(self, acc: list[Variable]) -> None:
        """Accumulators go to the stack, so that the epilogue can be a loop and its code small.

        Where the epilogue is unrolled LLVM keeps them in registers after all.
        """
        for number, variable in enumerate(acc):
            place = self.k.at(self.stack, number * self.lanes, self.spec.dtype)
            self.k.store(variable.get(), place)

    def _finish(self, at: At, widths: list[int]) -> None:
        """Epilogue and stores of a spilled tile."""
        k, spec = self.k, self.spec
        for position, index in self._places(at):
            for v, width in enumerate(widths):
                if not width:
                    continue
                number = k.add(k.mul(position, len(widths) * self.lanes), v * self.lanes)
                root = k.load_vector(k.at(self.stack, number, spec.dtype), spec.dtype, width)
                here = vector_of(index, v, width)
                emit_expression(k, spec.domain, spec.epilogue, here, [root])

    def _places(self, at: At) -> Iterator[tuple[Value, Index]]:
        """Number of each position of a tile, and its place in the result."""
        spec = self.spec
        axes = tuple((axis.out_first, axis.out_step) for axis in spec.axes)
        short = unrolls(spec.taps * spec.channels, spec.epilogue)
        positions = Positions(
            self.k, bool(spec.flat), axes, at.rows, at.columns, self.lanes, short,
            self.rows_are_images,
        )  # fmt: skip
        return positions.each(at.image, at.place, at.block.filters)

    def _fetch(self, at: At) -> None:
        """Ask for what the epilogue will read and write, so that it arrives while the chain runs.

        The hardware expects no access far from the last ones, and would wait for each line.
        """
        k, spec = self.k, self.spec
        places = [*spec.epilogue.operands, *(place for _, place in spec.epilogue.stores)]
        wanted = [place for place in places if not place.nontemporal]
        for _, index in self._places(at):
            for v in range(at.block.vectors):
                prefetch(k, wanted, vector_of(index, v, self.lanes))
