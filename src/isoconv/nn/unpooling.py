"""Max pooling that tells where its maxima stood, and unpooling that puts values back there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import refusal
from isoconv.errors import ShapeError
from isoconv.nn.alike import like, ranked
from isoconv.nn.module import Module
from isoconv.nn.pooling import window_of
from isoconv.nn.settings import PaddingSetting, PerAxis, check_rank, padding_pairs, per_axis
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import Unpool

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def _with_indices(
    rank: int,
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    dilation: PerAxis,
    ceil_mode: bool,
) -> tuple[Tensor, Tensor]:
    kind = f"max_pool{rank}d_with_indices"
    window = window_of(kind, rank, x, kernel_size, stride, padding, dilation, ceil_mode)
    return apply("max_pool", x=x, attrs=window), apply("max_pool_places", x=x, attrs=window)


def max_pool2d_with_indices(
    x: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """The largest value of each window, as `max_pool2d` has it, and its place ``i·W + j``.

    Places are whole numbers in the dtype of x; no gradient flows through them.

    Args:
        x: ``(H, W, C)``, in float32 of at most 2²⁴ positions.
        kernel_size: size of the window, one number or one per axis.
        stride: step; None for the kernel size.
        padding: room around, as in `conv2d`; less than the kernel.
        dilation: distance between the window's elements.
        ceil_mode: a last window that hangs over the end is kept.

    Returns:
        ``(H', W', C)`` twice: values and places.

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> [t.shape for t in max_pool2d_with_indices(Trace().images((28, 28, 8)), 2)]
        [(14, 14, 8), (14, 14, 8)]
    """
    return _with_indices(2, x, kernel_size, stride, padding, dilation, ceil_mode)


@like(max_pool2d_with_indices, rank=1)
@ranked(1, max_pool2d_with_indices, _with_indices)
def max_pool1d_with_indices() -> None:
    """The largest value of each window and its place; see `max_pool2d_with_indices`.

    Example:
        >>> from isoconv.nn import Trace
        >>> [t.shape for t in max_pool1d_with_indices(Trace().images((100, 2)), 4)]
        [(25, 2), (25, 2)]
    """


@like(max_pool2d_with_indices, rank=3)
@ranked(3, max_pool2d_with_indices, _with_indices)
def max_pool3d_with_indices() -> None:
    """The largest value of each window and its place; see `max_pool2d_with_indices`.

    Example:
        >>> from isoconv.nn import Trace
        >>> [t.shape for t in max_pool3d_with_indices(Trace().images((8, 8, 8, 2)), 2)]
        [(4, 4, 4, 2), (4, 4, 4, 2)]
    """


def _max_unpool(
    rank: int,
    x: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    output_size: PerAxis | None,
) -> Tensor:
    check_rank(f"max_unpool{rank}d", rank, x)
    kernel = per_axis("kernel_size", kernel_size, rank)
    steps = kernel if stride is None else per_axis("stride", stride, rank)
    if isinstance(padding, str):
        raise refusal("padding", "be given in numbers", padding)
    ones = (1,) * rank
    pairs = padding_pairs(padding, x.shape[:rank], kernel, steps, ones)
    sides = tuple(
        (side - 1) * step - before - after + k
        for side, step, (before, after), k in zip(x.shape, steps, pairs, kernel, strict=False)
    )
    if output_size is not None:
        sides = per_axis("output_size", output_size, rank)
    elif min(sides) < 1:
        raise refusal("padding", f"leave something of {sides}", padding, ShapeError)
    return apply("max_unpool", x=x, indices=indices, attrs=Unpool(sides))


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    output_size: PerAxis | None = None,
) -> Tensor:
    """Values put at places among zeros: ``Y(i, j, c) = X(p, q, c)`` where that one's place is i, j.

    Of several values for one place the last one stays, in row-major order, and takes the gradient;
    numbers that are no place are left out. Zeiler and Fergus 2013, "Visualizing and understanding
    convolutional networks".

    Args:
        x: ``(H, W, C)``.
        indices: ``(H, W, C)``, places in the result, as `max_pool2d_with_indices` gives them.
        kernel_size: of the pooling, one number or one per axis.
        stride: of the pooling; None for the kernel size.
        padding: of the pooling.
        output_size: H', W' where that does not follow: one number or one per axis; None for
            ``(H - 1)·S - 2P + K``.

    Returns:
        ``(H', W', C)``.

    Raises:
        ShapeError: another rank, or places of another shape.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> y, places = max_pool2d_with_indices(Trace().images((28, 28, 8)), 2)
        >>> max_unpool2d(y, places, 2).shape
        (28, 28, 8)
    """
    return _max_unpool(2, x, indices, kernel_size, stride, padding, output_size)


@like(max_unpool2d, rank=1)
@ranked(1, max_unpool2d, _max_unpool)
def max_unpool1d() -> None:
    """Values put at places among zeros, along one axis; see `max_unpool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> y, places = max_pool1d_with_indices(Trace().images((100, 2)), 4)
        >>> max_unpool1d(y, places, 4).shape
        (100, 2)
    """


@like(max_unpool2d, rank=3)
@ranked(3, max_unpool2d, _max_unpool)
def max_unpool3d() -> None:
    """Values put at places among zeros, along three axes; see `max_unpool2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> y, places = max_pool3d_with_indices(Trace().images((8, 8, 8, 2)), 2)
        >>> max_unpool3d(y, places, 2).shape
        (8, 8, 8, 2)
    """


@dataclass(eq=False, repr=False)
class _MaxUnpool(Module):
    rank: ClassVar[int]

    kernel_size: PerAxis
    stride: PerAxis | None = None
    padding: PaddingSetting = 0
    output_size: PerAxis | None = None

    def forward(self, x: Tensor, indices: Tensor) -> Tensor:
        """``(spatial..., C)`` and as many places to ``(spatial'..., C)``."""
        return _max_unpool(
            self.rank, x, indices, self.kernel_size, self.stride, self.padding, self.output_size
        )


class MaxUnpool2d(_MaxUnpool):
    """`max_unpool2d` as a layer of two values: X, and the places that its elements are put at.

    Places are what ``MaxPool2d(…, result="indices")`` gives.

    Args:
        kernel_size: of the pooling, one number or one per axis.
        stride: of the pooling; None for the kernel size.
        padding: of the pooling.
        output_size: H', W' where that does not follow: one number or one per axis; None for
            ``(H - 1)·S - 2P + K``.

    Input shape:
        ``(H, W, C)`` twice, float32.

    Output shape:
        ``(H', W', C)``.

    Source:
        Zeiler and Fergus 2013, "Visualizing and understanding convolutional networks".

    Raises:
        ShapeError: when traced: another rank, or places of another shape.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> steps = (
        ...     ("values", nn.MaxPool2d(2), "x"),
        ...     ("places", nn.MaxPool2d(2, result="indices"), "x"),
        ...     ("back", nn.MaxUnpool2d(2), "values", "places"),
        ... )
        >>> nn.Network(steps, ("x",), "back").summary((28, 28, 8)).rows[-1].output
        (28, 28, 8)
    """

    rank = 2


@like(MaxUnpool2d, rank=1)
class MaxUnpool1d(_MaxUnpool):
    """`max_unpool1d` as a layer of two values; see `MaxUnpool2d`.

    Example:
        >>> from isoconv import nn
        >>> pool, places = nn.MaxPool1d(4), nn.MaxPool1d(4, result="indices")
        >>> steps = ("y", pool, "x"), ("at", places, "x"), ("z", nn.MaxUnpool1d(4), "y", "at")
        >>> nn.Network(steps, ("x",), "z").summary((100, 2)).rows[-1].output
        (100, 2)
    """

    rank = 1


@like(MaxUnpool2d, rank=3)
class MaxUnpool3d(_MaxUnpool):
    """`max_unpool3d` as a layer of two values; see `MaxUnpool2d`.

    Example:
        >>> from isoconv import nn
        >>> pool, places = nn.MaxPool3d(2), nn.MaxPool3d(2, result="indices")
        >>> steps = ("y", pool, "x"), ("at", places, "x"), ("z", nn.MaxUnpool3d(2), "y", "at")
        >>> nn.Network(steps, ("x",), "z").summary((8, 8, 8, 2)).rows[-1].output
        (8, 8, 8, 2)
    """

    rank = 3
