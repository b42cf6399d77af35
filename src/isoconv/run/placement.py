"""Threads of a team on cores of their own.

A thread that is woken may be put on the core of the one that woke it, even if another core idles;
two threads that wait for each other there are slower than one, until the system notices some ten
milliseconds later. So each looks where the others are, and leaves a core that is taken. Nothing is
pinned: the system may move threads afterwards as it likes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

__all__ = ["Placement"]


def _finder() -> Callable[[], int] | None:
    """The system's way to tell which core this thread is on; None if it has none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        find: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
    return find


class Placement:
    """Where the threads of a team are.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self._core = _finder() if threads > 1 else None
        self._taken = [-1] * threads

    def settle(self, thread: int) -> None:
        """Called by each thread when it starts to work, by the first one before the others."""
        if self._core is None:
            return
        self._taken[thread] = self._core()
        others = set(self._taken[:thread])
        if self._taken[thread] not in others:
            return
        allowed = os.sched_getaffinity(0)
        free = allowed - others
        if not free:
            return
        try:
            os.sched_setaffinity(0, free)
            self._taken[thread] = self._core()
            os.sched_setaffinity(0, allowed)
        except OSError:
            # Not allowed here: threads stay where the system put them.
            self._core = None
