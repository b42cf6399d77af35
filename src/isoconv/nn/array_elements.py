"""Functions of each element of an array, and softmax over its last axis."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.alike import like
from isoconv.nn.arrays import on_arrays

__public__ = {"isoconv": ["*"]}


def relu(x: ArrayLike) -> Array:
    """``max(x, 0)``; NaN stays NaN.

    Args:
        x: the input.

    Input shape:
        x: ``(N, ...)``, any shape, float32 or float64.

    Output shape:
        ``(N, ...)``, the same, of the dtype of x.

    Raises:
        ShapeError: a single number.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.relu(np.array([-1, 0, 2], np.float32))
        array([0., 0., 2.], dtype=float32)
    """
    return on_arrays(functional.relu, locals())


@like(relu)
def leaky_relu(x: ArrayLike, slope: float = 0.01) -> Array:
    """``x`` where x > 0, else ``slope · x``. Maas et al. 2013.

    Args:
        x: the input.
        slope: factor below zero, a finite number of float32.

    Raises:
        ShapeError: a single number.
        ArgumentError: a slope that is none.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.leaky_relu(np.array([-1, 0, 2], np.float32), slope=0.25)
        array([-0.25,  0.  ,  2.  ], dtype=float32)
    """
    return on_arrays(functional.leaky_relu, locals())


@like(relu)
def sigmoid(x: ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.sigmoid(np.array([-2, 0, 2], np.float32))
        array([0.11920292, 0.5       , 0.8807971 ], dtype=float32)
    """
    return on_arrays(functional.sigmoid, locals())


@like(relu)
def tanh(x: ArrayLike) -> Array:
    """``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.tanh(np.array([-1, 0, 1], np.float32))
        array([-0.7615942,  0.       ,  0.7615942], dtype=float32)
    """
    return on_arrays(functional.tanh, locals())


@like(relu)
def gelu(x: ArrayLike, approximate: str = "none") -> Array:
    """``x/2 · (1 + erf(x / √2))``. Hendrycks and Gimpel 2016.

    Args:
        x: the input.
        approximate: ``"tanh"`` for ``x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))``, ``"none"`` for
            the function itself.

    Raises:
        ShapeError: a single number.
        ArgumentError: an approximation that there is not.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.gelu(np.array([-1, 0, 1], np.float32))
        array([-0.15865526,  0.        ,  0.8413448 ], dtype=float32)
    """
    return on_arrays(functional.gelu, locals())


@like(relu)
def silu(x: ArrayLike) -> Array:
    """``x · sigmoid(x)``. Elfwing et al. 2017.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.silu(np.array([-1, 0, 1], np.float32))
        array([-0.26894143,  0.        ,  0.7310586 ], dtype=float32)
    """
    return on_arrays(functional.silu, locals())


def power(x: ArrayLike, y: ArrayLike) -> Array:
    """``x**y`` with the special cases of IEEE 754's ``pow``.

    ``x**0`` and ``1**y`` are 1; a negative x with a y that is not whole gives NaN.

    Args:
        x: the base.
        y: the exponent.

    Input shape:
        x: ``(N, ...)``, any shape, float32 or float64.
        y: a shape that broadcasts with x, or a single number, the same dtype.

    Output shape:
        ``(N, ...)``, both shapes broadcast, of the dtype of x.

    Raises:
        ShapeError: shapes that do not broadcast.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.power(np.array([1, 2, 3], np.float32), 2.0)
        array([1., 4., 9.], dtype=float32)
    """
    return on_arrays(functional.power, locals())


def softmax(x: ArrayLike) -> Array:
    """``exp(x_k) / Σ_j exp(x_j)`` over the last axis; the largest is subtracted first.

    Args:
        x: the input.

    Input shape:
        x: ``(N, ..., K)``, float32 or float64.

    Output shape:
        ``(N, ..., K)`` of the dtype of x; each row adds up to 1 but for rounding.

    Raises:
        ShapeError: an array without an axis of classes.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.softmax(np.array([[0, 0, 1]], np.float32))
        array([[0.21194156, 0.21194156, 0.57611686]], dtype=float32)
    """
    return on_arrays(functional.softmax, locals())


@like(softmax)
def log_softmax(x: ArrayLike) -> Array:
    """``x_k - log Σ_j exp(x_j)`` over the last axis; the largest is subtracted first.

    Output shape:
        ``(N, ..., K)`` of the dtype of x.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.log_softmax(np.array([[0, 0, 1]], np.float32))
        array([[-1.5514448, -1.5514448, -0.5514447]], dtype=float32)
    """
    return on_arrays(functional.log_softmax, locals())
