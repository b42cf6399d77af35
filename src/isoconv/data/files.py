"""Reading files from strangers: every size is checked before memory is taken for it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset, dataset_of
from isoconv.data.reading import Reading
from isoconv.data.skipped import Skipped, all_skipped, lines_by_reason
from isoconv.errors import DataError, DataFileError, MissingExtraError, in_file
from isoconv.files import PIECE, open_file
from isoconv.memory import check_memory
from isoconv.printable import printable
from isoconv.wording import either, setting

if TYPE_CHECKING:
    from rich.console import Console

    from isoconv.data.batches import Batches

__public__ = {"isoconv.data.formats": ["Format"]}

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, Split, Split] = ("train", "validation", "test")

DAMAGED = (OSError, EOFError, zlib.error)
"""What the standard library raises for truncated or corrupt compressed files."""

NAMED = 50
"""Files that an error's message names; it counts the rest."""

EXPANSION = 1032
"""Deflate makes at most this many bytes of one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a source besides its parts; what has no meaning for a kind is left alone.

    Attributes:
        reading: how picture files become arrays.
        skip_bad: picture files that cannot be read are left out and named, not an error.
        cache: decoded pictures are taken out of the user's cache, and kept there.
        progress: what tells how far reading has come: True, False or a console of rich.
        classes: of a folder of pictures the classes that are wanted, others are left alone; None
            for all that there are.
    """

    reading: Reading
    skip_bad: bool = False
    cache: bool = False
    progress: bool | Console = False
    classes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of source.

    A file of this folder that makes one and offers it to `isoconv.data.formats` is all that a new
    kind needs.

    Attributes:
        name: what it looks like on disk: "an .npz file".
        detail: what is in it.
        splits: which parts a path holds; empty when the path is not of this kind.
        read: reads the parts that are asked for, in this order.
        endings: of the names of files of this kind, in small letters; none of folders.
        general: it takes what is of no other kind.
        classes: the classes that a path holds by the names of its folders, for kinds that have any.
        lazily: as `read`, but leaves in their file the images that can be read some at a time.
        batches: reads the parts some images at a time, for kinds that may be larger than memory.
    """

    name: str
    detail: str
    splits: Callable[[Path], tuple[Split, ...]]
    read: Callable[[Path, Sequence[Split], Request], dict[Split, Dataset]]
    endings: tuple[str, ...] = ()
    general: bool = False
    classes: Callable[[Path], Collection[str]] = lambda _: ()
    lazily: Callable[[Path, Sequence[Split], Request], dict[Split, Dataset]] | None = None
    batches: Callable[[Path, Sequence[Split], Request], Batches] | None = None


def part_by_part(
    read: Callable[[Path, Split], Dataset],
) -> Callable[[Path, Sequence[Split], Request], dict[Split, Dataset]]:
    """`Format.read` of a kind whose parts do not know of each other and hold no picture files."""

    def read_parts(path: Path, splits: Sequence[Split], request: Request) -> dict[Split, Dataset]:  # noqa: ARG001
        return {split: read(path, split) for split in splits}

    return read_parts


def file_error(path: Path | str, expected: str, found: str) -> DataFileError:
    """An error that names the file, what was expected and what was found.

    Example:
        >>> file_error("a.gz", "16 bytes", "3")
        DataFileError('a.gz: expected 16 bytes; found 3')
    """
    return bad_file(path, f"expected {expected}; found {found}")


def bad_file(path: Path | str, reason: str) -> DataFileError:
    """An error that names the file, and says what is wrong with it.

    Args:
        path: of the file; in words where it is about a part of one (`in_file` adds the path).
        reason: in words.

    Example:
        >>> bad_file(Path("cats/1.png"), "empty (0 bytes)")
        DataFileError('cats/1.png: empty (0 bytes)')
    """
    error = DataFileError(reason).within(printable(path))
    return error.within(path=path) if isinstance(path, Path) else error


class Failures:
    """What cannot be read, gathered so that one error tells of all of it.

    Args:
        where: the folder or the like that is read; None if the files have no place in common.
        total: how many files are to be read; may be raised later.
        root: paths are shown from here where they stand for files that were left out.
        skip: what cannot be read is to be left out, as long as something is left.
        hint: whoever reads the error may ask for that.
    """

    def __init__(
        self,
        where: Path | str | None,
        total: int = 0,
        *,
        root: Path | None = None,
        skip: bool = False,
        hint: bool = False,
    ) -> None:
        self.total = total
        self.root = root
        self._where = where
        self._skip = skip
        self._hint = hint
        # Text alone: an exception would keep what its frames hold, whole pictures among it.
        self._reasons: dict[Path, str] = {}
        self._cures: dict[str, list[Path]] = {}
        self._others: list[str] = []

    @contextmanager
    def gathered(self, path: Path) -> Iterator[None]:
        """A file that cannot be read does not stop what comes after it."""
        try:
            yield
        except (DataFileError, MissingExtraError) as error:
            if path in self._reasons:
                return
            # Of another file, as one within an archive, the message names the place.
            reason = error.reason if error.path in (None, path) else str(error)
            self._reasons[path] = reason
            if isinstance(error, MissingExtraError):
                # What one extra would cure is told once, however many files there are.
                self._cures.setdefault(reason, []).append(path)

    def add(self, problem: str) -> None:
        """Something that concerns many files at once."""
        self._others.append(problem)

    @property
    def count(self) -> int:
        """How many files have failed."""
        return len(self._reasons)

    def readable(self, paths: Iterable[Path]) -> list[Path]:
        """Those that have not failed."""
        return [path for path in paths if path not in self._reasons]

    def skipped(self) -> tuple[Skipped, ...]:
        """What has failed, in the order of paths."""
        found = (
            Skipped(
                str(path) if self.root is None else path.relative_to(self.root).as_posix(), reason
            )
            for path, reason in self._reasons.items()
        )
        return all_skipped([found])

    def raise_any(self) -> None:
        """Raise one error if anything failed that is not to be left out.

        Raises:
            MissingExtraError: all that failed is what an optional dependency would read.
            DataFileError: something else failed; the first line says how much, and up to 50 files
                are named; its `files` are all of them.
        """
        left_out = self._skip and self.count < self.total
        if self._others or (self._reasons and not left_out):
            raise self.error()

    def error(self, first: str = "") -> DataFileError | MissingExtraError:
        """The error that tells of all that failed, behind what is to be said first."""
        cured = {path for paths in self._cures.values() for path in paths}
        broken = [path for path in self._reasons if path not in cured]
        error: DataFileError | MissingExtraError
        if cured and not (broken or self._others or first):
            cures = "; ".join(self._told_cures())
            error = MissingExtraError(f"{self._place()}{cures}{self._hinted()}")
        elif len(broken) == 1 and not (cured or self._others or first):
            error = bad_file(broken[0], self._reasons[broken[0]]).within(behind=self._hinted())
        else:
            error = DataFileError(self._text(first, broken, NAMED))
            if len(broken) > NAMED:
                error.whole = self._text(first, broken, len(broken))
        error.files = self.skipped()
        return error if self._where is None else error.within(path=self._where)

    def _text(self, first: str, broken: Sequence[Path], most: int) -> str:
        """All that there is to say, with so many files by name."""
        lines = [first] if first else []
        if broken:
            lines.append(f"{len(broken)} of {self.total} files cannot be read:")
            files = [(printable(path), self._reasons[path]) for path in broken]
            lines += lines_by_reason(files, most)
        if len(broken) > most:
            how = either("`files` of this error has all", "2> FILE takes all into a file")
            lines.append(f"  and {len(broken) - most} more ({how})")
        lines += [*self._told_cures(), *self._others]
        return self._place() + "\n".join(lines) + ("" if first else self._hinted())

    def _place(self) -> str:
        return "" if self._where is None else f"{printable(self._where)}: "

    def _told_cures(self) -> list[str]:
        return [
            f"{len(paths)} of {self.total} files, the first of them {printable(paths[0])}: {cure}"
            for cure, paths in self._cures.items()
        ]

    def _hinted(self) -> str:
        """How to go on without them, where that would do."""
        if not self._hint or self._others or self.count >= self.total:
            return ""
        them = "it" if self.count == 1 else "them"
        return f"\n{setting('skip_bad', 'True', '')} goes on without {them}"


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
        raise bad_file(path, f"cannot be opened: {reason}") from error
    with file, in_file(path):
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
    check_holds(path, size, what)
    return read_into(stream, size, printable(path), what)


def check_holds(path: Path, size: int, what: str) -> None:
    """See that a file can hold so many bytes, perhaps gzipped.

    Args:
        path: of the file.
        size: bytes.
        what: they are, for the message.

    Raises:
        DataFileError: it cannot.
    """
    length = path.stat().st_size
    if size > length * (EXPANSION if path.suffix == ".gz" else 1):
        found = f"a file of {length} bytes: it is truncated or foreign"
        raise file_error(path, f"{size} bytes of {what}", found)


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
        raise bad_file(where, f"corrupt while reading {what}: {error}") from error
    return content


def build(
    path: Path,
    images: NDArray[Any],
    labels: NDArray[Any],
    class_names: Sequence[str] | None,
) -> Dataset:
    """`Dataset.from_arrays` for a part that may lack classes, with errors that name the file."""
    name = printable(path.name or path.resolve().name)
    try:
        return dataset_of(images, labels, class_names, name, complete=False)
    except DataFileError:
        raise
    except DataError as error:
        found = DataFileError(error.reason, **error.fields).within(printable(path), path=path)
        raise found from error
