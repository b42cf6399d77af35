"""The eight partial sums of a reduction: put in order, added by the tree.

((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.ir as ir

from isoconv.arithmetic.sums import PARTIALS
from isoconv.compile.native.loops import I32, Kernel, Value


def shuffle(k: Kernel, x: Value, y: Value, mask: Sequence[int]) -> Value:
    """A vector of chosen lanes; those of y are numbered behind those of x."""
    lanes = ir.Constant(ir.VectorType(I32, len(mask)), list(mask))
    return k.builder.shuffle_vector(x, y, lanes)


def in_order(k: Kernel, partials: list[Value], turned: Value | int) -> list[Value]:
    """Partial sums 0 to 7, when partial sum `turned` mod 8 stands first."""
    if isinstance(turned, int):
        return [partials[(j - turned) % PARTIALS] for j in range(PARTIALS)]
    kind = partials[0].type
    with k.builder.goto_block(k.entry):
        room = k.builder.alloca(ir.ArrayType(kind, PARTIALS))
    ordered = []
    for j, partial in enumerate(partials):
        turn = k.builder.and_(k.add(turned, j), k.const(PARTIALS - 1))
        place = k.builder.gep(room, [k.const(0), turn])
        k.builder.store(partial, place)
    for j in range(PARTIALS):
        place = k.builder.gep(room, [k.const(0), k.const(j)])
        ordered.append(k.builder.load(place))
    return ordered


def combine(k: Kernel, p: list[Value]) -> Value:
    """The tree over the partial sums: ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))."""
    while len(p) > 1:
        p = [k.builder.fadd(p[j], p[j + 1]) for j in range(0, len(p), 2)]
    return p[0]
