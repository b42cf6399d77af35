"""Tar archives as a stream: headers of bounded length, and the bytes of the wanted files.

An archive is a row of blocks of 512 bytes: for each entry a header, then its content. The format is
POSIX's ``ustar`` and ``pax``, with GNU's long names and large numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.files import file_error, read_into
from isoconv.files import PIECE
from isoconv.printable import printable

BLOCK = 512
MEMBERS = 1000
"""Entries of the largest archive that is read; CIFAR's have at most 10."""
NAME = 1 << 16
"""Bytes of the longest header of one entry's name and the like."""
NAMES = 1 << 20
"""Bytes of all such headers."""

PADDING = 1 << 24
"""Bytes of the longest end: archives are filled up to the blocks of a tape."""

_FILES = frozenset((b"0", b"\0", b"7"))
_PAX, _PAX_FOR_ALL, _LONG_NAME, _SPARSE = b"x", b"g", b"L", b"S"
_DESCRIBING = frozenset((_PAX, _PAX_FOR_ALL, _LONG_NAME, b"K", b"X"))
"""Entries that say something of others, and are none themselves."""
_EMPTY = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
"""Links, devices, folders and pipes: they have no content, whatever size they have."""
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_RECORD = re.compile(rb"(\d{1,6}) ([^=\n]+)=")


@dataclass(slots=True)
class Member:
    """A regular file in an archive; its content is there until the next one is asked for.

    Attributes:
        name: with its path, as the archive spells it.
        size: bytes.
        content: what `read` has read.
    """

    name: str
    size: int
    _stream: IO[bytes]
    _where: str
    content: NDArray[np.uint8] | None = None

    def read(self) -> NDArray[np.uint8]:
        """The file's bytes.

        Raises:
            DataFileError: the archive ends before.
            NotEnoughMemoryError: there is not enough memory for them.
        """
        if self.content is None:
            what = f"entry {printable(self.name)[:200]}"
            self.content = read_into(self._stream, self.size, self._where, what)
        return self.content


def members(stream: IO[bytes], where: str, most: int) -> Iterator[Member]:
    """The regular files of an archive, in order.

    Args:
        stream: of the archive, already decompressed.
        where: it is, for messages; printable.
        most: bytes of the longest file, and a quarter of those of the whole archive.

    Raises:
        DataFileError: the archive is truncated, corrupt or foreign, or beyond a bound.
    """
    told: dict[str, Any] = {}
    passed = headers = 0
    for count in range(MEMBERS + 1):
        header = _header(stream, where)
        if header is None:
            if count == 0 or told:
                raise file_error(where, "a tar archive with entries", "none, or a last one cut off")
            _check_end(stream, where)
            return
        if count == MEMBERS:
            raise file_error(where, f"at most {MEMBERS} entries", "more")
        kind = header[156:157]
        size = _number(header[124:136], where) if kind not in _EMPTY else 0
        if kind in _DESCRIBING:
            if size > NAME:
                raise file_error(where, f"headers of at most {NAME} bytes", f"one of {size}")
            headers += size
            if headers > NAMES:
                raise file_error(where, f"headers of at most {NAMES} bytes in all", "more")
            content = read_into(stream, size, where, "a header").tobytes()
            _skip(stream, -size % BLOCK, where)
            told.update(_told(kind, content, where))
            continue
        name = told.pop("path", None) or _name(header)
        size = told.pop("size", size)
        if size > most:
            found = f"{printable(name)[:200]} of {size} bytes"
            raise file_error(where, f"entries of at most {most} bytes", found)
        passed += size
        if passed > 4 * most:
            raise file_error(where, f"at most {4 * most} bytes in all", "more")
        if kind == _SPARSE or told.pop("sparse", False):
            raise file_error(where, "files without holes", f"{printable(name)[:200]} with holes")
        member = Member(name, size, stream, where)
        if kind in _FILES and not name.endswith("/"):
            yield member
        left = -size % BLOCK if member.content is not None else size + -size % BLOCK
        _skip(stream, left, where)


def _header(stream: IO[bytes], where: str) -> bytes | None:
    """The next header; None at the end of the archive."""
    block = _block(stream, where)
    if not block.strip(b"\0"):
        return None
    # The sum of all bytes, with spaces for the sum itself. Some wrote the sum of signed bytes.
    rest = np.frombuffer(block[:148] + b" " * 8 + block[156:], np.uint8)
    written = _number(block[148:156], where)
    if written not in (int(rest.sum()), int(rest.view(np.int8).sum())):
        raise file_error(where, "a tar archive", "a header with another sum: corrupt or foreign")
    return block


def _check_end(stream: IO[bytes], where: str) -> None:
    """See that nothing but zeros follows; at the end of all, gzip compares its checksum."""
    behind = 0
    while piece := stream.read(PIECE):
        behind += len(piece)
        if behind > PADDING or piece.strip(b"\0"):
            raise file_error(where, f"at most {PADDING} zeros behind the last entry", "more")


def _block(stream: IO[bytes], where: str) -> bytes:
    block = b""
    while len(block) < BLOCK and (piece := stream.read(BLOCK - len(block))):
        block += piece
    if 0 < len(block) < BLOCK:
        raise file_error(where, f"a header of {BLOCK} bytes", f"{len(block)}: it is truncated")
    return block


def _skip(stream: IO[bytes], size: int, where: str) -> None:
    while size:
        piece = stream.read(min(PIECE, size))
        if not piece:
            raise file_error(where, f"{size} more bytes", "the end: it is truncated")
        size -= len(piece)


def _number(field: bytes, where: str) -> int:
    """A number in octal, or GNU's large ones with the first bit set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    found = _OCTAL.fullmatch(field)
    if found is None:
        raise file_error(where, "a tar archive", f"the number {field!r}: corrupt or foreign")
    return int(found[1] or b"0", 8)


def _name(header: bytes) -> str:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def _told(kind: bytes, content: bytes, where: str) -> dict[str, Any]:
    """What an entry says of those that follow."""
    if kind == _LONG_NAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    found: dict[str, Any] = {}
    if kind == _PAX:
        place = 0
        while place < len(content) and content[place]:
            record = _RECORD.match(content, place)
            end = place + int(record[1]) if record else 0
            if record is None or not record.end() < end + 1 <= len(content) + 1:
                raise file_error(where, "a pax header of records", "another: corrupt or foreign")
            value = content[record.end() : end - 1]
            if record[2] == b"path":
                found["path"] = value.decode("utf-8", "surrogateescape")
            elif record[2] == b"size":
                found["size"] = _size(value, where)
            elif record[2].startswith(b"GNU.sparse"):
                found["sparse"] = True
            place = end
    return found


def _size(value: bytes, where: str) -> int:
    if re.fullmatch(rb"\d{1,18}", value) is None:
        raise file_error(where, "a size in a pax header", f"{value[:40]!r}")
    return int(value)
