"""Emitters of activations and smooth functions, of their gradients, and of binary cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir

from isoconv.compile.native import elementary
from isoconv.compile.native.elementary import Lanes
from isoconv.compile.native.loops import F32, F64, I1, Kernel, Value
from isoconv.compile.pointwise.bits import BITS
from isoconv.compile.pointwise.cpu.entries import Place, emits, fill

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


_TWICE_ROOT_TWO_OVER_PI, _CUBIC = 1.5957691216057308, 0.044715


def _tanh_gate(v: Lanes, x: Value) -> tuple[Value, Value]:
    t = v.clamp(x, (-32.0, 32.0))
    square = v.mul(v.mul(t, t), _CUBIC)
    u = v.mul(v.mul(t, v.add(square, 1.0)), _TWICE_ROOT_TWO_OVER_PI)
    s = v.function("sigmoid", u)
    rise = v.mul(v.add(v.mul(square, 3.0), 1.0), _TWICE_ROOT_TWO_OVER_PI)
    return s, v.mul(t, v.mul(v.sub(1.0, s), rise))


def _gelu_tanh(v: Lanes, _: Any, x: Value) -> Value:
    return v.mul(x, _tanh_gate(v, x)[0])


def _gelu_tanh_slope(v: Lanes, _: Any, x: Value) -> Value:
    s, rise = _tanh_gate(v, x)
    return v.mul(s, v.add(rise, 1.0))


def _mish_gate(v: Lanes, x: Value) -> tuple[Value, Value]:
    e = v.function("exp", v.choose(x, ">", 40.0, 40.0, x))
    n = v.mul(e, v.add(e, 2.0))
    return v.div(n, v.add(n, 2.0)), e


def _mish(v: Lanes, _: Any, x: Value) -> Value:
    return v.mul(x, _mish_gate(v, x)[0])


def _mish_slope(v: Lanes, _: Any, x: Value) -> Value:
    t, e = _mish_gate(v, x)
    s = v.div(e, v.add(e, 1.0))
    return v.add(t, v.mul(x, v.mul(v.sub(1.0, v.mul(t, t)), s)))


def _soft_maximum(v: Lanes, x: Value) -> tuple[Value, Value]:
    """``log(1 + e^x)`` in two parts: the greater of x and 0, and what rounds the corner off."""
    # Unordered: a NaN is not at most zero and goes through.
    positive = v.b.select(v.b.fcmp_unordered(">", x, v.number(0.0)), x, v.number(0.0))
    return positive, v.function("log1p", v.function("exp", v.b.fneg(v.size(x))))


def _softplus(v: Lanes, attrs: Any, x: Value) -> Value:
    sharp = v.mul(x, attrs.beta)
    bent = v.div(v.add(*_soft_maximum(v, sharp)), v.number(attrs.beta))
    return v.choose(sharp, ">", attrs.threshold, x, bent)


def _softplus_slope(v: Lanes, attrs: Any, x: Value) -> Value:
    sharp = v.mul(x, attrs.beta)
    return v.choose(sharp, ">", attrs.threshold, 1.0, v.function("sigmoid", sharp))


def _softsign(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(x, v.add(v.size(x), 1.0))


def _softsign_slope(v: Lanes, _: Any, x: Value) -> Value:
    over = v.add(v.size(x), 1.0)
    return v.div(v.number(1.0), v.mul(over, over))


def _elu(v: Lanes, attrs: Any, x: Value) -> Value:
    below = v.mul(v.function("expm1", v.mul(x, attrs.rate)), attrs.below)
    return v.choose(x, ">", 0.0, v.mul(x, attrs.above), below)


def _elu_slope(v: Lanes, attrs: Any, x: Value) -> Value:
    below = v.mul(v.function("exp", v.mul(x, attrs.rate)), attrs.below * attrs.rate)
    return v.choose(x, ">", 0.0, attrs.above, below)


_LARGE, _LN2 = 2.0**28, 0.6931471805599453


def _root(v: Lanes, x: Value) -> Value:
    suffix = f"v{x.type.count}f64" if isinstance(x.type, ir.VectorType) else "f64"
    kind = ir.FunctionType(x.type, [x.type])
    name = f"llvm.sqrt.{suffix}"
    module = v.b.module
    found = module.globals.get(name) or ir.Function(module, kind, name)
    return v.b.call(found, [x])


def _sinh(v: Lanes, _: Any, x: Value) -> Value:
    e = v.function("expm1", v.size(x))
    c = v.choose(e, ">", _LARGE * _LARGE, _LARGE * _LARGE, e)
    return v.with_sign(v.mul(v.add(e, v.div(c, v.add(c, 1.0))), 0.5), x)


def _cosh(v: Lanes, _: Any, x: Value) -> Value:
    e = v.function("exp", v.size(x))
    return v.mul(v.add(e, v.div(v.number(1.0), e)), 0.5)


def _asinh(v: Lanes, _: Any, x: Value) -> Value:
    size = v.size(x)
    a = v.choose(size, ">", _LARGE, _LARGE, size)
    square = v.mul(a, a)
    root = v.add(_root(v, v.add(square, 1.0)), 1.0)
    near = v.function("log1p", v.add(a, v.div(square, root)))
    far = v.add(v.function("log", size), _LN2)
    return v.with_sign(v.choose(size, ">", _LARGE, far, near), x)


def _asinh_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(1.0), _root(v, v.add(v.mul(x, x), 1.0)))


def _acosh(v: Lanes, _: Any, x: Value) -> Value:
    a = v.sub(v.choose(x, "<", 1.0, 1.0, v.choose(x, ">", _LARGE, _LARGE, x)), 1.0)
    near = v.add(a, _root(v, v.mul(a, v.add(a, 2.0))))
    near = v.function("log1p", v.choose(x, "<", 1.0, -2.0, near))
    return v.choose(x, ">", _LARGE, v.add(v.function("log", x), _LN2), near)


def _acosh_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(1.0), v.mul(_root(v, v.sub(x, 1.0)), _root(v, v.add(x, 1.0))))


def _atanh(v: Lanes, _: Any, x: Value) -> Value:
    size = v.size(x)
    quotient = v.div(v.mul(size, 2.0), v.sub(1.0, size))
    return v.with_sign(v.mul(v.function("log1p", quotient), 0.5), x)


def _around(v: Lanes, x: Value) -> Value:
    """``(1 - x) * (1 + x)``."""
    return v.mul(v.sub(1.0, x), v.add(x, 1.0))


def _atanh_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(1.0), _around(v, x))


def _asin(v: Lanes, _: Any, x: Value) -> Value:
    return v.function("atan", v.div(x, _root(v, _around(v, x))))


def _asin_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(1.0), _root(v, _around(v, x)))


def _acos(v: Lanes, _: Any, x: Value) -> Value:
    half = v.function("atan", _root(v, v.div(v.sub(1.0, x), v.add(x, 1.0))))
    return v.mul(half, 2.0)


def _acos_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(-1.0), _root(v, _around(v, x)))


def _sin(v: Lanes, _: Any, x: Value) -> Value:
    return v.function("sin", x)


def _cos(v: Lanes, _: Any, x: Value) -> Value:
    return v.function("cos", x)


def _cos_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.b.fneg(v.function("sin", x))


def _tan(v: Lanes, _: Any, x: Value) -> Value:
    return v.function("tan", x)


def _tan_slope(v: Lanes, _: Any, x: Value) -> Value:
    t = v.function("tan", x)
    return v.add(v.mul(t, t), 1.0)


def _atan(v: Lanes, _: Any, x: Value) -> Value:
    return v.function("atan", x)


def _atan_slope(v: Lanes, _: Any, x: Value) -> Value:
    return v.div(v.number(1.0), v.add(v.mul(x, x), 1.0))


_register_wide("acos", _acos, _acos_slope)
_register_wide("acosh", _acosh, _acosh_slope)
_register_wide("asin", _asin, _asin_slope)
_register_wide("asinh", _asinh, _asinh_slope)
_register_wide("atan", _atan, _atan_slope)
_register_wide("atanh", _atanh, _atanh_slope)
_register_wide("cos", _cos, _cos_slope)
_register_wide("cosh", _cosh, _sinh)
_register_wide("elu", _elu, _elu_slope)
_register_wide("gelu", _gelu, _gelu_slope)
_register_wide("gelu_tanh", _gelu_tanh, _gelu_tanh_slope)
_register_wide("mish", _mish, _mish_slope)
_register_wide("silu", _silu, _silu_slope)
_register_wide("sin", _sin, _cos)
_register_wide("sinh", _sinh, _cosh)
_register_wide("softplus", _softplus, _softplus_slope)
_register_wide("softsign", _softsign, _softsign_slope)
_register_wide("tan", _tan, _tan_slope)


@emits("bce_with_logits")
def _bce(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    positive, tail = _soft_maximum(Lanes(b, place.lanes), x)
    return _back(k, b.fadd(b.fsub(positive, b.fmul(x, z)), tail), dtype)


@emits("bce_grad")
def _bce_grad(k: Kernel, _: Any, dtype: str, args: list[Value], __: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    difference = b.fsub(elementary.emit("sigmoid", b, x), z)
    return b.fmul(_back(k, difference, dtype), args[2])
