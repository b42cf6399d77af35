"""Images with what the network takes them for, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from isoconv.printable import printable
from isoconv.report.album import displayed
from isoconv.report.style import INK, MUTED, TRAIN, WRONG, drawable, make_figure, panel, title
from isoconv.train.scores import Answer

COLUMNS = 6
ROWS = 4
LETTERS, PATH = 12, 22
"""Of a class name, as many as fit below an image beside a probability; of a file's name."""


def draw_mistakes(
    images: NDArray[Any], class_names: Sequence[str], entries: Sequence[Answer]
) -> Any:
    """Wrongly classified images: the wrong class with its probability above the true one.

    Args:
        images: ``(N, H, W, C)``, uint8 or float32.
        class_names: a name for each class.
        entries: all mistakes, the most certain first.

    Returns:
        A matplotlib figure.
    """
    labels = drawable(class_names, LETTERS)
    shown = entries[: COLUMNS * ROWS]
    lines = [
        ((f"{labels[e.predicted]} {e.probability:.1%}", WRONG), (f"is {labels[e.true]}", INK))
        for e in shown
    ]
    of = "all" if len(shown) == len(entries) else f"{len(shown)} of {len(entries):,}"
    note = f"{of} wrong predictions, the most certain first: what it said, what it is, which file"
    return _draw("Mistakes", note, images, shown, lines)


def draw_predictions(
    images: NDArray[Any], class_names: Sequence[str], entries: Sequence[Answer]
) -> Any:
    """Correctly classified images with the probability that was given to their class.

    Args:
        images: ``(N, H, W, C)``, uint8 or float32.
        class_names: a name for each class.
        entries: what to show.

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
    entries: Sequence[Answer],
    lines: Sequence[tuple[tuple[str, str], tuple[str, str]]],
) -> Any:
    tile, across, down = 1.25, 1.58, 1.92
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
        picture = displayed(images[entry.sample])
        height, width = picture.shape[:2]
        scale = tile / max(height, width)
        box = (left, left + width * scale, top - height * scale, top)
        # Gray as three equal channels, which imshow takes as they are.
        axes.imshow(picture.repeat(4 - picture.shape[-1], -1)[..., :3], extent=box,
                    interpolation="nearest")  # fmt: skip
        text = {"ha": "left", "va": "top", "size": 8.5, "parse_math": False}
        axes.text(left, top - tile - 0.05, first[0], color=first[1], weight="bold", **text)
        axes.text(left, top - tile - 0.21, second[0], color=second[1], **text)
        path = drawable([printable(entry.path)], PATH)[0] if entry.path else ""
        text["size"] = 7
        axes.text(left, top - tile - 0.37, path, color=MUTED, **text)
    axes.set_xlim(0, 0.4 + COLUMNS * across)
    axes.set_ylim(0, high)
    axes.set_aspect("auto")
    return figure
