"""Folders of pictures batch by batch, for those that are larger than memory once decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.data.batches import BATCH, Batch
from isoconv.data.counting import Counting, Within
from isoconv.data.dataset import Dataset
from isoconv.data.files import Failures, Request, Split
from isoconv.data.folders import list_folder
from isoconv.data.pictures import class_names, datasets_of, noted, without_holes
from isoconv.data.reader import Reader, decoders
from isoconv.data.reading import Reading
from isoconv.data.survey import Usual, resolve, usual_size
from isoconv.printable import printable
from isoconv.rows import Array

LEAST = 32
"""Files of a batch at least, so that all threads have some."""


class FileBatches:
    """Picture files of parts, some at a time; see `isoconv.data.batches.Batches`.

    Args:
        path: of the folder that they are in.
        splits: its parts that are wanted.
        request: what is asked of them; the cache takes no part.
        own: the files of all parts.
        failures: gathers what cannot be read.
        notes: that whoever is refused wants to know as well.
        usual: the size of pictures when nobody says one.

    Raises:
        DataFileError: what the headers say does not go together.
        MissingExtraError: not one file can be read without an optional dependency.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    plan: Mapping[str, Any]

    def __init__(
        self,
        path: Path,
        splits: Sequence[Split],
        request: Request,
        own: Mapping[Split, list[Path]],
        failures: Failures,
        notes: Sequence[str],
        usual: Usual = usual_size,
    ) -> None:
        self._path, self._splits, self._request = path, splits, request
        self.name = printable(path.name or path.resolve().name)
        self._own, self._failures, self._told, self._usual = own, failures, notes, usual
        self._needed = splits if request.reading.resolved else tuple(own)
        self._files = [file for part in self._needed for file in own[part]]
        with noted(notes):
            self._begin()

    @property
    def label_bytes(self) -> int:
        """As the protocol says."""
        return 4

    def _begin(self) -> None:
        """Find out how the files are to be read: those that can be."""
        request = self._request
        wanted, self._notes = request.reading, list[str]()
        self._reading: Reading = wanted
        if not wanted.resolved:
            counting = Counting(request.progress)
            readable = self._failures.readable(self._files)
            found = resolve(readable, wanted, self._failures, None, counting, self._usual)
            self._reading, wanted, self._notes = found.reading, found.wanted, found.notes
        self._reading = replace(self._reading, dtype=self._reading.dtype or "uint8")
        self._step: Callable[[], None] = lambda: None
        self._reader = Reader(self._reading, wanted, counting=Within(self._count_one))
        self.shape, self.dtype = self._reader.shape, self._reader.dtype
        self._failed = self._failures.count
        self._count = max(LEAST, BATCH // (prod(self.shape) * self.dtype.itemsize))
        self.plan = {
            "reading": self._reading.plain(),
            "wanted": wanted.plain(),
            "decoders": decoders(),
            "batch": self._count,
            "skip_bad": request.skip_bad,
        }

    def each(self) -> Iterator[Batch]:
        """As the protocol says; a stamp tells the names, sizes and times of change of the files."""
        for part in self._splits:
            for first in range(0, len(self._own[part]), self._count):
                files = self._own[part][first : first + self._count]
                yield Batch(part, first, len(files), self._stamp(files))

    def _stamp(self, files: Sequence[Path]) -> str:
        found: list[Any] = []
        for file in files:
            try:
                state = file.stat()
            except OSError:
                found.append(None)
            else:
                name = file.relative_to(self._path).as_posix()
                found.append([name, state.st_size, state.st_mtime_ns])
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def make(self, batch: Batch, step: Callable[[], None]) -> tuple[Array, Any]:
        """As the protocol says; None is told of files that cannot be read: they are tried again."""
        files = self._of(batch)
        self._step = step
        tried = len(self._failures.readable(files))
        images, told = self._reader.read(files, self._failures)
        readable = set(self._failures.readable(files))
        there = [file in readable for file in files]
        for _ in range(len(files) - tried):
            step()
        return without_holes(images, there), {str(place): text for place, text in told.items()}

    def _count_one(self) -> None:
        # The step is that of the batch at hand.
        self._step()

    def recall(self, batch: Batch, told: Any) -> None:
        """As the protocol says."""
        if not isinstance(told, dict):
            raise ValueError("files must be told of by their places")
        self._reader.recall(self._of(batch), {int(place): told[place] for place in told})

    def _of(self, batch: Batch) -> list[Path]:
        return self._own[batch.part][batch.first : batch.first + batch.most]

    def again(self) -> bool:
        """What is left out has no say in how the others are read."""
        guessed = self._request.skip_bad and not self._request.reading.resolved
        new = self._failures.count - self._failed
        if not guessed or not new or self._failures.count == self._failures.total:
            return False
        before, reader = self.plan, self._reader
        with noted(self._told):
            self._begin()
        if self.plan != before:
            return True
        self._reader = reader
        return False

    @property
    def _all_notes(self) -> list[str]:
        return [*self._notes, *self._reader.notes(self._failures.root)]


class PictureBatches(FileBatches):
    """A folder of pictures, some files at a time.

    Args:
        path: of the folder.
        splits: its parts that are wanted.
        request: what is asked of them; the cache takes no part.

    Raises:
        DataFileError: which folders are parts cannot be told, a class has no pictures, or what the
            headers say does not go together.
        MissingExtraError: not one file can be read without an optional dependency.
    """

    def __init__(self, path: Path, splits: Sequence[Split], request: Request) -> None:
        failures = Failures(path, root=path, skip=request.skip_bad, hint=True)
        self._listing = list_folder(path, failures, request.classes)
        own = self._listing.own
        with noted(self._listing.notes):
            class_names(path, self._listing.files)
        needed = splits if request.reading.resolved else tuple(own)
        failures.total += sum(len(own[part]) for part in needed)
        super().__init__(path, splits, request, own, failures, self._listing.notes)

    def end(self, images: Mapping[Split, Array]) -> dict[Split, Dataset]:
        """As the protocol says."""
        with noted(self._listing.notes):
            return datasets_of(
                self._path, self._listing, images, self._failures, self._reading, self._all_notes
            )
