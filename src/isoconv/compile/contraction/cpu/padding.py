"""Products with padding, and what stands for them; the reasons are in ``padding``."""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ir

from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.native.loops import F64, I1, Kernel, Value, Variable


def meets_source(k: Kernel, axis: Axis, position: Value, tap: Value, side: int) -> Value:
    """Whether a position and a tap that the running kernel has come to meet no padding."""
    there = k.add(k.mul(position, axis.in_step), k.mul(tap, axis.in_tap), axis.in_first)
    # Without a sign, what is before the source is far behind it.
    return k.builder.icmp_unsigned("<", there, k.const(side))


def no_products(k: Kernel, dtype: str, lanes: int) -> Variable:
    """What stands for no product with padding: -0.0, which added to anything changes nothing."""
    return k.variable(k.splat_const(-0.0, dtype, lanes))


def meet_padding(k: Kernel, zeros: Variable, values: Value, dtype: str, lanes: int) -> None:
    """One more product with padding for each lane."""
    zeros.set(k.fma(k.splat_const(0.0, dtype, lanes), values, zeros.get()))


def has_negative_zero(k: Kernel, vectors: Sequence[Value]) -> Value:
    """Whether -0.0, the least of all numbers by their bits, is in a lane of these vectors."""
    b = k.builder
    least: dict[int, Value] = {}
    for vector in vectors:
        lanes, bits = vector.type.count, 64 if vector.type.element == F64 else 32
        kind = ir.VectorType(ir.IntType(bits), lanes)
        number = b.bitcast(vector, kind)
        if lanes in least:
            number = k.call(f"llvm.smin.v{lanes}i{bits}", kind, least[lanes], number)
        least[lanes] = number
    found: Value = I1(0)
    for number in least.values():
        lowest = -(1 << (number.type.element.width - 1))
        zero = ir.Constant(number.type, [lowest] * number.type.count)
        found = b.or_(found, k.any(b.icmp_signed("==", number, zero)))
    return found
