"""Winograd's maps of kernels: into the order in which contractions read them, and back.

A contraction's weights are transformed where they are packed: the 16 components of a kernel have
16/9 of its size, and nobody else reads them. Lanes run along output channels, where a kernel's
elements lie behind each other. Where the contraction's lanes run along input channels (the gradient
by the input), squares of lanes × lanes elements are transposed on their way.
"""

from __future__ import annotations

from isoconv.compile.contraction.cpu.packing import last_apart, packed_place, turned
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.winograd.cpu.maps import Lines, both, weight_grad_lines, weight_lines
from isoconv.compile.winograd.weights import WinogradPackSpec, WinogradWeightSpec

_GRAIN = 64  # elements of a thread's share


@emits(WinogradWeightSpec)
def map_weights(k: Kernel, spec: WinogradWeightSpec) -> None:
    """Share out pairs of channels."""
    side, lines = (3, weight_lines) if spec.kind == "weight" else (4, weight_grad_lines)
    lanes = k.target.lanes(spec.dtype)
    begin, end = k.share(k.const(spec.size), _GRAIN)
    b = k.builder
    whole = b.sub(end, b.srem(b.sub(end, begin), k.const(lanes)))
    for first, last, width in ((begin, whole, lanes), (whole, end, 1)):
        with k.loop(first, last, width) as place:
            _elements(k, spec, place, width, side, lines)


def _elements(
    k: Kernel, spec: WinogradWeightSpec, place: Value, width: int, side: int, lines: Lines
) -> None:
    source = k.at(k.buffers[0], place, spec.dtype)
    result = k.at(k.buffers[1], k.add(place, spec.offset), spec.dtype)
    patch = [
        [
            k.load_vector(k.at(source, (side * i + j) * spec.size, spec.dtype), spec.dtype, width)
            for j in range(side)
        ]
        for i in range(side)
    ]
    values = [value for line in both(k, lines, patch) for value in line]
    for number, value in enumerate(values):
        k.store(value, k.at(result, number * spec.size, spec.dtype))


@emits(WinogradPackSpec)
def pack_components(k: Kernel, spec: WinogradPackSpec) -> None:
    """Weights transformed and packed."""
    if spec.transposed:
        _squares(k, spec)
    else:
        _rows(k, spec)


def _rows(k: Kernel, spec: WinogradPackSpec) -> None:
    """Lanes along filters: every vector goes where it belongs."""

    def vector(channel: Value, number: Value, room: int) -> None:
        first = k.mul(number, spec.lanes)
        place = packed_place(k, spec, number, channel, k.const(spec.chain))
        for t, value in enumerate(_components(k, spec, channel, first, room)):
            k.store(value, k.at(k.buffers[1], k.add(place, t * spec.component), spec.dtype))

    begin, end = k.share(k.const(spec.channels))
    with k.loop(begin, end) as channel:
        whole, rest = divmod(spec.filters, spec.lanes)
        if whole:
            with k.loop(0, whole) as number:
                vector(channel, number, spec.lanes)
        if rest:
            vector(channel, k.const(whole), rest)


def _squares(k: Kernel, spec: WinogradPackSpec) -> None:
    """Lanes along channels: squares of channels × filters are turned around."""
    b, lanes = k.builder, spec.lanes
    scratch = k.stack(spec.dtype, 16 * lanes * lanes)
    across = -(-spec.filters // lanes)
    begin, end = k.share(k.const(-(-spec.channels // lanes) * across))
    with k.loop(begin, end) as unit:
        number, turn = b.sdiv(unit, k.const(across)), b.srem(unit, k.const(across))
        last_apart(k, number, spec.channels, lanes, lambda rows: last_apart(
            k, turn, spec.filters, lanes,
            lambda columns: _square(k, spec, scratch, number, turn, rows, columns),
        ))  # fmt: skip


def _square(
    k: Kernel,
    spec: WinogradPackSpec,
    scratch: Value,
    number: Value,
    turn: Value,
    rows: int,
    columns: int,
) -> None:
    lanes, dtype = spec.lanes, spec.dtype
    first = k.mul(turn, lanes)
    with k.loop(0, rows) as row:
        channel = k.add(k.mul(number, lanes), row)
        for t, value in enumerate(_components(k, spec, channel, first, columns)):
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
                packed_place(k, spec, number, link, k.const(spec.chain)), k.mul(t, spec.component)
            )
            k.store(value, k.at(k.buffers[1], place, dtype))


def _components(
    k: Kernel, spec: WinogradPackSpec, channel: Value, first: Value, room: int
) -> list[Value]:
    """The 16 transformed vectors of one channel and `room` filters, zeros behind them."""
    side = 4 if spec.transformed else 3
    step = spec.channels * spec.filters
    start = k.at(k.buffers[0], k.add(k.mul(channel, spec.filters), first), spec.dtype)
    patch = [
        [
            k.widen(
                k.load_vector(k.at(start, (side * i + j) * step, spec.dtype), spec.dtype, room),
                spec.lanes,
            )
            for j in range(side)
        ]
        for i in range(side)
    ]
    components = patch if spec.transformed else both(k, weight_lines, patch)
    return [value for line in components for value in line]
