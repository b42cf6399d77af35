"""Contractions over images and positions: the gradient by the kernel.

    for kernel position m, channel c, filter o:
        acc = +0.0
        for n, position:                                     # the chain, in this order
            acc = fma(source[n, where(position, m), c], gradient[n, position, o], acc)
        result[m, c, o] = acc

Rows of positions whose source is padding may be left out: one addition to an accumulator does what
all of a row's products with padding do (see ``padding``), the same for all kernel elements
of a tile.

Schedule: a register tile holds T neighbouring (m, c) × V vectors of filters. The source and the
gradient of a few images (or a few rows of a large one) pass through all tiles while they lie in
cache; between such blocks a tile's accumulators are parked in the result. A team of threads
shares the tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod

from isoconv.compile.contract import Axis
from isoconv.compile.expression import Operand
from isoconv.compile.loops import Kernel, Value, Variable
from isoconv.compile.padding import meet_padding, meets_source, no_products
from isoconv.compile.schedule import NEAR, Tile, equal_parts, runs
from isoconv.graph.ir import DTYPES

__all__ = ["SPELLED", "ContractWeightSpec"]

SPELLED = 64  # kernel elements per filter up to which every tile's offsets are written out

Elements = tuple[Value, Value, list[int], tuple[Value, ...]]
"""A tile of kernel elements: the source's shift, the first element, the offsets of each, and the
kernel positions along those axes, from the first on, along which the tile has one."""
_Step = Callable[[Value, Value], None]
"""What is done at a position, given where its source and its gradient lie."""
_Beside = Callable[[int, Value], None]
"""What is done where all further axes, from a number on, meet padding, given the gradient."""
Widths = tuple[list[int], list[int], Value]
"""Lanes to store per vector: of a block of filters, of the last one; whether this is the last."""


@dataclass(frozen=True, slots=True)
class ContractWeightSpec:
    """A kernel for the gradient by weights.

    Attributes:
        dtype: float32 or float64.
        axes: spatial axes; ``positions`` are those of the gradient, taps those of the kernel.
        groups: independent groups.
        channels: input channels per group.
        filters: output channels per group.
        source: the input; strides per spatial axis, then the channel's.
        gradient: the gradient of the output, likewise.
        result: buffer of the result, shape (kernel..., channels, groups * filters).
        offset: element of that buffer where the result begins.
        buffers: number of pointers.
        tile: ``columns`` kernel elements × ``vectors`` × ``lanes``.
        images: images of a block.
        rows: rows (along the first axis) of a block.
        ahead: elements of the source from a block to the next one, which is asked for while this
            one is worked on; 0 for not to ask.
        sides: spatial sizes of the source without its padding, if rows of padding are to be left
            out.
    """

    dtype: str
    axes: tuple[Axis, ...]
    groups: int
    channels: int
    filters: int
    source: Operand
    gradient: Operand
    result: int
    offset: int
    buffers: int
    tile: Tile
    images: int
    rows: int
    ahead: int
    sides: tuple[int, ...] = ()

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        self.onto(k, None)

    def onto(self, k: Kernel, fresh: Value | None) -> None:
        """Emit a sum that is added to the result unless it is fresh; None: it always is."""
        _Emission(k, self, fresh).run()


class _Emission:
    def __init__(self, k: Kernel, spec: ContractWeightSpec, fresh: Value | None) -> None:
        self.k, self.spec, self.begun = k, spec, fresh
        self.lanes = spec.tile.lanes
        self.outputs = spec.groups * spec.filters
        self.part, self.parts = k.slot("part"), k.slot("parts")
        self.result = k.at(k.buffers[spec.result], spec.offset, spec.dtype)
        self.source = k.at(k.buffers[spec.source.buffer], spec.source.offset, spec.dtype)
        self.gradient = k.at(k.buffers[spec.gradient.buffer], spec.gradient.offset, spec.dtype)
        positions = spec.images * spec.rows * prod(axis.positions for axis in spec.axes[1:])
        self.gradient_is_far = positions * self.outputs * DTYPES[spec.dtype] > NEAR

    def run(self) -> None:
        """Let every block of images and rows pass through all tiles."""
        k, spec = self.k, self.spec
        images = k.slot("images")
        rows = spec.axes[0].positions if spec.axes else 1
        with k.loop(0, images, spec.images) as first_image:
            last_image = k.minimum(k.add(first_image, spec.images), images)
            with k.loop(0, rows, spec.rows) as first_row:
                last_row = (
                    k.const(rows)
                    if spec.rows >= rows
                    else k.minimum(k.add(first_row, spec.rows), k.const(rows))
                )
                self.block = (first_image, last_image, first_row, last_row)
                self.fresh = k.builder.icmp_signed(
                    "==", k.builder.or_(first_image, first_row), k.const(0)
                )
                if self.begun is not None:
                    self.fresh = k.builder.and_(self.begun, self.fresh)
                with k.loop(0, spec.groups) as group:
                    self.group = group
                    self._tiles()

    # Which kernel elements form tiles -----------------------------------------------------------

    def _tiles(self) -> None:
        """Kernel elements, and for each tile of them the blocks of filters."""

        def elements(tile: Value, place: Elements) -> None:
            def filters(number: Value, first: Value, widths: Widths) -> None:
                self._tile(self.k.add(number, tile), place, first, widths)

            self._filters(filters)

        self._elements(elements)

    def _elements(self, body: Callable[[Value, Elements], None]) -> None:
        """For each tile of kernel elements: body(number, tile)."""
        k, spec = self.k, self.spec
        shifts = [axis.in_tap * s for axis, s in zip(spec.axes, self._strides(), strict=True)]
        taps = [axis.taps for axis in spec.axes]
        elements = prod(taps) * spec.channels
        if elements <= SPELLED:
            offsets = [
                sum(t * s for t, s in zip(where, shifts, strict=True)) + c
                for where in product(*(range(t) for t in taps))
                for c in range(spec.channels)
            ]
            for size, count, first in equal_parts(elements, spec.tile.columns):
                for i in range(count):
                    start = first + i * size
                    here = (k.const(0), k.const(start), offsets[start : start + size], ())
                    body(k.const(start // size), here)
            return
        run, outer = spec.channels, list(zip(taps, shifts, strict=True))
        if outer and spec.groups == 1 and outer[-1][1] == spec.channels:
            # The last kernel axis and the channels lie behind each other in the source.
            run *= outer.pop()[0]
        self._outer(body, outer, run, (k.const(0),) * 3, ())

    def _strides(self) -> tuple[int, ...]:
        return self.spec.source.strides[:-1]

    def _outer(
        self,
        body: Callable[[Value, Elements], None],
        outer: list[tuple[int, int]],
        run: int,
        begin: tuple[Value, Value, Value],
        where: tuple[Value, ...],
    ) -> None:
        """Loops over the outer kernel axes, then tiles of the run.

        `begin` holds the source's shift, the first element, and how many tiles came before; `where`
        the positions along the axes so far.
        """
        k = self.k
        shift, element, number = begin
        parts = equal_parts(run, self.spec.tile.columns)
        if outer:
            (taps, step), rest = outer[0], outer[1:]
            inner = prod(t for t, _ in rest)
            tiles = sum(count for _, count, _ in parts)
            with k.loop(0, taps) as tap:
                following = (
                    k.add(shift, k.mul(tap, step)),
                    k.add(element, k.mul(tap, inner * run)),
                    k.add(number, k.mul(tap, inner * tiles)),
                )
                self._outer(body, rest, run, following, (*where, tap))
            return
        before = 0
        for size, count, first in parts:
            with k.loop(0, count) as i:
                start = k.add(k.mul(i, size), first)
                here = (k.add(shift, start), k.add(element, start), list(range(size)), where)
                body(k.add(number, before, i), here)
            before += count

    # Blocks of filters --------------------------------------------------------------------------

    def _filters(self, body: Callable[[Value, Value, Widths], None]) -> None:
        """For each block of filters: body(number, first filter, lanes per vector).

        Of the last block perhaps only some lanes are wanted; it is then emitted by itself.
        """
        k, spec = self.k, self.spec
        total, first = 0, 0
        for vectors, count in runs(-(-spec.filters // self.lanes), spec.tile.vectors):
            width = vectors * self.lanes
            room = spec.filters - first - (count - 1) * width
            full = [self.lanes] * vectors
            last = [max(0, min(self.lanes, room - v * self.lanes)) for v in range(vectors)]
            with k.loop(0, count) as block:
                final = k.builder.icmp_signed("==", block, k.const(count - 1))
                filters = k.add(first, k.mul(block, width))
                body(k.add(total, block), filters, (full, last, final))
            total += count
            first += width * count

    def _tile(
        self,
        number: Value,
        place: Elements,
        filters: Value,
        widths: Widths,
    ) -> None:
        """One tile of elements and filters, if it falls to this part of the team."""
        k, b = self.k, self.k.builder
        full, last, final = widths
        turn = b.srem(number, self.parts)
        with k.when(b.icmp_signed("==", turn, self.part)):
            if full == last:
                self._block(place, filters, full)
                return
            with b.if_else(final) as (then, otherwise):
                with then:
                    self._block(place, filters, last)
                with otherwise:
                    self._block(place, filters, full)

    def _block(self, place: Elements, filters: Value, widths: list[int]) -> None:
        """Take up the accumulators, go through the block's positions, park them."""
        k, spec = self.k, self.spec
        shift, element, offsets, taps = place
        column = self._column(filters)
        corner = k.at(self.result, k.add(k.mul(element, self.outputs), column), spec.dtype)
        across = range(0, len(widths) * self.lanes, self.lanes)
        places = [
            (k.at(corner, t * self.outputs + lane, spec.dtype), width)
            for t in range(len(offsets))
            for lane, width in zip(across, widths, strict=True)
        ]
        acc = [k.variable(self._taken_up(place, width)) for place, width in places]
        # The next block of filters will be wanted when this chain is done.
        ahead = len(widths) * self.lanes
        for where, _ in places:
            k.prefetch(k.at(where, ahead, spec.dtype))

        def step(x: Value, g: Value) -> None:
            self._step(x, g, offsets, len(widths), acc)

        def beside(depth: int, g: Value) -> None:
            self._meet_padding(depth, g, len(widths), acc)

        self._over_positions(shift, column, taps, step, beside)
        for (where, width), variable in zip(places, acc, strict=True):
            if width:
                k.store(k.narrow(variable.get(), width), where)

    def _column(self, filters: Value) -> Value:
        """A filter's number among those of all groups."""
        return self.k.add(self.k.mul(self.group, self.spec.filters), filters)

    def _taken_up(self, place: Value, width: int) -> Value:
        """A parked accumulator, +0.0 at first; lanes beyond the last filter do not matter."""
        k, spec = self.k, self.spec
        if width == 0:
            return k.splat_const(0.0, spec.dtype, self.lanes)
        parked = k.load_vector(place, spec.dtype, width)
        value = k.builder.select(self.fresh, k.splat_const(0.0, spec.dtype, width), parked)
        return k.widen(value, self.lanes)

    # The chain ----------------------------------------------------------------------------------

    def _over_positions(
        self, shift: Value, column: Value, taps: tuple[Value, ...], step: _Step, beside: _Beside
    ) -> None:
        """Images and positions of the present block."""
        k, spec = self.k, self.spec
        first_image, last_image, first_row, last_row = self.block
        start = k.add(shift, k.mul(self.group, spec.channels))
        for axis, stride in zip(spec.axes, self._strides(), strict=True):
            start = k.add(start, axis.in_first * stride)
        # Along the last axis one position alone would be left out: what it costs, it saves.
        rows = taps[: len(spec.axes) - 1] if spec.sides else ()
        with k.loop(first_image, last_image) as image:
            x = k.at(self.source, k.add(start, k.mul(image, spec.source.image)), spec.dtype)
            g = k.at(self.gradient, k.add(column, k.mul(image, spec.gradient.image)), spec.dtype)
            self._positions(0, (first_row, last_row), x, g, rows, step, beside)

    def _positions(
        self,
        depth: int,
        bounds: tuple[Value | int, Value | int],
        x: Value,
        g: Value,
        rows: tuple[Value, ...],
        step: _Step,
        beside: _Beside,
    ) -> None:
        """Loops over the axes from `depth` on; `rows` are kernel positions along the first axes."""
        k, b, spec = self.k, self.k.builder, self.spec
        if depth == len(spec.axes):
            step(x, g)
            return
        axis = spec.axes[depth]
        with k.loop(*bounds) as p:
            source = k.at(x, k.mul(p, axis.in_step * spec.source.strides[depth]), spec.dtype)
            gradient = k.at(g, k.mul(p, spec.gradient.strides[depth]), spec.dtype)
            inner = (depth + 1, self._bounds(depth + 1), source, gradient, rows, step, beside)
            if depth >= len(rows):
                self._positions(*inner)
                return
            meets = meets_source(k, axis, p, rows[depth], spec.sides[depth])
            with b.if_else(meets) as (on_plane, off):
                with on_plane:
                    self._positions(*inner)
                with off:
                    beside(depth + 1, gradient)

    def _bounds(self, depth: int) -> tuple[int, int]:
        axes = self.spec.axes
        return 0, axes[depth].positions if depth < len(axes) else 0

    def _meet_padding(self, depth: int, g: Value, vectors: int, acc: list[Variable]) -> None:
        """What the products of padding with all positions from `g` on do to the accumulators."""
        k, dtype = self.k, self.spec.dtype
        zeros = [no_products(k, dtype, self.lanes) for _ in range(vectors)]

        def step(_: Value, g: Value) -> None:
            for v, variable in enumerate(zeros):
                there = k.at(g, v * self.lanes, dtype)
                loaded = k.load_vector(there, dtype, self.lanes, invariant=True)
                meet_padding(k, variable, loaded, dtype, self.lanes)

        self._positions(depth, self._bounds(depth), g, g, (), step, lambda _depth, _g: None)
        for number, variable in enumerate(acc):
            zero = zeros[number % vectors].get()
            variable.set(k.builder.fadd(variable.get(), zero))

    def _step(
        self, x: Value, g: Value, offsets: list[int], vectors: int, acc: list[Variable]
    ) -> None:
        """One link of the chain.

        A vector may reach past the last filter into the next position's values, which its spare
        lanes ignore; arenas end with room for that.
        """
        k, spec = self.k, self.spec
        loaded = [
            k.load_vector(
                k.at(g, v * self.lanes, spec.dtype), spec.dtype, self.lanes, invariant=True
            )
            for v in range(vectors)
        ]
        if self.gradient_is_far:
            # The next block of filters reads what lies behind these.
            for v in range(vectors):
                k.prefetch(k.at(g, (vectors + v) * self.lanes, spec.dtype), level=2)
        if spec.ahead:
            k.prefetch(k.at(x, spec.ahead + offsets[0], spec.dtype), level=2)
        for t, offset in enumerate(offsets):
            scalar = k.load_scalar(k.at(x, offset, spec.dtype), spec.dtype, invariant=True)
            spread = k.splat(scalar, self.lanes)
            for v in range(vectors):
                place = acc[t * vectors + v]
                place.set(k.fma(spread, loaded[v], place.get()))
