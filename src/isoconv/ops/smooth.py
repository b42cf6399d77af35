"""Activations and other functions that are computed wholly in float64 and rounded once.

Their slopes are rounded to the tensor's dtype before they meet the cotangent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.arithmetic.bits import with_sign
from isoconv.graph.operation import Array
from isoconv.ops.activation import register_equal, wide
from isoconv.ops.flow import by_input
from isoconv.ops.pointwise import register_unary

__public__ = {"isoconv.ops": ["[A-Z]*"]}

Wide = Callable[[Any, Array], Any]
"""``f(attrs, x)`` of float64."""

ROOT_HALF = 0.7071067811865476
INVERSE_ROOT_TAU = 0.3989422804014327
TWICE_ROOT_TWO_OVER_PI = 1.5957691216057308
CUBIC = 0.044715
LARGE = 2.0**28
"""Above, float64 squares have no place for a one beside them."""
LN2 = 0.6931471805599453


# -- attributes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elu:
    """The branches of an exponential linear unit; all three are float64.

    Attributes:
        above: factor of positive values.
        below: factor of ``exp(rate * x) - 1`` elsewhere.
        rate: factor of x in the exponent.
    """

    above: float
    below: float
    rate: float


@dataclass(frozen=True, slots=True)
class Softplus:
    """How sharp softplus bends, and where it is a line; both are float64.

    Attributes:
        beta: factor of x in the exponent.
        threshold: where ``beta * x`` is above it, the result is x.
    """

    beta: float
    threshold: float


def _register(
    name: str, formula: str, value: Wide, derivative: str, slope: Wide, attrs: type[Any] = NoneType
) -> None:
    """Register an activation and the operation ``…_grad`` that its gradient is.

    Args:
        name: of the operation.
        formula: what it is.
        value: the same in NumPy.
        derivative: what the slope is, which the cotangent is multiplied with.
        slope: the same in NumPy.
        attrs: the record of its settings.
    """

    def compute(settings: Any, x: Array) -> Any:
        return value(settings, wide(x)).astype(x.dtype)

    def compute_gradient(settings: Any, x: Array, dy: Array) -> Any:
        return slope(settings, wide(x)).astype(x.dtype) * dy

    gradient = by_input(f"{name}_grad")
    register_unary(name, f"y = {formula}, in float64.", compute, gradient, attrs=attrs)
    register_equal(
        f"{name}_grad",
        f"dx = ({derivative}) * dy.",
        ("x", "dy"),
        compute_gradient,
        why_no_gradient=f"second derivatives of {name} are not offered",
        attrs=attrs,
    )


# -- gelu ------------------------------------------------------------------------------------


def _gelu(_: None, x: Array) -> Any:
    return (0.5 * x) * (1.0 + elementary.erf(x * ROOT_HALF))


def _gelu_slope(_: None, x: Array) -> Any:
    below = 0.5 * (1.0 + elementary.erf(x * ROOT_HALF))
    density = INVERSE_ROOT_TAU * elementary.exp((-0.5 * x) * x)
    return below + x * density


_register(
    "gelu",
    "0.5 * x * (1 + erf(x / sqrt(2)))",
    _gelu,
    "Phi(x) + x * phi(x) with the normal distribution Phi and its density phi",
    _gelu_slope,
)


# -- silu ------------------------------------------------------------------------------------


def _silu(_: None, x: Array) -> Any:
    return x * elementary.sigmoid(x)


def _silu_slope(_: None, x: Array) -> Any:
    s = elementary.sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


_register("silu", "x * sigmoid(x)", _silu, "s * (1 + x * (1 - s)) with s = sigmoid(x)", _silu_slope)


# -- gelu, by its approximation with tanh ----------------------------------------------------


def _tanh_gate(x: Array) -> tuple[Array, Array]:
    """The gate sigmoid(u) = (1 + tanh(u / 2)) / 2, and the slope of u."""
    # Beyond, the gate is 0 or 1.
    t = np.where(x < -32.0, -32.0, x)
    t = np.where(t > 32.0, 32.0, t)
    square = CUBIC * (t * t)
    s = elementary.sigmoid(TWICE_ROOT_TWO_OVER_PI * (t * (1.0 + square)))
    return s, t * ((1.0 - s) * (TWICE_ROOT_TWO_OVER_PI * (1.0 + 3.0 * square)))


def _gelu_tanh(_: None, x: Array) -> Any:
    return x * _tanh_gate(x)[0]


def _gelu_tanh_slope(_: None, x: Array) -> Any:
    s, rise = _tanh_gate(x)
    return s * (1.0 + rise)


_register(
    "gelu_tanh",
    "x * sigmoid(u) with u = 2 * sqrt(2 / pi) * (x + 0.044715 * x^3)",
    _gelu_tanh,
    "s * (1 + x * (1 - s) * u') with s = sigmoid(u) and the slope u' of u",
    _gelu_tanh_slope,
)


# -- mish ------------------------------------------------------------------------------------


def _mish_gate(x: Array) -> tuple[Array, Array]:
    """The gate tanh(log(1 + e^x)), and e^x."""
    e = elementary.exp(np.where(x > 40.0, 40.0, x))
    n = e * (e + 2.0)
    return n / (n + 2.0), e


def _mish(_: None, x: Array) -> Any:
    return x * _mish_gate(x)[0]


def _mish_slope(_: None, x: Array) -> Any:
    t, e = _mish_gate(x)
    return t + x * ((1.0 - t * t) * (e / (e + 1.0)))


_register(
    "mish",
    "x * tanh(log(1 + e^x))",
    _mish,
    "t + x * (1 - t^2) * sigmoid(x) with t = tanh(log(1 + e^x))",
    _mish_slope,
)


# -- softplus and softsign -------------------------------------------------------------------


def _softplus(attrs: Softplus, x: Array) -> Any:
    v = x * attrs.beta
    positive = np.where((v > 0) | np.isnan(v), v, 0.0)
    bent = (positive + elementary.log1p(elementary.exp(-np.abs(v)))) / attrs.beta
    return np.where(v > attrs.threshold, x, bent)


def _softplus_slope(attrs: Softplus, x: Array) -> Any:
    v = x * attrs.beta
    return np.where(v > attrs.threshold, 1.0, elementary.sigmoid(v))


_register(
    "softplus",
    "x where beta * x > threshold, else log(1 + e^(beta * x)) / beta",
    _softplus,
    "1 where beta * x > threshold, else sigmoid(beta * x)",
    _softplus_slope,
    Softplus,
)


def _softsign(_: None, x: Array) -> Any:
    return x / (1.0 + np.abs(x))


def _softsign_slope(_: None, x: Array) -> Any:
    over = 1.0 + np.abs(x)
    return 1.0 / (over * over)


_register("softsign", "x / (1 + |x|)", _softsign, "1 / (1 + |x|)^2", _softsign_slope)


# -- exponential linear units ----------------------------------------------------------------


def _elu(attrs: Elu, x: Array) -> Any:
    return np.where(x > 0, x * attrs.above, elementary.expm1(x * attrs.rate) * attrs.below)


def _elu_slope(attrs: Elu, x: Array) -> Any:
    below = elementary.exp(x * attrs.rate) * (attrs.below * attrs.rate)
    return np.where(x > 0, attrs.above, below)


_register(
    "elu",
    "above * x where x > 0, else below * (e^(rate * x) - 1)",
    _elu,
    "above where x > 0, else below * rate * e^(rate * x)",
    _elu_slope,
    Elu,
)


# -- trigonometric and hyperbolic functions, and inverses of both ---------------------------


def _sinh(_: None, x: Array) -> Any:
    e = elementary.expm1(np.abs(x))
    # Where e is infinite the quotient is 1.
    c = np.where(e > LARGE * LARGE, LARGE * LARGE, e)
    return with_sign(0.5 * (e + c / (c + 1.0)), x)


def _cosh(_: None, x: Array) -> Any:
    e = elementary.exp(np.abs(x))
    return 0.5 * (e + 1.0 / e)


def _asinh(_: None, x: Array) -> Any:
    size = np.abs(x)
    # Beyond, the square overflows, and the root is x.
    a = np.where(size > LARGE, LARGE, size)
    square = a * a
    near = elementary.log1p(a + square / (1.0 + np.sqrt(1.0 + square)))
    return with_sign(np.where(size > LARGE, elementary.log(size) + LN2, near), x)


def _asinh_slope(_: None, x: Array) -> Any:
    return 1.0 / np.sqrt(1.0 + x * x)


def _acosh(_: None, x: Array) -> Any:
    # Below 1 there is none: the logarithm of -1 says so.
    a = np.where(x < 1.0, 1.0, np.where(x > LARGE, LARGE, x)) - 1.0
    near = np.where(x < 1.0, -2.0, a + np.sqrt(a * (a + 2.0)))
    return np.where(x > LARGE, elementary.log(x) + LN2, elementary.log1p(near))


def _acosh_slope(_: None, x: Array) -> Any:
    return 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0))


def _atanh(_: None, x: Array) -> Any:
    size = np.abs(x)
    return with_sign(0.5 * elementary.log1p((2.0 * size) / (1.0 - size)), x)


def _atanh_slope(_: None, x: Array) -> Any:
    return 1.0 / ((1.0 - x) * (1.0 + x))


def _asin(_: None, x: Array) -> Any:
    return elementary.atan(x / np.sqrt((1.0 - x) * (1.0 + x)))


def _asin_slope(_: None, x: Array) -> Any:
    return 1.0 / np.sqrt((1.0 - x) * (1.0 + x))


def _acos(_: None, x: Array) -> Any:
    return 2.0 * elementary.atan(np.sqrt((1.0 - x) / (1.0 + x)))


def _acos_slope(_: None, x: Array) -> Any:
    return -1.0 / np.sqrt((1.0 - x) * (1.0 + x))


def _sin(_: None, x: Array) -> Any:
    return elementary.sin(x)


def _cos(_: None, x: Array) -> Any:
    return elementary.cos(x)


def _cos_slope(_: None, x: Array) -> Any:
    return -elementary.sin(x)


def _tan(_: None, x: Array) -> Any:
    return elementary.tan(x)


def _tan_slope(_: None, x: Array) -> Any:
    t = elementary.tan(x)
    return 1.0 + t * t


def _atan(_: None, x: Array) -> Any:
    return elementary.atan(x)


def _atan_slope(_: None, x: Array) -> Any:
    return 1.0 / (1.0 + x * x)


_register("sin", "sin(x)", _sin, "cos(x)", _cos)
_register("cos", "cos(x)", _cos, "-sin(x)", _cos_slope)
_register("tan", "sin(x) / cos(x)", _tan, "1 + tan(x)^2", _tan_slope)
_register("sinh", "(e^x - e^-x) / 2", _sinh, "cosh(x)", _cosh)
_register("cosh", "(e^x + e^-x) / 2", _cosh, "sinh(x)", _sinh)
_register("asinh", "log(x + sqrt(x^2 + 1))", _asinh, "1 / sqrt(1 + x^2)", _asinh_slope)
_register("acosh", "log(x + sqrt(x^2 - 1))", _acosh, "1 / sqrt(x^2 - 1)", _acosh_slope)
_register("atanh", "log((1 + x) / (1 - x)) / 2", _atanh, "1 / (1 - x^2)", _atanh_slope)
_register("asin", "the angle whose sine is x", _asin, "1 / sqrt(1 - x^2)", _asin_slope)
_register("acos", "the angle whose cosine is x", _acos, "-1 / sqrt(1 - x^2)", _acos_slope)
_register("atan", "the angle whose tangent is x", _atan, "1 / (1 + x^2)", _atan_slope)
