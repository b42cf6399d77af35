"""Loss and accuracy over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isoconv.report.style import GRID, INK, MUTED, TRAIN, VALIDATION, make_figure, panel, title

__all__ = ["History", "draw_curves"]

Series = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class History:
    """What a run measured, an entry for each epoch; None where it was not measured.

    Attributes:
        epochs: numbers of the epochs, counted from 1.
        train_loss: mean loss over the training images during the epoch.
        train_accuracy: share of training images that were classified right during the epoch.
        validation_loss: mean loss over the validation images after the epoch.
        validation_accuracy: share of validation images that were classified right.
    """

    epochs: Sequence[int]
    train_loss: Series
    train_accuracy: Series
    validation_loss: Series
    validation_accuracy: Series


def draw_curves(history: History, loss_name: str = "cross-entropy (nats per image)") -> Any:
    """Two panels: loss on the left, accuracy on the right; training and validation in each.

    Args:
        history: what was measured.
        loss_name: what the loss is, with its unit.

    Returns:
        A matplotlib figure.
    """
    figure = make_figure(9.9, 4.2)
    title(figure, "Learning", "mean over each epoch of training; validation after each epoch")
    both = (
        ("Loss", loss_name, history.train_loss, history.validation_loss, 1.0),
        ("Accuracy", "right (%)", history.train_accuracy, history.validation_accuracy, 100.0),
    )
    for place, (name, unit, train, validation, factor) in enumerate(both):
        axes = panel(figure, 0.75 + 4.95 * place, 0.55, 3.2, 2.7)
        axes.set_title(name, loc="left", size=11, color=INK, pad=8)
        axes.set_xlabel("epoch", color=INK, size=9)
        axes.set_ylabel(unit, color=INK, size=9)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        ends = [
            _line(axes, history.epochs, train, factor, TRAIN, "training"),
            _line(axes, history.epochs, validation, factor, VALIDATION, "validation"),
        ]
        _epoch_ticks(axes, history.epochs)
        _end_labels(axes, [end for end in ends if end is not None])
    return figure


def _line(
    axes: Any, epochs: Sequence[int], values: Series, factor: float, color: str, name: str
) -> tuple[float, float, str, str] | None:
    """Draw what was measured; returns where the line ends, its colour and its name."""
    points = [
        (epoch, value * factor)
        for epoch, value in zip(epochs, values, strict=True)
        if value is not None
    ]
    if not points:
        return None
    marker = "o" if len(points) <= 30 else None
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, color=color, linewidth=1.8, marker=marker, markersize=4)
    return xs[-1], ys[-1], color, name


def _epoch_ticks(axes: Any, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    axes.margins(y=0.08)


def _end_labels(axes: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """Name each line and its last value to its right, moved apart where they would overlap."""
    if not ends:
        axes.text(0.5, 0.5, "not measured", color=MUTED, ha="center", transform=axes.transAxes)
        return
    low, high = axes.get_ylim()
    gap = 0.13
    places = {name: (y - low) / (high - low) for _, y, _, name in ends}
    if len(ends) == 2:
        upper, lower = sorted(places, key=lambda name: -places[name])
        missing = gap - (places[upper] - places[lower])
        if missing > 0:
            places[upper] += missing / 2
            places[lower] -= missing / 2
    for _, y, color, name in ends:
        axes.text(
            1.03,
            places[name],
            f"{name}\n{y:.4g}",
            color=color,
            size=9,
            va="center",
            linespacing=1.15,
            transform=axes.transAxes,
        )
