"""The parts of a data set: what to learn from, to choose by and to measure with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isoconv.cards import Carded
from isoconv.checks import check_kind, check_mapping
from isoconv.data.dataset import Dataset
from isoconv.data.samples import Sample, Samples
from isoconv.data.shown import splits_card
from isoconv.data.skipped import Skipped, all_skipped, skip_warning
from isoconv.data.tally import counted
from isoconv.printable import cut, listed, printable

__public__ = {"isoconv.data": ["Splits"]}


@dataclass(frozen=True, slots=True, repr=False)
class Splits(Carded, card=splits_card):
    """What to train on, what to choose by, and what to measure with once, at the end.

    ``train, validation, test = splits`` takes it apart.

    Attributes:
        train: the samples that are learned from.
        validation: for early stopping, the best epoch and every other choice; None if unwanted.
        test: for the final measurement; None if unwanted.
        how: the settings that made the parts of their source, as plain values.

    Raises:
        ArgumentError: parts that are no data sets.
    """

    train: Dataset
    validation: Dataset | None = None
    test: Dataset | None = None
    how: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kind("train", self.train, Dataset, "a Dataset")
        for part in ("validation", "test"):
            if getattr(self, part) is not None:
                check_kind(part, getattr(self, part), Dataset, "a Dataset or None")
        check_mapping("how", self.how)

    # Any in place of None: who takes the parts apart knows which of them were asked for.
    def __iter__(self) -> Iterator[Dataset | Any]:
        return iter((self.train, self.validation, self.test))

    @property
    def parts(self) -> dict[str, Dataset]:
        """The parts that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: data for name, data in named.items() if data is not None}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files that were left out because they cannot be read."""
        return all_skipped(data.skipped for data in self.parts.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, guessed or scaled while the data were read, a line each."""
        return tuple(dict.fromkeys(line for data in self.parts.values() for line in data.notes))

    def warnings(self, samples: Samples | None = None) -> list[str]:
        """What a person should know before trusting the figures, a line each.

        Args:
            samples: of these parts, if they are at hand already.
        """
        if samples is None:
            samples = Samples.of(self.parts)
        found = _warnings(self.parts, check_kind("samples", samples, Samples, "Samples"))
        if self.skipped:
            read = sum(len(data) for data in self.parts.values())
            found.insert(0, skip_warning(self.skipped, read))
        return found


def _of_two_classes(samples: Samples) -> list[str]:
    """A warning of pictures that stand under more than one class, with two paths of the first."""
    first: dict[str, Sample] = {}
    torn: dict[str, tuple[Sample, Sample]] = {}
    for row in samples.rows:
        other = first.setdefault(row.sha256, row)
        if other.class_name != row.class_name:
            torn.setdefault(row.sha256, (other, row))
    if not torn:
        return []
    one, two = next(iter(torn.values()))
    stand = "stands" if len(torn) == 1 else "stand"
    which = "" if len(torn) == 1 else "; the first of them"
    return [
        f"{counted(len(torn), 'picture')} {stand} under more than one class{which}: {one} and {two}"
    ]


def _warnings(parts: dict[str, Dataset], samples: Samples) -> list[str]:
    found = []
    for part, data in parts.items():
        if not data.classes:
            continue
        named = zip(data.class_names, data.class_counts().tolist(), strict=True)
        if data.of_places:
            lost = [cut(printable(name), 200) for name, count in named if not count]
            if lost:
                found.append(
                    f"{counted(len(lost), 'class', 'classes')} without a place in the {part} part: "
                    f"{listed(lost)}"
                )
            continue
        few = [f"{cut(printable(name), 200)} ({count})" for name, count in named if count < 2]
        if few:
            found.append(
                f"{counted(len(few), 'class', 'classes')} with fewer than 2 samples in the {part} "
                f"part: {listed(few)}; figures of such a class mean little"
            )
    found += _of_two_classes(samples)
    for part in ("validation", "test"):
        if part in parts:
            again = samples.shared("train", part)
            if again:
                found.append(
                    f"{again} of the {len(parts[part])} samples of the {part} part are also in the "
                    "training part: figures on them are too good"
                )
    return found
