"""Ctrl-C as a wish that is asked for between native calls."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from isoconv.compile.fork import renew_in_child

__all__ = ["InterruptWatch"]


class InterruptWatch:
    """While open, the first interrupt is noted; a second one comes through as ever.

    Outside the main thread signals cannot be caught, and nothing is changed; nor is it where
    interrupts are ignored already, as under nohup. A forked process is interrupted as ever.

    Attributes:
        asked: whether an interrupt came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._caught = False

    def __enter__(self) -> InterruptWatch:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if threading.current_thread() is threading.main_thread() and not ignored:
            self._before = signal.signal(signal.SIGINT, self._note)
            self._caught = True
            renew_in_child(self, InterruptWatch._restore)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        if self._caught:
            # None stands for a handler that was not set from Python.
            signal.signal(signal.SIGINT, self._before or signal.SIG_DFL)
            self._caught = False
