"""Sums over axes, their counterpart that repeats values along axes, and division by a count.

A mean is `sum` followed by `divide_by_count`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from isoconv.arithmetic.sums import partial_sum
from isoconv.checks import refusal
from isoconv.errors import ArgumentError, GraphError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Formula, Partials
from isoconv.ops.check import require_float, require_unbatched, shape_error
from isoconv.ops.flow import by_transpose
from isoconv.ops.shape import Shape

__public__ = {"isoconv.ops": ["[A-Z]*"]}


# -- what broadcasting allows ----------------------------------------------------------------


def joined(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The per-image shape to which these are broadcast, as NumPy has it; None where they are not.

    Counted from the last one, the sides of an axis are equal or 1.

    Example:
        >>> joined((4, 1, 3), (5, 1)), joined((4, 4, 3), (4,))
        ((4, 5, 3), None)
    """
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    sides = [{*given} - {1} for given in zip(*padded, strict=True)]
    if any(len(given) > 1 for given in sides):
        return None
    return tuple(max(given, default=1) for given in sides)


def summed(b: GraphBuilder, value: int, axes: Collection[int], *, batched: bool) -> int:
    """Sum over some axes, which go.

    Args:
        b: the builder to which nodes are added.
        value: position of what is summed.
        axes: of its shape without the image axis.
        batched: whether the image axis stays.

    Returns:
        Position of the sum, whose shape has the axes that are left.
    """
    spec = b.spec(value)
    last = len(spec.shape) - 1
    kept = [axis for axis in range(last + 1) if axis not in axes]
    if not axes and batched == spec.batched:
        return value
    if kept in ([], [last]):
        return b.add("sum", value, attrs=Sum(len(kept), batched))
    if axes:
        attrs = SumAxes(tuple(sorted(axes)), batched, spec.batched)
        return b.add("sum_axes", value, attrs=attrs)
    # Only the image axis goes: every element is a channel of its own.
    flat = reshaped(b, value, (spec.size,))
    return reshaped(b, b.add("sum", flat, attrs=Sum(1, False)), spec.shape)


def reduce_like(b: GraphBuilder, cotangent: int, target: TensorSpec) -> int:
    """Sum a cotangent over everything along which a value of `target` was repeated.

    Args:
        b: the builder to which sums and `reshape` nodes are added.
        cotangent: position of the cotangent of the broadcast result.
        target: what the operand is: shape and image axis.

    Returns:
        Position of the operand's cotangent.

    Raises:
        GraphError: a value of `target` cannot have been repeated to the cotangent's shape.
    """
    whole = b.spec(cotangent)
    if whole == target:
        return cotangent
    if joined(target.shape, whole.shape) != whole.shape or target.batched > whole.batched:
        raise GraphError(f"{whole} is no broadcast result of {target}")
    axes: list[int] = []
    if target.shape != whole.shape:
        last = len(whole.shape) - 1
        ones = (1,) * (last + 1 - len(target.shape))
        sides = enumerate(zip((*ones, *target.shape), whole.shape, strict=True))
        axes = [axis for axis, (own, side) in sides if own == 1 and (side > 1 or axis != last)]
        if not target.shape:
            axes = [*range(last + 1)]
    return reshaped(b, summed(b, cotangent, axes, batched=target.batched), target.shape)


def reshaped(b: GraphBuilder, value: int, shape: tuple[int, ...]) -> int:
    """The value under a shape; itself where that is its own."""
    spec = b.spec(value)
    if spec.shape == shape:
        return value
    return b.add("reshape", value, attrs=Shape(shape, spec.batched))


# -- sum -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sum:
    """What a sum leaves standing.

    Attributes:
        keep: 1 to keep the last axis, 0 to sum over it too.
        batched: whether the image axis stays.
    """

    keep: int
    batched: bool

    def __post_init__(self) -> None:
        if self.keep not in (0, 1):
            raise refusal("keep", "be 0 or 1", self.keep)

    def kept(self, rank: int) -> tuple[int, ...]:
        """The axes that stay, of so many."""
        return tuple(range(rank - self.keep, rank))


