"""Activations that are computed wholly in float64 and rounded once.

Their slopes are rounded to the tensor's dtype before they meet the cotangent.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from isoconv.arithmetic import elementary
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import Array
from isoconv.ops.activation import register_equal, wide
from isoconv.ops.pointwise import register_unary

__all__: list[str] = []
__public__ = {"isoconv.ops": ["smooth"]}

Wide = Callable[[Any, Array], Any]
"""``f(attrs, x)`` of float64."""

ROOT_HALF = 0.7071067811865476
INVERSE_ROOT_TAU = 0.3989422804014327


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

    def gradient(b: GraphBuilder, node: int, dy: int) -> tuple[int]:
        return (b.add(f"{name}_grad", b[node].inputs[0], dy, attrs=b[node].attrs),)

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
