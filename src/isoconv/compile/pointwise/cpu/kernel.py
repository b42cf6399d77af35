"""Pointwise kernels: any fused chain of elementwise work in one pass over memory.

    for n in images:
        for every position of the domain:
            load the operands; compute the steps; store the results

Axes that lie behind each other in all operands become one axis; when even the images do, the whole
shard is one long row.

The work goes from the last images to the first. Reductions and convolutions go forwards: what one
of them read or wrote last is still in the cache when pointwise work begins, and what that writes
last is what the next kernel reads first. Of a shard larger than the cache this saves a part of the
way to memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.compile.pointwise.kernel import PointwiseSpec

_GRAIN = 256  # elements; a thread's share of a long row begins on a cache line


@emits(PointwiseSpec)
def pointwise(k: Kernel, spec: PointwiseSpec) -> None:
    """One pass over the domain."""
    domain, expression, joined = collapse(spec.domain, spec.expression)
    widest = "float64" if "float64" in expression.dtypes() else "float32"
    lanes = k.target.lanes(widest)
    *outer, last = domain.axes
    images: Value | int = k.field("images") if domain.batched else 1
    if joined and not outer:
        total = k.builder.mul(images, k.const(last)) if domain.batched else k.const(last)
        begin, end = k.share(total, _GRAIN)
        _row(k, domain, expression, begin, end, lanes)
    else:
        _nest(k, domain, expression, images, lanes, joined=joined)


@contextmanager
def _backwards(k: Kernel, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
    """The turns of ``k.loop``, the last one first; the range holds a whole number of steps."""
    with k.loop(start, stop, step) as i:
        if isinstance(start, int) and isinstance(stop, int):
            yield k.builder.sub(k.const(start + stop - step), i)
        else:
            yield k.builder.sub(k.add(start, stop, -step), i)


def _nest(
    k: Kernel,
    domain: Domain,
    expression: Expression,
    images: Value | int,
    lanes: int,
    *,
    joined: bool,
) -> None:
    """Loops over axes; units of work are positions along the images and the first axis."""
    *outer, last = domain.axes
    b = k.builder
    count = k.const(images) if isinstance(images, int) else images
    rows = outer[0] if outer else 1
    begin, end = k.share(b.mul(count, k.const(rows)))
    with _backwards(k, begin, end) as unit:
        image, axes = unit, []
        if outer and joined:
            image, axes = k.const(0), [unit]
        elif outer:
            image, axes = b.sdiv(unit, k.const(rows)), [b.srem(unit, k.const(rows))]
        _axes(k, domain, expression, image, axes, outer[1:], last, lanes)


def _axes(
    k: Kernel,
    domain: Domain,
    expression: Expression,
    image: Value,
    axes: list[Value | int],
    remaining: list[int],
    last: int,
    lanes: int,
) -> None:
    if remaining:
        with _backwards(k, 0, remaining[0]) as i:
            _axes(k, domain, expression, image, [*axes, i], remaining[1:], last, lanes)
    else:
        whole = last - last % lanes
        if last % lanes:
            emit_expression(k, domain, expression, Index(image, (*axes, whole), last % lanes))
        if whole:
            with _backwards(k, 0, whole, lanes) as c:
                emit_expression(k, domain, expression, Index(image, (*axes, c), lanes))


def _row(
    k: Kernel, domain: Domain, expression: Expression, begin: Value, end: Value, lanes: int
) -> None:
    """Part of a row whose length is known at run time: whole vectors, then single elements."""
    b = k.builder
    whole = b.sub(end, b.srem(b.sub(end, begin), k.const(lanes)))
    with _backwards(k, whole, end) as c:
        emit_expression(k, domain, expression, Index(0, (c,), 1))
    with _backwards(k, begin, whole, lanes) as c:
        emit_expression(k, domain, expression, Index(0, (c,), lanes))


def collapse(domain: Domain, expression: Expression) -> tuple[Domain, Expression, bool]:
    """Merge axes that lie behind each other in every operand; say whether the images merge too.

    They merge with the first axis, whose coordinate then runs on through all images.
    """
    places = [*expression.operands, *(place for _, place in expression.stores)]
    kept = [d for d, size in enumerate(domain.axes) if size != 1]
    sizes = [domain.axes[d] for d in kept]
    strides = [[place.strides[d] for d in kept] for place in places]
    d = len(sizes) - 2
    while d >= 0:
        if all(s[d] == s[d + 1] * sizes[d + 1] for s in strides):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
            for s in strides:
                del s[d]
        d -= 1
    if not sizes:
        sizes = [1]
        strides = [[0] for _ in places]
    moved = [replace(place, strides=tuple(s)) for place, s in zip(places, strides, strict=True)]
    joined = not expression.positional
    if len(sizes) == 1:
        joined = joined and all(place.strides[0] in (0, 1) for place in moved)
    if joined and domain.batched:
        moved, joined = _with_images(moved, sizes[0])
    operands = tuple(moved[: len(expression.operands)])
    stores = tuple(
        (value, place)
        for (value, _), place in zip(
            expression.stores, moved[len(expression.operands) :], strict=True
        )
    )
    merged = replace(expression, operands=operands, stores=stores)
    return Domain(tuple(sizes), domain.batched), merged, joined


def _with_images(places: list[Operand], size: int) -> tuple[list[Operand], bool]:
    """Places in which the image axis is part of the first axis, if every one of them allows it."""
    if any(place.rows for place in places):
        return places, False
    if size == 1 and all(place.image in (0, 1) for place in places):
        steps = [(place.image, *place.strides[1:]) for place in places]
        return [replace(p, strides=s, image=0) for p, s in zip(places, steps, strict=True)], True
    if all(place.image == place.strides[0] * size for place in places):
        return [replace(place, image=0) for place in places], True
    return places, False
