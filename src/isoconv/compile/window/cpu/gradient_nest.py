"""What every schedule of pooling's gradient needs: addresses, winners, the end of a position."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ir

from isoconv.compile.native.loops import I32, I64, Kernel, Value
from isoconv.compile.native.nest import (
    Offset,
    dot,
    load_block,
    replaces,
    row_major,
)
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression, row_of
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.window.cpu.nest import AxisWindow, Bounds, first_in_range, over_window
from isoconv.compile.window.gradient import PoolGradSpec


class GradEmission:
    """What both schedules need: addresses, and the end of an input position."""

    def __init__(self, k: Kernel, spec: PoolGradSpec, axes: tuple[AxisWindow, ...]) -> None:
        self.k, self.spec, self.axes = k, spec, axes
        self.lanes = k.target.lanes(spec.dtype)

    def steps(self) -> tuple[int, ...]:
        """Elements of the source from one kernel position to the next, per axis."""
        if self.spec.source is None:
            return (0,) * len(self.axes)
        strides = self.spec.source.strides[:-1]
        return tuple(axis.dilation * s for axis, s in zip(self.axes, strides, strict=True))

    def at(self, operand: Operand, image: Value, place: Sequence[Value | int]) -> Value:
        """Address of channel 0 at a position of an operand."""
        k = self.k
        terms: list[Value | int] = [operand.offset, k.mul(row_of(k, operand, image), operand.image)]
        terms += [k.mul(p, s) for p, s in zip(place, operand.strides[:-1], strict=True)]
        return k.at(k.buffers[operand.buffer], k.add(*terms), operand.dtype)

    def corner(self, image: Value, place: Sequence[Value]) -> Value:
        """Address in the source of kernel position 0 of the window at an output position."""
        k, source = self.k, self.spec.source
        if source is None:
            return k.buffers[self.spec.gradient.buffer]
        start = [
            k.add(k.mul(o, axis.stride), -axis.before)
            for axis, o in zip(self.axes, place, strict=True)
        ]
        return self.at(source, image, start)

    def finish(
        self, image: Value, place: Sequence[Value | int], channel: Value, values: Sequence[Value]
    ) -> None:
        """Epilogue and stores for one input position and a block of channels."""
        k, spec = self.k, self.spec
        for v, value in enumerate(values):
            index = Index(image, (*place, k.add(channel, v * self.lanes)), value.type.count)
            emit_expression(k, spec.domain, spec.epilogue, index, [value])

    def zeros(self, widths: Sequence[int]) -> list[Value]:
        """+0.0 for a block of channels."""
        return [self.k.splat_const(0.0, self.spec.dtype, width) for width in widths]

    def numbers(self, number: Offset, width: int) -> Value:
        """A kernel position's number in every lane, as wide as the dtype."""
        kind = I64 if self.spec.dtype == "float64" else I32
        if isinstance(number, int):
            return ir.Constant(ir.VectorType(kind, width), [number] * width)
        return self.k.splat(number if kind == I64 else self.k.builder.trunc(number, kind), width)

    def winners(
        self,
        base: Value,
        bounds: Sequence[Bounds],
        widths: Sequence[int],
    ) -> list[Value]:
        """The number of the kernel position that holds each lane's maximum."""
        k, steps = self.k, self.steps()
        order = row_major([axis.kernel for axis in self.axes])
        first = first_in_range(bounds)
        best = [k.variable(x) for x in self.load(base, dot(k, first, steps), widths)]
        start = dot(k, first, order)
        found = [k.variable(self.numbers(start, width)) for width in widths]

        def tap(m: tuple[Offset, ...]) -> None:
            loaded = self.load(base, dot(k, m, steps), widths)
            for value, where, x in zip(best, found, loaded, strict=True):
                takes = replaces(k, x, value.get())
                value.set(k.builder.select(takes, x, value.get()))
                here = self.numbers(dot(k, m, order), x.type.count)
                where.set(k.builder.select(takes, here, where.get()))

        over_window(k, self.axes, bounds, tap)
        return [where.get() for where in found]

    def load(self, base: Value, offset: Offset, widths: Sequence[int]) -> list[Value]:
        """A block of channels at so many elements from an address."""
        dtype = self.spec.dtype
        return load_block(self.k, self.k.at(base, offset, dtype), dtype, self.lanes, widths)
