"""Maps and kernels side by side in one picture: white is 0, orange positive, blue negative."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoconv.checks import refusal
from isoconv.errors import ShapeError
from isoconv.explain.heat import BLUE, ORANGE
from isoconv.explain.png import png, write_png
from isoconv.graph.operation import Array
from isoconv.report.album import tiles as coloured

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 64
"""Tiles in one picture at most."""
_SIDE = 64
"""Pixels of a tile's longer side, about."""
_GAP = 4


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """A picture of tiles.

    Attributes:
        pixels: uint8 ``(H, W, 4)``: red, green, blue, and 0 for transparent between the tiles.
        said: what it shows.
    """

    pixels: Array
    said: str

    def picture(self) -> Image:
        """The same as a Pillow picture."""
        from PIL.Image import fromarray

        return fromarray(self.pixels)

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG file, whole or not at all.

        Raises:
            ArgumentError: the path has another ending than .png.
            CheckpointError: it cannot be written.
        """
        write_png(path, self._png())

    def _png(self) -> bytes:
        return png(self.picture())

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<{width} by {height} pixels: {self.said}>"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._png()).decode()
        said = escape(self.said)
        return (
            f"<div>{said}</div>"
            f'<img src="data:image/png;base64,{data}" alt="{said}" style="max-width:100%">'
        )


def tiles_of_maps(value: Array, what: str, most: int = MOST) -> Tiles:
    """The channels of a feature map side by side, on one scale of colours.

    Args:
        value: ``(H, W, C)``, ``(L, C)`` or ``(C,)``, which is one row.
        what: it is, for people.
        most: so many channels at most.

    Raises:
        ShapeError: a value of more axes.
    """
    if value.ndim > 3:
        raise ShapeError(f"maps of one or two axes are drawn; those of {what} are {value.shape}")
    if value.ndim == 1:
        maps = value[np.newaxis, :, np.newaxis]
    else:
        maps = value if value.ndim == 3 else value[np.newaxis]
    count = maps.shape[-1]
    shown = min(count, most)
    finite = np.where(np.isfinite(maps), maps, 0).astype(np.float64)
    limit = float(np.abs(finite).max()) or 1.0
    pixels = _signed(finite[..., :shown] / limit)
    if value.ndim == 1:
        said = f"the {value.size} numbers of {what}"
    else:
        said = f"{shown} of {count}" if shown < count else f"all {count}"
        said += f" channels of {what}"
    said += f"; white is 0, the darkest {limit:.3g}; orange is positive, blue negative"
    if not np.isfinite(maps).all():
        said += "; white too is what is not finite"
    return Tiles(_sheet([_fitted(pixels[:, :, each]) for each in range(shown)]), said)


def tiles_of_kernels(weight: Array, what: str, channel: int | None = None) -> Tiles:
    """The kernels of a convolution side by side, on one scale of colours.

    Args:
        weight: ``(kh, kw, C, O)``, or ``(k, C, O)``.
        what: it is, for people.
        channel: the input channel that is shown; None for the first, and for colours where there
            are three.

    Raises:
        ShapeError: a weight of other axes.
        ArgumentError: no such channel.
    """
    whole = weight[np.newaxis] if weight.ndim == 3 else weight
    if whole.ndim != 4:
        raise ShapeError(f"kernels of one or two axes are drawn; {what} has {weight.shape}")
    high, wide, channels, count = whole.shape
    shown = min(count, MOST)
    said = f"{shown} of {count}" if shown < count else f"all {count}"
    said += f" kernels of {high}x{wide} weights, {what}"
    if channel is None and channels == 3:
        return Tiles(coloured(whole), f"{said}; in colours, grey is 0")
    number = 0 if channel is None else channel
    if not isinstance(number, int) or not 0 <= number < channels:
        raise refusal("channel", f"lie in 0 … {channels - 1}", channel)
    if channels > 1:
        said += f"; of {channels} input channels number {number}"
    values = np.where(np.isfinite(whole), whole, 0)[:, :, number, :shown].astype(np.float64)
    limit = float(np.abs(values).max()) or 1.0
    pixels = _signed(values / limit)
    said += f"; white is 0, the darkest {limit:.3g}; orange is positive, blue negative"
    return Tiles(_sheet([_fitted(pixels[:, :, each], 40) for each in range(shown)]), said)


def _signed(values: Array) -> Array:
    """Colours of numbers from -1 to 1."""
    ends = np.where((values > 0)[..., np.newaxis], ORANGE, BLUE)
    mixed = 255 + np.abs(values)[..., np.newaxis] * (ends - 255)
    pixels: Array = np.rint(mixed).astype(np.uint8)
    return pixels


def _fitted(pixels: Array, side: int = _SIDE) -> Array:
    """A tile about as large as the others: small ones enlarged cell by cell, large ones shrunk."""
    longest = max(pixels.shape[:2])
    if longest <= side:
        times = side // longest
        return pixels.repeat(times, axis=0).repeat(times, axis=1)
    from PIL.Image import Resampling, fromarray

    height, width = (max(1, round(each * side / longest)) for each in pixels.shape[:2])
    shrunk = fromarray(np.ascontiguousarray(pixels)).resize((width, height), Resampling.BOX)
    return np.asarray(shrunk)


def _sheet(found: list[Array]) -> Array:
    """Tiles of one size side by side, in rows of equal length where there are such."""
    high, wide = found[0].shape[:2]
    longest = max(1, min(len(found), 1100 // (wide + _GAP)))
    even = [each for each in range(longest, longest // 2, -1) if len(found) % each == 0]
    columns = even[0] if even else longest
    rows = -(-len(found) // columns)
    tall, broad = high + _GAP, wide + _GAP
    sheet = np.zeros((rows * tall - _GAP, columns * broad - _GAP, 4), np.uint8)
    for place, tile in enumerate(found):
        top, left = place // columns * tall, place % columns * broad
        part = sheet[top : top + high, left : left + wide]
        part[..., :3], part[..., 3] = tile, 255
    return sheet
