"""Fractional max pooling: maxima of windows at steps between whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from isoconv.arithmetic.philox import Purpose
from isoconv.checks import check_number, plain, refusal
from isoconv.errors import ShapeError
from isoconv.nn.adaptive_pooling import Windows, laid_out, maximum_of
from isoconv.nn.alike import like, ranked
from isoconv.nn.module import Module
from isoconv.nn.settings import PerAxis, check_rank, per_axis
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import FractionalWindow, WindowGeometry

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

Offset = float | tuple[float, ...] | Literal["random"]
"""Where windows begin between two places: one number for all axes or one per axis, or drawn."""
MIDDLE = 0.5
"""The offset of what is drawn in training, where nothing is drawn."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, checked.

    Attributes:
        x: the input.
        window: sizes of windows, and how many of them there are, per axis.
        offsets: of each axis; None to be drawn.
    """

    x: Tensor
    window: FractionalWindow
    offsets: list[float] | None

    def drawn(self) -> Tensor:
        """Offsets ``(rank, C)`` of each image."""
        shape = (len(self.window.kernel), self.x.shape[-1])
        return self.x.trace.uniform(Purpose.FRACTIONAL_POOLING, shape)

    def axes(self) -> list[Windows]:
        """The windows of each axis for offsets that are given."""
        found = []
        for side, k, size, u in zip(
            self.x.shape[:-1], self.window.kernel, self.window.outputs, self.offsets or (),
            strict=True,
        ):  # fmt: skip
            step = (side - k) / (size - 1) if size > 1 else 0.0
            first = math.floor(u * step)
            begins = [math.floor((i + u) * step) - first for i in range(size - 1)]
            found.append([range(begin, begin + k) for begin in (*begins, side - k)])
        return found


def _asked(
    kind: str,
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None,
    output_ratio: float | tuple[float, ...] | None,
    offset: Offset,
) -> _Asked:
    check_rank(kind, rank, x)
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
    random = isinstance(offset, str) and offset == "random"
    offsets = _shares("offset", MIDDLE if random else offset, rank)
    for side, k, size in zip(sides, kernel, sizes, strict=True):
        if not 1 <= size <= side - k + 1:
            rule = f"make 1 to {side - k + 1} windows of {k} on a side of {side}"
            raise refusal(name, rule, given, ShapeError)
    draws = random and x.trace.training
    return _Asked(x, FractionalWindow(kernel, sizes), None if draws else offsets)


def _pooled(rank: int, *given: Any) -> Tensor:
    asked = _asked(f"fractional_max_pool{rank}d", rank, *given)
    if asked.offsets is None:
        offsets = asked.drawn()
        return apply("fractional_max_pool", x=asked.x, offsets=offsets, attrs=asked.window)
    return maximum_of(asked.x, asked.axes())


def _with_indices(rank: int, *given: Any) -> tuple[Tensor, Tensor]:
    asked = _asked(f"fractional_max_pool{rank}d_with_indices", rank, *given)
    x, window = asked.x, asked.window
    if asked.offsets is None:
        offsets = asked.drawn()
        return (
            apply("fractional_max_pool", x=x, offsets=offsets, attrs=window),
            apply("fractional_max_pool_places", x=x, offsets=offsets, attrs=window),
        )
    axes = asked.axes()
    ones, nothing = (1,) * rank, ((0, 0),) * rank
    # The numbers of all places, laid out as the values are; the winner's is picked from them.
    numbers = apply("max_pool_places", x=x, attrs=WindowGeometry(ones, ones, nothing, ones))
    laid, kernel = laid_out(x, axes)
    winners = apply("max_pool_places", x=laid, attrs=kernel)
    places = apply("at_places", y=laid_out(numbers, axes)[0], places=winners)
    return apply("max_pool", x=laid, attrs=kernel), places


def _shares(name: str, value: object, rank: int) -> list[float]:
    """A number from 0 to below 1 for each axis."""
    given = value if isinstance(value, (tuple, list)) else (value,) * rank
    if len(given) != rank or any(isinstance(plain(each), (bool, str)) for each in given):
        text = 'be "random", ' if name == "offset" else "be "
        raise refusal(name, f"{text}a number or {rank} of them", value)
    try:
        return [float(check_number(name, each, least=0, below=1)) for each in given]
    except ValueError:
        raise refusal(name, "be at least 0 and below 1 on every axis", value) from None


def fractional_max_pool2d(
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    offset: Offset = "random",
) -> Tensor:
    """Maxima of windows at steps between whole numbers, so that any size can be made.

    With α = (H - K)/(O - 1), window i of O begins at ``floor((i + u)·α) - floor(u·α)``, the last
    one at ``H - K``. In training u is drawn anew for each channel and axis of an image: it is a
    function of (seed, epoch, sample, axis, channel), whichever shard or thread the image is in. In
    inference it is 0.5, so that an image has one answer. A number is u in both. Graham 2014,
    "Fractional max-pooling".

    Args:
        x: ``(H, W, C)``.
        kernel_size: size K of the window, one number or one per axis.
        output_size: O of the result, one number or one per axis; either this or a ratio.
        output_ratio: O / H, below 1, one number or one per axis.
        offset: ``"random"``; or u, from 0 to below 1, one number or one per axis.

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
    return _pooled(2, x, kernel_size, output_size, output_ratio, offset)


