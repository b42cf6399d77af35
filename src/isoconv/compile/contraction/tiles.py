"""Which register tile a contraction uses: a written cost model, tried on every candidate.

One step of a chain, for a tile of T positions × V vectors of filters, takes the longest of

- T · V / (FMAs per cycle): the arithmetic,
- (T + V) / (loads per cycle): V vectors of weights, T scalars of the input, which an FMA that takes
  its scalar from memory loads, too; counted a fifth higher, as not every core gives a load in each
  slot (256-bit code on a Zen 4: four fifths of them),
- the FMA's latency, when there are too few chains to hide it,
- the way of the V vectors from the shared cache, when the weights of a whole chain do not stay in a
  core's own from one tile to the next,

and a cycle on top, which favours large tiles among equals. What a core begins in a cycle, its
latency and its caches stand in ``cpus``; no front end there is narrow enough to be a bound. The T
scalars lie on up to T cache lines, which stay in use for several steps: a tile of which too many
share one set of the first cache (as with strides of 4 KiB) would fetch them again and again, and is
no candidate.

What does not fill a tile (the last positions of a row, the last vectors of filters) is counted at
what it really costs. 1 FMA = 2 FLOP everywhere in the project.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from isoconv.compile.cpus import Core
from isoconv.compile.native.specification import Schedule, Specification
from isoconv.compile.target import Target
from isoconv.graph.ir import DTYPES

CHOICES = 4096  # that are remembered: those of some dozens of networks

_LINE = 64  # bytes, in every first cache but few
_WAYS = 3 / 4  # of the lines of a set that a tile may take; weights and results need some as well
_CHUNK = 128  # positions of a flat source that pass through all filters before the next ones
SHARED_RATE = 8.0  # bytes a cycle that one core gets from the cache behind it
_FLOAT32 = 4  # bytes
_LOADED = 1.2  # what loads are counted at, so that they do not bind where arithmetic could
_OVERHEAD = 1.0  # cycles a step costs beside: loop counters, addresses, cache hiccups


@dataclass(frozen=True, slots=True)
class Tile(Schedule):
    """A register tile.

    Attributes:
        rows: positions along the last but one axis.
        columns: positions along the last axis.
        vectors: vectors of filters.
        lanes: filters in a vector.
    """

    rows: int
    columns: int
    vectors: int
    lanes: int

    @property
    def tile(self) -> Tile:
        """The tile that registers are to hold: this one."""
        return self

    def limits(self, spec: Specification, target: Target) -> Mapping[str, float]:
        """What could bound a step of the chain, in the cycles of its FMAs on full vectors."""
        whole = target.vector_bytes // _FLOAT32
        size = self.vectors * self.lanes * _FLOAT32
        far = size if size * spec.chain_length > target.core.staying else 0
        step = step_limits(target, self.rows * self.columns, self.vectors, far)
        full = step.arithmetic * self.lanes / whole
        return {
            "FMAs": step.arithmetic / full,
            "loads": step.loads / full,
            "latency": step.latency / full,
            "shared cache": step.shared / full,
        }


class StepCycles(NamedTuple):
    """Cycles of a chain's step, by each thing that could bound it.

    Attributes:
        arithmetic: beginning its FMAs.
        loads: loading weights and scalars of the input.
        latency: from an FMA to the next one of its chain.
        shared: weights on their way from the shared cache.
    """

    arithmetic: float
    loads: float
    latency: float
    shared: float


def vector_lanes(target: Target, dtype: str, filters: int) -> int:
    """Lanes of a vector: the machine's, or fewer when there are only a few filters."""
    lanes = target.lanes(dtype)
    while lanes > 4 and lanes // 2 >= filters:
        lanes //= 2
    return lanes


