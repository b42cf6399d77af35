"""Which classes are taken for which, as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.report.style import INK, MUTED, drawable, make_figure, panel, sequential, title

COUNTED = 20
"""Up to so many classes each cell shows its count."""
NAMED = 100
"""Up to so many classes each row shows its name; beyond `COUNTED`, with the number that stands for
it above its column."""


def draw_confusion(confusion: NDArray[np.integer[Any]], class_names: Sequence[str]) -> Any:
    """The confusion matrix: counts, coloured by their share of the true class.

    Args:
        confusion: ``(K, K)`` numbers of images: true class × predicted class.
        class_names: K names.

    Returns:
        A matplotlib figure.
    """
    classes = len(class_names)
    few = classes <= COUNTED
    cell = 0.52 if few else max(0.14, 7.5 / classes) if classes <= NAMED else 0
    side = max(2.4, cell * classes) if cell else 7.5
    labels = drawable(class_names)
    if not few:
        labels = [f"{label}  {number}" for number, label in enumerate(labels, 1)]
    # The longest name sets the room for names: 0.085 inches a letter at this size.
    name = 0.085 * max(len(label) for label in labels) if classes <= NAMED else 0.3
    # Names below the columns stand at 45 degrees, numbers upright.
    room, below = 0.25 + name, 0.65 + (0.71 * name if few else 0.2)
    figure = make_figure(0.3 + room + side + 1.15, 0.8 + side + below)
    title(figure, "Confusion matrix", "images of each true class (row) by predicted class (column)")
    axes = panel(figure, 0.3 + room, below, side, side)

    counts = np.asarray(confusion, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1.0)
    image = axes.imshow(shares, cmap=sequential(), vmin=0, vmax=1, aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    if classes <= NAMED:
        size = 9 if few else 7 if classes <= 60 else 6
        ticks = range(classes)
        below_columns = labels if few else [str(number) for number in range(1, classes + 1)]
        turned = {"rotation": 45, "ha": "right"} if few else {"rotation": 90}
        axes.set_xticks(ticks, below_columns, size=size, parse_math=False, **turned)
        axes.set_yticks(ticks, labels, size=size, parse_math=False)
        for tick in axes.get_xticklabels() if few else ():
            tick.set_rotation_mode("anchor")
        axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted class", color=INK, size=10)
    axes.set_ylabel("true class", color=INK, size=10)
    if few:
        _write_counts(axes, confusion, shares)

    bar = panel(figure, 0.3 + room + side + 0.2, below, 0.14, side)
    scale = figure.colorbar(image, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1])
    scale.ax.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "100 %"], size=8)
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0)
    scale.set_label("share of the true class", color=INK, size=9)
    return figure


def _write_counts(
    axes: Any, confusion: NDArray[np.integer[Any]], shares: NDArray[np.float64]
) -> None:
    largest = max((len(str(int(count))) for count in confusion.flat), default=1)
    size = 9 if largest <= 4 else 7
    for row, column in np.ndindex(*confusion.shape):
        count = int(confusion[row, column])
        color = "white" if shares[row, column] > 0.45 else INK if count else MUTED
        text = str(count) if count else "·"
        axes.text(column, row, text, ha="center", va="center", color=color, size=size)
