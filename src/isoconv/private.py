"""Folders that nobody but this user can have written to: caches lie in no others."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(name: str) -> Path | None:
    """A folder in the user's own cache folder for isoconv, where this system keeps such folders.

    None for a user without a home folder, as in some containers; there is no such cache then.
    """
    try:
        folder = platformdirs.user_cache_path("isoconv", appauthor=False)
    except (RuntimeError, KeyError):
        return None
    # Some versions leave a home folder that they do not find as "~": a name in the working folder.
    return folder / name if folder.is_absolute() else None


class PrivateFolder:
    """The first of some places that is this user's alone.

    A folder that others may write to, or that lies where others may replace it, is not made private
    and then trusted: what lies in it may have been planted before. It is left as it is, and a fresh
    one beside it, or under the system's folder for temporary files, takes its place.

    Args:
        wanted: where the folder should be.

    Attributes:
        path: the folder, or None where no place can be trusted.
        refused: why each place before it was not taken, a line each.
    """

    def __init__(self, wanted: Path) -> None:
        self.refused: list[str] = []
        self.path: Path | None = None
        for place in _places(wanted):
            reason = _make(place)
            if reason is None:
                self.path = place
                return
            self.refused.append(f"{place} is not used: {reason}")


def _places(wanted: Path) -> Iterator[Path]:
    yield wanted
    yield wanted.with_name(f"{wanted.name}-private")
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()) / f"isoconv-{_user()}" / wanted.name


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _make(folder: Path) -> str | None:
    """Make a folder for this user alone, or see that one is; returns why it cannot be used."""
    try:
        _make_parents(folder)
    except OSError as error:
        return f"it cannot be made ({error.strerror or error})"
    if not hasattr(os, "geteuid"):
        # Other systems keep a user's folders private by other means.
        return None
    try:
        return next(_faults(folder), None)
    except OSError as error:
        return f"it cannot be looked at ({error.strerror or error})"


def _make_parents(folder: Path) -> None:
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    for place in reversed(missing):
        # Another process of this user may be quicker.
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(20, "not a folder", str(folder))


def _faults(folder: Path) -> Iterator[str]:
    """Why others may have written into a folder, or put it there."""
    real = folder.resolve(strict=True)
    status = real.stat()
    if status.st_uid != _user():
        yield f"it belongs to user {status.st_uid}"
    if _written_by_others(status):
        yield f"others may write to it (permissions {stat.S_IMODE(status.st_mode):04o})"
    # Both the names that lead there and the folders behind links can be replaced.
    for parent in dict.fromkeys([*folder.absolute().parents, *real.parents]):
        found = parent.stat()
        if found.st_uid not in (0, _user()):
            yield f"{parent} belongs to user {found.st_uid}"
        # In a folder with the sticky bit only an entry's owner may replace it.
        if _written_by_others(found) and not found.st_mode & stat.S_ISVTX:
            yield (f"others may write to {parent} (permissions {stat.S_IMODE(found.st_mode):04o})")


def _written_by_others(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _own_group(status.st_gid)


def _own_group(group: int) -> bool:
    """Whether a group has no member but this user, as where each user has a group of their own."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(_user())
        found = grp.getgrgid(group)
    except KeyError:
        return False
    return (
        group == user.pw_gid
        and found.gr_name == user.pw_name
        and not (set(found.gr_mem) - {user.pw_name})
    )


def read_own(path: Path) -> bytes | None:
    """The content of a file that this user alone may have written; None for any other.

    A link is not followed, nor is a file read that has a second name elsewhere. One that has lost
    its name since it was opened, as another took its place, is as good as it was.

    Raises:
        OSError: it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        foreign = hasattr(os, "geteuid") and (
            status.st_uid != _user() or status.st_mode & _OTHERS or status.st_nlink > 1
        )
        if foreign or not stat.S_ISREG(status.st_mode):
            return None
        return file.read()
