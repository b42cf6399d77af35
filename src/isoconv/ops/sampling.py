"""Where a resized axis reads: positions between the places of x, and the taps around each.

Everything is worked out in float64, from the formulas of ONNX's Resize (operator sets 11 to 19).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from isoconv.ops.resample import Taps

Coordinates = Literal[
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_crop_and_resize",
]  # fmt: skip
Interpolation = Literal["linear", "cubic"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def positions(
    side: int,
    size: int,
    scale: float,
    coordinates: Coordinates,
    region: tuple[float, float] = (0.0, 1.0),
) -> list[float]:
    """For each place of the result where it lies among the places of x.

    Args:
        side: places of x.
        size: places of the result.
        scale: how much larger the result is; ``scale * side`` need not be whole.
        coordinates: the formula.
        region: beginning and end of what is shown, 0 and 1 the first and the last place; for
            "tf_crop_and_resize" alone.

    Example:
        >>> positions(2, 4, 2.0, "half_pixel")
        [-0.25, 0.25, 0.75, 1.25]
    """
    length, last = scale * side, side - 1
    if coordinates == "align_corners":
        return [i * last / (length - 1) if length != 1 else 0.0 for i in range(size)]
    if coordinates == "asymmetric":
        return [i / scale for i in range(size)]
    if coordinates == "tf_crop_and_resize":
        begin, end = region
        if length == 1:
            return [(end - begin) * last / 2 + begin * last] * size
        return [i * (end - begin) * last / (length - 1) + begin * last for i in range(size)]
    if coordinates == "pytorch_half_pixel" and length <= 1:
        return [0.0] * size
    shift = 0.0
    if coordinates == "half_pixel_symmetric":
        shift = side / 2 * (1 - size / length)
    return [shift + (i + 0.5) / scale - 0.5 for i in range(size)]


def nearest(at: Sequence[float], side: int, rounding: Rounding) -> tuple[int, ...]:
    """The place of x next to each position, the first or the last for those beyond.

    Example:
        >>> nearest([-0.25, 0.5, 1.5], 3, "round_prefer_floor")
        (0, 0, 1)
    """
    whole = {
        "floor": math.floor,
        "ceil": math.ceil,
        "round_prefer_floor": lambda x: math.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: math.floor(x + 0.5),
    }[rounding]
    return tuple(min(max(whole(x), 0), side - 1) for x in at)


def _first(mode: Interpolation, scale: float) -> int:
    """The first place that counts, from the one before a position on; the last is as far behind."""
    return math.floor(-(1 if mode == "linear" else 2) / min(scale, 1.0)) + 1


def width(mode: Interpolation, scale: float) -> int:
    """How many places around a position count, at most.

    Example:
        >>> width("linear", 1.0), width("cubic", 0.5)
        (2, 8)
    """
    return 2 - 2 * _first(mode, scale)


def taps(
    at: Sequence[float],
    side: int,
    mode: Interpolation,
    *,
    scale: float = 1.0,
    cubic: float = -0.75,
    exclude_outside: bool = False,
) -> Taps:
    """The places of x around each position with their weights.

    Beyond its ends x goes on with its first and its last place, whose weights are added up.

    Args:
        at: the positions.
        side: places of x.
        mode: the weights' formula.
        scale: below 1, the formula is stretched by 1 / scale, and the weights are divided by their
            sum, so that every place of x is seen (antialiasing).
        cubic: the a of Keys 1981, "Cubic convolution interpolation for digital image processing".
        exclude_outside: what lies beyond the ends has no weight, and the others are divided by
            their sum.

    Example:
        >>> taps([-0.25, 0.25], 3, "linear")
        (((0, 1.0),), ((0, 0.75), (1, 0.25)))
    """
    stretch = min(scale, 1.0)
    first = _first(mode, stretch)
    rows = []
    for x in at:
        # The place before x, which may lie on the one behind.
        base = math.ceil(x) - 1
        places = range(base + first, base + 2 - first)
        offsets = [i - (x - base) for i in range(first, 2 - first)]
        if mode == "linear":
            weights = [max(1 - abs(offset * stretch), 0.0) for offset in offsets]
        else:
            weights = [_keys(abs(offset * stretch), cubic) for offset in offsets]
        if exclude_outside:
            weights = [w if 0 <= i < side else 0.0 for i, w in zip(places, weights, strict=True)]
        if stretch < 1 or exclude_outside:
            total = 0.0
            for weight in weights:
                total += weight
            weights = [weight / total for weight in weights]
        rows.append(_row(places, weights, side))
    return tuple(rows)


def _keys(x: float, a: float) -> float:
    """The cubic kernel at a distance."""
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _row(
    places: Sequence[int], weights: Sequence[float], side: int
) -> tuple[tuple[int, float], ...]:
    """One weight for each place inside; those of 0 are left out."""
    found: dict[int, float] = {}
    for place, weight in zip(places, weights, strict=True):
        inside = min(max(place, 0), side - 1)
        found[inside] = found.get(inside, 0.0) + weight
    return tuple((place, weight) for place, weight in found.items() if weight != 0)
