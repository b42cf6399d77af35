"""Quantised operators of ONNX as layers: whole numbers as floats, and exact sums of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.convolution import by_rows, convolved, of_both
from isoconv.exchange.onnx.layouts import Layout
from isoconv.graph.operation import Array
from isoconv.nn import (
    Add,
    Apply,
    Clip,
    Multiply,
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedConv3d,
    QuantizedLinear,
    Reduce,
)
from isoconv.nn import functional as f
from isoconv.nn.quantization import KINDS

_CONVOLUTIONS = (QuantizedConv1d, QuantizedConv2d, QuantizedConv3d)
_CODES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16"}
"""ONNX's numbers of kinds of integers."""
_LARGEST_PRODUCT, _LARGEST_SUM = 255 * 255, 2**24
"""Of bytes from their zeros, and up to which whole numbers are exact in float32."""


# -- to whole numbers and back ---------------------------------------------------------------


@converts("QuantizeLinear", since=10)
def _quantize(use: Use) -> Sequence[Given]:
    """``round(x / scale) + zero_point`` within the bounds of its kind, halves to even."""
    kind = _kind(use)
    x, scale, zero = use.value(), use.given(1), use.given(2)
    if not isinstance(scale, Value) and not isinstance(zero, Value):
        scale, zero = _on_axis(use, x.sizes, use.array(1, "a scale"), zero)
    return [_quantized(use, x, scale, zero, kind)]


def _kind(use: Use) -> str:
    """The kind of integers that is wanted: that of the zero point, or of a setting.

    Raises:
        NodeError: it is another one, or not known.
    """
    code = use.setting("output_dtype", 0)
    kind = _CODES.get(code, f"kind {code}" if code else "uint8")
    if use.given(2) is not None:
        kind = use.kind(2)
    if kind not in KINDS:
        raise NodeError(f"its result must be of {', '.join(KINDS)}; got {kind}")
    return kind


def _quantized(use: Use, x: Value, scale: Given | None, zero: Given | None, kind: str) -> Value:
    y = joined(use, (x, scale), Apply(f.divide))
    y = applied(use, y, f.round)
    if isinstance(zero, Value) or (zero is not None and zero.array.any()):
        y = joined(use, (y, zero), Add())
    low, high = KINDS[kind]
    return use.layer(Clip(float(low), float(high)), [y], y.layout)


@converts("DynamicQuantizeLinear", since=11)
def _dynamically(use: Use) -> Sequence[Given]:
    """A scale and a zero point for each image, so that its values and 0 fill the bytes."""
    x = use.value()
    x, order = use.apart(x)
    nothing = Layout((), ())
    bounds = []
    for kind, bound in (("max", f.maximum), ("min", f.minimum)):
        end = use.layer(Reduce(kind, tuple(range(len(order)))), [x], nothing)
        bounds.append(applied(use, end, bound, 0.0))
    span = joined(use, bounds, Apply(f.subtract))
    some = applied(use, span, f.greater, 0.0)
    span = use.layer(Apply(f.where, (1.0,)), [some, span], nothing)
    scale = joined(use, (span, Fixed(np.array(255, np.float32))), Apply(f.divide))
    zero = joined(use, (bounds[1], scale), Apply(f.divide))
    zero = use.layer(Clip(0.0, 255.0), [applied(use, zero, f.neg)], nothing)
    zero = applied(use, zero, f.round)
    return [_quantized(use, x, scale, zero, "uint8"), scale, zero]


@converts("DequantizeLinear", since=10)
def _dequantize(use: Use) -> Sequence[Given]:
    """``(x - zero_point) * scale``."""
    given, scale, zero = use.given(0), use.given(1), use.given(2)
    if given is None:
        raise NodeError("input 0 must be there")
    if not isinstance(scale, Value) and not isinstance(zero, Value):
        scale, zero = _on_axis(use, given.sizes, use.array(1, "a scale"), zero)
        if isinstance(given, Fixed):
            # The difference is exact, then there is one rounding.
            shifted = (given.array.astype(np.float64) - zero.array).astype(np.float32)
            return [Fixed(shifted * scale.array, given.name)]
    y = use.value()
    if isinstance(zero, Value) or (zero is not None and zero.array.any()):
        y = joined(use, (y, zero), Apply(f.subtract))
    return [joined(use, (y, scale), Multiply())]


