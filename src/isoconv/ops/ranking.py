"""The greatest elements of a row, where they stand, and rows with a one where a number says.

Places are whole numbers in a tensor's own dtype, and so exact up to `LONGEST` of float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.ir import DType, TensorSpec
from isoconv.graph.operation import Array, register
from isoconv.graph.terms import Asked, Element, Formula
from isoconv.ops.check import FLOATS, dtype_error, require_float, shape_error

__public__ = {"isoconv.ops": ["[A-Z]*"]}

LONGEST = {"float32": 2**24, "float64": 2**53}


# -- top_k -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopK:
    """What is asked of a row.

    Attributes:
        k: how many of its greatest elements, in decreasing order.
        places: where they stand, and not what they are.
    """

    k: int
    places: bool

    def __post_init__(self) -> None:
        if self.k < 1:
            raise refusal("k", "be at least 1", self.k)


def _infer_top_k(attrs: TopK, x: TensorSpec) -> TensorSpec:
    require_float("top_k", x=x)
    if not x.shape or attrs.k > x.shape[-1]:
        raise shape_error("top_k", f"the last axis of x must have k={attrs.k} elements", x=x)
    if attrs.places and x.shape[-1] > LONGEST[x.dtype]:
        raise shape_error("top_k", f"places of {x.dtype} end at {LONGEST[x.dtype]}", x=x)
    return TensorSpec((*x.shape[:-1], attrs.k), x.dtype, x.batched)


def _order(x: Array, k: int) -> Array:
    """Where the k greatest of each row stand: NaN first, of equals the first one."""
    missing = np.isnan(x)
    # A stable sort, in which both zeros are equal.
    return np.lexsort((-np.where(missing, 0, x), ~missing), axis=-1)[..., :k]


def _top_k(attrs: TopK, x: Array, *, images: int) -> Array:  # noqa: ARG001
    order = _order(x, attrs.k)
    return order.astype(x.dtype) if attrs.places else np.take_along_axis(x, order, -1)


def _terms_top_k(asked: Asked) -> Formula:
    attrs, row = asked.attrs, range(asked.operands[0].shape[-1])

    def compute(*values: Array) -> Any:
        return _top_k(attrs, np.concatenate(values), images=1)[asked.index[-1] :][:1]

    return Formula(TOP_K, tuple(Element(0, (*asked.index[:-1], i)) for i in row), compute)


TOP_K = (
    "y_j = the element of x's row before which j others come, or its place; a greater one comes "
    "before, of equals the first, and NaN before all."
)

register(
    name="top_k",
    attrs=TopK,
    summary=TOP_K,
    infer=_infer_top_k,
    why_no_gradient="places are whole numbers, and gradients by chosen elements not offered",
    reference=_top_k,
    terms=_terms_top_k,
    kernels="reduction",
    gathers=True,
)


# -- one_hot ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneHot:
    """Rows with a one.

    Attributes:
        classes: elements of a row.
        dtype: "float32" or "float64".
    """

    classes: int
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in FLOATS:
            raise refusal("dtype", "be float32 or float64", self.dtype)
        if self.classes < 1:
            raise refusal("classes", "be at least 1", self.classes)


def _infer_one_hot(attrs: OneHot, labels: TensorSpec) -> TensorSpec:
    if labels.dtype not in (*FLOATS, "int32", "int64"):
        raise dtype_error("one_hot", "labels must be floats, int32 or int64", labels=labels)
    return TensorSpec((*labels.shape, attrs.classes), attrs.dtype, labels.batched)


def _one_hot(attrs: OneHot, labels: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.asarray(labels[..., None] == np.arange(attrs.classes), attrs.dtype)


def _terms_one_hot(asked: Asked) -> Formula:
    def compute(label: Array) -> Any:
        return _one_hot(asked.attrs, label, images=1)[:, asked.index[-1]]

    return Formula(ONE_HOT, (Element(0, asked.index[:-1]),), compute)


ONE_HOT = "y_i = 1 where the label is i, else 0."

register(
    name="one_hot",
    attrs=OneHot,
    summary=ONE_HOT,
    infer=_infer_one_hot,
    why_no_gradient="it is a step function, flat wherever it has a derivative",
    reference=_one_hot,
    terms=_terms_one_hot,
    kernels="reduction",
    gathers=True,
)
