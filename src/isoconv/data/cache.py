"""Decoded pictures on disk, so that a folder is read at once the second time.

One SQLite file in a folder that is this user's alone holds two things. Of each *file*, by its path:
the SHA-256 of its content and what its header tells, for as long as device, inode, size and both
times of change stay the same. Of each *content* and reading: the scaled picture and what is to be
told of it. Either is checked by a digest when it is read, and what does not match counts as absent.

A file that was changed within two seconds before it was looked at is not remembered: it may change
again without its times showing that. Its content is then worked out each time.

A cache that cannot be opened, read or written is no error; pictures are then decoded. One that
another process holds for too long is put aside for as long as this process lives, which is said.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.errors import DataWarning
from isoconv.files import PIECE, open_file
from isoconv.private import PrivateFolder, cache_folder

if TYPE_CHECKING:
    import sqlite3

BOUND = 2 * 2**30
"""Bytes of pictures that are kept; the least recently used go first."""
LARGEST = 2**20
"""Bytes of the largest picture that is kept: what is larger takes more room than it saves time."""
_FILES = 500_000
"""Files that are remembered; those that were seen first go first."""
_RACY = 2 * 10**9
"""Nanoseconds after a change in which another one may leave the times of a file as they are."""
_NAME = "pictures-1.db"
_WAIT = 10.0
"""Seconds to wait for another process that writes."""
_TOGETHER = 64
"""Entries that are written at once."""
_HOUR = 3600
_ASIDE: dict[Path, str] = {}
"""The files that this process waited for in vain, and what was said of each."""
_TABLES = """
CREATE TABLE IF NOT EXISTS files
    (path BLOB PRIMARY KEY, state TEXT, facts TEXT, digest BLOB, seen INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (key BLOB PRIMARY KEY, told TEXT, pixels BLOB, digest BLOB);
CREATE TABLE IF NOT EXISTS uses
    (key BLOB PRIMARY KEY, used INTEGER, size INTEGER) WITHOUT ROWID;
"""


def default_folder() -> Path | None:
    """Where decoded pictures are kept; None for a user without a home folder."""
    return cache_folder("pictures")


@contextlib.contextmanager
def open_cache(wanted: bool) -> Iterator[PictureCache | None]:
    """The user's own cache, if it is wanted and there is one."""
    folder = default_folder() if wanted else None
    if folder is None:
        yield None
        return
    cache = PictureCache(folder)
    try:
        yield cache
    finally:
        cache.close()


@dataclass(slots=True)
class Marks:
    """What is known of a file as it is now.

    Attributes:
        path: of the file.
        state: what would change with its content; "" if it cannot be looked at.
        settled: it was not changed just now, so its state can be relied on.
        facts: what was remembered, by name.
    """

    path: Path
    state: str
    settled: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def unchanged(self) -> bool:
        """Whether the file is still in this state."""
        return bool(self.state) and _looked_at(self.path)[0] == self.state

    def content(self) -> str | None:
        """The SHA-256 of what the file holds, by reading it; None if that cannot be done."""
        digest = hashlib.sha256()
        try:
            with open_file(self.path) as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
        except OSError:
            return None
        return digest.hexdigest() if self.unchanged() else None


class PictureCache:
    """A folder of decoded pictures; for any threads and processes at once.

    Args:
        folder: where; made when first needed, for this user alone.
        bound: bytes of pictures that it may hold.

    Attributes:
        folder: where it is.
        refused: why the folder is another one than that which was asked for, or why there is
            none, a line each.
    """

    def __init__(self, folder: Path, bound: int = BOUND) -> None:
        private = PrivateFolder(folder)
        self.folder = private.path or folder
        self.refused = list(private.refused)
        self.bound = bound
        self._lock = threading.Lock()
        self._files: dict[bytes, tuple[str, str]] = {}
        self._pictures: dict[bytes, tuple[str, bytes]] = {}
        self._used: list[bytes] = []
        self._errors: tuple[type[Exception], ...] = ()
        self._database = None if private.path is None else self._opened()
        self._written = False

    def marks(self, path: Path) -> Marks:
        """What is known of a file."""
        state, settled = _looked_at(path)
        marks = Marks(path, state, settled)
        name = _name(path)
        with self._lock:
            waiting = self._files.get(name)
        if waiting is not None and waiting[0] == state:
            marks.facts = json.loads(waiting[1])
            return marks
        rows = self._rows("SELECT state, facts, digest FROM files WHERE path = ?", name)
        for found, facts, digest in rows:
            if (
                found == state
                and isinstance(facts, str)
                and digest == _file_digest(name, state, facts)
            ):
                marks.facts = json.loads(facts)
        return marks

    def remember(self, marks: Marks, name: str, fact: object) -> None:
        """Keep a fact that was found out of a file, if the file did not change meanwhile."""
        marks.facts[name] = fact
        if marks.settled and marks.unchanged():
            with self._lock:
                self._files[_name(marks.path)] = marks.state, json.dumps(marks.facts)
            self._flush(_TOGETHER * 16)

    def picture(self, key: bytes) -> tuple[str, bytes] | None:
        """What is to be told of a picture, and its pixels; None if it is not kept."""
        rows = self._rows("SELECT told, pixels, digest FROM pictures WHERE key = ?", key)
        for told, pixels, digest in rows:
            whole = isinstance(told, str) and isinstance(pixels, bytes)
            if whole and digest == _picture_digest(key, told, pixels):
                with self._lock:
                    self._used.append(key)
                return told, pixels
        return None

    def keep(self, key: bytes, told: str, pixels: bytes) -> None:
        """Keep a picture."""
        if len(pixels) <= LARGEST:
            with self._lock:
                self._pictures[key] = told, pixels
            self._flush(_TOGETHER)

    def size(self) -> tuple[int, int, int]:
        """How many pictures are kept, their bytes, and the bytes of the file that holds them."""
        rows = self._rows("SELECT COUNT(*), TOTAL(size) FROM uses")
        count, size = rows[0] if rows else (0, 0)
        try:
            kept = int(size)
        except (ValueError, OverflowError):
            # A size that somebody spoiled.
            kept = 0
        try:
            return count, kept, self._path.stat().st_size
        except OSError:
            return count, kept, 0

    def clear(self) -> int:
        """Remove all pictures and what is remembered of files; returns how many pictures."""
        count = self.size()[0]
        with self._lock:
            self._run(["DELETE FROM files", "DELETE FROM pictures", "DELETE FROM uses"])
            if self._database is not None:
                with contextlib.suppress(*self._errors):
                    self._database.execute("VACUUM")
        return count - self.size()[0]

    def close(self) -> None:
        """Write what waits, and keep the bound."""
        self._flush(0)
        with self._lock:
            if self._written:
                self._trim()
            # A spoiled one is given up meanwhile.
            if self._database is not None:
                self._database.close()
            self._database = None

    # The database

    @property
    def _path(self) -> Path:
        return self.folder / _NAME

    def _opened(self) -> sqlite3.Connection | None:
        try:
            import sqlite3
        except ImportError:
            self.refused.append("there is none, for this Python was made without SQLite")
            return None
        # Spoiled texts and sizes come out of it as what they are not.
        self._errors = (sqlite3.Error, OSError, ValueError, TypeError, OverflowError)
        if self._path in _ASIDE:
            self.refused.append(_ASIDE[self._path])
            return None
        for attempt in (1, 2):
            try:
                if not _is_own(self._path):
                    self.refused.append(f"{self._path} is not used: others may have written to it")
                    return None
                database = sqlite3.connect(
                    self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False
                )
                # What a loss of power spoils is found by the digests.
                database.execute("PRAGMA synchronous = OFF")
                database.executescript(_TABLES)
            except sqlite3.OperationalError as error:
                self.refused.append(self._put_aside(error) or f"{self._path} is not used: {error}")
                return None
            except self._errors as error:
                self._discard()
                if attempt == 2:
                    self.refused.append(f"{self._path} is not used: {error}")
            else:
                return database
        return None

    def _discard(self) -> None:
        """Remove a file that is no database any more."""
        for end in ("", "-journal"):
            with contextlib.suppress(OSError):
                self._path.with_name(_NAME + end).unlink()

    def _rows(self, query: str, *values: bytes) -> list[Any]:
        with self._lock:
            if self._database is None:
                return []
            try:
                return self._database.execute(query, values).fetchall()
            except self._errors as error:
                self._gave_up(error)
                return []

    def _gave_up(self, error: Exception) -> None:
        """Go on without: another process writes for long, the disk is full, or it is spoiled."""
        import sqlite3

        if self._database is None:
            return
        self._database.close()
        self._database = None
        self._put_aside(error)
        # Only what is no database any more is made anew.
        if not isinstance(error, sqlite3.OperationalError):
            self._discard()

    def _put_aside(self, error: Exception) -> str:
        """Wait no second time for another process; says so, and gives it back, "" otherwise."""
        import sqlite3

        # The rest of the number tells what exactly was held.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            return ""
        if self._path not in _ASIDE:
            _ASIDE[self._path] = (
                f"the cache of pictures {self._path} is put aside, for another process has held it "
                f"for {_WAIT:g} seconds: pictures are decoded"
            )
            warnings.warn(_ASIDE[self._path], DataWarning, stacklevel=2)
        return _ASIDE[self._path]

    def _flush(self, least: int) -> None:
        """Write what waits, if there is so much of it."""
        with self._lock:
            if max(len(self._files), len(self._pictures)) < max(least, 1) and not (
                least == 0 and self._used
            ):
                return
            hour = int(time.time()) // _HOUR
            files = [
                (name, state, facts, _file_digest(name, state, facts), hour)
                for name, (state, facts) in self._files.items()
            ]
            pictures = [
                (key, told, pixels, _picture_digest(key, told, pixels))
                for key, (told, pixels) in self._pictures.items()
            ]
            uses = [(key, hour, len(pixels)) for key, _, pixels, _ in pictures]
            used = [(hour, key, hour) for key in self._used] if least == 0 else []
            self._files, self._pictures = {}, {}
            self._written |= bool(files or pictures)
            self._run(
                [],
                ("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", files),
                ("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", pictures),
                ("INSERT OR REPLACE INTO uses VALUES (?, ?, ?)", uses),
                ("UPDATE uses SET used = ? WHERE key = ? AND used < ?", used),
            )

    def _run(self, plain: list[str], *many: tuple[str, list[Any]]) -> None:
        """Statements, all of them or none."""
        if self._database is None:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for statement in plain:
                self._database.execute(statement)
            for statement, rows in many:
                self._database.executemany(statement, rows)
            self._database.execute("COMMIT")
        except self._errors as error:
            with contextlib.suppress(*self._errors):
                self._database.execute("ROLLBACK")
            self._gave_up(error)

    def _trim(self) -> None:
        """Remove what was used least recently until the bound holds."""
        if self._database is None:
            return
        try:
            order = "SELECT key, size FROM uses ORDER BY used DESC, key"
            room, gone = self.bound, list[tuple[bytes]]()
            for key, size in self._database.execute(order):
                room -= size
                if room < 0:
                    gone.append((key,))
            (count,) = self._database.execute("SELECT COUNT(*) FROM files").fetchone()
        except self._errors as error:
            self._gave_up(error)
            return
        old = "DELETE FROM files WHERE path IN (SELECT path FROM files ORDER BY seen LIMIT ?)"
        self._run(
            [],
            ("DELETE FROM pictures WHERE key = ?", gone),
            ("DELETE FROM uses WHERE key = ?", gone),
            (old, [(count - _FILES,)] if count > _FILES else []),
        )


def _is_own(path: Path) -> bool:
    """Whether a file is there that only this user may write to, or none yet."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _looked_at(path: Path) -> tuple[str, bool]:
    """What changes with a file's content, and whether it was not changed just now."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return "", False
    times = found.st_mtime_ns, found.st_ctime_ns
    state = f"{found.st_dev} {found.st_ino} {found.st_size} {times[0]} {times[1]}"
    return state, max(times) + _RACY < time.time_ns()


def _name(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _file_digest(name: bytes, state: str, facts: str) -> bytes:
    head = f"file {len(name)} {len(state)} {len(facts)}\n".encode()
    return hashlib.sha256(head + name + state.encode() + facts.encode()).digest()


def _picture_digest(key: bytes, told: str, pixels: bytes) -> bytes:
    digest = hashlib.sha256(b"picture " + key + f" {len(told)}\n{told}".encode())
    digest.update(pixels)
    return digest.digest()
