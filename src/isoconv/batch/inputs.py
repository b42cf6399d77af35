"""What is predicted: pictures of files, of folders and of Parquet tables, in one order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isoconv.batch.item import Item, Source, state_of
from isoconv.batch.picture_rows import ENDING, picture_rows
from isoconv.batch.table import as_text
from isoconv.data.files import Failures
from isoconv.data.folders import pictures_below
from isoconv.data.skipped import Skipped
from isoconv.errors import ArgumentError
from isoconv.printable import printable

__all__ = ["Inputs", "gathered"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that is to be predicted.

    Attributes:
        sources: one behind the other.
        notes: what is left alone or chosen, a line each.
    """

    sources: tuple[Source, ...]
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many pictures there are."""
        total = 0
        for source in self.sources:
            total += source.count
        return total

    def digest(self) -> str:
        """SHA-256 of names, sizes and times of change: of the same pictures it is the same."""
        total = hashlib.sha256()
        for source in self.sources:
            for state in source.states():
                total.update(b"%d\n" % len(state) + state)
        return total.hexdigest()

    def items(self, start: int = 0) -> Iterator[Item]:
        """All pictures from a place on."""
        for source in self.sources:
            if start < source.count:
                yield from source.items(start)
            start = max(0, start - source.count)


@dataclass(frozen=True, slots=True)
class _Files:
    """Picture files, and what cannot be read even before it is opened."""

    paths: Sequence[str]
    lost: Sequence[Skipped] = ()

    @property
    def count(self) -> int:
        return len(self.paths) + len(self.lost)

    def states(self) -> Iterator[bytes]:
        for path in self.paths:
            yield state_of(path)
        for each in self.lost:
            yield os.fsencode(each.path)

    def items(self, start: int) -> Iterator[Item]:
        for path in self.paths[start:]:
            yield Item(as_text(path), path)
        for each in self.lost[max(0, start - len(self.paths)) :]:
            yield Item(as_text(each.path), error=each.reason)


def gathered(words: Sequence[str], column: str | None = None, root: Path | None = None) -> Inputs:
    """The pictures that a person names.

    Args:
        words: paths of picture files; of folders, for all pictures in them and below; of Parquet
            files.
        column: of Parquet files, the one that holds pictures, as bytes or as paths; None for the
            only one that can.
        root: of paths in Parquet files, the folder in which they lie; None for that of each table.

    Raises:
        ArgumentError: no such column; a column or a root without a Parquet file; standard input.
        DataFileError: a Parquet file that cannot be read.
        MissingExtraError: there is one, and pyarrow is not installed.
    """
    sources: list[Source] = []
    found: Source
    notes: list[str] = []
    files: list[str] = []
    for word in words:
        if word == "-":
            raise ArgumentError(
                "- is one picture from standard input, which cannot be gone on with: --out takes "
                "files, folders and Parquet files"
            )
        if os.path.isdir(word):  # noqa: PTH112  # Path.is_dir raises where a name is too long
            found, told = _in_folder(word)
            notes += told
        elif word.lower().endswith(ENDING):
            found, chosen = picture_rows(Path(word), column, root)
            notes += chosen
        else:
            # Of many files a shell names, one source.
            files.append(word)
            continue
        sources += [_Files(files)] if files else []
        files = []
        sources.append(found)
    sources += [_Files(files)] if files else []
    tables = [word for word in words if word.lower().endswith(ENDING)]
    if not tables and (column is not None or root is not None):
        option = "--column" if column is not None else "--root"
        raise ArgumentError(f"{option} is for Parquet files; there is none among the pictures")
    return Inputs(tuple(sources), tuple(notes))


def _in_folder(word: str) -> tuple[_Files, list[str]]:
    folder = Path(word)
    failures = Failures(None)
    pictures, told = pictures_below(folder, failures)
    lost = list(failures.skipped())
    if not pictures and not lost:
        lost.append(Skipped(word, "there is no picture in this folder or below it"))
    # A path takes four times the memory of its text.
    paths = [str(path) for path in pictures]
    return _Files(paths, lost), [f"{printable(folder)}: {line}" for line in told]
