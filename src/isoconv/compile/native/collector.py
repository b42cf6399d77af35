"""Python's cycle collector held back while many objects are made that all stay."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from isoconv.compile.native.fork import renew_in_child


class _Pause:
    """Which thread holds the collector back, so that it is not held back for ever in a child."""

    def __init__(self) -> None:
        self._holder: int | None = None
        renew_in_child(self, _Pause._renew)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """No search inside."""
        self._holder = threading.get_ident()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            self._holder = None

    def _renew(self) -> None:
        if self._holder not in (None, threading.get_ident()):
            gc.enable()
            self._holder = None


_PAUSE = _Pause()


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles inside: lowering a network set off searches that took as long again."""
    if not gc.isenabled():
        yield
        return
    with _PAUSE.hold():
        yield
