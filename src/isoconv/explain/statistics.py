"""What an inspection says of a layer in numbers, and from where on it says that something is wrong.

Sums are the library's own, in float64: of each image axis by axis from the first one on, each as a
reduction's eight partial sums; then of the images by the binary tree. So they depend neither on the
machine nor on how many images are taken at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np

from isoconv.arithmetic.sums import partial_sum, tree_sum
from isoconv.graph.operation import Array

VANISHING = 1e-6
"""Norm of a gradient beside that of its weights below which it is said to vanish: at a learning
rate of 0.1 a step changes the weights by less than a float32 can tell."""
EXPLODING = 10.0
"""Above which it is said to explode: at a learning rate of 0.1 a step is as long as the weights."""
FROM_ZERO = ("bias",)
"""Parameters that start at zero in every layer of the library, the beta of batch normalisation
among them: their norm tells how far they have come and no size that a gradient is small or large
beside, so that neither is said of them. The weights of the same layer are judged."""
SATURATED = 0.01
"""How close to its ends a sigmoid or tanh is saturated, as a share of what lies between them."""
MOSTLY = 0.5
"""Share of saturated values from which on that is said of a layer."""
FEW = 16
"""Images below which nothing is said of dead units: of a few images many are zero anyway."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How numbers lie.

    Attributes:
        count: how many there are.
        zeros: share of those that are zero.
        mean: of the finite ones; None where there are none, as for all that follow.
        deviation: standard deviation.
        least: the smallest.
        greatest: the largest.
        norm: square root of the sum of squares.
        nonfinite: how many are NaN or infinite.
    """

    count: int
    zeros: float
    mean: float | None
    deviation: float | None
    least: float | None
    greatest: float | None
    norm: float | None
    nonfinite: int

    def to_dict(self) -> dict[str, float | int | None]:
        """The same for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class Tally:
    """Numbers of one layer being counted, some images at a time.

    Args:
        low: for saturation: the least value that the activation can have.
        high: the greatest; None where nothing saturates.

    Attributes:
        alive: for each channel whether it was anything but zero; None before the first images.
        first: image and place of the first number that is not finite, or None.

    Example:
        >>> tally = Tally()
        >>> tally.add(np.float32([[[1, 0], [3, 0]]]))
        >>> tally.spread().mean, tally.alive.tolist()
        (1.0, [True, False])
    """

    def __init__(self, low: float = 0.0, high: float | None = None) -> None:
        self.alive: Array | None = None
        self.first: tuple[int, ...] | None = None
        self._ends = low, high
        self._images = 0
        self._count = 0
        self._zeros = 0
        self._saturated = 0
        self._nonfinite = 0
        self._least, self._greatest = float("inf"), float("-inf")
        self._sums: list[Array] = []
        self._squares: list[Array] = []

    def add(self, values: Array) -> None:
        """Count some images' values, ``(N, ..., C)``."""
        if not values.size:
            self._images += len(values)
            return
        finite = np.isfinite(values)
        alive = (values != 0).any(axis=tuple(range(values.ndim - 1)))
        self.alive = alive if self.alive is None else self.alive | alive
        self._count += values.size
        self._zeros += int(np.count_nonzero(values == 0))
        wrong = values.size - int(np.count_nonzero(finite))
        if wrong:
            if self.first is None:
                image, *place = (int(at) for at in np.argwhere(~finite)[0])
                self.first = (self._images + image, *place)
            self._nonfinite += wrong
            values = np.where(finite, values, np.float32(0))
        if wrong < finite.size:
            known = values[finite] if wrong else values
            self._least = min(self._least, float(known.min()))
            self._greatest = max(self._greatest, float(known.max()))
        low, high = self._ends
        if high is not None:
            edge = SATURATED * (high - low)
            near = (values < low + edge) | (values > high - edge)
            self._saturated += int(np.count_nonzero(near & finite))
        wide = values.astype(np.float64)
        self._sums += list(_by_image(wide))
        self._squares += list(_by_image(wide * wide))
        self._images += len(values)

    def spread(self) -> Spread:
        """What came of it."""
        known = self._count - self._nonfinite
        if not known:
            return Spread(self._count, 0.0, None, None, None, None, None, self._nonfinite)
        total, squares = float(tree_sum(self._sums)), float(tree_sum(self._squares))
        mean = total / known
        return Spread(
            self._count,
            self._zeros / self._count,
            mean,
            sqrt(max(0.0, squares / known - mean * mean)),
            self._least,
            self._greatest,
            sqrt(squares),
            self._nonfinite,
        )

    @property
    def saturated(self) -> float | None:
        """Share of values close to an end of the activation; None where it has none."""
        if self._ends[1] is None or not self._count:
            return None
        return self._saturated / self._count


