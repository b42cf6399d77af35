"""The kernels of the first convolution, as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.report.style import INK, MUTED, diverging, make_figure, panel, title

SHOWN = 64
COLUMNS = 12


def first_filters(parameters: Mapping[str, NDArray[Any]]) -> tuple[str, NDArray[Any]] | None:
    """Name and kernel ``(kh, kw, C, O)`` of the first two-dimensional convolution, or None.

    A kernel of one position is passed over: there is nothing to see.

    Example:
        >>> import numpy as np
        >>> weights = {"0.bias": np.zeros(8), "0.weight": np.zeros((3, 3, 1, 8))}
        >>> first_filters(weights)[0]
        '0.weight'
    """
    for name, weight in parameters.items():
        if weight.ndim == 4 and weight.shape[0] * weight.shape[1] > 1:
            return name, weight
    return None


def draw_filters(name: str, weight: NDArray[Any]) -> Any:
    """The kernels of a convolution, one tile for each.

    Kernels for colour images are shown in colour around a middle gray, those for one channel in
    blue for positive and red for negative weights. Of any other number of channels the first is
    shown.

    Args:
        name: of the parameter, for the heading.
        weight: ``(kh, kw, C, O)``.

    Returns:
        A matplotlib figure.
    """
    height, width, channels, total = weight.shape
    shown = min(total, SHOWN)
    # Rows of equal length where there are such.
    columns = next((c for c in range(COLUMNS, 5, -1) if shown % c == 0), min(COLUMNS, shown))
    rows = -(-shown // columns)
    cell = 0.72
    wide, high = max(5.4, 0.4 + columns * cell + 1.1), 0.85 + rows * cell
    figure = make_figure(wide, high)
    parts = [f"{height}x{width} weights each, of {name}"]
    if shown < total:
        parts.append(f"the first {shown} of {total}")
    if channels not in (1, 3):
        parts.append(f"input channel 0 of {channels}")
    title(figure, "First-layer filters", "; ".join(parts))

    limit = float(np.abs(weight).max()) or 1.0
    axes = panel(figure, 0.2, 0.1, columns * cell, rows * cell)
    axes.set_axis_off()
    mapped = None
    for place in range(shown):
        row, column = divmod(place, columns)
        left, top = column + 0.06, rows - row - 0.06
        scale = 0.88 / max(height, width)
        box = (left, left + width * scale, top - height * scale, top)
        kernel = weight[..., place].astype(np.float64) / limit
        if channels == 3:
            axes.imshow(0.5 + 0.5 * kernel, extent=box, interpolation="nearest")
        else:
            settings = {"cmap": diverging(), "vmin": -limit, "vmax": limit}
            mapped = axes.imshow(
                kernel[..., 0] * limit, extent=box, interpolation="nearest", **settings
            )
        _frame(axes, box)
    axes.set_xlim(0, columns)
    axes.set_ylim(0, rows)
    axes.set_aspect("auto")
    if mapped is not None:
        _scale(figure, mapped, 0.2 + columns * cell + 0.15, rows * cell, limit)
    return figure


def _frame(axes: Any, box: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    left, right, bottom, top = box
    axes.add_patch(
        Rectangle(
            (left, bottom), right - left, top - bottom, fill=False, color=MUTED, linewidth=0.5
        )
    )


def _scale(figure: Any, mapped: Any, left: float, height: float, limit: float) -> None:
    inner = min(height - 0.2, 1.6)
    bar = panel(figure, left, 0.1 + height - 0.1 - inner, 0.12, inner)
    scale = figure.colorbar(mapped, cax=bar, ticks=[-limit, 0, limit])
    scale.ax.set_yticklabels([f"{-limit:.2g}", "0", f"+{limit:.2g}"], size=8)
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0)
    scale.ax.tick_params(labelcolor=INK)
