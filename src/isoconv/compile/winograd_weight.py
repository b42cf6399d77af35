"""Winograd's maps of kernels: into the order in which contractions read them, and back.

A contraction's weights are transformed where they are packed: the 16 planes of a kernel have 16/9
of its size, and nobody else reads them. Lanes run along output channels, where a kernel's elements
lie behind each other. Where the contraction's lanes run along input channels (the gradient by the
input), squares of lanes × lanes elements are transposed on their way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.loops import I32, Kernel, Value
from isoconv.compile.winograd import Lines, both, weight_grad_lines, weight_lines

__all__ = ["WinogradPackSpec", "WinogradWeightSpec"]

_GRAIN = 64  # elements of a thread's share


@dataclass(frozen=True, slots=True)
class WinogradWeightSpec:
    """Kernels into planes or gradients of planes into those of kernels; buffers (source, result).

    Attributes:
        kind: "weight" for ``G g G^T``, "weight_grad" for ``G^T du G``.
        dtype: float32 or float64.
        size: pairs of channels.
        offset: of the result's first element.
    """

    kind: str
    dtype: str
    size: int
    offset: int

    buffers = 2

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        side, lines = (3, weight_lines) if self.kind == "weight" else (4, weight_grad_lines)
        lanes = k.target.lanes(self.dtype)
        begin, end = k.share(k.const(self.size), _GRAIN)
        b = k.builder
        whole = b.sub(end, b.srem(b.sub(end, begin), k.const(lanes)))
        for first, last, width in ((begin, whole, lanes), (whole, end, 1)):
            with k.loop(first, last, width) as place:
                self._elements(k, place, width, side, lines)

    def _elements(self, k: Kernel, place: Value, width: int, side: int, lines: Lines) -> None:
        source = k.at(k.buffers[0], place, self.dtype)
        result = k.at(k.buffers[1], k.add(place, self.offset), self.dtype)
        patch = [
            [
                k.load_vector(
                    k.at(source, (side * i + j) * self.size, self.dtype), self.dtype, width
                )
                for j in range(side)
            ]
            for i in range(side)
        ]
        values = [value for line in both(k, lines, patch) for value in line]
        for number, value in enumerate(values):
            k.store(value, k.at(result, number * self.size, self.dtype))


@dataclass(frozen=True, slots=True)
class WinogradPackSpec:
    """Packed weights of 16 contractions; buffers are (kernel, packed).

    Attributes:
        dtype: float32 or float64.
        channels: input channels.
        filters: output channels.
        transposed: False: chains run over channels, lanes over filters; True: the other way.
        vectors: vectors in a block.
        lanes: elements in a vector.
        transformed: the kernel is ``(16, C, O)`` already, not ``(3, 3, C, O)``.
    """

    dtype: str
    channels: int
    filters: int
    transposed: bool
    vectors: int
    lanes: int
    transformed: bool

    buffers = 2

    @property
    def chain(self) -> int:
        """Steps of a chain."""
        return self.filters if self.transposed else self.channels

    @property
    def width(self) -> int:
        """What the lanes run over."""
        return self.channels if self.transposed else self.filters

    @property
    def plane(self) -> int:
        """Elements of one contraction's packed weights."""
        return -(-self.width // self.lanes) * self.lanes * self.chain

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        return 16 * self.plane

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        if self.transposed:
            self._squares(k)
        else:
            self._rows(k)

    def _rows(self, k: Kernel) -> None:
        """Lanes along filters: every vector goes where it belongs."""

        def vector(channel: Value, number: Value, room: int) -> None:
            first = k.mul(number, self.lanes)
            place = self._place(k, number, channel)
            for t, value in enumerate(self._planes(k, channel, first, room)):
                k.store(value, k.at(k.buffers[1], k.add(place, t * self.plane), self.dtype))

        begin, end = k.share(k.const(self.channels))
        with k.loop(begin, end) as channel:
            whole, rest = divmod(self.filters, self.lanes)
            if whole:
                with k.loop(0, whole) as number:
                    vector(channel, number, self.lanes)
            if rest:
                vector(channel, k.const(whole), rest)

    def _squares(self, k: Kernel) -> None:
        """Lanes along channels: squares of channels × filters are turned around."""
        b, lanes = k.builder, self.lanes
        scratch = k.stack(self.dtype, 16 * lanes * lanes)
        across = -(-self.filters // lanes)
        begin, end = k.share(k.const(-(-self.channels // lanes) * across))
        with k.loop(begin, end) as unit:
            number, turn = b.sdiv(unit, k.const(across)), b.srem(unit, k.const(across))
            _last_apart(k, number, self.channels, lanes, lambda rows: _last_apart(
                k, turn, self.filters, lanes,
                lambda columns: self._square(k, scratch, number, turn, rows, columns),
            ))  # fmt: skip

    def _square(
        self, k: Kernel, scratch: Value, number: Value, turn: Value, rows: int, columns: int
    ) -> None:
        lanes, dtype = self.lanes, self.dtype
        first = k.mul(turn, lanes)
        with k.loop(0, rows) as row:
            channel = k.add(k.mul(number, lanes), row)
            for t, value in enumerate(self._planes(k, channel, first, columns)):
                place = k.add(k.mul(row, lanes), t * lanes * lanes)
                k.store(value, k.at(scratch, place, dtype))
        if rows < lanes:
            with k.loop(0, 16) as t, k.loop(rows, lanes) as row:
                place = k.add(k.mul(t, lanes * lanes), k.mul(row, lanes))
                k.store(k.splat_const(0.0, dtype, lanes), k.at(scratch, place, dtype))
        with k.loop(0, 16) as t:
            here = k.at(scratch, k.mul(t, lanes * lanes), dtype)
            square = [
                k.load_vector(k.at(here, row * lanes, dtype), dtype, lanes, aligned=True)
                for row in range(lanes)
            ]
            for column, value in enumerate(_transposed(k, square)[:columns]):
                place = k.add(self._place(k, number, k.add(first, column)), k.mul(t, self.plane))
                k.store(value, k.at(k.buffers[1], place, dtype))

    def _planes(self, k: Kernel, channel: Value, first: Value, room: int) -> list[Value]:
        """The 16 transformed vectors of one channel and `room` filters, zeros behind them."""
        side = 4 if self.transformed else 3
        step = self.channels * self.filters
        start = k.at(k.buffers[0], k.add(k.mul(channel, self.filters), first), self.dtype)
        patch = [
            [
                _widened(
                    k,
                    k.load_vector(k.at(start, (side * i + j) * step, self.dtype), self.dtype, room),
                    self.lanes,
                )
                for j in range(side)
            ]
            for i in range(side)
        ]
        planes = patch if self.transformed else both(k, weight_lines, patch)
        return [value for line in planes for value in line]

    def _place(self, k: Kernel, number: Value, link: Value) -> Value:
        """Where a vector of lanes (by number) lies for a link of the chain, in its plane."""
        b = k.builder
        count = -(-self.width // self.lanes)
        whole, rest = divmod(count, self.vectors)
        block = b.sdiv(number, k.const(self.vectors))
        size = b.select(
            b.icmp_signed("<", block, k.const(whole)), k.const(self.vectors), k.const(rest)
        )
        within = b.sub(number, b.mul(block, k.const(self.vectors)))
        return k.add(
            k.mul(block, self.vectors * self.lanes * self.chain),
            k.mul(b.mul(link, size), self.lanes),
            k.mul(within, self.lanes),
        )


def _last_apart(
    k: Kernel, number: Value, total: int, part: int, body: Callable[[int], None]
) -> None:
    """``body(size)`` for this part of `total`; the last part may be smaller than the others."""
    whole, rest = divmod(total, part)
    if not rest:
        body(part)
    elif not whole:
        body(rest)
    else:
        last = k.builder.icmp_signed("==", number, k.const(whole))
        with k.builder.if_else(last) as (then, otherwise):
            with then:
                body(rest)
            with otherwise:
                body(part)


def _widened(k: Kernel, value: Value, lanes: int) -> Value:
    """Zeros in the lanes behind a vector's own."""
    width = value.type.count
    if width == lanes:
        return value
    mask = [i if i < width else width for i in range(lanes)]
    zeros = ir.Constant(value.type, [0.0] * width)
    kind = ir.VectorType(I32, lanes)
    return k.builder.shuffle_vector(value, zeros, ir.Constant(kind, mask))


def _transposed(k: Kernel, rows: list[Value]) -> list[Value]:
    """A square of as many vectors as they have lanes, a power of two, turned around.

    Each round interleaves vector i with the one half the square further on.
    """
    lanes = len(rows)
    kind = ir.VectorType(I32, lanes)
    low = ir.Constant(kind, [i // 2 + (i % 2) * lanes for i in range(lanes)])
    high = ir.Constant(kind, [lanes // 2 + i // 2 + (i % 2) * lanes for i in range(lanes)])
    half = lanes // 2
    for _ in range(lanes.bit_length() - 1):
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [k.builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows
