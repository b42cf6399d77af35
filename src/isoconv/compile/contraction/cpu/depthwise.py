"""Depthwise convolution: every channel has one filter of its own.

Schedule: lanes are channels. Forward, a register tile holds neighbouring positions of a row; kernel
positions are unrolled, so that positions share the elements their windows have in common. The
gradient by the kernel holds all kernel positions of a vector of channels, or as many as there are
registers for; between images they are spilled in the result.

A tile takes one vector from each position and leaves out the rest of its channels: steps that no
processor foresees, and half or more of the time went by in waiting. So each tile asks for what lies
a row below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, product
from math import prod

from isoconv.compile.contraction.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.tiles import equal_parts, runs
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable
from isoconv.compile.native.nest import Offset, dot, over_channels, row_major
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression, prefetch, row_of
from isoconv.compile.pointwise.expression import Operand

_UNROLLED = 25  # kernel positions up to which all are unrolled
_AS_IT_IS = Axis(positions=0, taps=1, out_first=0, out_step=1, in_first=0, in_step=1, in_tap=0)
"""An index map by which a position reads the element of its own coordinate."""


@emits(DepthwiseSpec, effort="loops")
def depthwise(k: Kernel, spec: DepthwiseSpec) -> None:
    """A depthwise convolution, or its gradient by the input."""
    _Forward(k, spec).run()


@emits(DepthwiseWeightSpec)
def depthwise_weight(k: Kernel, spec: DepthwiseWeightSpec) -> None:
    """The gradient of a depthwise convolution by its kernel."""
    _Weight(k, spec).run()


def _start(k: Kernel, source: Operand, axes: tuple[Axis, ...], image: Value) -> Value:
    """Address of what position 0 reads at tap 0 and channel 0."""
    first = sum(axis.in_first * s for axis, s in zip(axes, source.strides[:-1], strict=True))
    shift = k.add(source.offset + first, k.mul(row_of(k, source, image), source.image))
    return k.at(k.buffers[source.buffer], shift, source.dtype)


def _steps(source: Operand, axes: tuple[Axis, ...]) -> tuple[list[int], list[int]]:
    """Elements of the source between neighbouring positions and between taps, per axis."""
    pairs = list(zip(axes, source.strides[:-1], strict=True))
    return [axis.in_step * s for axis, s in pairs], [axis.in_tap * s for axis, s in pairs]


def _fetch(k: Kernel, source: Operand, axes: Sequence[Axis], base: Value, size: int) -> None:
    """Ask for what the positions below these are the first to read, a row's time ahead.

    Args:
        k: the kernel.
        source: what is read.
        axes: its index maps.
        base: what the first of the positions reads at tap 0.
        size: neighbouring positions of a row.
    """
    if len(axes) < 2:
        return
    (down, across), (row, column) = axes[-2:], source.strides[-3:-1]
    below = 1 + max(0, (down.taps - 1) * down.in_tap)
    for i in range(down.in_step):
        for j in range(size * across.in_step):
            shift = (below + i) * row + j * column
            k.prefetch(k.at(base, shift, source.dtype), level=2)


class _Forward:
    def __init__(self, k: Kernel, spec: DepthwiseSpec) -> None:
        self.k, self.spec = k, spec
        self.lanes = k.target.lanes(spec.dtype)
        self.moves, self.shifts = _steps(spec.source, spec.axes)
        # Accumulators, and one more vector of the source for each than the kernel's row reaches.
        self.most = 8 if k.target.registers >= 32 else 4
        self.unrolled = _UNROLLED
        if not k.target.fma:
            # An emulated FMA is twenty instructions: unroll little.
            self.most, self.unrolled = 2, 1

    def run(self) -> None:
        """Share out images × rows (the first axis, if there is another one behind it)."""
        k, b, axes = self.k, self.k.builder, self.spec.axes
        rows = axes[0].positions if len(axes) > 1 else 1
        begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            self.image = b.sdiv(unit, k.const(rows))
            self._rows((b.srem(unit, k.const(rows)),) if len(axes) > 1 else ())

    def _rows(self, outer: tuple[Value, ...]) -> None:
        k, axes = self.k, self.spec.axes
        if len(outer) < len(axes) - 1:
            with k.loop(0, axes[len(outer)].positions) as p:
                self._rows((*outer, p))
            return

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            if not axes:
                self._tile((), 1, channel, widths[0])
                return
            for size, count, first in equal_parts(axes[-1].positions, self.most):
                with k.loop(0, count) as i:
                    column = k.add(k.mul(i, size), first)
                    self._tile((*outer, column), size, channel, widths[0])

        over_channels(k, self.spec.channels, self.lanes, 1, block)

    def _tile(self, place: tuple[Value, ...], size: int, channel: Value, width: int) -> None:
        """Neighbouring positions of a row."""
        k, spec = self.k, self.spec
        acc = [k.variable(k.splat_const(0.0, spec.dtype, width)) for _ in range(size)]
        start = _start(k, spec.source, spec.axes, self.image)
        base = k.at(start, k.add(channel, dot(k, place, self.moves)), spec.dtype)
        weights = k.at(k.buffers[spec.weights], channel, spec.dtype)
        strides = [s * spec.channels for s in row_major(spec.kernel)]

        def tap(t: tuple[Offset, ...]) -> None:
            m = [k.add(k.mul(i, step), first) if not isinstance(i, int) else first + i * step
                 for i, (_, first, step) in zip(t, spec.taps, strict=True)]  # fmt: skip
            where = k.at(weights, dot(k, m, strides), spec.dtype)
            weight = k.load_vector(where, spec.dtype, width, invariant=True)
            source = k.at(base, dot(k, t, self.shifts), spec.dtype)
            for j, total in enumerate(acc):
                shift = j * self.moves[-1] if self.moves else 0
                x = k.load_vector(k.at(source, shift, spec.dtype), spec.dtype, width)
                total.set(k.fma(x, weight, total.get()))

        _fetch(k, spec.source, spec.axes, base, size)
        self._taps((), tap)
        for j, total in enumerate(acc):
            self._finish(place, j, channel, total)

    def _taps(self, t: tuple[Offset, ...], tap: Callable[[tuple[Offset, ...]], None]) -> None:
        """Every tap in row-major order; a few are unrolled."""
        axes = self.spec.axes
        if len(t) == len(axes):
            tap(t)
            return
        count = axes[len(t)].taps
        unrolled = prod(axis.taps for axis in axes[len(t) :]) <= self.unrolled
        if unrolled or count == 0:
            for i in range(count):
                self._taps((*t, i), tap)
        else:
            with self.k.loop(0, count) as turn:
                self._taps((*t, turn), tap)

    def _finish(self, place: tuple[Value, ...], j: int, channel: Value, total: Variable) -> None:
        k, spec = self.k, self.spec
        at = (*place[:-1], k.add(place[-1], j)) if place else ()
        axes = tuple(
            k.add(axis.out_first, k.mul(p, axis.out_step))
            for axis, p in zip(spec.axes, at, strict=True)
        )
        value = total.get()
        index = Index(self.image, (*axes, channel), value.type.count)
        self._fetch_beside(index)
        emit_expression(k, spec.domain, spec.epilogue, index, [value])

    def _fetch_beside(self, index: Index) -> None:
        """Ask for what the epilogue will read a row below."""
        k, spec = self.k, self.spec
        if len(spec.axes) < 2:
            return
        *outer, row, column, channel = index.axes
        below = k.add(row, spec.axes[-2].out_step)
        there = Index(index.image, (*outer, below, column, channel), index.lanes)
        prefetch(k, spec.epilogue.operands, there, level=2)


class _Weight:
    def __init__(self, k: Kernel, spec: DepthwiseWeightSpec) -> None:
        self.k, self.spec = k, spec
        self.lanes = k.target.lanes(spec.dtype)
        self.moves, self.shifts = _steps(spec.source, spec.axes)
        # Beside the accumulators: a vector of the gradient and a row of the source.
        self.most = max(1, k.target.registers - 7)

    def run(self) -> None:
        """Share out vectors of channels; images go through all of a share's vectors in turn."""
        k, spec = self.k, self.spec
        full, rest = divmod(spec.channels, self.lanes)
        begin, whole, self.has_rest = k.share_blocks(full, rest)
        self._vectors(begin, whole, self._clear)
        with k.loop(0, k.field("images")) as image:
            self.image = image
            self._vectors(begin, whole, self._kernel)

    def _vectors(self, begin: Value, end: Value, body: Callable[[Value, int], None]) -> None:
        """``body(first channel, lanes)`` for this share's full vectors, then for the last one."""
        k = self.k
        full, rest = divmod(self.spec.channels, self.lanes)
        if full:
            with k.loop(begin, end) as i:
                body(k.mul(i, self.lanes), self.lanes)
        if rest:
            with k.when(self.has_rest):
                body(k.const(full * self.lanes), rest)

    def _positions(self) -> list[tuple[int, ...]]:
        return list(product(*(range(axis.taps) for axis in self.spec.axes)))

    def _place(self, number: int, channel: Value) -> Value:
        """Address of a kernel position in the result."""
        k, spec = self.k, self.spec
        shift = k.add(channel, spec.offset + number * spec.channels)
        return k.at(k.buffers[spec.result], shift, spec.dtype)

    def _clear(self, channel: Value, width: int) -> None:
        k = self.k
        zero = k.splat_const(0.0, self.spec.dtype, width)
        for number in range(len(self._positions())):
            k.store(zero, self._place(number, channel))

    def _kernel(self, channel: Value, width: int) -> None:
        """One image's part of the chains of all kernel positions."""
        for size, count, first in equal_parts(len(self._positions()), self.most):
            for i in range(count):
                self._tile(first + i * size, size, channel, width)

    def _tile(self, first: int, size: int, channel: Value, width: int) -> None:
        """One image's part of the chains of some kernel positions."""
        k, spec = self.k, self.spec
        places = [self._place(number, channel) for number in range(first, first + size)]
        acc = [k.variable(k.load_vector(place, spec.dtype, width)) for place in places]
        x = k.at(_start(k, spec.source, spec.axes, self.image), channel, spec.dtype)
        shift = k.add(
            spec.gradient.offset,
            channel,
            k.mul(row_of(k, spec.gradient, self.image), spec.gradient.image),
        )
        g = k.at(k.buffers[spec.gradient.buffer], shift, spec.dtype)
        taps = list(zip(self._positions()[first : first + size], acc, strict=True))
        self._rows(0, x, g, taps, width)
        for place, total in zip(places, acc, strict=True):
            k.store(total.get(), place)

    def _rows(
        self,
        depth: int,
        x: Value,
        g: Value,
        taps: list[tuple[tuple[int, ...], Variable]],
        width: int,
    ) -> None:
        k, spec = self.k, self.spec
        if not spec.axes:
            self._links(x, g, taps, 1, width)
            return
        count = spec.axes[depth].positions
        move, move_g = self.moves[depth], spec.gradient.strides[depth]
        if depth < len(spec.axes) - 1:
            with k.loop(0, count) as p:
                row = k.at(x, k.mul(p, move), spec.dtype), k.at(g, k.mul(p, move_g), spec.dtype)
                self._rows(depth + 1, *row, taps, width)
            return
        # Neighbouring positions share elements of the source, as far as registers go.
        most = 4 if 2 * len(taps) < k.target.registers else 2
        first = 0
        for size, turns in runs(count, most):
            with k.loop(0, turns) as i:
                p = k.add(k.mul(i, size), first)
                row = k.at(x, k.mul(p, move), spec.dtype), k.at(g, k.mul(p, move_g), spec.dtype)
                self._links(*row, taps, size, width)
            first += size * turns

    def _links(
        self,
        x: Value,
        g: Value,
        taps: list[tuple[tuple[int, ...], Variable]],
        size: int,
        width: int,
    ) -> None:
        """Links of the chains at neighbouring positions, one row of the kernel after the other."""
        k, spec = self.k, self.spec
        move = self.moves[-1] if self.moves else 0
        move_g = spec.gradient.strides[-2] if spec.axes else 0
        _fetch(k, spec.source, spec.axes, x, size)
        _fetch(k, spec.gradient, [_AS_IT_IS] * len(spec.axes), g, size)
        gradients = [
            k.load_vector(k.at(g, j * move_g, spec.dtype), spec.dtype, width) for j in range(size)
        ]
        for _, row in groupby(taps, key=lambda tap: tap[0][:-1]):
            chains = list(row)
            for j, gradient in enumerate(gradients):
                for t, total in chains:
                    shift = sum(i * s for i, s in zip(t, self.shifts, strict=True)) + j * move
                    element = k.load_vector(k.at(x, shift, spec.dtype), spec.dtype, width)
                    total.set(k.fma(element, gradient, total.get()))
