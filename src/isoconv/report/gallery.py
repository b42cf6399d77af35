"""Images with what the network takes them for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.report.style import INK, MUTED, TRAIN, WRONG, drawable, make_figure, panel, title

__all__ = ["Judgement", "draw_mistakes", "draw_predictions", "typical", "worst"]

COLUMNS = 6
ROWS = 4
LETTERS = 12
"""Of a class name: as many as fit below an image beside a probability."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One image and what was predicted for it.

    Attributes:
        sample: its number in the data set.
        true: its class.
        predicted: the class that was predicted.
        probability: of the predicted class.
    """

    sample: int
    true: int
    predicted: int
    probability: float


def _judgements(
    labels: NDArray[Any], predictions: NDArray[Any], probabilities: NDArray[Any]
) -> list[Judgement]:
    """All images, the most certain first; among equals the first."""
    numbers = np.arange(len(labels))
    certainty = probabilities[numbers, predictions]
    order = np.argsort(-certainty.astype(np.float64), kind="stable")
    return [
        Judgement(int(i), int(labels[i]), int(predictions[i]), float(certainty[i])) for i in order
    ]


def worst(
    labels: NDArray[Any],
    predictions: NDArray[Any],
    probabilities: NDArray[Any],
    count: int = COLUMNS * ROWS,
) -> list[Judgement]:
    """The wrongly classified images of which the network was most certain.

    Args:
        labels: ``(N,)`` true classes.
        predictions: ``(N,)`` predicted classes.
        probabilities: ``(N, K)``.
        count: at most so many.

    Example:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> [entry.sample for entry in worst(np.array([0, 0, 0]), np.array([0, 1, 1]), p)]
        [2, 1]
    """
    ordered = _judgements(labels, predictions, probabilities)
    return [entry for entry in ordered if entry.true != entry.predicted][:count]


def typical(
    labels: NDArray[Any],
    predictions: NDArray[Any],
    probabilities: NDArray[Any],
    count: int = COLUMNS * 3,
) -> list[Judgement]:
    """Correctly classified images, class after class in turn, the most certain of each first.

    Args:
        labels: ``(N,)`` true classes.
        predictions: ``(N,)`` predicted classes.
        probabilities: ``(N, K)``.
        count: at most so many.

    Example:
        >>> import numpy as np
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]])
        >>> [entry.sample for entry in typical(np.array([0, 0, 1]), np.array([0, 0, 1]), p)]
        [0, 2, 1]
    """
    by_class: dict[int, list[Judgement]] = {}
    for entry in _judgements(labels, predictions, probabilities):
        if entry.true == entry.predicted:
            by_class.setdefault(entry.true, []).append(entry)
    rounds = max((len(entries) for entries in by_class.values()), default=0)
    in_turn = [
        by_class[number][place]
        for place in range(min(rounds, count))
        for number in sorted(by_class)
        if place < len(by_class[number])
    ]
    return in_turn[:count]


def draw_mistakes(
    images: NDArray[Any], class_names: Sequence[str], entries: Sequence[Judgement]
) -> Any:
    """Wrongly classified images: the wrong class with its probability above the true one.

    Args:
        images: ``(N, H, W, C)``, uint8 or float32.
        class_names: a name for each class.
        entries: what to show, as `worst` gives it.

    Returns:
        A matplotlib figure.
    """
    labels = drawable(class_names, LETTERS)
    lines = [
        ((f"{labels[e.predicted]} {e.probability:.1%}", WRONG), (f"is {labels[e.true]}", INK))
        for e in entries
    ]
    note = "wrong predictions of which the network was most certain: what it said, what it is"
    return _draw("Worst mistakes", note, images, entries, lines)


def draw_predictions(
    images: NDArray[Any], class_names: Sequence[str], entries: Sequence[Judgement]
) -> Any:
    """Correctly classified images with the probability that was given to their class.

    Args:
        images: ``(N, H, W, C)``, uint8 or float32.
        class_names: a name for each class.
        entries: what to show, as `typical` gives it.

    Returns:
        A matplotlib figure.
    """
    labels = drawable(class_names, LETTERS)
    lines = [((labels[e.predicted], TRAIN), (f"{e.probability:.1%}", MUTED)) for e in entries]
    note = "images that were classified right, and the probability given"
    return _draw("Correct predictions", note, images, entries, lines)


def _draw(
    heading: str,
    note: str,
    images: NDArray[Any],
    entries: Sequence[Judgement],
    lines: Sequence[tuple[tuple[str, str], tuple[str, str]]],
) -> Any:
    tile, across, down = 1.25, 1.58, 1.78
    rows = max(1, -(-len(entries) // COLUMNS))
    figure = make_figure(0.4 + COLUMNS * across, 0.8 + rows * down)
    title(figure, heading, note)
    if not entries:
        figure.text(0.5, 0.4, "there are none", ha="center", color=MUTED, size=11)
    # One pair of axes in inches for all images: many small axes take long to draw.
    axes = panel(figure, 0.0, 0.0, 0.4 + COLUMNS * across, 0.8 + rows * down)
    axes.set_axis_off()
    high = 0.8 + rows * down
    for place, (entry, (first, second)) in enumerate(zip(entries, lines, strict=True)):
        row, column = divmod(place, COLUMNS)
        left, top = 0.2 + column * across, high - 0.72 - row * down
        picture, settings = _displayed(images[entry.sample])
        height, width = picture.shape[:2]
        scale = tile / max(height, width)
        box = (left, left + width * scale, top - height * scale, top)
        axes.imshow(picture, extent=box, interpolation="nearest", **settings)
        text = {"ha": "left", "va": "top", "size": 8.5, "parse_math": False}
        axes.text(left, top - tile - 0.05, first[0], color=first[1], weight="bold", **text)
        axes.text(left, top - tile - 0.21, second[0], color=second[1], **text)
    axes.set_xlim(0, 0.4 + COLUMNS * across)
    axes.set_ylim(0, high)
    axes.set_aspect("auto")
    return figure


def _displayed(image: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """An image as imshow takes it: gray ``(H, W)`` or colour ``(H, W, 3)`` from 0 to 1."""
    picture = image.astype(np.float64)
    if image.dtype == np.uint8:
        picture = picture / 255.0
    elif picture.min() < 0 or picture.max() > 1:
        reach = picture.max() - picture.min()
        picture = (picture - picture.min()) / (reach or 1.0)
    if picture.shape[-1] == 3:
        return picture, {}
    return picture[..., 0], {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}
