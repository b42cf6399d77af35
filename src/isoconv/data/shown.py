"""How data sets show themselves at a prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isoconv.cards import Card, Table, first_and_last, sides
from isoconv.data.tally import counted

if TYPE_CHECKING:
    from isoconv.data.dataset import Dataset
    from isoconv.data.splits import Splits

_NAMED = 10
"""Classes that a line names."""
_ROWS = 24
"""Classes that a table lists."""
_NOTES = 3


def dataset_card(data: Dataset) -> Card:
    """Name, images, classes with their numbers of images, and notes.

    Example:
        >>> import numpy as np
        >>> from isoconv.data import Dataset
        >>> data = Dataset.from_arrays(np.zeros((3, 4, 4), np.uint8), ["a", "b", "a"])
        >>> print(dataset_card(data).text())
        Dataset 'data'
          images   3 of 4×4×1, uint8
          classes  2: a 2, b 1
    """
    counts = _counts(data)
    table = None
    if counts:
        rows = [(name, f"{count:,}") for name, count in zip(data.class_names, counts, strict=True)]
        table = _shortened(("class", "places" if data.of_places else "images"), rows)
    return Card(
        f"Dataset {data.name!r}",
        (("images", _images(data)), ("classes" if counts else "targets", _labels(data, counts)),
         *_skipped(len(data.skipped)), *_notes(data.notes)),
        table=table,
    )  # fmt: skip


def splits_card(splits: Splits) -> Card:
    """The parts, and the classes with their numbers of images in each."""
    parts, train = splits.parts, splits.train
    facts = [(name, f"{len(data):,} images") for name, data in parts.items()]
    facts[0] = ("train", _images(train).replace(" of ", " images of ", 1))
    counts = {name: _counts(data) for name, data in parts.items()}
    table = None
    if train.class_names:
        facts.append(("classes", _labels(train, counts["train"])))
        columns = list(counts.values())
        rows = [
            (name, *(f"{column[k]:,}" if k < len(column) else "0" for column in columns))
            for k, name in enumerate(train.class_names)
        ]
        table = _shortened(("class", *parts), rows)
    else:
        facts.append(("targets", _labels(train, [])))
    title = f"Splits of {train.name!r}"
    return Card(title, (*facts, *_skipped(len(splits.skipped)), *_notes(splits.notes)), table=table)


def _images(data: Dataset) -> str:
    return f"{len(data):,} of {sides(data.image_shape)}, {data.images.dtype}"


def _counts(data: Dataset) -> list[int]:
    if not data.class_names:
        return []
    found: list[int] = data.class_counts().tolist()
    return found


def _labels(data: Dataset, counts: list[int]) -> str:
    """The classes in a line, or what the targets are."""
    if not data.class_names:
        return f"{data.labels.dtype} of shape {data.labels.shape}"
    names = data.class_names
    if data.of_places:
        total = max(sum(counts), 1)
        pairs = zip(names, counts, strict=True)
        told = [f"{name} {count / total:.1%}" for name, count in pairs]
        first, left, last = first_and_last(told, _NAMED)
        return f"{len(names):,}, of places: " + ", ".join([*first, *(["…"] if left else []), *last])
    if len(set(counts)) == 1:
        head, told = f"{len(names):,} of {counts[0]:,} each: ", list(names)
    else:
        pairs = zip(names, counts, strict=True)
        head, told = f"{len(names):,}: ", [f"{name} {count:,}" for name, count in pairs]
    first, left, last = first_and_last(told, _NAMED)
    return head + ", ".join([*first, *(["…"] if left else []), *last])


def _skipped(files: int) -> tuple[tuple[str, str], ...]:
    """Files that were left out because they cannot be read."""
    return (("skipped", f"{counted(files, 'file')}, named in .skipped"),) if files else ()


def _notes(notes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    more = len(notes) - _NOTES
    told = tuple(("note", line) for line in notes[:_NOTES])
    return (*told, ("notes", f"{more:,} more in .notes")) if more > 0 else told


def _shortened(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    first, left, last = first_and_last(rows, _ROWS)
    gap = [("…", *("" for _ in headings[1:]))] if left else []
    more = f"{left:,} more classes" if left else ""
    return Table(headings, (*first, *gap, *last), more=more)
