"""Contractions over images and positions: the gradient by the kernel.

    for kernel position m, channel c, filter o:
        acc = +0.0
        for n, position:                                     # the chain, in this order
            acc = fma(source[n, where(position, m), c], gradient[n, position, o], acc)
        result[m, c, o] = acc

Products with padding may be left out, see ``padding``. Where a whole row of positions meets it, one
addition to an accumulator stands for its products, the same for all kernel elements of a tile.
Along the last axis that would cost what it saves; there they are left out speculatively.

Schedule: a register tile holds T neighbouring (m, c) × V vectors of filters. The source and the
gradient of a few images (or a few rows of a large one) pass through all tiles while they lie in
cache, or are copied to panels (see ``panels``); between such blocks a tile's accumulators are
spilled in the result. A team of threads shares the tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.cpu.padding import (
    has_negative_zero,
    meet_padding,
    no_products,
)
from isoconv.compile.contraction.cpu.panels import PanelCopies
from isoconv.compile.contraction.cpu.weight_tiles import Elements, each_tile
from isoconv.compile.contraction.cpu.weight_walk import (
    Block,
    Bounds,
    Seen,
    Walk,
    bounds_of,
    over_positions,
    positions,
)
from isoconv.compile.contraction.padding import met
from isoconv.compile.contraction.tiles import runs
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec, WeightSchedule
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I1, Kernel, Value, Variable
from isoconv.errors import CompileError
from isoconv.graph.ir import DTYPES

_LINE = 64  # bytes of a cache line on every machine but few
Widths = tuple[list[int], list[int], Value]
"""Lanes to store per vector: of a block of filters, of the last one; whether this is the last."""


@emits(ContractWeightSpec)
def weight_gradient(k: Kernel, spec: ContractWeightSpec, schedule: WeightSchedule) -> None:
    """A gradient by weights, of all images of the shard."""
    WeightSum(k, spec, schedule, None).run()


class _At(NamedTuple):
    """Where a tile stands.

    Attributes:
        block: what passes through it.
        group: of channels and filters.
        elements: of the kernel.
        filters: the first one.
        number: of the block of filters.
    """

    block: Block
    group: Value
    elements: Elements
    filters: Value
    number: Value


class WeightSum:
    """Emits a sum that is added to the result unless it is the first accumulation.

    Args:
        k: the kernel.
        spec: the sum.
        schedule: how.
        first: whether nothing was accumulated before; None: nothing ever is.
    """

    def __init__(
        self, k: Kernel, spec: ContractWeightSpec, schedule: WeightSchedule, first: Value | None
    ) -> None:
        self.k, self.spec, self.schedule, self.first = k, spec, schedule, first
        self.lanes = schedule.tile.lanes
        self.outputs = spec.groups * spec.filters
        self.part, self.parts = k.field("part"), k.field("parts")
        self.result = k.at(k.buffers[spec.result], spec.offset, spec.dtype)
        self.source = k.at(k.buffers[spec.source.buffer], spec.source.offset, spec.dtype)
        self.gradient = k.at(k.buffers[spec.gradient.buffer], spec.gradient.offset, spec.dtype)
        if schedule.images > 1 and schedule.rows < (spec.axes[0].positions if spec.axes else 1):
            raise CompileError("a block of several images has all of their rows")
        block = schedule.images * schedule.rows * prod(axis.positions for axis in spec.axes[1:])
        self.gradient_is_far = block * self.outputs * DTYPES[spec.dtype] > k.target.core.near
        self.panels: PanelCopies | None = None
        if schedule.panels is not None:
            self.gradient_is_far = False
            operands = (self.source, self.gradient)
            self.panels = PanelCopies(k, spec, schedule, k.buffers[schedule.panels], operands)
        self.speculative = any(spec.sides[-1:])
        if self.speculative:
            last, side = spec.axes[-1], spec.sides[-1]
            self.inside = [met(last, tap, side) for tap in range(last.taps)]
            ends = [(found[0], found[-1] + 1) if found else (0, 0) for found in self.inside]
            self.ends = [k.table([end[i] for end in ends]) for i in range(2)]

    def run(self) -> None:
        """Let every block of images and rows pass through all tiles."""
        with self.k.changing() if self.panels else nullcontext():
            self._blocks()

    def _blocks(self) -> None:
        k, spec, most = self.k, self.spec, self.schedule
        images = k.field("images")
        rows = spec.axes[0].positions if spec.axes else 1
        with k.loop(0, images, most.images) as first_image:
            last_image = k.minimum(k.add(first_image, most.images), images)
            with k.loop(0, rows, most.rows) as first_row:
                last_row = (
                    k.const(rows)
                    if most.rows >= rows
                    else k.minimum(k.add(first_row, most.rows), k.const(rows))
                )
                first = k.builder.icmp_signed(
                    "==", k.builder.or_(first_image, first_row), k.const(0)
                )
                if self.first is not None:
                    first = k.builder.and_(self.first, first)
                block = Block((first_image, last_image), (first_row, last_row), first)
                if self.speculative:
                    block = block._replace(non_finite=self._not_finite(block))
                with k.loop(0, spec.groups) as group:
                    if self.panels:
                        self.panels.begin()
                    self._tiles(block, group)

    def _tiles(self, block: Block, group: Value) -> None:
        """Kernel elements, and for each tile of them the blocks of filters."""
        k, spec = self.k, self.spec
        shifts = [a.in_tap * s for a, s in zip(spec.axes, spec.source.strides[:-1], strict=True)]
        panel = 0
        if self.panels:
            shifts, panel = self.panels.per_tap, self.panels.map.source_panel

        def elements(tile: Value, place: Elements) -> None:
            def filters(number: Value, first: Value, widths: Widths) -> None:
                at = _At(block, group, place, first, number)
                self._tile(k.add(number, tile), at, widths)

            self._filters(filters)

        each_tile(k, spec, self.schedule.tile.columns, shifts, panel, elements)

    # Blocks of filters --------------------------------------------------------------------------

    def _filters(self, body: Callable[[Value, Value, Widths], None]) -> None:
        """For each block of filters: body(number, first filter, lanes per vector).

        Of the last block perhaps only some lanes are wanted; it is then emitted by itself.
        """
        k, spec = self.k, self.spec
        total, first = 0, 0
        for vectors, count in runs(-(-spec.filters // self.lanes), self.schedule.tile.vectors):
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

    def _tile(self, number: Value, at: _At, widths: Widths) -> None:
        """One tile of elements and filters, if it falls to this part of the team."""
        k, b = self.k, self.k.builder
        full, last, final = widths
        turn = b.srem(number, self.parts)
        with k.when(b.icmp_signed("==", turn, self.part)):
            if full == last:
                self._through(at, full)
                return
            with b.if_else(final) as (then, otherwise):
                with then:
                    self._through(at, last)
                with otherwise:
                    self._through(at, full)

    def _through(self, at: _At, widths: list[int]) -> None:
        """Take up the accumulators, go through the block's positions, spill them."""
        k, spec, place = self.k, self.spec, at.elements
        column = self._column(at)
        source, gradient = self._seen(at, column, len(widths))
        corner = k.at(self.result, k.add(k.mul(place.first, self.outputs), column), spec.dtype)
        across = range(0, len(widths) * self.lanes, self.lanes)
        spilled = [
            (k.at(corner, t * self.outputs + lane, spec.dtype), width)
            for t in range(len(place.offsets))
            for lane, width in zip(across, widths, strict=True)
        ]
        # The next block of filters will be wanted when this chain is done.
        ahead = len(widths) * self.lanes
        for where, _ in spilled:
            k.prefetch(k.at(where, ahead, spec.dtype))

        def chain(columns: Bounds | None, reach: int = 0) -> list[Variable]:
            acc = [
                k.variable(self._taken_up(at.block.first, where, width)) for where, width in spilled
            ]
            walk = Walk(
                source,
                gradient,
                lambda x, g: self._step(x, g, place.offsets, len(widths), acc, reach),
                columns,
                place.taps[: len(spec.axes) - 1],
                lambda depth, g: self._meet_padding(depth, g, gradient, len(widths), acc),
            )
            over_positions(k, spec, at.block, walk)
            return acc

        def store(acc: list[Variable]) -> None:
            for (where, width), variable in zip(spilled, acc, strict=True):
                if width:
                    k.store(k.narrow(variable.get(), width), where)

        if self.speculative:
            self._speculating(at, chain, store, widths)
        elif self.schedule.ahead:
            # The chains of all other filters go through the same lines, which were asked for then.
            first = k.builder.icmp_signed("==", at.filters, k.const(0))
            with k.builder.if_else(first) as (asks, others):
                with asks:
                    store(chain(None, self.schedule.ahead))
                with others:
                    store(chain(None))
        else:
            store(chain(None))

    def _speculating(
        self,
        at: _At,
        chain: Callable[[Bounds | None], list[Variable]],
        store: Callable[[list[Variable]], None],
        widths: list[int],
    ) -> None:
        """The chain without the last axis' products with padding, and with them if they matter."""
        k, b = self.k, self.k.builder
        tap = at.elements.taps[-1]
        first, last = (k.load_scalar(k.at(ends, tap, "int64"), "int64") for ends in self.ends)
        positions = k.const(self.spec.axes[-1].positions)
        wanted = k.variable(I1(1))
        with k.loop(0, 2) as turn, k.when(wanted.get()):
            whole = b.or_(at.block.non_finite, b.icmp_signed("==", turn, k.const(1)))
            acc = chain((b.select(whole, k.const(0), first), b.select(whole, positions, last)))
            found = [
                k.narrow(variable.get(), widths[number % len(widths)])
                for number, variable in enumerate(acc)
                if widths[number % len(widths)]
            ]
            again = b.and_(b.not_(whole), has_negative_zero(k, found))
            wanted.set(again)
            with k.when(b.not_(again)):
                store(acc)

    def _not_finite(self, block: Block) -> Value:
        """Whether the block's gradient is not finite where its products may be left out."""
        k, b, spec = self.k, self.k.builder, self.spec
        edges = [p for p in range(spec.axes[-1].positions) if any(p not in i for i in self.inside)]
        non_finite = k.variable(I1(0))

        def look(first: Value | int, lanes: int) -> None:
            zeros = [no_products(k, spec.dtype, lanes) for _ in edges]

            def step(_: Value, g: Value) -> None:
                for edge, zero in zip(edges, zeros, strict=True):
                    place = k.at(g, edge * spec.gradient.strides[-2], spec.dtype)
                    value = k.load_vector(place, spec.dtype, lanes, invariant=True)
                    meet_padding(k, zero, value, spec.dtype, lanes)

            with k.loop(*block.images) as image:
                g = k.at(self.gradient, k.mul(image, spec.gradient.image), spec.dtype)
                g = k.at(g, first, spec.dtype)
                seen = Seen(g, spec.gradient.strides, spec.gradient.image)
                # A step looks at a row's edges, and so is made once in each.
                positions(k, spec, 0, block.rows, g, g, Walk(seen, seen, step, (0, 1)))
            for zero in zeros:
                nan = b.fcmp_unordered("uno", zero.get(), zero.get())
                non_finite.set(b.or_(non_finite.get(), k.any(nan)))

        whole = self.outputs - self.outputs % self.lanes
        with k.loop(0, whole, self.lanes) as first:
            look(first, self.lanes)
        if self.outputs % self.lanes:
            look(whole, self.outputs % self.lanes)
        return non_finite.get()

    def _column(self, at: _At) -> Value:
        """The first filter's number among those of all groups."""
        return self.k.add(self.k.mul(at.group, self.spec.filters), at.filters)

    def _taken_up(self, first: Value, place: Value, width: int) -> Value:
        """A spilled accumulator, +0.0 at first; lanes beyond the last filter do not matter."""
        k, spec = self.k, self.spec
        if width == 0:
            return k.splat_const(0.0, spec.dtype, self.lanes)
        spilled = k.load_vector(place, spec.dtype, width)
        value = k.builder.select(first, k.splat_const(0.0, spec.dtype, width), spilled)
        return k.widen(value, self.lanes)

    # The chain ----------------------------------------------------------------------------------

    def _seen(self, at: _At, column: Value, vectors: int) -> tuple[Seen, Seen]:
        """The source and the gradient of a tile: copied to panels, or where they lie."""
        k, spec, panels = self.k, self.spec, self.panels
        if panels:
            gradient = panels.of_gradient(at.block, at.number, at.filters, column, vectors)
            return panels.of_source(at.block, at.group, at.elements), gradient
        strides = spec.source.strides[:-1]
        start = k.add(at.elements.shift, k.mul(at.group, spec.channels))
        for axis, stride in zip(spec.axes, strides, strict=True):
            start = k.add(start, axis.in_first * stride)
        steps = tuple(axis.in_step * s for axis, s in zip(spec.axes, strides, strict=True))
        source = Seen(k.at(self.source, start, spec.dtype), steps, spec.source.image)
        base = k.at(self.gradient, column, spec.dtype)
        return source, Seen(base, spec.gradient.strides, spec.gradient.image)

    def _meet_padding(
        self, depth: int, g: Value, gradient: Seen, vectors: int, acc: list[Variable]
    ) -> None:
        """What the products of padding with all positions from `g` on do to the accumulators."""
        k, dtype = self.k, self.spec.dtype
        zeros = [no_products(k, dtype, self.lanes) for _ in range(vectors)]

        def step(_: Value, g: Value) -> None:
            for v, variable in enumerate(zeros):
                there = k.at(g, v * self.lanes, dtype)
                loaded = k.load_vector(there, dtype, self.lanes, invariant=True)
                meet_padding(k, variable, loaded, dtype, self.lanes)

        walk = Walk(gradient, gradient, step)
        positions(k, self.spec, depth, bounds_of(self.spec, depth), g, g, walk)
        for number, variable in enumerate(acc):
            zero = zeros[number % vectors].get()
            variable.set(k.builder.fadd(variable.get(), zero))

    def _step(
        self, x: Value, g: Value, offsets: list[int], vectors: int, acc: list[Variable], reach: int
    ) -> None:
        """One link of the chain; `reach` elements further on is what it asks for.

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
            size = vectors * self.lanes * DTYPES[spec.dtype]
            for line in range(0, size, _LINE):
                k.prefetch(k.at(g, size + line, "uint8"), level=2)
        if reach:
            k.prefetch(k.at(x, reach + offsets[0], spec.dtype), level=2)
        for t, offset in enumerate(offsets):
            scalar = k.load_scalar(k.at(x, offset, spec.dtype), spec.dtype, invariant=True)
            spread = k.splat(scalar, self.lanes)
            for v in range(vectors):
                place = acc[t * vectors + v]
                place.set(k.fma(spread, loaded[v], place.get()))
