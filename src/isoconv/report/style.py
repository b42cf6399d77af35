"""What all PNG pictures share: colours, text, and how a figure becomes a file.

Matplotlib is an extra and slow to import, so that it is imported here, when a figure is made.
Figures are drawn without pyplot: nothing global is changed and no window system is needed.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoconv.errors import MissingExtraError
from isoconv.report.labels import labels

INK = "#1b2733"
MUTED = "#5d6b78"
GRID = "#e3e8ed"
TRAIN = "#2166ac"
VALIDATION = "#d9720b"
WRONG = "#b2182b"

# As large as the page shows them on a screen with two device pixels to a CSS pixel.
DOTS_PER_INCH = 150


def has_matplotlib() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def make_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "the pictures of a report need matplotlib: pip install 'isoconv[report]'"
        ) from error
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def panel(figure: Any, left: float, bottom: float, width: float, height: float) -> Any:
    """Empty axes at a place given in inches from the figure's lower left corner."""
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9, length=3)
    return axes


def title(figure: Any, text: str, note: str = "") -> None:
    """A heading at the figure's upper left, with a line of explanation below it."""
    wide, high = figure.get_size_inches()
    left = 0.2 / wide
    common = {"ha": "left", "va": "top", "parse_math": False}
    figure.text(left, 1 - 0.14 / high, text, color=INK, size=13, weight="bold", **common)
    if note:
        figure.text(left, 1 - 0.42 / high, note, color=MUTED, size=9, **common)


def sequential() -> Any:
    """White to blue, for counts and shares."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", ("#ffffff", "#9cc3e3", TRAIN, "#0b2f57"))


def diverging() -> Any:
    """Red through white to blue, for values below and above 0."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "sign", (WRONG, "#f4a582", "#ffffff", "#92c5de", TRAIN)
    )


def drawable(names: Sequence[str], width: int = 18) -> list[str]:
    """Class names as labels: shortened, and by number where the font has no such letters.

    Example:
        >>> drawable(["Ankle boot", "a name that is far too long"])
        ['Ankle boot', 'a name th…too long']
    """
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return [
        label if all(ord(letter) in known for letter in label) else f"class {place}"
        for place, label in enumerate(labels(names, width))
    ]


def save(figure: Any, path: Path) -> bytes:
    """Write a figure as PNG, whole or not at all, and return the file's content."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    content = buffer.getvalue()
    write_whole(path, content)
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
