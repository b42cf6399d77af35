"""Transposed convolution of arrays."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.alike import like, ranked
from isoconv.nn.arrays import along, on_arrays
from isoconv.nn.settings import PaddingMode, PaddingSetting, PerAxis

__public__ = {"isoconv": ["*"]}


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    padding_mode: PaddingMode = "zeros",
) -> Array:
    """Transposed convolution of arrays along height and width.

        Y(i, j, o) = b(o) + Σ X(p, q, c) · K(m, n, o, c)

    over all c and all p, q, m, n with ``p·S - P + m·D = i`` and ``q·S - P + n·D = j``: the
    transpose of `conv2d` with the same weight and settings. Every element is one chain of fused
    multiply-adds over kernel position, then channel; the bias is added after it.

    Args:
        x: the input.
        weight: the kernel, of a convolution from O channels to C.
        bias: a number for each output channel, or None.
        stride: S, how far one input lies from the next in the result.
        padding: P, places that are cut off the result: one number, one per axis, a pair (before,
            after) per axis, ``"same"``, ``"same_lower"`` or ``"valid"``.
        output_padding: places that the result has more behind.
        dilation: distance D between kernel elements.
        groups: channels are cut into this many groups that do not see each other.
        flip: as for the convolution that it transposes.
        padding_mode: what lies beyond the ends of x, as far as it reaches the result: ``"zeros"``,
            ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Input shape:
        x: ``(N, H, W, C)``, float32 or float64.
        weight: ``(kh, kw, O / groups, C)``, the same dtype.
        bias: ``(O,)``, the same dtype.

    Output shape:
        ``(N, H', W', O)`` of the dtype of x,
        ``H' = (H - 1)·S + D·(kh - 1) + 1 - 2P + output_padding``.

    Raises:
        ShapeError: shapes, padding or groups that do not fit.
        ArgumentError: a setting outside its allowed values.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
        >>> kernel = np.array([[1, 10], [100, 1000]], np.float32).reshape(2, 2, 1, 1)
        >>> ic.conv_transpose2d(x, kernel)[0, :, :, 0]
        array([[1.000e+00, 1.200e+01, 2.000e+01],
               [1.030e+02, 1.234e+03, 2.040e+03],
               [3.000e+02, 3.400e+03, 4.000e+03]], dtype=float32)
    """
    return on_arrays(functional.conv_transpose2d, locals())


@like(conv_transpose2d, rank=1)
@ranked(1, conv_transpose2d, along("conv_transpose"))
def conv_transpose1d() -> None:
    """Transposed convolution of arrays along one axis; see `conv_transpose2d` for the formula.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x, kernel = np.ones((1, 3, 1), np.float32), np.ones((2, 1, 1), np.float32)
        >>> ic.conv_transpose1d(x, kernel)[0, :, 0]
        array([1., 2., 2., 1.], dtype=float32)
    """


@like(conv_transpose2d, rank=3)
@ranked(3, conv_transpose2d, along("conv_transpose"))
def conv_transpose3d() -> None:
    """Transposed convolution of arrays along three axes; see `conv_transpose2d` for the formula.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x, kernel = np.ones((1, 2, 2, 2, 1), np.float32), np.ones((2, 2, 2, 3, 1), np.float32)
        >>> ic.conv_transpose3d(x, kernel, stride=2).shape
        (1, 4, 4, 4, 3)
    """
