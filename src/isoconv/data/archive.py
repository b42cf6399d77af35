"""NumPy's ``.npz`` files, read without pickle.

An archive is opened once: the header of an array that is checked is the one by which the bytes
behind it are read.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.files import (
    EXPANSION,
    Format,
    Split,
    bad_file,
    build,
    file_error,
    part_by_part,
)
from isoconv.data.labels import MAX_CLASSES
from isoconv.data.npy import LONGEST, Header, read_elements, read_header
from isoconv.data.streamed import ArrayStream, streamed_images, streamed_places
from isoconv.errors import IsoconvError, in_file
from isoconv.files import PIECE, is_regular, open_file
from isoconv.printable import listed, printable
from isoconv.rows import rows_behind

__public__ = {"isoconv.data.formats": ["NPZ"]}

KEYS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels")),
    "validation": (
        ("x_val", "y_val"),
        ("x_validation", "y_validation"),
        ("validation_images", "validation_labels"),
    ),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
CLASS_NAMES = "class_names"
_KNOWN = {name for pairs in KEYS.values() for pair in pairs for name in pair} | {CLASS_NAMES}

MEMBERS = 10_000
"""Entries of the largest archive that is read."""
_ENDING = ".npy"
_ENCRYPTED = 0x1
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that NumPy writes. Others expand a piece without a bound."""

DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What the standard library raises for archives that are truncated or corrupt."""


class Bounded(BufferedIOBase):
    """A file of which nobody gets more than a piece at once.

    An archive may say that its directory is as long as the whole file, which would be read and
    taken apart before anybody could look at it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; of an open end a piece and one byte at most, of more than that none."""
        if size is not None and size > PIECE:
            raise ValueError(f"it has a directory of {size} bytes, which must be at most {PIECE}")
        content = self._file.read(PIECE + 1 if size is None or size < 0 else size)
        if len(content) > PIECE:
            raise ValueError(f"it has an end of more than {PIECE} bytes")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._file.tell()

    def seekable(self) -> bool:
        """One can go to a place."""
        return True

    def readable(self) -> bool:
        """One can read."""
        return True


class _Archive:
    """An open archive whose entries were looked at.

    Args:
        path: of the file, for messages.
        archive: open.
        size: bytes of the file.

    Attributes:
        arrays: entry by the array's name.
        others: names of what is no array.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self.path = path
        self._archive, self._size = archive, size
        entries = archive.infolist()
        if len(entries) > MEMBERS:
            raise file_error(path, f"at most {MEMBERS} entries", f"{len(entries)}")
        again = [name for name, count in Counter(each.filename for each in entries).items()
                 if count > 1]  # fmt: skip
        if again:
            found = f"{listed(again)} more than once"
            raise file_error(path, "entries with names of their own", found)
        self.arrays = {
            each.filename.removesuffix(_ENDING): each
            for each in entries
            if each.filename.endswith(_ENDING)
        }
        self.others = [each.filename for each in entries if not each.filename.endswith(_ENDING)]

    def numbers(self, key: str, *, or_texts: bool = False) -> NDArray[Any]:
        """An array of numbers, or perhaps of texts."""
        with self._member(key) as (stream, where):
            header = self._checked(stream, key, where)
            if header.dtype.kind == "U" and not or_texts:
                raise file_error(where, "numbers", f"{header.dtype} of shape {header.shape}")
            return read_elements(stream, header, where)

    def left_in_file(self, key: str) -> ArrayStream | None:
        """An array that stays where it is; None for texts, and for one that is not row-major."""
        with self._member(key) as (stream, where):
            header = self._checked(stream, key, where)
        if header.fortran or header.dtype.kind == "U" or not header.shape:
            return None

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            with _opened(self.path) as again, again._member(key) as (stream, where):
                if again._checked(stream, key, where) != header:
                    raise file_error(where, f"{header.dtype} of shape {header.shape}", "another")
                yield stream

        return ArrayStream(self.path, where, header.shape, header.dtype, opened, DAMAGED)

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        """A list of texts, at most so many."""
        with self._member(key) as (stream, where):
            header = self._checked(stream, key, where)
            if header.dtype.kind != "U" or len(header.shape) != 1 or header.shape[0] > most:
                found = f"{header.dtype} of shape {header.shape}"
                raise file_error(where, f"a list of text, of at most {most} entries", found)
            return tuple(str(text) for text in read_elements(stream, header, where))

    def _checked(self, stream: BinaryIO, key: str, where: str) -> Header:
        """An array's header, once it, the entry and the file agree on the size."""
        entry = self.arrays[key]
        header = read_header(stream, where)
        if header.declared != entry.file_size:
            expected = f"{header.declared} bytes for the declared {header.dtype} of shape "
            raise file_error(where, f"{expected}{header.shape}", f"{entry.file_size}")
        return header

    @contextmanager
    def _member(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """An entry's bytes, and its name for messages."""
        where, entry = f"{printable(self.path)}, array {key!r}", self.arrays[key]
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _PACKINGS:
            found = "an encrypted one" if entry.flag_bits & _ENCRYPTED else "another packing"
            raise file_error(where, "an entry that is stored or deflated", found)
        room = min(entry.compress_size, self._size)
        if entry.file_size > EXPANSION * room + LONGEST:
            found = f"{entry.file_size} bytes declared in {room}"
            raise file_error(where, "a compressed size that can hold the array", found)
        try:
            with self._archive.open(entry) as stream:
                yield cast(BinaryIO, stream), where
        except IsoconvError:
            raise
        except DAMAGED as error:
            raise bad_file(where, f"truncated or corrupt: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    try:
        with (
            open_file(path) as file,
            zipfile.ZipFile(cast(BinaryIO, Bounded(file))) as archive,
            in_file(path),
        ):
            yield _Archive(path, archive, file.seek(0, 2))
    except IsoconvError:
        raise
    except DAMAGED as error:
        reason = f"truncated or corrupt .npz file: {error}"
        raise bad_file(path, reason) from error


def _splits(path: Path) -> tuple[Split, ...]:
    if path.suffix != ".npz" or not is_regular(path):
        return ()
    with _opened(path) as archive:
        present = archive.arrays
    return tuple(split for split in KEYS if any(pair[0] in present for pair in KEYS[split])) or (
        "train",
    )


def _read(path: Path, split: Split, *, lazily: bool = False) -> Dataset:
    with _opened(path) as archive:
        present = archive.arrays
        for images_key, labels_key in KEYS[split]:
            if images_key in present and labels_key in present:
                images = _images(archive, images_key, lazily)
                labels = _labels(archive, labels_key, images)
                names = archive.texts(CLASS_NAMES, MAX_CLASSES) if CLASS_NAMES in present else None
                break
        else:
            pairs = " or ".join(f"{images} and {labels}" for images, labels in KEYS[split])
            raise file_error(path, f"arrays named {pairs}", listed(sorted(present)) or "no arrays")
        beside = _beside(archive, (images_key, labels_key), split)
    if labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind in "iuU":
        labels = labels[:, 0]
    return replace(build(path, images, labels, names), notes=beside)


def _images(archive: _Archive, key: str, lazily: bool) -> NDArray[Any]:
    stream = archive.left_in_file(key) if lazily else None
    found = None if stream is None else streamed_images(stream, printable(archive.path))
    return archive.numbers(key) if found is None else found


def _labels(archive: _Archive, key: str, images: NDArray[Any]) -> NDArray[Any]:
    """Of images that stay in the file, classes of their places stay there, too."""
    stream = None if rows_behind(images) is None else archive.left_in_file(key)
    found = None if stream is None else streamed_places(stream, images)
    return archive.numbers(key, or_texts=True) if found is None else found


def _beside(archive: _Archive, used: tuple[str, str], split: Split) -> tuple[str, ...]:
    """A note of what no part is made of."""
    spellings = {name for pair in KEYS[split] for name in pair}
    left = [name for name in archive.arrays if name not in used
            and (name not in _KNOWN or name in spellings)]  # fmt: skip
    left += archive.others
    return (f"left out of {printable(archive.path.name)}: {listed(left)}",) if left else ()


NPZ = Format(
    "an `.npz` file",
    "`images` and `labels`, or `x_train`, `y_train`, `x_val`, `y_val`, `x_test` and `y_test`",
    _splits,
    part_by_part(_read),
    lazily=part_by_part(partial(_read, lazily=True)),
    endings=(".npz",),
)
