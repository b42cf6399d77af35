"""Pooling: the maximum, its place or the average of a window, channel by channel.

    for n, output position o..., channel c:
        y = the first element of the window        (max, place)    or    +0.0     (avg)
        for kernel position m, row-major, in range:
            x = source[n, o * stride - before + m * dilation, c]
            max: y = x where x > y, or x is NaN and y is not
            avg: y = y + x
        place: y = the row-major number of the position that y came from
        avg: y = y / count(o)
        result[n, o, c] = epilogue(y)

Schedule: lanes run along channels, a few vectors at a time. Where a window lies wholly inside the
input its kernel positions are unrolled with constant offsets; at the border they are loops with
bounds computed from o. The gradients are in ``gradient``.
"""

from __future__ import annotations

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable
from isoconv.compile.native.nest import (
    Offset,
    dot,
    load_block,
    over_channels,
    replaces,
    row_major,
)
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression, row_of
from isoconv.compile.window.cpu.nest import (
    Bounds,
    average_divisor,
    axis_windows,
    first_in_range,
    over_window,
)
from isoconv.compile.window.pool import PoolSpec

_VECTORS = 4  # vectors of channels at a time: independent chains that hide the latency


@emits(PoolSpec)
def pool(k: Kernel, spec: PoolSpec) -> None:
    """Pooling of every image."""
    _Pool(k, spec).run()


class _Pool:
    def __init__(self, k: Kernel, spec: PoolSpec) -> None:
        self.k, self.spec = k, spec
        self.axes = axis_windows(spec.window, spec.sides)
        self.lanes = k.target.lanes(spec.dtype)

    def run(self) -> None:
        """Share out images × output rows; a row's first axis is interior or border as a whole."""
        k = self.k
        b = k.builder
        rows = self.axes[0].outputs if self.axes else 1
        begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            image = b.sdiv(unit, k.const(rows))
            if self.axes:
                self._row(image, b.srem(unit, k.const(rows)))
            else:
                self._position(image, (), ())

    def _row(self, image: Value, row: Value) -> None:
        k, axis = self.k, self.axes[0]
        b = k.builder
        first, last = axis.interior
        if (first, last) == (0, axis.outputs):
            self._columns(image, (row,), (None,))
            return
        if first == last:
            self._columns(image, (row,), (axis.bounds(k, row),))
            return
        inside = b.and_(
            b.icmp_signed(">=", row, k.const(first)), b.icmp_signed("<", row, k.const(last))
        )
        with b.if_else(inside) as (then, otherwise):
            with then:
                self._columns(image, (row,), (None,))
            with otherwise:
                self._columns(image, (row,), (axis.bounds(k, row),))

    def _columns(self, image: Value, place: tuple[Value, ...], bounds: tuple[Bounds, ...]) -> None:
        """The remaining axes; once one axis is at the border, the others take bounds as well."""
        k, depth = self.k, len(place)
        if depth == len(self.axes):
            self._position(image, place, bounds)
            return
        axis = self.axes[depth]
        first, last = axis.interior if all(limits is None for limits in bounds) else (0, 0)
        for start, stop, inside in (
            (0, first, False),
            (first, last, True),
            (last, axis.outputs, False),
        ):
            if start < stop:
                with k.loop(start, stop) as o:
                    limits = None if inside else axis.bounds(k, o)
                    self._columns(image, (*place, o), (*bounds, limits))

    def _position(self, image: Value, place: tuple[Value, ...], bounds: tuple[Bounds, ...]) -> None:
        """One output position, all channels."""
        k, spec = self.k, self.spec
        corner = self._corner(image, place)
        divisor = None
        if spec.kind == "avg":
            divisor = average_divisor(
                k, self.axes, place, bounds, spec.dtype, include_pad=spec.count_include_pad
            )

        def block(channel: Value, widths: tuple[int, ...]) -> None:
            base = k.at(corner, channel, spec.dtype)
            if spec.kind != "avg":
                best = self._maximum(base, place, bounds, widths)
            else:
                best = self._total(base, bounds, widths)
            for v, (variable, width) in enumerate(zip(best, widths, strict=True)):
                value = variable.get()
                if divisor is not None:
                    value = k.builder.fdiv(value, k.splat(divisor, width))
                index = Index(image, (*place, k.add(channel, v * self.lanes)), width)
                emit_expression(k, spec.domain, spec.epilogue, index, [value])

        over_channels(k, spec.channels, self.lanes, _VECTORS, block)

    def _corner(self, image: Value, place: tuple[Value, ...]) -> Value:
        """Address of kernel position 0, channel 0; it may lie in the padding."""
        k, source = self.k, self.spec.source
        terms: list[Value | int] = [source.offset, k.mul(row_of(k, source, image), source.image)]
        for axis, o, stride in zip(self.axes, place, source.strides[:-1], strict=True):
            terms += [k.mul(o, axis.stride * stride), -axis.before * stride]
        return k.at(k.buffers[source.buffer], k.add(*terms), self.spec.dtype)

    def _steps(self) -> tuple[int, ...]:
        """Elements from one kernel position to the next, per axis."""
        strides = self.spec.source.strides[:-1]
        return tuple(axis.dilation * s for axis, s in zip(self.axes, strides, strict=True))

    def _maximum(
        self,
        base: Value,
        place: tuple[Value, ...],
        bounds: tuple[Bounds, ...],
        widths: tuple[int, ...],
    ) -> list[Variable]:
        """The maxima, or the numbers of their positions."""
        k, b, steps = self.k, self.k.builder, self._steps()
        first = first_in_range(bounds)
        best = [k.variable(x) for x in self._load(base, dot(k, first, steps), widths)]
        where: list[Variable] = []
        if self.spec.kind == "place":
            where = [k.variable(k.splat(self._number(place, first), width)) for width in widths]

        def tap(m: tuple[Offset, ...]) -> None:
            if all(isinstance(i, int) and i == 0 for i in m):
                return
            number = self._number(place, m) if where else None
            for v, x in enumerate(self._load(base, dot(k, m, steps), widths)):
                y = best[v].get()
                wins = replaces(k, x, y)
                best[v].set(b.select(wins, x, y))
                if where:
                    where[v].set(b.select(wins, k.splat(number, widths[v]), where[v].get()))

        over_window(k, self.axes, bounds, tap)
        return where or best

    def _number(self, place: tuple[Value, ...], m: tuple[Offset, ...]) -> Value:
        """The row-major number of the position that a kernel position meets, as a float."""
        k, strides = self.k, row_major(self.spec.sides)
        terms: list[Value | int] = []
        for axis, o, i, stride in zip(self.axes, place, m, strides, strict=True):
            terms += [k.mul(o, axis.stride * stride), -axis.before * stride]
            terms.append(k.mul(i, axis.dilation * stride))
        return k.builder.sitofp(k.add(0, *terms), k.scalar_type(self.spec.dtype))

    def _total(
        self, base: Value, bounds: tuple[Bounds, ...], widths: tuple[int, ...]
    ) -> list[Variable]:
        k, steps = self.k, self._steps()
        total = [k.variable(k.splat_const(0.0, self.spec.dtype, width)) for width in widths]

        def tap(m: tuple[Offset, ...]) -> None:
            for variable, x in zip(total, self._load(base, dot(k, m, steps), widths), strict=True):
                variable.set(k.builder.fadd(variable.get(), x))

        over_window(k, self.axes, bounds, tap)
        return total

    def _load(self, base: Value, offset: Offset, widths: tuple[int, ...]) -> list[Value]:
        dtype = self.spec.dtype
        return load_block(self.k, self.k.at(base, offset, dtype), dtype, self.lanes, widths)
