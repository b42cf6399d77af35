"""Gradient of pooling with windows that overlap or reach over the border.

    for n, input position i..., kernel position m, row-major:
        if a window o meets i at m: dx = dx + term(o, m)

Schedule: inputs at a * stride + r - before are phase r of an axis; those at a meet window a and a
few before it. For each a of the first axis, the windows of that row are looked at once: what each
has to give, and the number of the kernel position that gets it, go into a ring of rows on the
stack. Then come the inputs of that row, which add from the ring what is for them; which windows
meet a phase is known, so these are constant offsets. Places of the ring without a window give
nothing, so inputs near the border need no case of their own. The channels are done in blocks for
which the ring stays small. Very large windows are looked at again for each of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import (
    Offset,
    dot,
    load_block,
    over_channels,
    row_major,
)
from isoconv.compile.window.cpu.gradient_nest import GradEmission
from isoconv.compile.window.cpu.nest import AxisWindow, Bounds, average_divisor
from isoconv.graph.ir import DTYPES

Phase = tuple[Value, int]
"""Where an input is along an axis: it is at a * stride + r - before, as (a, r)."""

_UNROLLED = 64  # kernel positions up to which an input's windows are unrolled
_IN_FLIGHT = 16  # vectors of channels times windows of an input that registers hold at a time
_VECTORS = 4  # vectors of channels at most, if the ring stays small
_RING_BYTES = 128 * 1024  # of the ring; half of a small second cache
_MOST_BYTES = 512 * 1024  # of the ring for a single vector; the stack has room for it


@dataclass(frozen=True, slots=True)
class _Span:
    """The windows along one axis that inputs may ask for.

    Attributes:
        reach: an input at a meets windows a - reach to a.
        low: number of the first window that an input asks for; it may not exist.
        count: how many there are from there on.
    """

    reach: int
    low: int
    count: int


def _span(axis: AxisWindow) -> _Span:
    reach = max(d for r in range(axis.stride) for _, d in _met(axis, r))
    low = axis.before // axis.stride - reach
    return _Span(reach, low, (axis.side - 1 + axis.before) // axis.stride - low + 1)


class OverlappingWindows(GradEmission):
    """Windows that overlap or reach over the border: inputs gather from a ring of windows."""

    def run(self) -> None:
        """Emit the loops."""
        k, b = self.k, self.k.builder
        self.spans = [_span(axis) for axis in self.axes]
        vectors = self._vectors()
        if vectors == 0 or prod(axis.kernel for axis in self.axes) > _UNROLLED:
            self._look_again()
            return
        self.ring = _Ring(k, self, vectors * self.lanes)
        span = self.spans[0]
        rows = span.count - span.reach
        begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
        behind = b.sdiv(k.add(end, rows - 1), k.const(rows))
        with k.loop(b.sdiv(begin, k.const(rows)), behind) as image:
            self.image = image
            before = k.mul(image, rows)
            start = k.maximum(b.sub(begin, before), k.const(0))
            stop = k.minimum(b.sub(end, before), k.const(rows))

            def block(channel: Value, widths: tuple[int, ...]) -> None:
                self.channel, self.widths = channel, widths
                # The rows before the first one only fill the ring.
                with k.loop(k.add(start, -span.reach), stop) as row:
                    self._row(row)
                    with k.when(b.icmp_signed(">=", row, start)):
                        self._inputs(row)

            over_channels(k, self.spec.channels, self.lanes, vectors, block)

    def _vectors(self) -> int:
        """Vectors of channels at a time, or 0 when the ring would be too large."""
        arrays = 1 if self.spec.kind == "avg" else 2
        slots = self.spans[0].reach + 2
        plane = prod(span.count for span in self.spans[1:])
        vector = slots * plane * self.lanes * DTYPES[self.spec.dtype] * arrays
        vectors = min(_VECTORS, -(-self.spec.channels // self.lanes))
        windows = prod(span.reach + 1 for span in self.spans)
        while vectors > 1 and (vectors * vector > _RING_BYTES or vectors * windows > _IN_FLIGHT):
            vectors //= 2
        return vectors if vectors * vector <= _MOST_BYTES else 0

    # Windows into the ring

    def _row(self, row: Value) -> None:
        """All windows of a row of the first axis, if there is one."""
        k, b, axis = self.k, self.k.builder, self.axes[0]
        o = k.add(row, self.spans[0].low + self.spans[0].reach)
        exists = b.and_(
            b.icmp_signed(">=", o, k.const(0)), b.icmp_signed("<", o, k.const(axis.outputs))
        )
        with k.when(exists):
            self.slot = self.ring.slot(k.add(row, self.spans[0].reach))
            first, last = axis.interior
            if (first, last) == (0, axis.outputs):
                self._windows((o,), (None,))
            elif first == last:
                self._windows((o,), (axis.bounds(k, o),))
            else:
                inside = b.and_(
                    b.icmp_signed(">=", o, k.const(first)), b.icmp_signed("<", o, k.const(last))
                )
                with b.if_else(inside) as (then, otherwise):
                    with then:
                        self._windows((o,), (None,))
                    with otherwise:
                        self._windows((o,), (axis.bounds(k, o),))

    def _windows(self, place: tuple[Value, ...], bounds: tuple[Bounds, ...]) -> None:
        """The remaining axes; once one axis is at the border, the others take bounds as well."""
        k, depth = self.k, len(place)
        if depth == len(self.axes):
            self._window(place, bounds)
            return
        axis, span = self.axes[depth], self.spans[depth]
        begin, end = max(0, span.low), min(axis.outputs, span.low + span.count)
        first, last = axis.interior if all(limits is None for limits in bounds) else (0, 0)
        first = min(max(first, begin), end)
        last = min(max(last, first), end)
        for start, stop, inside in (
            (begin, first, False),
            (first, last, True),
            (last, end, False),
        ):
            if start < stop:
                with k.loop(start, stop) as o:
                    limits = None if inside else axis.bounds(k, o)
                    self._windows((*place, o), (*bounds, limits))

    def _window(self, place: tuple[Value, ...], bounds: tuple[Bounds, ...]) -> None:
        """What one window gives, and to whom, into the ring."""
        k, spec, b = self.k, self.spec, self.k.builder
        terms = self.load(self.at(spec.gradient, self.image, place), self.channel, self.widths)
        found: list[Value] = []
        if spec.kind == "avg":
            count = average_divisor(
                k, self.axes, place, bounds, spec.dtype, include_pad=spec.count_include_pad
            )
            terms = [b.fdiv(x, k.splat(count, x.type.count)) for x in terms]
        else:
            base = k.at(self.corner(self.image, place), self.channel, spec.dtype)
            found = self.winners(base, bounds, self.widths)
        self.ring.put(self.slot, place[1:], terms, found)

    # Inputs from the ring

    def _inputs(self, row: Value) -> None:
        """The inputs of all phases in this row of the first axis."""
        k, b, axis, span = self.k, self.k.builder, self.axes[0], self.spans[0]
        a = k.add(row, span.low + span.reach)
        self.slots = []
        for d in range(span.reach + 1):
            o = k.add(a, -d)
            exists = b.and_(
                b.icmp_signed(">=", o, k.const(0)), b.icmp_signed("<", o, k.const(axis.outputs))
            )
            slot = self.ring.slot(k.add(row, span.reach - d))
            self.slots.append(b.select(exists, slot, self.ring.empty))
        for r in range(axis.stride):
            i = k.add(k.mul(a, axis.stride), r - axis.before)
            inside = b.and_(
                b.icmp_signed(">=", i, k.const(0)), b.icmp_signed("<", i, k.const(axis.side))
            )
            with k.when(inside):
                self._across((i,), ((a, r),))

    def _across(self, place: tuple[Value, ...], phases: tuple[Phase, ...]) -> None:
        """The remaining axes; neighbours of all phases together, in order of addresses."""
        k, b, depth = self.k, self.k.builder, len(place)
        if depth == len(self.axes):
            self._input(place, phases)
            return
        axis = self.axes[depth]
        ranges = [_inside(axis, r) for r in range(axis.stride)]
        begin, end = min(start for start, _ in ranges), max(stop for _, stop in ranges)
        with k.loop(begin, end) as a:
            for r, (start, stop) in enumerate(ranges):
                i = k.add(k.mul(a, axis.stride), r - axis.before)
                if (start, stop) == (begin, end):
                    self._across((*place, i), (*phases, (a, r)))
                elif start < stop:
                    inside = b.and_(
                        b.icmp_signed(">=", a, k.const(start)),
                        b.icmp_signed("<", a, k.const(stop)),
                    )
                    with k.when(inside):
                        self._across((*place, i), (*phases, (a, r)))

    def _input(self, place: tuple[Value, ...], phases: tuple[Phase, ...]) -> None:
        """One input: the sum of what its windows give, in the order of kernel positions."""
        k, b = self.k, self.k.builder
        order = row_major([axis.kernel for axis in self.axes])
        total = self.zeros(self.widths)
        met = product(*(_met(axis, r) for axis, (_, r) in zip(self.axes, phases, strict=True)))
        for window in met:
            slot = self.slots[window[0][1]]
            columns = [k.add(a, -d) for (a, _), (_, d) in zip(phases[1:], window[1:], strict=True)]
            terms, found = self.ring.get(slot, columns, self.widths)
            sums = [b.fadd(x, y) for x, y in zip(total, terms, strict=True)]
            if found:
                number = sum(m * step for (m, _), step in zip(window, order, strict=True))
                sums = [
                    b.select(b.icmp_signed("==", n, self.numbers(number, x.type.count)), y, x)
                    for n, x, y in zip(found, total, sums, strict=True)
                ]
            total = sums
        self.finish(self.image, place, self.channel, total)

    # Very large windows

    def _look_again(self) -> None:
        """Every input looks at all elements of all its windows."""
        k, b = self.k, self.k.builder
        rows = self.axes[0].side
        begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            self.image = b.sdiv(unit, k.const(rows))
            self._checks((b.srem(unit, k.const(rows)),))

    def _checks(self, place: tuple[Value, ...]) -> None:
        """An input (or, with axes left, all inputs behind it)."""
        k, spec = self.k, self.spec
        if len(place) < len(self.axes):
            with k.loop(0, self.axes[len(place)].side) as i:
                self._checks((*place, i))
            return

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            total = [k.variable(zero) for zero in self.zeros(widths)]

            def window(m: tuple[Offset, ...], place_out: tuple[Value, ...]) -> None:
                terms = self._checked(m, place_out, channel, widths)
                for variable, x in zip(total, terms, strict=True):
                    variable.set(k.builder.fadd(variable.get(), x))

            self._meeting(place, (), (), window)
            self.finish(self.image, place, channel, [variable.get() for variable in total])

        over_channels(k, spec.channels, self.lanes, 1, block)

    def _meeting(
        self,
        place: tuple[Value, ...],
        m: tuple[Offset, ...],
        outputs: tuple[Value, ...],
        window: Callable[[tuple[Offset, ...], tuple[Value, ...]], None],
    ) -> None:
        """Call ``window(m, o)`` for the kernel positions m, in order, at which a window o meets."""
        k, b, depth = self.k, self.k.builder, len(m)
        if depth == len(self.axes):
            window(m, outputs)
            return
        axis = self.axes[depth]
        stride = k.const(axis.stride)
        with k.loop(0, axis.kernel) as i:
            start = b.sub(k.add(place[depth], axis.before), k.mul(i, axis.dilation))
            o = b.sdiv(start, stride)
            exists = b.and_(
                b.icmp_signed(">=", start, k.const(0)),
                b.icmp_signed("==", b.srem(start, stride), k.const(0)),
            )
            exists = b.and_(exists, b.icmp_signed("<", o, k.const(axis.outputs)))
            with k.when(exists):
                self._meeting(place, (*m, i), (*outputs, o), window)

    def _checked(
        self,
        m: tuple[Offset, ...],
        place: tuple[Value, ...],
        channel: Value,
        widths: tuple[int, ...],
    ) -> list[Value]:
        """What the window at an output position adds to its input at kernel position m."""
        k, spec, b = self.k, self.spec, self.k.builder
        terms = self.load(self.at(spec.gradient, self.image, place), channel, widths)
        bounds = [axis.bounds(k, o) for axis, o in zip(self.axes, place, strict=True)]
        if spec.kind == "avg":
            count = average_divisor(
                k, self.axes, place, bounds, spec.dtype, include_pad=spec.count_include_pad
            )
            return [b.fdiv(x, k.splat(count, x.type.count)) for x in terms]
        base = k.at(self.corner(self.image, place), channel, spec.dtype)
        number = dot(k, m, row_major([axis.kernel for axis in self.axes]))
        return [
            b.select(
                b.icmp_signed("==", found, self.numbers(number, x.type.count)),
                x,
                k.splat_const(0.0, spec.dtype, x.type.count),
            )
            for found, x in zip(self.winners(base, bounds, widths), terms, strict=True)
        ]


class _Ring:
    """A few rows of windows on the stack: what each gives, and the kernel position that gets it."""

    def __init__(self, k: Kernel, owner: OverlappingWindows, width: int) -> None:
        self.k, self.owner, self.width = k, owner, width
        self.dtype = owner.spec.dtype
        self.integer = "int64" if self.dtype == "float64" else "int32"
        self.counts = [span.count for span in owner.spans[1:]]
        self.rows = owner.spans[0].reach + 1
        self.plane = prod(self.counts) * width
        # The row behind the others has no windows.
        size = (self.rows + 1) * self.plane
        self.empty = k.const(self.rows * self.plane)
        self.terms = k.stack(self.dtype, size)
        self.numbers = None if owner.spec.kind == "avg" else k.stack(self.integer, size)
        with k.loop(0, size, owner.lanes) as place:
            zeros = k.splat_const(0.0, self.dtype, owner.lanes)
            k.store(zeros, k.at(self.terms, place, self.dtype))
            if self.numbers is not None:
                nobody = owner.numbers(-1, owner.lanes)
                k.store(nobody, k.at(self.numbers, place, self.integer))

    def slot(self, row: Value) -> Value:
        """Where a row lies; rows take turns."""
        turn = self.k.builder.srem(row, self.k.const(self.rows))
        return self.k.builder.mul(turn, self.k.const(self.plane))

    def _place(self, slot: Value, columns: Sequence[Value]) -> Value:
        strides = [step * self.width for step in row_major(self.counts)]
        spans = self.owner.spans[1:]
        terms = [
            self.k.mul(self.k.add(o, -span.low), stride)
            for o, span, stride in zip(columns, spans, strides, strict=True)
        ]
        return self.k.add(slot, *terms)

    def put(
        self, slot: Value, columns: Sequence[Value], terms: list[Value], found: list[Value]
    ) -> None:
        """Store what a window gives, and to which kernel position."""
        k, place, lanes = self.k, self._place(slot, columns), self.owner.lanes
        for v, x in enumerate(terms):
            k.store(x, k.at(self.terms, k.add(place, v * lanes), self.dtype))
        for v, n in enumerate(found):
            k.store(n, k.at(self.numbers, k.add(place, v * lanes), self.integer))

    def get(
        self, slot: Value, columns: Sequence[Value], widths: Sequence[int]
    ) -> tuple[list[Value], list[Value]]:
        """What a window gives, and to which kernel position; averages give to all."""
        k, place, lanes = self.k, self._place(slot, columns), self.owner.lanes
        terms = load_block(k, k.at(self.terms, place, self.dtype), self.dtype, lanes, widths)
        if self.numbers is None:
            return terms, []
        at = k.at(self.numbers, place, self.integer)
        return terms, load_block(k, at, self.integer, lanes, widths)


def _met(axis: AxisWindow, phase: int) -> list[tuple[int, int]]:
    """(m, d) for inputs at a * stride + phase - before: window a - d meets them at position m."""
    found = []
    for m in range(axis.kernel):
        d, rest = divmod(m * axis.dilation - phase, axis.stride)
        if rest == 0:
            found.append((m, d))
    return found


def _inside(axis: AxisWindow, phase: int) -> tuple[int, int]:
    """The a [start, stop) for which a * stride + phase - before is an input."""
    shift = phase - axis.before
    return -(shift // axis.stride), -((shift - axis.side) // axis.stride)
