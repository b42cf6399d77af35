"""What is predicted: pictures of files, folders, Parquet tables and packs, in one order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.batch.item import Item, Source, state_of
from isoconv.batch.packed_images import PackedImages, packed_images
from isoconv.batch.parts import PARTS
from isoconv.batch.picture_rows import ENDING, PictureRows, picture_rows
from isoconv.batch.table import as_text
from isoconv.data.files import Failures
from isoconv.data.folders import pictures_below
from isoconv.data.packed import ENDING as PACK_ENDING
from isoconv.data.skipped import Skipped
from isoconv.data.tally import counted
from isoconv.errors import ArgumentError
from isoconv.files import is_regular
from isoconv.printable import listed, printable

if TYPE_CHECKING:
    from isoconv.nn.module import Module


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
        return sum(source.count for source in self.sources)

    def check(self, model: Module, scale: float | None) -> Sequence[str]:
        """See that a model takes what is decoded already; pictures in files become what it takes.

        Returns:
            What is to be told all the same, a line each.

        Raises:
            IsoconvError: it does not.
        """
        packs = [source for source in self.sources if isinstance(source, PackedImages)]
        return [line for pack in packs for line in pack.check(model, scale)]

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
        words: paths of picture files; of folders, for all pictures in them and below, or for their
            Parquet files if they have no pictures; of Parquet files; of packed data sets.
        column: of Parquet files, the one that holds pictures, as bytes or as paths; None for the
            only one that can.
        root: of paths in Parquet files, the folder in which they lie; None for that of each table.

    Raises:
        ArgumentError: no such column; a column or a root without a Parquet file; standard input.
        DataFileError: a Parquet file or a packed data set that cannot be read.
        MissingExtraError: there is a Parquet file, and pyarrow is not installed.
    """
    sources: list[Source] = []
    notes: list[str] = []
    files: list[str] = []
    for word in words:
        if word == "-":
            raise ArgumentError(
                "- is one picture from standard input, which cannot be gone on with: --out takes "
                "files, folders, Parquet files and packed data sets"
            )
        found, told = _sources(word, column, root)
        notes += told
        if not found:
            # Of many files a shell names, one source.
            files.append(word)
            continue
        sources += [_Files(files)] if files else []
        files = []
        sources += found
    sources += [_Files(files)] if files else []
    tables = any(isinstance(source, PictureRows) for source in sources)
    if not tables and (column is not None or root is not None):
        option = "--column" if column is not None else "--root"
        raise ArgumentError(f"{option} is for Parquet files; there is none among the pictures")
    return Inputs(tuple(sources), tuple(dict.fromkeys(notes)))


def _sources(
    word: str, column: str | None, root: Path | None
) -> tuple[Sequence[Source], Sequence[str]]:
    """What a word stands for, and what is told of it; of one picture file no source."""
    if os.path.isdir(word):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        return _in_folder(word, column, root)
    if word.lower().endswith(ENDING):
        rows, told = picture_rows(Path(word), column, root)
        return [rows], told
    if word.lower().endswith(PACK_ENDING) and is_regular(word):
        images, told = packed_images(word)
        return [images], told
    return [], ()


def _in_folder(
    word: str, column: str | None, root: Path | None
) -> tuple[Sequence[Source], list[str]]:
    folder = Path(word)
    failures = Failures(None)
    pictures, told = pictures_below(folder, failures)
    lost = list(failures.skipped())
    notes = [f"{printable(folder)}: {line}" for line in told]
    if pictures or lost:
        # A path takes four times the memory of its text.
        return [_Files([str(path) for path in pictures], lost)], notes
    tables = _tables_below(word)
    if not tables:
        reason = "there is no picture in this folder or below it"
        return [_Files([], [Skipped(word, reason)])], notes
    found = [picture_rows(Path(table), column, root) for table in tables]
    notes = [f"{printable(folder)}: no pictures, {counted(len(tables), 'Parquet file')}"]
    columns = sorted({repr(rows.column) for rows, _ in found})
    if column is None:
        notes.append(f"{printable(folder)}: pictures are taken out of column {listed(columns)}")
    notes += [line for rows, lines in found for line in lines[-1:] if not rows.count]
    return [rows for rows, _ in found], notes


def _tables_below(word: str) -> list[str]:
    """The Parquet files of a folder, which has them by parts: hidden ones hold no rows.

    Those in a folder of this package's own, of a table that is not finished, are no pictures.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(word):
        folders[:] = sorted(
            name for name in folders if not name.startswith((".", "_")) and not name.endswith(PARTS)
        )
        found += [
            os.path.join(folder, name)  # noqa: PTH118
            for name in sorted(names)
            if name.lower().endswith(ENDING) and not name.startswith((".", "_"))
        ]
    return found
