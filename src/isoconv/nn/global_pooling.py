"""Pooling over all positions of a feature map."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import check_rank
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import CountAttrs, Shape, Sum, WindowGeometry

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def global_avg_pool(x: Tensor) -> Tensor:
    """Each channel's average over all positions: ``y(c) = 1/(H·W) Σ_i Σ_j X(i, j, c)``.

    Lin et al. 2013, "Network in network".

    Args:
        x: ``(spatial..., C)``.

    Returns:
        ``(C,)``.

    Example:
        >>> from isoconv.nn import Trace
        >>> global_avg_pool(Trace().images((7, 7, 64))).shape
        (64,)
    """
    check_tensors("global_avg_pool", x=x)
    total = apply("sum", x=x, attrs=Sum(1, True))
    return apply("divide_by_count", total=total, attrs=CountAttrs(prod(x.shape[:-1]), True))


@like(global_avg_pool)
def global_max_pool(x: Tensor) -> Tensor:
    """Each channel's largest value over all positions: ``y(c) = max over i, j of X(i, j, c)``."""
    check_tensors("global_max_pool", x=x)
    sides = x.shape[:-1]
    ones = (1,) * len(sides)
    window = WindowGeometry(sides, ones, ((0, 0),) * len(sides), ones)
    peak = apply("max_pool", x=x, attrs=window)
    return apply("reshape", peak=peak, attrs=Shape(x.shape[-1:]))


class _GlobalAvgPool(Module):
    rank: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(C,)``."""
        check_rank(type(self).__name__, self.rank, x)
        return global_avg_pool(x)


class GlobalAvgPool2d(_GlobalAvgPool):
    """`global_avg_pool` as a layer: each channel's average over all positions.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(C,)``.

    Source:
        Lin et al. 2013, "Network in network".

    Example:
        >>> from isoconv import nn
        >>> nn.GlobalAvgPool2d().summary((28, 28, 8)).rows[0].output
        (8,)
    """

    rank = 2


@like(GlobalAvgPool2d, rank=1)
class GlobalAvgPool1d(_GlobalAvgPool):
    """`global_avg_pool` as a layer: each channel's average over all positions.

    Example:
        >>> from isoconv import nn
        >>> nn.GlobalAvgPool1d().summary((28, 8)).rows[0].output
        (8,)
    """

    rank = 1


@like(GlobalAvgPool2d, rank=3)
class GlobalAvgPool3d(_GlobalAvgPool):
    """`global_avg_pool` as a layer: each channel's average over all positions.

    Example:
        >>> from isoconv import nn
        >>> nn.GlobalAvgPool3d().summary((8, 8, 8, 8)).rows[0].output
        (8,)
    """

    rank = 3


class _GlobalMaxPool(Module):
    rank: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(C,)``."""
        check_rank(type(self).__name__, self.rank, x)
        return global_max_pool(x)


@like(GlobalAvgPool2d)
class GlobalMaxPool2d(_GlobalMaxPool):
    """`global_max_pool` as a layer: each channel's largest value over all positions.

    Source:
        Oquab et al. 2015, "Is object localization for free?".
    """

    rank = 2


@like(GlobalMaxPool2d, rank=1)
class GlobalMaxPool1d(_GlobalMaxPool):
    """`global_max_pool` as a layer: each channel's largest value over all positions.

    Example:
        >>> from isoconv import nn
        >>> nn.GlobalMaxPool1d().summary((28, 8)).rows[0].output
        (8,)
    """

    rank = 1


@like(GlobalMaxPool2d, rank=3)
class GlobalMaxPool3d(_GlobalMaxPool):
    """`global_max_pool` as a layer: each channel's largest value over all positions.

    Example:
        >>> from isoconv import nn
        >>> nn.GlobalMaxPool3d().summary((8, 8, 8, 8)).rows[0].output
        (8,)
    """

    rank = 3
