"""Sources whose images come some at a time, so that they need not be in memory together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from isoconv.data.dataset import Dataset
from isoconv.data.files import Split
from isoconv.data.passes import little
from isoconv.data.streamed import StreamedRows
from isoconv.rows import Array, rows_behind

BATCH = 1 << 25
"""Bytes of the images of a batch, about."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Neighbouring samples of a part.

    Attributes:
        part: theirs.
        first: the number of the first of them within what the part is made of.
        most: how many images there are, unless some cannot be read.
        stamp: what they are made from: the same stamp gives the same images.
    """

    part: Split
    first: int
    most: int
    stamp: str


class Batches(Protocol):
    """A source's parts, batch by batch, each of which is made or was made before.

    Attributes:
        name: of the source.
        shape: height, width and channels of an image.
        dtype: uint8 or float32.
        plan: how images are made, as plain values: made in another way they may be others.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    plan: Mapping[str, Any]

    @property
    def label_bytes(self) -> int:
        """Of the label of an image."""

    def each(self) -> Iterator[Batch]:
        """All batches, part by part, in the order of their samples."""

    def make(self, batch: Batch, step: Callable[[], None]) -> tuple[Array, Any]:
        """The images of a batch, and plain values by which `recall` knows what there is to tell.

        Args:
            batch: one of `each`.
            step: called for each image that is done, readable or not.
        """

    def recall(self, batch: Batch, told: Any) -> None:
        """A batch is as it was made, now or before.

        Raises:
            ValueError: what was told is something else.
        """

    def again(self) -> bool:
        """Whether what came of the batches makes another plan, by which all are made anew."""

    def end(self, images: Mapping[Split, Array]) -> dict[Split, Dataset]:
        """The parts, of the images that were made.

        Raises:
            DataError: they make no data set.
        """


class ArrayBatches:
    """Data sets that are in memory, or in a file, batch by batch.

    Args:
        parts: that the source has.
    """

    def __init__(self, parts: Mapping[Split, Dataset]) -> None:
        self._parts = parts
        first = next(iter(parts.values()))
        self.name = first.name
        self.shape, self.dtype = first.image_shape, first.images.dtype
        self._count = max(1, BATCH * len(first) // first.images.nbytes)
        self.plan: Mapping[str, Any] = {
            "parts": {part: len(data) for part, data in parts.items()},
            "images": [self.dtype.name, *self.shape],
            "batch": self._count,
        }

    @property
    def label_bytes(self) -> int:
        """As the protocol says."""
        labels = next(iter(self._parts.values())).labels
        return labels.nbytes // len(labels)

    def each(self) -> Iterator[Batch]:
        """As the protocol says; a stamp is the digest of the images, or tells of their file."""
        for part, data in self._parts.items():
            rows = rows_behind(data.images)
            stamp = rows.stamp if isinstance(rows, StreamedRows) else ""
            for first in range(0, len(data), self._count):
                count = min(self._count, len(data) - first)
                if not stamp:
                    content = little(data.images[first : first + count])
                    yield Batch(part, first, count, hashlib.sha256(content).hexdigest())
                else:
                    yield Batch(part, first, count, stamp)

    def make(self, batch: Batch, step: Callable[[], None]) -> tuple[Array, Any]:
        """As the protocol says."""
        for _ in range(batch.most):
            step()
        return self._parts[batch.part].images[batch.first : batch.first + batch.most], None

    def recall(self, batch: Batch, told: Any) -> None:
        """There is nothing to tell of a batch."""

    def again(self) -> bool:
        """It is made but once."""
        return False

    def end(self, images: Mapping[Split, Array]) -> dict[Split, Dataset]:  # noqa: ARG002
        """The parts as they are."""
        return dict(self._parts)
