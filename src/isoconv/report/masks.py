"""What the page shows of a network that gives each pixel a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.mask_pictures import colours
from isoconv.report.album import PATH, picture, raster
from isoconv.report.markup import Html, element, joined, name, table
from isoconv.report.subject import Subject
from isoconv.report.words import many, percent
from isoconv.train.place_scores import PlaceAnswer, place_answers

SHOWN = 12
"""Images that are shown: the least recognised ones, and as many others."""


def masks(subject: Subject) -> Html:
    """Pictures beside their masks beside what the network says."""
    if subject.place_scores is None:
        return Html()
    known = [each for each in place_answers(subject.dataset, subject.evaluation) if each.places]
    ordered = sorted(known, key=lambda each: each.iou or 0.0)
    # The least, then others spread over the rest.
    least, rest = ordered[: SHOWN // 2], ordered[SHOWN // 2 :]
    step = max(1, -(-len(rest) // (SHOWN // 2)))
    shown = [*least, *rest[::step]]
    words = (
        f"Each picture beside its mask, beside what the network says: {len(shown)} of "
        f"{many(len(subject.dataset), 'image')}, the least recognised first. Gray pixels have no "
        "label."
    )
    legend = [
        element(
            "span",
            element("span", class_="swatch", style=f"background:{_hex(number)}"),
            " ",
            name(each),
        )
        for number, each in enumerate(subject.place_names)
    ]
    cards = [_card(subject, each) for each in shown]
    return joined(
        [
            element("p", words, class_="note"),
            element("p", joined(legend, Html(" ")), class_="legend"),
            element("div", *cards, class_="album triple"),
        ]
    )


def _card(subject: Subject, answer: PlaceAnswer) -> Html:
    where = answer.path or f"image {answer.sample}"
    labels = subject.dataset.labels[answer.sample]
    said = subject.evaluation.predictions[answer.sample]
    score = f"mean IoU {percent(answer.iou or 0.0)}"
    right = f"{percent(answer.hits / answer.places)} of its pixels right"
    lines = [element("span", element("strong", score), f", {right}")]
    caption = element(
        "figcaption", joined(lines), element("span", name(where, PATH), class_="path")
    )
    return element(
        "figure",
        picture(subject.dataset.images[answer.sample], where),
        raster(_painted(labels), f"the mask of {where}", "pixels"),
        raster(_painted(said), f"what the network says of {where}: {score}", "pixels"),
        caption,
    )


def _painted(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Class numbers in colours; gray where there is none."""
    found: NDArray[np.uint8] = colours()[numbers & 255]
    found[numbers < 0] = 128
    return found


def _hex(number: int) -> str:
    return "#" + bytes(colours()[number & 255].tolist()).hex()


def mask_classes(subject: Subject) -> Html:
    """How well the pixels of each class are found."""
    scores = subject.place_scores
    if scores is None:
        return Html()
    rows: list[list[object]] = [
        [
            name(title), *map(_share, (each.iou, each.f1, each.recall, each.precision)),
            percent(each.images / scores.images),
        ]
        for title, each in zip(subject.place_names, scores.classes, strict=True)
    ]  # fmt: skip
    means = (scores.iou, scores.f1, scores.recall, scores.precision)
    rows.append(
        [element("strong", "all"), *(element("strong", percent(value)) for value in means), ""]
    )
    titles = ("class", "IoU", "Dice", "recall", "precision", "of pixels")
    words = (
        f"Pixels of the {subject.part} part. IoU: the pixels that are of the class and were taken "
        "for it, out of those that are or were. Dice: twice the former out of the sum of both. "
        "The last line has the means over the classes."
    )
    grid = table(titles, rows, range(1, len(titles)), "classes")
    return joined([grid, element("p", words, class_="note")])


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