def _on_axis(
    use: Use, sizes: Sequence[int], scale: Array, given: Fixed | None
) -> tuple[Fixed, Fixed]:
    """A scale and a zero point as they broadcast to a value, in float32.

    Raises:
        NodeError: they do not fit the value, or each other.
    """
    zero = np.zeros(scale.shape, np.float32) if given is None else given.array
    if scale.dtype != np.float32 or zero.dtype.kind not in "iuf" or zero.size != scale.size:
        raise NodeError("a scale must be of float32, and a zero point must be there for each")
    block = use.setting("block_size", 0)
    if block:
        axis = use.axis(use.setting("axis", 1), sizes)
        wanted = [-(-side // block) if n == axis else side for n, side in enumerate(sizes)]
        if block < 0 or list(scale.shape) != wanted:
            raise NodeError(f"a scale must be there for each block of {block}; got {scale.shape}")
        places = np.arange(sizes[axis]) // block
        whole = zero.astype(np.float32).reshape(scale.shape)
        return Fixed(np.take(scale, places, axis)), Fixed(np.take(whole, places, axis))
    shape: list[int] = []
    if scale.ndim:
        axis = use.axis(use.setting("axis", 1), sizes) if scale.size > 1 else 0
        if scale.size not in (1, sizes[axis]):
            raise NodeError(f"a scale must be there for each of {sizes[axis]}; got {scale.size}")
        shape = [scale.size if place == axis else 1 for place in range(len(sizes))]
    return Fixed(scale.reshape(shape)), Fixed(zero.astype(np.float32).reshape(shape))


# -- sums of products ------------------------------------------------------------------------


@converts("ConvInteger", since=10)
def _conv_integer(use: Use) -> Sequence[Given]:
    """The sums themselves."""
    weight = _centred(use, 1, 3, columns=False)
    x, start = _from_zero(use)
    return [convolved(use, weight, None, _CONVOLUTIONS, x=x, input_zero_point=start)]


@converts("QLinearConv", since=10)
def _conv(use: Use) -> Sequence[Given]:
    """The sums times the scales of both, over that of the result."""
    weight = _centred(use, 3, 5, columns=False)
    bias, arrays, settings = use.optional(8, "a bias"), *_brought(use, weight.shape[0])
    return [convolved(use, weight, bias, _CONVOLUTIONS, place=3, arrays=arrays, **settings)]


@converts("MatMulInteger", since=10)
def _matmul_integer(use: Use) -> Sequence[Given]:
    """The sums themselves."""
    if _is_matrix(use.given(1)):
        x, start = _from_zero(use)
        weight = _centred(use, 1, 3, columns=True)
        return [_rows(use, x, weight, 1, {}, {"input_zero_point": start})]
    return [_of_values(use, 1, 3)]


@converts("QLinearMatMul", since=10)
def _matmul(use: Use) -> Sequence[Given]:
    """The sums times the scales of both, over that of the result."""
    if _is_matrix(use.given(3)):
        weight = _centred(use, 3, 5, columns=True)
        return [_rows(use, use.value(), weight, 3, *_brought(use, weight.shape[-1]))]
    y = _of_values(use, 3, 5)
    arrays, settings = _brought(use, y.sizes[-1])
    y = joined(use, (y, Fixed(arrays["multiplier"])), Multiply())
    y = joined(use, (y, Fixed(np.array(settings["zero_point"], np.float32))), Add())
    low, high = KINDS[settings["dtype"]]
    y = use.layer(Clip(float(low), float(high)), [y], y.layout)
    return [applied(use, y, f.round)]


def _is_matrix(given: Given | None) -> bool:
    return isinstance(given, Fixed) and given.array.ndim == 2


def _of_values(use: Use, place: int, zero_place: int) -> Value:
    """Sums of the products of two values of bytes, which float32 holds.

    Raises:
        NodeError: there may be sums that it does not.
    """
    parts = []
    for number, zero in ((0, 2), (place, zero_place)):
        if isinstance(use.given(number), Fixed):
            known = _centred(use, number, zero, columns=True).astype(np.float32)
            part = use.into.constant(Fixed(known), use.name())
        else:
            part = use.value(number)
            shift = use.given(zero)
            if isinstance(shift, Fixed):
                shift = Fixed(shift.array.astype(np.float32))
            part = part if shift is None else joined(use, (part, shift), Apply(f.subtract))
        parts.append(part)
    if parts[0].sizes[-1:] and parts[0].sizes[-1] * _LARGEST_PRODUCT > _LARGEST_SUM:
        raise NodeError(f"its sums must be of {_LARGEST_SUM // _LARGEST_PRODUCT} products or fewer")
    return of_both(use, *parts)


def _from_zero(use: Use) -> tuple[Value, int]:
    """The first input and its zero point, which is subtracted where it is not known."""
    zero = use.given(2)
    if isinstance(zero, Value):
        return joined(use, (use.value(), zero), Apply(f.subtract)), 0
    return use.value(), _one(use, 2, "a zero point")


def _rows(
    use: Use,
    x: Value,
    weight: Array,
    place: int,
    arrays: dict[str, Array],
    settings: dict[str, Any],
) -> Value:
    if weight.ndim != 2:
        raise NodeError(f"its matrix must have two axes; got {list(weight.shape)}")
    x, weight, layout = by_rows(use, x, weight)
    layer = QuantizedLinear(weight.shape[-1], False, **settings)
    return use.layer(layer, [x], layout, name=use.name(place), weight=weight, **arrays)


def _centred(use: Use, place: int, zero_place: int, *, columns: bool) -> Array:
    """Weights from their zero, which may be another one for each column, or for each filter."""
    weight = use.array(place, "weights")
    zero = use.optional(zero_place, "a zero point")
    if weight.dtype.kind not in "iu":
        raise NodeError(f"weights, input {place}, must be whole numbers; got {weight.dtype}")
    if zero is None:
        return weight.astype(np.int64)
    if zero.size > 1 and not columns:
        zero = zero.reshape(-1, *(1,) * (weight.ndim - 1))
    try:
        return weight.astype(np.int64) - zero.astype(np.int64)
    except ValueError:
        raise NodeError(
            f"a zero point does not fit weights of shape {list(weight.shape)}"
        ) from None


def _one(use: Use, place: int, what: str) -> int:
    """A whole number that holds for everything; 0 where it is left out."""
    found = use.optional(place, what)
    if found is None:
        return 0
    if found.size != 1 or found.dtype.kind not in "iu":
        raise NodeError(f"{what}, input {place}, must be one whole number; got {list(found.shape)}")
    return int(found.reshape(-1)[0])


def _brought(use: Use, count: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """What brings exact sums to a kind of integer: the layer's arrays, and its settings."""
    first, second, last = (use.array(place, "a scale").reshape(-1) for place in (1, 4, 6))
    zero = use.array(7, "a zero point")
    if (first.size, last.size) != (1, 1) or second.size not in (1, count):
        raise NodeError("scales must be one number each, or one for each filter or column")
    if zero.dtype.name not in KINDS:
        raise NodeError(f"its result must be of {', '.join(KINDS)}; got {zero.dtype}")
    multiplier = first.astype(np.float32) * second.astype(np.float32) / last.astype(np.float32)
    settings = {
        "input_zero_point": _one(use, 2, "a zero point"),
        "dtype": zero.dtype.name,
        "zero_point": _one(use, 7, "a zero point"),
    }
    return {"multiplier": np.broadcast_to(multiplier, (count,))}, settings
