"""Which tile a contraction uses that leaves out the products with padding, and what it saves.

The rows of such a tile are images, its columns a row of the plane or a part of one. Each kernel
position is a loop of its own, in which only the columns take part where it meets the plane; so a
step costs what a tile of so many columns does, by the model of ``tiles``.
"""

from __future__ import annotations

import functools
from collections import Counter
from itertools import product
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.padding import inside_terms, met
from isoconv.compile.contraction.tiles import (
    CHOICES,
    Tile,
    crowded,
    each_part,
    far_blocks,
    fits,
    step_cycles,
    tile_and_cycles,
    vector_lanes,
)
from isoconv.compile.target import Target
from isoconv.graph.ir import DTYPES

_PARTS = 4  # of a row; each has code of its own
_BEGINNING = 16.0  # cycles in which the loop of a kernel position begins and ends


class InsideTile(NamedTuple):
    """A tile, and its time beside that of the tile that does all products.

    Attributes:
        tile: its rows are images.
        share: of the time of all products.
    """

    tile: Tile
    share: float


@functools.lru_cache(maxsize=CHOICES)
def choose_inside_tile(
    target: Target,
    images: int,
    axes: tuple[Axis, ...],
    sides: tuple[int, ...],
    channels: int,
    filters: int,
    dtype: str,
    steps: tuple[int, int, int],
) -> InsideTile | None:
    """The cheapest tile; None if none fits.

    Args:
        target: the machine.
        images: in a shard.
        axes: of the contraction.
        sides: of the source without its padding.
        channels: of the source, in a group.
        filters: what the lanes run over.
        dtype: float32 or float64.
        steps: bytes in the source from an image, a row and a column to the next.
    """
    lanes = vector_lanes(target, dtype, filters)
    blocks, size = -(-filters // lanes), lanes * DTYPES[dtype]
    last, width = axes[-1], axes[-1].positions
    chain = channels * prod(axis.taps for axis in axes)
    seen = [met(last, tap, sides[-1]) for tap in range(last.taps)]
    best: tuple[float, Tile] | None = None
    widths = sorted({-(-width // parts) for parts in range(1, _PARTS + 1)}, reverse=True)
    taking_part = {columns: _taking_part(seen, width, columns) for columns in widths}
    sizes = product(range(1, min(blocks, 6) + 1), range(1, min(images, 16) + 1), widths)
    for vectors, rows, columns in sizes:
        places = (steps[0], steps[2])
        if not fits(target, rows * columns, vectors) or crowded(target.core, rows, columns, places):
            continue
        groups, alone = divmod(images, rows)
        cost = 0.0
        for v, count, far in far_blocks(target, blocks, vectors, size, chain):
            for inside, often in taking_part[columns].items():
                for together, tiles in ((rows, groups), (1, alone)):
                    step = step_cycles(target, together * inside, v, far)
                    cost += count * often * tiles * (step + _BEGINNING / channels)
        if best is None or cost < best[0] * 0.999:
            best = (cost, Tile(rows, columns, vectors, lanes))
    if best is None:
        return None
    height = axes[-2].positions
    _, whole = tile_and_cycles(
        target, height, width, filters, dtype, steps=steps[1:], chain=chain, flat=False
    )
    every = whole * images * prod(a.positions for a in axes[:-2]) * prod(a.taps for a in axes)
    return InsideTile(best[1], best[0] * inside_terms(axes[:-1], sides[:-1]) / every)


def _taking_part(seen: list[list[int]], width: int, columns: int) -> Counter[int]:
    """How often so many columns of a part of a row take part in a kernel position's steps."""
    counts = (
        sum(first <= column < first + size for column in at)
        for size, first in each_part(width, columns)
        for at in seen
    )
    return Counter(count for count in counts if count)
