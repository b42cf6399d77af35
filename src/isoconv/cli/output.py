"""Standard output on which whatever is printed arrives whole, or the command ends with an error."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Closed(io.RawIOBase):
    """Standard output of a process that was started without one."""

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def write(self, _: Any, /) -> int:
        """What is printed is lost, which is said."""
        raise OSError("standard output is closed, so that nothing can be printed")


def whole_output() -> None:
    """Make standard output one that takes all of what is printed, or raises an `OSError`.

    Where Python is told not to buffer it (``python -u``, ``PYTHONUNBUFFERED``), one write may take
    a part alone, as on a disk that becomes full; where it is closed, Python prints nowhere.
    """
    raw = _Closed() if sys.stdout is None else getattr(sys.stdout, "buffer", None)
    if sys.stdout is None:
        _take_place(1)
    if isinstance(raw, io.RawIOBase):
        # Whoever prints flushes at once: nothing is shown later than it was.
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=getattr(sys.stdout, "encoding", "utf-8"),
            errors=getattr(sys.stdout, "errors", "strict"),
            line_buffering=True,
        )


def _take_place(number: int) -> None:
    """Let no file that is opened later stand where a standard stream is expected."""
    try:
        os.fstat(number)
    except OSError:
        found = os.open(os.devnull, os.O_RDWR)
        if found != number:
            os.dup2(found, number)
            os.close(found)
