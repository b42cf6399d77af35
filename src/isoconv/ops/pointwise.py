"""Arithmetic element by element: of two values, of one, and with a constant.

Two values are broadcast as NumPy does; each result is rounded once. Constants are Python floats,
rounded to the tensor's dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, TensorSpec
from isoconv.graph.operation import Array, Flows, Gradient, register
from isoconv.ops.check import FLOATS, require_constants, require_float, shape_error
from isoconv.ops.flow import by_transpose
from isoconv.ops.reduce import joined, reduce_like

__public__ = {"isoconv.ops": ["[A-Z]*"]}

TWO_OVER_ROOT_PI = 1.1283791670955126


# -- attributes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that every element meets.

    Attributes:
        value: rounded to the tensor's dtype. Constants 0.0 and -0.0 are not equal.
    """

    value: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._bits() == other._bits()

    def __hash__(self) -> int:
        return hash(self._bits())

    def _bits(self) -> str:
        return float(self.value).hex()


@dataclass(frozen=True, slots=True)
class Convert:
    """A change of element type.

    Attributes:
        dtype: "float32" or "float64".
    """

    dtype: DType

    def __post_init__(self) -> None:
        if self.dtype not in FLOATS:
            raise refusal("dtype", "be float32 or float64", self.dtype)


# -- two values: shape rule ------------------------------------------------------------------


def infer_binary(op: str, **specs: TensorSpec) -> TensorSpec:
    """The shape rule of an operation of several values that broadcast.

    Args:
        op: its name.
        **specs: the values by the names of the arguments.
    """
    require_float(op, **specs)
    known = specs.values()
    shape = joined(*(spec.shape for spec in known))
    if shape is None:
        rule = "the sides of each axis, from the last on, must be equal or 1"
        raise shape_error(op, rule, **specs)
    if any(spec.batched and len(spec.shape) != len(shape) for spec in known):
        rule = "an operand with an image axis must have all axes of the result; reshape it first"
        raise shape_error(op, rule, **specs)
    return TensorSpec(shape, next(iter(known)).dtype, any(spec.batched for spec in known))


# -- two values: gradient rules --------------------------------------------------------------


def like_operands(b: GraphBuilder, node: int, *flows: int | None) -> Flows:
    """Cotangents of the result's shape, one for each operand, as sums of the operands' shapes."""
    return tuple(
        None if flow is None else reduce_like(b, flow, b.spec(source))
        for source, flow in zip(b[node].inputs, flows, strict=True)
    )


def _gradient_add(b: GraphBuilder, node: int, dz: int) -> Flows:
    return like_operands(b, node, dz, dz)


def _gradient_sub(b: GraphBuilder, node: int, dz: int) -> Flows:
    return like_operands(b, node, dz, b.add("neg", dz))


def _gradient_mul(b: GraphBuilder, node: int, dz: int) -> Flows:
    x, y = b[node].inputs
    return like_operands(b, node, b.add("mul", dz, y), b.add("mul", dz, x))


def _gradient_div(b: GraphBuilder, node: int, dz: int) -> Flows:
    """With z = x / y: dx = dz / y and dy = -(dz z) / y."""
    y = b[node].inputs[1]
    down = b.add("neg", b.add("div", b.add("mul", dz, node), y))
    return like_operands(b, node, b.add("div", dz, y), down)


def _gradient_maximum(b: GraphBuilder, node: int, dz: int) -> Flows:
    """The chosen one takes all; of equals the first."""
    x, y = b[node].inputs
    second = b.add("relu_grad", b.add("sub", y, x), dz)
    return like_operands(b, node, b.add("sub", dz, second), second)


def _gradient_minimum(b: GraphBuilder, node: int, dz: int) -> Flows:
    """The chosen one takes all; of equals the first."""
    x, y = b[node].inputs
    second = b.add("relu_grad", b.add("sub", x, y), dz)
    return like_operands(b, node, b.add("sub", dz, second), second)


def _gradient_power(b: GraphBuilder, node: int, dz: int) -> Flows:
    """With z = x^y: dx = dz (y x^(y-1)) and dy = dz (z log x).

    Where y = 0, x^0 takes the place of x^(y-1), so that dx is 0 at x = 0, too; where x = 0, 0 takes
    the place of log x, so that dy is 0 there for y >= 0.
    """
    x, y = b[node].inputs
    below = b.add("relu_grad", b.add("abs", y), b.add("offset", y, attrs=Constant(-1.0)))
    slope = b.add("mul", y, b.add("power", x, below))
    log = b.add("relu_grad", b.add("abs", x), b.add("log", x))
    by_y = b.add("mul", node, log)
    return like_operands(b, node, b.add("mul", dz, slope), b.add("mul", dz, by_y))


# -- two values: references and registration -------------------------------------------------


def _maximum(x: Array, y: Array) -> Array:
    return np.where((x >= y) | np.isnan(x), x, y)


def _minimum(x: Array, y: Array) -> Array:
    return np.where((x <= y) | np.isnan(x), x, y)


def register_binary(
    name: str,
    summary: str,
    compute: Callable[[Array, Array], Any],
    gradient: Gradient,
    *,
    cheap: bool = False,
) -> None:
    """Register an operation of two float values that broadcast.

    Args:
        name: of the operation.
        summary: one sentence with the formula.
        compute: ``compute(x, y)``, the reference.
        gradient: the gradient rule.
        cheap: a result costs less to compute again than to load.
    """

    def infer(attrs: None, x: TensorSpec, y: TensorSpec) -> TensorSpec:  # noqa: ARG001
        return infer_binary(name, x=x, y=y)

    def reference(attrs: None, x: Array, y: Array, *, images: int) -> Array:  # noqa: ARG001
        with np.errstate(all="ignore"):
            return np.asarray(compute(x, y))

    register(name, summary, infer, reference, gradient, pointwise=True, cheap=cheap)


register_binary("add", "z = x + y.", np.add, _gradient_add, cheap=True)
register_binary("sub", "z = x - y.", np.subtract, _gradient_sub, cheap=True)
register_binary("mul", "z = x * y.", np.multiply, _gradient_mul, cheap=True)
register_binary("div", "z = x / y.", np.divide, _gradient_div)
register_binary("maximum", "z = x where x >= y or x is NaN, else y.", _maximum, _gradient_maximum)
register_binary("minimum", "z = x where x <= y or x is NaN, else y.", _minimum, _gradient_minimum)
register_binary("power", "z = x^y, as IEEE 754 has it.", elementary.power, _gradient_power)


# -- one value: shape rule -------------------------------------------------------------------


def register_unary(
    name: str,
    summary: str,
    compute: Callable[[Any, Array], Any],
    gradient: Gradient,
    *,
    attrs: type[Any] = NoneType,
    cheap: bool = False,
) -> None:
    """Register an operation of one float value that changes neither shape nor dtype.

    Args:
        name: of the operation.
        summary: one sentence with the formula.
        compute: ``compute(attrs, x)``, the reference.
        gradient: the gradient rule.
        attrs: the record of its settings.
        cheap: a result costs less to compute again than to load.
    """

    def infer(attrs: Any, x: TensorSpec) -> TensorSpec:
        require_float(name, x=x)
        require_constants(name, attrs, x)
        return x

    def reference(attrs: Any, x: Array, *, images: int) -> Array:  # noqa: ARG001
        with np.errstate(all="ignore"):
            return np.asarray(compute(attrs, x))

    register(name, summary, infer, reference, gradient, attrs=attrs, pointwise=True, cheap=cheap)


# -- one value: gradient rules ---------------------------------------------------------------


def _gradient_abs(b: GraphBuilder, node: int, dy: int) -> Flows:
    """Dy where x > 0, -dy where x < 0, and 0 at 0."""
    x = b[node].inputs[0]
    above = b.add("relu_grad", x, dy)
    below = b.add("relu_grad", b.add("neg", x), dy)
    return (b.add("sub", above, below),)


def _gradient_square(b: GraphBuilder, node: int, dy: int) -> Flows:
    slope = b.add("scale", b[node].inputs[0], attrs=Constant(2.0))
    return (b.add("mul", dy, slope),)


def _gradient_sqrt(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("div", b.add("scale", dy, attrs=Constant(0.5)), node),)


