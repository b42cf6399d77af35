"""Pooling on arrays."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.alike import like, ranked
from isoconv.nn.arrays import along, on_arrays
from isoconv.nn.settings import PaddingSetting, PerAxis

__public__ = {"isoconv": ["*"]}


def max_pool2d(
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Array:
    """The largest value of each window of arrays, along height and width.

    Padding never wins. The first of equal values in row-major order takes the gradient; NaN wins
    over every number.

    Args:
        x: the input.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: room P around, as in `conv2d`; less than the kernel.
        dilation: distance D between the window's elements, one number or one per axis.
        ceil_mode: a last window that hangs over the end is kept.

    Input shape:
        x: ``(N, H, W, C)``, float32 or float64.

    Output shape:
        ``(N, H', W', C)`` of the dtype of x,
        ``H' = floor((H + 2P - D·(K - 1) - 1) / S) + 1``, rounded up with ``ceil_mode``.

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a setting outside its allowed values.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 5, 4], [9, 1, 2], [6, 4, 1]], np.float32).reshape(1, 3, 3, 1)
        >>> ic.max_pool2d(x, 2, stride=1)[0, :, :, 0]
        array([[9., 5.],
               [9., 4.]], dtype=float32)
    """
    return on_arrays(functional.max_pool2d, locals())


@like(max_pool2d, rank=1)
@ranked(1, max_pool2d, along("max_pool"))
def max_pool1d() -> None:
    """The largest value of each window of arrays, along one axis.

    Padding never wins. The first of equal values in row-major order takes the gradient; NaN wins
    over every number.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([1, 5, 4, 2], np.float32).reshape(1, 4, 1)
        >>> ic.max_pool1d(x, 2)[0, :, 0]
        array([5., 4.], dtype=float32)
    """


@like(max_pool2d, rank=3)
@ranked(3, max_pool2d, along("max_pool"))
def max_pool3d() -> None:
    """The largest value of each window of arrays, along three axes.

    Padding never wins. The first of equal values in row-major order takes the gradient; NaN wins
    over every number.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
        >>> ic.max_pool3d(x, 2).reshape(-1)
        array([7.], dtype=float32)
    """


@like(max_pool2d)
def avg_pool2d(
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    dilation: PerAxis = 1,
) -> Array:
    """The average of each window of arrays, along height and width.

    Args:
        x: the input.
        kernel_size: size K of the window, one number or one per axis.
        stride: step S; None for the kernel size.
        padding: zeros P around, as in `conv2d`; less than the kernel.
        ceil_mode: a last window that hangs over the end is kept; what hangs over is not counted.
        count_include_pad: divide by the window's positions in the padded input (True) or in the
            input alone (False).
        dilation: distance D between the window's elements.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 5, 4], [9, 1, 2], [6, 4, 1]], np.float32).reshape(1, 3, 3, 1)
        >>> ic.avg_pool2d(x, 2, stride=1)[0, :, :, 0]
        array([[4., 3.],
               [5., 2.]], dtype=float32)
    """
    return on_arrays(functional.avg_pool2d, locals())


@like(avg_pool2d, rank=1)
@ranked(1, avg_pool2d, along("avg_pool"))
def avg_pool1d() -> None:
    """The average of each window of arrays, along one axis.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([1, 5, 4, 2], np.float32).reshape(1, 4, 1)
        >>> ic.avg_pool1d(x, 2)[0, :, 0]
        array([3., 3.], dtype=float32)
    """


@like(avg_pool2d, rank=3)
@ranked(3, avg_pool2d, along("avg_pool"))
def avg_pool3d() -> None:
    """The average of each window of arrays, along three axes.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2, 1)
        >>> ic.avg_pool3d(x, 2).reshape(-1)
        array([3.5], dtype=float32)
    """


def global_avg_pool(x: ArrayLike) -> Array:
    """Each channel's average over all positions of an image.

    Args:
        x: the input.

    Input shape:
        x: ``(N, spatial..., C)``, float32 or float64.

    Output shape:
        ``(N, C)`` of the dtype of x.

    Raises:
        ShapeError: an array without images and channels.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.global_avg_pool(np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1))
        array([[2.5]], dtype=float32)
    """
    return on_arrays(functional.global_avg_pool, locals())


@like(global_avg_pool)
def global_max_pool(x: ArrayLike) -> Array:
    """Each channel's largest value over all positions of an image.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.global_max_pool(np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1))
        array([[4.]], dtype=float32)
    """
    return on_arrays(functional.global_max_pool, locals())
