"""The folds of a data set: each is tested with once, by a model that learned from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np

from isoconv.checks import check_count, check_kind, check_number, refusal
from isoconv.data.dataset import Dataset
from isoconv.data.samples import sample_digests
from isoconv.data.splits import Splits
from isoconv.data.stratify import dealt, held_out
from isoconv.data.tally import counted
from isoconv.printable import listed
from isoconv.rows import Array, files_behind

__public__ = {"isoconv.data": ["*"]}


class Folds(Sequence[Splits]):
    """The parts of a k-fold cross-validation: a `Splits` for each fold, made when it is asked for.

    Every sample is in the test part of one of them and in the training part of the others. Each
    class is dealt out as evenly as can be, and copies of one picture in a class stay together
    (`isoconv.data.stratify.dealt`). Parts keep the samples in their first order.

    Args:
        data: what is dealt out; of `Splits` the training part. A validation part of theirs is that
            of every fold, and a test part is left alone.
        folds: how many, from 2 to the number of samples.
        seed: by which samples are dealt out, and held out for validation; 0 ≤ seed < 2**64.
        validation: fraction of each training part to hold out for early stopping and the best
            epoch; 0 for none.

    Attributes:
        notes: what a person should know of them, a line each.

    Raises:
        ArgumentError: a number out of range, or a fold or a validation part that gets no sample.

    Example:
        >>> import numpy as np
        >>> images = np.arange(90, dtype=np.uint8).reshape(10, 3, 3, 1)
        >>> folds = Folds(Dataset.from_arrays(images, [0, 1] * 5), 5)
        >>> [len(part) for part in folds[0].parts.values()]
        [8, 2]
        >>> sorted(int(image[0, 0, 0]) // 9 for splits in folds for image in splits.test.images)
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(
        self,
        data: Dataset | Splits,
        folds: int = 5,
        *,
        seed: int = 0,
        validation: float = 0.0,
    ) -> None:
        own = data if isinstance(data, Splits) else None
        whole = data if own is None else own.train
        self._data = check_kind("data", whole, Dataset, "a Dataset or Splits")
        self._count = check_count("folds", folds, least=2)
        self._seed = check_count("seed", seed, least=0, below=2**64)
        self._share = check_number("validation", validation, least=0, below=1)
        self._chosen = None if own is None else own.validation
        if self._chosen is not None and self._share:
            raise refusal("validation", "be 0 where the data have a validation part", validation)
        whole = self._data
        self._labels = whole.labels if whole.classes and not whole.of_places else None
        self._pictures = sample_digests(whole)
        rule = "leave each fold a sample, copies of one picture staying together"
        got = f"{folds} folds of {counted(len(whole), 'sample')}"
        if self._count > len(whole):
            raise refusal("folds", rule, folds, got=got)
        self._place = dealt(self._labels, len(whole), self._count, self._seed, self._pictures)
        for fold in range(self._count):
            _, held, test = self._numbers(fold)
            if not len(test):
                raise refusal("folds", rule, folds, got=got)
            if self._share and not len(held):
                rule = "hold out a sample beside each fold, or be 0 for none"
                raise refusal("validation", rule, validation, got=f"{validation:g} with {got}")
        self.notes = tuple(self._told())

    def __len__(self) -> int:
        return self._count

    @property
    def files(self) -> list[Path]:
        """The files that must be seen by who takes the folds in another process."""
        parts = [self._data, *([] if self._chosen is None else [self._chosen])]
        return files_behind(part.images for part in parts)

    @overload
    def __getitem__(self, fold: int) -> Splits: ...

    @overload
    def __getitem__(self, fold: slice) -> list[Splits]: ...

    def __getitem__(self, fold: int | slice) -> Splits | list[Splits]:
        """The parts of a fold, from 0."""
        if isinstance(fold, slice):
            return [self[number] for number in range(*fold.indices(len(self)))]
        number = range(len(self))[fold]
        rest, held, test = self._numbers(number)
        notes = (*self._data.notes, *self.notes)
        how = {
            "folds": len(self), "fold": number + 1, "split_seed": self._seed,
            "validation": float(self._share),
        }  # fmt: skip
        return Splits(
            replace(self._data.subset(rest), notes=notes),
            self._data.subset(held) if len(held) else self._chosen,
            self._data.subset(test),
            how,
        )

    def _numbers(self, fold: int) -> tuple[Array, Array, Array]:
        """The samples to learn from, to choose by and to test with."""
        test, rest = np.flatnonzero(self._place == fold), np.flatnonzero(self._place != fold)
        if not self._share:
            return rest, rest[:0], test
        labels = None if self._labels is None else self._labels[rest]
        pictures = [self._pictures[sample] for sample in rest.tolist()]
        stay, held = held_out(labels, len(rest), (self._share,), self._seed, pictures)
        return rest[stay], rest[held], test

    def _told(self) -> list[str]:
        """That some folds have nothing of a class to test with."""
        if self._labels is None:
            return []
        seen = [set[str]() for _ in self._data.class_names]
        for label, picture in zip(self._labels.tolist(), self._pictures, strict=True):
            seen[label].add(picture)
        few = [
            repr(name)
            for name, pictures in zip(self._data.class_names, seen, strict=True)
            if 0 < len(pictures) < len(self)
        ]
        if not few:
            return []
        have = "class has" if len(few) == 1 else "classes have"
        return [
            f"{len(few)} {have} fewer pictures than there are folds, {len(self)}: not every fold "
            f"tests {listed(few, 6)}"
        ]
