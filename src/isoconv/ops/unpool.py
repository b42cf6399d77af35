"""Where maxima stood, values put back there, and values picked from there.

A place is the row-major number of a position, of each channel by itself; it is a whole number in
the dtype of the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Largest, Number, Running, When, Wins
from isoconv.ops.check import require_batched, require_float, shape_error
from isoconv.ops.geometry import WindowGeometry
from isoconv.ops.pointwise import Constant
from isoconv.ops.pool import pooled_spec, window_elements, winners
from isoconv.ops.reach import pooled
from isoconv.ops.window import covered, kernel_positions, row_major

__public__ = {"isoconv.ops": ["[A-Z]*"]}

EXACT = {"float32": 2**24, "float64": 2**53}
"""Whole numbers below are exact."""


def check_exact_places(op: str, x: TensorSpec, **others: TensorSpec) -> None:
    """The dtype holds the number of every position.

    Raises:
        ShapeError: there are too many positions.
    """
    if prod(x.shape[:-1]) > EXACT[x.dtype]:
        rule = f"x must have at most {EXACT[x.dtype]} positions, whose numbers are exact"
        raise shape_error(op, rule, x=x, **others)


# -- max_pool_places -------------------------------------------------------------------------


def _infer_places(attrs: WindowGeometry, x: TensorSpec) -> TensorSpec:
    result = pooled_spec("max_pool_places", attrs, x)
    check_exact_places("max_pool_places", x)
    return result


def _max_pool_places(attrs: WindowGeometry, x: Array, *, images: int) -> Array:  # noqa: ARG001
    _, winner = winners(attrs, x)
    outputs, sides = winner.shape[1:-1], x.shape[1:-1]
    places = np.zeros(winner.shape, x.dtype)
    for number, position in enumerate(kernel_positions(attrs.kernel)):
        place = np.zeros((), np.int64)
        for index, side in zip(covered(attrs, position, outputs), sides, strict=True):
            place = place[..., None] * side + index
        places = np.where(winner == number, place[..., None].astype(x.dtype), places)
    return places


def _terms_places(asked: Asked) -> Running:
    sides = asked.operands[0].shape[:-1]
    found = Largest(window_elements(asked.attrs, sides, asked.image, asked.place))
    lead = len(asked.image)
    return Running(
        tuple(
            When(Wins(found, i), Number(float(row_major(element.index[lead:-1], sides))))
            for i, element in enumerate(found.terms)
            if isinstance(element, Element)
        )
    )


register(
    name="max_pool_places",
    attrs=WindowGeometry,
    summary="y[p, c] = the row-major number of the position whose x[i, c] is window p's max.",
    infer=_infer_places,
    why_no_gradient="places are whole numbers, between which there is no slope",
    reference=_max_pool_places,
    epilogue=True,
    terms=_terms_places,
    kernels="window",
    heavy=True,
    reads=pooled,
)


# -- max_unpool ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unpool:
    """The size of an unpooled map.

    Attributes:
        sides: per spatial axis.
    """

    sides: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.sides, default=1) < 1:
            raise refusal("sides", "be at least 1 on every axis", self.sides)


def _infer_unpool(attrs: Unpool, x: TensorSpec, places: TensorSpec) -> TensorSpec:
    require_float("max_unpool", x=x, places=places)
    require_batched("max_unpool", x=x, places=places)
    if x.shape != places.shape or not x.shape:
        raise shape_error("max_unpool", "x must have a place for each element", x=x, places=places)
    if prod(attrs.sides) > EXACT[x.dtype]:
        rule = f"there must be at most {EXACT[x.dtype]} positions, whose numbers are exact"
        raise shape_error("max_unpool", rule, x=x, places=places)
    return TensorSpec((*attrs.sides, x.shape[-1]), x.dtype)


def _gradient_unpool(b: GraphBuilder, node: int, dy: int) -> Flows:
    """An element that a later one has overwritten has no gradient."""
    x, places = b[node].inputs
    rank = len(b.spec(x).shape) - 1
    ones, zeros = (1,) * rank, ((0, 0),) * rank
    own = b.add("max_pool_places", x, attrs=WindowGeometry(ones, ones, zeros, ones))
    # From 1 on, so that what nobody wrote is nobody's.
    own = b.add("offset", own, attrs=Constant(1.0))
    written = b.add("max_unpool", own, places, attrs=b[node].attrs)
    stayed = b.add("equal", b.add("at_places", written, places), own)
    taken = b.add("at_places", dy, places)
    nothing = b.add("full_like", taken, attrs=Constant(0.0))
    return b.add("where", stayed, taken, nothing), None


def _cells(places: Array, count: int) -> tuple[Array, Array]:
    """Places as indices, and which are there: ``(N, positions, C)``."""
    flat = places.reshape(places.shape[0], -1, places.shape[-1])
    there = (flat >= 0) & (flat < count)
    return np.where(there, flat, 0).astype(np.int64), there


def _max_unpool(attrs: Unpool, x: Array, places: Array, *, images: int) -> Array:
    channels = x.shape[-1]
    y = np.zeros((images, prod(attrs.sides), channels), x.dtype)
    cells, there = _cells(places, y.shape[1])
    values, rows, columns = x.reshape(cells.shape), np.arange(images), np.arange(channels)
    for p in range(cells.shape[1]):
        spot = (rows[:, None], cells[:, p], columns)
        y[spot] = np.where(there[:, p], values[:, p], y[spot])
    return y.reshape(images, *attrs.sides, channels)


def _terms_unpool(asked: Asked) -> Element | Number:
    *position, channel = asked.place
    wanted = row_major(tuple(position), asked.attrs.sides)
    for spot in reversed(list(np.ndindex(*asked.operands[0].shape[:-1]))):
        index = (*asked.image, *map(int, spot), channel)
        place = asked.read(Element(1, index))
        if wanted <= place < wanted + 1:
            return Element(0, index)
    return Number(0.0)


register(
    name="max_unpool",
    attrs=Unpool,
    summary="y[i, c] = the last x[p, c] whose place is the number of i, and 0 without one.",
    infer=_infer_unpool,
    gradient=_gradient_unpool,
    reference=_max_unpool,
    terms=_terms_unpool,
    kernels="window",
    heavy=True,
)


# -- at_places -------------------------------------------------------------------------------


def _infer_at_places(attrs: None, y: TensorSpec, places: TensorSpec) -> TensorSpec:  # noqa: ARG001
    require_float("at_places", y=y, places=places)
    require_batched("at_places", y=y, places=places)
    if not y.shape or not places.shape or y.shape[-1] != places.shape[-1]:
        raise shape_error(
            "at_places", "y and places must have as many channels", y=y, places=places
        )
    return places


def _at_places(attrs: None, y: Array, places: Array, *, images: int) -> Array:  # noqa: ARG001
    flat = y.reshape(images, -1, y.shape[-1])
    cells, there = _cells(places, flat.shape[1])
    found = np.take_along_axis(flat, cells, axis=1)
    return np.where(there, found, y.dtype.type(0)).reshape(places.shape)


def _terms_at_places(asked: Asked) -> Element | Number:
    place = asked.read(Element(1, asked.index))
    *sides, _ = asked.operands[0].shape
    if not 0 <= place < prod(sides):
        return Number(0.0)
    position = tuple(int(i) for i in np.unravel_index(int(place), sides))
    return Element(0, (*asked.image, *position, asked.place[-1]))


register(
    name="at_places",
    summary="x[p, c] = y[i, c] for the position i whose number is place[p, c], 0 beyond y.",
    infer=_infer_at_places,
    why_no_gradient="it is part of the gradient of max_unpool, and has none itself",
    reference=_at_places,
    terms=_terms_at_places,
    kernels="window",
)
