"""What decoders say while they work, caught so that it is told with the file's name."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["caught", "native_caught"]

_LONGEST = 1 << 12
"""Bytes of what a native decoder says that are kept."""
_STANDARD_ERROR = 2

_alone = threading.Lock()

# A logger without any handler writes to standard error what is worth a warning; Pillow logs it and
# raises an error besides.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def caught() -> Iterator[list[str]]:
    """Python's warnings within the block, each once.

    The list is filled when the block ends without an error.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        # How large an image may be is a rule of this package's own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield said
    said.extend(dict.fromkeys(str(each.message) for each in found))


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
