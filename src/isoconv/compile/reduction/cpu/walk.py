"""Sums over positions, channel by channel, in the order in which memory lies.

    for each vector of channels: p[0..7] = +0.0
    for position i:
        for each vector of channels: p[i mod 8] = p[i mod 8] + expression(i)
    for each vector of channels: combine p[0..7]

A block of channels whose partial sums are in registers reads a piece of every position and leaves
out the rest. Processors fetch ahead where addresses follow each other; elsewhere a core has some
twenty lines on the way at most, and waits. So all channels of a position are taken before the next
position, and their partial sums lie in the first cache: one more load and a store for each vector,
which is less than the waiting as long as they fit in there beside the operands. A team of threads
shares the channels; what its threads leave out they make up for by asking ahead themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isoconv.arithmetic.sums import PARTIALS
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.cpu.expression import Index, address
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.reduction.cpu.partials import combine
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.graph.ir import DTYPES

_AHEAD = 16 * 1024  # bytes of an operand between what is read and what is asked for
_ROOM = 12 * 1024  # bytes of partial sums that stay in the first cache beside what is read


def is_narrow(channels: int, block: int, spec: ReduceSpec) -> bool:
    """Whether channels are more than one block's and few enough for this.

    Args:
        channels: to be summed each by itself.
        block: channels whose partial sums fit in registers.
        spec: the reduction.
    """
    room = PARTIALS * len(spec.results) * channels * DTYPES[spec.dtype]
    return block < channels and room <= _ROOM


class Walk:
    """Emits such sums.

    Args:
        k: the kernel.
        spec: the reduction.
        operands: what it reads, by position and channel.
        channels: to be summed each by itself.
        lanes: of a vector.
        values: emits what is summed for each result, at (position, channel).
        store: emits the store of a result: its number, the sums, image 0, the first channel.
    """

    def __init__(
        self,
        k: Kernel,
        spec: ReduceSpec,
        operands: Sequence[Operand],
        channels: int,
        lanes: int,
        values: Callable[[Index], list[Value]],
        store: Callable[[int, Value, Value, Value], None],
    ) -> None:
        self._k, self._dtype, self._lanes = k, spec.dtype, lanes
        self._operands, self._values, self._store = operands, values, store
        self._results = len(spec.results)
        self._full, self._rest = divmod(channels, lanes)
        self._pitch = -(-channels // lanes) * lanes
        self._spilled = k.stack(spec.dtype, PARTIALS * len(spec.results) * self._pitch)
        self._begin, self._end, self._has_rest = k.share_blocks(self._full, self._rest)

    def run(self, length: Value) -> None:
        """Emit all of it, for so many positions."""
        k = self._k
        self._each(self._clear)
        with k.loop(0, length) as position:
            self._each(lambda channel, width: self._add(position, channel, width))
        self._each(self._finish)

    def _each(self, body: Callable[[Value, int], None]) -> None:
        """``body(first channel, lanes)`` for each vector of this thread's share."""
        k = self._k
        if self._full:
            with k.loop(self._begin, self._end) as vector:
                body(k.mul(vector, self._lanes), self._lanes)
        if self._rest:
            with k.when(self._has_rest):
                body(k.const(self._full * self._lanes), self._rest)

    def _place(self, result: int, partial: Value | int, channel: Value) -> Value:
        k = self._k
        row = k.mul(k.add(partial, result * PARTIALS), self._pitch)
        return k.at(self._spilled, k.add(row, channel), self._dtype)

    def _clear(self, channel: Value, width: int) -> None:
        k = self._k
        zero = k.splat_const(0.0, self._dtype, width)
        for result in range(self._results):
            for partial in range(PARTIALS):
                k.store(zero, self._place(result, partial, channel))

    def _add(self, position: Value, channel: Value, width: int) -> None:
        k = self._k
        partial = k.builder.and_(position, k.const(PARTIALS - 1))
        self._ask(position, channel, width)
        for result, term in enumerate(self._values(Index(k.const(0), (position, channel), width))):
            place = self._place(result, partial, channel)
            so_far = k.load_vector(place, self._dtype, width)
            k.store(k.builder.fadd(so_far, term), place)

    def _ask(self, position: Value, channel: Value, width: int) -> None:
        """Ask for what will be read some positions later."""
        k = self._k
        later = max(1, _AHEAD // (self._pitch * DTYPES[self._dtype]))
        there = Index(k.const(0), (k.add(position, later), channel), width)
        for operand in self._operands:
            if operand.strides[0]:
                k.prefetch(address(k, operand, there), level=2)

    def _finish(self, channel: Value, width: int) -> None:
        k = self._k
        for result in range(self._results):
            places = [self._place(result, partial, channel) for partial in range(PARTIALS)]
            total = combine(k, [k.load_vector(place, self._dtype, width) for place in places])
            self._store(result, total, k.const(0), channel)
