"""Curves over the epochs as SVG: sharp at any width, with text that stays text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import isfinite

from isoconv.report.markup import Html, element, joined

# In CSS pixels on a screen of 400: on a wider one all of it grows, the text too.
WIDTH, HEIGHT = 368.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 42.0
MARKED = 40
"""Up to so many epochs each has a point of its own."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A value for each epoch.

    Attributes:
        name: of the curve.
        values: None where nothing was measured.
        kind: class of its colour.
    """

    name: str
    values: Sequence[float | None]
    kind: str

    @property
    def known(self) -> list[float]:
        """What was measured and is a number."""
        return [value for value in self.values if value is not None and isfinite(value)]


def value_ticks(largest: float) -> list[float]:
    """Round numbers from 0 on, the last of which is no less than the largest value.

    Example:
        >>> value_ticks(2.31), value_ticks(0.0)
        ([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], [0.0, 1.0])
    """
    if not largest > 0 or not isfinite(largest):
        return [0.0, 1.0]
    step = 10.0 ** int(f"{largest:e}".partition("e")[2])
    for factor in (0.1, 0.2, 0.5, 1.0, 2.0):
        count = -int(-largest // (step * factor))
        if count <= 5:
            # Multiples of decimals are rounded to what they mean.
            return [float(f"{place * step * factor:.6g}") for place in range(count + 1)]
    return [0.0, 10 * step]


def epoch_ticks(first: int, last: int) -> list[int]:
    """Whole numbers among the epochs, at most eight.

    Example:
        >>> epoch_ticks(1, 3), epoch_ticks(1, 40)
        ([1, 2, 3], [5, 10, 15, 20, 25, 30, 35, 40])
    """
    step = 1
    while last // step - (first - 1) // step > 8:
        digit = int(str(step)[0])
        step = step * 5 // 2 if digit == 2 else step * 2
    return list(range(-(-first // step) * step, last + 1, step))


def chart(
    epochs: Sequence[int],
    curves: Sequence[Curve],
    *,
    label: str,
    form: str = "{:g}",
    ticks: Sequence[float] = (),
    reference: float | None = None,
    marked: int | None = None,
    ring: str = "",
    starts: Collection[int] = (),
) -> Html:
    """One panel; its axis begins at 0.

    Args:
        epochs: numbers of the epochs, one after another.
        curves: what is drawn, with a value for each epoch.
        label: what the panel shows, for those who cannot see it.
        form: of the numbers at the axis.
        ticks: of the axis; by default round numbers up to the largest value.
        reference: a value to compare with, drawn as a dashed line.
        marked: an epoch whose point gets a ring.
        ring: kind of the curve that it is of.
        starts: epochs after which something new begins, each with an upright line behind it.
    """
    known = [value for curve in curves for value in curve.known]
    largest = max([*known, reference or 0.0], default=0.0)
    marks = list(ticks) or value_ticks(largest)
    first, last = epochs[0], epochs[-1]

    def across(epoch: float) -> float:
        share = 0.5 if first == last else (epoch - first) / (last - first)
        # A little room, so that the first point does not stand on the axis.
        return LEFT + 10 + share * (WIDTH - LEFT - RIGHT - 20)

    def down(value: float) -> float:
        return TOP + (1 - value / marks[-1]) * (HEIGHT - TOP - BOTTOM)

    parts = [_axis(marks, form, down), _epochs(epoch_ticks(first, last), across)]
    if reference is not None:
        parts.append(line(LEFT, down(reference), WIDTH - RIGHT, down(reference), "reference"))
    for epoch in starts:
        x = across(epoch + 0.5)
        parts.append(line(x, TOP, x, HEIGHT - BOTTOM, "start"))
    for curve in curves:
        points = [
            None if value is None or not isfinite(value) else (across(epoch), down(value))
            for epoch, value in zip(epochs, curve.values, strict=True)
        ]
        parts.append(_curve(points, curve.kind))
        parts += [
            point(place, 7, f"ring {curve.kind}")
            for epoch, place in zip(epochs, points, strict=True)
            if epoch == marked and place is not None and curve.kind == ring
        ]
    box = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return element("svg", *parts, viewBox=box, role="img", aria_label=label, class_="chart")


def _axis(marks: Sequence[float], form: str, down: Callable[[float], float]) -> Html:
    parts = []
    for value in marks:
        height = down(value)
        parts.append(line(LEFT, height, WIDTH - RIGHT, height, "grid"))
        parts.append(words(LEFT - 6, height + 4.5, form.format(value), "end"))
    return joined(parts)


def _epochs(ticks: Sequence[int], across: Callable[[float], float]) -> Html:
    base = HEIGHT - BOTTOM
    parts = [words(across(epoch), base + 17, str(epoch), "middle") for epoch in ticks]
    middle = (LEFT + WIDTH - RIGHT) / 2
    return joined([*parts, words(middle, HEIGHT - 6, "epoch", "middle")])


def _curve(points: Sequence[tuple[float, float] | None], kind: str) -> Html:
    """Lines between points that follow one another, and the points where they are few."""
    steps, before = [], False
    for place in points:
        if place is not None:
            steps.append(f"{'L' if before else 'M'}{place[0]:.1f} {place[1]:.1f}")
        before = place is not None
    known = [place for place in points if place is not None]
    dots = [point(place, 5 if len(known) == 1 else 3.2, f"dot {kind}") for place in known]
    # A point between two gaps would be lost in many.
    return joined(
        [
            element("path", d=" ".join(steps), class_=f"curve {kind}"),
            *(dots if len(known) <= MARKED or None in points else ()),
        ]
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    """A straight line."""
    return element(
        "line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind
    )


def point(place: tuple[float, float], radius: float, kind: str) -> Html:
    """A disc."""
    return element("circle", cx=f"{place[0]:.1f}", cy=f"{place[1]:.1f}", r=radius, class_=kind)


def words(x: float, y: float, content: str, anchor: str) -> Html:
    """Text that begins, ends or has its middle at a place."""
    return element("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
