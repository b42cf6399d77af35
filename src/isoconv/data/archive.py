"""NumPy's ``.npz`` files, read without pickle."""

from __future__ import annotations

import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.files import EXPANSION, Format, Split, build, file_error, part_by_part
from isoconv.errors import DataFileError, IsoconvError
from isoconv.memory import check_memory
from isoconv.printable import printable

__all__ = ["NPZ"]

KEYS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels")),
    "validation": (
        ("x_val", "y_val"),
        ("x_validation", "y_validation"),
        ("validation_images", "validation_labels"),
    ),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
HEADER = 10_000
"""Bytes of the longest header of an array that is read."""

_DAMAGED = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, NotImplementedError)


def _keys(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays' names; raises when the file is no zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except _DAMAGED as error:
        raise DataFileError(
            f"{printable(path)}: truncated or corrupt .npz file: {error}"
        ) from error
    return {info.filename.removesuffix(".npy"): info for info in infos}


def _array(path: Path, key: str, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, once its header, its declared size and the file's size agree."""
    where = f"{printable(path)}, array {key!r}"
    room = min(info.compress_size, path.stat().st_size)
    if info.file_size > EXPANSION * room + HEADER:
        found = f"{info.file_size} bytes declared in {room}"
        raise file_error(where, "a compressed size that can hold the array", found)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise file_error(where, "an .npy header of version 1 or 2", f"version {version}")
            shape, _, dtype = read_header(stream, max_header_size=HEADER)
            declared = stream.tell() + prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise file_error(where, "numbers or text", f"Python objects (dtype {dtype})")
        if declared != info.file_size:
            expected = f"{declared} bytes for the declared {dtype} of shape {shape}"
            raise file_error(where, expected, f"{info.file_size}")
        check_memory(where, {"the array": declared}, "a smaller file")
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[key])
    except IsoconvError:
        raise
    except _DAMAGED as error:
        raise DataFileError(f"{where}: truncated or corrupt: {error}") from error


def _splits(path: Path) -> tuple[Split, ...]:
    if path.suffix != ".npz" or not path.is_file():
        return ()
    present = _keys(path)
    return tuple(split for split in KEYS if any(pair[0] in present for pair in KEYS[split])) or (
        "train",
    )


def _read(path: Path, split: Split) -> Dataset:
    present = _keys(path)
    for images_key, labels_key in KEYS[split]:
        if images_key in present and labels_key in present:
            images = _array(path, images_key, present[images_key])
            labels = _array(path, labels_key, present[labels_key])
            if labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind in "iu":
                labels = labels[:, 0]
            return build(path, images, labels, _class_names(path, present))
    pairs = " or ".join(f"{images} and {labels}" for images, labels in KEYS[split])
    raise file_error(path, f"arrays named {pairs}", ", ".join(sorted(present)) or "no arrays")


def _class_names(path: Path, present: dict[str, zipfile.ZipInfo]) -> tuple[str, ...] | None:
    if "class_names" not in present:
        return None
    names = _array(path, "class_names", present["class_names"])
    if names.dtype.kind != "U" or names.ndim != 1:
        found = f"{names.dtype} of shape {names.shape}"
        raise file_error(f"{path}, array 'class_names'", "a list of text", found)
    return tuple(str(name) for name in names)


NPZ = Format(
    "an .npz file with images and labels (or x_train, y_train, …)", _splits, part_by_part(_read)
)
