"""Winograd's maps between feature maps and components; the arithmetic is that of ``ops.winograd``.

    for n, row of tiles, column of tiles, channel:
        load a patch; one-dimensional sums along its first index, then along its second; store

Schedule: lanes run along channels, one vector at a time: a patch has 16 places, which fill the
registers. What costs time is memory. A component holds one place of the patches of all images, so
that each of the 16 streams of a kernel runs on without a gap.

The gradient by the input gathers: a block of 2×2 inputs takes its terms from the up to four patches
that cover it, in the order in which the definition adds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.native.nest import over_channels
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.winograd.maps import WinogradComponentsSpec, WinogradMapSpec

Lines = Callable[[Kernel, Sequence[Value]], list[Value]]
"""A one-dimensional map."""


def along_first(k: Kernel, lines: Lines, patch: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """A one-dimensional map along the first index of a patch: the columns of the result."""
    return [lines(k, [row[j] for row in patch]) for j in range(len(patch[0]))]


def both(k: Kernel, lines: Lines, patch: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """A one-dimensional map along the first index of a patch, then along the second."""
    columns = along_first(k, lines, patch)
    return [lines(k, [column[i] for column in columns]) for i in range(len(columns[0]))]


def _input_lines(k: Kernel, d: Sequence[Value]) -> list[Value]:
    b = k.builder
    return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]


def _input_grad_lines(k: Kernel, v: Sequence[Value]) -> list[Value]:
    b = k.builder
    second = b.fadd(b.fsub(v[1], v[2]), v[3])
    third = b.fsub(b.fadd(v[1], v[2]), v[0])
    return [v[0], second, third, b.fneg(v[3])]


def _output_lines(k: Kernel, m: Sequence[Value]) -> list[Value]:
    b = k.builder
    return [b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])]


def _output_grad_lines(k: Kernel, y: Sequence[Value]) -> list[Value]:
    b = k.builder
    return [y[0], b.fadd(y[0], y[1]), b.fsub(y[0], y[1]), b.fneg(y[1])]


def _halved(k: Kernel, value: Value) -> Value:
    return k.builder.fmul(value, ir.Constant(value.type, [0.5] * value.type.count))


def weight_lines(k: Kernel, g: Sequence[Value]) -> list[Value]:
    """Three elements of a kernel to four."""
    b = k.builder
    outer = b.fadd(g[0], g[2])
    return [g[0], _halved(k, b.fadd(outer, g[1])), _halved(k, b.fsub(outer, g[1])), g[2]]


def weight_grad_lines(k: Kernel, u: Sequence[Value]) -> list[Value]:
    """The transpose: four elements to three."""
    b = k.builder
    inner = _halved(k, b.fadd(u[1], u[2]))
    return [b.fadd(u[0], inner), _halved(k, b.fsub(u[1], u[2])), b.fadd(inner, u[3])]


# From a map to components ------------------------------------------------------------------------


@emits(WinogradComponentsSpec)
def to_components(k: Kernel, spec: WinogradComponentsSpec) -> None:
    """Share out the rows of tiles of all images."""
    begin, end = k.share(k.builder.mul(k.field("images"), k.const(spec.tiles[0])))
    components_of_rows(k, spec, begin, end, k.const(0))


def components_of_rows(
    k: Kernel,
    spec: WinogradComponentsSpec,
    begin: Value,
    end: Value,
    first: Value,
    wanted: tuple[Value, Value] | None = None,
) -> None:
    """Some rows of tiles, those of all images counted on; the components begin with the `first`.

    Only the components [from, to) that are `wanted`, and perhaps others; None: all.
    """
    size, lines = (4, _input_lines) if spec.kind == "input" else (2, _output_grad_lines)
    rows, columns = spec.tiles
    lanes, b = k.target.lanes(spec.dtype), k.builder
    source, components = (k.buffers[o.buffer] for o in (spec.source, spec.components))
    down, right = spec.source.strides[:2]
    start = spec.source.offset + spec.corner[0] * down + spec.corner[1] * right
    with k.loop(begin, end) as row, k.loop(0, columns) as j:
        image, i = b.sdiv(row, k.const(rows)), b.srem(row, k.const(rows))
        seen = k.add(
            start, k.mul(image, spec.source.image), k.mul(i, 2 * down), k.mul(j, 2 * right)
        )
        made = _tile_offset(k, spec.components, b.sub(row, first), j)

        def block(
            channel: Value, widths: tuple[int, ...], seen: Value = seen, made: Value = made
        ) -> None:
            first = k.at(source, k.add(seen, channel), spec.dtype)
            patch = [
                [
                    k.load_vector(
                        k.at(first, r * down + c * right, spec.dtype), spec.dtype, widths[0],
                        invariant=True,
                    )
                    for c in range(size)
                ]
                for r in range(size)
            ]  # fmt: skip
            place = k.at(components, k.add(made, channel), spec.dtype)
            columns = along_first(k, lines, patch)
            for r in range(4):
                with _if_wanted(k, 4 * r, wanted):
                    for c, value in enumerate(lines(k, [column[r] for column in columns])):
                        number = (4 * r + c) * spec.components.strides[0]
                        k.store(value, k.at(place, number, spec.dtype))

        over_channels(k, spec.channels, lanes, 1, block)


@contextmanager
def _if_wanted(k: Kernel, first: int, wanted: tuple[Value, Value] | None) -> Iterator[None]:
    """Only if one of the four components from the `first` on is wanted."""
    if wanted is None:
        yield
        return
    b = k.builder
    some = b.icmp_signed("<", wanted[0], k.const(first + 4))
    with k.when(b.and_(some, b.icmp_signed(">", wanted[1], k.const(first)))):
        yield


def _tile_offset(k: Kernel, components: Operand, row: Value, column: Value) -> Value:
    """Elements from the pointer to a tile's first place, channel 0."""
    _, down, right, _ = components.strides
    return k.add(components.offset, k.mul(row, down), k.mul(column, right))


