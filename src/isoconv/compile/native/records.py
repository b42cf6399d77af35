"""Records in memory that Python and native code share: each has one layout, and it stands here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from isoconv.compile.native.loops import Kernel, Value

_LINE = 64  # bytes of a cache line, so that threads that write do not disturb each other


@dataclass(frozen=True, slots=True)
class Record:
    """A record's layout.

    Attributes:
        dtype: as NumPy has it.
    """

    dtype: np.dtype[Any]

    def at(self, k: Kernel, record: Value, field: str) -> Value:
        """Address of a field of the record at an address."""
        kind, offset = self._field(field)
        return k.at(record, offset // kind.itemsize, kind.name)

    def load(self, k: Kernel, record: Value, field: str) -> Value:
        """What a field holds."""
        return k.load_scalar(self.at(k, record, field), self._field(field)[0].name)

    def beyond(self, k: Kernel, record: Value, number: Value | int) -> Value:
        """Address of the record that comes so many behind another one."""
        size = self.dtype.itemsize
        offset = number * size if isinstance(number, int) else k.mul(number, size)
        return k.at(record, offset, "uint8")

    def zeros(self, count: int) -> NDArray[Any]:
        """So many records that hold zeros, from the beginning of a cache line on."""
        room = np.zeros(count * self.dtype.itemsize + _LINE, np.uint8)
        start = -room.ctypes.data % _LINE
        return room[start : start + count * self.dtype.itemsize].view(self.dtype)

    def _field(self, name: str) -> tuple[np.dtype[Any], int]:
        fields: Any = self.dtype.fields
        kind, offset = fields[name][:2]
        return kind, offset


def _record(kind: str, *fields: str, size: int | None = None) -> Record:
    kinds = [kind] * len(fields)
    each = np.dtype(kind).itemsize
    offsets = [each * place for place in range(len(fields))]
    size = size or each * len(fields)
    return Record(
        np.dtype({"names": fields, "formats": kinds, "offsets": offsets, "itemsize": size})
    )


BARRIER = _record("int32", "arrived", "generation", "threads", "allowed", "late", size=_LINE)
"""How many have arrived, the generation, how many come, and how patient they are (`Patience`).

A generation is an even number; one more says that some sleep until the next one begins.
"""
WAKE_FLAG = _record("int32", "flag", "before", "allowed", "late", size=_LINE)
"""What a thread that waits for work looks at, what stood there before, and how patient it is."""
ARGUMENTS = _record("int64", "script", "control", "barrier", size=_LINE)
"""What a run of a script is called with: addresses."""
CONTROL = _record("int64", "turns", "stop", size=_LINE)
"""How often a script runs, and whether it ends at the next instruction that has its check set."""
INSTRUCTION = _record("int64", "kernel", "arguments", "context", "check")
"""A kernel call in a script: addresses, and whether the script may end after it."""
