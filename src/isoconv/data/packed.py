"""Packed data sets: images and labels in one file, which is mapped and read where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from isoconv.checks import check_path
from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset, labelled
from isoconv.data.files import Format, Request, Split, file_error
from isoconv.data.pack_file import PackedRows, PackFile, open_pack
from isoconv.data.pack_layout import Layout
from isoconv.data.reading import Reading
from isoconv.errors import ArgumentError, DataError, DataFileError
from isoconv.files import is_regular
from isoconv.printable import printable
from isoconv.progress import check_progress
from isoconv.rows import Array

if TYPE_CHECKING:
    from rich.console import Console

__public__ = {"isoconv.data": ["check"], "isoconv.data.formats": ["PACK"]}

ENDING = ".pack"


def _splits(path: Path) -> tuple[Split, ...]:
    if path.suffix.lower() != ENDING or not is_regular(path):
        return ()
    return tuple(part.part for part in open_pack(path).layout.parts)


def _read(path: Path, splits: Sequence[Split], request: Request) -> dict[Split, Dataset]:
    file = open_pack(path)
    layout = file.layout
    # A class for each place of an image takes as much as the image: such labels stay in the file.
    of_places = layout.labels.dtype == "int32" and layout.labels.shape == layout.images.shape[:3]
    labels = None if of_places else file.numbers(layout.labels)
    paths = _paths(file)
    notes = differences(request.reading, layout, file)
    found: dict[Split, Dataset] = {}
    start = 0
    for part in layout.parts:
        own = slice(start, start + part.samples)
        start = own.stop
        if part.part not in splits:
            continue
        numbers = np.arange(own.start, own.stop)
        images = cast(Array, PackedRows(file, numbers))
        own_labels = PackedRows(file, numbers, "labels") if labels is None else labels[own]
        try:
            data = labelled(images, own_labels, layout.class_names or None, printable(path.name))
        except DataFileError:
            raise
        except DataError as error:
            raise DataFileError(error.reason, **error.fields).within(
                printable(path), path=path
            ) from error
        found[part.part] = replace(
            data,
            paths=paths[own],
            reading=layout.reading,
            numbered=layout.numbered if layout.class_names else data.numbered,
            notes=(*map(printable, part.notes), *notes),
            skipped=layout.skipped,
        )
    return {split: found[split] for split in splits}


def bytes_of_paths(file: PackFile) -> bytes:
    """Where each image stood in the source, each with a zero byte behind it; of no bytes if unsaid.

    Raises:
        DataFileError: a block is damaged, or there are more or fewer than images.
        NotEnoughMemoryError: there is no memory for them.
    """
    area = file.layout.paths
    content = b"" if area is None else file.numbers(area).tobytes()
    if area is not None and (found := content.count(b"\0")) != len(file.images):
        raise file_error(file.path, f"{len(file.images)} paths", f"{found}")
    if not content.endswith(b"\0"[: len(content)]):
        raise file_error(file.path, "paths that end", "one that does not")
    return content


def _paths(file: PackFile) -> tuple[str, ...]:
    found = bytes_of_paths(file).split(b"\0")[:-1]
    return tuple(each.decode("utf-8", "surrogateescape") for each in found)


def differences(wanted: Reading, layout: Layout, file: PackFile) -> tuple[str, ...]:
    """What is asked of picture files that were read in another way when they were packed.

    Args:
        wanted: how they are to be read.
        layout: of the data set.
        file: the same.

    Raises:
        ArgumentError: it is asked for by a person.
    """
    had = layout.reading
    if had is None:
        return ()
    if not wanted.resolved and wanted.depth not in (None, had.depth):
        raise ArgumentError(
            f"{printable(file.path)} was packed with a depth of {had.depth}; got {wanted.depth}: "
            "pack its source anew",
            argument="depth",
            value=wanted.depth,
        )
    names = ("depth", "dtype", "reduced", "opacity")
    pairs = ((name, getattr(had, name), getattr(wanted, name)) for name in names)
    differ = [f"{name} {one} in place of {other}" for name, one, other in pairs if one != other]
    if not differ or not wanted.resolved:
        return ()
    return (f"the pictures of {printable(file.path.name)} were packed with {', '.join(differ)}",)


PACK = Format(
    "a `.pack` file",
    "a packed data set, as `isoconv data pack` writes it, read where it lies on the disk",
    _splits,
    _read,
    endings=(ENDING,),
)


def check(path: Path | str, progress: bool | Console = False) -> list[str]:
    """All that is wrong with a packed data set: every block is read, and each part's digest made.

    Args:
        path: of the file.
        progress: as for `isoconv.data.load`.

    Returns:
        A line for each fault; none of a file that is right.

    Raises:
        DataFileError: what the file says of itself is damaged, or it is no packed data set.

    Example:
        >>> import tempfile
        >>> from isoconv.data import pack
        >>> out = Path(tempfile.mkdtemp()) / "one.pack"
        >>> _ = pack((np.zeros((2, 4, 4), np.uint8), [0, 1]), out)
        >>> check(out)
        []
    """
    file = open_pack(check_path("path", path).expanduser())
    file.check_unchanged()
    found = []
    with Counting(check_progress(progress)).of("checking", file.blocks, "blocks") as step:
        for number in range(file.blocks):
            if fault := file.fault(number):
                found.append(fault)
            step()
    file.check_unchanged()
    if found:
        return found
    parts = _read(file.path, [part.part for part in file.layout.parts], Request(Reading()))
    return [
        f"the {part.part} part is said to have SHA-256 {part.sha256}; it has {digest}"
        for part in file.layout.parts
        if (digest := parts[part.part].digest()) != part.sha256
    ]
