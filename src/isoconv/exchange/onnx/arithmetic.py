"""Elementwise arithmetic of ONNX as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import frexp, isfinite

import numpy as np

from isoconv.checks import LARGEST_SINGLE
from isoconv.exchange.onnx.alignment import aligned
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.kinds import NARROW, is_whole
from isoconv.nn import Add, Apply, Conv1d, Conv2d, Conv3d, Linear, Module, Multiply, Tensor
from isoconv.nn import functional as f

_UNARY: dict[str, Callable[..., Tensor]] = {
    "Abs": f.abs, "Acos": f.acos, "Acosh": f.acosh, "Asin": f.asin, "Asinh": f.asinh,
    "Atan": f.atan, "Atanh": f.atanh, "Ceil": f.ceil, "Cos": f.cos, "Cosh": f.cosh, "Erf": f.erf,
    "Exp": f.exp, "Floor": f.floor, "IsInf": f.isinf, "IsNaN": f.isnan, "Log": f.log, "Neg": f.neg,
    "Not": f.logical_not, "Reciprocal": f.reciprocal, "Round": f.round, "Sign": f.sign,
    "Sin": f.sin, "Sinh": f.sinh, "Sqrt": f.sqrt, "Tan": f.tan,
}  # fmt: skip
_BINARY: dict[str, Callable[..., Tensor]] = {
    "Add": f.add, "And": f.logical_and, "Div": f.divide, "Equal": f.equal, "Greater": f.greater,
    "GreaterOrEqual": f.greater_equal, "Less": f.less, "LessOrEqual": f.less_equal,
    "Max": f.maximum, "Min": f.minimum, "Mul": f.multiply, "Or": f.logical_or, "Pow": f.power,
    "Sub": f.subtract, "Sum": f.add, "Mean": f.add, "Xor": f.logical_xor,
}  # fmt: skip
_LAYERS = {"Add": Add, "Sum": Add, "Mean": Add, "Mul": Multiply}
"""Functions that have a layer of their own."""
_EXACT = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Where")
"""Operators that give the same of whole numbers and of the floats that are as large."""
_TENSORS = ("And", "Or", "Xor")
"""Operators that take no number."""
_WRAPPING = ("Add", "Sub", "Mul", "Sum")
"""Operators whose result may lie beyond what few bits hold."""


@converts(*_UNARY)
def _unary(use: Use) -> Sequence[Given]:
    x = use.value()
    layer = Apply(_UNARY[use.node.operator])
    if not use.setting("detect_negative", 1):
        layer = Apply(f.greater, (LARGEST_SINGLE,))
    elif not use.setting("detect_positive", 1):
        layer = Apply(f.less, (-LARGEST_SINGLE,))
    return [use.layer(layer, [x], x.layout)]


@converts("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
def _as_before(use: Use) -> Sequence[Given]:
    """Before version 7 the second value was repeated only when asked, from an axis on."""
    first, second = use.value(), use.given(1)
    if second is None:
        raise NodeError("it must have two inputs")
    axis = use.setting("axis", len(first.sizes) - len(second.sizes))
    if use.setting("broadcast", 0) and second.sizes:
        behind = len(first.sizes) - axis - len(second.sizes)
        sizes = (*second.sizes, *(1,) * max(0, behind))
        if isinstance(second, Fixed):
            second = replace(second, array=second.array.reshape(sizes))
        else:
            second = use.into.reshaped(second, sizes)
    return [combined(use, first, second)]


@converts(*(set(_BINARY) - {"Max", "Min", "Sum", "Mean", "Add"}), since=7)
def _binary(use: Use) -> Sequence[Given]:
    return [combined(use, *pair(use))]


def pair(use: Use) -> tuple[Given | None, Given | None]:
    """The two inputs of an operator.

    Raises:
        NodeError: it has another number of them.
    """
    if len(use.inputs) != 2:
        raise NodeError(f"it must have two inputs; got {len(use.inputs)}")
    first, second = use.inputs
    return first, second


def combined(use: Use, first: Given | None, second: Given | None) -> Value:
    """The layer of an operator for two values that broadcast."""
    operator = use.node.operator
    kind = use.kind()
    if operator in _WRAPPING and kind in NARROW:
        if operator == "Mul" and NARROW[kind] > 8:
            raise NodeError(f"products must be of floats, or of 8 or 32 bits; got {kind}")
        layer = _LAYERS[operator]() if operator in _LAYERS else Apply(_BINARY[operator])
        return _wrapped(use, joined(use, (first, second), layer), kind)
    if operator == "Div" and is_whole(kind):
        return cut_off(use, joined(use, (first, second), Apply(f.divide)))
    number = None if operator in _TENSORS else _number(use, second)
    if number is not None and operator == "Div":
        # Only a power of two has a reciprocal that divides exactly.
        number = number if abs(frexp(number)[0]) == 0.5 else None
    if isinstance(first, Value) and number is not None and len(second.sizes) <= len(first.sizes):  # type: ignore[union-attr]
        return use.layer(Apply(_BINARY[operator], (number,)), [first], first.layout)
    layer = _LAYERS[operator]() if operator in _LAYERS else Apply(_BINARY[operator])
    return joined(use, (first, second), layer)


def _takes_whole(use: Use, place: int) -> bool:
    """Whether an input may be whole numbers, as an exponent may, and what stands beside others."""
    operator = use.node.operator
    beside = operator in (*_BINARY, "Mod") and is_whole(use.kind())
    return operator in _EXACT or (operator == "Pow" and place == 1) or beside


def cut_off(use: Use, x: Value) -> Value:
    """Numbers without what is behind the point."""
    down = applied(use, applied(use, x, f.abs), f.floor)
    return use.layer(Multiply(), [applied(use, x, f.sign), down], x.layout)


@converts("Mod", since=10)
def _mod(use: Use) -> Sequence[Given]:
    """What is left of a division of whole numbers, with the sign of the divisor or the dividend."""
    first, second = pair(use)
    if not is_whole(use.kind()):
        text = "it must be of whole numbers: no layer computes what is left of a quotient of floats"
        raise NodeError(text)
    over = joined(use, (first, second), Apply(f.divide))
    whole = cut_off(use, over) if use.setting("fmod", 0) else applied(use, over, f.floor)
    return [joined(use, (first, joined(use, (whole, second), Multiply())), Apply(f.subtract))]


def _wrapped(use: Use, x: Value, kind: str) -> Value:
    """Whole numbers as few bits hold them: what goes beyond one end comes back at the other."""
    size = 2.0 ** NARROW[kind]
    least = 0.0 if kind.startswith("u") else -size / 2
    turns = applied(
        use, applied(use, applied(use, x, f.subtract, least), f.multiply, 1 / size), f.floor
    )
    return joined(use, (x, applied(use, turns, f.multiply, size)), Apply(f.subtract))


def applied(use: Use, x: Value, function: Callable[..., Tensor], *settings: float) -> Value:
    """A function of each element, and of numbers."""
    return use.layer(Apply(function, settings), [x], x.layout)


def _number(use: Use, given: Given | None) -> float | None:
    """An array of one element as a number that a layer keeps; None for anything else."""
    if not isinstance(given, Fixed) or given.array.size != 1:
        return None
    given = use.floats(given, 1, whole=_takes_whole(use, 1))
    found = float(given.array.reshape(-1)[0])
    return found if isfinite(found) else None


def joined(use: Use, parts: Sequence[Given | None], layer: Module) -> Value:
    """A layer of values that broadcast.

    Raises:
        NodeError: one is not there, or an array of whole numbers.
    """
    given: list[Given] = []
    for place, part in enumerate(parts):
        if isinstance(part, Fixed):
            part = use.floats(part, place, whole=_takes_whole(use, place))
        if part is None:
            raise NodeError(f"input {place} must be there")
        given.append(part)
    sources, layout = aligned(use, given)
    return use.layer(layer, sources, layout)


@converts("Sum", "Mean", "Max", "Min", since=6)
def _several(use: Use) -> Sequence[Given]:
    total: Given | None = use.value()
    if use.node.operator == "Mean" and is_whole(use.kind()):
        raise NodeError(f"it must average floats; got {use.kind()}")
    for part in use.inputs[1:]:
        total = combined(use, total, part)
    if use.node.operator == "Mean" and isinstance(total, Value):
        count = np.array(len(use.inputs), np.float32)
        total = joined(use, (total, Fixed(count)), Apply(f.divide))
    return [] if total is None else [total]


@converts("Where", since=9)
def _where(use: Use) -> Sequence[Given]:
    if len(use.inputs) != 3:
        raise NodeError(f"it must have three inputs; got {len(use.inputs)}")
    return [joined(use, use.inputs, Apply(f.where))]


@converts("Add", since=7)
def _add(use: Use) -> Sequence[Given]:
    with_bias = _as_bias(use)
    return [combined(use, *pair(use)) if with_bias is None else with_bias]


def _as_bias(use: Use) -> Value | None:
    """A sum as the bias of the layer before, which adds it likewise; None where it is none."""
    parts = [part for part in use.inputs if part is not None]
    values = [part for part in parts if isinstance(part, Value)]
    arrays = [part for part in parts if isinstance(part, Fixed)]
    if len(values) != 1 or len(arrays) != 1:
        return None
    (x,), (shift,) = values, arrays
    name = use.node.inputs[parts.index(x)]
    layer = use.into.alone(name, x)
    if not isinstance(layer, (Conv1d, Conv2d, Conv3d, Linear)) or layer.bias:
        return None
    # The channels are the second axis of maps, and the last one of a product.
    axis = 1 if use.into.makers[name].operator == "Conv" else len(x.sizes) - 1
    sizes = (1,) * (len(x.sizes) - shift.array.ndim) + shift.sizes
    wanted = tuple(side if place == axis else 1 for place, side in enumerate(x.sizes))
    if sizes != wanted:
        return None
    layer.bias = True
    if shift.name:
        use.into.origins[x.name] += (shift.name,)
    use.into.weights[f"{x.name}.bias"] = shift.array.reshape(-1).astype(np.float32)
    return x


@converts("Expand", since=8)
def _expand(use: Use) -> Sequence[Given]:
    """Times one, which changes no bit."""
    wanted = use.whole(1, "a shape") or ()
    x = use.value()
    try:
        sizes = np.broadcast_shapes(x.sizes, wanted)
    except ValueError:
        raise NodeError(f"{list(x.sizes)} must broadcast to {list(wanted)}") from None
    if sizes == x.sizes:
        return [x]
    return [joined(use, (x, Fixed(np.broadcast_to(np.float32(1), sizes))), Multiply())]
