"""Gradients of pooling by its input.

    for n, input position i..., channel c:
        dx = +0.0
        for kernel position m, row-major, of a window o that meets i there:
            max: dx = dx + gradient[n, o, c]   where source[n, i, c] is the window's maximum
            avg: dx = dx + gradient[n, o, c] / count(o)
        result[n, i, c] = epilogue(dx)

A maximum is the first of equals, or the first NaN. Adding +0.0 where nothing is to be added changes
no bit, because a sum that starts at +0.0 is never -0.0.

Schedule: windows that do not overlap are visited one by one and write all inputs they cover; inputs
that none covers get zeros. Otherwise each input looks at the windows that meet it. Inputs fall into
stride phases; in the interior, the windows of a phase and their elements have constant offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.loops import Kernel
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.compile.window.disjoint import DisjointWindows
from isoconv.compile.window.nest import AxisWindow, axis_windows
from isoconv.compile.window.overlap import OverlappingWindows
from isoconv.ops.geometry import WindowGeometry

__all__ = ["PoolGradSpec"]


@dataclass(frozen=True, slots=True)
class PoolGradSpec:
    """A kernel for the gradient of pooling.

    Attributes:
        kind: "max" or "avg".
        dtype: float32 or float64.
        window: how the window moves.
        sides: sizes of the input per spatial axis.
        channels: number of channels.
        source: for "max" the pool's input; strides per spatial axis, then the channel's (1).
        gradient: the gradient of the output, likewise.
        count_include_pad: an average also counts the padding that a window covers.
        domain: of the epilogue: sizes of the input per spatial axis, then channels.
        epilogue: pointwise work on dx (its root), and where it is stored.
        buffers: number of pointers.
    """

    kind: str
    dtype: str
    window: WindowGeometry
    sides: tuple[int, ...]
    channels: int
    source: Operand | None
    gradient: Operand
    count_include_pad: bool
    domain: Domain
    epilogue: Expression
    buffers: int

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        axes = axis_windows(self.window, self.sides)
        schedule = DisjointWindows if all(_apart(axis) for axis in axes) else OverlappingWindows
        schedule(k, self, axes).run()


def _apart(axis: AxisWindow) -> bool:
    """Windows do not overlap and lie inside the input."""
    simple = axis.stride >= axis.kernel and axis.dilation == 1 and axis.before == 0
    return simple and (axis.outputs - 1) * axis.stride + axis.kernel <= axis.side
