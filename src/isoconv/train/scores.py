"""Scores of a classifier by its confusion matrix, each quotient rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.arithmetic.sums import partial_sum
from isoconv.checks import LARGEST, check_array, check_count, check_flag, check_kind, refusal
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from isoconv.data import Dataset
    from isoconv.train.metrics import Evaluation

__public__ = {"isoconv.train": ["*"]}

Z95 = 1.959963984540054
"""The standard normal distribution's quantile of 0.975: 95% lie within so many deviations."""

TOP_FIVE_FROM = 11
"""With fewer classes nearly any answer has the right one among its first five: it is not shown."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always saying one class would give.

    Attributes:
        number: of the class.
        hits: images of this class among those that were measured.
        accuracy: their share.
        learned: the class is the most frequent one of the training part, which was known before
            anything was measured; False for that of the measured images themselves.
    """

    number: int
    hits: int
    accuracy: float
    learned: bool


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one class is told from the others; None is 0/0.

    Attributes:
        images: of the class (its support).
        predicted: images that were taken for it.
        hits: both of it and taken for it.
        precision: hits / predicted.
        recall: hits / images.
        f1: 2 hits / (images + predicted), the harmonic mean of precision and recall; of places the
            Dice coefficient.
        iou: hits / (images + predicted - hits), intersection over union (Jaccard 1912).
        recall_interval: 95%, see `wilson_interval`; None without images.
    """

    images: int
    predicted: int
    hits: int
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    recall_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a classifier tells its classes apart.

    The means over classes ("macro averages") are over the classes that have images here, so that
    each counts alike, however few its images are; the precision of such a class that nothing was
    taken for counts as 0. That is what scikit-learn calls ``average="macro"`` with
    ``labels=np.unique(true)`` and ``zero_division=0``.

    Attributes:
        images: that were measured.
        hits: of them recognised.
        accuracy: hits / images.
        accuracy_interval: 95%, see `wilson_interval`.
        classes: scores of each class, in the order of the model's.
        precision: mean over the classes that have images.
        recall: likewise; also called balanced accuracy.
        f1: likewise.
        iou: mean over the classes that have images or that images were taken for; it is what
            masks are judged by.
        baseline: what always saying one class would give.
    """

    images: int
    hits: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    classes: tuple[ClassScores, ...]
    precision: float
    recall: float
    f1: float
    iou: float
    baseline: Baseline

    @property
    def better_than_baseline(self) -> bool:
        """Whether the whole interval of the accuracy lies above the baseline."""
        return self.accuracy_interval[0] > self.baseline.accuracy


def wilson_interval(hits: int, images: int) -> tuple[float, float]:
    """The 95% interval of a share, by Wilson's score.

    The shares p that are at most z standard deviations from what was seen:
    ``(p̂ + z²/2n ± z √(p̂ (1 - p̂) / n + z²/4n²)) / (1 + z²/n)`` with p̂ = hits / n, n images and
    z = 1.959963984540054. Unlike ``p̂ ± z √(p̂ (1 - p̂) / n)`` it stays within [0, 1] and is no single
    point where p̂ is 0 or 1. It takes the images for a random sample of those to come.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of
    the American Statistical Association 22 (1927). statsmodels gives the same by
    ``proportion_confint(hits, n, method="wilson")``.

    Args:
        hits: how many of the images are as asked.
        images: how many there are, at least 1.

    Returns:
        The lower and the upper end.

    Raises:
        ArgumentError: no images, or more hits than images.

    Example:
        >>> low, high = wilson_interval(90, 100)
        >>> f"{low:.4f} {high:.4f}"
        '0.8256 0.9448'
    """
    images = check_count("images", images, least=1, most=LARGEST)
    hits = check_count("hits", hits, least=0, most=images)
    # The upper end mirrors the lower one of the misses, so that it is exactly 1 without any.
    return _lower(hits, images), 1.0 - _lower(images - hits, images)


def _lower(hits: int, images: int) -> float:
    # All by 2n² of the formula above, so that the counts enter it as they are.
    square = Z95 * Z95
    spread = Z95 * sqrt(square + 4 * hits * (images - hits) / images)
    return max(0.0, (2 * hits + square - spread) / (2 * (images + square)))


