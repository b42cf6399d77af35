"""Winograd's maps of kernels: into the order in which contractions read them, and back.

A contraction's weights are transformed where they are packed: the 16 planes of a kernel have 16/9
of its size, and nobody else reads them. Lanes run along output channels, where a kernel's elements
lie behind each other. Where the contraction's lanes run along input channels (the gradient by the
input), squares of lanes × lanes elements are transposed on their way.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contraction.packing import Packing, last_apart, turned
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.winograd.maps import Lines, both, weight_grad_lines, weight_lines

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
class WinogradPackSpec(Packing):
    """Packed weights of 16 contractions; buffers are (kernel, packed).

    Attributes:
        transformed: the kernel is ``(16, C, O)`` already, not ``(3, 3, C, O)``.
    """

    transformed: bool

    buffers = 2

    @property
    def plane(self) -> int:
        """Elements of one contraction's packed weights."""
        return self.columns * self.lanes * self.chain

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
            place = self.place(k, number, channel, k.const(self.chain))
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
            last_apart(k, number, self.channels, lanes, lambda rows: last_apart(
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
            for column, value in enumerate(turned(k, square)[:columns]):
                link = k.add(first, column)
                place = k.add(
                    self.place(k, number, link, k.const(self.chain)), k.mul(t, self.plane)
                )
                k.store(value, k.at(k.buffers[1], place, dtype))

    def _planes(self, k: Kernel, channel: Value, first: Value, room: int) -> list[Value]:
        """The 16 transformed vectors of one channel and `room` filters, zeros behind them."""
        side = 4 if self.transformed else 3
        step = self.channels * self.filters
        start = k.at(k.buffers[0], k.add(k.mul(channel, self.filters), first), self.dtype)
        patch = [
            [
                k.widen(
                    k.load_vector(k.at(start, (side * i + j) * step, self.dtype), self.dtype, room),
                    self.lanes,
                )
                for j in range(side)
            ]
            for i in range(side)
        ]
        planes = patch if self.transformed else both(k, weight_lines, patch)
        return [value for line in planes for value in line]
