"""Folders of pictures and masks batch by batch, for those that are larger than memory once decoded.

Masks stay in their files until they are written: what a pack is to hold of them is read some at a
time, whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import numpy as np

from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset
from isoconv.data.files import Request, Split
from isoconv.data.masks import MaskFolder, Masks
from isoconv.data.picture_batches import FileBatches
from isoconv.data.pictures import noted
from isoconv.data.survey import usual_map_size
from isoconv.rows import Array, Numbers, Rows


class MaskRows(Rows):
    """The classes of the places of pictures, read from mask files when they are asked for.

    Args:
        masks: the files.
        numbers: int64 ``(N,)``, which of them they are.
    """

    def __init__(self, masks: Masks, numbers: Numbers) -> None:
        # Nothing lies there: it tells the shape alone.
        nothing = np.broadcast_to(np.int32(-1), (len(masks.files), *masks.size))
        super().__init__(nothing, numbers)
        self._masks = masks

    def _like(self, numbers: Numbers) -> Self:
        return type(self)(self._masks, numbers)

    def _are_a_view(self) -> bool:
        return False

    def _read(self, numbers: Numbers) -> Array:
        files = [self._masks.files[number] for number in numbers.tolist()]
        found = replace(self._masks, files=files, counting=Counting(False)).all()
        found.flags.writeable = False
        return found


class MaskBatches(FileBatches):
    """A folder of pictures and masks, some files at a time; see `isoconv.data.batches.Batches`.

    Args:
        path: of the folder.
        splits: its parts that are wanted.
        request: what is asked of them; the cache takes no part.

    Raises:
        DataFileError: as `MaskFolder`, or what the headers say does not go together.
        MissingExtraError: not one file can be read without an optional dependency.
    """

    def __init__(self, path: Path, splits: Sequence[Split], request: Request) -> None:
        self._folder = folder = MaskFolder(path, request)
        super().__init__(
            path, splits, request, folder.own, folder.failures, folder.notes, usual_map_size
        )

    @property
    def label_bytes(self) -> int:
        """As the protocol says."""
        height, width, _ = self.shape
        return 4 * height * width

    def end(self, images: Mapping[Split, Array]) -> dict[Split, Dataset]:
        """As the protocol says."""

        def rows(masks: Masks) -> Array:
            return cast(Array, MaskRows(masks, np.arange(len(masks.files))))

        with noted(self._folder.notes):
            self._failures.raise_any()
            return {
                part: self._folder.data(part, array, self._reading, self._all_notes, rows)
                for part, array in images.items()
            }
