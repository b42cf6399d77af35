"""Where the threads of a team wake up: off the caller's core.

Systems like to wake a thread on the core of the one that wakes it. There one of the two waits for
milliseconds beside an idle core, and the other one for it. So threads sleep with leave to wake up
anywhere but where the caller was; once awake the system may move them as it likes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable


def _finder() -> Callable[[], int] | None:
    """The system's way to tell which core this thread is on; None if it has none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        find: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
    return find


class WakeAffinity:
    """Where the threads of a team may wake up.

    What takes time is done while there is no hurry: by a thread that goes to sleep, and by the
    caller only when it was moved itself.
    """

    def __init__(self) -> None:
        self._core = _finder()
        self._caller = -1
        self._allowed: set[int] = set()

    def calls(self, threads: Iterable[int | None]) -> None:
        """By the caller, before it wakes the threads of these native numbers."""
        if self._core is None:
            return
        here, allowed = self._core(), os.sched_getaffinity(0)
        if here != self._caller or allowed != self._allowed:
            self._caller, self._allowed = here, allowed
            for thread in threads:
                if thread is not None:
                    self._limit(thread, allowed - {here})

    def awake(self) -> None:
        """By a thread that was woken."""
        self._limit(0, self._allowed)

    def asleep(self) -> None:
        """By a thread that goes to sleep."""
        self._limit(0, self._allowed - {self._caller})

    def _limit(self, thread: int, cores: set[int]) -> None:
        if self._core is None or not cores:
            return
        try:
            os.sched_setaffinity(thread, cores)
        except OSError:
            # Not allowed here: threads wake up where the system puts them.
            self._core = None
