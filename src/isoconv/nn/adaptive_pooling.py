"""Pooling to a size that is given: adaptive averages and maxima."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import refusal
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.moving import MOST_PLACES, taken_places
from isoconv.nn.settings import check_rank, per_axis
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import AvgPool, Resample, WindowGeometry

__public__ = {"isoconv.nn": ["Adaptive*"], "isoconv.nn.functional": ["adaptive_*"]}

OutputSize = int | tuple[int | None, ...]
"""One number for all axes, or one per axis, of which None leaves an axis as it is."""
Windows = list[range]
"""The places that each window of an axis covers."""


def _adaptive(kind: str, rank: int, x: Tensor, output_size: OutputSize) -> Tensor:
    """The average ("avg") or maximum ("max") of windows as even as whole places allow."""
    check_rank(f"adaptive_{kind}_pool{rank}d", rank, x)
    sides = x.shape[:-1]
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    filled = tuple(side if size is None else size for side, size in zip(sides, given, strict=False))
    if len(given) != rank:
        raise refusal("output_size", f"be a whole number or {rank} of them, or None", output_size)
    sizes = _sizes("output_size", output_size, filled)
    windows = [
        [range(i * side // size, -(-(i + 1) * side // size)) for i in range(size)]
        for side, size in zip(sides, sizes, strict=True)
    ]
    return _average(x, windows) if kind == "avg" else maximum_of(x, windows)


def _sizes(name: str, value: object, filled: tuple[int, ...]) -> tuple[int, ...]:
    """A size for each axis, few enough to be listed."""
    try:
        sizes = per_axis(name, filled, len(filled))
    except ValueError:
        raise refusal(name, "be at least 1 on every axis, in whole numbers", value) from None
    if max(sizes) > MOST_PLACES:
        raise refusal(name, f"be at most {MOST_PLACES} on every axis", value)
    return sizes


def _even(windows: Sequence[range]) -> bool:
    """Whether windows of one size lie beside one another."""
    size = len(windows[0])
    return all(window.start == number * size for number, window in enumerate(windows)) and all(
        len(window) == size for window in windows
    )


def _geometry(kernel: Sequence[int]) -> WindowGeometry:
    """Windows beside one another."""
    sizes, rank = tuple(kernel), len(kernel)
    return WindowGeometry(sizes, sizes, ((0, 0),) * rank, (1,) * rank)


def _average(x: Tensor, axes: Sequence[Windows]) -> Tensor:
    if all(map(_even, axes)):
        kernel = [len(windows[0]) for windows in axes]
        return apply("avg_pool", x=x, attrs=AvgPool(_geometry(kernel)))
    for axis, windows in enumerate(axes):
        taps = tuple(tuple((i, 1 / len(window)) for i in window) for window in windows)
        if any(len(window) > 1 for window in windows):
            x = apply("resample", x=x, attrs=Resample(axis - len(x.shape), taps))
        else:
            x = taken_places(x, axis, tuple(window.start for window in windows))
    return x


def laid_out(x: Tensor, axes: Sequence[Windows]) -> tuple[Tensor, WindowGeometry]:
    """Windows laid out beside one another, small ones with their last place more than once."""
    kernel = []
    for axis, windows in enumerate(axes):
        size = max(map(len, windows))
        kernel.append(size)
        if not _even(windows):
            places = [window[min(m, len(window) - 1)] for window in windows for m in range(size)]
            if len(places) > MOST_PLACES:
                rule = f"make windows of at most {MOST_PLACES} places together"
                raise refusal("output_size", rule, len(windows))
            x = taken_places(x, axis, tuple(places))
    return x, _geometry(kernel)


def maximum_of(x: Tensor, axes: Sequence[Windows]) -> Tensor:
    """The maximum of each window."""
    laid, geometry = laid_out(x, axes)
    return apply("max_pool", x=laid, attrs=geometry)


def adaptive_avg_pool2d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Averages that make a given size: window i covers ``floor(i·H/O)`` to ``ceil((i+1)·H/O)``.

    He et al. 2014, "Spatial pyramid pooling in deep convolutional networks for visual recognition".

    Args:
        x: ``(H, W, C)``.
        output_size: O of the result, one number or one per axis; None leaves an axis as it is.

    Returns:
        ``(O, O', C)``.

    Raises:
        ShapeError: another rank.
        ArgumentError: a size below 1.

    Example:
        >>> from isoconv.nn import Trace
        >>> adaptive_avg_pool2d(Trace().images((28, 20, 8)), (7, None)).shape
        (7, 20, 8)
    """
    return _adaptive("avg", 2, x, output_size)


