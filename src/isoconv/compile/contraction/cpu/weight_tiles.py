"""Which kernel elements form the tiles of a gradient by weight.

Neighbours of a run that lies without gaps in the source form a tile: the channels of a kernel
position, or those of all positions along the last kernel axis. Of a small kernel with several runs
every tile is unrolled, whatever its elements.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.tiles import equal_parts
from isoconv.compile.contraction.weight_gradient import (
    UNROLLED_ELEMENTS,
    ContractWeightSpec,
    runs_on,
)
from isoconv.compile.native.loops import Kernel, Value


class Elements(NamedTuple):
    """A tile of kernel elements.

    Attributes:
        shift: of the source, for the first one.
        first: its number.
        offsets: of the source, from the first one to each.
        taps: kernel positions along those axes, from the first on, along which the tile has one.
    """

    shift: Value
    first: Value
    offsets: list[int]
    taps: tuple[Value, ...]


_Body = Callable[[Value, Elements], None]


def each_tile(k: Kernel, spec: ContractWeightSpec, columns: int, body: _Body) -> None:
    """``body(number, tile)`` for each tile of so many kernel elements."""
    strides = spec.source.strides[:-1]
    shifts = [axis.in_tap * s for axis, s in zip(spec.axes, strides, strict=True)]
    taps = [axis.taps for axis in spec.axes]
    elements = prod(taps) * spec.channels
    run, outer = spec.channels, list(zip(taps, shifts, strict=True))
    if not any(spec.sides[-1:]) and runs_on(spec.axes, spec.groups, spec.channels, strides):
        run *= outer.pop()[0]
    if run < elements <= UNROLLED_ELEMENTS:
        offsets = [
            sum(t * s for t, s in zip(where, shifts, strict=True)) + c
            for where in product(*(range(t) for t in taps))
            for c in range(spec.channels)
        ]
        for size, count, first in equal_parts(elements, columns):
            for i in range(count):
                start = first + i * size
                here = Elements(k.const(0), k.const(start), offsets[start : start + size], ())
                body(k.const(start // size), here)
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
                start = k.add(k.mul(i, size), first)
                here = corner._replace(
                    shift=k.add(corner.shift, start),
                    first=k.add(corner.first, start),
                    offsets=list(range(size)),
                )
                body(k.add(number, before, i), here)
            before += count

    along(outer, k.const(0), Elements(k.const(0), k.const(0), [], ()))
