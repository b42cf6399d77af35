"""Packing: a kernel's weights in the order in which a contraction's chains read them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import NamedTuple

from isoconv.compile.contraction.cpu.packing import last_apart, packed_place, turned
from isoconv.compile.contraction.cpu.padding import meet_padding, no_products
from isoconv.compile.contraction.index_maps import tap_count
from isoconv.compile.contraction.pack import PackSpec
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value


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


@emits(PackSpec)
def pack(k: Kernel, spec: PackSpec) -> None:
    """Share out what is packed; buffers are (weights, packed)."""
    taps = _Table(k, _taps(spec))
    if spec.transposed:
        _squares(k, spec, taps)
    else:
        _rows(k, spec, taps)
    if spec.zeros:
        _all_zeros(k, spec, taps)


def _taps(spec: PackSpec) -> list[_Tap]:
    """The kernel positions of all phases, in the order of the chains."""
    found = []
    for number, phase in enumerate(spec.phases):
        links = tap_count(phase) * spec.chain
        indices = [range(first, first + count * step, step) for count, first, step in phase]
        for tap, index in enumerate(product(*indices)):
            position = 0
            for m, size in zip(index, spec.kernel, strict=True):
                position = position * size + m
            found.append(_Tap(position, spec.begin(number), links, tap * spec.chain))
    return found


def _rows(k: Kernel, spec: PackSpec, taps: _Table) -> None:
    """Lanes along filters: every vector goes where it belongs."""
    b = k.builder
    begin, end = k.share(k.const(taps.rows * spec.chain))
    whole, rest = divmod(spec.width, spec.lanes)
    with k.loop(begin, end) as link:
        tap = taps.row(b.sdiv(link, k.const(spec.chain)))
        channel = b.srem(link, k.const(spec.chain))
        with k.loop(0, spec.groups) as group:

            def vector(number: Value, room: int) -> None:
                start = _start(k, spec, tap, group, channel, k.mul(number, spec.lanes))
                k.store(_load(k, spec, start, room), _to(k, spec, tap, group, number, channel))

            if whole:
                with k.loop(0, whole) as number:
                    vector(number, spec.lanes)
            if rest:
                vector(k.const(whole), rest)


def _squares(k: Kernel, spec: PackSpec, taps: _Table) -> None:
    """Lanes along channels: squares of channels × filters are turned around."""
    b, lanes = k.builder, spec.lanes
    across = -(-spec.filters // lanes)
    counts = (spec.groups, spec.columns, across)
    begin, end = k.share(k.const(taps.rows * prod(counts)))
    with k.loop(begin, end) as unit:
        rest, places = unit, []
        for count in reversed(counts):
            places.append(b.srem(rest, k.const(count)))
            rest = b.sdiv(rest, k.const(count))
        turn, number, group = places
        tap = taps.row(rest)
        last_apart(k, number, spec.channels, lanes, lambda rows: last_apart(
            k, turn, spec.filters, lanes,
            lambda columns: _square(k, spec, tap, group, number, turn, rows, columns),
        ))  # fmt: skip


def _square(
    k: Kernel,
    spec: PackSpec,
    tap: _TapAt,
    group: Value,
    number: Value,
    turn: Value,
    rows: int,
    columns: int,
) -> None:
    """One square: `rows` channels and `columns` filters of it are there."""
    lanes = spec.lanes
    first = k.mul(turn, lanes)
    start = _start(k, spec, tap, group, k.mul(number, lanes), first)
    step = spec.filters * spec.groups
    square = [_load(k, spec, k.at(start, row * step, spec.dtype), columns) for row in range(rows)]
    square += [k.splat_const(0.0, spec.dtype, lanes)] * (lanes - rows)
    for column, vector in enumerate(turned(k, square)[:columns]):
        k.store(vector, _to(k, spec, tap, group, number, k.add(first, column)))


def _all_zeros(k: Kernel, spec: PackSpec, taps: _Table) -> None:
    """``fma(+0.0, weight, .)`` over whole chains from -0.0, in lanes as the weights are."""
    b, chain = k.builder, k.const(spec.chain)
    begin, end = k.share(k.const(taps.rows * spec.groups * spec.columns))
    with k.loop(begin, end) as unit:
        number, rest = b.srem(unit, k.const(spec.columns)), b.sdiv(unit, k.const(spec.columns))
        group = b.srem(rest, k.const(spec.groups))
        tap = taps.row(b.sdiv(rest, k.const(spec.groups)))
        # The same places as of the weights, if chains had one step for each kernel position.
        step = _TapAt(
            tap.position,
            k.add(b.sdiv(tap.begin, chain), spec.begin_zeros(0)),
            b.sdiv(tap.links, chain),
            b.sdiv(tap.first, chain),
        )
        to = _to(k, spec, step, group, number, k.const(0))
        first = k.mul(number, spec.lanes)
        if spec.transposed:
            start = _start(k, spec, tap, group, first, 0)
            rows = k.minimum(k.const(spec.lanes), b.sub(k.const(spec.channels), first))
            _zeros_of_rows(k, spec, start, rows, to)
        else:
            start = _start(k, spec, tap, group, 0, first)
            last_apart(k, number, spec.filters, spec.lanes, lambda room: k.store(
                _zeros_of_columns(k, spec, start, room), to
            ))  # fmt: skip


def _zeros_of_columns(k: Kernel, spec: PackSpec, start: Value, room: int) -> Value:
    """Of weights in `room` columns: down the channels."""
    acc = no_products(k, spec.dtype, spec.lanes)
    with k.loop(0, spec.channels) as channel:
        there = k.at(start, k.mul(channel, spec.filters * spec.groups), spec.dtype)
        meet_padding(k, acc, _load(k, spec, there, room), spec.dtype, spec.lanes)
    return acc.get()


def _zeros_of_rows(k: Kernel, spec: PackSpec, start: Value, rows: Value, to: Value) -> None:
    """Of weights in so many rows: along the filters, then across the lanes."""
    lanes, step = spec.lanes, spec.filters * spec.groups
    spilled = k.stack(spec.dtype, lanes)
    with k.loop(0, rows) as row:
        there = k.at(start, k.mul(row, step), spec.dtype)
        acc = no_products(k, spec.dtype, lanes)
        whole, rest = divmod(spec.filters, lanes)
        with k.loop(0, whole * lanes, lanes) as first:
            weights = k.load_vector(k.at(there, first, spec.dtype), spec.dtype, lanes)
            meet_padding(k, acc, weights, spec.dtype, lanes)
        if rest:
            last = k.load_vector(k.at(there, whole * lanes, spec.dtype), spec.dtype, rest)
            # A negative weight's product is -0.0, which changes nothing.
            meet_padding(k, acc, k.widen(last, lanes, -1.0), spec.dtype, lanes)
        k.store(acc.get(), spilled)
        # Zeros of both signs and NaN have the same sum in any order.
        total = k.variable(k.load_scalar(spilled, spec.dtype))
        with k.loop(1, lanes) as lane:
            more = k.load_scalar(k.at(spilled, lane, spec.dtype), spec.dtype)
            total.set(k.builder.fadd(total.get(), more))
        k.store(total.get(), k.at(to, row, spec.dtype))


def _load(k: Kernel, spec: PackSpec, start: Value, room: int) -> Value:
    """`room` weights, zeros behind them."""
    return k.widen(k.load_vector(start, spec.dtype, room), spec.lanes)


def _start(
    k: Kernel, spec: PackSpec, tap: _TapAt, group: Value, channel: Value | int, filters: Value | int
) -> Value:
    """Address of a weight."""
    outputs = spec.filters * spec.groups
    row = k.add(k.mul(tap.position, spec.channels), channel)
    place = k.add(k.mul(row, outputs), k.mul(group, spec.filters), filters)
    return k.at(k.buffers[0], place, spec.dtype)


def _to(k: Kernel, spec: PackSpec, tap: _TapAt, group: Value, number: Value, link: Value) -> Value:
    """Address of a packed vector, given which link of its kernel position it is."""
    before = k.builder.mul(k.mul(group, spec.columns * spec.lanes), tap.links)
    within = packed_place(k, spec, number, k.add(tap.first, link), tap.links)
    return k.at(k.buffers[1], k.add(tap.begin, before, within), spec.dtype)
