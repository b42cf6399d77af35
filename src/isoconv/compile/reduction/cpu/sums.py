"""Reductions: sums over any axes, over images too or not, fused behind pointwise work.

    for each result (a channel, an image, ...):
        p[0..7] = +0.0
        for element i of the reduced axes, row-major, the image axis first:
            p[i mod 8] = p[i mod 8] + expression(element i)
        result = ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))

Schedule: where the last axis is kept, lanes run along it (channels) and the eight partial sums are
eight registers; elsewhere the partial sums are the lanes of one vector. Other kept axes are loops
around that. Axes that lie behind each other in all operands become one. A row of elements is taken
eight at a time, so partial sums need no index.
Of more channels than one block, positions are taken one after the other, while all partial sums
wait in the first cache (``walk``). Of too many for that, a few rows at a time pass through all
blocks of channels; meanwhile the partial sums are spilled to the stack. A block reads a piece of
every row, a pattern that processors foresee badly, so the next rows are fetched on the way.
After a row whose length is no multiple of eight the partial sums change places, and the next row
begins with the first of them again; at the end they are put in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from isoconv.arithmetic.sums import PARTIALS
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable
from isoconv.compile.pointwise.cpu.expression import (
    Index,
    address,
    emit_expression,
    store_operand,
)
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.compile.reduction.cpu.partials import combine, in_order, shuffle
from isoconv.compile.reduction.cpu.row_nest import split
from isoconv.compile.reduction.cpu.walk import Walk, is_narrow
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.graph.ir import DTYPES

_CHUNK_BYTES = 64 * 1024  # of each operand that pass through all blocks of channels
_LINE = 64  # bytes that a prefetch brings


@emits(ReduceSpec)
def sums(k: Kernel, spec: ReduceSpec) -> None:
    """Sums of every channel, image or of everything."""
    _Sums(k, spec).run()


class _Sums:
    def __init__(self, k: Kernel, spec: ReduceSpec) -> None:
        spec = _merge(spec)
        reduces_images = spec.domain.batched and not spec.batched
        joined = _with_images(spec) if reduces_images else None
        self.flat = joined is not None
        spec = joined or spec
        self.k, self.spec = k, spec
        axes, last = spec.domain.axes, len(spec.domain.axes) - 1
        self.by_channel = spec.kept[-1:] == (last,)
        self.channels = axes[-1] if self.by_channel else 1
        self.outer = spec.kept[:-1] if self.by_channel else spec.kept
        self.at: tuple[Value, ...] = ()  # the place on the outer axes
        self.sizes = tuple(side for axis, side in enumerate(axes) if axis not in spec.kept)
        self.loops_images = reduces_images and not self.flat

    def run(self) -> None:
        """Share out images and outer axes, or blocks of channels where there is one of all."""
        k, spec = self.k, self.spec
        widest = "float64" if "float64" in spec.expression.dtypes() else spec.dtype
        lanes = k.target.lanes(widest)
        # Twice eight partial sums leave room for the work before them in 32 registers only.
        vectors = 1
        if k.target.registers >= 32 and len(spec.results) == 1:
            # Channels that are left over cost a walk through memory of their own.
            vectors = next((v for v in (2, 3, 1) if self.channels % (v * lanes) == 0), 2)
        width = lanes * vectors
        full, rest = divmod(self.channels, width)
        tail = [lanes] * (rest // lanes) + ([rest % lanes] if rest % lanes else [])
        if spec.batched or self.outer:
            count = k.field("images") if spec.batched else k.const(1)
            sides = [spec.domain.axes[axis] for axis in self.outer]
            begin, end = k.share(k.builder.mul(count, k.const(prod(sides))) if sides else count)
            with k.loop(begin, end) as unit:
                image, self.at = split(k, unit, sides)
                if full:
                    with k.loop(0, full) as i:
                        self._block(image, k.mul(i, width), [lanes] * vectors, lanes)
                if rest:
                    self._block(image, k.const(full * width), tail, lanes)
            return
        image = k.const(0)
        if self.flat and self.by_channel and is_narrow(self.channels, lanes * vectors, spec):
            length = k.builder.mul(k.field("images"), k.const(prod(self.sizes)))
            operands = spec.expression.operands
            Walk(k, spec, operands, self.channels, lanes, self.values, self.store).run(length)
            return
        begin, end, has_rest = k.share_blocks(full, rest)
        if self.flat and self.by_channel and full > 1:
            self._chunks(begin, end, [lanes] * vectors, lanes)
        elif full:
            with k.loop(begin, end) as i:
                self._block(image, k.mul(i, width), [lanes] * vectors, lanes)
        if rest:
            with k.when(has_rest):
                self._block(image, k.const(full * width), tail, lanes)

    def _chunks(self, begin: Value, end: Value, widths: list[int], lanes: int) -> None:
        """All positions, a few at a time, through the blocks of channels from begin to end."""
        k, b, spec = self.k, self.k.builder, self.spec
        width = lanes * len(widths)
        size = PARTIALS * width * len(spec.results)
        spilled = k.stack(spec.dtype, size * (self.channels // width))
        total = b.mul(k.field("images"), k.const(prod(self.sizes)))
        room = _CHUNK_BYTES // (PARTIALS * self.channels * (8 if spec.dtype == "float64" else 4))
        chunk = PARTIALS * max(1, room)
        sums = _Registers(self, k.const(0), widths, lanes)
        with k.loop(begin, end) as i:
            sums.spill(k.at(spilled, k.mul(i, size), spec.dtype))
        with k.loop(0, total, chunk) as first:
            last = k.minimum(k.add(first, chunk), total)
            with k.loop(begin, end) as i:
                place = k.at(spilled, k.mul(i, size), spec.dtype)
                sums.take_up(place, k.mul(i, width))
                # All blocks together fetch the next chunk, each a part without gaps.
                start = k.add(b.mul(last, k.const(self.channels)), k.mul(i, width * chunk))
                self._stretch(sums, first, last, (start, width))
                sums.spill(place)
        with k.loop(begin, end) as i:
            sums.take_up(k.at(spilled, k.mul(i, size), spec.dtype), k.mul(i, width))
            sums.finish(k.const(0), 0)

    def _block(self, image: Value, channel: Value, widths: list[int], lanes: int) -> None:
        """All elements of one image, or of all images, for a block of channels."""
        k = self.k
        if self.by_channel:
            sums: _Registers | _Lanes = _Registers(self, channel, widths, lanes)
        else:
            sums = _Lanes(self)
        count: Value | int = 1
        if self.flat:
            length = k.builder.mul(k.field("images"), k.const(prod(self.sizes)))
            self._long_row(sums, length)
        elif self.loops_images:
            count = k.field("images")
            with k.loop(0, count) as n:
                self._rows(sums, n, ())
        else:
            self._rows(sums, image, ())
        turned: Value | int = 0
        if not self.flat and prod(self.sizes) % PARTIALS:
            turned = k.mul(count, prod(self.sizes) % PARTIALS)
        sums.finish(image, turned)

    def _rows(
        self, sums: _Registers | _Lanes, image: Value, outer: tuple[Value | int, ...]
    ) -> None:
        """Rows whose length is known here."""
        k, sizes = self.k, self.sizes
        if len(outer) < len(sizes) - 1:
            with k.loop(0, sizes[len(outer)]) as i:
                self._rows(sums, image, (*outer, i))
            return
        if not sizes:
            sums.add(image, (), 1)
            sums.turn(1)
            return
        length = sizes[-1]
        whole = length - length % PARTIALS
        if whole:
            with k.loop(0, whole, PARTIALS) as i:
                sums.add(image, (*outer, i), PARTIALS)
        if length % PARTIALS:
            sums.add(image, (*outer, k.const(whole)), length % PARTIALS)
            sums.turn(length % PARTIALS)

    def _long_row(self, sums: _Registers | _Lanes, length: Value) -> None:
        """One row whose length is known at run time."""
        self._stretch(sums, self.k.const(0), length)

    def _stretch(
        self,
        sums: _Registers | _Lanes,
        first: Value,
        last: Value,
        following: tuple[Value, int] | None = None,
    ) -> None:
        """Part of such a row; it begins at a multiple of eight.

        Args:
            sums: what is added to.
            first: row at which the part begins.
            last: the one behind its last row.
            following: element that will be wanted next, and how many of them for each row.
        """
        k, b = self.k, self.k.builder
        rest = b.srem(b.sub(last, first), k.const(PARTIALS))
        whole = b.sub(last, rest)
        image = k.const(0)
        with k.loop(first, whole, PARTIALS) as i:
            if following is not None:
                start, width = following
                self._fetch(k.add(start, k.mul(b.sub(i, first), width)), PARTIALS * width)
            sums.add(image, (i,), PARTIALS)
        for j in range(PARTIALS - 1):
            with k.when(b.icmp_signed(">", rest, k.const(j))):
                sums.add(image, (k.add(whole, j),), 1, first=j)

    def _fetch(self, first: Value, count: int) -> None:
        """Bring so many elements of each array into the second cache."""
        k = self.k
        # Conditions are too small to be worth it: eight of them take a byte.
        arrays = [
            o
            for o in self.spec.expression.operands
            if o.strides[0] == self.channels and o.dtype in DTYPES
        ]
        for array in arrays:
            base = k.at(k.buffers[array.buffer], k.add(first, array.offset), array.dtype)
            for element in range(0, count, _LINE // DTYPES[array.dtype]):
                k.prefetch(k.at(base, element, array.dtype), level=2)

    def values(self, index: Index) -> list[Value]:
        """What is summed, at a place."""
        spec, inner, outer = self.spec, iter(index.axes), iter(self.at)
        axes = range(len(spec.domain.axes))
        whole = tuple(next(outer if axis in self.outer else inner) for axis in axes)
        found = emit_expression(self.k, spec.domain, spec.expression, replace(index, axes=whole))
        return [found[value] for value, _ in spec.results]

    def store(self, number: int, value: Value, image: Value, channel: Value) -> None:
        """Store a result."""
        _, place = self.spec.results[number]
        axes = (*self.at, channel) if self.by_channel else self.at
        index = Index(image, axes, value.type.count)
        if place.strides[-1:] in ((), (1,)):
            self.k.store(value, address(self.k, place, index))
        else:
            store_operand(self.k, value, place, index)


class _Registers:
    """Partial sums of a block of channels: one variable for each result, vector and partial."""

    def __init__(self, owner: _Sums, channel: Value, widths: list[int], lanes: int) -> None:
        self.owner, self.channel, self.widths, self.lanes = owner, channel, widths, lanes
        k, spec = owner.k, owner.spec
        self.sums = [
            [
                [k.variable(k.splat_const(0.0, spec.dtype, width)) for _ in range(PARTIALS)]
                for width in widths
            ]
            for _ in spec.results
        ]

    def _slots(self, place: Value) -> list[tuple[Variable, Value]]:
        """Each partial sum with its place in a spilled block."""
        k, spec = self.owner.k, self.owner.spec
        flat = [partial for sums in self.sums for partials in sums for partial in partials]
        return [
            (partial, k.at(place, number * self.lanes, spec.dtype))
            for number, partial in enumerate(flat)
        ]

    def spill(self, place: Value) -> None:
        """Put the partial sums aside."""
        for partial, slot in self._slots(place):
            self.owner.k.store(partial.get(), slot)

    def take_up(self, place: Value, channel: Value) -> None:
        """Go on with the partial sums of another block of channels."""
        self.channel = channel
        for partial, slot in self._slots(place):
            partial.set(self.owner.k.load_vector(slot, self.owner.spec.dtype, self.lanes))

    def add(self, image: Value, place: tuple[Value | int, ...], count: int, first: int = 0) -> None:
        """Add the next elements of a row to the partial sums from `first` on."""
        k = self.owner.k
        for j in range(count):
            at = (*place[:-1], k.add(place[-1], j)) if place else ()
            for v, width in enumerate(self.widths):
                channel = k.add(self.channel, v * self.lanes)
                terms = self.owner.values(Index(image, (*at, channel), width))
                for sums, term in zip(self.sums, terms, strict=True):
                    partial = sums[v][first + j]
                    partial.set(k.builder.fadd(partial.get(), term))

    def turn(self, count: int) -> None:
        """Let the partial sum after `count` elements be the first."""
        for sums in self.sums:
            for partials in sums:
                now = [partial.get() for partial in partials]
                for j, partial in enumerate(partials):
                    partial.set(now[(j + count) % PARTIALS])

    def finish(self, image: Value, turned: Value | int) -> None:
        """Undo the turns, combine by the tree, store."""
        k = self.owner.k
        for number, sums in enumerate(self.sums):
            for v, partials in enumerate(sums):
                now = [partial.get() for partial in partials]
                total = combine(k, in_order(k, now, turned))
                self.owner.store(number, total, image, k.add(self.channel, v * self.lanes))


class _Lanes:
    """Partial sums of everything: the lanes of one vector for each result."""

    def __init__(self, owner: _Sums) -> None:
        self.owner = owner
        k, spec = owner.k, owner.spec
        zero = k.splat_const(0.0, spec.dtype, PARTIALS)
        self.sums = [k.variable(zero) for _ in spec.results]

    def add(self, image: Value, place: tuple[Value | int, ...], count: int, first: int = 0) -> None:
        """Add the next elements of a row to the partial sums from `first` on.

        The other partial sums get +0.0, which changes no bit: none of them is ever -0.0.
        """
        k = self.owner.k
        index = Index(image, place, count) if place else Index(image, (), 1)
        for total, term in zip(self.sums, self.owner.values(index), strict=True):
            if count < PARTIALS:
                mask = [j - first if 0 <= j - first < count else count for j in range(PARTIALS)]
                zeros = k.splat_const(0.0, self.owner.spec.dtype, count)
                term = shuffle(k, term, zeros, mask)
            total.set(k.builder.fadd(total.get(), term))

    def turn(self, count: int) -> None:
        """Let the partial sum after `count` elements be the first."""
        order = [(j + count) % PARTIALS for j in range(PARTIALS)]
        for total in self.sums:
            now = total.get()
            total.set(shuffle(self.owner.k, now, now, order))

    def finish(self, image: Value, turned: Value | int) -> None:
        """Undo the turns, combine by the tree, store."""
        k = self.owner.k
        for number, total in enumerate(self.sums):
            now = total.get()
            lanes = [shuffle(k, now, now, [j]) for j in range(PARTIALS)]
            result = combine(k, in_order(k, lanes, turned))
            self.owner.store(number, result, image, k.const(0))


# Axes that become one ---------------------------------------------------------------------------


def _merge(spec: ReduceSpec) -> ReduceSpec:
    """Merge neighbours, kept or summed over both, that lie behind each other wherever they are."""
    domain, last = spec.domain.axes, len(spec.domain.axes) - 1
    axes = [d for d, side in enumerate(domain) if side != 1 or d == last in spec.kept]
    sizes, kept = [domain[d] for d in axes], [d in spec.kept for d in axes]
    results = [dict(zip(spec.kept, place.strides, strict=True)) for _, place in spec.results]
    strides = [[place.strides[d] for d in axes] for place in _places(spec.expression)]
    strides += [[result.get(d, 0) for d in axes] for result in results]
    for d in reversed(range(len(sizes) - 1)):
        if kept[d] == kept[d + 1] and all(s[d] == s[d + 1] * sizes[d + 1] for s in strides):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
            del kept[d]
            for s in strides:
                del s[d]
    moved = [
        replace(place, strides=tuple(s))
        for place, s in zip(_places(spec.expression), strides, strict=False)
    ]
    stays = tuple(d for d, stay in enumerate(kept) if stay)
    found = zip(spec.results, strides[len(moved) :], strict=True)
    return replace(
        spec,
        domain=Domain(tuple(sizes), spec.domain.batched),
        expression=_with_places(spec.expression, moved),
        results=tuple(
            (value, replace(place, strides=tuple(s[d] for d in stays)))
            for (value, place), s in found
        ),
        kept=stays,
    )


def _with_images(spec: ReduceSpec) -> ReduceSpec | None:
    """The images as part of the one reduced axis, if every operand and store allows it."""
    axes, channels = spec.domain.axes, len(spec.kept)
    sizes = axes[: len(axes) - channels]
    outer = spec.kept[:-1] or spec.kept[-1:] not in ((), (len(axes) - 1,))
    if len(sizes) > 1 or spec.expression.positional or outer:
        return None
    moved = []
    for place in _places(spec.expression):
        if place.rows or (sizes and place.image != place.strides[0] * sizes[0]):
            return None
        step = place.strides[0] if sizes else place.image
        strides = (step, *place.strides[len(sizes) :])
        moved.append(replace(place, strides=strides, image=0))
    return replace(
        spec,
        domain=Domain((prod(sizes), *axes[len(sizes) :]), batched=False),
        expression=_with_places(spec.expression, moved),
        kept=tuple(range(1, channels + 1)),
    )


def _places(expression: Expression) -> list[Operand]:
    return [*expression.operands, *(place for _, place in expression.stores)]


def _with_places(expression: Expression, places: Sequence[Operand]) -> Expression:
    count = len(expression.operands)
    stores = tuple(
        (value, place) for (value, _), place in zip(expression.stores, places[count:], strict=True)
    )
    return replace(expression, operands=tuple(places[:count]), stores=stores)
