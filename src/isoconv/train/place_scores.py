"""What was said of the places of each image, beside their labels: counted in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.arithmetic.sums import partial_sum
from isoconv.data import Dataset
from isoconv.train.metrics import Evaluation


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """What a model says of the places of one image.

    Attributes:
        sample: its number in the data set.
        path: where it stands in its source, ``""`` where nobody said.
        places: that have a label.
        hits: of them recognised.
        iou: mean over the classes that are there or were said of intersection over union; None
            without a label.
        true: places of each class.
        predicted: places, of those with a label, that were taken for each class.
    """

    sample: int
    path: str
    places: int
    hits: int
    iou: float | None
    true: tuple[int, ...]
    predicted: tuple[int, ...]


def place_answers(data: Dataset, evaluation: Evaluation) -> list[PlaceAnswer]:
    """What was said of each image of the data set that was measured, in its order.

    Args:
        data: N images with labels of places.
        evaluation: of these very images.
    """
    classes = len(evaluation.confusion)
    paths = data.paths or ("",) * len(data)
    found = []
    for sample, (labels, said) in enumerate(zip(data.labels, evaluation.predictions, strict=True)):
        known = labels >= 0
        own, taken = labels[known], said[known]
        true, predicted, hits = (
            np.bincount(numbers, minlength=classes).tolist()
            for numbers in (own, taken, own[own == taken])
        )
        shares = [
            hit / (one + other - hit)
            for one, other, hit in zip(true, predicted, hits, strict=True)
            if one + other
        ]
        iou = float(partial_sum(np.array(shares, np.float64))) / len(shares) if shares else None
        right = int(np.count_nonzero(own == taken))
        found.append(
            PlaceAnswer(sample, paths[sample], len(own), right, iou, tuple(true), tuple(predicted))
        )
    return found
