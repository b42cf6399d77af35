"""Labels as people have them: class numbers, names of classes, or float targets.

Whole numbers are classes, counted from 0; texts are names of classes; floats are targets. What
could mean one thing or another is refused, and the message says what to give for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from isoconv.checks import check_array, refusal, shown, whole
from isoconv.errors import DataError
from isoconv.printable import cut, printable
from isoconv.rows import Array, chunks, rows_behind
from isoconv.wording import either

MAX_CLASSES = 65536
_COUNTS = "counts"
"""How often each class is there, of labels that lie in a file."""
_FEW = 8
"""Labels that a message lists."""


def label_array(given: object) -> Array:
    """Labels as an array: of numbers, of flags, or of Python's own texts (dtype object).

    Columns of tables and lists are taken as NumPy makes arrays of them, so that those of Pandas and
    the like need no library here. Bytes are texts in UTF-8.

    Args:
        given: the labels.

    Raises:
        DataError: neither numbers nor texts, or both; names the first sample that is another thing
            than the others.

    Example:
        >>> label_array([1, 0]).dtype.kind, label_array([b"cat"]).tolist()
        ('i', ['cat'])
    """
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        array = np.zeros(0)
    if array.ndim == 1 and array.dtype.kind in "UST" and isinstance(given, list | tuple):
        # NumPy makes texts of the numbers among them, too.
        array = np.empty(len(given), object)
        array[:] = given
    if array.dtype.kind == "f" and isinstance(given, list | tuple):
        _check_not_rounded(given, array)
    if isinstance(given, np.ma.MaskedArray) or array.dtype.kind not in "OUST":
        return check_array("labels", given, kind_error=DataError, shape_error=DataError)
    return _of_objects(array.astype(object, copy=False))


def _of_objects(array: Array) -> Array:
    """An array of Python's objects as one of texts, of flags or of numbers."""
    values = array.reshape(-1).tolist()
    kinds = [_kind(value) for value in values]
    first = kinds[0] if kinds else ""
    if "" in kinds or len(set(kinds)) > 1:
        sample = next(place for place, kind in enumerate(kinds) if kind != first or not kind)
        began = f"sample 0 has {shown(values[0])}, " if sample else ""
        raise DataError(
            f"labels must be all texts, all whole numbers or all floats; "
            f"{began}sample {sample} has {shown(values[sample])}",
            argument="labels",
            row=sample,
        )
    if first == "number":
        _check_bits(values)
    if first != "text":
        return np.array(values).reshape(array.shape)
    found = np.empty(len(values), object)
    for sample, value in enumerate(values):
        try:
            found[sample] = str(value, "utf-8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as error:
            raise DataError(
                f"bytes as labels must be text in UTF-8; sample {sample} has {shown(value)}",
                argument="labels",
                row=sample,
            ) from error
        if not found[sample].strip():
            raise DataError(
                f"labels must name a class; sample {sample} has {found[sample]!r}",
                argument="labels",
                row=sample,
            )
    return found.reshape(array.shape)


def _check_not_rounded(given: Sequence[Any], array: Array) -> None:
    """See that NumPy made no floats of whole numbers, as it does where they have too many bits."""
    if array.ndim == 1 and (np.abs(array) >= 2.0**63).any():
        _check_bits(given)


def _check_bits(values: Sequence[Any]) -> None:
    """See that whole numbers are ones that an array of labels holds.

    Raises:
        DataError: one is not.
    """
    for sample, value in enumerate(values):
        number = whole(value)
        if number is not None and not -(2**63) <= number < 2**63:
            raise DataError(
                f"whole numbers as labels must have 64 bits at most, -2**63 … 2**63 - 1; "
                f"sample {sample} has {shown(value)}",
                argument="labels",
                row=sample,
            )


def _kind(value: object) -> str:
    """What a label is; "" for what is none, such as one that is missing in a table."""
    if isinstance(value, str | bytes):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "flag"
    if whole(value) is not None:
        return "number"
    return "float" if isinstance(value, float | np.floating) and value == value else ""


def class_labels(
    labels: Array, class_names: Sequence[str] | None, *, complete: bool
) -> tuple[Array, tuple[str, ...]]:
    """Labels as class numbers, and the names of the classes.

    Args:
        labels: whole numbers, flags or texts, of `label_array`.
        class_names: one for each class, or None: then texts are the names, in the order of their
            characters, and numbers are their own names.
        complete: numbers that nobody named must stand for all classes; a part that is held out may
            lack some.

    Returns:
        int32 ``(N,)`` and the names.

    Raises:
        DataError: another shape, a label that is no class, or numbers that leave open what the
            classes are.

    Example:
        >>> labels = label_array(["dog", "cat", "dog"])
        >>> class_labels(labels, None, complete=True)
        (array([1, 0, 1], dtype=int32), ('cat', 'dog'))
    """
    if labels.ndim != 1:
        rule = "be class numbers or names of shape (N,), or float targets"
        got = f"{_kind_of(labels)} of shape {labels.shape}{_flat_hint(labels)}"
        raise refusal("labels", rule, labels, DataError, got)
    names = None if class_names is None else tuple(str(each) for each in class_names)
    if names == ():
        rule = "name a class at least, or be None"
        raise refusal("class_names", rule, class_names, DataError, "none")
    if labels.dtype.kind == "O":
        return _numbers_of(labels.tolist(), names)
    bound = MAX_CLASSES if names is None else len(names)
    wrong = (labels < 0) | (labels >= bound)
    if wrong.any():
        sample = int(wrong.argmax())
        raise DataError(
            f"labels must lie in 0 … {bound - 1}; sample {sample} has "
            f"{int(labels[sample])}{_range_hint(labels, names)}",
            argument="labels",
            row=sample,
        )
    if names is None:
        if complete:
            check_counted(labels)
        names = tuple(str(number) for number in range(int(labels.max()) + 1))
    return labels.astype(np.int32, copy=False), names


def label_counts(labels: Array) -> Array:
    """How often each class number stands among labels, int64 ``(K + 1,)``: of -1, of 0, of 1, ….

    K is one more than the greatest number. Of labels that lie in a file they are counted once.

    Args:
        labels: class numbers ``(N,)`` or ``(N, H, W)``, -1 for none.

    Raises:
        DataError: another number.

    Example:
        >>> label_counts(np.array([[[0, 2], [2, -1]]])).tolist()
        [1, 1, 0, 2]
    """
    rows = rows_behind(labels)
    if rows is not None and _COUNTS in rows.known:
        known: Array = rows.known[_COUNTS]
        return known
    found = np.zeros(1, np.int64)
    for part in chunks(labels):
        if part.size and not -1 <= part.min() <= part.max() < MAX_CLASSES:
            rule = f"be class numbers in 0 … {MAX_CLASSES - 1}, or -1 for none"
            raise refusal("labels", rule, labels, DataError, f"{part.min()} … {part.max()}")
        more = np.bincount(part.reshape(-1) + 1, minlength=len(found))
        more[: len(found)] += found
        found = more.astype(np.int64, copy=False)
    if rows is not None:
        rows.known[_COUNTS] = found
    return found


def present_classes(labels: Array) -> Array:
    """The class numbers that stand among labels, in ascending order; -1 is none.

    Args:
        labels: as of `label_counts`.
    """
    return np.flatnonzero(label_counts(labels)[1:])


def place_labels(labels: Array, classes: int = MAX_CLASSES, first: int = 0) -> Array:
    """Class numbers of the places of images, int32 ``(N, H, W)``; -1 where there is none.

    Args:
        labels: whole numbers or flags; int32 is not copied.
        classes: how many there are.
        first: number of the first image.

    Raises:
        DataError: another number; names the first image that has one.

    Example:
        >>> place_labels(np.array([[[True, False]]])).tolist()
        [[[1, 0]]]
    """
    if rows_behind(labels) is not None and labels.dtype == np.int32:
        # In one pass, of which the counts are kept; who is at fault is looked for in another.
        with suppress(DataError):
            if len(label_counts(labels)) - 1 <= classes:
                return labels
    found = first_outside(labels, -1, classes)
    if found is not None:
        sample, number = first + found[0], found[1]
        raise DataError(
            f"labels of places must lie in 0 … {classes - 1}, or be -1 for none; sample "
            f"{sample} has {number}",
            argument="labels",
            row=sample,
        )
    return labels.astype(np.int32, copy=False)


def first_outside(labels: Array, least: int, bound: int) -> tuple[int, int] | None:
    """The first sample that has a class number out of range, and that number; None for none.

    Args:
        labels: class numbers ``(N, …)``.
        least: of those that are in range.
        bound: they lie below it.

    Example:
        >>> first_outside(np.array([[0, 1], [2, -1]]), -1, 2)
        (1, 2)
    """
    first = 0
    for part in chunks(labels):
        wrong = ((part < least) | (part >= bound)).reshape(len(part), -1)
        if wrong.any():
            sample = int(wrong.any(axis=1).argmax())
            return first + sample, int(part[sample].reshape(-1)[wrong[sample]][0])
        first += len(part)
    return None


def _numbers_of(labels: list[str], names: tuple[str, ...] | None) -> tuple[Array, tuple[str, ...]]:
    """The numbers of classes that are told by their names."""
    if names is None:
        names = tuple(sorted(set(labels)))
        if len(names) > MAX_CLASSES:
            raise DataError(
                f"there must be at most {MAX_CLASSES} classes; got {len(names)} names",
                argument="labels",
            )
    known = {class_name: number for number, class_name in enumerate(names)}
    for sample, label in enumerate(labels):
        if label not in known:
            raise DataError(
                f"labels must be among the class names, {_listed(names)}; sample {sample} "
                f"has {shown(label)}",
                argument="labels",
                row=sample,
            )
    return np.array([known[label] for label in labels], np.int32), names


def check_counted(labels: Array, name: str = "") -> None:
    """See that class numbers that nobody named count from 0, and that none is left out.

    Args:
        labels: the numbers.
        name: of the data, for the message.

    Raises:
        DataError: they do not; says what was found, and what to give.
    """
    present = np.unique(labels).astype(int).tolist()
    first, last = present[0], present[-1]
    if last + 1 == len(present):
        return
    gaps = last - first + 1 > len(present)
    found = _listed(present) if gaps else f"{first} … {last}"
    got = f"{first} alone" if len(present) == 1 else f"{len(present)} different ones, {found}"
    one_less = "" if gaps else f"labels - {first} to count from 0; "
    raise DataError(
        f"whole numbers as labels must count the classes from 0, none left out; got {got}. "
        f"Give {one_less}{last + 1} names (class_names), for the classes 0 … {last}, if some have "
        f"no sample here; or texts{either(' (labels.astype(str))', '')}, which make a class of "
        "each that there is",
        argument="labels",
    ).within(name)


def classes_hint(targets: Array) -> str:
    """What to give where float targets may be meant as classes; "" where they cannot be.

    Example:
        >>> classes_hint(np.float32([0, 2, 1]))
        ' (all are whole: give labels.astype(int) if they are classes)'
    """
    if targets.ndim == 2 and _one_hot(targets):
        how = either("give labels.argmax(axis=1)", "store the place of each 1")
        return f" (rows of one 1 each: {how} if they are classes)"
    flat = targets.ndim == 1 or targets.shape[1:] == (1,)
    if not flat or not np.isfinite(targets).all() or (targets != np.floor(targets)).any():
        return ""
    column = "" if targets.ndim == 1 else "[:, 0]"
    how = either(f"give labels{column}.astype(int)", "store them as integers, one for each image,")
    return f" (all are whole: {how} if they are classes)"


def _kind_of(labels: Array) -> str:
    return "texts" if labels.dtype.kind == "O" else str(labels.dtype)


def _flat_hint(labels: Array) -> str:
    """What to give in place of labels with more than one axis."""
    if labels.shape[1:] == (1,):
        return either(": give labels[:, 0]", ": store them without their second axis")
    if labels.dtype.kind != "O" and labels.ndim == 2 and _one_hot(labels):
        return either(
            ", rows of one 1 each: give labels.argmax(axis=1) for classes, or "
            "labels.astype(numpy.float32) for targets",
            ", rows of one 1 each: store the place of each 1",
        )
    return ""


def _one_hot(rows: Array) -> bool:
    known = (rows == 0) | (rows == 1)
    return rows.shape[1] > 1 and bool(known.all()) and bool(((rows == 1).sum(axis=1) == 1).all())


def _range_hint(labels: Array, names: tuple[str, ...] | None) -> str:
    """What to give where numbers seem to be classes counted in another way."""
    if names is not None:
        from_one = int(labels.min()) == 1 and int(labels.max()) == len(names)
        return ": labels - 1 count from 0" if from_one else ""
    few = len(np.unique(labels)) <= MAX_CLASSES
    texts = f"texts{either(' (labels.astype(str))', '')}"
    return f": {texts} make a class of each number that there is" if few else ""


def _listed(values: Sequence[Any]) -> str:
    """The first of many, and the last."""
    told = [cut(printable(str(value)), 100) for value in values]
    if len(told) <= _FEW:
        return ", ".join(told)
    return f"{', '.join(told[:_FEW])}, … {told[-1]} ({len(told):,} in all)"
