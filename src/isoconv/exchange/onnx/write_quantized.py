"""Layers of whole numbers as ONNX's quantised operators.

Each rule writes an operation as always and notes what is known of the result; where the notes add
up to an operator of ONNX, that one is written, and what it stands for is left out at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from isoconv.exchange.onnx.write_layers import moves
from isoconv.exchange.onnx.writing import (
    INTEGERS,
    Integers,
    Writer,
    Written,
    attempts,
    channels_first,
)
from isoconv.graph.ir import Node
from isoconv.graph.operation import Array
from isoconv.nn.quantization import KINDS
from isoconv.ops import ConvGeometry

_WHOLE = 2**31
"""Below which int32 holds all whole numbers."""


@dataclass(frozen=True, slots=True)
class _Shifted:
    """Integers less their zero, in float64."""

    integers: Integers
    zero: int


@dataclass(frozen=True, slots=True)
class _Quotient:
    """Floats over a scale: rounded they are integers less their zero."""

    x: Written
    scale: Array
    rounded: bool
    zero: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """Exact sums of products in float64, and what was done with them."""

    integers: Integers
    weight: str
    held: tuple[str, int]
    settings: dict[str, Any]
    written: Written
    most: int
    moved: tuple[Node, ...] = ()
    bias: Array | None = None
    multiplier: Array | None = None
    zero: int = 0
    kind: str = ""
    rounded: bool = False


def _array(w: Writer, index: int) -> Array | None:
    """An operand that is the same for all images, among them one number for all elements."""
    if index not in w.values:
        return w.fixed(index)
    known = w.facts.get(w.values[index].name)
    return known if isinstance(known, np.ndarray) else None


def _operand(w: Writer, node: Node) -> tuple[Written, Array] | None:
    """The one operand that depends on images, and the other one."""
    given = [i for i in node.inputs if _array(w, i) is None]
    arrays = [a for a in (_array(w, i) for i in node.inputs) if a is not None]
    return (w.values[given[0]], arrays[0]) if len(given) == len(arrays) == 1 else None


@attempts("full_like")
def _full_like(w: Writer, node: Node) -> Written | None:
    """One number for all elements."""
    y = w.plain(node)
    w.facts[y.name] = np.array(node.attrs.value, node.spec.dtype)
    return y


def _whole(array: Array) -> bool:
    return bool(np.all(np.isfinite(array) & (np.rint(array) == array)))


def _in(kind: str, low: float, high: float) -> bool:
    least, most = KINDS[kind]
    return least <= low and high <= most


# -- sums of products ------------------------------------------------------------------------


@attempts("conv")
def _convolution(w: Writer, node: Node) -> Written | None:
    """Sums in int32, which is float64 then."""
    source, place = node.inputs
    array, geometry = w.fixed(place), node.attrs
    if source not in w.values or array is None:
        return None
    if not isinstance(geometry, ConvGeometry) or not geometry.rank:
        return None
    x = w.value(source)
    known = w.facts.get(x.name)
    held = _held(array)
    if not isinstance(known, _Shifted):
        w.because("its input is not known to be bytes")
        return None
    if held is None:
        w.because("its weights do not fit into 8 bits")
        return None
    kind, shift = held
    low, high = KINDS[known.integers.kind]
    furthest = max(abs(low - known.zero), abs(high - known.zero))
    most = furthest * int(abs(array).max()) * prod(array.shape[:-1])
    if most >= _WHOLE:
        w.because("int32 may not hold its sums")
        return None
    if (known.integers.kind, kind) == ("int8", "uint8"):
        w.because("its weights go beyond 127, and its input is of int8")
        return None
    axes = (geometry.rank + 1, geometry.rank, *range(geometry.rank))
    if geometry.flip:
        array = np.flip(array, tuple(range(geometry.rank)))
    weight = w.array((array + shift).transpose(axes).astype(kind), _weight_name(w, place))
    given = w.ordered(replace(x, name=known.integers.name), channels_first(len(x.shape)))
    bytes_ = Integers(given.name, known.integers.kind, known.zero)
    start = w.array(np.array(known.zero, bytes_.kind))
    inputs = given.name, weight, start, w.array(np.array(shift, kind))
    total = w.one("Cast", w.one("ConvInteger", *inputs, **moves(geometry)), to=11)
    order = channels_first(len(node.spec.shape))
    y = Written(total, node.spec.shape, order)
    w.facts[total] = _Sums(bytes_, weight, held, moves(geometry), y, most)
    return y


def _held(array: Array) -> tuple[str, int] | None:
    """The kind that holds weights when so much is added to them; None where none does."""
    low, high = float(array.min()), float(array.max())
    if not _whole(array):
        return None
    if _in("int8", low, high):
        return "int8", 0
    if _in("uint8", low, high):
        return "uint8", 0
    shift = int(-low)
    return ("uint8", shift) if shift > 0 and _in("uint8", shift, high + shift) else None


def _weight_name(w: Writer, index: int) -> str:
    """The name of the weight that an array is made of."""
    while w.graph[index].inputs:
        index = w.graph[index].inputs[0]
    return w.name_of(index, state=True)


@attempts("reshape")
def _reshape(w: Writer, node: Node) -> Written | None:
    """Bytes and sums are reshaped as what they stand for."""
    source = node.inputs[0]
    x = w.values[source]
    known, shape = w.facts.get(x.name), node.spec.shape
    y = w.plain(node)
    if isinstance(known, _Shifted):
        own = w.moved(node, replace(x, name=known.integers.name))
        w.facts[y.name] = replace(known, integers=replace(known.integers, name=own.name))
    elif isinstance(known, _Sums) and shape[-1:] == x.shape[-1:]:
        w.facts[y.name] = replace(known, moved=(*known.moved, node))
    return y


# -- what is done with them ------------------------------------------------------------------


@attempts("add")
def _add(w: Writer, node: Node) -> Written | None:
    """A bias of sums, or a zero point of rounded quotients."""
    found = w.bias_of(node)
    if found is not None:
        conv, bias = found
        sums = _convolution(w, conv)
        return None if sums is None else _biased(w, sums.name, bias)
    pair = _operand(w, node)
    if pair is None:
        return None
    (x, array), known = pair, w.facts.get(pair[0].name)
    if isinstance(known, _Sums) and known.multiplier is None and array.shape == x.shape[-1:]:
        return _biased(w, x.name, array)
    y = w.plain(node)
    if not isinstance(known, _Quotient) or not known.rounded or known.zero:
        return y
    if array.size == 1 and _whole(array):
        w.facts[y.name] = replace(known, zero=int(array.reshape(())))
    return y


def _biased(w: Writer, name: str, bias: Array) -> Written | None:
    """Sums with a bias, which is added before they are reshaped."""
    known = w.facts.get(name)
    if not isinstance(known, _Sums) or known.bias is not None:
        return None
    sums = known.written
    total = w.one("Add", sums.name, w.array(bias.reshape(-1, *(1,) * (len(sums.shape) - 1))))
    y = _as_moved(w, known, w.like(total, sums))
    w.facts[y.name] = replace(known, bias=bias)
    return y


def _as_moved(w: Writer, known: _Sums, y: Written) -> Written:
    """What is as the sums were at first, as they are now."""
    for node in known.moved:
        y = w.moved(node, y)
    return y


def _noted(w: Writer, source: str, y: Written, **more: Any) -> Written:
    """The same sums, of which more is known."""
    known = w.facts.get(source)
    if isinstance(known, _Sums):
        w.facts[y.name] = replace(known, **more)
    return y


@attempts("offset")
def _offset(w: Writer, node: Node) -> Written | None:
    """A zero point, of bytes that come or of those that are made."""
    x, value = w.values[node.inputs[0]], node.attrs.value
    known, y = w.facts.get(x.name), w.plain(node)
    if not float(value).is_integer():
        return y
    if isinstance(known, _Shifted) and not known.zero and _in(known.integers.kind, -value, -value):
        w.facts[y.name] = replace(known, zero=-int(value))
    if isinstance(known, _Sums) and known.multiplier is not None and not (known.zero or known.kind):
        return _noted(w, x.name, y, zero=int(value))
    return y


@attempts("mul")
def _mul(w: Writer, node: Node) -> Written | None:
    """What sums are multiplied with, or bytes to become floats."""
    pair = _operand(w, node)
    y = w.plain(node)
    if pair is None:
        return y
    (x, array), known = pair, w.facts.get(pair[0].name)
    if isinstance(known, Integers) and array.size == 1:
        return _floats(w, y, known, array)
    single = array.astype(np.float32)
    if not isinstance(known, _Sums) or known.multiplier is not None:
        return y
    if np.array_equal(single, array) and array.shape == y.shape[-1:]:
        return _noted(w, x.name, y, multiplier=single)
    return y


def _floats(w: Writer, y: Written, known: Integers, scale: Array) -> Written:
    zero = w.array(np.array(known.zero, known.kind))
    scales = w.array(scale.reshape(()).astype(np.float32))
    return w.like(w.one("DequantizeLinear", known.name, scales, zero), y)


@attempts("sub")
def _sub(w: Writer, node: Node) -> Written | None:
    """A zero point of bytes that become floats."""
    pair = _operand(w, node)
    y = w.plain(node)
    if pair is not None and _array(w, node.inputs[1]) is not None and pair[1].size == 1:
        known, zero = w.facts.get(pair[0].name), float(pair[1].reshape(()))
        if (
            isinstance(known, Integers)
            and not known.zero
            and _whole(pair[1])
            and _in(known.kind, zero, zero)
        ):
            w.facts[y.name] = replace(known, zero=int(zero))
    return y


@attempts("div")
def _div(w: Writer, node: Node) -> Written | None:
    """Floats over a scale."""
    pair = _operand(w, node)
    y = w.plain(node)
    if pair is not None and _array(w, node.inputs[1]) is not None and pair[1].size == 1:
        w.facts[y.name] = _Quotient(pair[0], pair[1].reshape(()), rounded=False, zero=0)
    return y


@attempts("round")
def _round(w: Writer, node: Node) -> Written | None:
    x = w.values[node.inputs[0]]
    known, y = w.facts.get(x.name), w.plain(node)
    if isinstance(known, _Sums) and known.kind:
        return _noted(w, x.name, y, rounded=True)
    if node.spec.dtype == "float32":
        one = np.array(1, np.float32)
        quotient = known if isinstance(known, _Quotient) else _Quotient(x, one, False, 0)
        w.facts[y.name] = replace(quotient, rounded=True)
    return y


@attempts("clip")
def _clip(w: Writer, node: Node) -> Written | None:
    """Bounds of a kind: of sums, or of rounded quotients, which are bytes then."""
    x, ends = w.values[node.inputs[0]], (node.attrs.minimum, node.attrs.maximum)
    known, y = w.facts.get(x.name), w.plain(node)
    kind = next((kind for kind in INTEGERS if KINDS[kind] == ends), "")
    if kind and isinstance(known, _Sums) and known.multiplier is not None and not known.kind:
        return _noted(w, x.name, y, kind=kind)
    if not kind or not isinstance(known, _Quotient) or not known.rounded:
        return y
    if not _in(kind, known.zero, known.zero):
        return y
    zero = w.array(np.array(known.zero, kind))
    scale = w.array(known.scale.astype(np.float32))
    return _as_floats(w, w.like(w.one("QuantizeLinear", known.x.name, scale, zero), known.x), kind)


def _as_floats(w: Writer, y: Written, kind: str) -> Written:
    """Bytes as floats, of which is known that they are bytes."""
    found = w.one("Cast", y.name, to=1)
    w.facts[found] = Integers(y.name, kind)
    return w.like(found, y)


@attempts("convert")
def _convert(w: Writer, node: Node) -> Written | None:
    """Bytes that are to be added up, or sums that have become bytes."""
    x = w.values[node.inputs[0]]
    known, y = w.facts.get(x.name), w.plain(node)
    if isinstance(known, Integers) and not known.zero and node.spec.dtype == "float64":
        w.facts[y.name] = _Shifted(known, 0)
    if not isinstance(known, _Sums) or not known.rounded or known.multiplier is None:
        return y
    bias = np.zeros(0) if known.bias is None else known.bias
    most = known.most + (int(abs(bias).max()) if bias.size else 0)
    if most >= _WHOLE or not _whole(bias) or not _in(known.kind, known.zero, known.zero):
        return y
    if (known.kind, known.held[0]) == ("int8", "uint8"):
        return y
    return _as_floats(w, _in_bytes(w, known, bias, known.multiplier), known.kind)


def _of_kind(w: Writer, x: Integers, kind: str) -> Integers:
    """Bytes as those of a kind: ONNX Runtime wants inputs and results to be of one."""
    if x.kind == kind:
        return x
    move = 128 if kind == "uint8" else -128
    floats = w.one("Add", w.one("Cast", x.name, to=1), w.array(np.array(move, np.float32)))
    return Integers(w.one("Cast", floats, to=INTEGERS[kind]), kind, x.zero + move)


def _in_bytes(w: Writer, known: _Sums, bias: Array, scales: Array) -> Written:
    """The sums times the scale of each filter, from the zero point on, in the bounds of a kind."""
    x = _of_kind(w, known.integers, known.kind)
    kind, shift = known.held
    one = w.array(np.array(1, np.float32))
    # A zero point stands beside each of the scales.
    shifts = w.array(np.full(scales.shape, shift, kind))
    end = w.array(np.array(known.zero, known.kind))
    start = w.array(np.array(x.zero, x.kind))
    inputs = [x.name, one, start, known.weight, w.array(scales), shifts, one, end]
    if bias.size:
        inputs.append(w.array(bias.astype(np.int32)))
    y = replace(known.written, name=w.one("QLinearConv", *inputs, **known.settings))
    return _as_moved(w, known, y)