def _infer_sum(attrs: Sum, x: TensorSpec) -> TensorSpec:
    if attrs.keep > len(x.shape):
        raise shape_error("sum", f"x must have an axis to keep (keep={attrs.keep})", x=x)
    return _left("sum", attrs, x)


def _left(op: str, attrs: Sum | SumAxes, x: TensorSpec) -> TensorSpec:
    require_float(op, x=x)
    if attrs.batched and not x.batched:
        raise shape_error(op, "an image axis can stay only where there is one", x=x)
    sides = tuple(x.shape[axis] for axis in attrs.kept(len(x.shape)))
    return TensorSpec(sides, x.dtype, attrs.batched)


def _gradient_sum(b: GraphBuilder, node: int, dy: int) -> Flows:
    x = b.spec(b[node].inputs[0])
    attrs = Broadcast(x.shape, x.batched, b[node].attrs.batched)
    return (b.add("broadcast", dy, attrs=attrs),)


def _sum(attrs: Sum, x: Array, *, images: int) -> Array:  # noqa: ARG001
    lead = x.shape[:1] if attrs.batched else ()
    kept = x.shape[x.ndim - attrs.keep :]
    middle = x.reshape((*lead, -1, *kept))
    return partial_sum(middle, axis=len(lead))


def _terms_sum(asked: Asked) -> Partials:
    x = asked.operands[0]
    kept = dict(zip(asked.attrs.kept(len(x.shape)), asked.place, strict=True))
    sides: list[Sequence[int]] = [
        range(side) if axis not in kept else (kept[axis],) for axis, side in enumerate(x.shape)
    ]
    if x.batched:
        sides.insert(0, asked.image or range(asked.images))
    return Partials(tuple(Element(0, place) for place in product(*sides)))


register(
    name="sum",
    attrs=Sum,
    summary="y[c] = sum of x[..., c] over all axes but the kept ones, in eight partial sums.",
    infer=_infer_sum,
    gradient=_gradient_sum,
    reference=_sum,
    sums=True,
    heavy=True,
    terms=_terms_sum,
)


# -- sum_axes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SumAxes:
    """Which axes are summed over; they go.

    Attributes:
        axes: without the image axis, in increasing order.
        batched: whether the image axis stays.
        source_batched: whether the value that is summed has one.
    """

    axes: tuple[int, ...]
    batched: bool
    source_batched: bool

    def __post_init__(self) -> None:
        if not self.axes or [*self.axes] != sorted({*self.axes}) or self.axes[0] < 0:
            raise refusal("axes", "be axes from 0 on in increasing order", self.axes)

    def kept(self, rank: int) -> tuple[int, ...]:
        """The axes that stay, of so many."""
        return tuple(axis for axis in range(rank) if axis not in self.axes)


def _infer_sum_axes(attrs: SumAxes, x: TensorSpec) -> TensorSpec:
    if x.batched != attrs.source_batched:
        rule = f"source_batched={attrs.source_batched} must say whether x has an image axis"
        raise shape_error("sum_axes", rule, x=x)
    if attrs.axes[-1] >= len(x.shape):
        raise shape_error("sum_axes", f"x must have the axes {attrs.axes}", x=x)
    return _left("sum_axes", attrs, x)


def _gradient_sum_axes(b: GraphBuilder, node: int, dy: int) -> Flows:
    x, axes = b.spec(b[node].inputs[0]), b[node].attrs.axes
    ones = tuple(1 if axis in axes else side for axis, side in enumerate(x.shape))
    attrs = Broadcast(x.shape, x.batched, b[node].attrs.batched)
    return (b.add("broadcast", reshaped(b, dy, ones), attrs=attrs),)


def _sum_axes(attrs: SumAxes, x: Array, *, images: int) -> Array:  # noqa: ARG001
    first = int(attrs.source_batched)
    images_go = [0] if first and not attrs.batched else []
    return partial_sum(x, [*images_go, *(axis + first for axis in attrs.axes)])


register(
    name="sum_axes",
    attrs=SumAxes,
    summary="y = sum of x over some axes, row-major, in eight partial sums.",
    infer=_infer_sum_axes,
    gradient=_gradient_sum_axes,
    reference=_sum_axes,
    sums=True,
    heavy=True,
    terms=_terms_sum,
)


