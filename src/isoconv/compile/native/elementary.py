"""Machine code for the elementary functions and for Philox, as LLVM IR.

Each function follows its definition in ``arithmetic/elementary.py`` operation by operation, on
vectors of any length or on scalars, and gives the same bits: float32 is extended to float64,
computed, and rounded once. Plain additions, multiplications and divisions without fast-math flags
are what LLVM neither reorders nor fuses; both sides of a choice are computed and one is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from isoconv.arithmetic import bits, trigonometric
from isoconv.arithmetic import elementary as definition
from isoconv.arithmetic.philox import KEY_STEPS, MULTIPLIERS, ROUNDS
from isoconv.compile.native.trigonometric import cosine, sine, tangent
from isoconv.errors import CompileError

_F32, _F64 = ir.FloatType(), ir.DoubleType()
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_MANTISSA = 52
_BIAS = 1023
_SIGN = -(2**63)


def emit(name: str, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Emit one elementary function of each lane of `x`.

    Args:
        name: one of :data:`FUNCTIONS`.
        b: builder at the place where the code goes.
        x: a scalar or a vector of float or double.

    Returns:
        The result, of the type of `x`.

    Raises:
        CompileError: there is no such function, or `x` has another type.

    Example:
        >>> from llvmlite import ir
        >>> lanes = ir.VectorType(ir.FloatType(), 8)
        >>> f = ir.Function(ir.Module(), ir.FunctionType(lanes, [lanes]), "f")
        >>> b = ir.IRBuilder(f.append_basic_block())
        >>> str(emit("tanh", b, f.args[0]).type)
        '<8 x float>'
    """
    if name not in _CORES:
        raise CompileError(f"name must be one of {', '.join(FUNCTIONS)}; got {name!r}")
    element = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    if element not in (_F32, _F64):
        raise CompileError(f"{name} takes float or double, scalar or vector; got {x.type}")
    lanes = Lanes(b, x.type.count if isinstance(x.type, ir.VectorType) else 0)
    if element == _F64:
        return _CORES[name](lanes, x)
    wide = b.fpext(x, lanes.of(_F64))
    return b.fptrunc(_CORES[name](lanes, wide), x.type)


