"""One emitter for each pointwise operation, on vectors of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.ir as ir

from isoconv.arithmetic.philox import Purpose
from isoconv.compile.native import elementary
from isoconv.compile.native.loops import F32, F64, I8, I32, I64, Kernel, Value
from isoconv.compile.pointwise.cpu import activations
from isoconv.compile.pointwise.cpu.entries import (
    POINTWISE,
    Place,
    emit_step,
    emits,
    fill,
    is_quick,
    rounded,
)
from isoconv.errors import CompileError

__all__ = ["POINTWISE", "Place", "activations", "emit_step", "is_quick", "square_root"]


_NAMES = {F32: "float32", F64: "float64", I8: "uint8", I32: "int32", I64: "int64"}


@emits("convert")
def _convert(k: Kernel, _: Any, dtype: str, args: list[Value], __: Place) -> Value:
    (value,) = args
    b, source, kind = k.builder, value.type.element, k.vector_type(dtype, value.type.count)
    if value.type == kind:
        return value
    if dtype not in ("float32", "float64"):
        found = _NAMES.get(source, source)
        raise CompileError(f"convert goes to float32 or float64; got {found} to {dtype}")
    if source in (F32, F64):
        return b.fpext(value, kind) if dtype == "float64" else b.fptrunc(value, kind)
    return b.uitofp(value, kind) if source == I8 else b.sitofp(value, kind)


def _binary(name: str) -> None:
    @emits(name[1:], quick=name != "fdiv")
    def emit(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
        return getattr(k.builder, name)(*args)


for _name in ("fadd", "fsub", "fmul", "fdiv"):
    _binary(_name)


@emits("maximum")
def _maximum(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    """The first unless the second is greater or not a number; a NaN in either propagates."""
    return _choose(k, ">", args)


@emits("minimum")
def _minimum(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    """The first unless the second is smaller or not a number; a NaN in either propagates."""
    return _choose(k, "<", args)


def _choose(k: Kernel, comparison: str, args: list[Value]) -> Value:
    b, (x, y) = k.builder, args
    better = b.fcmp_ordered(comparison, y, x)
    # y wins when better; when y alone is NaN it wins too; a NaN in x stays.
    takes = b.or_(better, b.and_(b.fcmp_unordered("uno", y, y), b.fcmp_ordered("ord", x, x)))
    return b.select(takes, y, x)


@emits("broadcast", quick=True)
def _broadcast(_: Kernel, __: Any, ___: str, args: list[Value], ____: Place) -> Value:
    """The operand's strides repeat it already."""
    return args[0]


@emits("copy", quick=True)
def _copy(_: Kernel, __: Any, ___: str, args: list[Value], ____: Place) -> Value:
    return args[0]


@emits("zero", quick=True)
def _zero(k: Kernel, _: Any, dtype: str, __: list[Value], place: Place) -> Value:
    return k.zeros(dtype, place.lanes)


