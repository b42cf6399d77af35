"""A folder that one training at a time works in: made by one process, held by one lock.

The lock is one that the system gives back when its process ends, however that ends: nothing that a
killed training leaves keeps the next one out. It lies on a hidden file that tells who holds it. The
open file also tells whether the folder is still the one that was taken, and what stands in it
whether another process has taken it since: file servers give a lock away whose machine was cut off,
and some systems have none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

from isoconv.compile.native.fork import renew_in_child
from isoconv.errors import CheckpointError, IsoconvError
from isoconv.files import open_file
from isoconv.nn.plain import parse
from isoconv.train.files import cannot_be_written

try:
    import fcntl
except ImportError:  # a system without this kind of locks
    fcntl = None  # type: ignore[assignment]

HELD = ".held"
"""Name of the file that is there while a folder is held."""

_TRIES = 50
_MOST = 4096
"""Bytes that are read of it: whoever wrote it may be a stranger."""
_LEASE = 120.0
"""Seconds after which a file server has given back the locks of a machine that was cut off."""


class _GoneError(Exception):
    """What was there a moment ago is not."""


class Hold:
    """A folder, taken for this process until it is released.

    Args:
        folder: made if it is not there.
        work: what is done in it, for messages.

    Raises:
        CheckpointError: somebody holds it, who is named; or it cannot be written to.

    Attributes:
        lasting: whether the system keeps others out; there are file systems without locks.
    """

    def __init__(self, folder: Path, work: str = "trains") -> None:
        self._folder, self._work = folder, work
        self._file = folder / HELD
        self._signed = b""
        self.lasting = True
        self._handle = self._take()
        # A copy of the open file would keep the lock for as long as a forked process lives.
        renew_in_child(self, Hold._close)

    def _take(self) -> int:
        for _ in range(_TRIES):
            with contextlib.suppress(_GoneError):
                return self._try()
        raise cannot_be_written(self._folder, OSError(errno.ENOENT, "it goes again and again"))

    def _try(self) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise CheckpointError(
                f"{self._folder} must be a folder; it is a file or a broken link, or lies in one",
                path=self._folder,
            ) from None
        except OSError as error:
            raise cannot_be_written(self._folder, error) from error
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            handle = os.open(self._file, flags | getattr(os, "O_NONBLOCK", 0), 0o644)
        except FileNotFoundError as error:
            # Somebody whose start came to nothing removed the folder again.
            raise _GoneError from error
        except OSError as error:
            raise cannot_be_written(self._folder, error) from error
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise CheckpointError(
                    f"{self._file} must be a file of a training's own; remove it",
                    path=self._file,
                )
            self._lock(handle)
            if not self._is_here(handle):
                # Whoever held it removed the file after it was opened here.
                raise _GoneError
            self._sign(handle)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _lock(self, handle: int) -> None:
        if fcntl is None:
            self.lasting = False
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"{self._folder} is held by {_holder(handle)}, which {self._work} into it; wait "
                "for its end, or choose another folder",
                path=self._folder,
            ) from error
        except OSError:
            # The file system has no locks.
            self.lasting = False

    def _sign(self, handle: int) -> None:
        """Write who holds the folder; a full disk costs the others the name alone."""
        holder = {
            "host": socket.gethostname(), "pid": os.getpid(), "since": round(time.time()),
            "token": token_hex(8),
        }  # fmt: skip
        signed = json.dumps(holder).encode() + b"\n"
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            if os.pwrite(handle, signed, 0) == len(signed):
                self._signed = signed

    def _is_here(self, handle: int) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(handle), self._file.stat(follow_symlinks=False))
        return False

    def check(self) -> None:
        """See that the folder is still the one that was taken, and nobody else's.

        Raises:
            CheckpointError: it was removed, moved or replaced, or taken by another process.
        """
        if self._handle >= 0 and self._is_here(self._handle) and self._is_taken():
            raise CheckpointError(
                f"{self._folder} was taken by {_holder(self._handle)} while this process "
                f"{self._work} into it, for its lock was lost; nothing more is written there",
                path=self._folder,
            )
        if not self.intact:
            raise CheckpointError(
                f"{self._folder} was removed, moved or replaced by somebody while this process "
                f"{self._work} into it; nothing more is written there",
                path=self._folder,
            )

    @property
    def intact(self) -> bool:
        """Whether the folder is still the one that was taken, and nobody else's."""
        return self._handle >= 0 and self._is_here(self._handle) and not self._is_taken()

    def _is_taken(self) -> bool:
        """Whether another process has signed since; what anybody else wrote there says nothing."""
        with contextlib.suppress(OSError, ValueError):
            content = os.pread(self._handle, _MOST, 0)
            if self._signed and content != self._signed:
                found = parse(content)
                return isinstance(found, dict) and isinstance(found.get("token"), str)
        return False

    def release(self) -> None:
        """Give the folder free, with nothing left in it that was not there before."""
        if self.intact:
            with contextlib.suppress(OSError):
                self._file.unlink()
        self._close()

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):
                os.close(handle)


def wait_until_free(folder: Path, seconds: float = _LEASE) -> None:
    """Wait for a process that holds a folder to end, for so long at most.

    For who knows that whoever holds it has been given up: a worker that was killed needs a moment
    for its end, and one on a machine that was cut off loses its lock when the file server notices.

    Args:
        folder: where it may be.
        seconds: whoever takes the folder then is told who holds it still.
    """
    end = time.monotonic() + seconds
    while fcntl is not None and time.monotonic() < end:
        try:
            with open_file(folder / HELD) as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.2)
        except (OSError, IsoconvError):
            return
        else:
            return


def _holder(handle: int) -> str:
    """Who wrote a lock's file, in words."""
    found: Any = None
    with contextlib.suppress(OSError, ValueError):
        for _ in range(_TRIES):
            content = os.pread(handle, _MOST, 0)
            if content:
                found = parse(content)
                break
            # It was locked just now, and is about to be signed.
            time.sleep(0.001)
    try:
        pid, host, since = int(found["pid"]), str(found["host"]), float(found["since"])
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "another process"
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return "this process"
    return f"process {pid} on {host if host.isprintable() else '?'}, since {begun}"


def make_folder(parent: Path, stem: str) -> Path:
    """Make ``<stem>-<n>`` with the least n from 1 on that nobody has.

    However many processes do so at once, each gets a folder of its own.

    Args:
        parent: made where it is not there.
        stem: begin of the name.

    Raises:
        CheckpointError: it cannot be made.
    """
    number, tries = 1, _TRIES
    while True:
        path = parent / f"{stem}-{number}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise CheckpointError(
                f"{parent} must be a folder, for runs; it is a file or a broken link",
                path=parent,
            ) from None
        except OSError as error:
            raise cannot_be_written(parent, error) from error
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            # Somebody whose start failed may have removed the empty folder again.
            tries -= 1
            if not isinstance(error, FileNotFoundError) or not tries:
                raise cannot_be_written(path, error) from error
        else:
            return path
