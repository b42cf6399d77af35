"""Machine code for sines and cosines, as LLVM IR; see ``arithmetic/trigonometric.py``.

An angle is reduced lane by lane, in a function of the module that each lane calls: near a multiple
of π/2, and from 2**20 on, that takes integers and a table, elsewhere it does not. What follows is
computed for all lanes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from isoconv.arithmetic import bits, trigonometric

if TYPE_CHECKING:
    from isoconv.compile.native.elementary import Lanes

_F64, _I32, _I64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_BOTH = ir.LiteralStructType([_F64, _I64])
_NAME, _TABLE = "isoconv.quarters", "isoconv.two_over_pi"
_LIMBS = 6


def sine(v: Lanes, x: ir.Value) -> ir.Value:
    """sin(x) in float64."""
    r, quarter = _quarters(v, x)
    return v.choose(x, "==", 0.0, x, _wave(v, _quarter_waves(v, r), quarter))


def cosine(v: Lanes, x: ir.Value) -> ir.Value:
    """cos(x) in float64."""
    r, quarter = _quarters(v, x)
    return _wave(v, _quarter_waves(v, r), v.b.add(quarter, v.integer(1)))


def tangent(v: Lanes, x: ir.Value) -> ir.Value:
    """sin(x) / cos(x) in float64."""
    r, quarter = _quarters(v, x)
    waves = _quarter_waves(v, r)
    over = _wave(v, waves, v.b.add(quarter, v.integer(1)))
    return v.div(v.choose(x, "==", 0.0, x, _wave(v, waves, quarter)), over)


def _quarter_waves(v: Lanes, r: ir.Value) -> tuple[ir.Value, ir.Value]:
    """sin(r) and cos(r) for |r| ≤ π/4."""
    z = v.mul(r, r)
    low = v.add(r, v.mul(r, v.mul(z, v.polynomial(trigonometric.SIN, z))))
    half = v.mul(z, 0.5)
    near = v.sub(1.0, half)
    rest = v.mul(v.mul(z, z), v.polynomial(trigonometric.COS, z))
    return low, v.add(near, v.add(v.sub(v.sub(1.0, near), half), rest))


def _wave(v: Lanes, waves: tuple[ir.Value, ir.Value], quarter: ir.Value) -> ir.Value:
    """sin(r + quarter * π/2)."""

    def holds(bit: int) -> ir.Value:
        one = v.b.and_(quarter, v.integer(bit))
        return v.b.icmp_signed("!=", one, v.integer(0))

    size = v.b.select(holds(1), waves[1], waves[0])
    return v.b.select(holds(2), v.b.fneg(size), size)


def _quarters(v: Lanes, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """X = r + quarter * π/2 modulo 2π."""
    b, module = v.b, v.b.module
    reduce = module.globals.get(_NAME) or _reduction(module)
    if not v.count:
        both = b.call(reduce, [x])
        return b.extract_value(both, 0), b.extract_value(both, 1)
    parts = ir.Constant(v.of(_F64), ir.Undefined)
    numbers = ir.Constant(v.of(_I64), ir.Undefined)
    for lane in range(v.count):
        place = ir.Constant(_I32, lane)
        both = b.call(reduce, [b.extract_element(x, place)])
        parts = b.insert_element(parts, b.extract_value(both, 0), place)
        numbers = b.insert_element(numbers, b.extract_value(both, 1), place)
    return parts, numbers


def _reduction(module: ir.Module) -> ir.Function:
    """The function of one angle, for this module."""
    from isoconv.compile.native.elementary import Lanes

    function = ir.Function(module, ir.FunctionType(_BOTH, [_F64]), _NAME)
    function.linkage = "internal"
    b = ir.IRBuilder(function.append_basic_block())
    v, (x,) = Lanes(b, 0), function.args
    size = v.size(x)
    moderate = v.choose(size, "<", trigonometric.COSINE_MODERATE, x, 0.0)
    shifted = v.add(v.mul(moderate, trigonometric.TWO_OVER_PI_NEAREST), bits.ROUND)
    whole = v.sub(shifted, bits.ROUND)
    quarter = b.sub(v.bits(shifted), v.integer(bits.ROUND_BITS))
    r = moderate
    for part in trigonometric.HALF_PI_PARTS:
        r = v.sub(r, v.mul(whole, part))
    finite = b.fcmp_ordered("<", size, v.number(float("inf")))
    near = b.fcmp_ordered("<", v.size(r), v.number(trigonometric.NEAR))
    near = b.and_(near, b.fcmp_ordered("!=", whole, v.number(0.0)))
    far = b.fcmp_ordered(">=", size, v.number(trigonometric.COSINE_MODERATE))
    r = b.select(finite, r, v.number(float("nan")))
    before = b.block
    exact, done = b.append_basic_block("exact"), b.append_basic_block("done")
    b.cbranch(b.and_(finite, b.or_(near, far)), exact, done)
    b.position_at_end(exact)
    exact_r, exact_quarter = _quarters_exact(v, x, size)
    b.branch(done)
    b.position_at_end(done)
    found = []
    for kind, usual, other in ((_F64, r, exact_r), (_I64, quarter, exact_quarter)):
        phi = b.phi(kind)
        phi.add_incoming(usual, before)
        phi.add_incoming(other, exact)
        found.append(phi)
    both = b.insert_value(ir.Constant(_BOTH, ir.Undefined), found[0], 0)
    b.ret(b.insert_value(both, found[1], 1))
    return function


def _table(module: ir.Module) -> ir.Value:
    """The digits of 2/π in words of 32 bits, two of zeros before them."""
    content = bytes(8) + bytes.fromhex(trigonometric.TWO_OVER_PI)
    words = [int.from_bytes(content[n : n + 4], "big") for n in range(0, len(content), 4)]
    kind = ir.ArrayType(_I64, len(words))
    table = ir.GlobalVariable(module, kind, _TABLE)
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(kind, words)
    return table


def _quarters_exact(v: Lanes, x: ir.Value, size: ir.Value) -> tuple[ir.Value, ir.Value]:
    """As the definition's function of this name."""
    b, number = v.b, v.integer
    table = _table(b.module)
    low_word = number(2**32 - 1)
    whole = v.bits(size)
    exponent = b.sub(b.lshr(whole, number(bits.MANTISSA)), number(bits.BIAS + bits.MANTISSA))
    mantissa = b.or_(b.and_(whole, number(2**52 - 1)), number(2**52))
    start = b.add(exponent, number(62))
    shift, word = b.and_(start, number(31)), b.lshr(start, number(5))

    def at(place: int) -> ir.Value:
        return b.load(b.gep(table, [number(0), b.add(word, number(place))], inbounds=True))

    words = [at(place) for place in range(_LIMBS + 1)]
    limbs = []
    for place in range(_LIMBS - 1, -1, -1):
        pair = b.or_(b.shl(words[place], number(32)), words[place + 1])
        limbs.append(b.and_(b.lshr(b.shl(pair, shift), number(32)), low_word))
    low, high = b.and_(mantissa, low_word), b.lshr(mantissa, number(32))
    products = [(b.mul(low, limb), b.mul(high, limb)) for limb in limbs]
    carry, digits = number(0), []
    for place in range(_LIMBS):
        terms = [b.and_(products[place][0], low_word)]
        if place > 0:
            terms.append(b.lshr(products[place - 1][0], number(32)))
            terms.append(b.and_(products[place - 1][1], low_word))
        if place > 1:
            terms.append(b.lshr(products[place - 2][1], number(32)))
        total = carry
        for term in terms:
            total = b.add(total, term)
        digits.append(b.and_(total, low_word))
        carry = b.lshr(total, number(32))
    top = digits[-1]
    quarter = b.lshr(b.add(top, number(2**29)), number(30))
    back = b.icmp_signed("!=", b.and_(top, number(2**29)), number(0))
    digits[-1] = b.and_(top, number(2**30 - 1))
    r = v.number(0.0)
    for place, digit in enumerate(digits):
        full = number(2**30 - 1) if place == _LIMBS - 1 else low_word
        digit = b.select(back, b.xor(digit, full), digit)
        r = v.add(r, v.mul(b.sitofp(digit, _F64), 2.0 ** (32 * place - 190)))
    r = v.mul(r, trigonometric.HALF_PI)
    negative = b.fcmp_ordered("<", x, v.number(0.0))
    r = b.select(b.xor(back, negative), b.fneg(r), r)
    return r, b.select(negative, b.sub(number(0), quarter), quarter)
