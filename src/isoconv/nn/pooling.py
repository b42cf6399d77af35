"""Pooling: a window's maximum or average, or that of the whole feature map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import check_choice, check_flag
from isoconv.errors import as_given
from isoconv.nn.alike import like, ranked
from isoconv.nn.module import Module
from isoconv.nn.settings import (
    PaddingSetting,
    PerAxis,
    added,
    check_rank,
    padding_pairs,
    per_axis,
)
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import AvgPool, WindowGeometry

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["*_pool?d"]}

_RESULTS = {"values": "max_pool", "indices": "max_pool_places"}
"""What is asked of max pooling, and the operation that gives it."""


def window_of(
    kind: str,
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    dilation: PerAxis,
    ceil_mode: bool,
) -> WindowGeometry:
    """How a window moves over a value, from settings as people write them."""
    check_rank(kind, rank, x)
    kernel = per_axis("kernel_size", kernel_size, rank)
    strides = kernel if stride is None else per_axis("stride", stride, rank)
    dilations = per_axis("dilation", dilation, rank)
    pairs = padding_pairs(padding, x.shape[:rank], kernel, strides, dilations)
    with as_given(padding=padding):
        return WindowGeometry(kernel, strides, pairs, dilations, check_flag("ceil_mode", ceil_mode))


def _max_pool(
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    dilation: PerAxis,
    ceil_mode: bool,
    result: str = "values",
) -> Tensor:
    name = f"max_pool{rank}d"
    window = window_of(name, rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    kind = check_choice("result", result, _RESULTS)
    return apply(_RESULTS[kind], x=x, attrs=window)


def max_pool2d(
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window: ``Y(i, j, c) = max over m, n of X(i·S + m, j·S + n, c)``.

    Padding never wins. The first of equal values in row-major order counts as the largest and
    takes the gradient; NaN wins over every number.

    Args:
        x: ``(H, W, C)``.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: room P around, as in `conv2d`; less than the kernel.
        dilation: distance D between the window's elements.
        ceil_mode: a last window that hangs over the end is kept.

    Returns:
        ``(H', W', C)``.

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> max_pool2d(Trace().images((28, 28, 8)), 3, stride=2, padding=1).shape
        (14, 14, 8)
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode)


@like(max_pool2d, rank=1)
@ranked(1, max_pool2d, _max_pool)
def max_pool1d() -> None:
    """The largest value of each window, along one axis; see `max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> max_pool1d(Trace().images((100, 2)), 4).shape
        (25, 2)
    """


@like(max_pool2d, rank=3)
@ranked(3, max_pool2d, _max_pool)
def max_pool3d() -> None:
    """The largest value of each window, along three axes; see `max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> max_pool3d(Trace().images((8, 8, 8, 2)), 2).shape
        (4, 4, 4, 2)
    """


def _avg_pool(
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    ceil_mode: bool,
    count_include_pad: bool,
    dilation: PerAxis,
) -> Tensor:
    name = f"avg_pool{rank}d"
    window = window_of(name, rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    return apply(
        "avg_pool", x=x, attrs=AvgPool(window, check_flag("count_include_pad", count_include_pad))
    )


@like(max_pool2d)
def avg_pool2d(
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    dilation: PerAxis = 1,
) -> Tensor:
    """The average of each window: ``Y(i, j, c) = 1/(K·K) Σ_m Σ_n X(i·S + m, j·S + n, c)``.

    Args:
        x: ``(H, W, C)``.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: zeros P around, as in `conv2d`; less than the kernel.
        ceil_mode: a last window that hangs over the end is kept; what hangs over is not counted.
        count_include_pad: divide by the window's positions in the padded input (True) or in the
            input alone (False).
        dilation: distance D between the window's elements.

    Example:
        >>> from isoconv.nn import Trace
        >>> avg_pool2d(Trace().images((28, 28, 8)), 2).shape
        (14, 14, 8)
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, dilation)


@like(avg_pool2d, rank=1)
@ranked(1, avg_pool2d, _avg_pool)
def avg_pool1d() -> None:
    """The average of each window, along one axis; see `avg_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> avg_pool1d(Trace().images((100, 2)), 4).shape
        (25, 2)
    """


@like(avg_pool2d, rank=3)
@ranked(3, avg_pool2d, _avg_pool)
def avg_pool3d() -> None:
    """The average of each window, along three axes; see `avg_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> avg_pool3d(Trace().images((8, 8, 8, 2)), 2).shape
        (4, 4, 4, 2)
    """


@dataclass(eq=False, repr=False)
class _MaxPool(Module):
    rank: ClassVar[int]

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PaddingSetting = 0
    dilation: PerAxis = 1
    ceil_mode: bool = False
    result: str = added("values")

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., C)``."""
        return _max_pool(
            self.rank, x, self.kernel_size, self.stride, self.padding, self.dilation,
            self.ceil_mode, self.result,
        )  # fmt: skip


class MaxPool2d(_MaxPool):
    """`max_pool2d` as a layer: the largest value of each window.

    Args:
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: room P around, less than the kernel; it never wins.
        dilation: distance D between the window's elements.
        ceil_mode: a last window that hangs over the end is kept.
        result: "values", or "indices": the places of these, ``i·W + j`` each, for `max_unpool2d`.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C)``, ``H' = floor((H + 2P - D·(K - 1) - 1) / S) + 1``;
        rounded up with ``ceil_mode``.

    Source:
        Scherer et al. 2010, "Evaluation of pooling operations in convolutional architectures for
        object recognition".

    Raises:
        ShapeError: when traced: another rank, or a window larger than the padded input.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.MaxPool2d(2).summary((28, 28, 8)).rows[0].output
        (14, 14, 8)
    """

    rank = 2


@like(MaxPool2d, rank=1)
class MaxPool1d(_MaxPool):
    """`max_pool1d` as a layer: the largest value of each window; see `MaxPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.MaxPool1d(2).summary((28, 8)).rows[0].output
        (14, 8)
    """

    rank = 1


@like(MaxPool2d, rank=3)
class MaxPool3d(_MaxPool):
    """`max_pool3d` as a layer: the largest value of each window; see `MaxPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.MaxPool3d(2).summary((8, 8, 8, 4)).rows[0].output
        (4, 4, 4, 4)
    """

    rank = 3


@dataclass(eq=False, repr=False)
class _AvgPool(Module):
    rank: ClassVar[int]

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PaddingSetting = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    dilation: PerAxis = added(1)

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., C)``."""
        return _avg_pool(
            self.rank, x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.dilation,
        )  # fmt: skip


@like(MaxPool2d)
class AvgPool2d(_AvgPool):
    """`avg_pool2d` as a layer: the average of each window.

    Args:
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: zeros P around, less than the kernel.
        ceil_mode: a last window that hangs over the end is kept.
        count_include_pad: whether zeros around count in the average.
        dilation: distance D between the window's elements.

    Source:
        LeCun et al. 1998, "Gradient-based learning applied to document recognition", without its
        learned factor and bias.
    """

    rank = 2


@like(AvgPool2d, rank=1)
class AvgPool1d(_AvgPool):
    """`avg_pool1d` as a layer: the average of each window; see `AvgPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AvgPool1d(2).summary((28, 8)).rows[0].output
        (14, 8)
    """

    rank = 1


@like(AvgPool2d, rank=3)
class AvgPool3d(_AvgPool):
    """`avg_pool3d` as a layer: the average of each window; see `AvgPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.AvgPool3d(2).summary((8, 8, 8, 4)).rows[0].output
        (4, 4, 4, 4)
    """

    rank = 3
