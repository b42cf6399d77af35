"""Step functions: comparisons, signs and rounding, and the choice between two values by one.

No gradient flows through a step: its derivative is 0 wherever there is one. A comparison gives 1.0
where it holds, else 0.0, of the dtype of what it compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.ops.check import FLOATS, require_constants, require_dtype
from isoconv.ops.pointwise import (
    Constant,
    infer_binary,
    like_operands,
    register_binary,
    register_unary,
)

__public__ = {"isoconv.ops": ["[A-Z]*"]}


def _no_gradient(b: GraphBuilder, node: int, dy: int) -> Flows:  # noqa: ARG001
    return (None,) * len(b[node].inputs)


# -- comparisons -----------------------------------------------------------------------------


def _register_comparison(name: str, sign: str, compare: Callable[[Array, Array], Any]) -> None:
    def compute(x: Array, y: Array) -> Array:
        return np.asarray(compare(x, y)).astype(x.dtype)

    register_binary(name, f"z = 1 where x {sign} y, else 0.", compute, _no_gradient)


_register_comparison("greater", ">", np.greater)
_register_comparison("greater_equal", ">=", np.greater_equal)
_register_comparison("equal", "=", np.equal)


# -- one value -------------------------------------------------------------------------------


def _sign(_: None, x: Array) -> Array:
    one = x.dtype.type(1)
    return np.where(x > 0, one, np.where(x < 0, -one, x))


register_unary("sign", "y = 1 where x > 0, -1 where x < 0, else x.", _sign, _no_gradient)
register_unary(
    "floor", "y = the greatest whole number <= x.", lambda _, x: np.floor(x), _no_gradient
)
register_unary(
    "round",
    "y = the nearest whole number to x, of two equally near ones the even one.",
    lambda _, x: np.rint(x),
    _no_gradient,
)
register_unary(
    "full_like",
    "y = value, whatever x is.",
    lambda attrs, x: np.full_like(x, attrs.value),
    _no_gradient,
    attrs=Constant,
    cheap=True,
)


# -- where -----------------------------------------------------------------------------------


def _infer_where(attrs: None, condition: TensorSpec, x: TensorSpec, y: TensorSpec) -> TensorSpec:  # noqa: ARG001
    return infer_binary("where", condition=condition, x=x, y=y)


def _gradient_where(b: GraphBuilder, node: int, dz: int) -> Flows:
    condition = b[node].inputs[0]
    zero = b.add("full_like", dz, attrs=Constant(0.0))
    by_x = b.add("where", condition, dz, zero)
    by_y = b.add("where", condition, zero, dz)
    return like_operands(b, node, None, by_x, by_y)


def _where(_: None, condition: Array, x: Array, y: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.where(condition != 0, x, y)


register(
    name="where",
    summary="z = x where condition is not 0, else y.",
    infer=_infer_where,
    gradient=_gradient_where,
    reference=_where,
    pointwise=True,
)


# -- lookup ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lookup:
    """A number for each class.

    Attributes:
        values: of the classes, rounded to the dtype.
        dtype: "float32" or "float64".
    """

    values: tuple[float, ...]
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in FLOATS:
            raise refusal("dtype", "be float32 or float64", self.dtype)
        if not self.values:
            raise refusal("values", "hold a number at least", self.values)


def _infer_lookup(attrs: Lookup, labels: TensorSpec) -> TensorSpec:
    require_dtype("lookup", "int32", labels=labels)
    result = TensorSpec(labels.shape, attrs.dtype, labels.batched)
    require_constants("lookup", attrs, result)
    return result


def _lookup(attrs: Lookup, labels: Array, *, images: int) -> Array:  # noqa: ARG001
    values = np.array(attrs.values, attrs.dtype)
    known = (labels >= 0) & (labels < len(values))
    return np.where(known, values[np.where(known, labels, 0)], values.dtype.type(0))


register(
    name="lookup",
    attrs=Lookup,
    summary="y = values[label], and 0 for a label that is none of them.",
    infer=_infer_lookup,
    why_no_gradient="labels are whole numbers",
    reference=_lookup,
    pointwise=True,
)
