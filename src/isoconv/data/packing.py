"""Data sets packed into one file: decoded and checked once, whatever they take of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.checks import check_path
from isoconv.data.counting import Counting
from isoconv.data.files import bad_file, file_error
from isoconv.data.pack_layout import PAGE
from isoconv.data.pack_writer import IS_THERE, PART, Packed, Writer
from isoconv.data.packed import ENDING
from isoconv.data.reading import Reading
from isoconv.data.sources import Source, batches_of
from isoconv.errors import IsoconvError
from isoconv.memory import readable
from isoconv.printable import printable
from isoconv.progress import check_progress

if TYPE_CHECKING:
    from rich.console import Console

__public__ = {"isoconv.data": ["pack"]}


def pack(
    source: Source,
    out: Path | str,
    *,
    size: int | tuple[int, int] | None = None,
    depth: int | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    progress: bool | Console = True,
    folder: Path | str | None = None,
) -> Packed:
    """Write a data set, decoded and checked, into one file that is read where it lies.

    All parts that the source has go into it, with labels, class names, paths and notes. Loaded, it
    is the same data set, of the same digests; what is larger than memory can be trained on, for
    the system reads what is needed and gives the memory back. Memory is needed for about 100 MiB of
    images at a time, and for the paths of all: folders of pictures, with masks or without, are
    decoded by as many threads as there are cores, and arrays of ``.npz`` and idx files are read
    forward, whether they are compressed or not. Read into memory first are arrays that lie column
    by column (Fortran's order), labels that are no masks, and CIFAR's files.

    If a pack of the same source was begun before and not finished, it goes on behind what is
    already there and right.

    Args:
        source: as for `isoconv.data.load`.
        out: the new file; its name ends in ``.pack``.
        size: as for `isoconv.data.load`.
        depth: likewise.
        reading: likewise.
        skip_bad: likewise.
        progress: likewise.
        folder: likewise.

    Raises:
        ArgumentError: as `isoconv.data.load`.
        DataError: likewise, or the disk has no room.
        DataFileError: likewise, or the file is there already, is being written by another process,
            would lie in a folder of its source, or cannot be written.
        MissingExtraError: as `isoconv.data.load`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> out = Path(tempfile.mkdtemp()) / "two.pack"
        >>> found = pack((np.zeros((2, 4, 4), np.uint8), ["dog", "cat"]), out)
        >>> found.samples, found.size == out.stat().st_size
        ({'train': 2}, True)
        >>> from isoconv.data import load
        >>> load(out).class_names
        ('cat', 'dog')
    """
    path = check_path("out", out).expanduser()
    if path.suffix.lower() != ENDING:
        expected, found = f"a name that ends in {ENDING}", repr(path.name)
        raise file_error(path, expected, found).within(argument="out", value=out)
    if os.path.lexists(path):
        raise bad_file(path, IS_THERE)
    _check_beside(source, path)
    counting = Counting(check_progress(progress))
    try:
        # Before the source is looked through, which may take a while.
        with Writer(path).held() as writer, _left_told(path):
            batches = batches_of(
                source, size=size, depth=depth, reading=reading, skip_bad=skip_bad,
                progress=progress, folder=folder,
            )  # fmt: skip
            return writer.write(batches, counting)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        refused = bad_file(path, reason)
        for line in getattr(error, "__notes__", ()):
            refused.add_note(line)
        raise refused from error


def _check_beside(source: Source, path: Path) -> None:
    """See that the file does not lie among the files of its source, which it would be one of.

    Raises:
        DataFileError: it does.
    """
    if not isinstance(source, str | Path):
        return
    folder = Path(source)
    inside = False
    # What is wrong with the source itself is told by whoever reads it.
    with suppress(OSError, RuntimeError):
        whole = folder.expanduser().resolve()
        inside = whole.is_dir() and whole in path.absolute().parent.resolve().parents
    if inside:
        within = f"must not lie in a folder of its source, {printable(folder)}: among its pictures"
        raise bad_file(path, f"{within} it would be a file that is left out")


@contextmanager
def _left_told(path: Path) -> Iterator[None]:
    """An error within says what it leaves behind."""
    try:
        yield
    except (IsoconvError, OSError) as error:
        part = path.with_name(path.name + PART)
        size = part.stat().st_size if part.exists() else 0
        if size > PAGE:
            told = f"{readable(size)} stay in {printable(part)}"
            error.add_note(f"{told}: the same command goes on from there")
        raise
