"""Values in another order: axes exchanged, and places of one axis taken by their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Box, Flows, register
from isoconv.graph.terms import Asked, Element, Number
from isoconv.ops.check import shape_error
from isoconv.ops.reach import permuted, taken
from isoconv.ops.resample import Resample, along, transposed

__public__ = {"isoconv.ops": ["[A-Z]*"]}


# -- transpose -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Permutation:
    """The order of the axes, without the image axis.

    Attributes:
        axes: for each axis of the result, the axis of x that it is.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(self.axes) != list(range(len(self.axes))):
            raise refusal("axes", "be each axis once", self.axes)

    def inverse(self) -> Permutation:
        """The order that leads back."""
        return Permutation(tuple(self.axes.index(axis) for axis in range(len(self.axes))))


def _infer_transpose(attrs: Permutation, x: TensorSpec) -> TensorSpec:
    if len(x.shape) != len(attrs.axes):
        raise shape_error("transpose", f"axes {attrs.axes} must be those of x", x=x)
    return TensorSpec(tuple(x.shape[axis] for axis in attrs.axes), x.dtype, x.batched)


def _gradient_transpose(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("transpose", dy, attrs=b[node].attrs.inverse()),)


def _transpose(attrs: Permutation, x: Array, *, images: int) -> Array:  # noqa: ARG001
    lead = x.ndim - len(attrs.axes)
    return np.ascontiguousarray(x.transpose(*range(lead), *(lead + a for a in attrs.axes)))


def _terms_transpose(asked: Asked) -> Element:
    place = tuple(asked.place[axis] for axis in asked.attrs.inverse().axes)
    return Element(0, (*asked.image, *place))


register(
    name="transpose",
    attrs=Permutation,
    summary="y[i] = x[j] where j[axes[d]] = i[d]: axis d of the result is axis axes[d] of x.",
    infer=_infer_transpose,
    gradient=_gradient_transpose,
    reference=_transpose,
    terms=_terms_transpose,
    gathers=True,
    heavy=True,
    kernels="movement",
    reads=permuted,
)


# -- take ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Take:
    """Places of one axis, by their numbers.

    Attributes:
        axis: which, counted from the last, -1, backwards.
        indices: for each place of the result the place of x that it takes; -1 for zero.
    """

    axis: int
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.axis >= 0:
            raise refusal("axis", "be counted from the last, -1", self.axis)
        if not self.indices or min(self.indices) < -1:
            raise refusal("indices", "be at least one number from 0, or -1 for zero", self.indices)


def _infer_take(attrs: Take, x: TensorSpec) -> TensorSpec:
    return along("take", attrs.axis, len(attrs.indices), max(attrs.indices), x)


def _gradient_take(b: GraphBuilder, node: int, dy: int) -> Flows:
    attrs = b[node].attrs
    side = b.spec(b[node].inputs[0]).shape[attrs.axis]
    taps = tuple(((index, 1.0),) if index >= 0 else () for index in attrs.indices)
    return (b.add("resample", dy, attrs=Resample(attrs.axis, transposed(taps, side))),)


def _take(attrs: Take, x: Array, *, images: int) -> Array:  # noqa: ARG001
    indices = np.array(attrs.indices)
    y: Array = np.take(x, np.maximum(indices, 0), axis=attrs.axis)
    np.moveaxis(y, attrs.axis, 0)[indices < 0] = 0
    return y


def _terms_take(asked: Asked) -> Element | Number:
    axis = asked.attrs.axis
    place = list(asked.index)
    place[axis] = asked.attrs.indices[place[axis]]
    return Element(0, tuple(place)) if place[axis] >= 0 else Number(0.0)


def _reads_take(attrs: Take, box: Box, _: TensorSpec, __: TensorSpec) -> tuple[Box | None, ...]:
    low, high = box[attrs.axis]
    return (taken(box, attrs.axis, attrs.indices[low : high + 1]),)


register(
    name="take",
    attrs=Take,
    summary="y[..., i, ...] = x[..., indices[i], ...] along one axis, and 0 where that is -1.",
    infer=_infer_take,
    gradient=_gradient_take,
    reference=_take,
    terms=_terms_take,
    gathers=True,
    heavy=True,
    kernels="movement",
    reads=_reads_take,
)
