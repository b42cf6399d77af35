"""Compiled kernels on disk: private to the user, bounded, checked, safe for many processes.

Each entry is one file: a line with a format name and the SHA-256 of the entry's key and of what
follows, then the object code. Entries appear whole (written beside, then renamed), and an entry
whose digest does not match is removed and made anew. Reading an entry marks it as used; the least
recently used go first when the folder outgrows its bound.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path

from isoconv.private import PrivateFolder, cache_folder, read_own

_FORMAT = b"isoconv-kernel-2 "
_BOUND = 512 * 2**20
_HEADER = len(_FORMAT) + 64 + 1
_SUFFIX = ".kernel"
_UNFINISHED = ".new-"
_FORGOTTEN = 24 * 3600  # seconds after which an unfinished entry's writer is gone
_TRIM_EVERY = 64  # new entries between two looks at the folder's size


def default_folder() -> Path | None:
    """The user's own cache folder for kernels; None for a user without a home folder."""
    return cache_folder("kernels")


def _header(key: str, code: bytes) -> bytes:
    return _FORMAT + hashlib.sha256(key.encode() + code).hexdigest().encode() + b"\n"


class KernelCache:
    """A folder of compiled kernels.

    A cache that cannot be written or read is no error: kernels are then compiled each time. A
    folder that others may have written to is not used, see `PrivateFolder`.

    Args:
        folder: where the entries should be; made when first needed, for this user alone.
        bound: bytes that the folder may hold.

    Attributes:
        folder: where the entries are.
        refused: why the folder is another one than that which was asked for, a line each.
    """

    def __init__(self, folder: Path, bound: int = _BOUND) -> None:
        private = PrivateFolder(folder)
        self.folder = private.path or folder
        self.refused = private.refused
        self.bound = bound
        self._written = 0
        self._usable = private.path is not None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def holds(self, key: str) -> bool:
        """Whether there is an entry under this key, damaged or not."""
        return self._usable and self._path(key).exists()

    def get(self, key: str) -> bytes | None:
        """The object code under this key, or None; a damaged entry is removed."""
        if not self._usable:
            return None
        path = self._path(key)
        try:
            content = read_own(path)
        except OSError:
            return None
        code = (content or b"")[_HEADER:]
        if content is None or content[:_HEADER] != _header(key, code):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep object code under this key; on a full disk nothing is kept."""
        if not self._usable:
            return
        try:
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=_UNFINISHED)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_header(key, code) + code)
            Path(name).replace(self._path(key))
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            return
        self._written += 1
        if self._written % _TRIM_EVERY == 1:
            self.trim()

    def entries(self) -> list[tuple[Path, int, float]]:
        """(file, bytes, time of last use) of every entry, least recently used first."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith(_SUFFIX):
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        found.append((Path(entry.path), status.st_size, status.st_mtime))
        return sorted(found, key=lambda item: item[2])

    def trim(self) -> None:
        """Remove the least recently used entries until the bound holds, and old unfinished ones."""
        for path in self.folder.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _FORGOTTEN:
                    path.unlink()
        entries = self.entries()
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.bound:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def clear(self) -> int:
        """Remove every entry and return how many there were."""
        entries = self.entries()
        for path, _, _ in entries:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(entries)
