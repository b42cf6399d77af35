"""Emitters of activations, of their gradients, and of binary cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir

from isoconv.compile.native import elementary
from isoconv.compile.native.elementary import Lanes
from isoconv.compile.native.loops import F32, F64, I1, Kernel, Value
from isoconv.compile.pointwise.bits import BITS
from isoconv.compile.pointwise.cpu.entries import Place, emits, fill

__all__: list[str] = []

SIXTH = 1.0 / 6.0

Wide = Callable[[Lanes, Any, Value], Value]
"""``f(lanes, attrs, x)`` of float64."""


@emits("relu", quick=True)
def _relu(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    zero = fill(k, 0.0, dtype, place)
    # Unordered: a NaN is not at most zero and goes through.
    keeps = k.builder.fcmp_unordered(">", args[0], zero)
    return k.builder.select(keeps, args[0], zero)


@emits("relu_grad", quick=True)
def _relu_grad(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    y, dy = args
    # Another kernel may have compared already.
    positive = y if y.type.element == I1 else _positive(k, None, BITS, [y], place)
    return k.builder.select(positive, dy, fill(k, 0.0, dtype, place))


@emits("positive", quick=True)
def _positive(k: Kernel, _: Any, __: str, args: list[Value], place: Place) -> Value:
    (x,) = args
    dtype = "float64" if x.type.element == F64 else "float32"
    return k.builder.fcmp_ordered(">", x, fill(k, 0.0, dtype, place))


@emits("leaky_relu", quick=True)
def _leaky_relu(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    (x,) = args
    positive = k.builder.fcmp_ordered(">", x, fill(k, 0.0, dtype, place))
    return k.builder.select(positive, x, k.builder.fmul(x, fill(k, attrs.slope, dtype, place)))


@emits("leaky_relu_grad", quick=True)
def _leaky_relu_grad(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    x, dy = args
    positive = k.builder.fcmp_ordered(">", x, fill(k, 0.0, dtype, place))
    return k.builder.select(positive, dy, k.builder.fmul(dy, fill(k, attrs.slope, dtype, place)))


@emits("clip", quick=True)
def _clip(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return _between(k, args[0], attrs.minimum, attrs.maximum, dtype, place)


def _between(
    k: Kernel, x: Value, minimum: float, maximum: float, dtype: str, place: Place
) -> Value:
    """Neither comparison holds for a NaN, which stays."""
    b, low, high = k.builder, fill(k, minimum, dtype, place), fill(k, maximum, dtype, place)
    x = b.select(b.fcmp_ordered("<", x, low), low, x)
    return b.select(b.fcmp_ordered(">", x, high), high, x)


@emits("clip_grad", quick=True)
def _clip_grad(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    y, dy = args
    inside = _inside(k, y, attrs.minimum, attrs.maximum, dtype, place)
    return k.builder.select(inside, dy, fill(k, 0.0, dtype, place))


def _inside(k: Kernel, y: Value, minimum: float, maximum: float, dtype: str, place: Place) -> Value:
    b = k.builder
    above = b.fcmp_ordered(">", y, fill(k, minimum, dtype, place))
    return b.and_(above, b.fcmp_ordered("<", y, fill(k, maximum, dtype, place)))


def _hard_gate(k: Kernel, x: Value, dtype: str, place: Place) -> Value:
    """Six times what `hardswish` multiplies x with."""
    return _between(k, k.builder.fadd(x, fill(k, 3.0, dtype, place)), 0.0, 6.0, dtype, place)


@emits("hardswish", quick=True)
def _hardswish(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, (x,) = k.builder, args
    return b.fmul(x, b.fmul(_hard_gate(k, x, dtype, place), fill(k, SIXTH, dtype, place)))


@emits("hardswish_grad", quick=True)
def _hardswish_grad(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, (x, dy) = k.builder, args
    h, sixth = _hard_gate(k, x, dtype, place), fill(k, SIXTH, dtype, place)
    inside = _inside(k, h, 0.0, 6.0, dtype, place)
    rise = b.select(inside, b.fmul(x, sixth), fill(k, 0.0, dtype, place))
    return b.fmul(b.fadd(b.fmul(h, sixth), rise), dy)


def _wide(k: Kernel, x: Value) -> Value:
    wide = ir.VectorType(F64, x.type.count)
    return x if x.type.element == F64 else k.builder.fpext(x, wide)


def _back(k: Kernel, x: Value, dtype: str) -> Value:
    if dtype == "float64":
        return x
    return k.builder.fptrunc(x, ir.VectorType(F32, x.type.count))


def _wide_const(value: float, place: Place) -> Value:
    return ir.Constant(ir.VectorType(F64, place.lanes), [value] * place.lanes)


def _register_wide(name: str, value: Wide, slope: Wide) -> None:
    """Enter a function that is computed in float64, and its gradient."""

    @emits(name)
    def emit(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
        lanes = Lanes(k.builder, place.lanes)
        return _back(k, value(lanes, attrs, _wide(k, args[0])), dtype)

    @emits(f"{name}_grad")
    def emit_grad(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
        lanes = Lanes(k.builder, place.lanes)
        return k.builder.fmul(_back(k, slope(lanes, attrs, _wide(k, args[0])), dtype), args[1])


_ROOT_HALF, _INVERSE_ROOT_TAU = 0.7071067811865476, 0.3989422804014327


def _gelu(v: Lanes, _: Any, x: Value) -> Value:
    return v.mul(v.mul(x, 0.5), v.add(v.function("erf", v.mul(x, _ROOT_HALF)), 1.0))


def _gelu_slope(v: Lanes, _: Any, x: Value) -> Value:
    below = v.mul(v.add(v.function("erf", v.mul(x, _ROOT_HALF)), 1.0), 0.5)
    bell = v.mul(v.function("exp", v.mul(v.mul(x, -0.5), x)), _INVERSE_ROOT_TAU)
    return v.add(below, v.mul(x, bell))


def _silu(v: Lanes, _: Any, x: Value) -> Value:
    return v.mul(x, v.function("sigmoid", x))


def _silu_slope(v: Lanes, _: Any, x: Value) -> Value:
    s = v.function("sigmoid", x)
    return v.mul(s, v.add(v.mul(x, v.sub(1.0, s)), 1.0))


_register_wide("gelu", _gelu, _gelu_slope)
_register_wide("silu", _silu, _silu_slope)


@emits("bce_with_logits")
def _bce(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    zero = _wide_const(0.0, place)
    size = k.call(f"llvm.fabs.v{place.lanes}f64", x.type, x)
    tail = elementary.emit("log1p", b, elementary.emit("exp", b, b.fneg(size)))
    positive = b.select(b.fcmp_unordered(">", x, zero), x, zero)
    return _back(k, b.fadd(b.fsub(positive, b.fmul(x, z)), tail), dtype)


@emits("bce_grad")
def _bce_grad(k: Kernel, _: Any, dtype: str, args: list[Value], __: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    difference = b.fsub(elementary.emit("sigmoid", b, x), z)
    return b.fmul(_back(k, difference, dtype), args[2])
