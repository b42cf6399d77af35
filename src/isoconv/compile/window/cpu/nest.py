"""The loops that pooling and its gradient share: one axis of a window, and a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import Offset
from isoconv.ops.geometry import WindowGeometry

UNROLLED = 25  # kernel positions up to which a window is unrolled instead of looped over

Bounds = tuple[Value, Value] | None
"""First kernel position in range and the one after the last; None where all are."""

Masks = Callable[[tuple[Offset, ...]], list[Value]]
"""For a kernel position: a vector for each vector of channels."""


@dataclass(frozen=True, slots=True)
class AxisWindow:
    """A pooling window along one axis.

    Attributes:
        side: size of the input.
        outputs: size of the output.
        kernel: kernel size.
        stride: input positions between windows.
        before: padding before the input.
        after: padding after it.
        dilation: input positions between kernel positions.
    """

    side: int
    outputs: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int

    @property
    def interior(self) -> tuple[int, int]:
        """Output positions [first, last) whose windows lie wholly inside the input."""
        reach = (self.kernel - 1) * self.dilation
        first = min(-(-self.before // self.stride), self.outputs)
        last = (self.side - 1 - reach + self.before) // self.stride + 1
        return first, max(first, min(last, self.outputs))

    def bounds(self, k: Kernel, o: Value) -> tuple[Value, Value]:
        """Kernel positions [first, last) of the window at o that lie inside the input."""
        return self._within(k, o, 0, self.side)

    def counted(self, k: Kernel, o: Value, *, include_pad: bool) -> Value:
        """Kernel positions of the window at o that an average counts."""
        before, after = (self.before, self.after) if include_pad else (0, 0)
        first, last = self._within(k, o, -before, self.side + after)
        return k.builder.sub(last, first)

    def _within(self, k: Kernel, o: Value, start: int, stop: int) -> tuple[Value, Value]:
        # Kernel position m meets o * stride - before + m * dilation. Division goes towards zero,
        # which is up for the negative numbers that the maximum with 0 then removes.
        b, origin = k.builder, k.mul(o, self.stride)
        up = self.dilation - 1

        def position(limit: int) -> Value:
            room = b.sub(k.const(limit + self.before + up), origin)
            return room if self.dilation == 1 else b.sdiv(room, k.const(self.dilation))

        first = k.maximum(position(start), k.const(0))
        last = k.minimum(position(stop), k.const(self.kernel))
        return first, last


def axis_windows(window: WindowGeometry, sides: Sequence[int]) -> tuple[AxisWindow, ...]:
    """The window along each spatial axis of an input of these sizes."""
    return tuple(
        AxisWindow(side, outputs, kernel, stride, before, after, dilation)
        for side, outputs, kernel, stride, (before, after), dilation in zip(
            sides,
            window.output_sides(sides),
            window.kernel,
            window.stride,
            window.padding,
            window.dilation,
            strict=True,
        )
    )


def over_window(
    k: Kernel,
    axes: Sequence[AxisWindow],
    bounds: Sequence[Bounds],
    tap: Callable[[tuple[Offset, ...]], None],
) -> None:
    """Call ``tap(m)`` for each kernel position m in range, in row-major order.

    Small windows are unrolled; their coordinates are then integers known here.
    """
    unrolled = prod(axis.kernel for axis in axes) <= UNROLLED

    def descend(m: tuple[Offset, ...]) -> None:
        depth = len(m)
        if depth == len(axes):
            tap(m)
            return
        kernel, limits = axes[depth].kernel, bounds[depth]
        innermost = depth == len(axes) - 1 > 0 and kernel * kernel <= UNROLLED
        if limits is None and (unrolled or innermost):
            for i in range(kernel):
                descend((*m, i))
        else:
            with k.loop(*(limits or (0, kernel))) as i:
                descend((*m, i))

    descend(())


def first_in_range(bounds: Sequence[Bounds]) -> tuple[Offset, ...]:
    """The first kernel position in range."""
    return tuple(0 if limits is None else limits[0] for limits in bounds)


def average_divisor(
    k: Kernel,
    axes: Sequence[AxisWindow],
    place: Sequence[Value],
    bounds: Sequence[Bounds],
    dtype: str,
    *,
    include_pad: bool,
) -> Value:
    """How many positions the average at an output position counts, as a number of this dtype."""
    count = k.const(1)
    for axis, o, limits in zip(axes, place, bounds, strict=True):
        size = (
            k.const(axis.kernel) if limits is None else axis.counted(k, o, include_pad=include_pad)
        )
        count = k.builder.mul(count, size)
    return k.builder.sitofp(count, k.scalar_type(dtype))
