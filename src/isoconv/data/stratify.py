"""Which samples are held out: so many of each class, by a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.errors import ArgumentError

__all__ = ["held_out"]

Array = NDArray[Any]


def held_out(
    labels: Array | None, samples: int, fractions: Sequence[float], seed: int
) -> list[Array]:
    """Numbers of the samples that stay, and of those of each part that is held out.

    Of a class of k samples, ``floor(k * fraction + 1/2)`` go to a part (in float64); at least one,
    if the class has more samples than there are parts to hold out; and one sample of each class
    stays, for which the last parts have to make room. The class's samples are taken from the random
    order of (seed, purpose SPLITS, epoch 0, stream: the class), the first part first.

    Args:
        labels: class numbers ``(N,)``; None takes all samples for one class.
        samples: N.
        fractions: one for each part to hold out, 0 or more; together below 1.
        seed: 0 ≤ seed < 2**64.

    Returns:
        For the rest and for each part, int64 numbers in ascending order.

    Raises:
        ArgumentError: fractions that leave nothing.

    Example:
        >>> rest, test = held_out(np.array([0, 0, 0, 0, 1, 1]), 6, (0.25,), seed=0)
        >>> len(rest), len(test)
        (4, 2)
    """
    if any(not 0 <= fraction < 1 for fraction in fractions) or _total(fractions) >= 1:
        given = ", ".join(f"{fraction:g}" for fraction in fractions)
        raise ArgumentError(
            f"fractions to hold out must be 0 or more, together below 1; got {given}"
        )
    place = np.zeros(samples, np.int64)
    classes = np.zeros(samples, np.int64) if labels is None else labels
    for number in np.unique(classes).tolist():
        members = np.flatnonzero(classes == number)
        order = members[permutation(len(members), seed, Purpose.SPLITS, 0, int(number))]
        start = 0
        for part, count in enumerate(_counts(len(members), fractions), 1):
            place[order[start : start + count]] = part
            start += count
    return [np.flatnonzero(place == part) for part in range(len(fractions) + 1)]


def _counts(samples: int, fractions: Sequence[float]) -> list[int]:
    wanted = len([fraction for fraction in fractions if fraction > 0])
    least = 1 if samples > wanted else 0
    counts: list[int] = []
    left = samples - 1
    for fraction in fractions:
        if fraction > 0:
            wanted -= 1
            # What the parts to come are to have at least is not given away.
            room = left - least * wanted
            counts.append(min(max(least, int(samples * fraction + 0.5)), room))
            left -= counts[-1]
        else:
            counts.append(0)
    return counts


def _total(fractions: Sequence[float]) -> float:
    total = 0.0
    for fraction in fractions:
        total += fraction
    return total
