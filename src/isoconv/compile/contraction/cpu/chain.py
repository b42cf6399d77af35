"""The chain of a contraction's tile: all kernel positions and channels, in order.

Three pointers walk: through the source, through the weights packed in the order of the chain, and
through the piece of the source that a later tile will be the first to read. That piece is asked for
line by line, so that it comes from memory while the tile computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.compile.native.loops import Kernel, Value, Variable

_UNROLL = 32  # FMAs that one turn of the channel loop holds, if a step has fewer
_UNROLL_MOST = 8  # steps of it; with fewer FMAs each, they wait for one another anyway
_UNROLL_ROW = 24  # steps of a whole kernel row unrolled, when it has few channels
_LINE = 64  # bytes of a cache line on every machine but few


@dataclass(frozen=True, slots=True)
class Heads:
    """Where a chain stands.

    Attributes:
        source: what the tile's first position reads next.
        weights: the next link's.
        ahead: what is asked for next; None to ask for nothing.
    """

    source: Value
    weights: Value
    ahead: Value | None


@dataclass(frozen=True, slots=True)
class Chain:
    """A tile's chain.

    Attributes:
        k: the kernel.
        dtype: float32 or float64.
        taps: per axis how many, and elements of the source from one to the next.
        channels: links of each tap.
        offsets: elements from the tile's first position to each of its positions.
        vectors: vectors of filters.
        lanes: filters in a vector.
        size: bytes that are asked for while the chain runs.
    """

    k: Kernel
    dtype: str
    taps: list[tuple[int, int]]
    channels: int
    offsets: list[int]
    vectors: int
    lanes: int
    size: int

    @property
    def _links(self) -> int:
        return prod(count for count, _ in self.taps) * self.channels

    @property
    def _pace(self) -> int:
        """Bytes to ask for with each link."""
        return -(-self.size // self._links)

    def run(self, heads: Heads, acc: list[Variable]) -> None:
        """Let every accumulator of position × vector go through the chain."""
        taps = self.taps[-1][0] if self.taps else 1
        row_unrolled = taps > 1 and taps * self.channels <= _UNROLL_ROW
        self._taps(0, len(self.taps) - row_unrolled, heads, acc)

    def _moved(self, heads: Heads, source: Value | int, links: Value | int) -> Heads:
        k = self.k
        return Heads(
            k.at(heads.source, source, self.dtype),
            k.at(heads.weights, k.mul(links, self.vectors * self.lanes), self.dtype),
            None if heads.ahead is None else k.at(heads.ahead, k.mul(links, self._pace), "uint8"),
        )

    def _taps(self, axis: int, loops: int, heads: Heads, acc: list[Variable]) -> None:
        """Loops over the axes' taps; the last axis may be unrolled."""
        k = self.k
        if axis < loops:
            count, step = self.taps[axis]
            links = prod(c for c, _ in self.taps[axis + 1 :]) * self.channels
            with k.loop(0, count) as tap:
                there = self._moved(heads, k.mul(tap, step), k.mul(tap, links))
                self._taps(axis + 1, loops, there, acc)
            return
        if axis < len(self.taps):
            count, step = self.taps[axis]
            row = [t * step + c for t in range(count) for c in range(self.channels)]
            self._steps(heads, row, acc)
            return
        most = max(1, min(_UNROLL // len(acc), _UNROLL_MOST))
        turn = max(u for u in range(1, most + 1) if self.channels % u == 0)
        with k.loop(0, self.channels, turn) as c:
            self._steps(self._moved(heads, c, c), list(range(turn)), acc)

    def _steps(self, heads: Heads, links: list[int], acc: list[Variable]) -> None:
        """Unrolled links: links[i] is the source's offset of step i."""
        k = self.k
        if heads.ahead is not None:
            for line in range(0, len(links) * self._pace, _LINE):
                k.prefetch(k.at(heads.ahead, line, "uint8"), level=2)
        for number, shift in enumerate(links):
            here = k.at(heads.source, shift, self.dtype)
            if len(links) > 1:
                # Neighbouring positions read the same elements in different steps.
                here = k.opaque(here)
            loaded = [
                k.load_vector(
                    k.at(heads.weights, (number * self.vectors + v) * self.lanes, self.dtype),
                    self.dtype,
                    self.lanes,
                    aligned=True,
                    invariant=True,
                )
                for v in range(self.vectors)
            ]
            for position, offset in enumerate(self.offsets):
                scalar = k.load_scalar(k.at(here, offset, self.dtype), self.dtype, invariant=True)
                x = k.splat(scalar, self.lanes)
                for v in range(self.vectors):
                    place = acc[position * self.vectors + v]
                    place.set(k.fma(x, loaded[v], place.get()))
