"""Loops that kernels of several families share: blocks of channels, offsets, the greater of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from isoconv.compile.native.loops import Kernel, Value

Offset = Value | int


def dot(k: Kernel, coordinates: Sequence[Offset], factors: Sequence[int]) -> Offset:
    """Sum of coordinates times factors; an int where all coordinates are."""
    terms = [k.mul(c, f) for c, f in zip(coordinates, factors, strict=True)]
    if all(isinstance(term, int) for term in terms):
        return sum(terms)
    return k.add(*terms)


def row_major(sizes: Sequence[int]) -> tuple[int, ...]:
    """Strides of an array without gaps."""
    return tuple(prod(sizes[d + 1 :]) for d in range(len(sizes)))


def over_channels(
    k: Kernel,
    channels: int,
    lanes: int,
    vectors: int,
    body: Callable[[Value, tuple[int, ...]], None],
) -> None:
    """Call ``body(first channel, lanes per vector)`` for blocks of up to `vectors` vectors.

    All vectors of a block but the last one of the last block are full.
    """
    whole = channels // lanes
    blocks = whole // vectors
    if blocks:
        with k.loop(0, blocks) as i:
            body(k.mul(i, vectors * lanes), (lanes,) * vectors)
    rest = (lanes,) * (whole % vectors)
    if channels % lanes:
        rest = (*rest, channels % lanes)
    if rest:
        body(k.const(blocks * vectors * lanes), rest)


def load_block(
    k: Kernel, place: Value, dtype: str, lanes: int, widths: Sequence[int]
) -> list[Value]:
    """The vectors of a block of channels."""
    return [
        k.load_vector(k.at(place, v * lanes, dtype), dtype, width) for v, width in enumerate(widths)
    ]


def replaces(k: Kernel, x: Value, best: Value) -> Value:
    """Where x takes the place of the best so far: greater, or the first NaN."""
    b = k.builder
    return b.and_(b.fcmp_unordered(">", x, best), b.fcmp_ordered("ord", best, best))
