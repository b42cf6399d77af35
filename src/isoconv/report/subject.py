"""What a report is about: a run, what it was measured on, and what follows from both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.elementary import log
from isoconv.arithmetic.sums import partial_sum
from isoconv.data import Dataset
from isoconv.data.classes import in_classes
from isoconv.errors import CheckpointError
from isoconv.nn import Module
from isoconv.report.chart import Curve
from isoconv.report.labels import shown
from isoconv.train import Evaluation, RunFolder
from isoconv.train.callbacks import best_epoch, watched_metric
from isoconv.train.receipt import Receipt
from isoconv.train.scores import Answer, Scores, answers, score
from isoconv.train.words import by_heart, called_best, few, gives_places, verdict

PARTS = ("train", "validation", "test")

History = Sequence[Mapping[str, Any]]

AT_MEAN = "On these images the network is no better than always giving the mean of the targets."


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
        epoch: whose weights were measured; 0 where that is not known.
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
    epoch: int
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

    @cached_property
    def place_scores(self) -> Scores | None:
        """The scores of the pixels of images that each have a class; None of other networks."""
        measured = self.evaluation
        if not measured.of_places or not measured.confusion.any():
            return None
        return score(measured.confusion)

    @property
    def place_names(self) -> tuple[str, ...]:
        """Names of the classes of pixels, numbers where nobody named them."""
        names = self.dataset.class_names or self.model.class_names
        count = len(self.evaluation.confusion)
        return (*names, *map(str, range(len(names), count)))[:count]

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
        """The subject of a run folder's report; classes are matched by name, as `evaluate` does.

        Raises:
            CheckpointError: the folder holds no run that can be read.
            DataError: classes that the model does not know.
        """
        dataset = in_classes(dataset, model.class_names, "the model")
        description = folder.description()
        samples = folder.samples()
        counts: dict[str, Counter[str]] = {}
        for row in () if samples is None else samples.rows:
            counts.setdefault(row.part, Counter())[row.class_name] += 1
        epoch = _epoch_of(folder, description, model.digest())
        return cls(description, history, model, dataset, evaluation, part, notes, counts, epoch)

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
        """What puts the figures in question, notes on how the data were read apart."""
        told = [line for line in self.notes if line not in self.dataset.notes]
        if self.learned_from:
            told.insert(0, "The figures are of images that the network has learned from.")
        if self.kept_epoch and self.epoch != self.kept_epoch:
            which = f"epoch {self.epoch}" if self.epoch else "another moment"
            left = f"not with those that the run left, of epoch {self.kept_epoch}"
            told.insert(0, f"Measured with the weights of {which}, {left}.")
        return [self.without_place(line) for line in [*self._doubts, *told]]

    @property
    def _doubts(self) -> list[str]:
        """What the figures themselves say against them."""
        if self.place_scores is not None:
            line = few(len(self.dataset))
            return [f"{line[0].upper()}{line[1:]}."] if line else []
        if self.scores is None:
            return []
        lines = [few(self.scores.images)]
        rows = {int(row["epoch"]): row for row in self.history}
        row = rows.get(self.epoch)
        if row is not None and not self.learned_from:
            images = int(self.description["data"]["train"]["samples"])
            lines.append(by_heart(self.scores, self.part, row, images))
        return [f"{line[0].upper()}{line[1:]}." for line in lines if line]

    @property
    def learned_from(self) -> bool:
        """Whether the images that were measured are those of the training."""
        return self.part in ("train", "training")

    @property
    def remarks(self) -> list[str]:
        """Notes on how the data were read."""
        return [self.without_place(line) for line in self.notes if line in self.dataset.notes]

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Path and reason of each file of the source that was left out."""
        return [(each.path, each.reason) for each in self.dataset.skipped]

    @property
    def weights(self) -> int:
        """Learned numbers of the model."""
        return sum(int(array.size) for array in self.model.parameters().values())

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
        from isoconv.train.plain_settings import from_plain

        stopping = self.settings.get("early_stopping")
        wanted = None if stopping is None else from_plain(stopping)
        return watched_metric(wanted, "validation" in self.description["data"])

    @property
    def of_places(self) -> bool:
        """Whether accuracies are of the places of images."""
        return gives_places(self.description)

    @property
    def called_best(self) -> str:
        """What the best epoch is the best by, in words."""
        return called_best(self.watched, self.of_places)

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
        """The loss without learning: all classes equally likely, or always the mean target.

        None where the loss is another one, or the numbers say nothing of it.
        """
        loss = self.settings["loss"]["name"]
        if loss == "cross_entropy" and self.names:
            return float(log(len(self.names)))
        return mean_error(self.dataset.labels) if loss == "mse" else None

    @property
    def at_chance(self) -> str:
        """What to be told of a network that is no better than one without learning; ""."""
        if self.scores is not None:
            said = verdict(self.scores, f"“{shown(self.names[self.scores.baseline.number])}”")
            return f"{said[0].upper()}{said[1:]}." if said else ""
        worse = self.guessing is not None and self.evaluation.loss >= self.guessing
        return AT_MEAN if worse else ""

    @property
    def place(self) -> str:
        """The last part of where the data were, which says nothing of the machine; "" if unsaid."""
        place = self.facts.get("data")
        return Path(place).name if isinstance(place, str) else ""

    def without_place(self, line: str) -> str:
        """A line with what lies above the data left out of their path."""
        place = self.facts.get("data")
        if not isinstance(place, str) or not Path(place).is_absolute():
            return line
        above = str(Path(place).parent)
        return line if above == "/" else line.replace(f"{above}/", "…/")

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


def mean_error(targets: NDArray[np.floating]) -> float:
    """The mean squared error of always giving the mean of some targets ``(N, …)``.

    Example:
        >>> mean_error(np.array([1.0, 3.0]))
        1.0
    """
    values = targets.reshape(len(targets), -1).astype(np.float64)
    off = values - partial_sum(values) / len(values)
    return float(partial_sum(off * off, axis=None)) / off.size


def _epoch_of(folder: RunFolder, description: Mapping[str, Any], digest: str) -> int:
    """The epoch after which a run's weights had this digest; 0 where none or nothing tells."""
    result = description.get("result")
    if isinstance(result, Mapping) and result["weights_sha256"] == digest:
        return int(result["epoch"])
    try:
        entries = Receipt.read(folder.path).entries
    except CheckpointError:
        return 0
    return next((int(each["epoch"]) for each in entries if each["weights_sha256"] == digest), 0)
