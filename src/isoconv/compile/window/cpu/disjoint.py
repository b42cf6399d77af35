"""Gradient of pooling with windows that do not overlap: each window writes what it covers.

    for n, output position o...:
        for kernel position m: result[n, o * stride + m] = epilogue(+0.0 + term(o, m))
        for input positions behind the window, up to the next one: result = epilogue(+0.0)

Schedule: a window's elements are loaded once, two vectors of channels at a time; a small window
keeps for each kernel position a mask of the lanes it wins.
"""

from __future__ import annotations

from itertools import product
from math import prod

import llvmlite.ir as ir

from isoconv.compile.native.loops import Value
from isoconv.compile.native.nest import (
    Offset,
    dot,
    over_channels,
    replaces,
    row_major,
)
from isoconv.compile.window.cpu.gradient_nest import GradEmission
from isoconv.compile.window.cpu.nest import UNROLLED, Masks, over_window


class DisjointWindows(GradEmission):
    """Windows that do not overlap: each writes the inputs it covers."""

    def run(self) -> None:
        """Emit the loops."""
        k, b = self.k, self.k.builder
        rows = self.axes[0].outputs if self.axes else 1
        begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            self.image = b.sdiv(unit, k.const(rows))
            if self.axes:
                self._axis((), b.srem(unit, k.const(rows)))
            else:
                self._window(())

    def _axis(self, place: tuple[Value, ...], o: Value) -> None:
        """The window (or windows) at o of the next axis, then the gap behind it."""
        k, depth = self.k, len(place)
        axis = self.axes[depth]
        here = (*place, o)
        if depth + 1 == len(self.axes):
            self._window(here)
        else:
            with k.loop(0, self.axes[depth + 1].outputs) as following:
                self._axis(here, following)
        if axis.outputs * axis.stride == axis.side and axis.stride == axis.kernel:
            return
        start = k.add(k.mul(o, axis.stride), axis.kernel)
        last = k.builder.icmp_signed("==", o, k.const(axis.outputs - 1))
        behind = k.mul(k.add(o, 1), axis.stride)
        stop = k.builder.select(last, k.const(axis.side), behind)
        with k.loop(start, stop) as i:
            self._gap(place, (), i)

    def _gap(self, place: tuple[Value, ...], done: tuple[Value, ...], i: Value) -> None:
        """Zeros at coordinate i of the axis behind `place`, for all kernel rows before it."""
        k, depth = self.k, len(done)
        if depth < len(place):
            axis = self.axes[depth]
            with k.loop(0, axis.kernel) as m:
                self._gap(place, (*done, k.add(k.mul(place[depth], axis.stride), m)), i)
            return
        self._fill((*done, i))

    def _fill(self, place: tuple[Value, ...]) -> None:
        k = self.k
        if len(place) < len(self.axes):
            with k.loop(0, self.axes[len(place)].side) as i:
                self._fill((*place, i))
            return

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            self.finish(self.image, place, channel, self.zeros(widths))

        over_channels(k, self.spec.channels, self.lanes, 4, block)

    def _window(self, place: tuple[Value, ...]) -> None:
        k, spec = self.k, self.spec
        gradient = self.at(spec.gradient, self.image, place)
        corner = self.corner(self.image, place)
        size = prod(axis.kernel for axis in self.axes)

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            terms = self.load(gradient, channel, widths)
            if spec.kind == "avg":
                counts = [k.splat_const(float(size), spec.dtype, width) for width in widths]
                terms = [k.builder.fdiv(x, n) for x, n in zip(terms, counts, strict=True)]
                self._write(place, channel, lambda _: terms)
                return
            base = k.at(corner, channel, spec.dtype)
            if size <= UNROLLED:
                self._ask(base, widths)
                masks = self._masks(base, widths)
            else:
                masks = self._comparisons(base, widths)
            zeros = self.zeros(widths)
            self._write(
                place,
                channel,
                lambda m: [
                    k.builder.select(here, x, zero)
                    for here, x, zero in zip(masks(m), terms, zeros, strict=True)
                ],
            )

        over_channels(k, spec.channels, self.lanes, 2, block)

    def _ask(self, base: Value, widths: tuple[int, ...]) -> None:
        """Ask for the same window a row of windows below.

        The forward pass is long past, and rows are too short for the hardware to foresee much.
        """
        if len(self.axes) < 2:
            return
        k, steps = self.k, self.steps()
        below = self.axes[-2].stride * steps[-2]
        for m in product(*(range(axis.kernel) for axis in self.axes)):
            for v in range(len(widths)):
                place = k.add(dot(k, m, steps), below + v * self.lanes)
                k.prefetch(k.at(base, place, self.spec.dtype), level=2)

    def _comparisons(self, base: Value, widths: tuple[int, ...]) -> Masks:
        """The lanes whose maximum a kernel position holds, by its number."""
        found = self.winners(base, (None,) * len(self.axes), widths)
        order = row_major([axis.kernel for axis in self.axes])

        def masks(m: tuple[Offset, ...]) -> list[Value]:
            number = dot(self.k, m, order)
            return [
                self.k.builder.icmp_signed("==", x, self.numbers(number, x.type.count))
                for x in found
            ]

        return masks

    def _masks(self, base: Value, widths: tuple[int, ...]) -> Masks:
        """The same for a window that is unrolled, without numbers."""
        k, b, steps = self.k, self.k.builder, self.steps()
        positions = list(product(*(range(axis.kernel) for axis in self.axes)))
        best = self.load(base, 0, widths)
        takes: list[list[Value]] = []
        for m in positions[1:]:
            loaded = self.load(base, dot(k, m, steps), widths)
            taken = [replaces(k, x, y) for x, y in zip(loaded, best, strict=True)]
            best = [b.select(t, x, y) for t, x, y in zip(taken, loaded, best, strict=True)]
            takes.append(taken)
        # Who takes the place last keeps it.
        later = [ir.Constant(ir.VectorType(ir.IntType(1), width), [0] * width) for width in widths]
        masks: dict[tuple[Offset, ...], list[Value]] = {}
        for m, taken in zip(reversed(positions[1:]), reversed(takes), strict=True):
            masks[m] = [b.and_(t, b.not_(s)) for t, s in zip(taken, later, strict=True)]
            later = [b.or_(t, s) for t, s in zip(taken, later, strict=True)]
        masks[positions[0]] = [b.not_(s) for s in later]
        return masks.__getitem__

    def _write(self, place: tuple[Value, ...], channel: Value, terms: Masks) -> None:
        """Write the inputs of a window; ``terms(m)`` is what each adds to its +0.0."""
        k = self.k

        def tap(m: tuple[Offset, ...]) -> None:
            found = terms(m)
            zeros = self.zeros([x.type.count for x in found])
            inputs = [
                k.add(k.mul(o, axis.stride), i)
                for axis, o, i in zip(self.axes, place, m, strict=True)
            ]
            values = [k.builder.fadd(zero, x) for zero, x in zip(zeros, found, strict=True)]
            self.finish(self.image, inputs, channel, values)

        over_window(k, self.axes, (None,) * len(self.axes), tap)
