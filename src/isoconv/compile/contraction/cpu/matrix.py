"""Products of matrices that are both computed.

Schedule: a register tile holds T rows × V vectors of columns through the whole chain. Each step
loads V vectors of a row of b, broadcasts T scalars of a, and does T·V FMAs. All rows pass by a
block of columns before the next one comes, so that this part of b stays in the first cache. Threads
share the tiles of one size.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.cpu.result import Positions, unrolls, vector_of
from isoconv.compile.contraction.matrix import MatrixSpec
from isoconv.compile.contraction.tiles import Tile, equal_parts, runs
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value, Variable
from isoconv.compile.pointwise.cpu.expression import Index, address, emit_expression

_UNROLL = 32  # FMAs that one turn of the chain's loop holds, if a step has fewer


class _Block(NamedTuple):
    """Blocks of columns of one size.

    Attributes:
        widths: lanes of each vector.
        blocks: how many of them.
        first: column of the first one.
    """

    widths: tuple[int, ...]
    blocks: int
    first: int


class _Part(NamedTuple):
    """Tiles of one size.

    Attributes:
        rows: of a tile.
        bands: how many of them.
        first: row of the first one.
        block: their columns.
    """

    rows: int
    bands: int
    first: int
    block: _Block


@emits(MatrixSpec)
def matrix_product(k: Kernel, spec: MatrixSpec, tile: Tile) -> None:
    """Tiles of one size after those of another; of each size threads share them."""
    *lead, rows, columns = spec.domain.axes
    stack = k.stack(spec.dtype, tile.columns * tile.vectors * tile.lanes)
    images = k.field("images") if spec.domain.batched else k.const(1)
    b = k.builder
    for block in _blocks(columns, tile):
        for size, bands, first in equal_parts(rows, tile.columns):
            part = _Part(size, bands, first, block)
            inner = prod(lead) * block.blocks * bands
            begin, end = k.share(b.mul(images, k.const(inner)))
            with k.loop(begin, end) as unit:
                place: list[Value] = []
                rest = unit
                for count in reversed((*lead, block.blocks, bands)):
                    place.insert(0, b.srem(rest, k.const(count)))
                    rest = b.sdiv(rest, k.const(count))
                _tile(k, spec, tile, stack, part, rest, place)


def _blocks(columns: int, tile: Tile) -> list[_Block]:
    """Whole vectors in blocks of the tile's, and what is left as a vector of its own."""
    found, first = [], 0
    whole, rest = divmod(columns, tile.lanes)
    for vectors, count in runs(whole, tile.vectors):
        found.append(_Block((tile.lanes,) * vectors, count, first))
        first += vectors * count * tile.lanes
    return [*found, _Block((rest,), 1, first)] if rest else found


def _tile(
    k: Kernel, spec: MatrixSpec, tile: Tile, stack: Value, part: _Part, image: Value,
    place: list[Value],
) -> None:  # fmt: skip
    """Accumulate and finish one tile, given its image, leading axes, block and band."""
    *lead, number, band = place
    widths = part.block.widths
    row = k.add(k.mul(band, part.rows), part.first)
    column = k.add(k.mul(number, len(widths) * tile.lanes), part.block.first)
    acc = [
        k.variable(k.splat_const(0.0, spec.dtype, width))
        for _ in range(part.rows)
        for width in widths
    ]
    start = Index(image, (*lead, row, 0), 1), Index(image, (*lead, 0, column), 1)
    _chain(k, spec, tile, widths, (address(k, spec.a, start[0]), address(k, spec.b, start[1])), acc)
    for number_, variable in enumerate(acc):
        k.store(variable.get(), k.at(stack, number_ * tile.lanes, spec.dtype))
    axes = ((0, 1),) * (len(lead) + 1)
    unrolled = unrolls(spec.terms, spec.epilogue)
    positions = Positions(k, False, axes, 1, part.rows, tile.lanes, unrolled)
    for position, index in positions.each(image, (k.const(0), *lead, row), column):
        for vector, width in enumerate(widths):
            at_ = k.add(k.mul(position, len(widths) * tile.lanes), vector * tile.lanes)
            root = k.load_vector(k.at(stack, at_, spec.dtype), spec.dtype, width)
            here = vector_of(index, vector, width)
            emit_expression(k, spec.domain, spec.epilogue, here, [root])


def _chain(
    k: Kernel, spec: MatrixSpec, tile: Tile, widths: tuple[int, ...], start: tuple[Value, Value],
    acc: list[Variable],
) -> None:  # fmt: skip
    """All accumulators through the whole chain."""
    down, along = spec.a.strides[-2:]
    step = spec.b.strides[-2]
    most = max(1, _UNROLL // len(acc))
    turn = max(u for u in range(1, most + 1) if spec.terms % u == 0)
    with k.loop(0, spec.terms, turn) as first:
        for term in (k.add(first, more) for more in range(turn)):
            a = k.at(start[0], k.mul(term, along), spec.dtype)
            b = k.at(start[1], k.mul(term, step), spec.dtype)
            loaded = [
                k.load_vector(
                    k.at(b, vector * tile.lanes, spec.dtype), spec.dtype, width, invariant=True
                )
                for vector, width in enumerate(widths)
            ]
            for row in range(len(acc) // len(widths)):
                scalar = k.load_scalar(k.at(a, row * down, spec.dtype), spec.dtype, invariant=True)
                for vector, width in enumerate(widths):
                    here = acc[row * len(widths) + vector]
                    here.set(k.fma(k.splat(scalar, width), loaded[vector], here.get()))
