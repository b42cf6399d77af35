"""What functions on tensors compute of NumPy arrays, forward and backward.

``conv2d(x, w)`` computes, on the same kernels as a network, and ``gradients(conv2d, dy, x, w)``
gives the gradients by ``x`` and ``w``. Float32 and float64 are both computed as given. The
functions stand in the files ``array_….py`` beside this one.

Whatever NumPy makes an array of is taken for one: lists of numbers (float64, as NumPy makes them),
views, arrays of the other byte order or that cannot be written. Settings may be NumPy's numbers.
Each function has the arguments of its namesake in ``isoconv.nn.functional``, with images as a first
axis; weights and statistics have none.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isoconv.checks import check_array, entries, plain, refusal, shown
from isoconv.errors import ArgumentError, DataError, DTypeError, ShapeError, as_given
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import Trace
from isoconv.run.evaluate import evaluate

__public__ = {"isoconv": ["gradients"]}

Function = Callable[..., Array]

_SHARED = frozenset({"weight", "bias", "mean", "variance", "gamma", "beta"})
_DTYPES = ("float32", "float64", "int32", "int64", "uint8")


def on_arrays(function: Callable[..., Tensor], given: Mapping[str, Any]) -> Array:
    """The result of a function on tensors for arrays in their place.

    Args:
        function: one of `nn.functional`.
        given: all its arguments by name.
    """
    return _compute(function, (), given, None)[0]


def along(kind: str) -> Callable[..., Array]:
    """What computes ``nn.functional.<kind><rank>d`` for arrays: of the rank and all arguments."""

    def computed(rank: int, *given: Any) -> Array:
        return _compute(getattr(functional, f"{kind}{rank}d"), given, {}, None)[0]

    return computed


def gradients(
    function: Function, grad_output: ArrayLike, *arrays: ArrayLike, **settings: Any
) -> tuple[Array, ...]:
    """Gradients of a function on arrays by each of its array arguments.

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
        ArgumentError: the function is not one of isoconv's on arrays.
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
        return tuple(_compute(original, arrays, settings, cotangent)[1:])


def _original(function: Function) -> Callable[..., Tensor]:
    """The function on tensors that a function on arrays is about."""
    name, place = (str(getattr(function, key, "")) for key in ("__name__", "__module__"))
    if not place.startswith("isoconv.nn.array_") or (
        getattr(sys.modules.get(place), name, None) is not function
    ):
        text = f"gradients takes a function of isoconv on arrays; got {shown(function)}"
        raise ArgumentError(text, argument="function", value=function)
    original: Callable[..., Tensor] = getattr(functional, name)
    return original


def _compute(
    function: Callable[..., Tensor],
    values: tuple[Any, ...],
    settings: Mapping[str, Any],
    grad_output: Array | None,
) -> list[Array]:
    """The result of a function on tensors for arrays, then its gradients by all float arrays.

    Args:
        function: one of `nn.functional`.
        values: its arguments by position, arrays in place of tensors.
        settings: its arguments by name.
        grad_output: the gradient by the result; None for the result alone.
    """
    bound = inspect.signature(function).bind(*values, **settings)
    with as_given(**bound.arguments):
        return _computed(function, bound, grad_output)


def _computed(
    function: Callable[..., Tensor], bound: inspect.BoundArguments, grad_output: Array | None
) -> list[Array]:
    """As `_compute`, for arguments that belong to the function's parameters."""
    arrays = _arrays(function, bound)
    images: dict[str, int] = {}
    trace = Trace(dtype=_common_dtype(arrays))
    tensors = {name: _input(trace, name, value, images) for name, value in arrays.items()}
    bound.arguments.update(tensors)
    result = function(*bound.args, **bound.kwargs)
    count = _count(function.__name__, images)
    outputs = [("result", result.index)]
    floats: list[str] = []
    if grad_output is not None:
        wanted_shape = (count, *result.shape)
        if grad_output.shape != wanted_shape:
            raise refusal(
                "grad_output",
                f"have shape {wanted_shape}",
                grad_output,
                ShapeError,
                got=f"{grad_output.shape}",
            )
        arrays["grad_output"] = grad_output.astype(result.dtype, copy=False)
        seed = trace.input("dataset", "grad_output", result.shape, result.dtype).index
        floats = [name for name in tensors if arrays[name].dtype.kind == "f"]
        wanted = [tensors[name].index for name in floats]
        flows = differentiate(trace.builder, {result.index: seed}, wanted)
        known = zip(floats, wanted, strict=True)
        outputs += [(f"grad:{name}", flows[index]) for name, index in known if index in flows]
    results = evaluate(trace.builder.graph(outputs), _used(trace, outputs, arrays), count)
    gradients_ = [results.get(f"grad:{name}", np.zeros_like(arrays[name])) for name in floats]
    return [np.array(array) for array in (results["result"], *gradients_)]


