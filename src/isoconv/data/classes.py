"""Classes meet by their names: labels of one list of classes told in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isoconv.data.dataset import Dataset
from isoconv.data.skipped import all_skipped
from isoconv.errors import DataError
from isoconv.memory import check_memory
from isoconv.printable import listed
from isoconv.rows import rows_behind

__all__ = ["all_as_one", "in_classes"]

Array = NDArray[Any]


def in_classes(data: Dataset, names: Sequence[str], whose: str) -> Dataset:
    """A data set whose labels are numbers of these classes, matched by name.

    A data set may lack classes; those of no sample need not be known. Classes that nobody named
    are matched by their numbers.

    Args:
        data: with classes; one with float targets is given back as it is.
        names: of the classes to match.
        whose: they are, for the message, such as ``"the run"``.

    Raises:
        DataError: the data set has samples of a class that is not among the names.

    Example:
        >>> pictures = np.zeros((2, 1, 1), np.uint8)
        >>> data = Dataset.from_arrays(pictures, [0, 1], ["dog", "cat"])
        >>> in_classes(data, ["cat", "cow", "dog"], "the run").labels.tolist()
        [2, 0]
    """
    wanted = tuple(names)
    if not data.class_names or not wanted:
        return data
    if data.class_names == wanted:
        return data if not data.numbered else replace(data, numbered=False)
    # What belongs to no sample needs no match.
    present = np.unique(data.labels[data.labels >= 0]).tolist()
    if data.numbered:
        if present and present[-1] >= len(wanted):
            raise DataError(
                f"{data.name}: labels are numbers of the {len(wanted)} classes of {whose}, "
                f"0 … {len(wanted) - 1}; got {present[-1]} ({listed([*map(repr, wanted)])})"
            )
        return replace(data, class_names=wanted, numbered=False)
    known = {name: number for number, name in enumerate(wanted)}
    unknown = [
        data.class_names[number] for number in present if data.class_names[number] not in known
    ]
    if unknown:
        raise DataError(
            f"{data.name}: every class must be one of {whose}; unknown: "
            f"{listed([*map(repr, unknown)])}; {whose} knows: {listed([*map(repr, wanted)])}"
        )
    # A place without a label has -1, which is the last of the table.
    table = np.array([*(known.get(name, -1) for name in data.class_names), -1], np.int32)
    labels = table[data.labels]
    labels.flags.writeable = False
    return replace(data, labels=labels, class_names=wanted)


def all_as_one(parts: Sequence[Dataset]) -> Dataset:
    """The samples of several parts of one source, one part behind the other.

    Raises:
        DataError: the parts have images of different shapes or dtypes, or classes and float
            targets.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if bool(part.class_names) != bool(first.class_names):
            raise DataError(
                f"{first.name}: all parts must have classes, or all float targets; got both"
            )
        if part.image_shape != first.image_shape or part.images.dtype != first.images.dtype:
            raise DataError(
                f"{first.name}: images must be of one kind in all parts; got {first.images.dtype} "
                f"{first.image_shape} and {part.images.dtype} {part.image_shape}"
            )
    names = _names_of_all(parts)
    matched = [in_classes(part, names, first.name) for part in parts]
    images = _together(first.name, [part.images for part in matched])
    labels = np.concatenate([part.labels for part in matched])
    labels.flags.writeable = False
    return replace(
        first,
        images=images,
        labels=labels,
        class_names=names,
        numbered=all(part.numbered for part in parts),
        paths=tuple(path for part in matched for path in part.paths),
        notes=tuple(dict.fromkeys(line for part in matched for line in part.notes)),
        skipped=all_skipped(part.skipped for part in matched),
    )


def _together(name: str, images: Sequence[Array]) -> Array:
    """Images behind each other: a copy, or their numbers alone where they lie in one file."""
    rows = rows_behind(images[0])
    joined = None if rows is None else rows.joined(images[1:])
    if joined is not None:
        return cast(Array, joined)
    total = 0
    for part in images:
        total += part.nbytes
    check_memory(name, {"the images of all parts": total}, "one part at a time")
    found = np.concatenate(images)
    found.flags.writeable = False
    return found


def _names_of_all(parts: Sequence[Dataset]) -> tuple[str, ...]:
    """The classes of all parts: those of the first, then what others add."""
    named = [part for part in parts if not part.numbered]
    if not named:
        # Counted from the labels of each part alone: one may lack the last ones.
        return max((part.class_names for part in parts), key=len)
    return tuple(dict.fromkeys(name for part in named for name in part.class_names))
