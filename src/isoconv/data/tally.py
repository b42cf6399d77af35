"""What is told of picture files: which peculiarity, of how many, and of which first."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from isoconv.printable import printable

NAMED = 3
"""Files that a note names."""
OTHERS = 8
"""Findings without a trait that are told, such as what decoders say; the rest are counted."""


class Trait(Enum):
    """A peculiarity of a picture file; the value is what a note says after the count of files."""

    PAGES = "more than one page; the first is read"
    FOREIGN = "another format than the ending says; it is read all the same"
    TRANSPARENT = "transparency, which is dropped; the colours beneath it are kept"
    ON_WHITE = "transparency; shown on white"
    CMYK = "the colours of print (CMYK), converted without a colour profile"
    REDUCED = "more than 8 bits in a format whose decoder brings them to 8 (AVIF, HEIC)"
    EXIF = "EXIF data that cannot be read; taken as upright"


class Tally:
    """Counts files by what is to be told of them."""

    def __init__(self) -> None:
        self._files: dict[Trait | str, list[Path]] = {}

    def add(self, path: Path, found: Iterable[Trait | str]) -> None:
        """Count what was found of a file: traits, or what follows "the file has"."""
        for each in found:
            self._files.setdefault(each, []).append(path)

    def notes(self, root: Path | None = None) -> list[str]:
        """A line for each kind of finding, traits first; paths are shown from the root."""
        lines = [f"{self._having(trait, root)} {trait.value}" for trait in Trait
                 if trait in self._files]  # fmt: skip
        said = [each for each in self._files if isinstance(each, str)]
        lines += [f"{self._having(each, root)} {printable(each)}" for each in said[:OTHERS]]
        if len(said) > OTHERS:
            lines.append(f"{len(said) - OTHERS} other warnings of decoders")
        return lines

    def _having(self, found: Trait | str, root: Path | None) -> str:
        paths = self._files[found]
        names = [
            printable(path if root is None else path.relative_to(root)) for path in paths[:NAMED]
        ]
        more = ", …" if len(paths) > NAMED else ""
        has = "has" if len(paths) == 1 else "have"
        return f"{counted(len(paths), 'file')} ({', '.join(names)}{more}) {has}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "file"), counted(2, "file"), counted(2, "class", "classes")
        ('1 file', '2 files', '2 classes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
