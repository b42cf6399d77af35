"""What a training is given to learn from, to choose by and to test with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isoconv.data import Dataset, Samples, Splits
from isoconv.data.classes import in_classes
from isoconv.data.labels import check_counted, present_classes
from isoconv.data.skipped import Skipped, all_skipped
from isoconv.errors import ArgumentError, CheckpointError, DataError, turned
from isoconv.train.metrics import Data, as_dataset

TITLES = {"train": "training data", "validation": "validation data", "test": "test data"}


class Given:
    """What a training is given to learn from, to choose by and to test with, checked.

    Args:
        train: a data set, images and labels, or `Splits`, which hold all parts.
        validation: likewise, or None.
        test: likewise, or None.
        names: of the classes that the labels are to be numbers of; None for those of the
            training data.
        whose: these names are, for messages.
        alike: names that count likewise if the training data have just these classes.
        written: samples and digest of each part, as the run that is gone on with has them.

    Attributes:
        parts: the data sets by part, with labels that are numbers of the same classes.
        samples: of all parts.
        listing: the same as samples.csv.
        digests: number of samples and digest of each part, as a receipt has them.
        how: the settings that made the parts of their source, as plain values.
        numbered: nobody named the classes.

    Raises:
        ArgumentError: parts beside `Splits`, or what is no data.
        DataError: data that cannot be used, or classes that are unknown.
    """

    def __init__(
        self,
        train: Data | Splits,
        validation: Data | None = None,
        test: Data | None = None,
        *,
        names: tuple[str, ...] | None = None,
        whose: str = "the model",
        alike: tuple[str, ...] = (),
        written: Mapping[str, Any] | None = None,
    ) -> None:
        self.how: Mapping[str, Any] = {}
        given: dict[str, Any] = {"train": train, "validation": validation, "test": test}
        if isinstance(train, Splits):
            if validation is not None or test is not None:
                text = "Splits hold all parts; got a validation or test part besides"
                raise ArgumentError(text, argument="validation" if test is None else "test")
            self.how = train.how
            given = {**train.parts}
        parts = {
            part: as_dataset(data, part, TITLES[part])
            for part, data in given.items()
            if part == "train" or data is not None
        }
        self.numbered = all(data.numbered for data in parts.values())
        if not names and self.numbered:
            if not isinstance(given["train"], Dataset):
                every = np.concatenate([present_classes(data.labels) for data in parts.values()])
                check_counted(every, _title(parts))
            # Counted from the labels of each part alone: one may lack the last ones.
            names = max((data.class_names for data in parts.values()), key=len)
        if not names and set(alike) == set(parts["train"].class_names):
            names = alike
        if names:
            parts["train"] = in_classes(parts["train"], names, whose)
        train = parts["train"]
        present = present_classes(train.labels).tolist() if train.class_names else []
        if train.class_names and len(present) < 2:
            found = [f"one, {train.class_names[each]!r}" for each in present]
            error = DataError(
                f"{train.name}: there must be two classes or more to tell apart; got "
                f"{found[0] if found else 'no label at all'}"
            )
            # What was left alone may be the other classes.
            for line in train.notes:
                error.add_note(line)
            raise error
        for part in ("validation", "test"):
            if part in parts:
                parts[part] = in_classes(parts[part], train.class_names, "the training data")
        self.parts = parts
        self.samples = Samples.of(parts)
        self.listing = self.samples.content()
        self.digests: Mapping[str, dict[str, Any]] = {
            part: {"samples": len(data), "sha256": _digest(data, (written or {}).get(part))}
            for part, data in parts.items()
        }

    @classmethod
    def again(
        cls,
        train: Data | Splits,
        validation: Data | None,
        test: Data | None,
        names: tuple[str, ...],
        where: str,
        written: Mapping[str, Any],
    ) -> Given:
        """What a run was given, given once more.

        Args:
            train: as above.
            validation: likewise.
            test: likewise.
            names: of the run's classes.
            where: the run is, for messages.
            written: samples and digest of each part, as the run has them.

        Raises:
            ArgumentError: what is no data.
            CheckpointError: data that cannot be those of the run.
        """
        try:
            return cls(train, validation, test, names=names or None, whose="the run",
                       written=written)  # fmt: skip
        except DataError as error:
            raise turned(error, CheckpointError, f"{where} was trained on other data") from error

    @property
    def train(self) -> Dataset:
        """What is learned from."""
        return self.parts["train"]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files of the source that were left out because they cannot be read."""
        return all_skipped(data.skipped for data in self.parts.values())

    @property
    def skipped_paths(self) -> list[str]:
        """Where they stand, without the reasons: those depend on versions of decoders."""
        return [each.path for each in self.skipped]

    @property
    def notes(self) -> list[str]:
        """What was left out, guessed or scaled while the data were read, a line each."""
        return [*self._splits.notes]

    @property
    def warnings(self) -> list[str]:
        """What a person should know before trusting the figures, a line each."""
        found = self._splits.warnings(self.samples)
        if len(self.parts) == 1:
            found.append("nothing is held out: figures are of the images that were learned from")
        return found

    @property
    def _splits(self) -> Splits:
        return Splits(self.train, self.parts.get("validation"), self.parts.get("test"))


def _title(parts: Mapping[str, Dataset]) -> str:
    """What the parts are called together; labels that do not count need not be those of one."""
    first, *others = (data.name for data in parts.values())
    if not others:
        return first
    present = (present_classes(data.labels) for data in parts.values())
    seen = (
        f"{name} {numbers[0]} … {numbers[-1]}"
        for name, numbers in zip((first, *others), present, strict=True)
        if len(numbers)
    )
    return f"all parts together ({', '.join(seen)})"


def _digest(data: Dataset, written: object) -> str:
    """The digest of a part, of version 1 where a run has just that one.

    Versions differ for class names with line ends in them alone. Which these are, a run says
    besides, name by name, so that the older digest vouches for as much beside it.
    """
    newest = data.digest()
    had = written.get("sha256") if isinstance(written, Mapping) else None
    if had in (None, newest) or not data.has_line_ends:
        return newest
    oldest = data.digest(version=1)
    return oldest if had == oldest else newest
