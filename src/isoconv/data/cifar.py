"""CIFAR-10 and CIFAR-100 in their binary version: a folder or the tar.gz as it is published.

A record is the label (CIFAR-100: coarse, then fine label) and 3072 bytes: 32 × 32 red values,
then green, then blue, each row-major. Source: A. Krizhevsky, "Learning multiple layers of features
from tiny images", 2009, and the page of the data sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.files import (
    DAMAGED,
    Format,
    Split,
    bad_file,
    build,
    file_error,
    open_data,
    part_by_part,
)
from isoconv.data.names import class_names_of
from isoconv.data.tar import Member, members
from isoconv.files import is_regular, read_file
from isoconv.memory import check_memory
from isoconv.printable import printable

__public__ = {"isoconv.data.formats": ["CIFAR"]}

PIXELS = 32 * 32 * 3
LIMIT = 1 << 29
"""Bytes of the largest file that is read: three times the largest that CIFAR holds."""

_BATCH = re.compile(r"data_batch_(\d+)\.bin")
_NAMES_FILE = {10: "batches.meta.txt", 100: "fine_label_names.txt"}


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the wanted files are: beside each other in a folder, or members of a tar file."""

    path: Path
    sizes: Mapping[str, int]

    @property
    def classes(self) -> int:
        """10 or 100, by the names of the files; 0 for neither."""
        if "test_batch.bin" in self.sizes or any(map(_BATCH.fullmatch, self.sizes)):
            return 10
        return 100 if {"train.bin", "test.bin"} & self.sizes.keys() else 0

    def parts(self, split: Split) -> tuple[str, ...]:
        """Names of the files with this part's records, in order."""
        if self.classes == 100:
            return tuple(name for name in (f"{split}.bin",) if name in self.sizes)
        if split == "test":
            return tuple(name for name in ("test_batch.bin",) if name in self.sizes)
        numbers = [int(match[1]) for match in map(_BATCH.fullmatch, self.sizes) if match]
        for number in range(1, max(numbers, default=0) + 1):
            if number not in numbers:
                raise file_error(self.path, f"a file data_batch_{number}.bin", "none of this name")
        return tuple(f"data_batch_{number}.bin" for number in sorted(numbers))

    def read(self, wanted: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        """The files' bytes.

        Raises:
            DataFileError: they cannot be read.
            NotEnoughMemoryError: there is not enough memory for them and the images of them.
        """
        total = sum(self.sizes[name] for name in wanted)
        needs = {"the files": total, "their images": total}
        check_memory(f"reading {printable(self.path)}", needs, "a smaller data set")
        if self.path.is_dir():
            return {name: _read_plain(self.path / name) for name in wanted}
        return {
            PurePosixPath(member.name).name: member.read()
            for member in _members(self.path)
            if PurePosixPath(member.name).name in wanted
        }


def _read_plain(path: Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(read_file(path, LIMIT), np.uint8)
    except OSError as error:
        reason = error.strerror or error
        raise bad_file(path, f"cannot be read: {reason}") from error


def _is_wanted(name: str) -> bool:
    known = ("test_batch.bin", "train.bin", "test.bin", *_NAMES_FILE.values())
    return name in known or _BATCH.fullmatch(name) is not None


def _members(path: Path) -> Iterator[Member]:
    """The files with CIFAR's names in an archive.

    Nothing is ever written to disk, so no member can escape from a folder.
    """
    seen: set[str] = set()
    where = printable(path)
    with open_data(path) as stream:
        try:
            for member in members(stream, where, LIMIT):
                name = PurePosixPath(member.name).name
                if not _is_wanted(name):
                    continue
                if name in seen:
                    raise file_error(path, f"one file {name}", "several")
                seen.add(name)
                yield member
        except DAMAGED as error:
            reason = f"truncated or corrupt tar.gz file: {error}"
            raise bad_file(where, reason) from error


@lru_cache(maxsize=4)
def _listing(path: Path, size: int, modified: int) -> Mapping[str, int]:  # noqa: ARG001
    # Listing takes a whole decompression; size and time stand for the file's content.
    return MappingProxyType(
        {PurePosixPath(member.name).name: member.size for member in _members(path)}
    )


def _locate(path: Path) -> _Files | None:
    if is_regular(path):
        if not path.name.endswith((".tar.gz", ".tgz")):
            return None
        state = path.stat()
        return _Files(path, _listing(path, state.st_size, state.st_mtime_ns))
    for folder in (path, path / "cifar-10-batches-bin", path / "cifar-100-binary"):
        if folder.is_dir():
            # What is no file, or a link to nothing, is told when it is read.
            sizes = {
                entry.name: entry.stat().st_size if is_regular(entry) else 0
                for entry in folder.iterdir()
                if _is_wanted(entry.name) and not entry.is_dir()
            }
            if any(name.endswith(".bin") for name in sizes):
                return _Files(folder, sizes)
    for archive in ("cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"):
        if is_regular(path / archive):
            return _locate(path / archive)
    return None


def _splits(path: Path) -> tuple[Split, ...]:
    files = _locate(path)
    if files is None or not files.classes:
        return ()
    return tuple(split for split in ("train", "test") if files.parts(split))


def _records(file: str, content: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.uint8], ...]:
    """Images (N, 32, 32, 3) and labels (N,) of one file."""
    lead = 1 if classes == 10 else 2
    record = lead + PIXELS
    if not len(content) or len(content) % record:
        expected = f"a whole number of records of {record} bytes"
        raise file_error(file, expected, f"{len(content)} bytes: it is truncated or foreign")
    rows = content.reshape(-1, record)
    labels = rows[:, lead - 1]
    wrong = labels >= classes
    if wrong.any():
        first = int(wrong.argmax())
        found = f"label {int(labels[first])} in record {first}"
        raise file_error(file, f"labels in 0 … {classes - 1}", found)
    return rows[:, lead:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _class_names(
    file: str, content: NDArray[np.uint8] | None, classes: int
) -> tuple[str, ...] | None:
    if content is None:
        return class_names_of("cifar10") if classes == 10 else None
    try:
        names = tuple(content.tobytes().decode().split())
    except UnicodeDecodeError as error:
        raise file_error(file, "names in UTF-8", str(error)) from error
    if len(names) != classes:
        raise file_error(file, f"{classes} class names", f"{len(names)}")
    return names


def _read(path: Path, split: Split) -> Dataset:
    files = _locate(path)
    if files is None:
        raise file_error(path, CIFAR.name, "none")
    classes, parts = files.classes, files.parts(split)
    names_file = _NAMES_FILE[classes]
    contents = files.read((*parts, names_file) if names_file in files.sizes else parts)
    where = str(files.path)
    pairs = [_records(f"{where}/{part}", contents[part], classes) for part in parts]
    names = _class_names(f"{where}/{names_file}", contents.get(names_file), classes)
    numbers = tuple(str(number) for number in range(classes))
    images = np.concatenate([pair[0] for pair in pairs])
    labels = np.concatenate([pair[1] for pair in pairs])
    return replace(build(files.path, images, labels, names or numbers), numbered=names is None)


CIFAR = Format(
    "a folder of CIFAR binaries, or their `tar.gz`",
    "`data_batch_1.bin` … or `train.bin`",
    _splits,
    part_by_part(_read),
    endings=(".tar.gz",),
)
