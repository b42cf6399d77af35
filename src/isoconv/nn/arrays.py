"""The operations on NumPy arrays, forward and backward, on the same kernels that networks use.

``conv2d(x, w)`` computes; ``gradients(conv2d, grad_output, x, w)`` gives the gradients by ``x``
and ``w``. Float32 and float64 are both computed as given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from isoconv.errors import ArgumentError, DataError, DTypeError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import Trace
from isoconv.run.evaluate import evaluate

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

_SHARED = frozenset({"weight", "bias", "mean", "variance", "gamma", "beta"})
_DTYPES = ("float32", "float64", "int32", "int64", "uint8")

Function = Callable[..., Array]


def _on_arrays(function: Callable[..., Tensor]) -> Function:
    """The function on arrays instead of tensors."""

    @wraps(function)
    def run(*values: Any, **settings: Any) -> Array:
        return _compute(function, values, settings, None)[0]

    run.__doc__ = (
        f"{(function.__doc__ or '').splitlines()[0]}\n\n    On NumPy arrays: those that "
        "``nn.functional`` describes, with the images as a first axis\n    (weights and statistics "
        "have none). See ``isoconv.nn.functional``."
        f"{function.__name__} for the formula and settings.\n    "
    )
    return run


def gradients(
    function: Function, grad_output: Array, *arrays: Array, **settings: Any
) -> tuple[Array, ...]:
    """Gradients of a function of this module by each of its array arguments.

    For ``y = function(*arrays)`` and a number L that depends on y, ``grad_output`` is ∂L/∂y and
    the results are ∂L/∂array, one for each array of floating-point numbers. The mean and the
    variance that ``batch_norm`` is given are constants and have none.

    Args:
        function: ``isoconv.conv2d``, ``isoconv.max_pool2d``, …
        grad_output: array of the shape and dtype of the function's result.
        *arrays: the function's arrays, in order.
        **settings: the function's settings (stride, padding, …).

    Returns:
        One array for each float array that is no constant, of its shape and dtype.

    Raises:
        ArgumentError: the function is not one of this module's.
        ShapeError: ``grad_output`` has another shape than the result.

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
    original: Callable[..., Tensor] | None = getattr(function, "__wrapped__", None)
    if original is None:
        raise ArgumentError(f"gradients takes a function of isoconv on arrays; got {function!r}")
    return tuple(_compute(original, arrays, settings, np.asarray(grad_output))[1:])


def _compute(
    function: Callable[..., Tensor],
    values: tuple[Any, ...],
    settings: dict[str, Any],
    grad_output: Array | None,
) -> list[Array]:
    """The result, then the gradients if a cotangent is given."""
    bound = inspect.signature(function).bind(*values, **settings)
    arrays: dict[str, Array] = {}
    images: dict[str, int] = {}
    trace = Trace(dtype=_common_dtype(bound.arguments))
    tensors: dict[str, Tensor] = {}
    for name, value in bound.arguments.items():
        if isinstance(value, np.ndarray):
            tensors[name] = _input(trace, name, value, images)
            arrays[name] = value
    if function is functional.cross_entropy:
        _check_labels(arrays)
    bound.arguments.update(tensors)
    result = function(*bound.args, **bound.kwargs)
    count = _count(function.__name__, images)
    outputs = [("result", result.index)]
    if grad_output is not None:
        wanted = (count, *result.shape)
        if grad_output.shape != wanted:
            raise ShapeError(f"grad_output must have shape {wanted}; got {grad_output.shape}")
        arrays["grad_output"] = grad_output.astype(result.dtype, copy=False)
        seed = trace.input("dataset", "grad_output", result.shape, result.dtype).index
        floats = {n: t.index for n, t in tensors.items() if arrays[n].dtype.kind == "f"}
        flows = differentiate(trace.builder, {result.index: seed}, list(floats.values()))
        outputs += [(f"grad:{n}", flows[i]) for n, i in floats.items() if i in flows]
    results = evaluate(trace.builder.graph(outputs), _used(trace, outputs, arrays), count)
    return [np.array(results[name]) for name, _ in outputs]


def _input(trace: Trace, name: str, value: Array, images: dict[str, int]) -> Tensor:
    if value.dtype.name not in _DTYPES:
        raise DTypeError(f"{name} must be one of {', '.join(_DTYPES)}; got {value.dtype}")
    dtype: DType = value.dtype.name  # type: ignore[assignment]
    if name in _SHARED:
        return trace.input("parameter", name, value.shape, dtype)
    if value.ndim == 0:
        raise ShapeError(f"{name} must lead with an axis of images; got a single number")
    images[name] = len(value)
    return trace.input("dataset", name, value.shape[1:], dtype)


def _check_labels(arrays: dict[str, Array]) -> None:
    """Kernels look a label up without asking whether there is such a class."""
    logits, labels = arrays["logits"], arrays["labels"]
    classes = logits.shape[-1]
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"labels must lie in 0 … {classes - 1}, one for each logit; label {first} is "
            f"{int(labels[first])}"
        )


def _common_dtype(arguments: dict[str, Any]) -> DType:
    floats = {
        name: value.dtype.name
        for name, value in arguments.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }
    if len(set(floats.values())) > 1:
        raise DTypeError(f"arrays must share one floating-point dtype; got {floats}")
    kind = next(iter(floats.values()), "float32")
    if kind not in ("float32", "float64"):
        raise DTypeError(f"arrays must be float32 or float64; got {floats}")
    return "float64" if kind == "float64" else "float32"


def _count(name: str, images: dict[str, int]) -> int:
    if not images:
        raise ArgumentError(f"{name} needs an array")
    if len(set(images.values())) != 1:
        raise ShapeError(f"all arrays must hold the same number of images; got {images}")
    return next(iter(images.values()))


def _used(
    trace: Trace, outputs: list[tuple[str, int]], arrays: dict[str, Array]
) -> dict[str, Array]:
    graph = trace.builder.graph(outputs)
    return {node.attrs.name: arrays[node.attrs.name] for _, node in graph.inputs()}


avg_pool1d = _on_arrays(functional.avg_pool1d)
avg_pool2d = _on_arrays(functional.avg_pool2d)
avg_pool3d = _on_arrays(functional.avg_pool3d)
batch_norm = _on_arrays(functional.batch_norm)
bce_with_logits = _on_arrays(functional.bce_with_logits)
conv1d = _on_arrays(functional.conv1d)
conv2d = _on_arrays(functional.conv2d)
conv3d = _on_arrays(functional.conv3d)
cross_entropy = _on_arrays(functional.cross_entropy)
gelu = _on_arrays(functional.gelu)
global_avg_pool = _on_arrays(functional.global_avg_pool)
global_max_pool = _on_arrays(functional.global_max_pool)
leaky_relu = _on_arrays(functional.leaky_relu)
linear = _on_arrays(functional.linear)
log_softmax = _on_arrays(functional.log_softmax)
max_pool1d = _on_arrays(functional.max_pool1d)
max_pool2d = _on_arrays(functional.max_pool2d)
max_pool3d = _on_arrays(functional.max_pool3d)
mse = _on_arrays(functional.mse)
power = _on_arrays(functional.power)
relu = _on_arrays(functional.relu)
sigmoid = _on_arrays(functional.sigmoid)
silu = _on_arrays(functional.silu)
softmax = _on_arrays(functional.softmax)
tanh = _on_arrays(functional.tanh)
