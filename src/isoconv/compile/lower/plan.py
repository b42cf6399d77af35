"""The plan of memory: where buffers lie, and which of a shard's arena may share the same bytes.

A buffer lives from the first call that writes it to the last call that reads it. Buffers are
placed largest first, each at the lowest offset at which no living neighbour is in the way. Buffers
with a halo of zeros share memory only with buffers of the very same shape and halo, so that
the zeros written when the arena was made stay zeros. Scratch memory is for one call at a time;
packed weights live on, one behind the other.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isoconv.compile.calls import Call
from isoconv.compile.layout import ALIGNMENT, Buffer

_SLACK = 256  # bytes after the last buffer: vectors may be loaded a little past the end


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the buffers of some calls lie in memory that belongs to them alone.

    Attributes:
        offsets: of each buffer in an arena, in scratch memory or among packed weights: bytes from
            the first of the region.
        arena: bytes of an arena.
        scratch: bytes of scratch memory that a thread needs for any one of the calls.
        packed: bytes of all packed weights, which live on.
    """

    offsets: Mapping[Buffer, int]
    arena: int
    scratch: int
    packed: int


def make_plan(calls: Sequence[Call], capacity: int) -> Plan:
    """Place the buffers of these calls for shards of up to `capacity` images."""
    lives: dict[Buffer, tuple[int, int]] = {}
    offsets: dict[Buffer, int] = {}
    scratch = packed = 0
    for time, call in enumerate(calls):
        for buffer in call.buffers:
            if buffer.region == "arena":
                first, _ = lives.get(buffer, (time, time))
                lives[buffer] = (first, time)
            elif buffer.region == "scratch":
                offsets[buffer] = 0
                scratch = max(scratch, buffer.start + buffer.bytes)
            elif buffer.region == "packed" and buffer not in offsets:
                offsets[buffer] = packed
                packed += _rounded(buffer.bytes)
    allocations = _halo_allocations(lives, capacity)
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; in order
    order = sorted(allocations, key=lambda allocation: (-allocation.size, allocation.first))
    for allocation in order:
        offset = _lowest(allocation, placed)
        insort(placed, (offset, offset + allocation.size, allocation.first, allocation.last))
        for buffer in allocation.buffers:
            offsets[buffer] = offset
    arena = max((end for _, end, _, _ in placed), default=0)
    return Plan(offsets, arena + _SLACK, scratch + _SLACK, packed + _SLACK)


@dataclass(slots=True)
class _Allocation:
    """Bytes that one buffer, or several ones with a halo in turn, keep for themselves."""

    buffers: list[Buffer]
    size: int
    first: int
    last: int


def _halo_allocations(lives: Mapping[Buffer, tuple[int, int]], capacity: int) -> list[_Allocation]:
    allocations: list[_Allocation] = []
    shared: dict[tuple[str, int], list[tuple[_Allocation, int]]] = {}
    for buffer, (first, last) in sorted(lives.items(), key=lambda item: item[1]):
        size = _rounded(buffer.bytes * (capacity if buffer.batched else 1))
        if not buffer.halo:
            allocations.append(_Allocation([buffer], size, first, last))
            continue
        # The zeros must stay, so nobody else may use these bytes at any time.
        candidates = shared.setdefault((buffer.halo, size), [])
        for number, (allocation, busy) in enumerate(candidates):
            if busy < first:
                allocation.buffers.append(buffer)
                candidates[number] = (allocation, last)
                break
        else:
            allocation = _Allocation([buffer], size, -1, 1 << 62)
            candidates.append((allocation, last))
            allocations.append(allocation)
    return allocations


def _lowest(allocation: _Allocation, placed: Sequence[tuple[int, int, int, int]]) -> int:
    """The lowest offset at which nothing that lives at the same time is in the way."""
    offset = 0
    for start, end, first, last in placed:
        if last < allocation.first or first > allocation.last:
            continue
        if offset + allocation.size <= start:
            break
        offset = max(offset, end)
    return offset


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
