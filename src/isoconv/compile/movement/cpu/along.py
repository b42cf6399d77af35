"""Work along one axis whose places are listed.

    for n, place on the axes before, o along the axis:
        for place on the axes behind:
            take:      y = source[..., indices[o], ...], or +0.0 where that is -1
            resample:  y = +0.0, then y = fma(weight, source[..., tap, ...], y) for each tap of o
            result[n, ..., o, ...] = y

Schedule: lists stand in tables beside the code. Axes behind that lie without gaps are one row,
which goes by in vectors. Where results have few different numbers of taps there is code for each,
whose weights and places are looked up once a row; else the taps are a loop within each block of
vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isoconv.compile.movement.along import ResampleSpec, TakeSpec
from isoconv.compile.movement.cpu.nest import Axis, corner, joined, over
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import dot, load_block, over_channels

_VECTORS = 4  # of a row at a time: independent chains that hide the latency
_UNROLLED = 8  # taps of a chain that are unrolled
_VARIANTS = 4  # numbers of taps that there is code for

Row = Callable[[Value, Value], None]
"""What is done with a row behind a place of the axis: addresses in the source and in the result,
the source's for place 0 of the axis."""


@emits(TakeSpec)
def take(k: Kernel, spec: TakeSpec) -> None:
    """Copy rows; those that are taken from nowhere become zeros."""
    dtype, b = spec.source.dtype, k.builder
    lanes, step = k.target.lanes(dtype), spec.source.strides[spec.axis]
    table, rows = k.table(spec.indices), _Rows(k, spec)

    def place(o: Value) -> None:
        index = k.load_scalar(k.at(table, o, "int64"), "int64", invariant=True)

        def copied(source: Value, result: Value) -> None:
            origin = k.at(source, k.mul(index, step), dtype)
            over_channels(
                k, rows.length, lanes, _VECTORS,
                lambda c, widths: rows.store(
                    result, c, load_block(k, k.at(origin, c, dtype), dtype, lanes, widths)
                ),
            )  # fmt: skip

        def zeros(_: Value, result: Value) -> None:
            over_channels(
                k, rows.length, lanes, _VECTORS,
                lambda c, widths: rows.store(result, c, [k.zeros(dtype, n) for n in widths]),
            )  # fmt: skip

        if min(spec.indices) >= 0:
            rows.run(copied)
            return
        with b.if_else(b.icmp_signed(">=", index, k.const(0))) as (there, nowhere):
            with there:
                rows.run(copied)
            with nowhere:
                rows.run(zeros)

    rows.each(place)


@emits(ResampleSpec)
def resample(k: Kernel, spec: ResampleSpec) -> None:
    """Mix rows."""
    _Resample(k, spec).emit()


class _Rows:
    """The loops around the rows: images and axes before, the axis, axes behind with gaps."""

    def __init__(self, k: Kernel, spec: TakeSpec | ResampleSpec) -> None:
        self.k, self.spec = k, spec
        axis = spec.axis
        each = list(zip(spec.domain.axes, spec.source.strides, spec.result.strides, strict=True))
        self.before = _joined(each[:axis])
        self.behind = _joined(each[axis + 1 :])
        self.axis = Axis(*each[axis])
        self.length = 1
        if self.behind and (self.behind[-1].source, self.behind[-1].result) == (1, 1):
            self.length = self.behind.pop().size
        self._source: Value = None
        self._result: Value = None

    def each(self, place: Callable[[Value], None]) -> None:
        """Call ``place(o)`` for each place of the axis; threads share images × the first axis."""
        k, b, spec = self.k, self.k.builder, self.spec
        first, *rest = [*self.before, self.axis]
        images = k.field("images") if spec.domain.batched else k.const(1)
        begin, end = k.share(b.mul(images, k.const(first.size)))

        def at(places: tuple[Value, ...]) -> None:
            sources = [axis.source for axis in self.before]
            results = [*(axis.result for axis in self.before), self.axis.result]
            self._source = k.at(source, dot(k, places[:-1], sources), spec.source.dtype)
            self._result = k.at(result, dot(k, places, results), spec.result.dtype)
            place(places[-1])

        with k.loop(begin, end) as unit:
            image = b.sdiv(unit, k.const(first.size))
            source, result = (corner(k, place, image) for place in (spec.source, spec.result))
            over(k, rest, at, b.srem(unit, k.const(first.size)))

    def run(self, row: Row) -> None:
        """Every row behind the present place."""
        k, spec = self.k, self.spec

        def at(places: tuple[Value, ...]) -> None:
            row(
                k.at(self._source, dot(k, places, [a.source for a in self.behind]),
                     spec.source.dtype),
                k.at(self._result, dot(k, places, [a.result for a in self.behind]),
                     spec.result.dtype),
            )  # fmt: skip

        over(k, self.behind, at)

    def store(self, result: Value, c: Value, values: Sequence[Value]) -> None:
        """Neighbouring vectors of a row."""
        for value in values:
            self.k.store(value, self.k.at(result, c, self.spec.result.dtype))
            c = self.k.add(c, value.type.count)


