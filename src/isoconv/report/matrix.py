"""Which classes are taken for which, as a table that can be read, searched and copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoconv.report.album import raster
from isoconv.report.labels import labels
from isoconv.report.markup import Html, element, joined, name

COUNTED = 20
"""Up to so many classes each cell shows its count and each column its name."""
CELLS = 100
"""Up to so many classes there is a cell for each pair; beyond, a picture of all of them."""
DRAWN = 1000
"""Of more classes than these there is no such picture."""
LISTED = 10
ROW_NAME, COLUMN_NAME, LISTED_NAME = 20, 16, 44
"""Columns of a name: beside a row, above a column, in a sentence."""


class Confused(NamedTuple):
    """Images of one class that were taken for another.

    Attributes:
        taken: how many.
        images: of the class in all.
        true: number of the class.
        predicted: number of the other.
    """

    taken: int
    images: int
    true: int
    predicted: int


def confusions(confusion: NDArray[np.integer[Any]]) -> list[Confused]:
    """All pairs of classes that were taken for one another, the most frequent first.

    Among equals the one comes first that makes up more of its class.

    Example:
        >>> confusions(np.array([[8, 1, 1], [0, 4, 1], [2, 0, 9]]))[:2]
        [Confused(taken=2, images=11, true=2, predicted=0), Confused(taken=1, images=5, \
true=1, predicted=2)]
    """
    counts = np.asarray(confusion, np.int64)
    images = counts.sum(axis=1).tolist()
    rows, columns = np.nonzero(counts)
    found = [
        Confused(int(counts[true, predicted]), images[true], true, predicted)
        for true, predicted in zip(rows.tolist(), columns.tolist(), strict=True)
        if true != predicted
    ]
    return sorted(found, key=lambda each: (-each.taken, each.images, each.true, each.predicted))


def confusions_listed(confusion: NDArray[np.integer[Any]], names: Sequence[str]) -> Html:
    """The most frequent confusions as sentences."""
    found = confusions(confusion)
    if not found:
        return element("p", "No image was taken for one of another class.")
    short = labels(names, LISTED_NAME)
    lines = joined(
        element(
            "li",
            name(names[each.true], label=short[each.true]),
            " taken for ",
            name(names[each.predicted], label=short[each.predicted]),
            f": {each.taken:,} of {each.images:,}",
        )
        for each in found[:LISTED]
    )
    more = len(found) - LISTED
    said = "The most frequent confusions:" if more > 0 else "All confusions:"
    rest = element("p", f"and {more:,} more pairs of classes", class_="note") if more > 0 else ""
    return joined([element("p", said), element("ol", lines, class_="confusions"), rest])


def matrix(confusion: NDArray[np.integer[Any]], names: Sequence[str]) -> Html:
    """The confusion matrix: true class by predicted class, coloured by its share of the true class.

    Args:
        confusion: ``(K, K)`` numbers of images.
        names: of the K classes.
    """
    counts = np.asarray(confusion, np.int64)
    if len(names) > DRAWN:
        return element("p", f"Of {len(names):,} classes there is no matrix.", class_="note")
    if len(names) > CELLS:
        return _all_in_one(counts)
    counted = len(names) <= COUNTED
    beside, above = labels(names, ROW_NAME), labels(names, COLUMN_NAME)
    rows = joined(
        element(
            "tr",
            element(
                "th",
                "" if counted else element("span", number + 1, class_="number"),
                name(names[number], label=beside[number]),
                scope="row",
            ),
            *_cells(row, number, names),
        )
        for number, row in enumerate(counts.tolist())
    )
    head = joined(
        element(
            "th",
            name(title, label=above[number])
            if counted
            else element("span", number + 1, title=title),
            scope="col",
        )
        for number, title in enumerate(names)
    )
    corner = element("th", "true ↓", element("span", "predicted →"), class_="corner")
    content = element(
        "table",
        element("thead", element("tr", corner, head)),
        element("tbody", rows),
        class_="matrix counted" if counted else "matrix",
    )
    return element("div", content, class_="scroll", tabindex="0")


def matrix_key(names: Sequence[str]) -> Html:
    """How a matrix is to be read."""
    count = len(names)
    if count > DRAWN:
        return Html()
    more = "" if count <= COUNTED else "Columns are numbered as rows are. "
    if count > CELLS:
        more = f"A pixel for each pair of {count:,} classes. "
    return element(
        "p",
        f"{more}A row is a true class, a column what its images were taken for. ",
        element("span", class_="swatch right"),
        " right and ",
        element("span", class_="swatch wrong"),
        " wrong: the stronger, the greater the share of the row.",
        class_="note",
    )


def _cells(row: Sequence[int], true: int, names: Sequence[str]) -> list[Html]:
    counted, images = len(names) <= COUNTED, max(sum(row), 1)
    cells = []
    for predicted, count in enumerate(row):
        if not count:
            cells.append(EMPTY)
            continue
        share = count / images
        kind = "right" if true == predicted else "wrong"
        said = "recognised" if true == predicted else f"taken for {names[predicted]}"
        cells.append(
            element(
                "td",
                f"{count:,}" if counted else "",
                class_=f"{kind} strong" if share > 0.5 else kind,
                # What is rare must still be seen.
                style=f"--tint:{0.2 + 0.8 * share:.2f}",
                title=f"{names[true]} {said}: {count:,} of {images:,}",
            )
        )
    return cells


EMPTY = element("td")


def _all_in_one(counts: NDArray[np.int64]) -> Html:
    """So many classes that a pixel must do for each pair."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    tint = np.where(counts > 0, 0.2 + 0.8 * shares, 0.0)[..., np.newaxis]
    right, wrong = np.array([33, 102, 172]), np.array([178, 60, 20])
    own = np.eye(len(counts), dtype=bool)[..., np.newaxis]
    pixels = 255 + tint * (np.where(own, right, wrong) - 255)
    size = f"{len(counts)} by {len(counts)} classes"
    said = f"Confusion matrix of {size}: true class downwards, predicted class across."
    return raster(pixels.astype(np.uint8), said, "pixels whole")
