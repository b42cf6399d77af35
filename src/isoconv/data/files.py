"""Reading files from strangers: every size is checked before memory is taken for it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.errors import DataError, DataFileError
from isoconv.memory import check_memory

__all__ = [
    "DAMAGED",
    "SPLITS",
    "Format",
    "Split",
    "build",
    "file_error",
    "open_data",
    "read_exactly",
]

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

DAMAGED = (OSError, EOFError, zlib.error)
"""What the standard library raises for truncated or corrupt compressed files."""

PIECE = 1 << 20
EXPANSION = 1032
"""Deflate makes at most this many bytes of one."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of source.

    Attributes:
        summary: what it looks like on disk, for messages.
        splits: which parts a path holds; empty when the path is not of this kind.
        read: reads one part; the last argument is the wanted size (H, W) of images or None.
    """

    summary: str
    splits: Callable[[Path], tuple[Split, ...]]
    read: Callable[[Path, Split, tuple[int, int] | None], Dataset]


def file_error(path: Path | str, expected: str, found: str) -> DataFileError:
    """An error that names the file, what was expected and what was found.

    Example:
        >>> file_error("a.gz", "16 bytes", "3")
        DataFileError('a.gz: expected 16 bytes; found 3')
    """
    return DataFileError(f"{path}: expected {expected}; found {found}")


def open_data(path: Path) -> BufferedIOBase:
    """Open a file, through gzip when its name ends in ``.gz``.

    Raises:
        DataFileError: it cannot be opened.
    """
    try:
        return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DataFileError(f"{path}: cannot be opened: {error}") from error


def read_exactly(stream: BufferedIOBase, size: int, path: Path, what: str) -> bytearray:
    """Read so many bytes, in pieces, so that a false size costs no memory.

    Args:
        stream: an open file.
        size: bytes to read.
        path: for messages.
        what: what the bytes are, for messages.

    Raises:
        DataFileError: the file ends too early or cannot be decompressed; or `size` is more than
            the file can hold, even compressed.
        NotEnoughMemoryError: `size` is more than there is memory for.
    """
    limit = path.stat().st_size * (EXPANSION if path.suffix == ".gz" else 1)
    if size > limit:
        found = f"a file of {path.stat().st_size} bytes: it is truncated or foreign"
        raise file_error(path, f"{size} bytes of {what}", found)
    check_memory(f"{path}: {what}", {what: size}, "a smaller file")
    content = bytearray()
    try:
        while len(content) < size:
            piece = stream.read(min(PIECE, size - len(content)))
            if not piece:
                raise file_error(
                    path, f"{size} bytes of {what}", f"{len(content)}: it is truncated"
                )
            content += piece
    except DAMAGED as error:
        raise DataFileError(f"{path}: corrupt while reading {what}: {error}") from error
    return content


def build(
    path: Path,
    images: NDArray[Any],
    labels: NDArray[Any],
    class_names: Sequence[str] | None,
) -> Dataset:
    """`Dataset.from_arrays` with errors that name the file."""
    try:
        return Dataset.from_arrays(images, np.asarray(labels), class_names, name=path.name)
    except DataFileError:
        raise
    except DataError as error:
        message = str(error).removeprefix(f"{path.name}: ")
        raise DataFileError(f"{path}: {message}") from error
