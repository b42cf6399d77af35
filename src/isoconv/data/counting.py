"""How far the reading of many files has come, told to a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isoconv.data.messages import usual_standard_error
from isoconv.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console

_PATIENCE = 1.0
"""Seconds after which a person on a terminal wants to know how long it will take."""
_LONG = 10.0
"""Seconds of work of which a line is written where there is no terminal."""
_REDRAW = 0.1
"""Seconds between two states of the bar."""


class Counting:
    """Shows how many of some files are done: a bar on a terminal, a line in the end elsewhere.

    The bar comes after a second and goes away when all is done. Where there is no terminal, a line
    tells of work that took longer than ten seconds.

    Args:
        progress: True for standard output, a console of rich, or False for silence.
    """

    def __init__(self, progress: bool | Console = True) -> None:
        self._progress = progress

    @contextmanager
    def of(self, what: str, total: int, things: str = "pictures") -> Iterator[Callable[[], None]]:
        """What is to be called after each of so many files.

        Args:
            what: is done, for the bar: "reading".
            total: of the files.
            things: what they are, where they are no files.
        """
        if self._progress is False:
            yield _nothing
            return
        work = _Work(self._progress, what, total, things)
        try:
            yield work.step
        finally:
            work.end()


class Within(Counting):
    """What is counted as a part of larger work, each file by calling `step`."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(False)
        self._step = step

    @contextmanager
    def of(self, what: str, total: int, things: str = "pictures") -> Iterator[Callable[[], None]]:
        """The same for each of the files."""
        del what, total, things  # They are part of something larger.
        yield self._step


def _nothing() -> None:
    pass


class _Work:
    """One stretch of work on so many files."""

    def __init__(self, progress: bool | Console, what: str, total: int, things: str) -> None:
        self._progress = progress
        self._what = what
        self._things = things
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._next = self._start + _PATIENCE
        self._bar: Bar | None = None

    def step(self) -> None:
        """One more file is done."""
        self._done += 1
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _REDRAW
        # What decoders write to standard error may be on its way into a note.
        with usual_standard_error(_REDRAW) as free:
            if free:
                self._draw(now - self._start)

    def end(self) -> None:
        """There is nothing more to do, or nobody goes on with it."""
        seconds = time.monotonic() - self._start
        with usual_standard_error():
            if self._bar is not None:
                self._bar.close()
            elif seconds > _LONG and self._done == self._total:
                line = f"{self._what} {self._total:,} {self._things} took {seconds:.0f} s"
                self._console().print(line, markup=False, highlight=False, soft_wrap=True)

    def _console(self) -> Console:
        from rich.console import Console

        return Console() if isinstance(self._progress, bool) else self._progress

    def _draw(self, seconds: float) -> None:
        if self._bar is None:
            console = self._console()
            if not console.is_terminal:
                self._next = float("inf")
                return
            self._bar = Bar(console, redrawn=False)
            self._bar.begin(f"{self._what} {self._things}", self._total)
        rate = self._done / seconds
        left = int((self._total - self._done) / rate)
        facts = f"{self._done:,}/{self._total:,}  {rate:,.0f}/s  {left // 60}:{left % 60:02d} left"
        self._bar.advance(self._done, facts, self._total)


SILENT = Counting(False)
"""Tells nothing."""
