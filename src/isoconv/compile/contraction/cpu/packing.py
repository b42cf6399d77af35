"""What the emitters of all packings share: where a vector goes, last parts, squares."""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.ir as ir

from isoconv.compile.contraction.packing import Packing
from isoconv.compile.native.loops import I32, Kernel, Value


def packed_place(k: Kernel, spec: Packing, number: Value, link: Value, links: Value) -> Value:
    """Elements before vector `number` of a link in a packed matrix of so many links."""
    b = k.builder
    whole, rest = divmod(spec.columns, spec.vectors)
    block = b.sdiv(number, k.const(spec.vectors))
    size = b.select(b.icmp_signed("<", block, k.const(whole)), k.const(spec.vectors), k.const(rest))
    within = b.sub(number, b.mul(block, k.const(spec.vectors)))
    return k.add(
        b.mul(k.mul(block, spec.vectors * spec.lanes), links),
        k.mul(b.mul(link, size), spec.lanes),
        k.mul(within, spec.lanes),
    )


def last_apart(
    k: Kernel, number: Value, total: int, part: int, body: Callable[[int], None]
) -> None:
    """``body(size)`` for this part of `total`; the last part may be smaller than the others."""
    whole, rest = divmod(total, part)
    if not rest:
        body(part)
    elif not whole:
        body(rest)
    else:
        last = k.builder.icmp_signed("==", number, k.const(whole))
        with k.builder.if_else(last) as (then, otherwise):
            with then:
                body(rest)
            with otherwise:
                body(part)


def turned(k: Kernel, rows: list[Value]) -> list[Value]:
    """A square of as many vectors as they have lanes, a power of two, transposed.

    Each round interleaves vector i with the one half the square further on.
    """
    lanes = len(rows)
    kind = ir.VectorType(I32, lanes)
    low = ir.Constant(kind, [i // 2 + (i % 2) * lanes for i in range(lanes)])
    high = ir.Constant(kind, [lanes // 2 + i // 2 + (i % 2) * lanes for i in range(lanes)])
    half = lanes // 2
    for _ in range(lanes.bit_length() - 1):
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [k.builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows
