"""Being asked to end, as an exception: what is under way is left as it is by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a process unless it is caught: `kill`, a machine that goes down, a closed terminal."""
_PATIENCE = 3
"""So many end the process as ever, whatever it is still doing."""


class Ended(KeyboardInterrupt):
    """The process was asked to end.

    Attributes:
        signal: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"asked to end ({signal.Signals(number).name})")
        self.signal = number


class _Ending:
    """What is done when the process is asked to end.

    The first time an exception is raised. Systems send two signals one after the other: the second
    must not disturb what tidies up after the first.

    Attributes:
        raised: number of the signal for which the exception was raised, or 0.
    """

    def __init__(self) -> None:
        self.raised = 0
        self._came = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        self._came += 1
        if self._came == 1:
            self.raised = number
            raise Ended(number)
        if self._came >= _PATIENCE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


_ACTIVE: list[_Ending] = []
"""Who is asked, within `ended_by_exception`."""


@contextmanager
def ended_by_exception() -> Iterator[None]:
    """Within, `Ended` is raised in the main thread where the process is asked to end.

    Signals that are ignored stay so, as under nohup.
    """
    ending, taken = _Ending(), []
    _ACTIVE.append(ending)
    try:
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                taken.append(number)
                signal.signal(number, ending)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        _ACTIVE.remove(ending)


def check_not_ended() -> None:
    """Raise `Ended` once more where work goes on all the same.

    What is raised while an object is deleted, or in a function that a library calls, is lost there.
    """
    for ending in _ACTIVE:
        if ending.raised:
            raise Ended(ending.raised)


def would_end(number: int) -> bool:
    """Whether this signal would end the process, at once or by an exception."""
    found = signal.getsignal(number)
    return found is signal.SIG_DFL or isinstance(found, _Ending)


class Uninterrupted:
    """While open, interrupts wait for its end: what is made within is made known to who removes it.

    For what takes no time. Outside the main thread, where no signal is heard of, nothing is done.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._came: list[int] = []

    def __enter__(self) -> Uninterrupted:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in (signal.SIGINT, *ENDING):
                    handler = signal.getsignal(number)
                    # What the system does by itself, it does at any moment.
                    if callable(handler):
                        self._before[number] = handler
                        signal.signal(number, self._note)
            except BaseException:
                self._restore()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        before = dict(self._before)
        self._restore()
        if self._came:
            before[self._came[0]](self._came[0], None)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._came.append(number)

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)


def number_of(error: KeyboardInterrupt) -> int:
    """The number of the signal by which something was interrupted.

    A library may make a plain one of `Ended`, as Ray does wherever it waits.

    Example:
        >>> int(number_of(KeyboardInterrupt())) == int(signal.SIGINT)
        True
    """
    asked = [ending.raised for ending in _ACTIVE if ending.raised]
    return int(getattr(error, "signal", asked[0] if asked else signal.SIGINT))
