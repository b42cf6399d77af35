"""MNIST-style idx files, plain or gzipped.

An idx file is a header of big-endian 32-bit numbers (two zero bytes, the element type, the number
of axes, then each axis' size) and the elements, row-major. The format is described on the page of
the MNIST database, Y. LeCun, C. Cortes, C. J. C. Burges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.files import (
    DAMAGED,
    Format,
    Split,
    bad_file,
    build,
    check_holds,
    file_error,
    open_data,
    part_by_part,
    read_exactly,
)
from isoconv.data.names import class_names_of
from isoconv.data.streamed import ArrayStream, streamed_images
from isoconv.errors import DataFileError
from isoconv.printable import printable

__public__ = {"isoconv.data.formats": ["IDX"]}

_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
_UBYTE = 8


def read_idx(path: Path, axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read one idx file of unsigned bytes.

    Args:
        path: the file; its name ends in ``.gz`` when it is gzipped.
        axes: numbers of axes that are taken, such as ``(3, 4)``.

    Raises:
        DataFileError: the header is of another kind, or the data are shorter or longer than it
            says.
    """
    with open_data(path) as stream:
        shape = _shape(stream, path, axes)
        size = prod(shape)
        content = read_exactly(stream, size, path, f"data for the declared shape {shape}")
        try:
            rest = stream.read(1)
        except DAMAGED as error:
            raise bad_file(path, f"corrupt at its end: {error}") from error
    if rest:
        raise file_error(path, f"{size} bytes of data for the declared shape {shape}", "more")
    return content.reshape(shape)


def _shape(stream: IO[bytes], path: Path, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a header says; the stream stands behind it afterwards."""
    start = read_exactly(stream, 4, path, "idx header").tobytes()
    if start[:2] != b"\0\0" or start[2] != _UBYTE or start[3] not in axes:
        kinds = " or ".join(f"{(_UBYTE << 8) + count:#010x}" for count in axes)
        raise file_error(path, f"an idx header of unsigned bytes, {kinds}", f"0x{start.hex()}")
    header = read_exactly(stream, 4 * start[3], path, "idx header")
    return tuple(int(side) for side in header.view(">u4"))


def _left_in_file(path: Path, axes: tuple[int, ...]) -> NDArray[Any]:
    """As `read_idx`, but the images stay where they are until somebody asks for them."""
    with open_data(path) as file:
        shape = _shape(file, path, axes)
    size = prod(shape)
    check_holds(path, size, f"data for the declared shape {shape}")

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with open_data(path) as stream:
            if _shape(stream, path, axes) != shape:
                raise file_error(path, f"an array of shape {shape}, as before", "another")
            yield stream

    stream = ArrayStream(path, printable(path), shape, np.dtype(np.uint8), opened, DAMAGED)
    images = streamed_images(stream, printable(path)) if size else None
    return read_idx(path, axes) if images is None else images


def _files(path: Path) -> dict[tuple[Split, str], Path]:
    files: dict[tuple[Split, str], Path] = {}
    for entry in sorted(path.iterdir()):
        match = _NAME.fullmatch(entry.name)
        if match and not entry.is_dir():
            split: Split = "train" if match[1] == "train" else "test"
            # Sorted by name, a plain file comes before its gzipped twin and is taken.
            files.setdefault((split, match[2]), entry)
    return files


def _splits(path: Path) -> tuple[Split, ...]:
    if not path.is_dir():
        return ()
    found = {split for split, _ in _files(path)}
    return tuple(split for split in ("train", "test") if split in found)


def _read(
    path: Path,
    split: Split,
    images_of: Callable[[Path, tuple[int, ...]], NDArray[Any]] = read_idx,
) -> Dataset:
    files = _files(path)
    prefix = "train" if split == "train" else "t10k"
    for what, number in (("images", 3), ("labels", 1)):
        if (split, what) not in files:
            name = f"{prefix}-{what}-idx{number}-ubyte"
            present = ", ".join(sorted(entry.name for entry in files.values()))
            raise file_error(path, f"a file {name} or {name}.gz", present)
    images_file, labels_file = files[split, "images"], files[split, "labels"]
    images = images_of(images_file, (3, 4))
    labels = read_idx(labels_file, (1,))
    if len(images) != len(labels):
        raise file_error(
            labels_file,
            f"one label for each of the {len(images)} images of {images_file.name}",
            f"{len(labels)} labels",
        )
    names = class_names_of(path.name)
    try:
        return build(labels_file, images, labels, names)
    except DataFileError:
        if images.size:
            raise
        raise file_error(images_file, "at least one image", f"shape {images.shape}") from None


IDX = Format(
    "a folder of idx files",
    "`train-images-idx3-ubyte` and its three companions, plain or gzipped",
    _splits,
    part_by_part(_read),
    lazily=part_by_part(partial(_read, images_of=_left_in_file)),
)
