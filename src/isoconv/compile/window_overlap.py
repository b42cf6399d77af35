"""Gradient of pooling with windows that overlap or reach over the border.

    for n, input position i..., kernel position m, row-major:
        if a window o meets i at m: dx = dx + term(o, m)

Schedule: inputs at a * stride + r - before are phase r of an axis. In the interior, which windows
meet a phase and where their elements lie are constant offsets, written out; an input is compared
with the other elements of each of its windows. Near the border, everything is a loop with checks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod

from isoconv.compile.loops import Value
from isoconv.compile.window_grad_nest import GradEmission
from isoconv.compile.window_nest import (
    WRITTEN_OUT,
    AxisWindow,
    Offset,
    average_divisor,
    dot,
    over_channels,
    row_major,
)

__all__ = ["OverlappingWindows"]

Phase = tuple[Value, int]
"""Where an input is along an axis: it is at a * stride + r - before, as (a, r)."""

_COMPARISONS = 256  # per input and phase, up to which windows and elements are written out


class OverlappingWindows(GradEmission):
    """Windows that overlap or reach over the border: each input looks at its windows."""

    def run(self) -> None:
        """Emit the loops."""
        k, b = self.k, self.k.builder
        self.inner = [_interior(axis) for axis in self.axes]
        taps = prod(axis.kernel for axis in self.axes)
        most = _COMPARISONS if self.spec.kind == "max" else taps * WRITTEN_OUT
        if taps * taps > most:
            self.inner = [(0, 0)] * len(self.axes)
        rows = self.axes[0].side
        begin, end = k.share(b.mul(k.slot("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            self.image = b.sdiv(unit, k.const(rows))
            self._row(b.srem(unit, k.const(rows)))

    def _row(self, row: Value) -> None:
        """The first axis: which phase a row is of is known at run time."""
        k, b, axis = self.k, self.k.builder, self.axes[0]
        first, last = self.inner[0]
        inside = b.and_(
            b.icmp_signed(">=", row, k.const(first)), b.icmp_signed("<", row, k.const(last))
        )
        with b.if_else(inside) as (then, otherwise):
            with then:
                start = k.add(row, axis.before)
                at = b.sdiv(start, k.const(axis.stride))
                phase = b.srem(start, k.const(axis.stride))
                for r in range(axis.stride if first < last else 0):
                    with k.when(b.icmp_signed("==", phase, k.const(r))):
                        self._columns((row,), ((at, r),))
            with otherwise:
                self._border((row,))

    def _columns(self, place: tuple[Value, ...], phases: tuple[Phase, ...]) -> None:
        k, depth = self.k, len(place)
        if depth == len(self.axes):
            self._interior(place, phases)
            return
        axis, (first, last) = self.axes[depth], self.inner[depth]
        for start, stop in ((0, first), (last, axis.side)):
            if start < stop:
                with k.loop(start, stop) as i:
                    self._border((*place, i))
        for r in range(axis.stride):
            # Inputs of this phase are at a * stride + r - before.
            shift = r - axis.before
            start, stop = -(-(first - shift) // axis.stride), -(-(last - shift) // axis.stride)
            if start < stop:
                with k.loop(start, stop) as a:
                    i = k.add(k.mul(a, axis.stride), shift)
                    self._columns((*place, i), (*phases, (a, r)))

    def _interior(self, place: tuple[Value, ...], phases: tuple[Phase, ...]) -> None:
        """An input all of whose windows are known to lie inside."""
        k, spec, b = self.k, self.spec, self.k.builder
        met = list(
            product(*(_met(axis, r) for axis, (_, r) in zip(self.axes, phases, strict=True)))
        )
        gradient = self.at(spec.gradient, self.image, [a for a, _ in phases])
        strides = spec.gradient.strides[:-1]
        own = None if spec.source is None else self.at(spec.source, self.image, place)
        count = float(prod(axis.kernel for axis in self.axes))

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            zeros = self.zeros(widths)
            total = zeros
            base = None if own is None else k.at(own, channel, spec.dtype)
            for window in met:
                back = -sum(d * s for (_, d), s in zip(window, strides, strict=True))
                terms = self.load(k.at(gradient, channel, spec.dtype), back, widths)
                if base is None:
                    terms = [
                        b.fdiv(x, k.splat_const(count, spec.dtype, x.type.count)) for x in terms
                    ]
                else:
                    masks = self._wins(base, tuple(m for m, _ in window), widths)
                    terms = [
                        b.select(t, x, zero) for t, x, zero in zip(masks, terms, zeros, strict=True)
                    ]
                total = [b.fadd(x, y) for x, y in zip(total, terms, strict=True)]
            self.finish(self.image, place, channel, total)

        over_channels(k, spec.channels, self.lanes, 1 if spec.kind == "max" else 2, block)

    def _wins(self, base: Value, m: tuple[int, ...], widths: tuple[int, ...]) -> list[Value]:
        """Where the element at `base`, at kernel position m of a window, is its maximum.

        A number wins when all before it are smaller and none after it is greater; a NaN when all
        before it are numbers.
        """
        b, steps = self.k.builder, self.steps()
        own = self.load(base, 0, widths)
        numbers: list[Value] = [b.fcmp_ordered("ord", x, x) for x in own]
        invalid: list[Value] = [b.fcmp_unordered("uno", x, x) for x in own]
        for t in product(*(range(axis.kernel) for axis in self.axes)):
            if t == m:
                continue
            offset = sum((i - j) * step for i, j, step in zip(t, m, steps, strict=True))
            for v, other in enumerate(self.load(base, offset, widths)):
                smaller = b.fcmp_ordered("<" if t < m else "<=", other, own[v])
                numbers[v] = b.and_(numbers[v], smaller)
                if t < m:
                    invalid[v] = b.and_(invalid[v], b.fcmp_ordered("ord", other, other))
        return [b.or_(x, y) for x, y in zip(numbers, invalid, strict=True)]

    def _border(self, place: tuple[Value, ...]) -> None:
        """An input (or, with axes left, all inputs behind it) whose windows need checks."""
        k, spec = self.k, self.spec
        if len(place) < len(self.axes):
            with k.loop(0, self.axes[len(place)].side) as i:
                self._border((*place, i))
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


def _met(axis: AxisWindow, phase: int) -> list[tuple[int, int]]:
    """(m, d) for inputs at a * stride + phase - before: window a - d meets them at position m."""
    found = []
    for m in range(axis.kernel):
        d, rest = divmod(m * axis.dilation - phase, axis.stride)
        if rest == 0:
            found.append((m, d))
    return found


def _interior(axis: AxisWindow) -> tuple[int, int]:
    """Inputs [first, last) all of whose windows exist and lie inside the input."""
    low, high = axis.interior
    first, last = 0, axis.side
    for phase in range(axis.stride):
        shift = phase - axis.before
        for _, d in _met(axis, phase):
            # Of this phase, those with low <= a - d < high are interior; the others are not.
            first = max(first, (low + d - 1) * axis.stride + shift + 1)
            last = min(last, (high + d) * axis.stride + shift)
    first = min(first, axis.side)
    return first, max(first, last)