def _by_image(values: Array) -> Array:
    """The sum of each image's values, axis by axis."""
    while values.ndim > 1:
        values = partial_sum(values, axis=1)
    return values


def norm_of(values: Array) -> float:
    """The square root of the sum of squares, in float64 and in the order of this file.

    Example:
        >>> norm_of(np.float32([3, 4]))
        5.0
    """
    wide = values.astype(np.float64)
    with np.errstate(all="ignore"):
        return sqrt_of(float(_by_image((wide * wide)[None])[0]))


def sqrt_of(value: float) -> float:
    """The root of what may be NaN or infinite."""
    return sqrt(value) if isfinite(value) else value


@dataclass(frozen=True, slots=True)
class ParameterNorms:
    """A learned array and its gradient.

    Attributes:
        weight: norm of the array.
        gradient: norm of the gradient; None without labels.
    """

    weight: float
    gradient: float | None = None

    @property
    def ratio(self) -> float | None:
        """Norm of the gradient beside that of the weights; None where one of them lacks or is 0."""
        if self.gradient is None or not self.weight:
            return None
        return self.gradient / self.weight

    def to_dict(self) -> dict[str, float | None]:
        """The same for JSON."""
        found = {"norm": self.weight, "gradient_norm": self.gradient, "ratio": self.ratio}
        return {name: plain_number(value) for name, value in found.items()}


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What is known of one layer over all images.

    Attributes:
        layer: its name.
        kind: its class.
        shape: of its result for one image.
        value: how its results lie.
        units: channels of the result.
        dead: numbers of those that are zero for all images at all positions.
        saturated: share of values within 1% of the ends of a sigmoid or tanh; None for others.
        gradient: how the gradient by the result lies; None without labels.
        parameters: norms of each learned array by its own name.
        flags: what may be wrong, a line each.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    value: Spread
    units: int
    dead: tuple[int, ...]
    saturated: float | None
    gradient: Spread | None
    parameters: Mapping[str, ParameterNorms]
    flags: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "shape": list(self.shape),
            "value": self.value.to_dict(),
            "units": self.units,
            "dead": list(self.dead),
            "saturated": self.saturated,
            "gradient": None if self.gradient is None else self.gradient.to_dict(),
            "parameters": {name: norms.to_dict() for name, norms in self.parameters.items()},
            "flags": list(self.flags),
        }


def flags_of(
    images: int, value: Tally, gradient: Tally | None, parameters: Mapping[str, ParameterNorms]
) -> tuple[str, ...]:
    """What may be wrong with a layer, a line each, by the limits of this file."""
    lines = []
    for tally, what in ((value, "value"), (gradient, "gradient")):
        if tally is not None and tally.first is not None:
            image, *place = tally.first
            count = tally.spread().nonfinite
            where = f"first in image {image} at {tuple(place)}"
            lines.append(f"{count:,} of its {what}s not finite, {where}")
    dead = 0 if value.alive is None else int(np.count_nonzero(~value.alive))
    if dead and images >= FEW and value.alive is not None:
        lines.append(f"{dead} of {len(value.alive)} units dead: zero for all {images:,} images")
    if value.saturated is not None and value.saturated >= MOSTLY:
        lines.append(f"{value.saturated:.0%} of its values saturated")
    for name, norms in parameters.items():
        if not isfinite(norms.weight):
            lines.append(f"{name} holds numbers that are not finite")
        elif norms.gradient is not None and not isfinite(norms.gradient):
            lines.append(f"the gradient by {name} holds numbers that are not finite")
        elif norms.gradient == 0:
            lines.append(f"the gradient by {name} is zero")
        elif norms.ratio is None or name in FROM_ZERO:
            continue
        elif norms.ratio < VANISHING:
            size = f"its norm is {norms.ratio:.1e} of that of {name}"
            lines.append(f"the gradient by {name} vanishes: {size}")
        elif norms.ratio > EXPLODING:
            size = f"its norm is {norms.ratio:.2g} times that of {name}"
            lines.append(f"the gradient by {name} explodes: {size}")
    return tuple(lines)


def plain_number(value: float | None) -> float | None:
    """A number as JSON knows it: None for what is not finite."""
    return None if value is None or not isfinite(value) else value
