"""What all packings of weights share: blocks of lanes in the order of the chains, and squares.

A packed matrix of chains has, for each block of vectors and each link of the chain, that block's
lanes: ``packed[block][link][vector][lane]``. Weights lie with output channels behind each other;
lanes along input channels are made of squares of lanes × lanes elements that are turned around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.native.loops import I32, Kernel, Value

__all__ = ["Packing", "last_apart", "turned"]


@dataclass(frozen=True, slots=True)
class Packing:
    """Weights of C input and O output channels (of a group) as chains and lanes.

    Attributes:
        dtype: float32 or float64.
        channels: input channels.
        filters: output channels.
        transposed: False: chains run over channels, lanes over filters; True: the other way.
        vectors: vectors in a block.
        lanes: elements in a vector.
    """

    dtype: str
    channels: int
    filters: int
    transposed: bool
    vectors: int
    lanes: int

    @property
    def chain(self) -> int:
        """Steps of a chain per kernel position."""
        return self.filters if self.transposed else self.channels

    @property
    def width(self) -> int:
        """What the lanes run over."""
        return self.channels if self.transposed else self.filters

    @property
    def columns(self) -> int:
        """Vectors that hold the width."""
        return -(-self.width // self.lanes)

    def place(self, k: Kernel, number: Value, link: Value, links: Value) -> Value:
        """Where vector `number` of a link lies in a packed matrix of so many links."""
        b = k.builder
        whole, rest = divmod(self.columns, self.vectors)
        block = b.sdiv(number, k.const(self.vectors))
        size = b.select(
            b.icmp_signed("<", block, k.const(whole)), k.const(self.vectors), k.const(rest)
        )
        within = b.sub(number, b.mul(block, k.const(self.vectors)))
        return k.add(
            b.mul(k.mul(block, self.vectors * self.lanes), links),
            k.mul(b.mul(link, size), self.lanes),
            k.mul(within, self.lanes),
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
