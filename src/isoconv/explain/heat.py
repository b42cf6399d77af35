"""A map over a picture: brought to its size, laid over it in two colours, shown and saved."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.cards import Card, sides
from isoconv.errors import ShapeError
from isoconv.explain.png import png, write_png
from isoconv.graph.operation import Array
from isoconv.report.album import displayed

if TYPE_CHECKING:
    from PIL.Image import Image

ORANGE, BLUE = (232, 134, 28), (47, 127, 214)
"""For and against: two colours that colour-blind people tell apart."""
SIDE = 320
"""Pixels of the longer side of a picture that is shown, about."""


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap:
    """Which part of a picture speaks for a class.

    Attributes:
        kind: how it was found: "Grad-CAM", "gradient by the input", "gradient times input" or
            "occlusion".
        map: float32 ``(H, W)``.
        target: number of the class.
        target_name: its name; "" where the model names none.
        probabilities: the model's result for the picture.
        settings: how it was made, by name.
        notes: what was chosen or guessed, a line each.
        image: the picture as the model was given it, ``(H, W, C)``.
    """

    kind: str
    map: Array
    target: int
    target_name: str
    probabilities: Array
    settings: Mapping[str, str]
    notes: tuple[str, ...]
    image: Array

    @property
    def strongest(self) -> tuple[int, ...]:
        """Where the map is greatest: ``(row, column)``, the first of equals."""
        known = np.where(np.isfinite(self.map), self.map, -np.inf)
        return tuple(int(at) for at in np.unravel_index(int(np.argmax(known)), known.shape))

    def overlay(self) -> Array:
        """The picture with the map on it, uint8 ``(H, W, 3)``: orange for, blue against.

        Raises:
            ShapeError: the map has more than two axes.
        """
        return overlay(self.image, self.map)

    def picture(self) -> Image:
        """The same as a Pillow picture, enlarged to some 320 pixels if it is smaller."""
        from PIL.Image import fromarray

        pixels = self.overlay()
        times = max(1, round(SIDE / max(pixels.shape[:2])))
        return fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1))

    def save(self, path: str | Path) -> None:
        """Write the picture as a PNG file, whole or not at all.

        Raises:
            ArgumentError: the path has another ending than .png.
            CheckpointError: it cannot be written.
        """
        write_png(path, self._png())

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, as plain data for JSON; None for what is not finite."""
        rows = self.map.astype(object)
        rows[~np.isfinite(self.map)] = None
        return {
            "kind": self.kind,
            "target": self.target,
            "target_name": self.target_name,
            "probability": self._probability,
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "map": rows.tolist(),
        }

    @property
    def _probability(self) -> float:
        return float(np.asarray(self.probabilities).reshape(-1)[self.target])

    def _png(self) -> bytes:
        return png(self.picture())

    def _card(self) -> Card:
        name = f"{self.target_name!r} (number {self.target})" if self.target_name else self.target
        names = ("row", "column") if self.map.ndim == 2 else ("at",) * self.map.ndim
        places = zip(names, self.strongest, strict=True)
        where = ", ".join(f"{name} {place}" for name, place in places)
        facts = [
            ("class", f"{name}, result {self._probability:.4g}"),
            *self.settings.items(),
            ("strongest", f"{where}: {float(self.map[self.strongest]):.4g}"),
            *(("note", line) for line in self.notes),
        ]
        return Card(f"{self.kind} of {sides(self.map.shape)} pixels", tuple(facts))

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        html = self._card().html()
        if self.map.ndim > 2:
            return html
        data = base64.b64encode(self._png()).decode()
        return (
            f'{html}<img src="data:image/png;base64,{data}" alt="{self.kind}: orange for the '
            'class, blue against it" style="image-rendering:pixelated;max-width:100%">'
        )


def overlay(image: Array, values: Array) -> Array:
    """A picture with a map on it, uint8 ``(H, W, 3)``.

    The greater a number beside the greatest of all, the more its colour covers the picture, which
    is shown in grey; what is not finite covers nothing.

    Args:
        image: ``(H, W, C)`` or ``(W, C)``.
        values: ``(H, W)`` or ``(W,)``.

    Raises:
        ShapeError: a map of more axes.
    """
    if values.ndim == 1:
        image, values = image[np.newaxis], values[np.newaxis]
    if values.ndim != 2:
        raise ShapeError(f"a map of one or two axes is drawn over a picture; got {values.shape}")
    shown = displayed(image).astype(np.float64)
    if shown.shape[-1] == 3:
        grey = 0.299 * shown[..., 0] + 0.587 * shown[..., 1] + 0.114 * shown[..., 2]
    else:
        grey = shown[..., 0]
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    size = np.abs(finite)
    share = size / (float(size.max()) or 1.0)
    # Between a straight line, which hides what is weak, and a root, which spreads it everywhere.
    cover = 0.85 * np.sqrt(share) * np.sqrt(np.sqrt(share))
    colour = np.where((finite < 0)[..., np.newaxis], BLUE, ORANGE)
    mixed = grey[..., np.newaxis] * (1 - cover[..., np.newaxis]) + colour * cover[..., np.newaxis]
    return np.rint(mixed).astype(np.uint8)


def enlarged(values: Array, size: Sequence[int]) -> Array:
    """A map brought to other sides bilinearly, the middle of a cell on the middle of its pixels.

    Pixel i of ``side`` lies at ``(i + 1/2) · own / side - 1/2`` in the map, held to its ends; along
    each axis in turn its value is ``fma(share, next - this, this)``, where ``share`` is how far
    it lies from ``this`` cell to the ``next`` one.

    Args:
        values: float32.
        size: of the result, a side for each axis.

    Example:
        >>> enlarged(np.float32([0, 4]), [4])
        array([0., 1., 3., 4.], dtype=float32)
    """
    for axis, side in enumerate(size):
        own = values.shape[axis]
        # All in units of 1 / (2 · side), so that no place is rounded.
        unit = 2 * side
        place = np.clip((2 * np.arange(side) + 1) * own - side, 0, unit * (own - 1))
        low = place // unit
        share = (place - low * unit).astype(np.float32) / np.float32(unit)
        share = share.reshape(-1, *(1,) * (values.ndim - 1 - axis))
        this = np.take(values, low, axis)
        then = np.take(values, np.minimum(low + 1, own - 1), axis)
        with np.errstate(all="ignore"):
            values = fma(np.broadcast_to(share, this.shape), then - this, this)
    return values
