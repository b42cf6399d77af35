"""Images of a packed data set, which are decoded already and are read where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from isoconv.batch.item import Item, state_of
from isoconv.batch.table import as_text
from isoconv.data.pack_file import PackedRows, PackFile, open_pack
from isoconv.data.packed import bytes_of_paths, differences
from isoconv.data.tally import counted
from isoconv.errors import DataFileError, IsoconvError, NotEnoughMemoryError
from isoconv.graph.operation import Array
from isoconv.nn.alone import OneImage
from isoconv.nn.images import checked_images, warnings_told
from isoconv.nn.inference import reading_of
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.nn.module import Module


@dataclass(frozen=True, slots=True)
class PackedImages:
    """The images of all parts of one packed data set, in its order.

    Attributes:
        path: of the file.
        file: the same, open.
        names: where each image stood in the source, each with a zero byte behind it; empty where
            the data set does not say.
    """

    path: str
    file: PackFile
    names: bytes

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.file.images)

    def check(self, model: Module, scale: float | None) -> Sequence[str]:
        """See that the images have the shape and the kind of numbers that a model takes.

        Returns:
            How the pictures were read otherwise than in training, as far as that is known.

        Raises:
            IsoconvError: they do not.
        """
        images = self.file.images
        try:
            # What is warned of is told of each.
            with warnings_told():
                checked_images(model, np.zeros((1, *images.shape[1:]), images.dtype), scale)
        except IsoconvError as error:
            raise error.within(printable(self.path), path=self.file.path) from None
        return differences(reading_of(model), self.file.layout, self.file)

    def states(self) -> Iterator[bytes]:
        """One for all of them: whatever changes there changes the digest."""
        yield state_of(self.path) + b"\0" + self.file.sha256.encode()

    def items(self, start: int) -> Iterator[Item]:
        """The images from a number on."""
        place = 0
        for number in range(self.count):
            name = f"{self.path}#{number}"
            if self.names:
                end = self.names.index(b"\0", place)
                if number >= start:
                    name = self.names[place:end].decode("utf-8", "surrogateescape")
                place = end + 1
            if number >= start:
                yield Item(as_text(name), self.path, pack=self.file.sha256, number=number)


def packed_images(path: str) -> tuple[PackedImages, tuple[str, ...]]:
    """The images of a packed data set, and what is to be told of them, a line each.

    Raises:
        DataFileError: it is damaged, foreign, or cannot be opened.
        NotEnoughMemoryError: there is no memory for the names of its images.
    """
    file = open_pack(Path(path))
    found = PackedImages(path, file, bytes_of_paths(file))
    parts = ", ".join(f"{part.part} {part.samples:,}" for part in file.layout.parts)
    shown = printable(path)
    told = f"{shown}: {counted(found.count, 'image')} ({parts}); "
    told += "their labels are not looked at: isoconv evaluate compares with them"
    lost = len(file.layout.skipped)
    if not lost:
        return found, (told,)
    return found, (told, f"{shown}: {lost:,} files could not be read when it was packed")


def the_pack(item: Item) -> PackFile:
    """The packed data set that an image lies in, open for as long as somebody holds it.

    Raises:
        DataFileError: it is another one by now, or cannot be opened.
    """
    file = open_pack(Path(item.file))
    if file.sha256 != item.pack:
        raise DataFileError(
            f"{printable(item.file)} is not the packed data set of SHA-256 {item.pack} any more; "
            f"it has {file.sha256}",
            path=Path(item.file),
        )
    return file


def read_packed(model: Module, file: PackFile, item: Item, scale: float | None) -> OneImage:
    """An image as one of a model, which ``model.predict(…, scale=1)`` takes.

    Args:
        model: a built model.
        file: the data set.
        item: which of its images.
        scale: as for `Module.predict`.

    Raises:
        NotEnoughMemoryError: there is not enough memory for it now.
    """
    try:
        with warnings_told() as lines:
            row = cast(Array, PackedRows(file, np.array([item.number]))[:])
            file.touch(row.nbytes)
            images = checked_images(model, row, scale)
        return OneImage(item.name, images[0], tuple(lines))
    except NotEnoughMemoryError:
        raise
    except IsoconvError as error:
        return OneImage(item.name, None, error=error.reason)
