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

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel
from isoconv.compile.window.cpu.disjoint import DisjointWindows
from isoconv.compile.window.cpu.nest import AxisWindow, axis_windows
from isoconv.compile.window.cpu.overlap import OverlappingWindows
from isoconv.compile.window.gradient import PoolGradSpec


@emits(PoolGradSpec)
def pool_gradient(k: Kernel, spec: PoolGradSpec) -> None:
    """By windows where they do not overlap, else by inputs."""
    axes = axis_windows(spec.window, spec.sides)
    nest = DisjointWindows if all(_apart(axis) for axis in axes) else OverlappingWindows
    nest(k, spec, axes).run()


def _apart(axis: AxisWindow) -> bool:
    """Windows do not overlap and lie inside the input."""
    simple = axis.stride >= axis.kernel and axis.dilation == 1 and axis.before == 0
    return simple and (axis.outputs - 1) * axis.stride + axis.kernel <= axis.side
