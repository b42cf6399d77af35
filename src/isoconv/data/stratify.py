"""Which samples are held out: so many of each class, by a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.errors import ArgumentError
from isoconv.rows import Array


def held_out(
    labels: Array | None,
    samples: int,
    fractions: Sequence[float],
    seed: int,
    pictures: Sequence[str] | None = None,
) -> list[Array]:
    """Numbers of the samples that stay, and of those of each part that is held out.

    Of a class of k samples, ``floor(k * fraction + 1/2)`` go to a part (in float64); at least one,
    if the class has more samples than there are parts to hold out; and one sample of each class
    stays, for which the last parts have to make room. The class's samples are taken from the random
    order of (seed, purpose SPLITS, epoch 0, stream: the class), the first part first.

    With `pictures` copies of one picture in a class stay together. Each picture stands with its
    copies where the first of them stands in the random order. A part takes from there, in order,
    whatever fits with all copies into what it is still to have; where nothing fits it takes the
    first picture that is left, if another one stays. If a part gets no sample of any class so, as
    where each class is one picture alone, all is held out as if there were no copies.

    Args:
        labels: class numbers ``(N,)``; None takes all samples for one class.
        samples: N.
        fractions: one for each part to hold out, 0 or more; together below 1.
        seed: 0 ≤ seed < 2**64.
        pictures: one text for each sample, the same for copies; None tells none apart.

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
    for number, members in _by_class(classes):
        order = members[permutation(len(members), seed, Purpose.SPLITS, 0, number)]
        left = _groups(order.tolist(), pictures)
        for part, count in enumerate(_counts(len(members), fractions), 1):
            taken, left = _taken(left, count)
            place[[sample for group in taken for sample in group]] = part
    parts = [np.flatnonzero(place == part) for part in range(len(fractions) + 1)]
    held = zip(fractions, parts[1:], strict=True)
    if pictures is not None and any(fraction > 0 and not len(part) for fraction, part in held):
        return held_out(labels, samples, fractions, seed)
    return parts


def dealt(
    labels: Array | None,
    samples: int,
    folds: int,
    seed: int,
    pictures: Sequence[str] | None = None,
) -> Array:
    """For each sample the number of the fold that it belongs to: so many of each class to each.

    A class's samples come in the random order of `held_out`, class by class. Each goes with its
    copies to the fold that has the fewest samples of the class so far, of these to the one that has
    the fewest of all, of these to the first.

    Args:
        labels: class numbers ``(N,)``; None takes all samples for one class.
        samples: N.
        folds: how many.
        seed: 0 ≤ seed < 2**64.
        pictures: one text for each sample, the same for copies; None tells none apart.

    Returns:
        int64 ``(N,)``, from 0.

    Example:
        >>> fold = dealt(np.array([0, 0, 0, 0, 1, 1]), 6, 2, seed=0)
        >>> sorted(fold[:4].tolist()), sorted(fold[4:].tolist())
        ([0, 0, 1, 1], [0, 1])
    """
    place = np.zeros(samples, np.int64)
    classes = np.zeros(samples, np.int64) if labels is None else labels
    sizes = [0] * folds
    for number, members in _by_class(classes):
        order = members[permutation(len(members), seed, Purpose.SPLITS, 0, number)]
        own = [0] * folds
        for group in _groups(order.tolist(), pictures):
            fold = min(range(folds), key=lambda fold: (own[fold], sizes[fold], fold))
            place[group] = fold
            own[fold] += len(group)
            sizes[fold] += len(group)
    return place


def _by_class(classes: Array) -> Iterator[tuple[int, Array]]:
    """The samples of each class that there is, both in ascending order.

    In one pass, for there may be as many classes as samples.
    """
    order = np.argsort(classes, kind="stable")
    numbers, first = np.unique(classes[order], return_index=True)
    yield from zip(numbers.tolist(), np.split(order, first[1:]), strict=True)


def _groups(order: Sequence[int], pictures: Sequence[str] | None) -> list[list[int]]:
    """Samples with their copies, in the order of the first of each."""
    if pictures is None:
        return [[sample] for sample in order]
    found: dict[str, list[int]] = {}
    for sample in order:
        found.setdefault(pictures[sample], []).append(sample)
    return list(found.values())


def _taken(groups: list[list[int]], count: int) -> tuple[list[list[int]], list[list[int]]]:
    """The groups that a part of so many samples takes, and those that are left."""
    taken: list[list[int]] = []
    left: list[list[int]] = []
    room = count
    for group in groups:
        fits = len(group) <= room
        (taken if fits else left).append(group)
        room -= len(group) if fits else 0
    if count and not taken and len(left) > 1:
        return left[:1], left[1:]
    return taken, left


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
