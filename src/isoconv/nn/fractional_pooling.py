"""Fractional max pooling: maxima of windows at steps between whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import check_number, plain, refusal
from isoconv.errors import ShapeError
from isoconv.nn.adaptive_pooling import maximum_of
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import PerAxis, check_rank, per_axis
from isoconv.nn.tensor import Tensor

__all__ = [
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
]
__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def _fractional(
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None,
    output_ratio: float | tuple[float, ...] | None,
    offset: float | tuple[float, ...],
) -> Tensor:
    check_rank(f"fractional_max_pool{rank}d", rank, x)
    kernel = per_axis("kernel_size", kernel_size, rank)
    sides = x.shape[:-1]
    if (output_size is None) == (output_ratio is None):
        raise refusal("output_size", "be given, or else a ratio", output_size)
    if output_size is None:
        ratios = _shares("output_ratio", output_ratio, rank)
        sizes = tuple(math.floor(side * share) for side, share in zip(sides, ratios, strict=True))
        name, given = "output_ratio", output_ratio
    else:
        sizes, name, given = per_axis("output_size", output_size, rank), "output_size", output_size
    starts = _shares("offset", offset, rank)
    axes = []
    for side, k, size, u in zip(sides, kernel, sizes, starts, strict=True):
        if not 1 <= size <= side - k + 1:
            rule = f"make 1 to {side - k + 1} windows of {k} on a side of {side}"
            raise refusal(name, rule, given, ShapeError)
        step = (side - k) / (size - 1) if size > 1 else 0.0
        first = math.floor(u * step)
        begins = [math.floor((i + u) * step) - first for i in range(size - 1)]
        axes.append([range(begin, begin + k) for begin in (*begins, side - k)])
    return maximum_of(x, axes)


def _shares(name: str, value: object, rank: int) -> list[float]:
    """A number from 0 to below 1 for each axis."""
    given = value if isinstance(value, (tuple, list)) else (value,) * rank
    if len(given) != rank or any(isinstance(plain(each), bool) for each in given):
        raise refusal(name, f"be a number or {rank} of them", value)
    try:
        return [float(check_number(name, each, least=0, below=1)) for each in given]
    except ValueError:
        raise refusal(name, "be at least 0 and below 1 on every axis", value) from None


def fractional_max_pool2d(
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    offset: float | tuple[float, ...] = 0.5,
) -> Tensor:
    """Maxima of windows at steps between whole numbers, so that any size can be made.

    With α = (H - K)/(O - 1), window i of O begins at ``floor((i + u)·α) - floor(u·α)``, the last
    one at ``H - K``. Graham 2014, "Fractional max-pooling". The paper draws u anew for each image
    or layer; here it is a setting, the same in training and in prediction.

    Args:
        x: ``(H, W, C)``.
        kernel_size: size K of the window, one number or one per axis.
        output_size: O of the result, one number or one per axis; either this or a ratio.
        output_ratio: O / H, below 1, one number or one per axis.
        offset: u, from 0 to below 1, one number or one per axis.

    Returns:
        ``(O, O', C)``.

    Raises:
        ShapeError: another rank, or a result of more windows than there is room for.
        ArgumentError: size and ratio, or neither; a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> fractional_max_pool2d(Trace().images((28, 28, 8)), 2, output_ratio=0.7).shape
        (19, 19, 8)
    """
    return _fractional(2, x, kernel_size, output_size, output_ratio, offset)


@like(fractional_max_pool2d, rank=3)
def fractional_max_pool3d(
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    offset: float | tuple[float, ...] = 0.5,
) -> Tensor:
    """Maxima of windows at steps between whole numbers; see `fractional_max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> fractional_max_pool3d(Trace().images((8, 9, 9, 2)), 2, 5).shape
        (5, 5, 5, 2)
    """
    return _fractional(3, x, kernel_size, output_size, output_ratio, offset)


@dataclass(eq=False, repr=False)
class _FractionalMaxPool(Module):
    rank: ClassVar[int]

    kernel_size: PerAxis
    output_size: PerAxis | None = None
    output_ratio: float | tuple[float, ...] | None = None
    offset: float | tuple[float, ...] = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(output_size..., C)``."""
        return _fractional(
            self.rank, x, self.kernel_size, self.output_size, self.output_ratio, self.offset
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """`fractional_max_pool2d` as a layer: maxima at steps between whole numbers.

    Args:
        kernel_size: size of the window, one number or one per axis.
        output_size: of the result, one number or one per axis; either this or a ratio.
        output_ratio: of the result's side and the input's, below 1, one number or one per axis.
        offset: u of the formula, from 0 to below 1, one number or one per axis.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C)``, the sides that are asked for.

    Source:
        Graham 2014, "Fractional max-pooling".

    Raises:
        ShapeError: when traced: another rank, or more windows than there is room for.
        ArgumentError: when traced: size and ratio, or neither.

    Example:
        >>> from isoconv import nn
        >>> nn.FractionalMaxPool2d(2, output_ratio=0.7).summary((28, 28, 8)).rows[0].output
        (19, 19, 8)
    """

    rank = 2


@like(FractionalMaxPool2d, rank=3)
class FractionalMaxPool3d(_FractionalMaxPool):
    """`fractional_max_pool3d` as a layer; see `FractionalMaxPool2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.FractionalMaxPool3d(2, 5).summary((8, 9, 9, 2)).rows[0].output
        (5, 5, 5, 2)
    """

    rank = 3
