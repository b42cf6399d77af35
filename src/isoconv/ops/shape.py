"""Operations that move values and compute nothing: reshape, concatenate, slice, pad, crop."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.errors import ArgumentError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Index, Number
from isoconv.graph.terms import Padding as Beyond
from isoconv.ops.check import dtype_error, shape_error
from isoconv.ops.flow import by_transpose
from isoconv.ops.reach import beside, inside, moved

__public__ = {"isoconv.ops": ["[A-Z]*"]}


# -- reshape ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape to take, without the image axis.

    Attributes:
        shape: sizes of the result's axes; as many elements as before.
        batched: whether the value has an image axis, which then stays.
    """

    shape: tuple[int, ...]
    batched: bool = True

    def __post_init__(self) -> None:
        if min(self.shape, default=1) < 1:
            raise refusal("shape", "be at least 1 on every axis", self.shape)


def _infer_reshape(attrs: Shape, x: TensorSpec) -> TensorSpec:
    if x.batched != attrs.batched:
        rule = f"batched={attrs.batched} must say whether x has an image axis"
        raise shape_error("reshape", rule, x=x)
    if x.size != prod(attrs.shape):
        rule = f"shape {attrs.shape} must have as many elements as x"
        raise shape_error("reshape", rule, x=x)
    return TensorSpec(attrs.shape, x.dtype, x.batched)


def _gradient_reshape(b: GraphBuilder, node: int, dy: int) -> Flows:
    x = b.spec(b[node].inputs[0])
    return (b.add("reshape", dy, attrs=Shape(x.shape, x.batched)),)


def _reshape(attrs: Shape, x: Array, *, images: int) -> Array:
    return x.reshape((images, *attrs.shape) if attrs.batched else attrs.shape)


def _terms_reshape(asked: Asked) -> Element:
    x, flat = asked.operands[0], 0
    for at, side in zip(asked.place, asked.result.shape, strict=True):
        flat = flat * side + at
    place: Index = ()
    for side in reversed(x.shape):
        flat, at = divmod(flat, side)
        place = (at, *place)
    return Element(0, (*asked.image, *place))


register(
    name="reshape",
    attrs=Shape,
    summary="y[i] = x[i] for row-major element numbers i: the same under another shape.",
    infer=_infer_reshape,
    gradient=_gradient_reshape,
    reference=_reshape,
    terms=_terms_reshape,
    view=True,
    kernels="movement",
)


# -- concat ----------------------------------------------------------------------------------


def _infer_concat(attrs: None, *parts: TensorSpec) -> TensorSpec:  # noqa: ARG001
    named = {f"x{i}": spec for i, spec in enumerate(parts, start=1)}
    if not parts or not parts[0].shape:
        raise shape_error("concat", "there must be inputs with at least one axis", **named)
    first = parts[0]
    for other in parts[1:]:
        if other.dtype != first.dtype:
            raise dtype_error("concat", "all inputs must have one dtype", **named)
        if other.shape[:-1] != first.shape[:-1] or len(other.shape) != len(first.shape):
            rule = "all inputs must have the same sizes on every axis but the last"
            raise shape_error("concat", rule, **named)
        if other.batched != first.batched:
            raise shape_error("concat", "all inputs or none must have an image axis", **named)
    channels = sum(spec.shape[-1] for spec in parts)
    return TensorSpec((*first.shape[:-1], channels), first.dtype, first.batched)


def _gradient_concat(b: GraphBuilder, node: int, dy: int) -> Flows:
    flows: list[int | None] = []
    start = 0
    for source in b[node].inputs:
        stop = start + b.spec(source).shape[-1]
        flows.append(b.add("slice_channels", dy, attrs=Slice(start, stop)))
        start = stop
    return tuple(flows)


def _concat(attrs: None, *parts: Array, images: int) -> Array:  # noqa: ARG001
    return np.concatenate(parts, axis=-1)


def _terms_concat(asked: Asked) -> Element:
    number, channel = 0, asked.index[-1]
    while channel >= (channels := asked.operands[number].shape[-1]):
        number, channel = number + 1, channel - channels
    return Element(number, (*asked.index[:-1], channel))


register(
    name="concat",
    summary="y = [x1 | x2 | ... | xk], side by side on the last axis (channels).",
    infer=_infer_concat,
    gradient=_gradient_concat,
    reference=_concat,
    terms=_terms_concat,
    kernels="movement",
    heavy=True,
    reads=beside,
)


# -- slice_channels --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """Channels `start` (included) to `stop` (not included)."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            text = f"a slice needs 0 <= start < stop; got {self.start}, {self.stop}"
            raise ArgumentError(text, argument="start", value=self.start)


def _infer_slice(attrs: Slice, x: TensorSpec) -> TensorSpec:
    if not x.shape or attrs.stop > x.shape[-1]:
        rule = f"channels {attrs.start} to {attrs.stop} must lie within the last axis"
        raise shape_error("slice_channels", rule, x=x)
    return TensorSpec((*x.shape[:-1], attrs.stop - attrs.start), x.dtype, x.batched)


def _gradient_slice(b: GraphBuilder, node: int, dy: int) -> Flows:
    total = b.spec(b[node].inputs[0]).shape[-1]
    return (b.add("embed_channels", dy, attrs=Embed(b[node].attrs.start, total)),)


def _slice(attrs: Slice, x: Array, *, images: int) -> Array:  # noqa: ARG001
    return x[..., attrs.start : attrs.stop].copy()


