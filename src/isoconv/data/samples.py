"""Which samples a run was given, by the digest of the decoded picture and by path.

The list goes with a run as ``samples.csv``, a line for each sample::

    part,class,sha256,path
    train,cat,5c0e…,cat/0001.jpg

So later data can be told apart: what was trained on, what was not, and which files changed.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import numpy as np

from isoconv.checks import check_kind, check_mapping, check_text, entries, refusal
from isoconv.data.dataset import Dataset
from isoconv.data.files import SPLITS
from isoconv.data.passes import known_of
from isoconv.errors import DataError
from isoconv.printable import csv_line, printable
from isoconv.rows import Array

__public__ = {"isoconv.data": ["Samples"]}

_COLUMNS = ("part", "class", "sha256", "path")


def sample_digests(data: Dataset) -> list[str]:
    r"""SHA-256 of each image, as 64 hexadecimal digits.

    Over the line ``image <dtype> <H>x<W>x<C>\n`` and the values, row-major and little-endian.

    Example:
        >>> data = Dataset.from_arrays(np.zeros((2, 1, 1), np.uint8), [0, 1])
        >>> len(set(sample_digests(data)))
        1
    """
    found: list[str] = known_of(data.images, "samples")
    return found


class Sample(NamedTuple):
    """One sample of a run; a tuple, for there are many.

    Attributes:
        part: ``"train"``, ``"validation"`` or ``"test"``.
        class_name: of its class; "" for float targets and labels of places.
        sha256: of the decoded image, see `sample_digests`.
        path: where it stands in its source.
    """

    part: str
    class_name: str
    sha256: str
    path: str

    def __str__(self) -> str:
        where = f"{printable(self.path)} " if self.path else ""
        return f"{where}(class {self.class_name!r})" if self.class_name else where.strip()


@dataclass(frozen=True, slots=True)
class Membership:
    """What a run knows of the samples of some data.

    Attributes:
        parts: for each sample the parts of the run that hold the same image.
        same: these are the very samples of the run, no more and no fewer.
    """

    parts: tuple[frozenset[str], ...]
    same: bool

    def numbers(self, part: str) -> Array:
        """Numbers of the samples whose image a part holds."""
        return np.flatnonzero([part in parts for parts in self.parts])

    def count(self, part: str) -> int:
        """How many samples have an image that a part holds."""
        return len(self.numbers(part))


class Samples:
    """The samples of a run.

    Args:
        rows: in the order of the parts, each in its own order.
    """

    def __init__(self, rows: Sequence[Sample]) -> None:
        if not isinstance(rows, (list, tuple)):
            raise refusal("rows", "be a list of samples", rows)
        self.rows = tuple(
            check_kind(name, row, Sample, "a Sample") for name, row in entries("rows", rows).items()
        )

    @classmethod
    def of(cls, parts: Mapping[str, Dataset]) -> Samples:
        """Those of the data sets that a run is given, by part."""
        check_datasets("parts", parts)
        return cls([row for part, data in parts.items() for row in _rows(part, data)])

    def __len__(self) -> int:
        return len(self.rows)

    def content(self) -> bytes:
        """The list as CSV in UTF-8."""
        text = "".join(map(csv_line, (_COLUMNS, *self.rows)))
        # Names of files need not be valid text.
        return text.encode("utf-8", "surrogateescape")

    @classmethod
    def read(cls, content: bytes, where: str) -> Samples:
        """What `content` gave.

        Raises:
            DataError: it is something else.
        """
        if not isinstance(content, bytes):
            raise refusal("content", "be bytes", content)
        try:
            text = content.decode("utf-8", "surrogateescape")
            lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            text = f"{where} cannot be read: {error}"
            raise DataError(text, argument="content", value=content) from error
        if not lines or tuple(lines[0]) != _COLUMNS:
            text = f"{where} must begin with the line {','.join(_COLUMNS)}"
            raise DataError(text, argument="content", value=content, line=1)
        for number, line in enumerate(lines[1:], 2):
            if len(line) != len(_COLUMNS) or line[0] not in SPLITS:
                text = f"{where}, line {number}: expected {','.join(_COLUMNS)}; got {line}"
                raise DataError(text, argument="content", value=content, line=number)
        return cls([Sample(*line) for line in lines[1:]])

    def shared(self, part: str, other: str) -> int:
        """How many samples of another part have an image that a part holds."""
        part, other = check_text("part", part), check_text("other", other)
        held = {row.sha256 for row in self.rows if row.part == part}
        return [row.part == other and row.sha256 in held for row in self.rows].count(True)

    def membership(self, data: Dataset) -> Membership:
        """What is known of the samples of some data."""
        digests = sample_digests(_checked(data))
        by_digest: dict[str, set[str]] = {}
        for row in self.rows:
            by_digest.setdefault(row.sha256, set()).add(row.part)
        parts = tuple(frozenset(by_digest.get(digest, ())) for digest in digests)
        same = Counter(digests) == Counter(row.sha256 for row in self.rows)
        return Membership(parts, same)

    def select(self, data: Dataset) -> dict[str, Dataset] | None:
        """The parts of the run out of all samples of its source; None where one is missing.

        Samples are matched by path and image; what the source holds besides is left alone.
        """
        places: dict[tuple[str, str, str], int] = {}
        for place, row in enumerate(_rows("", _checked(data))):
            places.setdefault((row.path, row.class_name, row.sha256), place)
        chosen: dict[str, list[int]] = {}
        for row in self.rows:
            found = places.get((row.path, row.class_name, row.sha256))
            if found is None:
                return None
            chosen.setdefault(row.part, []).append(found)
        return {part: data.subset(numbers) for part, numbers in chosen.items()}

    def changes(self, data: Dataset) -> list[str]:
        """How the samples of a source differ from those of the run, a line each."""
        return list(_changes(self.rows, _rows("", _checked(data))))


def by_image(rows: Sequence[Sample], data: Dataset) -> Dataset | None:
    """The samples that hold the images of these rows, wherever they lie; None where one is missing.

    Of equal images as many are taken as there are rows, the first ones.
    """
    wanted, chosen = Counter(row.sha256 for row in rows), []
    for place, digest in enumerate(sample_digests(data)):
        if wanted[digest]:
            wanted[digest] -= 1
            chosen.append(place)
    return data.subset(np.array(chosen)) if len(chosen) == len(rows) else None


def changes_of_parts(before: Samples, parts: Mapping[str, Dataset]) -> list[str]:
    """How the samples of all parts differ from those of a run, a line each, what is gone first.

    Samples that lie in another part share a line: one file less, and all are split anew.
    """
    now = [row for part, data in parts.items() for row in _rows(part, data)]
    if any(len({row.path for row in rows}) < len(rows) for rows in (before.rows, now)):
        # Arrays have numbers for paths, from 0 on in each part.
        return [
            line
            for part, data in parts.items()
            for line in Samples([row for row in before.rows if row.part == part]).changes(data)
        ]
    then = {row.path: row.part for row in before.rows}
    moved = [row for row in now if then.get(row.path, row.part) != row.part]
    lines = list(_changes(before.rows, now))
    if moved:
        first, several = moved[0], len(moved) > 1
        lines.append(
            f"{len(moved):,} sample{'s lie' if several else ' lies'} in another part than in "
            f"training: {'first ' if several else ''}{first}, {then[first.path]} then, "
            f"{first.part} now"
        )
    return lines


def check_datasets(name: str, parts: object) -> dict[str, Dataset]:
    """Data sets by part.

    Raises:
        ArgumentError: something else.
    """
    return {
        part: check_kind(f"{name}[{part!r}]", data, Dataset, "a Dataset")
        for part, data in check_mapping(name, parts).items()
    }


def _checked(data: object) -> Dataset:
    return check_kind("data", data, Dataset, "a Dataset")


def _rows(part: str, data: Dataset) -> list[Sample]:
    names = data.class_names
    of_images = names and not data.of_places
    classes = [names[label] for label in data.labels.tolist()] if of_images else repeat("")
    paths = data.paths or map(str, range(len(data)))
    return [*map(Sample._make, zip(repeat(part), classes, sample_digests(data), paths))]


def _changes(before: Sequence[Sample], now: Sequence[Sample]) -> Iterator[str]:
    """What is gone first: all else may follow from it."""
    had = {row.path: row for row in before}
    has = {row.path: row for row in now}
    lost: dict[str, list[Sample]] = {}
    for path, row in had.items():
        if path not in has:
            lost.setdefault(row.sha256, []).append(row)
    others = []
    for path, row in has.items():
        old = had.get(path)
        if old is None:
            moved = lost.get(row.sha256)
            what = f"was {moved.pop(0)}" if moved else "is new"
            others.append(f"{row} {what}")
        elif old.sha256 != row.sha256:
            others.append(f"{row} holds another picture than in training")
        elif old.class_name != row.class_name:
            others.append(f"{row} was of class {old.class_name!r}")
    for gone in lost.values():
        for row in gone:
            yield f"{row} of the {row.part} part is not in the data any more"
    yield from others
