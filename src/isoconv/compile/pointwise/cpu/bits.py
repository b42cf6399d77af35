"""Conditions in memory, loaded and stored as vectors; where they lie is said in ``bits``."""

from __future__ import annotations

import llvmlite.ir as ir

from isoconv.compile.native.loops import I1, I8, I32, Kernel, Value
from isoconv.compile.pointwise.bits import BYTE


def byte_at(k: Kernel, base: Value, elements: Value | int) -> Value:
    """Address of the byte that holds an element."""
    if isinstance(elements, int):
        return k.at(base, elements // BYTE, "uint8")
    return k.at(base, k.builder.ashr(elements, k.const(3)), "uint8")


def load_bits(
    k: Kernel, base: Value, first: Value | None, lanes: int, *, invariant: bool = False
) -> Value:
    """A vector of conditions.

    Args:
        k: the kernel.
        base: the byte of the first one, or of element 0 if `first` is given.
        first: the number of the first one, where they may fill no whole bytes.
        lanes: how many.
        invariant: the kernel writes none of them.
    """
    kind = ir.VectorType(I1, lanes)
    if first is None:
        found = k.load_vector(base, "uint8", lanes // BYTE, invariant=invariant)
        return k.builder.bitcast(found, kind)
    vector = ir.Constant(kind, ir.Undefined)
    for lane in range(lanes):
        number = k.add(first, lane)
        byte = k.load_scalar(byte_at(k, base, number), "uint8", invariant=invariant)
        one = k.builder.trunc(k.builder.lshr(byte, _bit(k, number)), I1)
        vector = k.builder.insert_element(vector, one, ir.Constant(I32, lane))
    return vector


def store_bits(k: Kernel, value: Value, base: Value, first: Value | None) -> None:
    """Store a vector of conditions; args as in `load_bits`."""
    b, lanes = k.builder, value.type.count
    if first is None:
        k.store(b.bitcast(value, ir.VectorType(I8, lanes // BYTE)), base)
        return
    for lane in range(lanes):
        number = k.add(first, lane)
        place, bit = byte_at(k, base, number), _bit(k, number)
        one = b.zext(b.extract_element(value, ir.Constant(I32, lane)), I8)
        others = b.and_(k.load_scalar(place, "uint8"), b.not_(b.shl(ir.Constant(I8, 1), bit)))
        k.store(b.or_(others, b.shl(one, bit)), place)


def _bit(k: Kernel, number: Value) -> Value:
    """Which bit of its byte an element is."""
    return k.builder.and_(k.builder.trunc(number, I8), ir.Constant(I8, BYTE - 1))