def score(confusion: Any, majority: int | None = None) -> Scores:
    """The scores of a classifier by its confusion matrix.

    Args:
        confusion: whole numbers ``(K, K)``, images of the row's class that were taken for the
            column's.
        majority: the most frequent class of the training part, which the baseline is to be; None
            for that of the measured images (the first of equals), which no other class beats.

    Raises:
        ArgumentError: the matrix is not square, holds other than counts or no image at all, or
            there is no such class.

    Example:
        >>> found = score([[8, 2], [1, 4]])
        >>> found.accuracy, found.classes[1].precision, found.baseline.number
        (0.8, 0.6666666666666666, 0)
    """
    counts = _counts(confusion)
    size = len(counts)
    rows = [_total(row) for row in counts]
    columns = [_total(column) for column in zip(*counts, strict=True)]
    hits, images = [counts[k][k] for k in range(size)], _total(rows)
    number = max(range(size), key=rows.__getitem__)
    if majority is not None:
        number = check_count("majority", majority, least=0, most=size - 1)
    classes = tuple(_of_class(*facts) for facts in zip(rows, columns, hits, strict=True))
    present = [each for each in classes if each.images]
    right = _total(hits)
    return Scores(
        images=images,
        hits=right,
        accuracy=right / images,
        accuracy_interval=wilson_interval(right, images),
        classes=classes,
        precision=_mean([each.precision for each in present]),
        recall=_mean([each.recall for each in present]),
        f1=_mean([each.f1 for each in present]),
        iou=_mean([each.iou for each in classes if each.iou is not None]),
        baseline=Baseline(number, rows[number], rows[number] / images, majority is not None),
    )


def _counts(confusion: Any) -> list[list[int]]:
    """A confusion matrix as Python's whole numbers.

    Raises:
        ArgumentError: it is none.
    """
    error = ArgumentError
    matrix = check_array("confusion", confusion, kind_error=error, shape_error=error)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iu":
        got = f"dtype {matrix.dtype}, shape {matrix.shape}"
        raise refusal("confusion", "be whole numbers (classes, classes)", confusion, got=got)
    if not matrix.any() or (matrix < 0).any():
        raise refusal("confusion", "hold counts, of at least one image", confusion)
    counts: list[list[int]] = matrix.tolist()
    return counts


def _total(counts: Sequence[int]) -> int:
    # Whole numbers of Python, of which no sum is too large.
    total = 0
    for count in counts:
        total += count
    return total


def _of_class(images: int, predicted: int, hits: int) -> ClassScores:
    return ClassScores(
        images=images,
        predicted=predicted,
        hits=hits,
        precision=_quotient(hits, predicted),
        recall=_quotient(hits, images),
        f1=_quotient(2 * hits, images + predicted),
        iou=_quotient(hits, images + predicted - hits),
        recall_interval=wilson_interval(hits, images) if images else None,
    )


def _quotient(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float:
    """The mean of quotients, of which 0/0 counts as 0."""
    known = np.array([0.0 if value is None else value for value in values], np.float64)
    return float(partial_sum(known)) / len(known)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a classifier says of one image.

    Attributes:
        sample: its number in the data set.
        path: where it stands in its source, ``""`` where nobody said.
        true: its class.
        predicted: the class that it was taken for.
        probability: of that class.
    """

    sample: int
    path: str
    true: int
    predicted: int
    probability: float

    @property
    def right(self) -> bool:
        """Whether it was taken for what it is."""
        return self.true == self.predicted


def answers(data: Dataset, evaluation: Evaluation, *, mistakes: bool = False) -> list[Answer]:
    """What was said of each image of the data set that was measured.

    Args:
        data: N images with classes, as the model numbers them.
        evaluation: of these very images.
        mistakes: only images that were taken for another class, the most certain first (among
            equals the first in the data set); otherwise all, in the order of the data set.

    Raises:
        ArgumentError: the evaluation is of other images, or of a model without classes, or with
            one for each place of an image.

    Example:
        >>> import isoconv as ic
        >>> model = ic.nn.Sequential(ic.nn.Flatten(), ic.nn.Linear(2)).build((1, 1, 1))
        >>> data = ic.data.Dataset.from_arrays([[[0.0]], [[0.0]]], [0, 1])
        >>> [each.right for each in answers(data, ic.evaluate(model, data))]
        [True, False]
    """
    from isoconv.data import Dataset
    from isoconv.train.metrics import Evaluation

    check_kind("data", data, Dataset, "a Dataset")
    check_kind("evaluation", evaluation, Evaluation, "an Evaluation")
    only = check_flag("mistakes", mistakes)
    found, said = evaluation.probabilities, evaluation.predictions
    if not evaluation.confusion.size or found is None:
        text = "answers need a classifier: this evaluation is of a model without any"
        raise ArgumentError(text, argument="evaluation", value=evaluation)
    if evaluation.of_places:
        rule = "be of one class for each image; `predictions` has those of places"
        raise refusal("evaluation", rule, evaluation)
    if len(said) != len(data):
        raise ArgumentError(
            f"the evaluation must be of these images; got one of {len(said):,} images and "
            f"{len(data):,} images",
            argument="data",
            value=data,
        )
    certain = found[np.arange(len(said)), said]
    paths = data.paths or ("",) * len(data)
    rows = zip(paths, data.labels.tolist(), said.tolist(), certain.tolist(), strict=True)
    all_of_them = [Answer(number, *row) for number, row in enumerate(rows)]
    if not only:
        return all_of_them
    wrong = [each for each in all_of_them if not each.right]
    return sorted(wrong, key=lambda each: -each.probability)
