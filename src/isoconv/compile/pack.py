"""Packing: a kernel's weights in the order in which a contraction's chains read them.

    for group, block of filters, kernel position, channel of the chain:
        packed[...] = the block's weights, zeros in the lanes beyond the last filter

Once per step; threads share the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import llvmlite.ir as ir

from isoconv.compile.loops import I32, Kernel, Value
from isoconv.compile.schedule import runs

__all__ = ["PackSpec"]


@dataclass(frozen=True, slots=True)
class PackSpec:
    """A packing kernel from ``(kernel..., C / groups, O)`` to blocks of filters.

    Attributes:
        dtype: float32 or float64.
        kernel: kernel size per axis.
        taps: per axis (count, first, step): which kernel positions, in order.
        channels: input channels per group.
        filters: output channels per group.
        groups: number of groups.
        transposed: False: chains run over channels, lanes over filters; True: the other way.
        vectors: vectors in a block.
        lanes: elements in a vector.
    """

    dtype: str
    kernel: tuple[int, ...]
    taps: tuple[tuple[int, int, int], ...]
    channels: int
    filters: int
    groups: int
    transposed: bool
    vectors: int
    lanes: int

    buffers = 2

    @property
    def chain(self) -> int:
        """Steps of a chain per kernel position."""
        return self.filters if self.transposed else self.channels

    @property
    def width(self) -> int:
        """What the lanes run over."""
        return self.channels if self.transposed else self.filters

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        vectors = -(-self.width // self.lanes)
        taps = prod(count for count, _, _ in self.taps)
        return self.groups * vectors * self.lanes * taps * self.chain

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body; buffers are (weights, packed)."""
        taps = prod(count for count, _, _ in self.taps)
        if not taps:
            return
        b = k.builder
        begin, end = k.share(k.const(taps * self.chain))
        with k.loop(begin, end) as unit:
            tap = b.sdiv(unit, k.const(self.chain))
            link = b.srem(unit, k.const(self.chain))
            row = k.mul(self._position(k, tap), self.channels * self.filters * self.groups)
            outputs = self.filters * self.groups
            source = k.add(row, k.mul(link, 1 if self.transposed else outputs))
            with k.loop(0, self.groups) as group:
                self._group(k, unit, group, source, taps)

    def _position(self, k: Kernel, tap: Value) -> Value:
        """Row-major kernel position of a tap."""
        b = k.builder
        position: Value = k.const(0)
        stride = 1
        rest = tap
        for (count, first, step), size in zip(
            reversed(self.taps), reversed(self.kernel), strict=True
        ):
            index = k.add(k.mul(b.srem(rest, k.const(count)), step), first)
            position = k.add(position, k.mul(index, stride))
            rest = b.sdiv(rest, k.const(count))
            stride *= size
        return position

    def _group(self, k: Kernel, unit: Value, group: Value, source: Value, taps: int) -> None:
        vectors = -(-self.width // self.lanes)
        area = taps * self.chain
        step = self.filters * self.groups if self.transposed else 1
        first = 0
        for size, count in runs(vectors, self.vectors):
            block_width = size * self.lanes
            base = k.add(k.mul(group, vectors * self.lanes * area), first * area)
            with k.loop(0, count) as block:
                for v in range(size):
                    lane = k.add(first + v * self.lanes, k.mul(block, block_width))
                    place = k.add(
                        base,
                        k.mul(block, block_width * area),
                        k.mul(unit, block_width),
                        v * self.lanes,
                    )
                    start = k.add(source, k.mul(group, self.filters), k.mul(lane, step))
                    room = self.width - first - v * self.lanes - (count - 1) * block_width
                    self._vector(k, start, step, place, lane, room)
            first += count * block_width

    def _vector(
        self, k: Kernel, start: Value, step: int, place: Value, lane: Value, room: int
    ) -> None:
        """One vector of a block; `room` lanes of the last block's hold filters."""
        to = k.at(k.buffers[1], place, self.dtype)
        if room >= self.lanes:
            k.store(self._gather(k, start, step, self.lanes), to)
            return
        full = k.builder.icmp_signed("<=", k.add(lane, self.lanes), k.const(self.width))
        with k.builder.if_else(full) as (whole, partial):
            with whole:
                k.store(self._gather(k, start, step, self.lanes), to)
            with partial:
                k.store(self._gather(k, start, step, max(0, room)), to)

    def _gather(self, k: Kernel, start: Value, step: int, lanes: int) -> Value:
        weights = k.buffers[0]
        if step == 1 and lanes == self.lanes:
            return k.load_vector(k.at(weights, start, self.dtype), self.dtype, lanes)
        vector = k.splat_const(0.0, self.dtype, self.lanes)
        for i in range(lanes):
            place = k.at(weights, k.add(start, i * step), self.dtype)
            one: ir.Value = k.load_scalar(place, self.dtype)
            vector = k.builder.insert_element(vector, one, ir.Constant(I32, i))
        return vector
