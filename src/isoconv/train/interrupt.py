"""Ctrl-C, and being asked to end, as a wish that is asked for between native calls."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from isoconv.compile.fork import renew_in_child

__all__ = ["InterruptWatch"]

_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a process unless it is caught: `kill`, a machine that goes down, a closed terminal."""


class InterruptWatch:
    """While open, the first interrupt is noted; a second one comes through as ever.

    An interrupt is Ctrl-C, or a signal that would end the process (SIGTERM, SIGHUP). Outside the
    main thread signals cannot be caught, and nothing is changed; nor is it where interrupts are
    ignored already, as under nohup, or where a program has its own way with SIGTERM and SIGHUP. A
    forked process is interrupted as ever.

    Attributes:
        asked: number of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptWatch:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                self._catch(signal.SIGINT)
            for number in _ENDS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._catch(number)
            renew_in_child(self, InterruptWatch._restore)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _catch(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            # None stands for a handler that was not set from Python.
            signal.signal(number, before or signal.SIG_DFL)