@like(fractional_max_pool2d, rank=3)
@ranked(3, fractional_max_pool2d, _pooled)
def fractional_max_pool3d() -> None:
    """Maxima of windows at steps between whole numbers; see `fractional_max_pool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> fractional_max_pool3d(Trace().images((8, 9, 9, 2)), 2, 5).shape
        (5, 5, 5, 2)
    """


def fractional_max_pool2d_with_indices(
    x: Tensor,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    offset: Offset = "random",
) -> tuple[Tensor, Tensor]:
    """The maxima of `fractional_max_pool2d`, of one draw, and their places ``i·W + j``.

    Places are whole numbers in the dtype of x, as `max_unpool2d` takes them; no gradient flows
    through them.

    Args:
        x: ``(H, W, C)``, in float32 of at most 2²⁴ positions.
        kernel_size: size K of the window, one number or one per axis.
        output_size: O of the result, one number or one per axis; either this or a ratio.
        output_ratio: O / H, below 1, one number or one per axis.
        offset: ``"random"``; or u, from 0 to below 1, one number or one per axis.

    Returns:
        ``(O, O', C)`` twice: values and places.

    Raises:
        ShapeError: another rank, or a result of more windows than there is room for.
        ArgumentError: size and ratio, or neither; a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace(training=True).images((28, 28, 8))
        >>> [t.shape for t in fractional_max_pool2d_with_indices(x, 2, 19)]
        [(19, 19, 8), (19, 19, 8)]
    """
    return _with_indices(2, x, kernel_size, output_size, output_ratio, offset)


@like(fractional_max_pool2d_with_indices, rank=3)
@ranked(3, fractional_max_pool2d_with_indices, _with_indices)
def fractional_max_pool3d_with_indices() -> None:
    """The maxima of one draw and their places; see `fractional_max_pool2d_with_indices`.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace(training=True).images((8, 9, 9, 2))
        >>> [t.shape for t in fractional_max_pool3d_with_indices(x, 2, 5)]
        [(5, 5, 5, 2), (5, 5, 5, 2)]
    """


@dataclass(eq=False, repr=False)
class _FractionalMaxPool(Module):
    rank: ClassVar[int]

    kernel_size: PerAxis
    output_size: PerAxis | None = None
    output_ratio: float | tuple[float, ...] | None = None
    offset: Offset = "random"

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(output_size..., C)``."""
        sizes = self.kernel_size, self.output_size, self.output_ratio
        return _pooled(self.rank, x, *sizes, self.offset)


class FractionalMaxPool2d(_FractionalMaxPool):
    """`fractional_max_pool2d` as a layer: in training it draws where its windows lie.

    Args:
        kernel_size: size of the window, one number or one per axis.
        output_size: of the result, one number or one per axis; either this or a ratio.
        output_ratio: of the result's side and the input's, below 1, one number or one per axis.
        offset: ``"random"``, which is 0.5 in inference; or u of the formula, from 0 to below 1, one
            number or one per axis.

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
