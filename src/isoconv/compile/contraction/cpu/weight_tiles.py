"""Which kernel elements form the tiles of a gradient by weight.

Neighbours of a run that lies without gaps in the source form a tile: the channels of a kernel
position, or those of all positions along the last kernel axis. Of a small kernel with several runs
every tile is unrolled, whatever its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.tiles import each_part, equal_parts
from isoconv.compile.contraction.weight_gradient import (
    UNROLLED_ELEMENTS,
    ContractWeightSpec,
    run_length,
)
from isoconv.compile.native.loops import Kernel, Value


class Elements(NamedTuple):
    """A tile of kernel elements.

    Attributes:
        shift: of the source, for the first one.
        first: its number.
        offsets: of the source, from the first one to each.
        taps: kernel positions along those axes, from the first on, along which the tile has one.
        part: its number among those of a run, or of all elements where each is unrolled.
        start: its first element's number there: the channel, where a run is one of channels.
    """

    shift: Value
    first: Value
    offsets: list[int]
    taps: tuple[Value, ...]
    part: Value
    start: Value


_Body = Callable[[Value, Elements], None]


def each_tile(
    k: Kernel,
    spec: ContractWeightSpec,
    columns: int,
    shifts: Sequence[int],
    panel: int,
    body: _Body,
) -> None:
    """``body(number, tile)`` for each tile of so many kernel elements.

    Args:
        k: the kernel.
        spec: the sum.
        columns: most elements of a tile.
        shifts: of the source, per axis from a kernel position to the next one.
        panel: of the source, from a tile's channels to the next one's, where these are copied to
            panels; 0 where they lie one behind the other.
        body: what is done.
    """
    strides = spec.source.strides[:-1]
    taps = [axis.taps for axis in spec.axes]
    elements = prod(taps) * spec.channels
    run, outer = spec.channels, list(zip(taps, shifts, strict=True))
    if not panel and not any(spec.sides[-1:]):
        run = run_length(spec.axes, spec.groups, spec.channels, strides)
    if run > spec.channels:
        # Tiles reach from one kernel position along the last axis into the next.
        outer.pop()
    if not panel and run < elements <= UNROLLED_ELEMENTS:
        offsets = [
            sum(t * s for t, s in zip(where, shifts, strict=True)) + c
            for where in product(*(range(t) for t in taps))
            for c in range(spec.channels)
        ]
        for i, (size, start) in enumerate(each_part(elements, columns)):
            number, place, where = k.const(i), k.const(start), offsets[start : start + size]
            body(number, Elements(k.const(0), place, where, (), number, place))
        return
    parts = equal_parts(run, columns)
    tiles = sum(count for _, count, _ in parts)

    def along(outer: list[tuple[int, int]], number: Value, corner: Elements) -> None:
        """Loops over the outer kernel axes, then tiles of the run; `number` came before."""
        if outer:
            (count, step), *rest = outer
            inner = prod(t for t, _ in rest)
            with k.loop(0, count) as tap:
                following = corner._replace(
                    shift=k.add(corner.shift, k.mul(tap, step)),
                    first=k.add(corner.first, k.mul(tap, inner * run)),
                    taps=(*corner.taps, tap),
                )
                along(rest, k.add(number, k.mul(tap, inner * tiles)), following)
            return
        before = 0
        for size, count, first in parts:
            with k.loop(0, count) as i:
                start, part = k.add(k.mul(i, size), first), k.add(before, i)
                here = corner._replace(
                    shift=k.add(corner.shift, k.mul(part, panel) if panel else start),
                    first=k.add(corner.first, start),
                    offsets=list(range(size)),
                    part=part,
                    start=start,
                )
                body(k.add(number, part), here)
            before += count

    zero = k.const(0)
    along(outer, zero, Elements(zero, zero, [], (), zero, zero))
