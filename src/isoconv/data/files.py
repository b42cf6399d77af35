"""Reading files from strangers: every size is checked before memory is taken for it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.reading import Reading
from isoconv.errors import DataError, DataFileError, MissingExtraError
from isoconv.files import PIECE, open_file
from isoconv.memory import check_memory
from isoconv.printable import printable

__all__ = [
    "DAMAGED",
    "SPLITS",
    "Failures",
    "Format",
    "Split",
    "build",
    "file_error",
    "open_data",
    "part_by_part",
    "read_exactly",
    "read_into",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, Split, Split] = ("train", "validation", "test")

DAMAGED = (OSError, EOFError, zlib.error)
"""What the standard library raises for truncated or corrupt compressed files."""

NAMED = 20
"""Files that an error names; it counts the rest."""

EXPANSION = 1032
"""Deflate makes at most this many bytes of one."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of source.

    Attributes:
        summary: what it looks like on disk, for messages.
        splits: which parts a path holds; empty when the path is not of this kind.
        read: reads the parts that are asked for, in this order; the last argument says how
            pictures are wanted.
    """

    summary: str
    splits: Callable[[Path], tuple[Split, ...]]
    read: Callable[[Path, Sequence[Split], Reading], dict[Split, Dataset]]


def part_by_part(
    read: Callable[[Path, Split], Dataset],
) -> Callable[[Path, Sequence[Split], Reading], dict[Split, Dataset]]:
    """`Format.read` of a kind whose parts do not know of each other and hold no picture files."""

    def read_parts(path: Path, splits: Sequence[Split], wanted: Reading) -> dict[Split, Dataset]:  # noqa: ARG001
        return {split: read(path, split) for split in splits}

    return read_parts


def file_error(path: Path | str, expected: str, found: str) -> DataFileError:
    """An error that names the file, what was expected and what was found.

    Example:
        >>> file_error("a.gz", "16 bytes", "3")
        DataFileError('a.gz: expected 16 bytes; found 3')
    """
    return DataFileError(f"{printable(path)}: expected {expected}; found {found}")


class Failures:
    """What cannot be read, gathered so that one error tells of all of it.

    Args:
        where: the folder or the like that is read.
        total: how many files are to be read; may be raised later.
    """

    def __init__(self, where: Path | str, total: int = 0) -> None:
        self.total = total
        self._where = where
        # Text alone: an exception would keep what its frames hold, whole pictures among it.
        self._broken: dict[Path, str] = {}
        self._cures: dict[str, list[Path]] = {}
        self._others: list[str] = []

    @contextmanager
    def gathered(self, path: Path) -> Iterator[None]:
        """A file that cannot be read does not stop what comes after it."""
        try:
            yield
        except MissingExtraError as error:
            # What one extra would cure is told once, however many files there are.
            self._cures.setdefault(str(error).removeprefix(f"{printable(path)}: "), []).append(path)
        except DataFileError as error:
            self._broken.setdefault(path, str(error))

    def add(self, problem: str) -> None:
        """Something that concerns many files at once."""
        self._others.append(problem)

    @property
    def count(self) -> int:
        """How many files have failed."""
        cured = [path for paths in self._cures.values() for path in paths]
        return len(self._broken) + len(cured)

    def readable(self, paths: Iterable[Path]) -> list[Path]:
        """Those that have not failed."""
        failed = {*self._broken, *(path for paths in self._cures.values() for path in paths)}
        return [path for path in paths if path not in failed]

    def raise_any(self) -> None:
        """Raise one error if anything failed.

        Raises:
            MissingExtraError: all that failed is what an optional dependency would read.
            DataFileError: something else failed; the first line says how much, and up to 20 files
                are named.
        """
        broken = list(self._broken.values())
        cures = [
            f"{len(paths)} of {self.total} files, the first of them {printable(paths[0])}: {cure}"
            for cure, paths in self._cures.items()
        ]
        if cures and not broken and not self._others:
            raise MissingExtraError(f"{printable(self._where)}: {'; '.join(cures)}")
        if len(broken) == 1 and not cures and not self._others:
            raise DataFileError(broken[0])
        lines = [*self._others, *cures]
        if broken:
            named = "".join(f"\n  {line}" for line in broken[:NAMED])
            rest = f"\n  and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
            lines.insert(0, f"{len(broken)} of {self.total} files cannot be read:{named}{rest}")
        if lines:
            raise DataFileError(f"{printable(self._where)}: " + "\n".join(lines))


@contextmanager
def open_data(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, through gzip when its name ends in ``.gz``.

    Raises:
        DataFileError: it cannot be opened.
    """
    try:
        file = open_file(path)
    except OSError as error:
        reason = error.strerror or error
        raise DataFileError(f"{printable(path)}: cannot be opened: {reason}") from error
    with file:
        yield cast(IO[bytes], gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file


def read_exactly(stream: IO[bytes], size: int, path: Path, what: str) -> NDArray[np.uint8]:
    """Read so many bytes of a file that `open_data` has opened.

    Args:
        stream: an open file.
        size: bytes to read.
        path: of the file.
        what: what the bytes are, for messages.

    Raises:
        DataFileError: the file ends too early or cannot be decompressed; or `size` is more than
            the file can hold, even compressed.
        NotEnoughMemoryError: `size` is more than there is memory for.
    """
    length = path.stat().st_size
    if size > length * (EXPANSION if path.suffix == ".gz" else 1):
        found = f"a file of {length} bytes: it is truncated or foreign"
        raise file_error(path, f"{size} bytes of {what}", found)
    return read_into(stream, size, printable(path), what)


def read_into(stream: IO[bytes], size: int, where: str, what: str) -> NDArray[np.uint8]:
    """Read so many bytes, in pieces, into memory that was asked for.

    The memory is used as far as bytes come, so that a false size costs none.

    Args:
        stream: gives the bytes.
        size: bytes to read.
        where: they are, for messages; printable.
        what: they are, for messages.

    Raises:
        DataFileError: there are fewer, or they cannot be decompressed.
        NotEnoughMemoryError: there is not enough memory for them.
    """
    check_memory(f"reading {where}", {what: size}, "a smaller file")
    content = np.empty(size, np.uint8)
    place = 0
    try:
        while place < size:
            piece = stream.read(min(PIECE, size - place))
            if not piece:
                raise file_error(where, f"{size} bytes of {what}", f"{place}: it is truncated")
            content[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
            place += len(piece)
    except DAMAGED as error:
        raise DataFileError(f"{where}: corrupt while reading {what}: {error}") from error
    return content


def build(
    path: Path,
    images: NDArray[Any],
    labels: NDArray[Any],
    class_names: Sequence[str] | None,
) -> Dataset:
    """`Dataset.from_arrays` with errors that name the file."""
    name = printable(path.name or path.resolve().name)
    try:
        return Dataset.from_arrays(images, np.asarray(labels), class_names, name=name)
    except DataFileError:
        raise
    except DataError as error:
        message = str(error).removeprefix(f"{name}: ")
        raise DataFileError(f"{printable(path)}: {message}") from error
