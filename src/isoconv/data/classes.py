"""Classes meet by their names: labels of one list of classes told in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from isoconv.data.dataset import Dataset
from isoconv.data.labels import present_classes
from isoconv.data.skipped import all_skipped
from isoconv.errors import DataError
from isoconv.memory import check_memory
from isoconv.printable import listed
from isoconv.rows import Array, behind_each_other, chunks, rows_behind


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
    present = present_classes(data.labels).tolist()
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
    if all(table[number] == number for number in present):
        return replace(data, class_names=wanted)
    check_memory(data.name, {"labels of other numbers": 4 * data.labels.size}, "fewer images")
    labels = np.empty(data.labels.shape, np.int32)
    first = 0
    for part in chunks(data.labels):
        labels[first : first + len(part)] = table[part]
        first += len(part)
    labels.flags.writeable = False
    return replace(data, labels=labels, class_names=wanted)


def check_alike(name: str, one: Dataset, other: Dataset, titles: tuple[str, str]) -> None:
    """See that two parts of one source hold the same kind of images and of labels.

    Args:
        name: of the source, for the message.
        one: a part.
        other: another one.
        titles: what they are called.

    Raises:
        DataError: images of other shapes or dtypes, classes beside float targets, or labels of
            other shapes.
    """
    here, there = titles
    if one.image_shape != other.image_shape:
        raise DataError(
            f"{name}: images must have the same height, width and channels in all parts; got "
            f"{one.image_shape} in {here} and {other.image_shape} in {there}"
        )
    if one.images.dtype != other.images.dtype:
        raise DataError(
            f"{name}: images must be all uint8 or all floats, of one unit; got {one.images.dtype} "
            f"in {here} and {other.images.dtype} in {there}"
        )
    mine, theirs = one.labels, other.labels
    if (mine.dtype, bool(one.class_names)) != (theirs.dtype, bool(other.class_names)):
        raise DataError(
            f"{name}: all parts must have classes, or all float targets; got {_labels_of(one)} in "
            f"{here} and {_labels_of(other)} in {there}"
        )
    if mine.shape[1:] != theirs.shape[1:]:
        raise DataError(
            f"{name}: labels must have the same shape in all parts; got {mine.shape[1:]} for an "
            f"image in {here} and {theirs.shape[1:]} in {there}"
        )


def _labels_of(data: Dataset) -> str:
    """What labels are, in words."""
    kind = "class numbers" if data.labels.dtype.kind == "i" else "float targets"
    named = ", of classes with names" if data.class_names else ""
    return f"{kind} of shape {data.labels.shape}{named}"


def all_as_one(parts: Sequence[Dataset], titles: Sequence[str] = ()) -> Dataset:
    """The samples of several parts of one source, one part behind the other.

    Args:
        parts: of one source.
        titles: what they are called, for messages.

    Raises:
        DataError: the parts have images of different shapes or dtypes, classes and float targets,
            or labels of different shapes.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for number, part in enumerate(parts[1:], 1):
        called = (titles[0], titles[number]) if titles else ("one part", "another")
        check_alike(first.name, first, part, called)
    matched = in_all_classes(first.name, parts)
    images, labels = (
        _together(first.name, what, [getattr(part, what) for part in matched])
        for what in ("images", "labels")
    )
    return replace(
        first,
        images=images,
        labels=labels,
        class_names=matched[0].class_names,
        numbered=matched[0].numbered,
        paths=tuple(path for part in matched for path in part.paths),
        notes=tuple(dict.fromkeys(line for part in matched for line in part.notes)),
        skipped=all_skipped(part.skipped for part in matched),
    )


def _together(name: str, what: str, arrays: Sequence[Array]) -> Array:
    """Images or labels of all parts behind each other: a copy only where they lie apart."""
    rows = rows_behind(arrays[0])
    found = behind_each_other(arrays) if rows is None else rows.joined(arrays[1:])
    if found is not None:
        return cast(Array, found)
    total = sum(part.nbytes for part in arrays)
    check_memory(name, {f"the {what} of all parts": total}, "one part at a time")
    copied = np.concatenate(arrays)
    copied.flags.writeable = False
    return copied


def in_all_classes(name: str, parts: Sequence[Dataset]) -> list[Dataset]:
    """Parts of one source, each with the classes of all of them.

    Args:
        name: of the source.
        parts: of it.
    """
    names, numbered = _names_of_all(parts), all(part.numbered for part in parts)
    return [replace(in_classes(part, names, name), numbered=numbered) for part in parts]


def _names_of_all(parts: Sequence[Dataset]) -> tuple[str, ...]:
    """The classes of all parts: those of the first, then what others add."""
    named = [part for part in parts if not part.numbered]
    if not named:
        # Counted from the labels of each part alone: one may lack the last ones.
        return max((part.class_names for part in parts), key=len)
    return tuple(dict.fromkeys(name for part in named for name in part.class_names))
