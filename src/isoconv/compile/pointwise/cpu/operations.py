"""One emitter for each pointwise operation, on vectors of any length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir

from isoconv.compile.native import elementary
from isoconv.compile.native.loops import F32, F64, I1, I8, I32, I64, Kernel, Value
from isoconv.compile.pointwise.bits import BITS
from isoconv.compile.pointwise.expression import Step
from isoconv.errors import CompileError

__all__ = ["POINTWISE", "Place", "emit_step", "is_quick", "square_root"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an image a vector stands: the number of its first element, if asked for; lanes.

    Only a positional operation may ask: kernels put the others' images and axes together.
    """

    element: Callable[[], Value]
    lanes: int


Emitter = Callable[[Kernel, Any, str, list[Value], Place], Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """How an operation is emitted.

    Attributes:
        emit: emits it for a vector.
        quick: it is so few instructions that it may be unrolled over the positions of a tile.
    """

    emit: Emitter
    quick: bool = False


POINTWISE: dict[str, Entry] = {}


def emit_step(k: Kernel, step: Step, args: list[Value], place: Place) -> Value:
    """Emit one pointwise operation.

    Raises:
        CompileError: no emitter for this operation.
    """
    if step.op not in POINTWISE:
        raise CompileError(f"no emitter for the pointwise operation {step.op!r}")
    if not step.positional:
        place = Place(_nowhere, place.lanes)
    return POINTWISE[step.op].emit(k, step.attrs, step.dtype, args, place)


def _nowhere() -> Value:
    raise CompileError("an operation that asks where an element stands must be positional")


def is_quick(op: str) -> bool:
    """Whether an operation may be unrolled over the positions of a tile."""
    return op in POINTWISE and POINTWISE[op].quick


def _emits(name: str, *, quick: bool = False) -> Callable[[Emitter], Emitter]:
    def enter(function: Emitter) -> Emitter:
        POINTWISE[name] = Entry(function, quick)
        return function

    return enter


def _fill(k: Kernel, value: float, dtype: str, place: Place) -> Value:
    return k.splat_const(_rounded(value, dtype), dtype, place.lanes)


def _rounded(value: float, dtype: str) -> float:
    """The Python float as the tensor's dtype holds it."""
    import numpy as np

    return float(np.float32(value)) if dtype == "float32" else float(value)


_NAMES = {F32: "float32", F64: "float64", I8: "uint8", I32: "int32", I64: "int64"}


@_emits("convert")
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
    @_emits(name[1:], quick=name != "fdiv")
    def emit(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
        return getattr(k.builder, name)(*args)


for _name in ("fadd", "fsub", "fmul", "fdiv"):
    _binary(_name)


@_emits("maximum")
def _maximum(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    """The first unless the second is greater or not a number; a NaN in either propagates."""
    return _choose(k, ">", args)


@_emits("minimum")
def _minimum(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    """The first unless the second is smaller or not a number; a NaN in either propagates."""
    return _choose(k, "<", args)


def _choose(k: Kernel, comparison: str, args: list[Value]) -> Value:
    b, (x, y) = k.builder, args
    better = b.fcmp_ordered(comparison, y, x)
    # y wins when better; when y alone is NaN it wins too; a NaN in x stays.
    takes = b.or_(better, b.and_(b.fcmp_unordered("uno", y, y), b.fcmp_ordered("ord", x, x)))
    return b.select(takes, y, x)


@_emits("broadcast", quick=True)
def _broadcast(_: Kernel, __: Any, ___: str, args: list[Value], ____: Place) -> Value:
    """The operand's strides repeat it already."""
    return args[0]


@_emits("copy", quick=True)
def _copy(_: Kernel, __: Any, ___: str, args: list[Value], ____: Place) -> Value:
    return args[0]


@_emits("zero", quick=True)
def _zero(k: Kernel, _: Any, dtype: str, __: list[Value], place: Place) -> Value:
    return k.zeros(dtype, place.lanes)


@_emits("neg")
def _neg(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return k.builder.fneg(args[0])


@_emits("abs")
def _abs(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    (x,) = args
    suffix = f"v{x.type.count}f{64 if x.type.element == F64 else 32}"
    return k.call(f"llvm.fabs.{suffix}", x.type, x)


@_emits("square")
def _square(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return k.builder.fmul(args[0], args[0])


@_emits("sqrt")
def _sqrt(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return square_root(k, args[0])


def square_root(k: Kernel, x: Value) -> Value:
    """The square root of each lane, rounded once."""
    suffix = f"v{x.type.count}f{64 if x.type.element == F64 else 32}"
    return k.call(f"llvm.sqrt.{suffix}", x.type, x)


@_emits("reciprocal")
def _reciprocal(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fdiv(_fill(k, 1.0, dtype, place), args[0])


@_emits("scale", quick=True)
def _scale(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fmul(args[0], _fill(k, attrs.value, dtype, place))


@_emits("offset", quick=True)
def _offset(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fadd(args[0], _fill(k, attrs.value, dtype, place))


# Activations ------------------------------------------------------------------------------------


@_emits("relu", quick=True)
def _relu(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    zero = _fill(k, 0.0, dtype, place)
    # Unordered: a NaN is not at most zero and goes through.
    keeps = k.builder.fcmp_unordered(">", args[0], zero)
    return k.builder.select(keeps, args[0], zero)


@_emits("relu_grad", quick=True)
def _relu_grad(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    y, dy = args
    # Another kernel may have compared already.
    positive = y if y.type.element == I1 else _positive(k, None, BITS, [y], place)
    return k.builder.select(positive, dy, _fill(k, 0.0, dtype, place))


@_emits("positive", quick=True)
def _positive(k: Kernel, _: Any, __: str, args: list[Value], place: Place) -> Value:
    (x,) = args
    dtype = "float64" if x.type.element == F64 else "float32"
    return k.builder.fcmp_ordered(">", x, _fill(k, 0.0, dtype, place))


@_emits("leaky_relu", quick=True)
def _leaky_relu(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    (x,) = args
    positive = k.builder.fcmp_ordered(">", x, _fill(k, 0.0, dtype, place))
    return k.builder.select(positive, x, k.builder.fmul(x, _fill(k, attrs.slope, dtype, place)))


@_emits("leaky_relu_grad", quick=True)
def _leaky_relu_grad(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    x, dy = args
    positive = k.builder.fcmp_ordered(">", x, _fill(k, 0.0, dtype, place))
    return k.builder.select(positive, dy, k.builder.fmul(dy, _fill(k, attrs.slope, dtype, place)))


def _elementary(name: str) -> None:
    @_emits(name)
    def emit(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
        return elementary.emit(name, k.builder, args[0])


for _name in ("exp", "log", "tanh", "sigmoid", "erf"):
    _elementary(_name)


@_emits("power")
def _power(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    return elementary.emit_power(k.builder, *args)


@_emits("raised")
def _raised(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return elementary.emit_power(k.builder, args[0], _fill(k, attrs.value, dtype, place))


def _wide(k: Kernel, x: Value) -> Value:
    wide = ir.VectorType(F64, x.type.count)
    return x if x.type.element == F64 else k.builder.fpext(x, wide)


def _back(k: Kernel, x: Value, dtype: str) -> Value:
    if dtype == "float64":
        return x
    return k.builder.fptrunc(x, ir.VectorType(F32, x.type.count))


def _wide_const(value: float, place: Place) -> Value:
    return ir.Constant(ir.VectorType(F64, place.lanes), [value] * place.lanes)


_HALF, _ROOT_HALF, _INVERSE_ROOT_TAU = 0.5, 0.7071067811865476, 0.3989422804014327


def _normal_cdf(k: Kernel, x: Value, place: Place) -> Value:
    b = k.builder
    e = elementary.emit("erf", b, b.fmul(x, _wide_const(_ROOT_HALF, place)))
    return b.fmul(_wide_const(_HALF, place), b.fadd(_wide_const(1.0, place), e))


@_emits("gelu")
def _gelu(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x = k.builder, _wide(k, args[0])
    e = elementary.emit("erf", b, b.fmul(x, _wide_const(_ROOT_HALF, place)))
    half = b.fmul(_wide_const(_HALF, place), x)
    return _back(k, b.fmul(half, b.fadd(_wide_const(1.0, place), e)), dtype)


@_emits("gelu_grad")
def _gelu_grad(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x = k.builder, _wide(k, args[0])
    exponent = b.fmul(b.fmul(_wide_const(-0.5, place), x), x)
    density = b.fmul(_wide_const(_INVERSE_ROOT_TAU, place), elementary.emit("exp", b, exponent))
    slope = b.fadd(_normal_cdf(k, x, place), b.fmul(x, density))
    return b.fmul(_back(k, slope, dtype), args[1])


@_emits("silu")
def _silu(k: Kernel, _: Any, dtype: str, args: list[Value], __: Place) -> Value:
    x = _wide(k, args[0])
    return _back(k, k.builder.fmul(x, elementary.emit("sigmoid", k.builder, x)), dtype)


@_emits("silu_grad")
def _silu_grad(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x = k.builder, _wide(k, args[0])
    s = elementary.emit("sigmoid", b, x)
    one = _wide_const(1.0, place)
    slope = b.fmul(s, b.fadd(one, b.fmul(x, b.fsub(one, s))))
    return b.fmul(_back(k, slope, dtype), args[1])


@_emits("bce_with_logits")
def _bce(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    zero = _wide_const(0.0, place)
    size = k.call(f"llvm.fabs.v{place.lanes}f64", x.type, x)
    tail = elementary.emit("log1p", b, elementary.emit("exp", b, b.fneg(size)))
    positive = b.select(b.fcmp_unordered(">", x, zero), x, zero)
    return _back(k, b.fadd(b.fsub(positive, b.fmul(x, z)), tail), dtype)


@_emits("bce_grad")
def _bce_grad(k: Kernel, _: Any, dtype: str, args: list[Value], __: Place) -> Value:
    b, x, z = k.builder, _wide(k, args[0]), _wide(k, args[1])
    difference = b.fsub(elementary.emit("sigmoid", b, x), z)
    return b.fmul(_back(k, difference, dtype), args[2])


# Normalisation ----------------------------------------------------------------------------------


@_emits("inverse_std")
def _inverse_std(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    b = k.builder
    root = square_root(k, b.fadd(args[0], _fill(k, attrs.eps, dtype, place)))
    return b.fdiv(_fill(k, 1.0, dtype, place), root)


@_emits("batch_norm", quick=True)
def _batch_norm(k: Kernel, _: Any, __: str, args: list[Value], ___: Place) -> Value:
    b, (x, mean, inverse, gamma, beta) = k.builder, args
    return b.fadd(b.fmul(b.fmul(b.fsub(x, mean), inverse), gamma), beta)


@_emits("divide_by_count")
def _divide_by_count(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    if attrs.batched:
        return k.builder.fdiv(args[0], _fill(k, float(attrs.size), dtype, place))
    count = k.builder.mul(k.field("images"), k.const(attrs.size))
    return k.builder.fdiv(args[0], _count(k, count, dtype, place))


@_emits("times_images")
def _times_images(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    return k.builder.fmul(args[0], _count(k, k.field("images"), dtype, place))


def _count(k: Kernel, count: Value, dtype: str, place: Place) -> Value:
    return k.splat(k.builder.sitofp(count, k.scalar_type(dtype)), place.lanes)


# Randomness -------------------------------------------------------------------------------------

_DROPOUT_PURPOSE = 4


@_emits("dropout")
def _dropout(k: Kernel, attrs: Any, dtype: str, args: list[Value], place: Place) -> Value:
    """Keep where a uniform number of (seed, epoch, sample, element) is at least the rate."""
    x, samples, seed, epoch = args
    b, lanes = k.builder, place.lanes
    words = ir.VectorType(I32, lanes)

    def low(value: Value) -> Value:
        return b.trunc(value, words)

    first = k.splat(b.trunc(place.element(), I32), lanes)
    index = b.add(first, ir.Constant(words, list(range(lanes))))
    shift = ir.Constant(ir.VectorType(I64, lanes), [32] * lanes)
    purpose = ir.Constant(words, [_DROPOUT_PURPOSE << 16 | attrs.stream] * lanes)
    four = elementary.philox_words(
        b,
        b.lshr(index, ir.Constant(words, [2] * lanes)),
        low(samples),
        low(epoch),
        purpose,
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
    uniform = b.fmul(number, ir.Constant(ir.VectorType(F32, lanes), [2.0**-24] * lanes))
    keeps = b.fcmp_ordered(
        ">=", uniform, k.splat_const(_rounded(attrs.rate, "float32"), "float32", lanes)
    )
    kept = b.fmul(x, _fill(k, 1.0 / (1.0 - attrs.rate), dtype, place))
    return b.select(keeps, kept, _fill(k, 0.0, dtype, place))
