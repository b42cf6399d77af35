"""Packing: a kernel's weights in the order in which a contraction's chains read them.

    for group, block of filters, kernel position, channel of the chain:
        packed[...] = the block's weights, zeros in the lanes beyond the last filter

Once per step; threads share the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.compile.loops import Kernel, Value
from isoconv.compile.packing import Packing, last_apart, turned

__all__ = ["PackSpec"]


@dataclass(frozen=True, slots=True)
class PackSpec(Packing):
    """A packing kernel from ``(kernel..., C / groups, O)`` to blocks of filters.

    Attributes:
        kernel: kernel size per axis.
        taps: per axis (count, first, step): which kernel positions, in order.
        groups: number of groups; channels and filters are those of one.
    """

    kernel: tuple[int, ...]
    taps: tuple[tuple[int, int, int], ...]
    groups: int

    buffers = 2

    @property
    def links(self) -> int:
        """Steps of a whole chain: kernel positions, and channels of each."""
        return prod(count for count, _, _ in self.taps) * self.chain

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        return self.groups * self._group

    @property
    def _group(self) -> int:
        return self.columns * self.lanes * self.links

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body; buffers are (weights, packed)."""
        if not self.links:
            return
        if self.transposed:
            self._squares(k)
        else:
            self._rows(k)

    def _rows(self, k: Kernel) -> None:
        """Lanes along filters: every vector goes where it belongs."""
        b = k.builder
        begin, end = k.share(k.const(self.links))
        whole, rest = divmod(self.width, self.lanes)
        with k.loop(begin, end) as link:
            tap, channel = b.sdiv(link, k.const(self.chain)), b.srem(link, k.const(self.chain))
            with k.loop(0, self.groups) as group:

                def vector(number: Value, room: int) -> None:
                    start = self._start(k, tap, group, channel, k.mul(number, self.lanes))
                    k.store(self._load(k, start, room), self._to(k, group, number, link))

                if whole:
                    with k.loop(0, whole) as number:
                        vector(number, self.lanes)
                if rest:
                    vector(k.const(whole), rest)

    def _squares(self, k: Kernel) -> None:
        """Lanes along channels: squares of channels × filters are turned around."""
        b, lanes = k.builder, self.lanes
        across = -(-self.filters // lanes)
        counts = (self.groups, self.columns, across)
        begin, end = k.share(k.const(self.links // self.chain * prod(counts)))
        with k.loop(begin, end) as unit:
            rest, places = unit, []
            for count in reversed(counts):
                places.append(b.srem(rest, k.const(count)))
                rest = b.sdiv(rest, k.const(count))
            turn, number, group = places
            last_apart(k, number, self.channels, lanes, lambda rows: last_apart(
                k, turn, self.filters, lanes,
                lambda columns: self._square(k, rest, group, number, turn, rows, columns),
            ))  # fmt: skip

    def _square(
        self,
        k: Kernel,
        tap: Value,
        group: Value,
        number: Value,
        turn: Value,
        rows: int,
        columns: int,
    ) -> None:
        """One square: `rows` channels and `columns` filters of it are there."""
        lanes = self.lanes
        first = k.mul(turn, lanes)
        start = self._start(k, tap, group, k.mul(number, lanes), first)
        step = self.filters * self.groups
        square = [
            self._load(k, k.at(start, row * step, self.dtype), columns) for row in range(rows)
        ]
        square += [k.splat_const(0.0, self.dtype, lanes)] * (lanes - rows)
        link = k.add(k.mul(tap, self.chain), first)
        for column, vector in enumerate(turned(k, square)[:columns]):
            k.store(vector, self._to(k, group, number, k.add(link, column)))

    def _load(self, k: Kernel, start: Value, room: int) -> Value:
        """`room` weights, zeros behind them."""
        return k.widen(k.load_vector(start, self.dtype, room), self.lanes)

    def _start(
        self, k: Kernel, tap: Value, group: Value, channel: Value | int, filters: Value | int
    ) -> Value:
        """Address of a weight."""
        outputs = self.filters * self.groups
        row = k.add(k.mul(self._position(k, tap), self.channels), channel)
        place = k.add(k.mul(row, outputs), k.mul(group, self.filters), filters)
        return k.at(k.buffers[0], place, self.dtype)

    def _to(self, k: Kernel, group: Value, number: Value, link: Value) -> Value:
        """Address of a packed vector."""
        place = k.add(k.mul(group, self._group), self.place(k, number, link, self.links))
        return k.at(k.buffers[1], place, self.dtype)

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
