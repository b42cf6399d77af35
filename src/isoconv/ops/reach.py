"""Which box of its inputs a box of results reads: how far an operation reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Box
from isoconv.ops.geometry import ConvGeometry, WindowGeometry


def _whole(spec: TensorSpec) -> Box:
    return tuple((0, side - 1) for side in spec.shape)


def _windows(
    window: ConvGeometry | WindowGeometry, box: Box, sides: Sequence[int]
) -> list[tuple[int, int]]:
    """First and last place inside that the windows of a box meet, on each axis that slides."""
    found = []
    axes = zip(box, sides, window.kernel, window.stride, window.padding, window.dilation,
               strict=False)  # fmt: skip
    for (low, high), side, kernel, stride, (before, _), dilation in axes:
        starts = np.arange(low, high + 1) * stride - before
        met = (starts[:, None] + np.arange(kernel) * dilation).ravel()
        within = met[(met >= 0) & (met < side)]
        found.append((int(within.min()), int(within.max())) if within.size else (1, 0))
    return found


def _kept(box: Box) -> Box | None:
    """None for a box that holds nothing, such as that of a window in the padding alone."""
    return box if all(low <= high for low, high in box) else None


def convolved(
    attrs: ConvGeometry, box: Box, result: TensorSpec, x: TensorSpec, w: TensorSpec
) -> tuple[Box | None, ...]:
    """A convolution reads its windows, and of each group all channels."""
    inner, filters = (spec.shape[-1] // attrs.groups for spec in (x, result))
    first, last = (at // filters for at in box[-1])
    channels = (first * inner, (last + 1) * inner - 1)
    return _kept((*_windows(attrs, box, x.shape[:-1]), channels)), (*_whole(w)[:-1], box[-1])


def transposed(
    attrs: Any, box: Box, result: TensorSpec, x: TensorSpec, w: TensorSpec
) -> tuple[Box | None, ...]:
    """A convolution run backwards reads what the kernel spreads into a box."""
    geometry, found = attrs.geometry, []
    axes = zip(box, x.shape, geometry.kernel, geometry.stride, geometry.padding,
               geometry.dilation, strict=False)  # fmt: skip
    for (low, high), side, kernel, stride, (before, _), dilation in axes:
        ahead = np.arange(low, high + 1)[:, None] + before - np.arange(kernel) * dilation
        places = ahead[ahead % stride == 0] // stride
        met = places[(places >= 0) & (places < side)]
        found.append((int(met.min()), int(met.max())) if met.size else (1, 0))
    inner, filters = (spec.shape[-1] // geometry.groups for spec in (result, x))
    first, last = (at // inner for at in box[-1])
    channels = (first * filters, (last + 1) * filters - 1)
    return _kept((*found, channels)), (*_whole(w)[:-1], channels)


def multiplied(
    _: Any, box: Box, __: TensorSpec, a: TensorSpec, b: TensorSpec
) -> tuple[Box | None, ...]:
    """A product of matrices reads rows of the first and columns of the second."""
    *lead, rows, columns = box
    found = []
    for spec, last in ((a, (rows, (0, a.shape[-1] - 1))), (b, ((0, b.shape[-2] - 1), columns))):
        outer = spec.shape[:-2]
        sides = zip(lead[len(lead) - len(outer) :], outer, strict=True)
        found.append((*((0, 0) if side == 1 else at for at, side in sides), *last))
    return tuple(found)


def pooled(attrs: Any, box: Box, _: TensorSpec, x: TensorSpec) -> tuple[Box | None, ...]:
    """Pooling reads its windows, channel by channel."""
    window = attrs if isinstance(attrs, WindowGeometry) else attrs.window
    return (_kept((*_windows(window, box, x.shape[:-1]), box[-1])),)


def beside(_: Any, box: Box, __: TensorSpec, *inputs: TensorSpec) -> tuple[Box | None, ...]:
    """Of channels side by side, each input gives its own."""
    start, found = 0, []
    for spec in inputs:
        channels = spec.shape[-1]
        low, high = max(box[-1][0] - start, 0), min(box[-1][1] - start, channels - 1)
        start += channels
        found.append(_kept((*box[:-1], (low, high))))
    return tuple(found)


def _shifted(box: Box, x: TensorSpec, shifts: Sequence[int]) -> tuple[Box | None, ...]:
    found = [
        (max(low + shift, 0), min(high + shift, side - 1))
        for (low, high), shift, side in zip(box, shifts, x.shape, strict=False)
    ]
    return (_kept((*found, *box[len(found) :])),)


def moved(attrs: Any, box: Box, _: TensorSpec, x: TensorSpec) -> tuple[Box | None, ...]:
    """A padded value reads what lies inside; nothing of the padding."""
    return _shifted(box, x, [-before for before, _ in attrs.pairs])


def inside(attrs: Any, box: Box, _: TensorSpec, x: TensorSpec) -> tuple[Box | None, ...]:
    """A cropped value reads what was kept."""
    return _shifted(box, x, [before for before, _ in attrs.pairs])


def permuted(attrs: Any, box: Box, _: TensorSpec, __: TensorSpec) -> tuple[Box | None, ...]:
    """A transposed value reads the same box, its axes in the order of x."""
    return (tuple(box[attrs.axes.index(axis)] for axis in range(len(box))),)


def taken(box: Box, axis: int, places: Sequence[int]) -> Box | None:
    """A box whose one axis reads these places of x; -1 is none."""
    met = [place for place in places if place >= 0]
    found = list(box)
    found[axis] = (min(met), max(met)) if met else (1, 0)
    return _kept(tuple(found))
