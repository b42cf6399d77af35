"""The plan of memory: which buffers of a shard's arena may share the same bytes.

A buffer lives from the first call that writes it to the last call that reads it. Buffers are
placed largest first, each at the lowest offset at which no living neighbour is in the way. Buffers
with a halo of zeros share memory only with buffers of the very same shape and halo, so that
the zeros written when the arena was made stay zeros.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isoconv.compile.calls import Call
from isoconv.compile.layout import ALIGNMENT, Buffer

__all__ = ["Plan", "make_plan", "region_offsets", "scratch_size"]

_SLACK = 256  # bytes after the last buffer: vectors may be loaded a little past the end


@dataclass(frozen=True, slots=True)
class Plan:
    """Offsets in bytes of every arena buffer, and the arena's size."""

    offsets: Mapping[Buffer, int]
    size: int


def region_offsets(buffers: Iterable[Buffer]) -> tuple[dict[Buffer, int], int]:
    """Buffers one behind the other, for a region in which everything lives on."""
    offsets: dict[Buffer, int] = {}
    size = 0
    for buffer in dict.fromkeys(buffers):
        offsets[buffer] = size
        size += _rounded(buffer.bytes)
    return offsets, size + _SLACK


def scratch_size(calls: Iterable[Call]) -> int:
    """Bytes of scratch memory that a thread needs for any one of these calls."""
    buffers = (buffer for call in calls for buffer in call.buffers if buffer.region == "scratch")
    return max((buffer.start + buffer.bytes for buffer in buffers), default=0) + _SLACK


def make_plan(calls: Sequence[Call], capacity: int) -> Plan:
    """Place the arena buffers of these calls for shards of up to `capacity` images."""
    lives: dict[Buffer, tuple[int, int]] = {}
    for time, call in enumerate(calls):
        for buffer in call.buffers:
            if buffer.region == "arena":
                first, _ = lives.get(buffer, (time, time))
                lives[buffer] = (first, time)
    slots = _halo_slots(lives, capacity)
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; in order
    offsets: dict[Buffer, int] = {}
    order = sorted(slots, key=lambda slot: (-slot.size, slot.first))
    for slot in order:
        offset = _lowest(slot, placed)
        insort(placed, (offset, offset + slot.size, slot.first, slot.last))
        for buffer in slot.buffers:
            offsets[buffer] = offset
    size = max((end for _, end, _, _ in placed), default=0)
    return Plan(offsets, size + _SLACK)


@dataclass(slots=True)
class _Slot:
    """Bytes that one buffer, or several ones with a halo in turn, keep for themselves."""

    buffers: list[Buffer]
    size: int
    first: int
    last: int


def _halo_slots(lives: Mapping[Buffer, tuple[int, int]], capacity: int) -> list[_Slot]:
    slots: list[_Slot] = []
    shared: dict[tuple[str, int], list[tuple[_Slot, int]]] = {}
    for buffer, (first, last) in sorted(lives.items(), key=lambda item: item[1]):
        size = _rounded(buffer.bytes * (capacity if buffer.batched else 1))
        if not buffer.halo:
            slots.append(_Slot([buffer], size, first, last))
            continue
        # The zeros must stay, so nobody else may use these bytes at any time.
        candidates = shared.setdefault((buffer.halo, size), [])
        for number, (slot, busy) in enumerate(candidates):
            if busy < first:
                slot.buffers.append(buffer)
                candidates[number] = (slot, last)
                break
        else:
            slot = _Slot([buffer], size, -1, 1 << 62)
            candidates.append((slot, last))
            slots.append(slot)
    return slots


def _lowest(slot: _Slot, placed: Sequence[tuple[int, int, int, int]]) -> int:
    """The lowest offset at which nothing that lives at the same time is in the way."""
    offset = 0
    for start, end, first, last in placed:
        if last < slot.first or first > slot.last:
            continue
        if offset + slot.size <= start:
            break
        offset = max(offset, end)
    return offset


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
