"""Other processes, as the kernel tells of them: each may end while it is being read of."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def children(process: int | None = None) -> set[int]:
    """Processes that one, or this one, has started and that have not been waited for.

    Any of its threads may have started them, and threads end at any time.
    """
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(f"/proc/{process or os.getpid()}/task").iterdir():
            with suppress(OSError):
                found.update(map(int, (task / "children").read_text("ascii").split()))
    return found


def command_line(process: int) -> str:
    """Of a process; nothing once it has ended."""
    with suppress(OSError):
        return os.fsdecode(Path(f"/proc/{process}/cmdline").read_bytes())
    return ""


def lives(process: int) -> bool:
    """Whether a process runs: one that only waits for its parent to take notice does not."""
    with suppress(OSError):
        status = Path(f"/proc/{process}/stat").read_bytes()
        return status.rpartition(b")")[2].split()[0] != b"Z"
    return False


def gone(process: int, seconds: float = 10) -> bool:
    """Whether a process has ended, within some seconds."""
    end = time.monotonic() + seconds
    while lives(process):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
