"""Numbers in place of classes: each prediction beside its target, and the largest errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isoconv.report.album import captioned
from isoconv.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, line, point, value_ticks
from isoconv.report.chart import words as written
from isoconv.report.markup import Html, element, joined
from isoconv.report.subject import Subject

SHOWN = 12
"""Pictures of the largest errors."""
POINTS = 2000
"""Of more images than these every n-th is drawn."""


def _pairs(subject: Subject) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Targets and predictions of a network that gives one number for each image; else None."""
    targets, given = subject.dataset.labels, np.asarray(subject.evaluation.predictions)
    if subject.settings["loss"]["name"] != "mse" or targets.size != len(targets):
        return None
    if given.size != len(targets):
        return None
    return targets.reshape(-1).astype(np.float64), given.reshape(-1).astype(np.float64)


def scatter(subject: Subject) -> Html:
    """A point for each image: its target across, what the network gave upwards."""
    pairs = _pairs(subject)
    if pairs is None:
        return Html()
    step = -(-len(pairs[0]) // POINTS)
    true, given = pairs[0][::step], pairs[1][::step]
    low, high = float(min(true.min(), given.min())), float(max(true.max(), given.max()))
    # Both axes have the same ends, so that what is right lies on the diagonal.
    marks = _around(low, high)
    low, high = marks[0], marks[-1]

    def placed(begin: float, end: float) -> Callable[[float], float]:
        return lambda value: begin + (value - low) / (high - low) * (end - begin)

    across, down = placed(LEFT, WIDTH - RIGHT), placed(HEIGHT - BOTTOM, TOP)
    parts = [line(across(low), down(low), across(high), down(high), "reference")]
    for tick in marks:
        parts.append(line(LEFT, down(tick), WIDTH - RIGHT, down(tick), "grid"))
        parts.append(written(LEFT - 6, down(tick) + 4.5, f"{tick:g}", "end"))
        parts.append(written(across(tick), HEIGHT - BOTTOM + 17, f"{tick:g}", "middle"))
    parts.append(written((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "target", "middle"))
    points = zip(true.tolist(), given.tolist(), strict=True)
    parts += [point((across(x), down(y)), 3.0, "dot faint validation") for x, y in points]
    box, said = f"0 0 {WIDTH:g} {HEIGHT:g}", "Predictions by their targets"
    drawn = element("svg", *parts, viewBox=box, role="img", aria_label=said, class_="chart")
    every = "" if step == 1 else f" Every {step}th image is shown."
    words = (
        "A point for each image: its target across, the prediction upwards; on the dashed line "
        f"both are equal.{every}"
    )
    note = element("p", words, class_="note")
    return joined([note, element("div", element("div", drawn), class_="panels")])


def _around(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest to above the highest value."""
    ticks = value_ticks((high - low) or abs(high) or 1.0)
    step = ticks[1]
    first = float(np.floor(low / step))
    count = int(np.ceil(high / step) - first) or 1
    return [float(f"{(first + place) * step:.6g}") for place in range(count + 1)]


def largest_errors(subject: Subject) -> Html:
    """The images whose predictions are farthest from their targets."""
    pairs = _pairs(subject)
    if pairs is None:
        return Html()
    true, given = pairs
    order = np.argsort(-np.abs(given - true), kind="stable")[:SHOWN].tolist()
    paths, images = subject.dataset.paths, subject.dataset.images
    cards = []
    for sample in order:
        where = paths[sample] if paths else f"image {sample}"
        said, wanted = f"{given[sample]:.4g}", f"{true[sample]:.4g}"
        lines = [
            element("span", "gave ", element("strong", said), class_="mistake"),
            element("span", "is ", element("strong", wanted)),
        ]
        alt = f"{where}: gave {said}, is {wanted}"
        cards.append(captioned(images[sample], alt, lines, where))
    return element("div", *cards, class_="album")
