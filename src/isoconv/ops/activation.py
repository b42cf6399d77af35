"""Activations, the pointwise gradients that have operations of their own, and binary losses.

GELU, SiLU and binary cross-entropy are computed wholly in float64 and rounded once; the slopes of
GELU and SiLU are rounded to the tensor's dtype before they meet the cotangent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Gradient, Operation, register
from isoconv.ops.check import require_constants, require_float, shape_error
from isoconv.ops.pointwise import Constant, register_unary

__all__ = ["LeakyRelu"]
__public__ = {"isoconv.ops": ["[A-Z]*"]}

Flows = tuple[int | None, ...]

ROOT_HALF = 0.7071067811865476
INVERSE_ROOT_TAU = 0.3989422804014327


# -- attributes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeakyRelu:
    """What is left of negative values.

    Attributes:
        slope: their factor, rounded to the tensor's dtype.
    """

    slope: float


# -- shape rule of operations of several equal values ----------------------------------------


def _register_equal(
    name: str,
    summary: str,
    arguments: tuple[str, ...],
    compute: Callable[..., Any],
    gradient: Gradient | None = None,
    why_no_gradient: str = "",
    *,
    attrs: type[Any] = NoneType,
    asks_for_sign: tuple[int, ...] = (),
) -> None:
    """Register a pointwise operation of float values that must all be alike."""

    def infer(attrs: Any, *specs: TensorSpec) -> TensorSpec:
        named = dict(zip(arguments, specs, strict=True))
        require_float(name, **named)
        require_constants(name, attrs, specs[0])
        if len(set(specs)) > 1:
            rule = f"{' and '.join(arguments)} must have one shape, with or without an image axis"
            raise shape_error(name, rule, **named)
        return specs[0]

    def reference(attrs: Any, *arrays: Array, images: int) -> Array:  # noqa: ARG001
        with np.errstate(all="ignore"):
            return np.asarray(compute(attrs, *arrays))

    entry = Operation(
        name,
        summary,
        infer,
        reference,
        gradient,
        why_no_gradient,
        attrs,
        pointwise=True,
        asks_for_sign=asks_for_sign,
        operands=arguments,
    )
    register(entry)


# -- gradient rules --------------------------------------------------------------------------


def _gradient_relu(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("relu_grad", node, dy),)


def _gradient_relu_grad(b: GraphBuilder, node: int, ddx: int) -> Flows:
    return None, b.add("relu_grad", b[node].inputs[0], ddx)


def _gradient_leaky_relu(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("leaky_relu_grad", b[node].inputs[0], dy, attrs=b[node].attrs),)


def _gradient_leaky_relu_grad(b: GraphBuilder, node: int, ddx: int) -> Flows:
    return None, b.add("leaky_relu_grad", b[node].inputs[0], ddx, attrs=b[node].attrs)


def _one_minus(b: GraphBuilder, value: int) -> int:
    return b.add("offset", b.add("neg", value), attrs=Constant(1.0))


def _gradient_sigmoid(b: GraphBuilder, node: int, dy: int) -> Flows:
    """With y = sigmoid(x): dx = dy (y (1 - y))."""
    return (b.add("mul", dy, b.add("mul", node, _one_minus(b, node))),)


def _gradient_tanh(b: GraphBuilder, node: int, dy: int) -> Flows:
    """With y = tanh(x): dx = dy (1 - y^2)."""
    return (b.add("mul", dy, _one_minus(b, b.add("square", node))),)


def _gradient_gelu(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("gelu_grad", b[node].inputs[0], dy),)


def _gradient_silu(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("silu_grad", b[node].inputs[0], dy),)


def _gradient_bce(b: GraphBuilder, node: int, dy: int) -> Flows:
    x, target = b[node].inputs
    return b.add("bce_grad", x, target, dy), b.add("neg", b.add("mul", x, dy))


def _gradient_bce_grad(b: GraphBuilder, node: int, ddx: int) -> Flows:
    x, target, dy = b[node].inputs
    s = b.add("sigmoid", x)
    both = b.add("mul", ddx, dy)
    by_x = b.add("mul", both, b.add("mul", s, _one_minus(b, s)))
    return by_x, b.add("neg", both), b.add("bce_grad", x, target, ddx)


# -- references ------------------------------------------------------------------------------


def _relu(_: None, x: Array) -> Array:
    return np.where((x > 0) | np.isnan(x), x, x.dtype.type(0))


def _relu_grad(_: None, y: Array, dy: Array) -> Array:
    return np.where(y > 0, dy, dy.dtype.type(0))


def _leaky_relu(attrs: LeakyRelu, x: Array) -> Array:
    return np.where(x > 0, x, x * x.dtype.type(attrs.slope))


def _leaky_relu_grad(attrs: LeakyRelu, x: Array, dy: Array) -> Array:
    return np.where(x > 0, dy, dy * dy.dtype.type(attrs.slope))


def _wide(x: Array) -> Array:
    return x.astype(np.float64)


def _gelu(_: None, x: Array) -> Any:
    v = _wide(x)
    return ((0.5 * v) * (1.0 + elementary.erf(v * ROOT_HALF))).astype(x.dtype)


def _gelu_grad(_: None, x: Array, dy: Array) -> Any:
    v = _wide(x)
    below = 0.5 * (1.0 + elementary.erf(v * ROOT_HALF))
    density = INVERSE_ROOT_TAU * elementary.exp((-0.5 * v) * v)
    return (below + v * density).astype(x.dtype) * dy


def _silu(_: None, x: Array) -> Any:
    v = _wide(x)
    return (v * elementary.sigmoid(v)).astype(x.dtype)


def _silu_grad(_: None, x: Array, dy: Array) -> Any:
    v = _wide(x)
    s = elementary.sigmoid(v)
    return (s * (1.0 + v * (1.0 - s))).astype(x.dtype) * dy


def _bce(_: None, x: Array, target: Array) -> Any:
    v, z = _wide(x), _wide(target)
    positive = np.where((v > 0) | np.isnan(v), v, 0.0)
    tail = elementary.log1p(elementary.exp(-np.abs(v)))
    return ((positive - v * z) + tail).astype(x.dtype)


def _bce_grad(_: None, x: Array, target: Array, dy: Array) -> Any:
    return (elementary.sigmoid(_wide(x)) - _wide(target)).astype(x.dtype) * dy


# -- registration ----------------------------------------------------------------------------

register_unary("relu", "y = x where x > 0 or x is NaN, else 0.", _relu, _gradient_relu)
_register_equal(
    "relu_grad",
    "dx = dy where y > 0, else 0.",
    ("y", "dy"),
    _relu_grad,
    _gradient_relu_grad,
    asks_for_sign=(0,),
)
register_unary(
    "leaky_relu",
    "y = x where x > 0, else slope * x.",
    _leaky_relu,
    _gradient_leaky_relu,
    attrs=LeakyRelu,
)
_register_equal(
    "leaky_relu_grad",
    "dx = dy where x > 0, else slope * dy.",
    ("x", "dy"),
    _leaky_relu_grad,
    _gradient_leaky_relu_grad,
    attrs=LeakyRelu,
)
register_unary(
    "sigmoid", "y = 1 / (1 + e^-x).", lambda _, x: elementary.sigmoid(x), _gradient_sigmoid
)
register_unary(
    "tanh",
    "y = (e^x - e^-x) / (e^x + e^-x).",
    lambda _, x: elementary.tanh(x),
    _gradient_tanh,
)
register_unary("gelu", "y = 0.5 * x * (1 + erf(x / sqrt(2))), in float64.", _gelu, _gradient_gelu)
_register_equal(
    "gelu_grad",
    "dx = (Phi(x) + x * phi(x)) * dy with the normal distribution Phi and its density phi.",
    ("x", "dy"),
    _gelu_grad,
    why_no_gradient="second derivatives of gelu are not offered",
)
register_unary("silu", "y = x * sigmoid(x), in float64.", _silu, _gradient_silu)
_register_equal(
    "silu_grad",
    "dx = (s * (1 + x * (1 - s))) * dy with s = sigmoid(x).",
    ("x", "dy"),
    _silu_grad,
    why_no_gradient="second derivatives of silu are not offered",
)
_register_equal(
    "bce_with_logits",
    "y = max(x, 0) - x * target + log(1 + e^-|x|): binary cross-entropy, in float64.",
    ("x", "target"),
    _bce,
    _gradient_bce,
)
_register_equal(
    "bce_grad",
    "dx = (sigmoid(x) - target) * dy.",
    ("x", "target", "dy"),
    _bce_grad,
    _gradient_bce_grad,
)
