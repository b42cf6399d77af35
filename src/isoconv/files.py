"""Opening files from strangers: regular files alone, and no more memory than there is."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO

from isoconv.memory import check_memory
from isoconv.printable import printable

PIECE = 1 << 20
"""Bytes that are read at once."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Not to wait for somebody who writes into a pipe, and not to make a terminal one's own. Windows
# has neither, and would otherwise change the ends of lines.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_WRITING = _FLAGS & ~os.O_RDONLY | os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


_PLACE = threading.Lock()


class _File(io.BufferedReader):
    """A file of which nobody asks for more than it has: memory is taken for what was asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        if size is not None and size > PIECE:
            left = os.fstat(self.fileno()).st_size - self.tell()
            # Files of the system say that they have none.
            size = min(size, max(left, PIECE) + 1)
        return super().read(size) or b""


def open_file(path: Path | str) -> BinaryIO:
    """Open a regular file for reading bytes.

    Memory is taken for what the file has, whatever length is asked for.

    To open a pipe may wait for ever, and to open a device may do something: what is no regular file
    is not opened.

    Raises:
        OSError: there is no such file, it cannot be read, or it is a folder, pipe, socket or
            device.
    """
    path = Path(path)
    _check_regular(path, path.stat())
    handle = os.open(path, _FLAGS)
    try:
        # Another one may have taken its place.
        _check_regular(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return _File(io.FileIO(handle, "rb"))


def open_to_write(path: Path | str) -> BinaryIO:
    """Open a file for reading and writing, made if it is not there; a link is not followed.

    Raises:
        OSError: it cannot be written, or is no regular file.
    """
    handle = os.open(path, _WRITING, 0o666)
    try:
        _check_regular(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return io.BufferedRandom(io.FileIO(handle, "r+b"))


def put_new(temporary: Path, path: Path) -> None:
    """Give a whole file its name, where nothing has that name; a link that leads nowhere has it.

    Killed, it may leave both names of the one file.

    Raises:
        FileExistsError: something is there, which stays; the file keeps its temporary name.
        OSError: the folder cannot be written.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # Not every file system has hard links. Between the look and the renaming is a moment.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)
    else:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where nothing has its name; folders are made.

    Raises:
        FileExistsError: something is there, which stays.
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put_new(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names that files got in a folder last through a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_file(path: Path | str, most: int | None = None) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        most: bytes of the longest file that is read; None for what there is memory for.

    Raises:
        OSError: as for `open_file`, or the file is longer than `most`.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise _too_long(path, most)
        check_memory(f"reading {printable(path)}", {"the file": size}, "a smaller file")
        # One byte more tells whether it grows; files of the system say that they are empty.
        room = max(size, PIECE) if most is None else min(most, max(size, PIECE))
        content = file.read(room + 1)
        if len(content) > room:
            raise _too_long(path, room)
        return content


def read_at(handle: int, target: memoryview, place: int) -> int:
    """Read bytes of an open file from a place on, without a place of the file's own.

    Args:
        handle: number of the open file.
        target: memory that they go to; as many are read as it has, or fewer.
        place: of the first.

    Returns:
        How many were read; 0 at the end of the file.

    Raises:
        OSError: it cannot be read.
    """
    if hasattr(os, "preadv"):
        return os.preadv(handle, [target], place)
    # Of threads that ask at once each has its turn: a place belongs to all of them.
    with _PLACE:
        os.lseek(handle, place, os.SEEK_SET)
        content = os.read(handle, len(target))
    target[: len(content)] = content
    return len(content)


def is_regular(path: Path | str) -> bool:
    """Whether there is a regular file, or a link to one, that may be looked at."""
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def kind_of_file(mode: int) -> str:
    """What a mode, as `os.stat` gives it, stands for.

    Example:
        >>> import os
        >>> kind_of_file(os.stat(os.curdir).st_mode)
        'a folder'
    """
    return next((what for test, what in _KINDS if test(mode)), "a file")


def _check_regular(path: Path | str, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
    raise OSError(code, f"it is {kind_of_file(found.st_mode)}, not a file", os.fspath(path))


def _too_long(path: Path | str, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is longer than {most:,} bytes", os.fspath(path))