@like(adaptive_avg_pool2d, rank=1)
def adaptive_avg_pool1d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Averages that make a given length; see `adaptive_avg_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> adaptive_avg_pool1d(Trace().images((100, 2)), 7).shape
        (7, 2)
    """
    return _adaptive("avg", 1, x, output_size)


@like(adaptive_avg_pool2d, rank=3)
def adaptive_avg_pool3d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Averages that make a given size; see `adaptive_avg_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> adaptive_avg_pool3d(Trace().images((8, 9, 10, 2)), 3).shape
        (3, 3, 3, 2)
    """
    return _adaptive("avg", 3, x, output_size)


@like(adaptive_avg_pool2d)
def adaptive_max_pool2d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Maxima that make a given size: window i covers ``floor(i·H/O)`` to ``ceil((i+1)·H/O)``.

    He et al. 2014, "Spatial pyramid pooling in deep convolutional networks for visual recognition".
    """
    return _adaptive("max", 2, x, output_size)


@like(adaptive_max_pool2d, rank=1)
def adaptive_max_pool1d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Maxima that make a given length; see `adaptive_max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> adaptive_max_pool1d(Trace().images((100, 2)), 7).shape
        (7, 2)
    """
    return _adaptive("max", 1, x, output_size)


@like(adaptive_max_pool2d, rank=3)
def adaptive_max_pool3d(x: Tensor, output_size: OutputSize) -> Tensor:
    """Maxima that make a given size; see `adaptive_max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> adaptive_max_pool3d(Trace().images((8, 9, 10, 2)), 3).shape
        (3, 3, 3, 2)
    """
    return _adaptive("max", 3, x, output_size)


@dataclass(eq=False, repr=False)
class _AdaptivePool(Module):
    kind: ClassVar[str]
    rank: ClassVar[int]

    output_size: OutputSize

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(output_size..., C)``."""
        return _adaptive(self.kind, self.rank, x, self.output_size)


class _AdaptiveAvgPool(_AdaptivePool):
    kind = "avg"


class _AdaptiveMaxPool(_AdaptivePool):
    kind = "max"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """`adaptive_avg_pool2d` as a layer: averages that make a given size.

    Args:
        output_size: of the result, one number or one per axis; None leaves an axis as it is.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C)``, the sides that are asked for.

    Source:
        He et al. 2014, "Spatial pyramid pooling in deep convolutional networks for visual
        recognition".

    Raises:
        ShapeError: when traced: another rank.
        ArgumentError: when traced: a size below 1.

    Example:
        >>> from isoconv import nn
        >>> nn.AdaptiveAvgPool2d(7).summary((28, 20, 8)).rows[0].output
        (7, 7, 8)
    """

    rank = 2


@like(AdaptiveAvgPool2d, rank=1)
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """`adaptive_avg_pool1d` as a layer: averages that make a given size; see `AdaptiveAvgPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AdaptiveAvgPool1d(7).summary((100, 2)).rows[0].output
        (7, 2)
    """

    rank = 1


@like(AdaptiveAvgPool2d, rank=3)
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """`adaptive_avg_pool3d` as a layer: averages that make a given size; see `AdaptiveAvgPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AdaptiveAvgPool3d(7).summary((8, 9, 10, 2)).rows[0].output
        (7, 7, 7, 2)
    """

    rank = 3


@like(AdaptiveAvgPool2d)
class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """`adaptive_max_pool2d` as a layer: maxima that make a given size."""

    rank = 2


@like(AdaptiveMaxPool2d, rank=1)
class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """`adaptive_max_pool1d` as a layer: maxima that make a given size; see `AdaptiveMaxPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AdaptiveMaxPool1d(7).summary((100, 2)).rows[0].output
        (7, 2)
    """

    rank = 1


@like(AdaptiveMaxPool2d, rank=3)
class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """`adaptive_max_pool3d` as a layer: maxima that make a given size; see `AdaptiveMaxPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AdaptiveMaxPool3d(7).summary((8, 9, 10, 2)).rows[0].output
        (7, 7, 7, 2)
    """

    rank = 3