# From components to a map ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Neighbouring blocks of two positions along one axis that are all computed in the same way.

    Attributes:
        first: the first block.
        last: the one after the last.
        kept: which of the two positions lie in the result.
        terms: the tiles that take part, in order: (tile - block, half of the tile's patch).
    """

    first: int
    last: int
    kept: tuple[int, ...]
    terms: tuple[tuple[int, int], ...]


def _runs(side: int, tiles: int, shift: int, *, overlap: bool) -> list[_Blocks]:
    """The blocks along an axis of the result, in runs of like ones."""
    found: list[_Blocks] = []
    for block in range(tiles + 1 if overlap else tiles):
        kept = tuple(r for r in range(2) if 0 <= 2 * block + r - shift < side)
        near = ((-1, 1), (0, 0)) if overlap else ((0, 0),)
        terms = tuple((tile, half) for tile, half in near if 0 <= block + tile < tiles)
        if found and (found[-1].kept, found[-1].terms) == (kept, terms):
            found[-1] = _Blocks(found[-1].first, block + 1, kept, terms)
        else:
            found.append(_Blocks(block, block + 1, kept, terms))
    return [run for run in found if run.kept]


@emits(WinogradMapSpec)
def from_components(k: Kernel, spec: WinogradMapSpec) -> None:
    """Share out the rows of blocks of all images."""
    begin, end = k.share(k.builder.mul(k.field("images"), k.const(spec.blocks)))
    map_of_rows(k, spec, begin, end, k.const(0))


def map_of_rows(k: Kernel, spec: WinogradMapSpec, begin: Value, end: Value, first: Value) -> None:
    """Some rows of blocks, those of all images counted on.

    The components begin with the `first` row of tiles.
    """
    _Map(k, spec).run(begin, end, first)


class _Map:
    def __init__(self, k: Kernel, spec: WinogradMapSpec) -> None:
        self.k, self.spec = k, spec
        self.overlap = spec.kind == "input_grad"
        self.lines = _input_grad_lines if self.overlap else _output_lines
        self.source = k.buffers[spec.components.buffer]

    def run(self, begin: Value, end: Value, first: Value) -> None:
        """From one row of blocks up to another."""
        k, spec, b = self.k, self.spec, self.k.builder
        down, right = (
            _runs(side, tiles, shift, overlap=self.overlap)
            for side, tiles, shift in zip(spec.sides, spec.tiles, spec.padding, strict=True)
        )
        with k.loop(begin, end) as row:
            image, i = b.sdiv(row, k.const(spec.blocks)), b.srem(row, k.const(spec.blocks))
            tile_row = b.sub(k.add(k.mul(image, spec.tiles[0]), i), first)
            for row_run in down:
                with self._within(i, row_run, spec.blocks):
                    for column_run in right:
                        with k.loop(column_run.first, column_run.last) as j:
                            tile = _tile_offset(k, spec.components, tile_row, j)
                            self._block(image, (i, j), tile, (row_run, column_run))

    @contextmanager
    def _within(self, i: Value, run: _Blocks, rows: int) -> Iterator[None]:
        if (run.first, run.last) == (0, rows):
            yield
            return
        k, b = self.k, self.k.builder
        after = b.icmp_signed(">=", i, k.const(run.first))
        with k.when(b.and_(after, b.icmp_signed("<", i, k.const(run.last)))):
            yield

    def _block(
        self,
        image: Value,
        block: tuple[Value, Value],
        corner: Value,
        runs: tuple[_Blocks, _Blocks],
    ) -> None:
        """A block of 2×2 positions, all channels; its own tile begins at `corner`."""
        k, spec = self.k, self.spec
        components = spec.components
        tiles = [(up, left) for up in runs[0].terms for left in runs[1].terms]

        def channels(channel: Value, widths: tuple[int, ...]) -> None:
            width = widths[0]
            terms = []
            for (tile_row, upper), (tile_column, lefter) in tiles:
                shift = tile_row * components.strides[1] + tile_column * components.strides[2]
                tile = k.at(self.source, k.add(corner, channel, shift), spec.dtype)
                made = both(k, self.lines, self._patch(tile, width))
                terms.append([row[2 * lefter : 2 * lefter + 2] for row in
                              made[2 * upper : 2 * upper + 2]])  # fmt: skip
            for r in runs[0].kept:
                for c in runs[1].kept:
                    index = Index(image, (*self._position(block, (r, c)), channel), width)
                    value = self._total([term[r][c] for term in terms], width)
                    emit_expression(k, spec.domain, spec.epilogue, index, [value])

        over_channels(k, spec.channels, k.target.lanes(spec.dtype), 1, channels)

    def _patch(self, tile: Value, width: int) -> list[list[Value]]:
        k, dtype, step = self.k, self.spec.dtype, self.spec.components.strides[0]
        return [
            [
                k.load_vector(k.at(tile, (4 * i + j) * step, dtype), dtype, width, invariant=True)
                for j in range(4)
            ]
            for i in range(4)
        ]

    def _total(self, terms: list[Value], width: int) -> Value:
        """A result of one patch as it is; overlapping ones are added from +0.0."""
        if not self.overlap:
            return terms[0]
        total = self.k.splat_const(0.0, self.spec.dtype, width)
        for term in terms:
            total = self.k.builder.fadd(total, term)
        return total

    def _position(self, block: tuple[Value, Value], inner: tuple[int, int]) -> list[Value]:
        k = self.k
        return [
            k.add(k.mul(number, 2), within - shift)
            for number, within, shift in zip(block, inner, self.spec.padding, strict=True)
        ]
