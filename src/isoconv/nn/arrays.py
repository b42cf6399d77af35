"""The operations on NumPy arrays, forward and backward, on the same kernels that networks use.

``conv2d(x, w)`` computes; ``gradients(conv2d, grad_output, x, w)`` gives the gradients by ``x``
and ``w``. Float32 and float64 are both computed as given.

Whatever NumPy makes an array of is taken for one: lists of numbers (float64, as NumPy makes them),
views, arrays of the other byte order or that cannot be written. Settings may be NumPy's numbers.
Each function has the arguments of its namesake in ``isoconv.nn.functional``, with images as a first
axis; weights and statistics have none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from isoconv.checks import check_array, entries, shown
from isoconv.errors import ArgumentError, as_given
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.array_elements import (
    gelu,
    leaky_relu,
    log_softmax,
    power,
    relu,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from isoconv.nn.array_losses import bce_with_logits, cross_entropy, mse
from isoconv.nn.array_pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    global_avg_pool,
    global_max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from isoconv.nn.array_weights import batch_norm, conv1d, conv2d, conv3d, linear
from isoconv.nn.computed import compute
from isoconv.nn.tensor import Tensor

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bce_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "gradients",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mse",
    "power",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]

Function = Callable[..., Array]


def gradients(
    function: Function, grad_output: ArrayLike, *arrays: ArrayLike, **settings: Any
) -> tuple[Array, ...]:
    """Gradients of a function of this module by each of its array arguments.

    For ``y = function(*arrays)`` and a number L that depends on y, ``grad_output`` is ∂L/∂y and
    the results are ∂L/∂array, one for each array of floating-point numbers.

    Args:
        function: ``isoconv.conv2d``, ``isoconv.max_pool2d``, …
        grad_output: array of the shape of the function's result; it is taken in its dtype.
        *arrays: the function's arrays, in order.
        **settings: the function's settings (stride, padding, …).

    Returns:
        One array for each float array, of its shape and dtype; zeros where no gradient flows, as
        to the statistics of `batch_norm` with ``own_statistics``.

    Raises:
        ArgumentError: the function is not one of this module's.
        ShapeError: ``grad_output`` has another shape than the result.
        DTypeError: an array of another kind than the function takes.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([[1, 5, 4], [9, 2, 1], [6, 3, 2]], np.float32).reshape(1, 3, 3, 1)
        >>> dy = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
        >>> (dx,) = ic.gradients(ic.max_pool2d, dy, x, kernel_size=2, stride=1)
        >>> dx[0, :, :, 0]
        array([[0., 2., 0.],
               [4., 0., 0.],
               [0., 4., 0.]], dtype=float32)
    """
    cotangent, original = check_array("grad_output", grad_output), _original(function)
    # By position they have no names of a person's.
    parameters = inspect.signature(original).parameters
    names = dict(zip(parameters, entries("arrays", arrays), strict=False))
    with as_given(names, grad_output=grad_output):
        return tuple(compute(original, arrays, settings, cotangent)[1:])


def _original(function: Function) -> Callable[..., Tensor]:
    """The function on tensors that a function of this module is about."""
    name = str(getattr(function, "__name__", ""))
    if name not in functional.__all__ or globals().get(name) is not function:
        text = f"gradients takes a function of isoconv on arrays; got {shown(function)}"
        raise ArgumentError(text, argument="function", value=function)
    original: Callable[..., Tensor] = getattr(functional, name)
    return original
