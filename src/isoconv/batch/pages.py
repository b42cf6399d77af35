"""The pages of a Parquet file, which say themselves how much memory they take: checked before.

Each page stands behind a header in Thrift's compact protocol (Apache Parquet, ``parquet.thrift``):
its kind, its size unpacked and packed, and what no reader needs here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from isoconv.memory import check_memory

__all__ = ["MOST", "check_pages"]

MOST = 2**28
"""Bytes of the largest page that is taken, unpacked."""
_HEADER = 2**20
"""Bytes of the longest header of a page."""
_LEVELS = 8
_UNPACKED, _PACKED = 2, 3
"""Numbers of the fields with the sizes of a page."""
_TRUE, _FALSE, _BYTE, _WIDE, _TEXT, _STRUCT = 1, 2, 3, (4, 5, 6), 8, 12
_LISTS = (9, 10)


def check_pages(file: BinaryIO, metadata: Any, leaves: Sequence[str]) -> int:
    """See that the pages of some columns lie in the file and are not too large.

    Args:
        file: open, at any place.
        metadata: of the file, as pyarrow gives it.
        leaves: the columns' paths.

    Returns:
        Bytes of the largest page, unpacked.

    Raises:
        ValueError: they do not, or are.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    end = file.seek(0, os.SEEK_END)
    largest = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in leaves:
                largest = max(largest, _largest(file, column, end))
    check_memory(
        "reading a page of the table", {"packed and unpacked": 2 * largest}, "a smaller page"
    )
    return largest


def _largest(file: BinaryIO, column: Any, end: int) -> int:
    """Bytes of the largest page of one group's part of a column."""
    start, size = column.data_page_offset, column.total_compressed_size
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    if start < 0 or size < 0 or start + size > end:
        raise ValueError("a column must lie in the file; one ends behind it")
    last, largest = start + size, 0
    file.seek(start)
    while (place := file.tell()) < last:
        sizes = _Header(file).fields()
        unpacked, packed = sizes.get(_UNPACKED, -1), sizes.get(_PACKED, -1)
        if not 0 <= unpacked <= MOST:
            raise ValueError(f"a page must have at most {MOST:,} bytes; one says {unpacked:,}")
        if packed < 0 or file.tell() + packed > last:
            raise ValueError(f"a page at {place:,} must end where its column does, or before")
        largest = max(largest, unpacked)
        file.seek(packed, os.SEEK_CUR)
    return largest


class _Header:
    """A struct of Thrift's compact protocol, of which whole numbers are wanted."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _HEADER

    def _bytes(self, count: int) -> bytes:
        self._left -= count
        found = self._file.read(count) if count >= 0 and self._left >= 0 else b""
        if len(found) < count or self._left < 0:
            raise ValueError("the header of a page is damaged, or too long")
        return found

    def _number(self) -> int:
        """Seven bits a byte, the lowest first."""
        found = 0
        for shift in range(0, 70, 7):
            byte = self._bytes(1)[0]
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
        raise ValueError("a number in the header of a page is too long")

    def _signed(self) -> int:
        found = self._number()
        return (found >> 1) ^ -(found & 1)

    def fields(self, level: int = 0) -> dict[int, int]:
        """The whole numbers of a struct by the numbers of their fields; the rest is passed by."""
        found: dict[int, int] = {}
        number = 0
        while byte := self._bytes(1)[0]:
            number = number + (byte >> 4) if byte >> 4 else self._signed()
            kind = byte & 0xF
            if kind in _WIDE:
                found[number] = self._signed()
            else:
                self._pass(kind, level, alone=False)
        return found

    def _pass(self, kind: int, level: int, *, alone: bool) -> None:
        """Go behind a value; one that stands alone is part of a list, where bits take a byte."""
        if level > _LEVELS:
            raise ValueError("the header of a page has too many levels")
        if kind in (_TRUE, _FALSE):
            self._bytes(1 if alone else 0)
        elif kind == _BYTE:
            self._bytes(1)
        elif kind in _WIDE:
            self._number()
        elif kind == _TEXT:
            self._bytes(self._number())
        elif kind == _STRUCT:
            self.fields(level + 1)
        elif kind in _LISTS:
            head = self._bytes(1)[0]
            for _ in range(head >> 4 if head >> 4 < 0xF else self._number()):
                self._pass(head & 0xF, level + 1, alone=True)
        else:
            raise ValueError(f"the header of a page has a value of unknown kind {kind}")