@emits("neg")
def _neg(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return k.builder.fneg(args[0])


@emits("abs")
def _abs(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    (x,) = args
    suffix = f"v{x.type.count}f{64 if x.type.element == F64 else 32}"
    return k.call(f"llvm.fabs.{suffix}", x.type, x)


@emits("square")
def _square(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return k.builder.fmul(args[0], args[0])


@emits("sqrt")
def _sqrt(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return square_root(k, args[0])


def square_root(k: Kernel, x: Value) -> Value:
    """The square root of each lane, rounded once."""
    suffix = f"v{x.type.count}f{64 if x.type.element == F64 else 32}"
    return k.call(f"llvm.sqrt.{suffix}", x.type, x)


@emits("reciprocal")
def _reciprocal(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fdiv(fill(k, 1.0, dtype, place), args[0])


@emits("scale", quick=True)
def _scale(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fmul(args[0], fill(k, attrs.value, dtype, place))


@emits("offset", quick=True)
def _offset(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fadd(args[0], fill(k, attrs.value, dtype, place))


def _elementary(name: str) -> None:
    @emits(name)
    def emit(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
        return elementary.emit(name, k.builder, args[0])


for _name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf"):
    _elementary(_name)


@emits("power")
def _power(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return elementary.emit_power(k.builder, *args)


@emits("raised")
def _raised(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return elementary.emit_power(k.builder, args[0], fill(k, attrs.value, dtype, place))


# Steps ------------------------------------------------------------------------------------------


def _comparison(name: str, sign: str) -> None:
    @emits(name, quick=True)
    def emit(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
        holds = k.builder.fcmp_ordered(sign, *args)
        return k.builder.select(holds, fill(k, 1.0, dtype, place), fill(k, 0.0, dtype, place))


for _name, _comparison_sign in (("greater", ">"), ("greater_equal", ">="), ("equal", "==")):
    _comparison(_name, _comparison_sign)


@emits("where", quick=True)
def _where(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    condition, x, y = args
    holds = k.builder.fcmp_unordered("!=", condition, fill(k, 0.0, dtype, place))
    return k.builder.select(holds, x, y)


@emits("lookup")
def _lookup(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, (labels,), count = k.builder, args, len(attrs.values)
    table = k.table([rounded(value, dtype) for value in attrs.values], dtype)
    zero, result = ir.Constant(k.scalar_type(dtype), 0.0), fill(k, 0.0, dtype, place)
    for lane in range(place.lanes):
        at = ir.Constant(I32, lane)
        label = b.sext(b.extract_element(labels, at), I64)
        known = b.icmp_unsigned("<", label, k.const(count))
        address = k.at(table, b.select(known, label, k.const(0)), dtype)
        value = k.load_scalar(address, dtype, invariant=True)
        result = b.insert_element(result, b.select(known, value, zero), at)
    return result


@emits("full_like", quick=True)
def _full_like(k: Kernel, attrs: Any, dtype: str, _: list[Value], place: Place) -> Value:
    return fill(k, attrs.value, dtype, place)


@emits("sign", quick=True)
def _sign(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, (x,) = k.builder, args
    zero, one, minus = (fill(k, value, dtype, place) for value in (0.0, 1.0, -1.0))
    below = b.select(b.fcmp_ordered("<", x, zero), minus, x)
    return b.select(b.fcmp_ordered(">", x, zero), one, below)


@emits("round")
def _round(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    """To the even one, by primitives: where a CPU has no instruction LLVM would call libm."""
    b, (x,) = k.builder, args
    size = _abs(k, None, dtype, args, place)
    whole = fill(k, 2.0**23 if dtype == "float32" else 2.0**52, dtype, place)
    # From here on numbers have no places behind the point.
    near = b.fsub(b.fadd(size, whole), whole)
    size = b.select(b.fcmp_ordered("<", size, whole), near, size)
    suffix = f"v{x.type.count}f{64 if x.type.element == F64 else 32}"
    return k.call(f"llvm.copysign.{suffix}", x.type, size, x)


@emits("floor")
def _floor(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, (x,) = k.builder, args
    near = _round(k, None, dtype, args, place)
    above = b.fcmp_ordered(">", near, x)
    return b.select(above, b.fsub(near, fill(k, 1.0, dtype, place)), near)


# Normalisation ----------------------------------------------------------------------------------


@emits("inverse_std")
def _inverse_std(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b = k.builder
    root = square_root(k, b.fadd(args[0], fill(k, attrs.eps, dtype, place)))
    return b.fdiv(fill(k, 1.0, dtype, place), root)


@emits("group_norm", quick=True)
def _group_norm(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    x, mean, inverse = args
    return k.builder.fmul(k.builder.fsub(x, mean), inverse)


@emits("batch_norm", quick=True)
def _batch_norm(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    b, (x, mean, inverse, gamma, beta) = k.builder, args
    return b.fadd(b.fmul(b.fmul(b.fsub(x, mean), inverse), gamma), beta)


@emits("divide_by_count")
def _divide_by_count(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    if attrs.batched:
        return k.builder.fdiv(args[0], fill(k, float(attrs.size), dtype, place))
    count = k.builder.mul(k.field("images"), k.const(attrs.size))
    return k.builder.fdiv(args[0], _count(k, count, dtype, place))


@emits("times_images")
def _times_images(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fmul(args[0], _count(k, k.field("images"), dtype, place))


def _count(k: Kernel, count: Value, dtype: str, place: Place) -> Value:
    return k.splat(k.builder.sitofp(count, k.scalar_type(dtype)), place.lanes)


# Randomness -------------------------------------------------------------------------------------


def _uniform32(k: Kernel, purpose: int, stream: int, args: Sequence[Value], place: Place) -> Value:
    """Uniform float32 of (seed, purpose, stream, epoch, sample, element)."""
    samples, seed, epoch = args
    b, lanes = k.builder, place.lanes
    words = ir.VectorType(I32, lanes)

    def low(value: Value) -> Value:
        return b.trunc(value, words)

    first = k.splat(b.trunc(place.element(), I32), lanes)
    index = b.add(first, ir.Constant(words, list(range(lanes))))
    shift = ir.Constant(ir.VectorType(I64, lanes), [32] * lanes)
    four = elementary.philox_words(
        b,
        b.lshr(index, ir.Constant(words, [2] * lanes)),
        low(samples),
        low(epoch),
        ir.Constant(words, [purpose << 16 | stream] * lanes),
        low(seed),
        low(b.lshr(seed, shift)),
    )
    which = b.and_(index, ir.Constant(words, [3] * lanes))
    word = four[3]
    for i in (2, 1, 0):
        word = b.select(
            b.icmp_unsigned("==", which, ir.Constant(words, [i] * lanes)), four[i], word
        )
    number = b.uitofp(b.lshr(word, ir.Constant(words, [8] * lanes)), ir.VectorType(F32, lanes))
    return b.fmul(number, ir.Constant(ir.VectorType(F32, lanes), [2.0**-24] * lanes))


@emits("uniform_like")
def _uniform_like(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    """The numbers, which float64 holds as they are."""
    uniform = _uniform32(k, attrs.purpose, attrs.stream, args[1:], place)
    if dtype == "float32":
        return uniform
    return k.builder.fpext(uniform, k.vector_type(dtype, place.lanes))


@emits("dropout")
def _dropout(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    """Keep where a uniform number is at least the rate."""
    x, *names = args
    b = k.builder
    uniform = _uniform32(k, Purpose.DROPOUT, attrs.stream, names, place)
    keeps = b.fcmp_ordered(
        ">=", uniform, k.splat_const(rounded(attrs.rate, "float32"), "float32", place.lanes)
    )
    kept = b.fmul(x, fill(k, 1.0 / (1.0 - attrs.rate), dtype, place))
    return b.select(keeps, kept, fill(k, 0.0, dtype, place))
