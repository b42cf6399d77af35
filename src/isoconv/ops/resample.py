"""Resampling along one axis: each place of the result is a mixture of a few places of x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Box, Flows, register
from isoconv.graph.terms import Asked, Chain, Element, Number
from isoconv.ops.check import require_constants, require_float, shape_error
from isoconv.ops.reach import taken

__public__ = {"isoconv.ops": ["Resample"]}

Taps = tuple[tuple[tuple[int, float], ...], ...]
"""For each place of the result, the places of x that it reads and their weights, in order."""


@dataclass(frozen=True, slots=True)
class Resample:
    """What each place of the result reads along one axis.

    Attributes:
        axis: which, counted from the last, -1, backwards.
        taps: for each place of the result the (place, weight) pairs of its chain, in order; none
            make +0.0. Weights are rounded to the dtype.
    """

    axis: int
    taps: Taps

    def __post_init__(self) -> None:
        if self.axis >= 0:
            raise refusal("axis", "be counted from the last, -1", self.axis)
        read = [tap for taps in self.taps for tap in taps]
        if not self.taps or any(place < 0 or not math.isfinite(w) for place, w in read):
            rule = "be at least one row of (place from 0, finite weight) pairs"
            raise refusal("taps", rule, self.taps)


def along(op: str, axis: int, size: int, last: int, x: TensorSpec) -> TensorSpec:
    """What x becomes where one axis, counted from the last, gets another size.

    Args:
        op: that asks, for messages.
        axis: which, below 0.
        size: of the result.
        last: the last place of x that is read, -1 for none.
        x: what is read.
    """
    place = len(x.shape) + axis
    if place < 0:
        raise shape_error(op, f"axis {axis} must be one of x", x=x)
    if last >= x.shape[place]:
        raise shape_error(op, f"places up to {last} must lie within axis {axis}", x=x)
    return TensorSpec((*x.shape[:place], size, *x.shape[place + 1 :]), x.dtype, x.batched)


def transposed(taps: Taps, side: int) -> Taps:
    """For each place of x the places of the result that read it, in increasing order.

    Example:
        >>> transposed((((0, 0.5), (1, 0.5)), ((1, 2.0),)), 3)
        (((0, 0.5),), ((0, 0.5), (1, 2.0)), ())
    """
    found: list[list[tuple[int, float]]] = [[] for _ in range(side)]
    for result, row in enumerate(taps):
        for place, weight in row:
            found[place].append((result, weight))
    return tuple(tuple(row) for row in found)


def _last(taps: Taps) -> int:
    return max((place for row in taps for place, _ in row), default=-1)


def _infer_resample(attrs: Resample, x: TensorSpec) -> TensorSpec:
    require_float("resample", x=x)
    require_constants("resample", attrs, x)
    return along("resample", attrs.axis, len(attrs.taps), _last(attrs.taps), x)


def _gradient_resample(b: GraphBuilder, node: int, dy: int) -> Flows:
    attrs = b[node].attrs
    side = b.spec(b[node].inputs[0]).shape[attrs.axis]
    return (b.add("resample", dy, attrs=Resample(attrs.axis, transposed(attrs.taps, side))),)


def _resample(attrs: Resample, x: Array, *, images: int) -> Array:  # noqa: ARG001
    rows = np.moveaxis(x, attrs.axis, 0)
    y = np.zeros((len(attrs.taps), *rows.shape[1:]), x.dtype)
    for number in range(max(map(len, attrs.taps))):
        at = [result for result, row in enumerate(attrs.taps) if len(row) > number]
        places = [attrs.taps[result][number][0] for result in at]
        weights = np.array([attrs.taps[result][number][1] for result in at]).astype(x.dtype)
        weights = weights.reshape(-1, *(1,) * (rows.ndim - 1))
        y[at] = fma(weights, rows[places], y[at])
    return np.ascontiguousarray(np.moveaxis(y, 0, attrs.axis))


def _terms_resample(asked: Asked) -> Chain:
    axis = asked.attrs.axis
    place = list(asked.index)

    def element(at: int) -> Element:
        place[axis] = at
        return Element(0, tuple(place))

    row = asked.attrs.taps[place[axis]]
    return Chain(tuple((Number(weight), element(at)) for at, weight in row))


def _reads_resample(
    attrs: Resample, box: Box, _: TensorSpec, __: TensorSpec
) -> tuple[Box | None, ...]:
    low, high = box[attrs.axis]
    met: Sequence[int] = [at for row in attrs.taps[low : high + 1] for at, _ in row]
    return (taken(box, attrs.axis, met),)


register(
    name="resample",
    attrs=Resample,
    summary="y[..., i, ...] = Σ_t weight[i, t] · x[..., place[i, t], ...] along one axis.",
    infer=_infer_resample,
    gradient=_gradient_resample,
    reference=_resample,
    terms=_terms_resample,
    gathers=True,
    heavy=True,
    kernels="movement",
    reads=_reads_resample,
)