def _gradient_reciprocal(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("neg", b.add("mul", dy, b.add("square", node))),)


def _gradient_exp(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("mul", dy, node),)


def _gradient_log(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("div", dy, b[node].inputs[0]),)


def _gradient_expm1(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("mul", dy, b.add("offset", node, attrs=Constant(1.0))),)


def _gradient_log1p(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("div", dy, b.add("offset", b[node].inputs[0], attrs=Constant(1.0))),)


def _gradient_erf(b: GraphBuilder, node: int, dy: int) -> Flows:
    """The derivative is 2 / sqrt(pi) exp(-x^2)."""
    bell = b.add("exp", b.add("neg", b.add("square", b[node].inputs[0])))
    return (b.add("mul", dy, b.add("scale", bell, attrs=Constant(TWO_OVER_ROOT_PI))),)


def _gradient_offset(b: GraphBuilder, node: int, dy: int) -> Flows:  # noqa: ARG001
    return (dy,)


def _gradient_raised(b: GraphBuilder, node: int, dy: int) -> Flows:
    """The derivative is value x^(value - 1), and 0 for the value 0."""
    value = b[node].attrs.value
    below = Constant(value - 1.0 if value else 0.0)
    slope = b.add("scale", b.add("raised", b[node].inputs[0], attrs=below), attrs=Constant(value))
    return (b.add("mul", dy, slope),)


# -- one value: references and registration --------------------------------------------------


def _scale(attrs: Constant, x: Array) -> Any:
    return x * x.dtype.type(attrs.value)


def _offset(attrs: Constant, x: Array) -> Any:
    return x + x.dtype.type(attrs.value)


def _raised(attrs: Constant, x: Array) -> Any:
    return elementary.power(x, np.full_like(x, attrs.value))


register_unary("neg", "y = -x.", lambda _, x: -x, by_transpose("neg"), cheap=True)
register_unary("abs", "y = |x|.", lambda _, x: np.abs(x), _gradient_abs)
register_unary("square", "y = x * x.", lambda _, x: x * x, _gradient_square)
register_unary("sqrt", "y = sqrt(x).", lambda _, x: np.sqrt(x), _gradient_sqrt)
register_unary("reciprocal", "y = 1 / x.", lambda _, x: x.dtype.type(1) / x, _gradient_reciprocal)
register_unary("exp", "y = e^x.", lambda _, x: elementary.exp(x), _gradient_exp)
register_unary("expm1", "y = e^x - 1.", lambda _, x: elementary.expm1(x), _gradient_expm1)
register_unary("log", "y = log(x), to base e.", lambda _, x: elementary.log(x), _gradient_log)
register_unary(
    "log1p", "y = log(1 + x), to base e.", lambda _, x: elementary.log1p(x), _gradient_log1p
)
register_unary(
    "erf",
    "y = erf(x) = 2 / sqrt(pi) * (integral of exp(-t^2) from 0 to x).",
    lambda _, x: elementary.erf(x),
    _gradient_erf,
)
register_unary("scale", "y = x * value.", _scale, by_transpose("scale"), attrs=Constant, cheap=True)
register_unary("offset", "y = x + value.", _offset, _gradient_offset, attrs=Constant, cheap=True)
register_unary(
    "raised", "y = x^value, as IEEE 754 has it.", _raised, _gradient_raised, attrs=Constant
)


# -- convert ---------------------------------------------------------------------------------


def _infer_convert(attrs: Convert, x: TensorSpec) -> TensorSpec:
    return TensorSpec(x.shape, attrs.dtype, x.batched)


def _gradient_convert(b: GraphBuilder, node: int, dy: int) -> Flows:
    source = b.spec(b[node].inputs[0]).dtype
    if source not in FLOATS:
        return (None,)
    return (b.add("convert", dy, attrs=Convert(source)),)


def _convert(attrs: Convert, x: Array, *, images: int) -> Array:  # noqa: ARG001
    with np.errstate(all="ignore"):
        return x.astype(attrs.dtype)


register(
    name="convert",
    attrs=Convert,
    summary="y = x in another element type, rounded to nearest even.",
    infer=_infer_convert,
    gradient=_gradient_convert,
    reference=_convert,
    pointwise=True,
)
