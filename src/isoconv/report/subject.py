"""What a report is about: a run, what it was measured on, and what follows from both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoconv.arithmetic.elementary import log
from isoconv.data import Dataset
from isoconv.nn import Module
from isoconv.report.chart import Curve
from isoconv.train import Evaluation, RunFolder
from isoconv.train.callbacks import best_epoch, watched_metric
from isoconv.train.scores import Answer, Scores, answers, score

__all__ = ["PARTS", "Subject"]

PARTS = ("train", "validation", "test")

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A run and a measurement of it.

    Attributes:
        description: of the run, as in run.json.
        history: a row for each epoch.
        model: the trained model.
        dataset: what it was measured on.
        evaluation: the measurement.
        part: what the data set is to the run.
        notes: what a person should know before trusting the figures, a line each.
        counts: images of each class in each part of the run, by names.
        names: of all classes that the model knows, also those that nobody named; none where the
            measurement tells no classes apart.
        scores: of the measurement; None without classes.
    """

    description: Mapping[str, Any]
    history: History
    model: Module
    dataset: Dataset
    evaluation: Evaluation
    part: str
    notes: Sequence[str]
    counts: Mapping[str, Counter[str]]
    names: tuple[str, ...] = field(init=False)
    scores: Scores | None = field(init=False)

    def __post_init__(self) -> None:
        names, confusion = self.dataset.class_names, self.evaluation.confusion
        told = bool(names) and self.evaluation.probabilities is not None
        if not told or len(confusion) < len(names):
            names = ()
        else:
            # A model may have more outputs than the data have classes.
            names = (*names, *(f"class {place}" for place in range(len(names), len(confusion))))
        scores = score(confusion, self._majority(names)) if names else None
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "scores", scores)

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        history: History,
        model: Module,
        dataset: Dataset,
        evaluation: Evaluation,
        part: str,
        notes: Sequence[str],
    ) -> Subject:
        """The subject of a run folder's report.

        Raises:
            CheckpointError: the folder holds no run that can be read.
        """
        description = folder.description()
        samples = folder.samples()
        counts: dict[str, Counter[str]] = {}
        for row in () if samples is None else samples.rows:
            counts.setdefault(row.part, Counter())[row.class_name] += 1
        return cls(description, history, model, dataset, evaluation, part, notes, counts)

    def _majority(self, names: Sequence[str]) -> int | None:
        """The most frequent class of the training part, the first of equals, where it is known."""
        learned = self.counts.get("train", Counter())
        known = [learned[name] for name in names]
        return known.index(max(known)) if any(known) else None

    @property
    def title(self) -> str:
        """Model and data."""
        return f"{self.model_name or 'A network'} on {self.dataset.name}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """What whoever started the run kept beside its settings."""
        facts = self.description.get("facts")
        return facts if isinstance(facts, Mapping) else {}

    @property
    def model_name(self) -> str:
        """As a person calls the model; "" where nobody said."""
        return str(self.facts.get("model") or "")

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the training."""
        settings: Mapping[str, Any] = self.description["settings"]
        return settings

    @property
    def warnings(self) -> list[str]:
        """Notes that put the figures in question."""
        return [line for line in self.notes if line not in self.dataset.notes]

    @property
    def remarks(self) -> list[str]:
        """Notes on how the data were read."""
        return [line for line in self.notes if line in self.dataset.notes]

    @property
    def weights(self) -> int:
        """Learned numbers of the model."""
        size = 0
        for array in self.model.parameters().values():
            size += int(array.size)
        return size

    @property
    def seconds(self) -> float:
        """Time that the training took."""
        total = 0.0
        for row in self.history:
            total += float(row.get("seconds") or 0.0)
        return total

    @property
    def watched(self) -> str:
        """The metric that tells the best epoch."""
        from isoconv.train.settings import from_plain

        stopping = self.settings.get("early_stopping")
        wanted = None if stopping is None else from_plain(stopping)
        return watched_metric(wanted, "validation" in self.description["data"])

    @property
    def best_epoch(self) -> int:
        """The best epoch, from 1; 0 where none is known."""
        rows = [row for row in self.history if row.get(self.watched) is not None]
        return best_epoch(rows, self.watched) if rows else 0

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights the run left; 0 for a run that has not ended."""
        result = self.description.get("result")
        return int(result["epoch"]) if isinstance(result, Mapping) else 0

    @property
    def guessing(self) -> float | None:
        """The loss of a network that finds all classes equally likely; None without classes."""
        return float(log(len(self.names))) if self.names else None

    @property
    def place(self) -> str:
        """Where the data were, as short as it can be told; "" where nobody said."""
        place = self.facts.get("data")
        if not isinstance(place, str):
            return ""
        try:
            return f"~/{Path(place).relative_to(Path.home())}"
        except (ValueError, RuntimeError):
            return place

    @property
    def epochs(self) -> list[int]:
        """Numbers of the epochs, from 1."""
        return [int(row["epoch"]) for row in self.history]

    def curves(self, metric: str) -> list[Curve]:
        """A metric in training and validation, epoch by epoch."""
        return [
            Curve(name, [row.get(before + metric) for row in self.history], name)
            for name, before in (("training", ""), ("validation", "val_"))
        ]

    def _answers(self) -> list[Answer]:
        """What was said of each image, the most certain first."""
        if not self.names:
            return []
        return sorted(answers(self.dataset, self.evaluation), key=lambda each: -each.probability)

    def mistakes(self) -> list[Answer]:
        """Images that were taken for another class, the most certain first."""
        return [each for each in self._answers() if not each.right]

    def recognised(self, count: int) -> list[Answer]:
        """Images that were recognised, class after class in turn, the most certain of each first.

        Args:
            count: at most so many.
        """
        by_class: dict[int, list[Answer]] = {}
        for each in self._answers():
            if each.right:
                by_class.setdefault(each.true, []).append(each)
        rounds = max((len(found) for found in by_class.values()), default=0)
        in_turn = [
            by_class[number][place]
            for place in range(min(rounds, count))
            for number in sorted(by_class)
            if place < len(by_class[number])
        ]
        return in_turn[:count]