def emit_power(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """Emit ``x**y`` of each lane.

    Args:
        b: builder at the place where the code goes.
        x: a scalar or a vector of float or double.
        y: of the type of `x`.

    Returns:
        The result, of that type.

    Raises:
        CompileError: `x` and `y` differ in type, or have another one.
    """
    element = x.type.element if isinstance(x.type, ir.VectorType) else x.type
    if element not in (_F32, _F64) or x.type != y.type:
        raise CompileError(
            f"power takes two of one type, float or double; got {x.type} and {y.type}"
        )
    lanes = Lanes(b, x.type.count if isinstance(x.type, ir.VectorType) else 0)
    if element == _F64:
        return _power(lanes, x, y)
    wide = lanes.of(_F64)
    return b.fptrunc(_power(lanes, b.fpext(x, wide), b.fpext(y, wide)), x.type)


def philox_words(
    b: ir.IRBuilder,
    c0: ir.Value,
    c1: ir.Value,
    c2: ir.Value,
    c3: ir.Value,
    k0: ir.Value,
    k1: ir.Value,
) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
    """Emit Philox 4×32-10: the four words of ``arithmetic.philox.philox4x32`` in each lane.

    Args:
        b: builder at the place where the code goes.
        c0: first counter word, i32 or a vector of i32; the others alike.
        c1: second counter word.
        c2: third counter word.
        c3: fourth counter word.
        k0: low word of the key.
        k1: high word of the key. A scalar beside vectors serves every lane.

    Returns:
        Four values, vectors if any argument is one.

    Raises:
        CompileError: vectors of different lengths, or elements that are not i32.
    """
    arguments = (c0, c1, c2, c3, k0, k1)
    counts = {value.type.count for value in arguments if isinstance(value.type, ir.VectorType)}
    lanes = Lanes(b, max(counts, default=0))
    allowed = {_I32, lanes.of(_I32)}
    if len(counts) > 1 or any(value.type not in allowed for value in arguments):
        types = ", ".join(str(value.type) for value in arguments)
        raise CompileError(f"philox_words takes i32 or vectors of i32 of one length; got {types}")
    if lanes.count == 1:
        # LLVM 20 gives up on the high words of products in vectors of one lane.
        first, nothing = ir.Constant(_I32, 0), ir.Constant(lanes.of(_I32), ir.Undefined)
        scalars = [b.extract_element(lanes.spread(value), first) for value in arguments]
        words = philox_words(b, *scalars)
        w0, w1, w2, w3 = (b.insert_element(nothing, word, first) for word in words)
        return w0, w1, w2, w3
    c0, c1, c2, c3, k0, k1 = (lanes.spread(value) for value in arguments)
    for _ in range(ROUNDS):
        low0, high0 = lanes.product(c0, MULTIPLIERS[0])
        low1, high1 = lanes.product(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = b.xor(b.xor(high1, c1), k0), low1, b.xor(b.xor(high0, c3), k1), low0
        k0 = b.add(k0, lanes.constant(_I32, KEY_STEPS[0]))
        k1 = b.add(k1, lanes.constant(_I32, KEY_STEPS[1]))
    return c0, c1, c2, c3


class Lanes:
    """A builder with the number of lanes (0: scalars) that all values in hand have."""

    def __init__(self, b: ir.IRBuilder, count: int) -> None:
        self.b = b
        self.count = count

    def of(self, element: ir.Type) -> ir.Type:
        """The element type, or a vector of it."""
        return ir.VectorType(element, self.count) if self.count else element

    def constant(self, element: ir.Type, value: Any) -> ir.Constant:
        """A number of some type in every lane."""
        return ir.Constant(self.of(element), [value] * self.count if self.count else value)

    def number(self, value: float) -> ir.Constant:
        """A float64 in every lane."""
        return self.constant(_F64, value)

    def integer(self, value: int) -> ir.Constant:
        """An int64 in every lane."""
        return self.constant(_I64, value)

    def spread(self, value: ir.Value) -> ir.Value:
        """A scalar in every lane; a vector as it is."""
        if isinstance(value.type, ir.VectorType) or not self.count:
            return value
        nothing = ir.Constant(self.of(value.type), ir.Undefined)
        one = self.b.insert_element(nothing, value, ir.Constant(_I32, 0))
        return self.b.shuffle_vector(one, nothing, self.constant(_I32, 0))

    def product(self, value: ir.Value, factor: int) -> tuple[ir.Value, ir.Value]:
        """Low and high word of the product of 32-bit words."""
        wide = self.b.mul(self.b.zext(value, self.of(_I64)), self.integer(factor))
        high = self.b.lshr(wide, self.integer(32))
        return self.b.trunc(wide, self.of(_I32)), self.b.trunc(high, self.of(_I32))

    def function(self, name: str, x: ir.Value) -> ir.Value:
        """An elementary function of float64."""
        return _CORES[name](self, x)

    def add(self, x: ir.Value, y: ir.Value | float) -> ir.Value:
        """``x + y``."""
        return self.b.fadd(x, self._operand(y))

    def sub(self, x: ir.Value | float, y: ir.Value | float) -> ir.Value:
        """``x - y``."""
        return self.b.fsub(self._operand(x), self._operand(y))

    def mul(self, x: ir.Value, y: ir.Value | float) -> ir.Value:
        """``x * y``."""
        return self.b.fmul(x, self._operand(y))

    def div(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """``x / y``."""
        return self.b.fdiv(x, y)

    def choose(
        self,
        x: ir.Value,
        relation: str,
        bound: float,
        then: ir.Value | float,
        otherwise: ir.Value | float,
    ) -> ir.Value:
        """``where(x relation bound, then, otherwise)``; a comparison with NaN is false."""
        test = self.b.fcmp_ordered(relation, x, self.number(bound))
        return self.b.select(test, self._operand(then), self._operand(otherwise))

    def clamp(self, x: ir.Value, bounds: tuple[float, float]) -> ir.Value:
        """Into the bounds; NaN stays."""
        x = self.choose(x, "<", bounds[0], bounds[0], x)
        return self.choose(x, ">", bounds[1], bounds[1], x)

    def bits(self, x: ir.Value) -> ir.Value:
        """A float64 as an integer."""
        return self.b.bitcast(x, self.of(_I64))

    def from_bits(self, x: ir.Value) -> ir.Value:
        """The float64 of an integer."""
        return self.b.bitcast(x, self.of(_F64))

    def size(self, x: ir.Value) -> ir.Value:
        """``|x|``."""
        return self.from_bits(self.b.and_(self.bits(x), self.integer(~_SIGN)))

    def with_sign(self, size: ir.Value, x: ir.Value) -> ir.Value:
        """A size with the sign of x."""
        sign = self.b.and_(self.bits(x), self.integer(_SIGN))
        return self.from_bits(self.b.or_(self.bits(size), sign))

    def power_of_two(self, k: ir.Value) -> ir.Value:
        """``2**k`` for an int64 k within the normal range."""
        biased = self.b.add(k, self.integer(_BIAS))
        return self.from_bits(self.b.shl(biased, self.integer(_MANTISSA)))

    def polynomial(self, coefficients: Sequence[float], x: ir.Value) -> ir.Value:
        """Horner's rule from the last coefficient."""
        total = self.add(self.mul(x, coefficients[-1]), coefficients[-2])
        for coefficient in coefficients[-3::-1]:
            total = self.add(self.mul(total, x), coefficient)
        return total

    def _operand(self, x: ir.Value | float) -> ir.Value:
        return self.number(x) if isinstance(x, float) else x


def _expm1_reduced(v: Lanes, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """exp(x) = 2**k * (1 + p): p and k."""
    shifted = v.add(v.mul(x, definition.INVERSE_LN2), bits.ROUND)
    whole = v.sub(shifted, bits.ROUND)
    k = v.b.sub(v.bits(shifted), v.integer(bits.ROUND_BITS))
    r = v.sub(x, v.mul(whole, definition.LN2_HIGH))
    r = v.sub(r, v.mul(whole, definition.LN2_LOW))
    p = v.add(r, v.mul(v.mul(r, r), v.polynomial(definition.EXP, r)))
    return p, k


def _scale(v: Lanes, x: ir.Value, k: ir.Value) -> ir.Value:
    half = v.b.ashr(k, v.integer(1))
    return v.mul(v.mul(x, v.power_of_two(half)), v.power_of_two(v.b.sub(k, half)))


def _exp(v: Lanes, x: ir.Value) -> ir.Value:
    p, k = _expm1_reduced(v, v.clamp(x, definition.EXP_RANGE))
    return _scale(v, v.add(p, 1.0), k)


def _expm1(v: Lanes, x: ir.Value) -> ir.Value:
    p, k = _expm1_reduced(v, v.clamp(x, definition.EXPM1_RANGE))
    limit = v.integer(64)
    limited = v.b.select(v.b.icmp_signed(">", k, limit), limit, k)
    unit = v.power_of_two(v.b.sub(v.integer(0), limited))
    result = _scale(v, v.add(p, v.sub(1.0, unit)), k)
    return v.choose(x, "==", 0.0, x, result)


def _log_corrected(
    v: Lanes, u: ir.Value, correction: ir.Value, exponent: ir.Value | None
) -> ir.Value:
    bits = v.bits(u)
    above = v.b.sub(bits, v.integer(definition.SQRT_HALF_BITS))
    k = v.b.ashr(above, v.integer(_MANTISSA))
    m = v.from_bits(v.b.sub(bits, v.b.shl(k, v.integer(_MANTISSA))))
    f = v.sub(m, 1.0)
    k = k if exponent is None else v.b.add(k, exponent)
    whole = v.b.sitofp(k, v.of(_F64))
    s = v.div(f, v.add(f, 2.0))
    z = v.mul(s, s)
    half = v.mul(v.mul(f, 0.5), f)
    series = v.mul(z, v.polynomial(definition.LOG, z))
    low = v.add(v.mul(whole, definition.LN2_LOW), correction)
    rest = v.add(v.mul(s, v.add(half, series)), low)
    return v.sub(v.mul(whole, definition.LN2_HIGH), v.sub(v.sub(half, rest), f))


def _log(v: Lanes, x: ir.Value) -> ir.Value:
    subnormal = v.b.fcmp_ordered("<", x, v.number(definition.SMALLEST_NORMAL))
    scaled = v.b.select(subnormal, v.mul(x, 2.0**54), x)
    exponent = v.b.select(subnormal, v.integer(-54), v.integer(0))
    result = _log_corrected(v, scaled, v.number(0.0), exponent)
    result = v.choose(x, "<", float("inf"), result, x)
    result = v.choose(x, "==", 0.0, float("-inf"), result)
    return v.choose(x, "<", 0.0, float("nan"), result)


def _log1p(v: Lanes, x: ir.Value) -> ir.Value:
    u = v.add(x, 1.0)
    taken = v.sub(u, 1.0)
    error = v.add(v.sub(1.0, v.sub(u, taken)), v.sub(x, taken))
    result = _log_corrected(v, u, v.div(error, u), None)
    result = v.choose(x, "<", float("inf"), result, x)
    result = v.choose(x, "==", 0.0, x, result)
    result = v.choose(x, "==", -1.0, float("-inf"), result)
    return v.choose(x, "<", -1.0, float("nan"), result)


def _tanh(v: Lanes, x: ir.Value) -> ir.Value:
    size = v.size(x)
    limited = v.choose(size, ">", definition.TANH_END, definition.TANH_END, size)
    e = _expm1(v, v.mul(limited, 2.0))
    return v.with_sign(v.div(e, v.add(e, 2.0)), x)


def _sigmoid(v: Lanes, x: ir.Value) -> ir.Value:
    e = _exp(v, v.b.fneg(v.size(x)))
    return v.div(v.choose(x, "<", 0.0, e, 1.0), v.add(e, 1.0))


def _erf(v: Lanes, x: ir.Value) -> ir.Value:
    size = v.size(x)
    small = v.mul(size, v.polynomial(definition.ERF, v.mul(size, size)))
    limited = v.choose(size, ">", definition.ERF_END, definition.ERF_END, size)
    exponent = v.polynomial(definition.ERFC, v.sub(limited, 1.0))
    large = v.sub(1.0, _exp(v, v.b.fneg(exponent)))
    return v.with_sign(v.choose(size, "<", 1.0, small, large), x)


def _high(v: Lanes, x: ir.Value) -> ir.Value:
    return v.from_bits(v.b.and_(v.bits(x), v.integer(definition.HIGH_BITS)))


def _log_parts(v: Lanes, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """ln(x) as a sum of two."""
    b = v.b
    subnormal = b.fcmp_ordered("<", x, v.number(definition.SMALLEST_NORMAL))
    number = v.bits(b.select(subnormal, v.mul(x, 2.0**54), x))
    k = b.ashr(b.sub(number, v.integer(definition.SQRT_HALF_BITS)), v.integer(_MANTISSA))
    f = v.sub(v.from_bits(b.sub(number, b.shl(k, v.integer(_MANTISSA)))), 1.0)
    k = b.add(k, b.select(subnormal, v.integer(-54), v.integer(0)))
    whole = b.sitofp(k, v.of(_F64))
    total = v.add(f, 2.0)
    s = v.div(f, total)
    total_high, s_high = _high(v, total), _high(v, s)
    total_low = v.sub(f, v.sub(total_high, 2.0))
    s_low = v.sub(v.sub(f, v.mul(s_high, total_high)), v.mul(s_high, total_low))
    s_low = v.div(s_low, total)
    z, square = v.mul(s, s), v.mul(s_high, s_high)
    rest = v.mul(v.mul(z, z), v.polynomial(definition.LOG_PARTS, z))
    rest = v.add(rest, v.mul(s_low, v.add(s_high, s)))
    t_high = _high(v, v.add(v.add(square, 3.0), rest))
    t_low = v.sub(rest, v.sub(v.sub(t_high, 3.0), square))
    main = v.mul(s_high, t_high)
    rest = v.add(v.mul(s_low, t_high), v.mul(t_low, s))
    high = _high(v, v.add(main, rest))
    low = v.sub(rest, v.sub(high, main))
    low = v.add(v.mul(high, definition.TWO_THIRDS_LOW), v.mul(low, definition.TWO_THIRDS))
    low = v.add(low, v.mul(whole, definition.LN2_LOW))
    high = v.mul(high, definition.TWO_THIRDS_HIGH)
    whole = v.mul(whole, definition.LN2_HIGH)
    result = _high(v, v.add(v.add(whole, high), low))
    return result, v.sub(low, v.sub(v.sub(result, whole), high))


def _exp_parts(v: Lanes, high: ir.Value, low: ir.Value) -> ir.Value:
    """exp(high + low)."""
    x = v.add(high, low)
    low = v.add(v.sub(high, x), low)
    shifted = v.add(v.mul(x, definition.INVERSE_LN2), bits.ROUND)
    whole = v.sub(shifted, bits.ROUND)
    k = v.b.sub(v.bits(shifted), v.integer(bits.ROUND_BITS))
    high = v.sub(x, v.mul(whole, definition.LN2_HIGH))
    low = v.sub(low, v.mul(whole, definition.LN2_LOW))
    r = v.add(high, low)
    low = v.add(v.sub(high, r), low)
    total = v.add(r, 1.0)
    rest = v.add(v.add(v.sub(1.0, total), r), v.add(low, v.mul(low, r)))
    rest = v.add(rest, v.mul(v.mul(r, r), v.polynomial(definition.EXP, r)))
    return _scale(v, v.add(total, rest), k)


def _power_of_size(v: Lanes, size: ir.Value, y: ir.Value) -> ir.Value:
    """size**y for a finite positive size and a y that is a number."""
    log_high, log_low = _log_parts(v, size)
    y = v.clamp(y, definition.POWER_EXPONENT_RANGE)
    y_high = _high(v, y)
    low = v.add(v.mul(v.sub(y, y_high), log_high), v.mul(y, log_low))
    high = v.clamp(v.mul(y_high, log_high), definition.POWER_RANGE)
    return _exp_parts(v, high, v.clamp(low, definition.POWER_LOW_RANGE))


def _power(v: Lanes, x: ir.Value, y: ir.Value) -> ir.Value:
    b, infinite = v.b, v.number(float("inf"))
    zero, size = v.number(0.0), v.size(x)
    result = _power_of_size(v, size, y)
    is_zero = b.fcmp_ordered("==", size, zero)
    at_edge = b.select(b.xor(is_zero, b.fcmp_ordered(">", y, zero)), infinite, zero)
    edge = b.or_(is_zero, b.fcmp_ordered("==", size, infinite))
    result = b.select(edge, at_edge, result)
    near = v.choose(v.size(y), "<", 2.0**53, y, 0.0)
    whole = b.fptosi(near, v.of(_I64))
    is_whole = b.fcmp_ordered("==", b.sitofp(whole, v.of(_F64)), near)
    odd = b.icmp_signed("!=", b.and_(whole, v.integer(1)), v.integer(0))
    odd = b.and_(odd, is_whole)
    negative = b.icmp_signed("<", v.bits(x), v.integer(0))
    result = b.select(b.and_(odd, negative), b.fneg(result), result)
    below = b.and_(b.fcmp_ordered("<", x, zero), b.fcmp_ordered("<", size, infinite))
    undefined = b.and_(below, b.not_(is_whole))
    result = b.select(undefined, v.number(float("nan")), result)
    result = b.select(b.fcmp_ordered("ord", x, y), result, v.add(x, y))
    one = b.or_(b.fcmp_ordered("==", y, zero), b.fcmp_ordered("==", x, v.number(1.0)))
    return b.select(one, v.number(1.0), result)


def _atan(v: Lanes, x: ir.Value) -> ir.Value:
    size = v.size(x)
    near, far = definition.ATAN_BOUNDS
    base = v.choose(size, ">", near, definition.QUARTER_PI, 0.0)
    base = v.choose(size, ">", far, trigonometric.HALF_PI, base)
    turned = v.div(v.sub(size, 1.0), v.add(size, 1.0))
    t = v.choose(size, ">", near, turned, size)
    t = v.choose(size, ">", far, v.div(v.number(-1.0), size), t)
    z = v.mul(t, t)
    rest = v.mul(t, v.mul(z, v.polynomial(definition.ATAN, z)))
    return v.with_sign(v.add(base, v.add(t, rest)), x)


_CORES: dict[str, Callable[[Lanes, ir.Value], ir.Value]] = {
    "atan": _atan,
    "cos": cosine,
    "erf": _erf,
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sigmoid": _sigmoid,
    "sin": sine,
    "tan": tangent,
    "tanh": _tanh,
}

FUNCTIONS = tuple(_CORES)
"""Names that :func:`emit` knows."""
