"""Pointwise kernels: any fused chain of elementwise work in one pass over memory.

    for n in images:
        for every position of the domain:
            load the operands; compute the steps; store the results

Axes that lie behind each other in all operands become one axis; when even the images do, the whole
shard is one long row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from isoconv.compile.expression import Domain, Expression, Index, Operand, emit_expression
from isoconv.compile.loops import Kernel, Value

__all__ = ["PointwiseSpec", "collapse"]

_POSITIONAL = frozenset({"dropout"})
_GRAIN = 256  # elements; a thread's share of a long row begins on a cache line


@dataclass(frozen=True, slots=True)
class PointwiseSpec:
    """A pointwise kernel.

    Attributes:
        domain: what it runs over.
        expression: what it does there; it has no root.
        buffers: number of pointers.
    """

    domain: Domain
    expression: Expression
    buffers: int

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        domain, expression, flat = collapse(self.domain, self.expression)
        images: Value | int = k.slot("images") if domain.batched else 1
        widest = "float64" if "float64" in expression.dtypes() else "float32"
        lanes = k.target.lanes(widest)
        if flat:
            size = domain.axes[0]
            total = k.builder.mul(images, k.const(size)) if domain.batched else k.const(size)
            begin, end = k.share(total, _GRAIN)
            _row(k, domain, expression, 0, (), begin, end, lanes)
        else:
            _nest(k, domain, expression, images, lanes)


def _nest(
    k: Kernel, domain: Domain, expression: Expression, images: Value | int, lanes: int
) -> None:
    *outer, last = domain.axes
    b = k.builder
    count = k.const(images) if isinstance(images, int) else images
    rows = outer[0] if outer else 1
    begin, end = k.share(b.mul(count, k.const(rows)))
    with k.loop(begin, end) as unit:
        image = b.sdiv(unit, k.const(rows)) if rows > 1 else unit
        axes: list[Value | int] = [b.srem(unit, k.const(rows))] if outer else []
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
        with k.loop(0, remaining[0]) as i:
            _axes(k, domain, expression, image, [*axes, i], remaining[1:], last, lanes)
    else:
        whole = last - last % lanes
        if whole:
            with k.loop(0, whole, lanes) as c:
                emit_expression(k, domain, expression, Index(image, (*axes, c), lanes))
        if last % lanes:
            emit_expression(k, domain, expression, Index(image, (*axes, whole), last % lanes))


def _row(
    k: Kernel,
    domain: Domain,
    expression: Expression,
    image: int,
    axes: tuple[Value | int, ...],
    begin: Value,
    end: Value,
    lanes: int,
) -> None:
    """One row whose length is known at run time: whole vectors, then single elements."""
    b = k.builder
    whole = b.sub(end, b.srem(b.sub(end, begin), k.const(lanes)))
    with k.loop(begin, whole, lanes) as c:
        emit_expression(k, domain, expression, Index(image, (*axes, c), lanes))
    with k.loop(whole, end) as c:
        emit_expression(k, domain, expression, Index(image, (*axes, c), 1))


def collapse(domain: Domain, expression: Expression) -> tuple[Domain, Expression, bool]:
    """Merge axes that lie behind each other in every operand; say whether the images merge too."""
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
    flat = len(sizes) == 1 and not any(s.op in _POSITIONAL for s in expression.steps)
    flat = flat and all(place.strides[0] in (0, 1) for place in moved)
    if flat and domain.batched:
        moved, flat = _with_images(moved, sizes[0])
    operands = tuple(moved[: len(expression.operands)])
    stores = tuple(
        (value, place)
        for (value, _), place in zip(
            expression.stores, moved[len(expression.operands) :], strict=True
        )
    )
    merged = replace(expression, operands=operands, stores=stores)
    return Domain(tuple(sizes), domain.batched), merged, flat


def _with_images(places: list[Operand], size: int) -> tuple[list[Operand], bool]:
    """Places in which the image axis is part of the row, if every one of them allows it."""
    if any(place.rows for place in places):
        return places, False
    if size == 1 and all(place.image in (0, 1) for place in places):
        return [replace(place, strides=(place.image,), image=0) for place in places], True
    if all(place.image == place.strides[0] * size for place in places):
        return [replace(place, image=0) for place in places], True
    return places, False
