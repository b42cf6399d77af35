"""An open packed data set, and rows of it: read where they lie, and checked.

A block's digest is checked when the block is first used, once in a process: whoever goes through
all images, as a training does before its first step, has checked them all. From then on the file
must stay as it is. Its length and the time of its last change are looked at before and after every
read, so that nothing that was read of another file gets into a result; where it was only touched
(renamed, say), its digests are checked anew.

Python reads the file into memory of its own, where a file that is cut is no more than a short read.
Native code reads it where it is mapped; what happens to it there is told in
``compile/native/lost_pages.py``.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from isoconv.data.files import bad_file, file_error
from isoconv.data.pack_layout import BLOCK, PAGE, Area, Layout
from isoconv.errors import DataFileError
from isoconv.files import open_file, read_at
from isoconv.memory import available_memory, can_give, check_memory
from isoconv.printable import printable
from isoconv.rows import Array, Numbers, Rows, neighbours

Rowed = Literal["images", "labels"]
"""What there is a row of for each sample."""

HELD = 1 << 28
"""Bytes of a mapped file that count as this process's memory at most, about."""
_PIECE = 1 << 30
"""Bytes that are read in one call; systems give no more than 2 GiB."""
_LARGE = 2
"""A file of more than this part of the memory that there is does not stay in it."""


class _State(NamedTuple):
    """What tells whether a file was changed.

    Attributes:
        size: its bytes.
        written: when they were changed last, as anybody may set it.
        touched: when anything of it was, its name too, as the system alone sets it.
    """

    size: int
    written: int
    touched: int


