"""Functions on arrays that have weights or statistics: convolution, linear, normalisation."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.alike import like, ranked
from isoconv.nn.arrays import along, on_arrays
from isoconv.nn.convolution import Algorithm
from isoconv.nn.settings import PaddingMode, PaddingSetting, PerAxis

__public__ = {"isoconv": ["*"]}


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    algorithm: Algorithm = "direct",
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """Convolution of arrays along height and width.

    With ``flip=False`` cross-correlation:

        Y(i, j, o) = b(o) + Σ_m Σ_n Σ_c X(i·S - P + m·D, j·S - P + n·D, c) · K(m, n, c, o)

    With ``flip=True`` true convolution, which reads the kernel turned around. Every element is one
    chain of fused multiply-adds over kernel position, then channel; the bias is added after it.

    Args:
        x: the input.
        weight: the kernel.
        bias: a number for each output channel, or None.
        stride: step S, one number or one per axis.
        padding: zeros P around: one number, one per axis, a pair (before, after) per axis,
            ``"same"`` (``ceil(size / stride)`` outputs, an odd zero after), ``"same_lower"`` (it
            comes before) or ``"valid"`` (none).
        dilation: distance D between kernel elements, one number or one per axis.
        groups: channels are cut into this many groups that do not see each other.
        flip: True for true convolution.
        algorithm: ``"direct"``, or ``"winograd"`` for a 3×3 kernel with stride 1, dilation 1 and
            one group, not flipped: faster, with other bits.
        padding_mode: what the padding is: ``"zeros"``,
            ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Input shape:
        x: ``(N, H, W, C)``, float32 or float64.
        weight: ``(kh, kw, C / groups, O)``, the same dtype.
        bias: ``(O,)``, the same dtype.

    Output shape:
        ``(N, H', W', O)`` of the dtype of x,
        ``H' = floor((H + 2P - D·(kh - 1) - 1) / S) + 1``.

    Raises:
        ShapeError: shapes, kernel or groups that do not fit.
        ArgumentError: a setting outside its allowed values.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32).reshape(1, 3, 3, 1)
        >>> kernel = np.array([[1, 0], [0, -1]], np.float32).reshape(2, 2, 1, 1)
        >>> ic.conv2d(x, kernel)[0, :, :, 0]
        array([[-4., -4.],
               [-4., -4.]], dtype=float32)
    """
    return on_arrays(functional.conv2d, locals())


@like(conv2d, rank=1)
def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """Convolution of arrays along one axis; see `conv2d` for the formula.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([1, 2, 4, 8], np.float32).reshape(1, 4, 1)
        >>> kernel = np.array([-1, 1], np.float32).reshape(2, 1, 1)
        >>> ic.conv1d(x, kernel)[0, :, 0]
        array([1., 2., 4.], dtype=float32)
    """
    return on_arrays(functional.conv1d, locals())


@like(conv2d, rank=3)
@ranked(3, conv1d, along("conv"))
def conv3d() -> None:
    """Convolution of arrays along depth, height and width; see `conv2d` for the formula.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x, kernel = np.ones((1, 4, 4, 4, 1), np.float32), np.ones((3, 3, 3, 1, 2), np.float32)
        >>> y = ic.conv3d(x, kernel)
        >>> y.shape, float(y[0, 0, 0, 0, 0])
        ((1, 2, 2, 2, 2), 27.0)
    """


def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """``y(o) = bias(o) + Σ_c x(c) · weight(c, o)`` for each row of an array.

    Args:
        x: the input.
        weight: a factor for each input and output.
        bias: a number for each output channel, or None.

    Input shape:
        x: ``(N, C)``, float32 or float64.
        weight: ``(C, O)``, the same dtype.
        bias: ``(O,)``, the same dtype.

    Output shape:
        ``(N, O)`` of the dtype of x.

    Raises:
        ShapeError: an input that is not flat, or channels that differ.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 2], [3, 4]], np.float32)
        >>> ic.linear(x, np.array([[1], [10]], np.float32), np.array([100], np.float32))
        array([[121.],
               [143.]], dtype=float32)
    """
    return on_arrays(functional.linear, locals())


def matmul(a: ArrayLike, b: ArrayLike) -> Array:
    """``Y(n, …, m, p) = Σ_k A(n, …, m, k) · B(n, …, k, p)`` for each image of two arrays.

    The axes between the images and the last two broadcast.

    Args:
        a: the matrices on the left.
        b: those on the right, for as many images.

    Input shape:
        a: ``(N, ..., M, K)``, float32 or float64.
        b: ``(N, ..., K, P)``, the same dtype.

    Output shape:
        ``(N, ..., M, P)`` of the dtype of a.

    Raises:
        ShapeError: arrays that do not fit each other.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> a = np.array([[[1, 2], [3, 4]]], np.float32)
        >>> ic.matmul(a, a)[0]
        array([[ 7., 10.],
               [15., 22.]], dtype=float32)
    """
    return on_arrays(functional.matmul, locals())


def batch_norm(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    eps: float = 1e-5,
    own_statistics: bool = False,
) -> Array:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, channel by channel.

    Args:
        x: the input.
        mean: of each channel.
        variance: of each channel.
        gamma: factor of each channel.
        beta: what is added to each channel.
        eps: added to the variance.
        own_statistics: for `gradients`: mean and variance are those of ``x``, whose gradient then
            holds their share, and theirs is zero.

    Input shape:
        x: ``(N, spatial..., C)``, float32 or float64.
        mean: ``(C,)``, the same dtype.
        variance: ``(C,)``, the same dtype.
        gamma: ``(C,)``, the same dtype.
        beta: ``(C,)``, the same dtype.

    Output shape:
        ``(N, spatial..., C)`` of the dtype of x.

    Raises:
        ShapeError: statistics or factors of other shapes.
        ArgumentError: ``eps`` is negative or not finite.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 10], [3, 30]], np.float32)
        >>> one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
        >>> ic.batch_norm(x, x.mean(0), x.var(0), one, zero, eps=0)
        array([[-1., -1.],
               [ 1.,  1.]], dtype=float32)
    """
    return on_arrays(functional.batch_norm, locals())


def layer_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    axes: int = 1,
    eps: float = 1e-5,
) -> Array:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, over the last axes of each image.

    Ba, Kiros and Hinton 2016, "Layer normalization".

    Args:
        x: the input.
        gamma: factors of the shape of the last `axes` axes, ``(C,)``; None for none.
        beta: what is added, of the same shape; None for nothing.
        axes: how many of the last axes are normalised together.
        eps: added to the variance.

    Input shape:
        x: ``(N, ..., C)``, float32 or float64.

    Output shape:
        ``(N, ..., C)`` of the dtype of x.

    Raises:
        ShapeError: factors of other shapes.
        ArgumentError: ``axes`` below 1 or above the input's; ``eps`` negative or not finite.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.layer_norm(np.array([[1, 3], [10, 30]], np.float32), eps=0)
        array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)
    """
    return on_arrays(functional.layer_norm, locals())
