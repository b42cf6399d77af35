"""Activations, the pointwise gradients that have operations of their own, and binary losses.

Binary cross-entropy is computed wholly in float64 and rounded once; ``smooth.py`` has the
activations of which that holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.checks import settle
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, Gradient, register
from isoconv.ops.check import require_constants, require_float, shape_error
from isoconv.ops.flow import by_input, by_itself, by_result
from isoconv.ops.pointwise import Constant, register_unary

__public__ = {"isoconv.ops": ["[A-Z]*"]}

SIXTH = 1.0 / 6.0


# -- attributes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeakyRelu:
    """What is left of negative values.

    Attributes:
        slope: their factor, rounded to the tensor's dtype.
    """

    slope: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what values are kept.

    Attributes:
        minimum: the least, rounded to the tensor's dtype; -0.0 counts as 0.0.
        maximum: the greatest, likewise. Where it is below the minimum all values become it.
    """

    minimum: float = -math.inf
    maximum: float = math.inf

    def __post_init__(self) -> None:
        settle(self, minimum=self.minimum + 0.0, maximum=self.maximum + 0.0)


# -- shape rule of operations of several equal values ----------------------------------------


def register_equal(
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
    """Register a pointwise operation of float values that must all be alike.

    Args:
        name: of the operation.
        summary: one sentence with the formula.
        arguments: names of its inputs.
        compute: ``compute(attrs, *arrays)``, the reference.
        gradient: the gradient rule.
        why_no_gradient: the reason where there is none.
        attrs: the record of its settings.
        asks_for_sign: positions of the inputs of which it only asks where they are positive.
    """

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

    register(
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


# -- gradient rules --------------------------------------------------------------------------


def _one_minus(b: GraphBuilder, value: int) -> int:
    return b.add("offset", b.add("neg", value), attrs=Constant(1.0))


def _gradient_sigmoid(b: GraphBuilder, node: int, dy: int) -> Flows:
    """With y = sigmoid(x): dx = dy (y (1 - y))."""
    return (b.add("mul", dy, b.add("mul", node, _one_minus(b, node))),)


def _gradient_tanh(b: GraphBuilder, node: int, dy: int) -> Flows:
    """With y = tanh(x): dx = dy (1 - y^2)."""
    return (b.add("mul", dy, _one_minus(b, b.add("square", node))),)


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


def _between(x: Array, minimum: float, maximum: float) -> Array:
    low, high = x.dtype.type(minimum), x.dtype.type(maximum)
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


def _inside(y: Array, minimum: float, maximum: float) -> Array:
    return np.asarray((y > y.dtype.type(minimum)) & (y < y.dtype.type(maximum)))


def _clip(attrs: Bounds, x: Array) -> Array:
    return _between(x, attrs.minimum, attrs.maximum)


def _clip_grad(attrs: Bounds, y: Array, dy: Array) -> Array:
    return np.where(_inside(y, attrs.minimum, attrs.maximum), dy, dy.dtype.type(0))


def _hard_gate(x: Array) -> Array:
    return _between(x + x.dtype.type(3), 0.0, 6.0)


def _hardswish(_: None, x: Array) -> Array:
    return np.asarray(x * (_hard_gate(x) * x.dtype.type(SIXTH)))


def _hardswish_grad(_: None, x: Array, dy: Array) -> Array:
    h, sixth = _hard_gate(x), x.dtype.type(SIXTH)
    rise = np.where(_inside(h, 0.0, 6.0), x * sixth, x.dtype.type(0))
    return np.asarray((h * sixth + rise) * dy)


def wide(x: Array) -> Array:
    """The same numbers in float64."""
    return x.astype(np.float64)


def _bce(_: None, x: Array, target: Array) -> Any:
    v, z = wide(x), wide(target)
    positive = np.where((v > 0) | np.isnan(v), v, 0.0)
    tail = elementary.log1p(elementary.exp(-np.abs(v)))
    return ((positive - v * z) + tail).astype(x.dtype)


def _bce_grad(_: None, x: Array, target: Array, dy: Array) -> Any:
    return (elementary.sigmoid(wide(x)) - wide(target)).astype(x.dtype) * dy


# -- registration ----------------------------------------------------------------------------

register_unary("relu", "y = x where x > 0 or x is NaN, else 0.", _relu, by_result("relu_grad"))
register_equal(
    "relu_grad",
    "dx = dy where y > 0, else 0.",
    ("y", "dy"),
    _relu_grad,
    by_itself,
    asks_for_sign=(0,),
)
register_unary(
    "leaky_relu",
    "y = x where x > 0, else slope * x.",
    _leaky_relu,
    by_input("leaky_relu_grad"),
    attrs=LeakyRelu,
)
register_equal(
    "leaky_relu_grad",
    "dx = dy where x > 0, else slope * dy.",
    ("x", "dy"),
    _leaky_relu_grad,
    by_itself,
    attrs=LeakyRelu,
)
register_unary(
    "clip",
    "y = minimum where x < minimum, maximum where what that leaves is > maximum, else x.",
    _clip,
    by_result("clip_grad"),
    attrs=Bounds,
    cheap=True,
)
register_equal(
    "clip_grad",
    "dx = dy where minimum < y < maximum, else 0.",
    ("y", "dy"),
    _clip_grad,
    by_itself,
    attrs=Bounds,
)
register_unary(
    "hardswish",
    "y = x * (h * (1 / 6)) with h = x + 3, kept between 0 and 6.",
    _hardswish,
    by_input("hardswish_grad"),
    cheap=True,
)
register_equal(
    "hardswish_grad",
    "dx = (h * (1 / 6) + (x * (1 / 6) where 0 < h < 6, else 0)) * dy with the h of hardswish.",
    ("x", "dy"),
    _hardswish_grad,
    why_no_gradient="second derivatives of hardswish are not offered",
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
register_equal(
    "bce_with_logits",
    "y = max(x, 0) - x * target + log(1 + e^-|x|): binary cross-entropy, in float64.",
    ("x", "target"),
    _bce,
    _gradient_bce,
)
register_equal(
    "bce_grad",
    "dx = (sigmoid(x) - target) * dy.",
    ("x", "target", "dy"),
    _bce_grad,
    _gradient_bce_grad,
)