def _terms_slice(asked: Asked) -> Element:
    return Element(0, (*asked.index[:-1], asked.attrs.start + asked.index[-1]))


register(
    name="slice_channels",
    attrs=Slice,
    summary="y[..., c] = x[..., start + c] for c < stop - start.",
    infer=_infer_slice,
    gradient=_gradient_slice,
    reference=_slice,
    terms=_terms_slice,
    kernels="movement",
    part=True,
)


# -- embed_channels --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Embed:
    """Place channels at `start` of `total`."""

    start: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.total:
            text = f"start must lie in 0 to total; got {self.start}, {self.total}"
            raise ArgumentError(text, argument="start", value=self.start)


def _infer_embed(attrs: Embed, x: TensorSpec) -> TensorSpec:
    if not x.shape or attrs.start + x.shape[-1] > attrs.total:
        rule = f"the channels must fit from {attrs.start} on into {attrs.total}"
        raise shape_error("embed_channels", rule, x=x)
    return TensorSpec((*x.shape[:-1], attrs.total), x.dtype, x.batched)


def _gradient_embed(b: GraphBuilder, node: int, dy: int) -> Flows:
    start = b[node].attrs.start
    stop = start + b.spec(b[node].inputs[0]).shape[-1]
    return (b.add("slice_channels", dy, attrs=Slice(start, stop)),)


def _embed(attrs: Embed, x: Array, *, images: int) -> Array:  # noqa: ARG001
    y = np.zeros((*x.shape[:-1], attrs.total), x.dtype)
    y[..., attrs.start : attrs.start + x.shape[-1]] = x
    return y


def _terms_embed(asked: Asked) -> Element | Number:
    channel = asked.index[-1] - asked.attrs.start
    if 0 <= channel < asked.operands[0].shape[-1]:
        return Element(0, (*asked.index[:-1], channel))
    return Number(0.0)


register(
    name="embed_channels",
    attrs=Embed,
    summary="y[..., start + c] = x[..., c], and 0 in all other channels.",
    infer=_infer_embed,
    gradient=_gradient_embed,
    reference=_embed,
    terms=_terms_embed,
    kernels="movement",
)


# -- pad -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows (before, after) for each axis but the last.

    Attributes:
        pairs: one pair for each spatial axis.
    """

    pairs: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if any(min(pair) < 0 for pair in self.pairs):
            raise refusal("padding", "not be negative", self.pairs)


def _resized(op: str, attrs: Padding, x: TensorSpec, sign: int) -> TensorSpec:
    if len(x.shape) != len(attrs.pairs) + 1:
        rule = f"padding {attrs.pairs} must have one pair for each axis of x but the last"
        raise shape_error(op, rule, x=x)
    sides = tuple(
        side + sign * (before + after)
        for side, (before, after) in zip(x.shape[:-1], attrs.pairs, strict=True)
    )
    if min(sides, default=1) < 1:
        raise shape_error(op, f"cropping by {attrs.pairs} must leave something", x=x)
    return TensorSpec((*sides, x.shape[-1]), x.dtype, x.batched)


def _inner(attrs: Padding, array: Array) -> tuple[Any, ...]:
    sides = array.shape[array.ndim - 1 - len(attrs.pairs) : -1]
    rows = (
        slice(before, side - after)
        for side, (before, after) in zip(sides, attrs.pairs, strict=True)
    )
    return (..., *rows, slice(None))


def _infer_pad(attrs: Padding, x: TensorSpec) -> TensorSpec:
    return _resized("pad", attrs, x, +1)


def _pad(attrs: Padding, x: Array, *, images: int) -> Array:  # noqa: ARG001
    lead = x.ndim - 1 - len(attrs.pairs)
    grown = (
        side + before + after
        for side, (before, after) in zip(x.shape[lead:-1], attrs.pairs, strict=True)
    )
    y = np.zeros((*x.shape[:lead], *grown, x.shape[-1]), x.dtype)
    y[_inner(attrs, y)] = x
    return y


def _moved(asked: Asked, sign: int) -> Index:
    """Where an element of a padded or cropped value lies in the operand, or would lie."""
    *rows, channel = asked.place
    pairs = zip(rows, asked.attrs.pairs, strict=True)
    return (*(row + sign * before for row, (before, _) in pairs), channel)


def _terms_pad(asked: Asked) -> Element | Beyond:
    place = _moved(asked, -1)
    inside = all(0 <= at < side for at, side in zip(place, asked.operands[0].shape, strict=True))
    return (Element if inside else Beyond)(0, (*asked.image, *place))


register(
    name="pad",
    attrs=Padding,
    summary="y[h + before, ...] = x[h, ...], and 0 in the rows before and after.",
    infer=_infer_pad,
    gradient=by_transpose("crop"),
    reference=_pad,
    terms=_terms_pad,
    kernels="movement",
    reads=moved,
)


# -- crop ------------------------------------------------------------------------------------


def _infer_crop(attrs: Padding, x: TensorSpec) -> TensorSpec:
    return _resized("crop", attrs, x, -1)


def _crop(attrs: Padding, x: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.array(x[_inner(attrs, x)])


def _terms_crop(asked: Asked) -> Element:
    return Element(0, (*asked.image, *_moved(asked, +1)))


register(
    name="crop",
    attrs=Padding,
    summary="y[h, ...] = x[h + before, ...], without the rows before and after.",
    infer=_infer_crop,
    gradient=by_transpose("pad"),
    reference=_crop,
    terms=_terms_crop,
    kernels="movement",
    part=True,
    reads=inside,
)