# -- broadcast -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What a value is repeated to; the counterpart of `Sum`.

    Attributes:
        shape: the result's shape, without the image axis.
        batched: whether the result has an image axis.
        source_batched: whether the value that is repeated has one.
    """

    shape: tuple[int, ...]
    batched: bool
    source_batched: bool

    def __post_init__(self) -> None:
        if self.source_batched and not self.batched:
            text = f"a broadcast keeps the image axis of its source; got {self}"
            raise ArgumentError(text, argument="batched", value=self.batched)


def _infer_broadcast(attrs: Broadcast, s: TensorSpec) -> TensorSpec:
    require_float("broadcast", s=s)
    if s.batched != attrs.source_batched:
        rule = f"source_batched={attrs.source_batched} must say whether s has an image axis"
        raise shape_error("broadcast", rule, s=s)
    if joined(s.shape, attrs.shape) != attrs.shape:
        rule = f"each axis of s, from the last on, must be 1 or as in the result, {attrs.shape}"
        raise shape_error("broadcast", rule, s=s)
    return TensorSpec(attrs.shape, s.dtype, attrs.batched)


def _gradient_broadcast(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (reduce_like(b, dy, b.spec(b[node].inputs[0])),)


def _broadcast(attrs: Broadcast, s: Array, *, images: int) -> Array:
    if attrs.source_batched:
        ones = (1,) * (len(attrs.shape) - (s.ndim - 1))
        s = s.reshape((images, *ones, *s.shape[1:]))
    lead = (images,) if attrs.batched else ()
    return np.broadcast_to(s, (*lead, *attrs.shape)).copy()


def _terms_broadcast(asked: Asked) -> Element:
    s = asked.operands[0]
    place = asked.place[len(asked.place) - len(s.shape) :]
    sides = zip(place, s.shape, strict=True)
    image = asked.image if s.batched else ()
    return Element(0, (*image, *(0 if side == 1 else at for at, side in sides)))


register(
    name="broadcast",
    attrs=Broadcast,
    summary="y = s, repeated along axes of one, leading axes and the image axis.",
    infer=_infer_broadcast,
    gradient=_gradient_broadcast,
    reference=_broadcast,
    pointwise=True,
    terms=_terms_broadcast,
)


# -- divide_by_count -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CountAttrs:
    """How many elements a sum went over.

    Attributes:
        size: elements of one image.
        batched: True when each image was summed by itself; False divides by ``n * size`` for the
            n images of the shard.
    """

    size: int
    batched: bool

    def __post_init__(self) -> None:
        if self.size < 1:
            raise refusal("size", "be at least 1", self.size)


def _infer_divide_by_count(attrs: CountAttrs, s: TensorSpec) -> TensorSpec:  # noqa: ARG001
    require_float("divide_by_count", s=s)
    return s


def _divide_by_count(attrs: CountAttrs, s: Array, *, images: int) -> Array:
    count = attrs.size if attrs.batched else images * attrs.size
    return np.asarray(s / s.dtype.type(count))


def _terms_divide_by_count(asked: Asked) -> Formula:
    attrs = asked.attrs
    count = attrs.size if attrs.batched else asked.images * attrs.size
    return Element(0, asked.index) / float(count)


register(
    name="divide_by_count",
    attrs=CountAttrs,
    summary="y = s / size, or s / (n * size) for the n images of a shard.",
    infer=_infer_divide_by_count,
    gradient=by_transpose("divide_by_count"),
    reference=_divide_by_count,
    pointwise=True,
    terms=_terms_divide_by_count,
)


# -- times_images ----------------------------------------------------------------------------


def _infer_times_images(attrs: None, s: TensorSpec) -> TensorSpec:  # noqa: ARG001
    require_float("times_images", s=s)
    require_unbatched("times_images", s=s)
    return s


def _times_images(attrs: None, s: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.asarray(s * s.dtype.type(images))


register(
    name="times_images",
    summary="y = s * n for the n images of a shard: its statistics, weighted by its images.",
    infer=_infer_times_images,
    gradient=by_transpose("times_images"),
    reference=_times_images,
    pointwise=True,
)
