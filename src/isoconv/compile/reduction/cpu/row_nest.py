"""Loops over rows: threads share them; a row goes by in chunks of eight, the lanes of its sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from isoconv.arithmetic.sums import PARTIALS
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.expression import Domain
from isoconv.compile.reduction.cpu.partials import combine, shuffle

Chunk = Callable[[Value | int, int], None]
"""Work on some neighbouring elements of a row: the first one, and how many."""


def share_rows(
    k: Kernel, domain: Domain, body: Callable[[Value, tuple[Value | int, ...]], None]
) -> None:
    """Call ``body(image, place on the outer axes)`` for this thread's rows along the last axis."""
    *outer, _ = domain.axes
    b, count = k.builder, prod(outer)
    images = k.field("images") if domain.batched else k.const(1)
    begin, end = k.share(b.mul(images, k.const(count)))
    with k.loop(begin, end) as unit:
        body(*split(k, unit, outer))


def split(k: Kernel, unit: Value, sizes: Sequence[int]) -> tuple[Value, tuple[Value, ...]]:
    """What is left of a number, and the place on axes of these sizes, the last one fastest."""
    place: list[Value] = []
    for size in reversed(sizes):
        place.insert(0, k.builder.srem(unit, k.const(size)))
        unit = k.builder.sdiv(unit, k.const(size))
    return unit, tuple(place)


def over_row(k: Kernel, count: int, chunk: Chunk) -> None:
    """Call ``chunk(first, lanes)`` along a row of so many elements."""
    whole = count - count % PARTIALS
    if whole:
        with k.loop(0, whole, PARTIALS) as i:
            chunk(i, PARTIALS)
    if count % PARTIALS:
        chunk(whole, count % PARTIALS)


def row_sum(k: Kernel, dtype: str, count: int, term: Callable[[Value | int, int], Value]) -> Value:
    """Sum of ``term(first, lanes)`` along a row, one lane."""
    total = k.variable(k.splat_const(0.0, dtype, PARTIALS))

    def chunk(i: Value | int, lanes: int) -> None:
        x = term(i, lanes)
        if lanes < PARTIALS:
            # +0.0 for the others changes no bit: a partial sum is never -0.0.
            zeros = k.splat_const(0.0, dtype, lanes)
            x = shuffle(k, x, zeros, [min(j, lanes) for j in range(PARTIALS)])
        total.set(k.builder.fadd(total.get(), x))

    over_row(k, count, chunk)
    now = total.get()
    return combine(k, [shuffle(k, now, now, [j]) for j in range(PARTIALS)])


def spread(k: Kernel, x: Value, lanes: int) -> Value:
    """A vector of one lane, in every lane."""
    return shuffle(k, x, x, [0] * lanes)
