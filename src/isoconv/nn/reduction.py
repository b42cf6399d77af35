"""Sums, means, products, extremes and norms over any axes of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from isoconv.checks import check_choice, check_flag
from isoconv.nn.module import Module
from isoconv.nn.moving import transpose
from isoconv.nn.settings import Axes, axes_of
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import CountAttrs, Padding, Slice, WindowGeometry
from isoconv.ops.reduce import summed

__public__ = {"isoconv.nn": ["Reduce"], "isoconv.nn.functional": ["reduce"]}

Places = tuple[int, ...]


def total(x: Tensor, axes: Places) -> Tensor:
    """The sum over axes, counted from 0, which go."""
    return Tensor(x.trace, summed(x.trace.builder, x.index, axes, batched=x.batched))


def mean(x: Tensor, axes: Places) -> Tensor:
    """The mean over axes, counted from 0, which go: their sum, divided by their elements."""
    count = CountAttrs(prod(x.shape[axis] for axis in axes), batched=True)
    return apply("divide_by_count", x=total(x, axes), attrs=count)


def _max(x: Tensor, axes: Places) -> Tensor:
    """A window as large as the axes."""
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    left = [x.shape[axis] for axis in kept]
    if len(x.shape) - 1 in axes:
        # Windows go along all axes but the last one, whose elements lie side by side in vectors.
        x, axes = transpose(x, (*axes, *kept)).reshape(-1, prod(left)), (0,)
    sides = enumerate(x.shape[:-1])
    kernel = tuple(side if axis in axes else 1 for axis, side in sides)
    ones = (1,) * len(kernel)
    window = WindowGeometry(kernel, ones, ((0, 0),) * len(kernel), ones)
    return apply("max_pool", x=x, attrs=window).reshape(*left)


def _min(x: Tensor, axes: Places) -> Tensor:
    return -_max(-x, axes)


def _prod(x: Tensor, axes: Places) -> Tensor:
    """The first half times the second half, until one is left; then what was left over."""
    kept = [side for axis, side in enumerate(x.shape) if axis not in axes]
    for axis in reversed(axes):
        rest: list[Tensor] = []
        while (side := x.shape[axis]) > 1:
            half = side // 2
            if side % 2:
                rest.append(_part(x, axis, side - 1, side))
            x = _part(x, axis, 0, half) * _part(x, axis, half, 2 * half)
        for part in reversed(rest):
            x = x * part
    return x.reshape(*kept)


def _part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """The places from start to below stop of an axis."""
    if axis == len(x.shape) - 1:
        return apply("slice_channels", x=x, attrs=Slice(start, stop))
    cut = (start, x.shape[axis] - stop)
    pairs = tuple(cut if each == axis else (0, 0) for each in range(len(x.shape) - 1))
    return apply("crop", x=x, attrs=Padding(pairs))


def _log_sum_exp(x: Tensor, axes: Places) -> Tensor:
    peak = _max(x, axes)
    # An infinite one is left where it is: a difference of infinities would be NaN.
    finite = -0.5 * apply("abs", x=peak) + float(np.finfo(x.dtype).max)
    peak = apply("relu_grad", finite=finite, peak=peak)
    ones = (1 if axis in axes else side for axis, side in enumerate(x.shape))
    powers = apply("exp", x=x - peak.reshape(*ones))
    return apply("log", x=total(powers, axes)) + peak


REDUCTIONS: dict[str, Callable[[Tensor, Places], Tensor]] = {
    "sum": total,
    "mean": mean,
    "max": _max,
    "min": _min,
    "prod": _prod,
    "l1": lambda x, axes: total(apply("abs", x=x), axes),
    "l2": lambda x, axes: apply("sqrt", x=total(apply("square", x=x), axes)),
    "sum_square": lambda x, axes: total(apply("square", x=x), axes),
    "log_sum": lambda x, axes: apply("log", x=total(x, axes)),
    "log_sum_exp": _log_sum_exp,
}
"""What each kind of reduction gives of a tensor and axes, which go."""


def reduce(x: Tensor, kind: str, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Each image's sum, or what else, over some of its axes.

    ``"sum"`` Σ x, ``"mean"`` Σ x / K of K elements, ``"prod"`` Π x, ``"max"`` and ``"min"`` the
    first of the greatest and least, ``"l1"`` Σ |x|, ``"l2"`` √(Σ x²), ``"sum_square"`` Σ x²,
    ``"log_sum"`` log Σ x, ``"log_sum_exp"`` log Σ exp(x), the greatest subtracted first. These are
    ONNX's operators ``ReduceSum``, ``ReduceMean``, ….

    Args:
        x: any shape; for an extreme with an image axis.
        kind: what is computed.
        axes: one axis or several, without that of the images; -1 is the last. None for all.
        keepdims: whether the axes stay, with one element each.

    Returns:
        The shape without these axes.

    Raises:
        ArgumentError: another kind, or an axis that x does not have.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((28, 28, 3))
        >>> reduce(x, "max", -1).shape, reduce(x, "mean", (0, 1), keepdims=True).shape
        ((28, 28), (1, 1, 3))
    """
    check_tensors("reduce", x=x)
    compute = REDUCTIONS[check_choice("kind", kind, REDUCTIONS)]
    places = axes_of("axes", axes, len(x.shape))
    y = compute(x, places)
    if not check_flag("keepdims", keepdims):
        return y
    return y.reshape(*(1 if axis in places else side for axis, side in enumerate(x.shape)))


@dataclass(eq=False, repr=False)
class Reduce(Module):
    """`reduce` as a layer: each image's sum, mean, extreme or norm over some of its axes.

    Args:
        kind: ``"sum"``, ``"mean"``, ``"max"``, ``"min"``, ``"prod"``, ``"l1"``, ``"l2"``,
            ``"sum_square"``, ``"log_sum"`` or ``"log_sum_exp"``.
        axes: one axis or several, without that of the images; -1 is the last. None for all.
        keepdims: whether the axes stay, with one element each.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        That shape without the axes.

    Source:
        No formula: `reduce` has those of all kinds.

    Raises:
        ArgumentError: when traced: another kind, or an axis that the input does not have.

    Example:
        >>> from isoconv import nn
        >>> nn.Reduce("mean", (0, 1)).summary((8, 8, 3)).rows[0].output
        (3,)
    """

    kind: str
    axes: Axes | None = None
    keepdims: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to that without the axes."""
        return reduce(x, self.kind, self.axes, self.keepdims)
