"""Packing: a kernel's weights in the order in which a contraction's chains read them.

    for phase, group, block of filters, kernel position, channel of the chain:
        packed[...] = the block's weights, zeros in the lanes beyond the last filter

A forward pass has one phase; a strided gradient by the input has several, whose kernel positions a
table names. Behind the weights of all phases there may be the zeros that stand for products with
padding (see ``padding``), in the same order, as of chains of one step per kernel position.

Once per step; threads share the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.packing import Packing, last_apart, turned
from isoconv.compile.contraction.padding import meet_padding, no_products
from isoconv.compile.native.loops import Kernel, Value

__all__ = ["PackSpec", "Taps", "tap_count"]

Taps = tuple[tuple[int, int, int], ...]
"""Kernel positions, for each axis: (count, first, step)."""


def tap_count(taps: Taps) -> int:
    """How many kernel positions these are."""
    return prod(count for count, _, _ in taps)


class _Tap(NamedTuple):
    """A kernel position of a phase.

    Attributes:
        position: its row-major number in the kernel.
        begin: elements packed before its phase.
        links: steps of a whole chain of its phase.
        first: steps of the chain that come before its own.
    """

    position: int
    begin: int
    links: int
    first: int


class _TapAt(NamedTuple):
    """The same, read from the table while the kernel runs."""

    position: Value
    begin: Value
    links: Value
    first: Value


class _Table:
    """The kernel positions as constants beside the code."""

    def __init__(self, k: Kernel, taps: Sequence[_Tap]) -> None:
        self._k = k
        self.rows = len(taps)
        self._start = k.table([entry for tap in taps for entry in tap])

    def row(self, number: Value) -> _TapAt:
        """What the table says of a kernel position."""
        k, width = self._k, len(_Tap._fields)
        row = k.at(self._start, k.mul(number, width), "int64")
        return _TapAt(*(k.load_scalar(k.at(row, i, "int64"), "int64") for i in range(width)))


@dataclass(frozen=True, slots=True)
class PackSpec(Packing):
    """A packing kernel from ``(kernel..., C / groups, O)`` to blocks of filters.

    Attributes:
        kernel: kernel size per axis.
        phases: which kernel positions, in order; each phase has chains of its own.
        groups: number of groups; channels and filters are those of one.
        zeros: whether they are wanted.
    """

    kernel: tuple[int, ...]
    phases: tuple[Taps, ...]
    groups: int
    zeros: bool = False

    buffers = 2

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        phases = len(self.phases)
        return self.begin_zeros(phases) if self.zeros else self.begin(phases)

    def begin(self, phase: int) -> int:
        """Elements that lie before the weights of a phase."""
        return self._link * self.chain * sum(map(tap_count, self.phases[:phase]))

    def begin_zeros(self, phase: int) -> int:
        """Elements that lie before the zeros of a phase."""
        return self.begin(len(self.phases)) + self.begin(phase) // self.chain

    @property
    def _link(self) -> int:
        """Elements of one step of the chains of all filters of all groups."""
        return self.groups * self.columns * self.lanes

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body; buffers are (weights, packed)."""
        taps = _Table(k, self._taps())
        if self.transposed:
            self._squares(k, taps)
        else:
            self._rows(k, taps)
        if self.zeros:
            self._all_zeros(k, taps)

    def _taps(self) -> list[_Tap]:
        """The kernel positions of all phases, in the order of the chains."""
        found = []
        for number, phase in enumerate(self.phases):
            links = tap_count(phase) * self.chain
            indices = [range(first, first + count * step, step) for count, first, step in phase]
            for tap, index in enumerate(product(*indices)):
                position = 0
                for m, size in zip(index, self.kernel, strict=True):
                    position = position * size + m
                found.append(_Tap(position, self.begin(number), links, tap * self.chain))
        return found

    def _rows(self, k: Kernel, taps: _Table) -> None:
        """Lanes along filters: every vector goes where it belongs."""
        b = k.builder
        begin, end = k.share(k.const(taps.rows * self.chain))
        whole, rest = divmod(self.width, self.lanes)
        with k.loop(begin, end) as link:
            tap = taps.row(b.sdiv(link, k.const(self.chain)))
            channel = b.srem(link, k.const(self.chain))
            with k.loop(0, self.groups) as group:

                def vector(number: Value, room: int) -> None:
                    start = self._start(k, tap, group, channel, k.mul(number, self.lanes))
                    k.store(self._load(k, start, room), self._to(k, tap, group, number, channel))

                if whole:
                    with k.loop(0, whole) as number:
                        vector(number, self.lanes)
                if rest:
                    vector(k.const(whole), rest)

    def _squares(self, k: Kernel, taps: _Table) -> None:
        """Lanes along channels: squares of channels × filters are turned around."""
        b, lanes = k.builder, self.lanes
        across = -(-self.filters // lanes)
        counts = (self.groups, self.columns, across)
        begin, end = k.share(k.const(taps.rows * prod(counts)))
        with k.loop(begin, end) as unit:
            rest, places = unit, []
            for count in reversed(counts):
                places.append(b.srem(rest, k.const(count)))
                rest = b.sdiv(rest, k.const(count))
            turn, number, group = places
            tap = taps.row(rest)
            last_apart(k, number, self.channels, lanes, lambda rows: last_apart(
                k, turn, self.filters, lanes,
                lambda columns: self._square(k, tap, group, number, turn, rows, columns),
            ))  # fmt: skip

    def _square(
        self,
        k: Kernel,
        tap: _TapAt,
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
        for column, vector in enumerate(turned(k, square)[:columns]):
            k.store(vector, self._to(k, tap, group, number, k.add(first, column)))

    def _all_zeros(self, k: Kernel, taps: _Table) -> None:
        """``fma(+0.0, weight, .)`` over whole chains from -0.0, in lanes as the weights are."""
        b, chain = k.builder, k.const(self.chain)
        begin, end = k.share(k.const(taps.rows * self.groups * self.columns))
        with k.loop(begin, end) as unit:
            number, rest = b.srem(unit, k.const(self.columns)), b.sdiv(unit, k.const(self.columns))
            group = b.srem(rest, k.const(self.groups))
            tap = taps.row(b.sdiv(rest, k.const(self.groups)))
            # The same places as of the weights, if chains had one step for each kernel position.
            step = _TapAt(
                tap.position,
                k.add(b.sdiv(tap.begin, chain), self.begin_zeros(0)),
                b.sdiv(tap.links, chain),
                b.sdiv(tap.first, chain),
            )
            to = self._to(k, step, group, number, k.const(0))
            first = k.mul(number, self.lanes)
            if self.transposed:
                start = self._start(k, tap, group, first, 0)
                rows = k.minimum(k.const(self.lanes), b.sub(k.const(self.channels), first))
                self._zeros_of_rows(k, start, rows, to)
            else:
                start = self._start(k, tap, group, 0, first)
                last_apart(k, number, self.filters, self.lanes, lambda room: k.store(
                    self._zeros_of_columns(k, start, room), to
                ))  # fmt: skip

    def _zeros_of_columns(self, k: Kernel, start: Value, room: int) -> Value:
        """Of weights in `room` columns: down the channels."""
        acc = no_products(k, self.dtype, self.lanes)
        with k.loop(0, self.channels) as channel:
            there = k.at(start, k.mul(channel, self.filters * self.groups), self.dtype)
            meet_padding(k, acc, self._load(k, there, room), self.dtype, self.lanes)
        return acc.get()

    def _zeros_of_rows(self, k: Kernel, start: Value, rows: Value, to: Value) -> None:
        """Of weights in so many rows: along the filters, then across the lanes."""
        lanes, step = self.lanes, self.filters * self.groups
        parked = k.stack(self.dtype, lanes)
        with k.loop(0, rows) as row:
            there = k.at(start, k.mul(row, step), self.dtype)
            acc = no_products(k, self.dtype, lanes)
            whole, rest = divmod(self.filters, lanes)
            with k.loop(0, whole * lanes, lanes) as first:
                weights = k.load_vector(k.at(there, first, self.dtype), self.dtype, lanes)
                meet_padding(k, acc, weights, self.dtype, lanes)
            if rest:
                last = k.load_vector(k.at(there, whole * lanes, self.dtype), self.dtype, rest)
                # A negative weight's product is -0.0, which changes nothing.
                meet_padding(k, acc, k.widen(last, lanes, -1.0), self.dtype, lanes)
            k.store(acc.get(), parked)
            # Zeros of both signs and NaN have the same sum in any order.
            total = k.variable(k.load_scalar(parked, self.dtype))
            with k.loop(1, lanes) as lane:
                more = k.load_scalar(k.at(parked, lane, self.dtype), self.dtype)
                total.set(k.builder.fadd(total.get(), more))
            k.store(total.get(), k.at(to, row, self.dtype))

    def _load(self, k: Kernel, start: Value, room: int) -> Value:
        """`room` weights, zeros behind them."""
        return k.widen(k.load_vector(start, self.dtype, room), self.lanes)

    def _start(
        self, k: Kernel, tap: _TapAt, group: Value, channel: Value | int, filters: Value | int
    ) -> Value:
        """Address of a weight."""
        outputs = self.filters * self.groups
        row = k.add(k.mul(tap.position, self.channels), channel)
        place = k.add(k.mul(row, outputs), k.mul(group, self.filters), filters)
        return k.at(k.buffers[0], place, self.dtype)

    def _to(self, k: Kernel, tap: _TapAt, group: Value, number: Value, link: Value) -> Value:
        """Address of a packed vector, given which link of its kernel position it is."""
        before = k.builder.mul(k.mul(group, self.columns * self.lanes), tap.links)
        within = self.place(k, number, k.add(tap.first, link), tap.links)
        return k.at(k.buffers[1], k.add(tap.begin, before, within), self.dtype)
