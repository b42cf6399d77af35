"""What a training reads in each epoch of files that its images lie in, and what of the disk."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from isoconv.data import Dataset
from isoconv.memory import available_memory, readable
from isoconv.rows import rows_behind

_IO = Path("/proc/self/io")


def reads_of(parts: Mapping[str, Dataset], known: Collection[str] = ()) -> dict[str, int]:
    """Bytes that an epoch reads of a file, by part: of images, and of classes of their places.

    Args:
        parts: what is learned from, and what is measured after each epoch.
        known: parts of which no epoch reads images, for what frozen layers give for them is kept.

    Returns:
        Nothing of what is in memory.
    """
    found: dict[str, int] = {}
    for part, data in parts.items():
        for array in (data.labels,) if part in known else (data.images, data.labels):
            if part != "test" and rows_behind(array) is not None:
                found[part] = found.get(part, 0) + array.nbytes
    return found


def bytes_read(io: Path = _IO) -> int | None:
    """Bytes that the disk had to give to this process; None where the system does not tell."""
    try:
        found = re.search(r"^read_bytes: (\d+)$", io.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1])


class Reading:
    """How much is read in each epoch, in words.

    Args:
        reads: as of `reads_of`.
    """

    def __init__(self, reads: Mapping[str, int]) -> None:
        self._all = 0
        for size in reads.values():
            self._all += size
        self._before = bytes_read() if self._all else None

    def begun(self, name: str) -> str:
        """What a person should know before the first epoch; "" where nothing is read."""
        if not self._all:
            return ""
        free = available_memory()
        room = "" if free is None else f"; there is memory for {readable(free)}"
        return f"{name} is read where it lies: {readable(self._all)} in each epoch{room}"

    def epoch(self) -> str:
        """What the epoch that has ended has read; "" likewise."""
        if not self._all:
            return ""
        before, self._before = self._before, bytes_read()
        told = f"{readable(self._all)} read"
        if before is None or self._before is None:
            return told
        return f"{told}, {readable(self._before - before)} from the disk"