class PackFile:
    """An open packed data set.

    Args:
        path: of the file.

    Attributes:
        layout: what it says of itself.
        sha256: digest of the whole, in hexadecimal.
        size: its bytes.
        large: it does not stay in memory once it was read.
        images: all of them where they are mapped, for native code alone.
        labels: likewise.
        state: size and times of the file as which its digests were checked.
        lost: a part of what is mapped is no longer there.

    Raises:
        DataFileError: it is damaged, foreign, or cannot be mapped.
        NotEnoughMemoryError: there is no memory for its description.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._where = printable(path)
        try:
            file = open_file(path)
        except OSError as error:
            raise bad_file(path, f"cannot be opened: {error.strerror or error}") from error
        with file:
            # Whoever replaces the file by another leaves this one as it is.
            self._handle = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._handle)
            self.state = self._now()
            self.size = self.state.size
            try:
                found = Layout.read(file, self.size, self._where)
            except DataFileError as error:
                raise error.within(path=path) from None
            self.layout, self._data, self._table, whole = found
            self.sha256 = whole.hex()
            if self.layout.images.dtype != "uint8" and sys.byteorder != "little":
                raise bad_file(path, "floats in packed data sets are for little-endian machines")
            try:
                self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
            except (OSError, ValueError, OverflowError) as error:
                raise bad_file(path, f"cannot be mapped into memory: {error}") from error
        self._right = np.zeros(-(-self._data // BLOCK), bool)
        self.images, self.labels = (self._mapped(area) for area in self._areas.values())
        memory = available_memory()
        self.large = memory is not None and self.size > memory // _LARGE
        self.lost = False
        self._touched = 0
        if self.large:
            # What lies beside a picture is not wanted, and would push out what is.
            self._advise("MADV_RANDOM", 0, self.size)
        can_give(self)

    @property
    def _areas(self) -> Mapping[Rowed, Area]:
        return {"images": self.layout.images, "labels": self.layout.labels}

    def _mapped(self, area: Area) -> Array:
        content = np.frombuffer(self._map, np.uint8, area.bytes, PAGE + area.start)
        return content.view(_little(area)).reshape(area.shape)

    def _now(self) -> _State:
        found = os.fstat(self._handle)
        return _State(found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def check_unchanged(self) -> None:
        """See that nobody has written to the file since it was opened.

        Raises:
            DataFileError: somebody has.
        """
        now = self._now()
        if now.size != self.size:
            raise file_error(self.path, f"{self.size} bytes, as when it was opened", f"{now.size}")
        if now.written != self.state.written:
            raise bad_file(self.path, "was written to while it is read: load it anew")
        if now.touched != self.state.touched:
            # Of another name or owner by now, or written to by somebody who set the time back.
            self._right[:] = False
            self.state = now

    def read(self, start: int, size: int) -> Array:
        """Bytes of the data, uint8 in memory of its own.

        Args:
            start: the first of them.
            size: how many.

        Raises:
            DataFileError: the file has become shorter, or cannot be read.
        """
        found = np.empty(size, np.uint8)
        self._read_into(found, start)
        return found

    def _read_into(self, target: Array, start: int) -> None:
        """Fill bytes in memory with those of the data."""
        done = 0
        while done < len(target):
            piece = target[done : done + _PIECE].data
            try:
                count = read_at(self._handle, piece, PAGE + start + done)
            except OSError as error:
                raise bad_file(self.path, f"cannot be read: {error.strerror or error}") from error
            if not count:
                self.check_unchanged()
                raise file_error(self.path, f"{self.size} bytes", "fewer as it is read")
            done += count

    def places(self, what: Rowed, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """The first and the last byte of some of the images or labels."""
        area = self._areas[what]
        each = area.bytes // area.shape[0]
        first = area.start + each * numbers
        return first, first + (each - 1)

    def rows(self, what: Rowed, numbers: Numbers) -> Array:
        """Some of the images or labels, in memory of their own and checked.

        Raises:
            DataFileError: a block is damaged, or the file was changed.
        """
        area = self._areas[what]
        each = area.bytes // area.shape[0]
        found = np.empty((len(numbers), *area.shape[1:]), area.dtype)
        content = found.reshape(-1).view(np.uint8)
        first, last = self.places(what, numbers)
        before = None
        while before != self.state:
            before = self.state
            self.check_unchanged()
            self.check_bytes(first, last)
            for begin, end in neighbours(numbers):
                self._read_into(content[each * begin : each * end], int(first[begin]))
            # What was read is what was checked.
            self.check_unchanged()
        return found

    def check_bytes(self, first: Numbers, last: Numbers) -> None:
        """See that blocks are what they were when they were packed; those that were seen are.

        Args:
            first: first bytes of some pieces of the data, in any order.
            last: their last bytes.

        Raises:
            DataFileError: a block has another digest.
        """
        if self._right.all():
            return
        marks = np.zeros(len(self._right) + 1, np.int64)
        np.add.at(marks, first // BLOCK, 1)
        np.add.at(marks, last // BLOCK + 1, -1)
        wanted = (np.cumsum(marks)[:-1] > 0) & ~self._right
        for number in np.flatnonzero(wanted).tolist():
            reason = self.fault(number)
            if reason:
                raise bad_file(self.path, f"{reason}; pack it anew from its source")
            self._right[number] = True

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self._right)

    def fault(self, number: int) -> str:
        """What is wrong with a block; "" for nothing."""
        start = BLOCK * number
        end = min(start + BLOCK, self._data)
        if self.large:
            self.fetch(start, end - 1)
        content = self.read(start, end - start)
        images = self.layout.images
        each = images.bytes // images.shape[0]
        first = max(0, start - images.start) // each
        last = min(images.shape[0] - 1, (end - 1 - images.start) // each)
        named = f"block {number} (bytes {PAGE + start} to {PAGE + end - 1}"
        named += f", of images {first} to {last})" if last >= first else ")"
        if hashlib.sha256(content.data).digest() != self._table[32 * number : 32 * number + 32]:
            return f"{named} is damaged: its SHA-256 is not the one that it was packed with"
        if images.dtype == "float32":
            # Labels and paths that lie in it too are no floats, and -1 would be NaN.
            begin, end = (
                max(0, edge - start) for edge in (images.start, images.start + images.bytes)
            )
            inside = content[begin:end]
            if not np.isfinite(inside.view("<f4")).all():
                return f"{named} holds numbers that are not finite"
        return ""

    def numbers(self, area: Area) -> Array:
        """An array's elements, in memory and checked.

        Raises:
            DataFileError: a block is damaged.
            NotEnoughMemoryError: there is no memory for them.
        """
        check_memory(f"reading {self._where}", {"an array": area.bytes}, "a smaller file")
        self.check_bytes(np.array([area.start]), np.array([area.start + area.bytes - 1]))
        content = self.read(area.start, area.bytes)
        self.check_unchanged()
        return content.view(_little(area)).reshape(area.shape).astype(area.dtype, copy=False)

    def touch(self, size: int) -> None:
        """So many bytes of the images are read; what was read long ago need not be held."""
        self._touched += size
        if self._touched > HELD:
            self.give_back()
            self._touched = size

    def give_back(self) -> None:
        """Hold none of it.

        It stays in the system's memory for files, and comes back from there without the disk.
        """
        self._touched = 0
        self._advise("MADV_DONTNEED", 0, self.size)

    def fetch(self, first: int, last: int) -> None:
        """Bytes of the data that will be read soon."""
        begin = (PAGE + first) // mmap.PAGESIZE * mmap.PAGESIZE
        self._advise("MADV_WILLNEED", begin, PAGE + last + 1 - begin)

    def _advise(self, advice: str, start: int, size: int) -> None:
        if hasattr(self._map, "madvise") and hasattr(mmap, advice):
            self._map.madvise(getattr(mmap, advice), start, size)


class PackedRows(Rows):
    """Images or labels of a packed data set.

    Args:
        file: that they lie in.
        numbers: int64 ``(N,)``, which of its samples they are of.
        what: they are.
    """

    mapped = True

    def __init__(self, file: PackFile, numbers: Numbers, what: Rowed = "images") -> None:
        super().__init__(file.images if what == "images" else file.labels, numbers)
        self.file, self.what = file, what
        self._each = self.base.nbytes // len(self.base)

    def _like(self, numbers: Numbers) -> Self:
        return type(self)(self.file, numbers, self.what)

    def __reduce__(self) -> tuple[Any, ...]:
        # To another process goes where they lie, and not what lies there.
        return _again, (str(self.file.path), self.file.sha256, self.numbers, self.what)

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.file.path,)

    def _places(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        return self.file.places(self.what, numbers)

    def _are_a_view(self) -> bool:
        # What somebody holds must stay what it is, whatever becomes of the file.
        return False

    def _read(self, numbers: Numbers) -> Array:
        self._check_room(len(numbers))
        self._fetch(numbers)
        found = self.file.rows(self.what, numbers)
        found.flags.writeable = False
        return found

    def chunks(self) -> Iterator[Array]:
        """All images, some at a time; those that come next are asked for."""
        done = 0
        for part in super().chunks():
            done += len(part)
            self._fetch(self.numbers[done : done + len(part)])
            yield part

    def ready(self) -> None:
        """See that the file is as it was, and its blocks as they were packed.

        Raises:
            DataFileError: they are not.
        """
        self.file.check_unchanged()
        self.file.check_bytes(*self._places(self.numbers))

    def used(self, *, lost: bool = False) -> None:
        """See that the file stayed as it was while native code read it.

        Args:
            lost: the system could not give some of it.

        Raises:
            DataFileError: it did not.
        """
        before = self.file.state
        self.file.check_unchanged()
        if lost:
            self.file.lost = True
            reason = "a part of it was lost while it was read: it was cut, or its disk fails"
            raise bad_file(self.file.path, reason)
        if self.file.state != before:
            self.file.check_bytes(*self._places(self.numbers))

    @property
    def at_once(self) -> int:
        """No more than may be held."""
        return max(1, HELD // max(self._each, PAGE))

    def expect(self, numbers: Numbers) -> None:
        """These images of the file are read next.

        Raises:
            DataFileError: a block of theirs is damaged.
        """
        self.file.touch(max(self._each, PAGE) * len(numbers))
        self._fetch(numbers)
        self.file.check_bytes(*self._places(numbers))

    def _fetch(self, numbers: Numbers) -> None:
        """Have the disk begin with images that are not in memory; neighbours come together."""
        if not self.file.large or not len(numbers):
            return
        first, last = self._places(numbers)
        for begin, end in neighbours(numbers):
            self.file.fetch(int(first[begin]), int(last[end - 1]))


def _little(area: Area) -> np.dtype[Any]:
    """Of an array's elements, as the file has them."""
    return np.dtype(area.dtype).newbyteorder("<")


_OPEN: weakref.WeakValueDictionary[tuple[Any, ...], PackFile] = weakref.WeakValueDictionary()


def open_pack(path: Path) -> PackFile:
    """A packed data set, opened once for all who read it.

    Raises:
        DataFileError: it is damaged, foreign, or cannot be opened.
        NotEnoughMemoryError: there is no memory for its description.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise bad_file(path, f"cannot be opened: {error.strerror or error}") from error
    key = path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    found = _OPEN.get(key)
    if found is None or found.lost:
        found = _OPEN[key] = PackFile(path)
    return found


def _again(path: str, sha256: str, numbers: Numbers, what: Rowed = "images") -> PackedRows:
    """Images or labels of a file that another process has open, in this one.

    Raises:
        DataFileError: here it is another file.
    """
    file = open_pack(Path(path))
    if file.sha256 != sha256:
        raise file_error(file.path, f"the packed data set of SHA-256 {sha256}", file.sha256)
    return PackedRows(file, numbers, what)
