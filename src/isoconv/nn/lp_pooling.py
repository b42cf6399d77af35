"""Pooling by norms: the p-norm of each window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import check_number
from isoconv.nn.alike import like, ranked
from isoconv.nn.comparisons import equal, where
from isoconv.nn.module import Module
from isoconv.nn.pooling import window_of
from isoconv.nn.settings import PaddingSetting, PerAxis
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import Resample

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def _lp_pool(
    rank: int,
    x: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    ceil_mode: bool,
    padding: PaddingSetting,
    dilation: PerAxis,
) -> Tensor:
    kind = f"lp_pool{rank}d"
    window = window_of(kind, rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    p = float(check_number("norm_type", norm_type, above=0))
    sides, outputs = x.shape[:-1], window.output_sides(x.shape[:-1])
    size = apply("abs", x=x)
    total = size if p == 1 else apply("square", x=x) if p == 2 else size.power(p)
    for axis, (side, count) in enumerate(zip(sides, outputs, strict=True)):
        step, dilated = window.stride[axis], window.dilation[axis]
        taps = tuple(
            tuple(
                (place, 1.0)
                for m in range(window.kernel[axis])
                if 0 <= (place := i * step - window.padding[axis][0] + m * dilated) < side
            )
            for i in range(count)
        )
        total = apply("resample", x=total, attrs=Resample(axis - len(x.shape), taps))
    if p == 1:
        return total
    # A root has no slope at 0: no gradient flows where a window holds zeros alone.
    zero = equal(total, 0.0)
    inside = where(zero, 1.0, total)
    root = apply("sqrt", x=inside) if p == 2 else inside.power(1 / p)
    return where(zero, 0.0, root)


def lp_pool2d(
    x: Tensor,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool = False,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
) -> Tensor:
    """The p-norm of each window: ``Y(i, j, c) = (Σ_m Σ_n |X(i·S + m, j·S + n, c)|^p)^(1/p)``.

    Sermanet et al. 2012, "Convolutional neural networks applied to house numbers digit
    classification". Of a window of zeros the gradient is 0.

    Args:
        x: ``(H, W, C)``.
        norm_type: p, above 0.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        ceil_mode: a last window that hangs over the end is kept.
        padding: zeros around, as in `conv2d`; less than the kernel.
        dilation: distance between the window's elements.

    Returns:
        ``(H', W', C)``.

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> lp_pool2d(Trace().images((28, 28, 8)), 2, 2).shape
        (14, 14, 8)
    """
    return _lp_pool(2, x, norm_type, kernel_size, stride, ceil_mode, padding, dilation)


@like(lp_pool2d, rank=1)
@ranked(1, lp_pool2d, _lp_pool)
def lp_pool1d() -> None:
    """The p-norm of each window, along one axis; see `lp_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> lp_pool1d(Trace().images((100, 2)), 2, 4).shape
        (25, 2)
    """


@like(lp_pool2d, rank=3)
@ranked(3, lp_pool2d, _lp_pool)
def lp_pool3d() -> None:
    """The p-norm of each window, along three axes; see `lp_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> lp_pool3d(Trace().images((8, 8, 8, 2)), 3.0, 2).shape
        (4, 4, 4, 2)
    """


@dataclass(eq=False, repr=False)
class _LPPool(Module):
    rank: ClassVar[int]

    norm_type: float
    kernel_size: PerAxis
    stride: PerAxis | None = None
    ceil_mode: bool = False
    padding: PaddingSetting = 0
    dilation: PerAxis = 1

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., C)``."""
        return _lp_pool(
            self.rank, x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode,
            self.padding, self.dilation,
        )  # fmt: skip


class LPPool2d(_LPPool):
    """`lp_pool2d` as a layer: the p-norm of each window.

    Args:
        norm_type: p, above 0.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        ceil_mode: a last window that hangs over the end is kept.
        padding: zeros P around, less than the kernel.
        dilation: distance D between the window's elements.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C)``, ``H' = floor((H + 2P - D·(K - 1) - 1) / S) + 1``;
        rounded up with ``ceil_mode``.

    Source:
        Sermanet et al. 2012, "Convolutional neural networks applied to house numbers digit
        classification".

    Raises:
        ShapeError: when traced: another rank, or a window larger than the padded input.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.LPPool2d(2, 2).summary((28, 28, 8)).rows[0].output
        (14, 14, 8)
    """

    rank = 2


@like(LPPool2d, rank=1)
class LPPool1d(_LPPool):
    """`lp_pool1d` as a layer; see `LPPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.LPPool1d(2, 2).summary((28, 8)).rows[0].output
        (14, 8)
    """

    rank = 1


@like(LPPool2d, rank=3)
class LPPool3d(_LPPool):
    """`lp_pool3d` as a layer; see `LPPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.LPPool3d(2, 2).summary((8, 8, 8, 4)).rows[0].output
        (4, 4, 4, 4)
    """

    rank = 3
