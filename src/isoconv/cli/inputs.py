"""What pictures a person names on the command line: files, folders, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from isoconv.errors import ArgumentError
from isoconv.printable import printable
from isoconv.signals import Uninterrupted

if TYPE_CHECKING:
    from isoconv.data import Skipped

STANDARD_INPUT = "-"
MOST = 2**28
"""Bytes of the longest picture that is taken from standard input."""


@dataclass(slots=True)
class Inputs:
    """Pictures, in the order in which they were named.

    Attributes:
        items: files, and what cannot be read even before they are opened.
        shown: what a file is called, where that is not its path.
        notes: what is left alone, a line each.
        folders: in which the pictures lie: those that were named, and those of files.
    """

    items: list[Path | Skipped] = field(default_factory=list)
    shown: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """Those that can be opened, perhaps."""
        return [item for item in self.items if isinstance(item, Path)]

    def name(self, path: Path) -> str:
        """What a file is called."""
        return self.shown.get(path, str(path))

    def as_shown(self, text: str) -> str:
        """A text in which files have the names that a person knows."""
        for path, name in self.shown.items():
            text = text.replace(printable(path), name)
        return text


@contextmanager
def named(words: Sequence[str]) -> Iterator[Inputs]:
    """The pictures that a person names; within the block they can be read.

    Args:
        words: paths of files; paths of folders, for all pictures in them and below; ``-`` for one
            picture's bytes from standard input.

    Raises:
        ArgumentError: standard input is named twice, or is closed or a terminal.
    """
    found = Inputs()
    if words.count(STANDARD_INPUT) > 1:
        raise ArgumentError("standard input, -, can be read but once; got it more than once")
    with ExitStack() as stack:
        for word in words:
            if word == STANDARD_INPUT:
                with Uninterrupted():
                    scratch = stack.enter_context(TemporaryDirectory(prefix="isoconv-"))
                path = Path(scratch) / "picture"
                found.shown[path] = STANDARD_INPUT
                found.items.append(_standard_input(path))
            elif os.path.isdir(word):  # noqa: PTH112 - Path.is_dir raises where a name is too long
                _add_folder(found, Path(word))
            else:
                found.items.append(Path(word))
                found.folders.append(Path(word).parent)
        yield found


def _add_folder(found: Inputs, folder: Path) -> None:
    """The pictures in a folder and below it."""
    from isoconv.data import Skipped
    from isoconv.data.files import Failures
    from isoconv.data.folders import pictures_below

    failures = Failures(None)
    pictures, notes = pictures_below(folder, failures)
    found.items += pictures
    found.folders.append(folder)
    found.items += failures.skipped()
    found.notes += [f"{printable(folder)}: {line}" for line in notes]
    if not pictures and not failures.count:
        found.items.append(Skipped(str(folder), "there is no picture in this folder or below it"))


def _standard_input(path: Path) -> Path | Skipped:
    """Put what standard input gives into a file, so many bytes of it at most.

    Raises:
        ArgumentError: it is closed, or a terminal, where nobody would know what is waited for.
    """
    from isoconv.data import Skipped
    from isoconv.files import PIECE
    from isoconv.memory import check_memory

    if sys.stdin is None or sys.stdin.isatty():
        what = "closed" if sys.stdin is None else "a terminal"
        raise ArgumentError(
            f"- takes a picture from standard input, which is {what}; such as: isoconv predict "
            "RUN - < photo.jpg"
        )
    stream, content = sys.stdin.buffer, bytearray()
    while piece := stream.read(PIECE):
        if len(content) + len(piece) > MOST:
            return Skipped(STANDARD_INPUT, f"it is longer than {MOST:,} bytes")
        check_memory("standard input", {"the picture": 2 * len(piece)}, "a smaller one")
        content += piece
    path.write_bytes(content)
    return path if content else Skipped(STANDARD_INPUT, "it is empty")
