"""Ctrl-C, and being asked to end, as a wish that is asked for between native calls."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from isoconv.compile.native.fork import renew_in_child
from isoconv.signals import ENDING, check_not_ended, would_end

_PATIENCE = 3
"""So many interrupts end what is under way as ever."""


class InterruptWatch:
    """While open, interrupts are noted and told; the third one comes through as ever.

    An interrupt is Ctrl-C, or a signal that would end the process (SIGTERM, SIGHUP). Outside the
    main thread signals cannot be caught, and nothing is changed; nor is it where interrupts are
    ignored already, as under nohup, or where a program has its own way with SIGTERM and SIGHUP. A
    forked process is interrupted as ever.

    Python hears of a signal when the main thread comes back from a native call, which may take
    seconds. A thread beside it hears of each at once and tells what is waited for.

    Args:
        tell: called at once in another thread with the signal's number and how many came; None for
            silence. After the last one that is noted it is called no more.

    Attributes:
        asked: number of the signal that came first, or 0.
    """

    def __init__(self, tell: Callable[[int, int], None] | None = None) -> None:
        self.asked = 0
        self._tell = tell
        self._noted = 0
        self._listener: _Listener | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptWatch:
        if threading.current_thread() is threading.main_thread():
            check_not_ended()
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                self._catch(signal.SIGINT)
            for number in ENDING:
                if would_end(number):
                    self._catch(number)
            if self._tell is not None and self._before:
                # Where the system has no more threads or files to give, interrupts are noted alone.
                with contextlib.suppress(OSError, RuntimeError):
                    self._listener = _Listener(frozenset(self._before), self._tell)
            renew_in_child(self, InterruptWatch._renew)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        if self._listener is not None:
            self._listener.close()

    def _catch(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.asked or number
        self._noted += 1
        # Several that came within one native call are one to Python.
        came = self._noted if self._listener is None else max(self._noted, self._listener.came)
        if came < _PATIENCE:
            return
        before = self._before.get(number)
        self._restore()
        if callable(before):
            before(number, frame)
        else:
            signal.raise_signal(number)

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            # None stands for a handler that was not set from Python.
            signal.signal(number, before or signal.SIG_DFL)

    def _renew(self) -> None:
        """In a forked process, where nobody asks whether one came."""
        self._restore()
        if self._listener is not None:
            self._listener.abandon()


class _Listener:
    """A thread that hears of signals at once, through the bytes that Python writes for each.

    Args:
        numbers: of the signals that are told; others go on to who listened before.
        tell: called with the number, and how many came.

    Attributes:
        came: how many so far.
    """

    def __init__(self, numbers: frozenset[int], tell: Callable[[int, int], None]) -> None:
        self.came = 0
        self._numbers = numbers
        self._tell = tell
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._before = -1
        self._thread = threading.Thread(target=self._listen, daemon=True, name="isoconv-interrupts")
        self._thread.start()
        self._before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)

    def _listen(self) -> None:
        while heard := self._ear.recv(64):
            for number in heard:
                if number in self._numbers:
                    self.came += 1
                    if self.came <= _PATIENCE:
                        # Nobody may be there to be told; the interrupt counts all the same.
                        with contextlib.suppress(OSError, ValueError):
                            self._tell(number, self.came)
                elif self._before >= 0:
                    # Of an event loop, which is to know of signals that are its own.
                    with contextlib.suppress(OSError):
                        os.write(self._before, bytes([number]))

    def close(self) -> None:
        """End the thread, once it has told what it heard."""
        signal.set_wakeup_fd(self._before)
        self._mouth.close()
        self._thread.join(timeout=1)
        self._ear.close()

    def abandon(self) -> None:
        """In a forked process, whose signals are none of the parent's."""
        signal.set_wakeup_fd(self._before)
        self._mouth.close()
        self._ear.close()
