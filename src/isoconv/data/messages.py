"""What decoders say while they work, caught so that it is told with the file's name."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

_LONGEST = 1 << 12
"""Bytes of what a native decoder says that are kept."""
_STANDARD_ERROR = 2
_DECODERS = r"(PIL|pillow_heif|isoconv\.data)\b"
"""Modules whose warnings are those of decoders, or of calls of them."""

_alone = threading.Lock()

# A logger without any handler writes to standard error what is worth a warning; Pillow logs it and
# raises an error besides.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class _Catching:
    """Python's warnings, given to the thread in which they arise as long as that asks for them.

    What is done with a warning is one setting for all threads. So the first block that begins
    changes it, the last one that ends brings it back, and warnings of threads without a block go
    the way that they had.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._own = threading.local()
        self._usual = warnings.catch_warnings()
        self._show: Callable[..., None] = warnings.showwarning

    def begin(self, said: list[str]) -> None:
        """From now on warnings of this thread go into a list, each once."""
        with self._lock:
            if not self._blocks:
                self._usual = warnings.catch_warnings()
                self._usual.__enter__()
                self._show = warnings.showwarning
                # Of decoders alone: what others have to say goes by the filters that there are.
                warnings.filterwarnings("always", module=_DECODERS)
                # How large an image may be is a rule of this package's own.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                warnings.showwarning = self._told
            self._blocks += 1
        lists = self._lists()
        lists.append(said)

    def end(self) -> None:
        """This thread's last list is complete."""
        self._lists().pop()
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._usual.__exit__(None, None, None)

    def _lists(self) -> list[list[str]]:
        found: list[list[str]] = self._own.__dict__.setdefault("lists", [])
        return found

    def _told(self, message: Warning | str, *rest: Any, **more: Any) -> None:
        lists = self._lists()
        if not lists:
            self._show(message, *rest, **more)
        elif str(message) not in lists[-1]:
            lists[-1].append(str(message))


_catching = _Catching()


@contextmanager
def caught() -> Iterator[list[str]]:
    """What Python's warnings in this thread say within the block, each once."""
    said: list[str] = []
    _catching.begin(said)
    try:
        yield said
    finally:
        _catching.end()


@contextmanager
def native_caught() -> Iterator[list[str]]:
    """Lines that native code within the block writes to standard error, each once.

    libtiff has no other way to tell what it finds, and Pillow none to ask for it. The block is to
    be short: what other threads write to standard error meanwhile is caught as well.
    """
    said: list[str] = []
    with _alone, tempfile.TemporaryFile() as stream:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            usual = os.dup(_STANDARD_ERROR)
        except OSError:
            # A process without standard error loses nothing.
            yield said
            return
        try:
            os.dup2(stream.fileno(), _STANDARD_ERROR)
            yield said
        finally:
            os.dup2(usual, _STANDARD_ERROR)
            os.close(usual)
            stream.seek(0)
            text = stream.read(_LONGEST).decode("utf-8", "replace")
            said.extend(dict.fromkeys(line for line in text.splitlines() if line.strip()))


@contextmanager
def usual_standard_error(seconds: float = -1) -> Iterator[bool]:
    """Whether what is written to standard error in the block goes where it always does.

    False if native code is being listened to all the time; what is written then would be taken for
    its own.

    Args:
        seconds: to wait for that; without end by default.
    """
    free = _alone.acquire(timeout=seconds)
    try:
        yield free
    finally:
        if free:
            _alone.release()
