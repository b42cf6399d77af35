"""One picture that is to be predicted, and what a source of them is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """One picture that is to be predicted.

    Attributes:
        name: what the table calls it.
        file: where it lies; "" where its bytes are given, or it cannot be read.
        content: its bytes.
        error: why it cannot be read, where that is known already.
        pack: of an image of a packed data set, the digest of that, which `file` is; else "".
        number: of such an image, within the data set.
    """

    name: str
    file: str = ""
    content: bytes = b""
    error: str = ""
    pack: str = ""
    number: int = 0


class Source(Protocol):
    """Pictures in an order of their own."""

    @property
    def count(self) -> int:
        """How many there are."""

    def states(self) -> Iterator[bytes]:
        """What tells these pictures, as they are now, from others."""

    def items(self, start: int) -> Iterator[Item]:
        """Those from a place on, read as they are asked for."""


def state_of(path: str | Path) -> bytes:
    """A file's name, size and time of change; of one that is not there the name alone."""
    name = os.fsencode(path)
    try:
        found = os.stat(path)  # noqa: PTH116  # of a million names, without a Path for each
    except (OSError, ValueError):
        return name
    return b"%s\0%d\0%d" % (name, found.st_size, found.st_mtime_ns)