def step_limits(target: Target, positions: int, vectors: int, far: int = 0) -> StepCycles:
    """What could bound a chain's step for a tile of this size.

    Args:
        target: the machine.
        positions: of the tile.
        vectors: of filters.
        far: bytes that come from the shared cache.
    """
    return StepCycles(
        positions * vectors / target.core.fmas,
        (positions + vectors) / target.core.loads,
        target.core.latency,
        far / SHARED_RATE,
    )


def step_cycles(target: Target, positions: int, vectors: int, far: int = 0) -> float:
    """Cycles of a chain's step for a tile of this size; `far` bytes come from the shared cache."""
    limits = step_limits(target, positions, vectors, far)
    return max(limits._replace(loads=limits.loads * _LOADED)) + _OVERHEAD


def row_cycles(target: Target, tile: Tile, width: int) -> float:
    """Cycles of a chain's step for each position of a row of them and vector of filters."""
    cycles = sum(
        step_cycles(target, size, tile.vectors) * count
        for size, count in equal_runs(width, tile.columns)
    )
    return cycles / (width * tile.vectors)


def fits(target: Target, positions: int, vectors: int) -> bool:
    """Whether accumulators, weights and one broadcast stay in registers, with one to spare.

    Without that one LLVM puts accumulators into memory at every step (AVX2 on a Zen 4, 256 channels
    on 14 × 14 positions: half the speed).

    Where a sum is the only reader of its scalar, each FMA of x86 writes into the scalar's register:
    sums move from register to register, and more of them than half the registers are put into
    memory as well (AVX2, gradient to 3 channels: 13 positions 27%, 8 positions 31% of the peak).
    """
    if vectors == 1 and not target.memory_broadcast and 2 * positions > target.registers:
        return False
    broadcast = 0 if vectors == 1 and target.memory_broadcast else 1
    return positions * vectors + vectors + broadcast < target.registers


