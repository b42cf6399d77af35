"""The pages of a Parquet file, which say themselves how much memory they take: checked before.

What a file says of itself, at its end and before each page, are structs in Thrift's compact
protocol (Apache Parquet, ``parquet.thrift``), of which a few fields are read here. pyarrow tells
them too, but of some damaged files it ends the process.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

from isoconv.memory import check_memory

MOST = 2**28
"""Bytes of the largest page that is taken, unpacked."""
_HEADER = 2**20
"""Bytes of the longest header of a page."""
_FOOTER = 2**25
"""Bytes of the longest end of a file that says what is in it."""
_EACH = 64
"""Bytes of memory for each byte of it, at most: of a struct with nothing in it."""
_LEVELS = 16
_TRUE, _FALSE, _BYTE, _WIDE, _TEXT, _STRUCT = 1, 2, 3, (4, 5, 6), 8, 12
_LISTS, _MAP = (9, 10), 11
_FIXED = {7: 8, 13: 16}
"""Bytes of values that always have as many: float64, as corners of regions have, and UUID."""

# Which fields are wanted, by their numbers: of numbers, texts, structs and lists.
_NUMBER = 0
_NAME = b""
_PAGE = {2: _NUMBER, 3: _NUMBER}
"""Bytes of a page, unpacked and packed."""
_COLUMN = {3: [_NAME], 7: _NUMBER, 9: _NUMBER, 11: _NUMBER}
"""Of a column in a group of rows: its path, its size, the places of its data and its dictionary."""
_FILE = {4: [{1: [{3: _COLUMN, 8: {}}], 3: _NUMBER}]}
"""The groups of rows: the columns of each, whether it is encrypted, and how many rows it has."""


def check_pages(file: BinaryIO, leaves: Sequence[str]) -> tuple[tuple[int, ...], int]:
    """See that the pages of some columns lie in the file and are not too large.

    Args:
        file: open, at any place.
        leaves: the columns' paths.

    Returns:
        The rows of each group of rows, and the bytes of the largest page, unpacked.

    Raises:
        ValueError: they do not, or are; the file does not say what is in it.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    end = file.seek(0, os.SEEK_END)
    largest = 0
    rows: list[int] = []
    for group in _footer(file, end).get(4, []):
        rows.append(group.get(3, -1))
        if rows[-1] < 0:
            raise ValueError("a group of rows must have as many as it says, or none")
        if not rows[-1]:
            # Nobody reads it, and what it says of its pages need not be so.
            continue
        for chunk in group.get(1, []):
            column = chunk.get(3, {})
            if b".".join(column.get(3, [])).decode("utf-8", "replace") in leaves:
                if 8 in chunk:
                    raise ValueError("its column is encrypted, and there is no way to give a key")
                largest = max(largest, _largest(file, column, end))
    needs = {"packed and unpacked": 2 * largest}
    check_memory("reading a page of the table", needs, "smaller pages")
    return tuple(rows), largest


def _footer(file: BinaryIO, end: int) -> dict[int, Any]:
    file.seek(max(0, end - 8))
    last = file.read(8)
    if len(last) < 8:
        raise ValueError("it must say at its end what is in it")
    (size,) = struct.unpack("<I", last[:4])
    if size > min(_FOOTER, end - 8):
        raise ValueError(f"what it says of itself must have at most {_FOOTER:,} bytes")
    needs = {"what it says of itself": _EACH * size}
    check_memory("reading a table", needs, "fewer groups of rows")
    file.seek(end - 8 - size)
    return _Compact(io.BytesIO(file.read(size)), size).fields(_FILE)


def _largest(file: BinaryIO, column: dict[int, Any], end: int) -> int:
    """Bytes of the largest page of one group's part of a column."""
    size, start, dictionary = (column.get(field, 0) for field in (7, 9, 11))
    if 0 < dictionary < start:
        start = dictionary
    if start < 0 or size < 0 or start + size > end:
        raise ValueError("a column must lie in the file; one ends behind it")
    last, largest = start + size, 0
    file.seek(start)
    while (place := file.tell()) < last:
        sizes = _Compact(file, _HEADER).fields(_PAGE)
        unpacked, packed = sizes.get(2, -1), sizes.get(3, -1)
        if not 0 <= unpacked <= MOST:
            raise ValueError(f"a page must have at most {MOST:,} bytes; one says {unpacked:,}")
        if packed < 0 or file.tell() + packed > last:
            raise ValueError(f"a page at {place:,} must end where its column does, or before")
        largest = max(largest, unpacked)
        file.seek(packed, os.SEEK_CUR)
    return largest


class _Compact:
    """Structs of Thrift's compact protocol.

    Args:
        file: at the first byte of one.
        most: bytes that may be read.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._left = most

    def _bytes(self, count: int) -> bytes:
        self._left -= count
        found = self._file.read(count) if count >= 0 and self._left >= 0 else b""
        if len(found) < count or self._left < 0:
            raise ValueError("what it says of itself is damaged, or too long")
        return found

    def _number(self) -> int:
        """Seven bits a byte, the lowest first."""
        found = 0
        for shift in range(0, 70, 7):
            byte = self._bytes(1)[0]
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
        raise ValueError("a number in what it says of itself is too long")

    def _signed(self) -> int:
        found = self._number()
        return (found >> 1) ^ -(found & 1)

    def fields(self, wanted: dict[int, Any], level: int = 0) -> dict[int, Any]:
        """Those fields of a struct that are wanted and there, by their numbers."""
        found: dict[int, Any] = {}
        number = 0
        while byte := self._bytes(1)[0]:
            number = number + (byte >> 4) if byte >> 4 else self._signed()
            value = self._value(byte & 0xF, wanted.get(number), level, alone=False)
            if value is not None:
                found[number] = value
        return found

    def _value(self, kind: int, wanted: Any, level: int, *, alone: bool) -> Any:
        """A value, or None behind one that is not wanted, or is of another kind.

        One that stands alone is part of a list, where bits take a byte.
        """
        if level > _LEVELS:
            raise ValueError("what it says of itself has too many levels")
        if kind in (_TRUE, _FALSE):
            self._bytes(1 if alone else 0)
        elif kind == _BYTE:
            self._bytes(1)
        elif kind in _FIXED:
            self._bytes(_FIXED[kind])
        elif kind in _WIDE:
            number = self._signed()
            return number if wanted == _NUMBER and wanted is not None else None
        elif kind == _TEXT:
            text = self._bytes(self._number())
            return text if wanted == _NAME else None
        elif kind == _STRUCT:
            inner = self.fields(wanted if isinstance(wanted, dict) else {}, level + 1)
            return inner if isinstance(wanted, dict) else None
        elif kind in _LISTS:
            head = self._bytes(1)[0]
            count = head >> 4 if head >> 4 < 0xF else self._number()
            each = wanted[0] if isinstance(wanted, list) else None
            values = [
                value
                for _ in range(count)
                if (value := self._value(head & 0xF, each, level + 1, alone=True)) is not None
            ]
            return values if isinstance(wanted, list) else None
        elif kind == _MAP:
            count = self._number()
            kinds = self._bytes(1)[0] if count else 0
            for _ in range(count):
                self._value(kinds >> 4, None, level + 1, alone=True)
                self._value(kinds & 0xF, None, level + 1, alone=True)
        else:
            raise ValueError(f"what it says of itself has a value of unknown kind {kind}")
        return None
