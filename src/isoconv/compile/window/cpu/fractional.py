"""Fractional max pooling, where each channel has windows of its own, and its gradient.

    for n, channel c, axis a:
        u = offsets[n, a, c]  if 0 <= u < 1, else +0.0
        begin(o) = trunc((o + u) * step) - trunc(u * step), and side - K for the last o
    forward, for output position o...:
        y = the first element of the window at begin(o)...
        for kernel position m, row-major:
            x = source[n, begin(o) + m, c]
            y = x where x > y, or x is NaN and y is not
        place: y = the row-major number of the position that y came from
        result[n, o, c] = epilogue(y)
    gradient:
        result[n, i, c] = +0.0 for every position i
        for output position o, row-major, with its winner i:
            result[n, i, c] = result[n, i, c] + gradient[n, o, c]

Schedule: lanes run along channels, one vector at a time. What a window covers is loaded lane by
lane, since it lies elsewhere in each; comparisons and steps are on whole vectors. The gradient is
shared out by images and vectors of channels, so that one thread adds all that meets at a place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.ir as ir

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I32, I64, Kernel, Value
from isoconv.compile.native.nest import Offset, dot, over_channels, replaces, row_major
from isoconv.compile.pointwise.cpu.expression import (
    Index,
    emit_expression,
    load_operand,
    row_of,
    store_operand,
)
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.window.cpu.nest import AxisWindow, over_window
from isoconv.compile.window.fractional import FractionalPoolGradSpec, FractionalPoolSpec

Place = tuple[Value, ...]


@emits(FractionalPoolSpec)
def fractional_pool(k: Kernel, spec: FractionalPoolSpec) -> None:
    """Share out images × output rows."""
    b, rows = k.builder, spec.window.outputs[0]
    begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
    with k.loop(begin, end) as unit:
        image, row = b.sdiv(unit, k.const(rows)), b.srem(unit, k.const(rows))

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            _pooled(_Channels(k, spec, image, channel, widths[0]), spec, row)

        over_channels(k, spec.channels, k.target.lanes(spec.dtype), 1, block)


def _pooled(at: _Channels, spec: FractionalPoolSpec, row: Value) -> None:
    """One row of the output."""
    k = at.k
    numbers = row_major(spec.sides)

    def position(place: Place, begins: Sequence[Value]) -> None:
        value, where = at.winner(begins, numbers)
        if spec.kind == "place":
            value = k.builder.sitofp(where, value.type)
        index = Index(at.image, (*place, at.channel), at.width)
        emit_expression(k, spec.domain, spec.epilogue, index, [value])

    at.over((row,), position)


@emits(FractionalPoolGradSpec)
def fractional_pool_gradient(k: Kernel, spec: FractionalPoolGradSpec) -> None:
    """Share out images × vectors of channels."""
    b, lanes = k.builder, k.target.lanes(spec.dtype)
    whole, rest = divmod(spec.channels, lanes)
    vectors = k.const(whole + (rest > 0))
    begin, end = k.share(b.mul(k.field("images"), vectors))
    with k.loop(begin, end) as unit:
        image, vector = b.sdiv(unit, vectors), b.srem(unit, vectors)
        channel = k.add(0, k.mul(vector, lanes))
        if whole:
            with k.when(b.icmp_signed("<", vector, k.const(whole))):
                _scattered(_Channels(k, spec, image, channel, lanes), spec)
        if rest:
            with k.when(b.icmp_signed("==", vector, k.const(whole))):
                _scattered(_Channels(k, spec, image, channel, rest), spec)


def _scattered(at: _Channels, spec: FractionalPoolGradSpec) -> None:
    """The whole gradient of some channels."""
    k, b = at.k, at.k.builder
    zero = k.zeros(spec.dtype, at.width)

    def clear(place: Place) -> None:
        store_operand(k, zero, spec.result, Index(at.image, (*place, at.channel), at.width))

    _over(k, spec.sides, (), clear)
    base = at.base(spec.result)
    *strides, _ = spec.result.strides

    def position(place: Place, begins: Sequence[Value]) -> None:
        _, winner = at.winner(begins, strides)
        index = Index(at.image, (*place, at.channel), at.width)
        taken = load_operand(k, spec.gradient, index)
        for lane in range(at.width):
            spot = ir.Constant(I32, lane)
            target = k.at(
                base,
                k.add(b.extract_element(winner, spot), lane * spec.result.strides[-1]),
                spec.dtype,
            )
            total = b.fadd(k.load_scalar(target, spec.dtype), b.extract_element(taken, spot))
            k.store(total, target)

    at.over((), position)


def _over(k: Kernel, sizes: Sequence[int], place: Place, body: Callable[[Place], None]) -> None:
    """Call ``body`` at each position, in row-major order, of the axes that are left."""
    if len(place) == len(sizes):
        body(place)
        return
    with k.loop(0, sizes[len(place)]) as i:
        _over(k, sizes, (*place, i), body)


class _Channels:
    """The windows of neighbouring channels of one image, a lane each."""

    def __init__(
        self,
        k: Kernel,
        spec: FractionalPoolSpec | FractionalPoolGradSpec,
        image: Value,
        channel: Value,
        width: int,
    ) -> None:
        self.k, self.spec, self.image, self.channel, self.width = k, spec, image, channel, width
        window = spec.window
        self._steps = [
            k.splat_const(float(step), spec.dtype, width)
            for step in window.steps(spec.sides, spec.dtype)
        ]
        self._axes = tuple(
            AxisWindow(side, outputs, kernel, 1, 0, 0, 1)
            for side, outputs, kernel in zip(spec.sides, window.outputs, window.kernel, strict=True)
        )
        self._source = self.base(spec.source)
        self._offsets = [self._offset(axis) for axis in range(len(self._axes))]
        self._starts = [
            self._whole(k.builder.fmul(u, step))
            for u, step in zip(self._offsets, self._steps, strict=True)
        ]

    def base(self, operand: Operand) -> Value:
        """Address of the first channel's element at position 0."""
        k = self.k
        return k.at(
            k.buffers[operand.buffer],
            k.add(
                operand.offset,
                k.mul(row_of(k, operand, self.image), operand.image),
                k.mul(self.channel, operand.strides[-1]),
            ),
            operand.dtype,
        )

    def over(self, place: Place, body: Callable[[Place, Sequence[Value]], None]) -> None:
        """Call ``body(place, first places)`` for the windows of the axes that are left."""
        begins = [self._begin(axis, o) for axis, o in enumerate(place)]
        self._over(place, begins, body)

    def _over(
        self,
        place: Place,
        begins: list[Value],
        body: Callable[[Place, Sequence[Value]], None],
    ) -> None:
        axis = len(place)
        if axis == len(self._axes):
            body(place, begins)
            return
        with self.k.loop(0, self._axes[axis].outputs) as o:
            self._over((*place, o), [*begins, self._begin(axis, o)], body)

    def winner(self, begins: Sequence[Value], strides: Sequence[int]) -> tuple[Value, Value]:
        """The maximum of the window that begins there, and where it stands, counted by strides."""
        k, b = self.k, self.k.builder
        *steps, along = self.spec.source.strides
        origin, start = self._dot(begins, steps), self._dot(begins, strides)
        lanes = [
            k.at(
                self._source,
                k.add(b.extract_element(origin, ir.Constant(I32, lane)), lane * along),
                self.spec.dtype,
            )
            for lane in range(self.width)
        ]
        best, where = k.variable(self._load(lanes, 0)), k.variable(start)

        def tap(m: tuple[Offset, ...]) -> None:
            if all(isinstance(i, int) and i == 0 for i in m):
                return
            x, y = self._load(lanes, dot(k, m, steps)), best.get()
            wins = replaces(k, x, y)
            best.set(b.select(wins, x, y))
            moved = k.splat(k.add(0, dot(k, m, strides)), self.width)
            where.set(b.select(wins, b.add(start, moved), where.get()))

        over_window(k, self._axes, (None,) * len(self._axes), tap)
        return best.get(), where.get()

    def _offset(self, axis: int) -> Value:
        """The offset u of each channel, +0.0 for what is none."""
        k, b, spec = self.k, self.k.builder, self.spec
        index = Index(self.image, (k.const(axis), self.channel), self.width)
        u = load_operand(k, spec.offsets, index)
        zero = k.splat_const(0.0, spec.dtype, self.width)
        one = k.splat_const(1.0, spec.dtype, self.width)
        good = b.and_(b.fcmp_ordered(">=", u, zero), b.fcmp_ordered("<", u, one))
        return b.select(good, u, zero)

    def _begin(self, axis: int, o: Value) -> Value:
        """Where the window at o begins."""
        k, b, along = self.k, self.k.builder, self._axes[axis]
        last = k.splat(k.const(along.side - along.kernel), self.width)
        if along.outputs == 1:
            return last
        number = k.splat(b.sitofp(o, k.scalar_type(self.spec.dtype)), self.width)
        moved = self._whole(b.fmul(b.fadd(number, self._offsets[axis]), self._steps[axis]))
        begin = b.sub(moved, self._starts[axis])
        return b.select(b.icmp_signed("==", o, k.const(along.outputs - 1)), last, begin)

    def _whole(self, vector: Value) -> Value:
        """The whole numbers towards zero; they fit into 32 bits."""
        b = self.k.builder
        words = b.fptosi(vector, ir.VectorType(I32, self.width))
        return b.sext(words, ir.VectorType(I64, self.width))

    def _dot(self, vectors: Sequence[Value], factors: Sequence[int]) -> Value:
        """Sum of vectors times factors."""
        k, b = self.k, self.k.builder
        total = k.zeros("int64", self.width)
        for vector, factor in zip(vectors, factors, strict=True):
            total = b.add(total, b.mul(vector, k.splat(k.const(factor), self.width)))
        return total

    def _load(self, lanes: Sequence[Value], offset: Offset) -> Value:
        """One element of each channel."""
        k, dtype = self.k, self.spec.dtype
        vector = ir.Constant(k.vector_type(dtype, self.width), ir.Undefined)
        for lane, address in enumerate(lanes):
            one = k.load_scalar(k.at(address, offset, dtype), dtype)
            vector = k.builder.insert_element(vector, one, ir.Constant(I32, lane))
        return vector