def _joined(axes: Sequence[tuple[int, int, int]]) -> list[Axis]:
    return joined(*zip(*axes, strict=True)) if axes else []


class _Resample:
    """Chains over the taps."""

    def __init__(self, k: Kernel, spec: ResampleSpec) -> None:
        self.k, self.spec, self.dtype = k, spec, spec.source.dtype
        self.rows = _Rows(k, spec)
        self.lanes = k.target.lanes(self.dtype)
        self.counts = [len(row) for row in spec.taps]
        taps = [tap for row in spec.taps for tap in row]
        kind = np.dtype(self.dtype).type
        weights = [float(kind(weight)) for _, weight in taps]
        # Added up, products with one are the numbers themselves.
        self.plain = all(weight == 1.0 for weight in weights)
        starts = [0]
        for count in self.counts:
            starts.append(starts[-1] + count)
        step = spec.source.strides[spec.axis]
        self.starts = k.table(starts)
        self.shifts = k.table([place * step for place, _ in taps] or [0])
        self.weights = None if self.plain else k.table(weights, self.dtype)

    def emit(self) -> None:
        """Unrolled where there are few numbers of taps."""
        kinds = sorted(set(self.counts))
        few = len(kinds) <= _VARIANTS and kinds[-1] <= _UNROLLED
        self.rows.each(lambda o: self._unrolled(o, kinds) if few else self._looped(o))

    def _number(self, o: Value | int, table: Value) -> Value:
        return self.k.load_scalar(self.k.at(table, o, "int64"), "int64", invariant=True)

    def _tap(self, t: Value) -> tuple[Value, Value | None]:
        """How far a tap's place lies in the source, and its weight; None where all are one."""
        k, dtype = self.k, self.dtype
        weight = None
        if self.weights is not None:
            weight = k.load_scalar(k.at(self.weights, t, dtype), dtype, invariant=True)
        return self._number(t, self.shifts), weight

    def _added(self, total: Value, x: Value, weight: Value | None) -> Value:
        if weight is None:
            return self.k.builder.fadd(total, x)
        return self.k.fma(self.k.splat(weight, x.type.count), x, total)

    def _block(self, source: Value, shift: Value, c: Value, widths: tuple[int, ...]) -> list[Value]:
        k, dtype = self.k, self.dtype
        return load_block(k, k.at(source, k.add(shift, c), dtype), dtype, self.lanes, widths)

    def _unrolled(self, o: Value, kinds: list[int]) -> None:
        k, b = self.k, self.k.builder
        start, stop = self._number(o, self.starts), self._number(k.add(o, 1), self.starts)
        count = b.sub(stop, start)
        for kind in kinds:
            if len(kinds) == 1:
                self._chains(start, kind)
                continue
            with k.when(b.icmp_signed("==", count, k.const(kind))):
                self._chains(start, kind)

    def _chains(self, start: Value, count: int) -> None:
        taps = [self._tap(self.k.add(start, number)) for number in range(count)]

        def row(source: Value, result: Value) -> None:
            def block(c: Value, widths: tuple[int, ...]) -> None:
                totals = [self.k.zeros(self.dtype, width) for width in widths]
                for shift, weight in taps:
                    values = self._block(source, shift, c, widths)
                    totals = [
                        self._added(total, x, weight)
                        for total, x in zip(totals, values, strict=True)
                    ]
                self.rows.store(result, c, totals)

            over_channels(self.k, self.rows.length, self.lanes, _VECTORS, block)

        self.rows.run(row)

    def _looped(self, o: Value) -> None:
        k = self.k
        start, stop = self._number(o, self.starts), self._number(k.add(o, 1), self.starts)

        def row(source: Value, result: Value) -> None:
            def block(c: Value, widths: tuple[int, ...]) -> None:
                totals = [k.variable(k.zeros(self.dtype, width)) for width in widths]
                with k.loop(start, stop) as t:
                    shift, weight = self._tap(t)
                    values = self._block(source, shift, c, widths)
                    for total, x in zip(totals, values, strict=True):
                        total.set(self._added(total.get(), x, weight))
                self.rows.store(result, c, [total.get() for total in totals])

            over_channels(k, self.rows.length, self.lanes, _VECTORS, block)

        self.rows.run(row)
