"""Loss and accuracy over the epochs, as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isoconv.report.chart import MARKED, Curve, value_ticks
from isoconv.report.style import GRID, INK, MUTED, TRAIN, VALIDATION, make_figure, panel, title
from isoconv.report.subject import Subject
from isoconv.train.losses import LOSSES
from isoconv.train.words import accuracy

COLOURS = {"training": TRAIN, "validation": VALIDATION}


def _axis(name: str) -> str:
    """What a loss is called beside its axis."""
    kind = LOSSES[name]
    return f"{kind.title} ({kind.unit})" if kind.unit else kind.title


def draw_curves(subject: Subject) -> Any:
    """Loss on the left and accuracy on the right, both from 0; training and validation in each.

    A dashed line shows what can be had without learning: the loss where all classes are equally
    likely, and the accuracy of always saying the most frequent class. Without classes there is the
    loss alone.

    Args:
        subject: a run of one epoch at least.

    Returns:
        A matplotlib figure.
    """
    loss, shares = subject.curves("loss"), subject.curves("top1")
    told = any(curve.known for curve in shares)
    figure = make_figure(9.9 if told else 4.95, 4.2)
    title(figure, "Learning", "mean over each epoch of training; validation after each epoch")
    kind, guess = str(subject.settings["loss"]["name"]), subject.guessing
    known = [value for curve in loss for value in curve.known]
    ticks = value_ticks(max([*known, guess or 0.0], default=0.0))
    _panel(figure, 0, "Loss", _axis(kind), subject.epochs, loss, ticks, guess)
    if told:
        base = None if subject.scores is None else 100 * subject.scores.baseline.accuracy
        _panel(
            figure, 1, accuracy(subject.of_places).capitalize(), "right (%)", subject.epochs,
            [_hundredfold(curve) for curve in shares], [0, 20, 40, 60, 80, 100], base,
        )  # fmt: skip
    return figure


def _hundredfold(curve: Curve) -> Curve:
    values = [None if value is None else 100 * value for value in curve.values]
    return Curve(curve.name, values, curve.kind)


def _panel(
    figure: Any,
    place: int,
    name: str,
    unit: str,
    epochs: Sequence[int],
    curves: Sequence[Curve],
    ticks: Sequence[float],
    reference: float | None,
) -> None:
    axes = panel(figure, 0.75 + 4.95 * place, 0.55, 3.2, 2.7)
    axes.set_title(name, loc="left", size=11, color=INK, pad=8)
    axes.set_xlabel("epoch", color=INK, size=9)
    axes.set_ylabel(unit, color=INK, size=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_yticks(ticks)
    axes.set_ylim(0, ticks[-1] * 1.02)
    if reference is not None:
        axes.axhline(reference, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ends = [_line(axes, epochs, curve) for curve in curves]
    _epoch_ticks(axes, epochs)
    labels = [end for end in ends if end is not None]
    if reference is not None and labels:
        labels.append((reference, INK, "baseline"))
    _end_labels(axes, labels)


def _line(axes: Any, epochs: Sequence[int], curve: Curve) -> tuple[float, str, str] | None:
    """Draw what was measured; returns where the line ends, its colour and its name."""
    points = [
        (epoch, value)
        for epoch, value in zip(epochs, curve.values, strict=True)
        if value is not None
    ]
    if not points:
        return None
    marker = "o" if len(points) <= MARKED else None
    xs, ys = zip(*points, strict=True)
    color = COLOURS[curve.kind]
    axes.plot(xs, ys, color=color, linewidth=1.8, marker=marker, markersize=4)
    return ys[-1], color, curve.name


def _epoch_ticks(axes: Any, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)


def _end_labels(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each line and its last value to its right, moved apart where they would overlap."""
    if not ends:
        axes.text(0.5, 0.5, "not measured", color=MUTED, ha="center", transform=axes.transAxes)
        return
    high, gap = axes.get_ylim()[1], 0.14
    # From below, each no lower than it may be; then all down where the highest would stand out.
    ordered = sorted(ends, key=lambda end: end[0])
    places: list[float] = []
    for value, *_ in ordered:
        lowest = places[-1] + gap if places else 0.0
        places.append(max(value / high, lowest))
    for at in reversed(range(len(places))):
        most = places[at + 1] - gap if at + 1 < len(places) else 1.0
        places[at] = min(places[at], most)
    for place, (value, color, name) in zip(places, ordered, strict=True):
        axes.text(
            1.03,
            place,
            f"{name}\n{value:.4g}",
            color=color,
            size=9,
            va="center",
            linespacing=1.15,
            transform=axes.transAxes,
        )