def _arrays(function: Callable[..., Tensor], bound: inspect.BoundArguments) -> dict[str, Array]:
    """The arguments in whose place the function takes tensors, as arrays."""
    arrays: dict[str, Array] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].annotation
        if kind == "Tensor | None" and value is None:
            continue
        if kind == "Tensor | float" and _is_number(value):
            continue
        if "Tensor" not in kind:
            continue
        if isinstance(value, Tensor):
            raise ArgumentError(
                f"{function.__name__} on arrays takes no tensors; on tensors of a trace it is "
                f"nn.functional.{function.__name__}",
                argument=name,
                value=value,
            )
        arrays[name] = check_array(name, value)
    if function is functional.cross_entropy:
        arrays["labels"] = _checked_labels(arrays["logits"], arrays["labels"])
    return arrays


def _is_number(value: object) -> bool:
    return isinstance(plain(value), (int, float)) and not isinstance(plain(value), bool)


def _input(trace: Trace, name: str, value: Array, images: dict[str, int]) -> Tensor:
    if value.dtype.name not in _DTYPES:
        raise refusal(
            name, f"be one of {', '.join(_DTYPES)}", value, DTypeError, got=f"{value.dtype}"
        )
    dtype: DType = value.dtype.name  # type: ignore[assignment]
    shared = name in _SHARED
    if not shared and value.ndim == 0:
        rule = "lead with an axis of images"
        raise refusal(name, rule, value, ShapeError, "a single number")
    shape = value.shape if shared else value.shape[1:]
    if 0 in shape:
        rule = "have sides of at least 1, but for the number of images"
        raise refusal(name, rule, value, ShapeError, f"shape {value.shape}")
    if shared:
        return trace.input("parameter", name, shape, dtype)
    images[name] = len(value)
    return trace.input("dataset", name, shape, dtype)


def _checked_labels(logits: Array, labels: Array) -> Array:
    """Kernels look a label up without asking whether there is such a class."""
    if labels.dtype.kind not in "biu":
        raise refusal("labels", "be whole numbers", labels, DTypeError, got=f"{labels.dtype}")
    classes = logits.shape[-1] if logits.ndim > 1 else 0
    # A place of a map may have no label.
    wrong = (labels < (-1 if labels.ndim > 1 else 0)) | (labels >= classes)
    if classes and wrong.any():
        first = int(np.argmax(wrong))
        place = tuple(map(int, np.unravel_index(first, wrong.shape))) or (0,)
        named = place[0] if len(place) == 1 else place
        raise DataError(
            f"labels must lie in 0 … {classes - 1}, one for each logit; label {named} is "
            f"{int(labels.flat[first])}",
            argument="labels",
            value=labels,
            row=place[0],
        )
    return labels.astype(np.int32, copy=False)


def _common_dtype(arrays: dict[str, Array]) -> DType:
    floats = {name: value.dtype.name for name, value in arrays.items() if value.dtype.kind == "f"}
    if len(set(floats.values())) > 1:
        raise DTypeError(f"arrays must share one floating-point dtype; got {floats}")
    kind = next(iter(floats.values()), "float32")
    if kind not in ("float32", "float64"):
        name = next(iter(floats))
        text = f"arrays must be float32 or float64; got {floats}"
        raise DTypeError(text, argument=name, value=arrays[name])
    return "float64" if kind == "float64" else "float32"


def _count(name: str, images: dict[str, int]) -> int:
    if not images:
        raise ArgumentError(f"{name} needs an array", argument="x")
    if len(set(images.values())) != 1:
        raise ShapeError(f"all arrays must hold the same number of images; got {images}")
    return next(iter(images.values()))


def _used(
    trace: Trace, outputs: list[tuple[str, int]], arrays: dict[str, Array]
) -> dict[str, Array]:
    graph = trace.builder.graph(outputs)
    return {node.attrs.name: arrays[node.attrs.name] for _, node in graph.inputs()}