@functools.lru_cache(maxsize=CHOICES)
def crowded(core: Core, rows: int, columns: int, steps: tuple[int, int]) -> bool:
    """Whether too many of a tile's cache lines share one set of the first cache."""
    lines = {(r * steps[0] + c * steps[1]) // _LINE for r in range(rows) for c in range(columns)}
    sets = Counter(line % core.sets for line in lines)
    return max(sets.values()) > _WAYS * core.ways


def choose_tile(
    target: Target,
    height: int,
    width: int,
    filters: int,
    dtype: str,
    *,
    steps: tuple[int, int] = (0, 0),
    chain: int = 0,
    flat: bool = False,
) -> Tile:
    """The cheapest tile for a plane of positions by the cost model above.

    Args:
        target: the machine.
        height: positions along the last axis but one.
        width: positions along the last axis.
        filters: what the lanes run over.
        dtype: float32 or float64.
        steps: bytes in the source from a row to the next and from a column to the next.
        chain: steps of a chain.
        flat: the width is one long axis, whose rest is done in ever smaller tiles.
    """
    return tile_and_cycles(
        target, height, width, filters, dtype, steps=steps, chain=chain, flat=flat
    )[0]


@functools.lru_cache(maxsize=CHOICES)
def tile_and_cycles(
    target: Target,
    height: int,
    width: int,
    filters: int,
    dtype: str,
    *,
    steps: tuple[int, int],
    chain: int,
    flat: bool,
) -> tuple[Tile, float]:
    """The same tile, and the cycles that a step of all the plane's chains takes with it."""
    lanes = vector_lanes(target, dtype, filters)
    blocks, size = -(-filters // lanes), lanes * DTYPES[dtype]
    best: tuple[float, Tile] | None = None
    tiles = product(range(1, min(blocks, 6) + 1), range(1, min(height, 4) + 1))
    for vectors, rows, columns in _that_fit(target, tiles, min(width, 30)):
        cost = 0.0
        for v, v_count, far in far_blocks(target, blocks, vectors, size, chain):
            for r, r_count in runs(height, rows):
                for c, c_count in (halving_runs if flat else equal_runs)(width, columns):
                    cost += step_cycles(target, r * c, v, far) * v_count * r_count * c_count
        # Rows beyond the first reach further apart in memory; take them only for a real gain.
        cost *= 1.0 + 0.01 * (rows - 1)
        if (best is None or cost < best[0] * 0.999) and not crowded(
            target.core, rows, columns, steps
        ):
            best = (cost, Tile(rows, columns, vectors, lanes))
    if best is None:
        alone = step_cycles(target, 1, 1) * height * width * blocks
        return Tile(1, 1, 1, lanes), alone
    return best[1], best[0]


def weights_pass_once(target: Target, weights: int, image: int, blocks: int, itemsize: int) -> bool:
    """Whether a block of filters meets all images of a shard before the next block's turn.

    Either all weights come again for each image, or an image for each block. An image is read by
    several tiles while it is near, so half as much again of it costs no more (512 channels on 8 × 8
    positions with AVX2: 0.72 times as many weights, and a fifth faster; at 0.56 all one).

    Args:
        target: the machine.
        weights: elements of all filters.
        image: elements of the source in an image.
        blocks: of filters.
        itemsize: bytes of an element.
    """
    return weights * itemsize > target.core.own_cache and 3 * weights > 2 * image * blocks


def _that_fit(
    target: Target, tiles: Iterable[tuple[int, int]], width: int
) -> Iterator[tuple[int, int, int]]:
    """Tiles (vectors, rows, columns) that stay in registers, from (vectors, rows) and a width."""
    for vectors, rows in tiles:
        for columns in range(1, width + 1):
            if not fits(target, rows * columns, vectors):
                break
            yield vectors, rows, columns


def far_blocks(
    target: Target, vectors: int, most: int, size: int, chain: int
) -> Iterator[tuple[int, int, int]]:
    """Blocks of vectors of this many bytes: (vectors, how many, bytes of a step from afar).

    Args:
        target: the machine.
        vectors: of filters.
        most: vectors of a block.
        size: bytes of a vector.
        chain: steps of a chain.
    """
    for v, count in runs(vectors, most):
        yield v, count, v * size if v * size * chain > target.core.staying else 0


def runs(total: int, part: int) -> list[tuple[int, int]]:
    """`total` cut into parts of this size and one remainder: (size, how many)."""
    whole, rest = divmod(total, part)
    return [(size, count) for size, count in ((part, whole), (rest, 1)) if size and count]


def equal_runs(total: int, most: int) -> list[tuple[int, int]]:
    """`total` cut into the fewest parts of at most this size, as equal as can be."""
    count = -(-total // most)
    small, larger = divmod(total, count)
    return [(s, c) for s, c in ((small + 1, larger), (small, count - larger)) if c]


def halving_runs(total: int, most: int) -> list[tuple[int, int]]:
    """`total` cut into runs of `most`, then of half of it, and so on down to 1."""
    found = []
    while total:
        found.append((most, total // most))
        total %= most
        most //= 2
    return [(size, count) for size, count in found if count]


def equal_parts(total: int, most: int) -> list[tuple[int, int, int]]:
    """The same cut with where each run begins: (size, how many, first)."""
    parts, first = [], 0
    for size, count in equal_runs(total, most):
        parts.append((size, count, first))
        first += size * count
    return parts


def each_part(total: int, most: int) -> list[tuple[int, int]]:
    """The same cut part by part: (size, first)."""
    return [
        (size, first + number * size)
        for size, count, first in equal_parts(total, most)
        for number in range(count)
    ]


def chunk_size(flat: int, most: int) -> int:
    """Positions of a chunk of a flat source: about `_CHUNK`, and an image's divide well into them.

    Args:
        flat: positions of an image.
        most: positions of a tile; a chunk holds whole tiles.
    """
    sizes = [n for n in range(most, _CHUNK + most, most) if 3 * n >= 2 * _CHUNK] or [most]
    return min(sizes, key=lambda n: (-flat % n, -(-flat // n) % 2, -n))
