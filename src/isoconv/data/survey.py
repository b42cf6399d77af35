"""What many picture files have in common: the reading that brings all of them to one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from isoconv.data.decode import Header, least_depth, look, read
from isoconv.data.deep import Kind
from isoconv.data.files import Failures
from isoconv.data.reading import PixelType, Reading
from isoconv.data.tally import counted
from isoconv.printable import printable
from isoconv.wording import offered, setting

__all__ = ["resolve"]

Size = tuple[int, int]


@dataclass(slots=True)
class _Survey:
    """The headers of many files, counted; a file for each finding stands for the others."""

    kinds: dict[Kind, list[Path]] = field(default_factory=dict)
    sizes: dict[Size, list[Path]] = field(default_factory=dict)
    gray: int = 0
    coloured: int = 0

    def add(self, path: Path, header: Header) -> None:
        """Count a file."""
        self.kinds.setdefault(header.kind, []).append(path)
        self.sizes.setdefault(header.size, []).append(path)
        if header.gray:
            self.gray += 1
        else:
            self.coloured += 1


def resolve(
    files: Sequence[Path], wanted: Reading, failures: Failures
) -> tuple[Reading, list[str]]:
    """The reading of some files with nothing left to guess, and what is to be told of it.

    Args:
        files: at least one.
        wanted: what is not None in it stays as it is.
        failures: gathers files that cannot be read.

    Raises:
        DataFileError: not one file can be read, or the files do not go together; see `Failures`.
        MissingExtraError: likewise.
    """
    survey = _Survey()
    for path in files:
        with failures.gathered(path):
            survey.add(path, look(path))
    if not survey.kinds:
        failures.raise_any()
    size = wanted.size or _size(survey, failures)
    dtype = wanted.dtype or _dtype(survey, failures)
    if size is None or dtype is None:
        failures.raise_any()
    notes: list[str] = []
    channels = wanted.channels
    if channels is None:
        channels = 3 if survey.coloured else 1
        if survey.coloured and survey.gray:
            notes.append(
                f"{survey.gray} gray and {counted(survey.coloured, 'coloured picture')}: "
                "all are read as colour"
            )
    reading = replace(wanted, size=size, channels=channels, dtype=dtype)
    if dtype == "float32":
        if wanted.depth is not None:
            notes.append(
                f"{setting('depth', str(wanted.depth))} changes nothing: the files hold floats"
            )
        return replace(reading, depth=None), notes
    depth, more = _depth(survey, wanted.depth, failures)
    return replace(reading, depth=depth), notes + more


def _size(survey: _Survey, failures: Failures) -> Size | None:
    if len(survey.sizes) == 1:
        return next(iter(survey.sizes))
    by_count = sorted(survey.sizes.items(), key=lambda each: -len(each[1]))
    listed = "".join(
        f"\n  {height} by {width}: {counted(len(paths), 'file')} such as {printable(paths[0])}"
        for (height, width), paths in by_count[:5]
    )
    more = f"\n  and {len(by_count) - 5} other sizes" if len(by_count) > 5 else ""
    failures.add(
        f"pictures must have one size (height by width); give "
        f"{setting('size', '(height, width)', 'HEIGHTxWIDTH')} to scale all of them; found "
        f"{len(by_count)} sizes:{listed}{more}"
    )
    return None


def _dtype(survey: _Survey, failures: Failures) -> PixelType | None:
    floats = survey.kinds.get("float", [])
    integers = [path for kind in ("bytes", "deep") for path in survey.kinds.get(kind, [])]
    if not floats or not integers:
        return "float32" if floats else "uint8"
    failures.add(
        "files of floats and of integers cannot be mixed in one data set; found "
        f"{len(floats)} of floats such as {printable(floats[0])} and {len(integers)} of integers "
        f"such as {printable(integers[0])}"
    )
    return None


def _depth(survey: _Survey, wanted: int | None, failures: Failures) -> tuple[int, list[str]]:
    deep = survey.kinds.get("deep", [])
    notes: list[str] = []
    if not deep:
        if wanted is not None and wanted != 8:
            notes.append(
                f"{setting('depth', str(wanted))} changes nothing: no file has more than 8 bits"
            )
        return wanted or 8, notes
    plain = survey.kinds.get("bytes", [])
    if plain:
        notes.append(
            f"{counted(len(plain), 'picture')} of 8 bits beside {len(deep)} of more: those of 8 "
            "bits are read as they are"
        )
    if wanted is not None:
        return wanted, notes
    most, depth = 0, 8
    bits: set[int] = set()
    for path in deep:
        with failures.gathered(path):
            stored = read(path)
            depth = max(depth, least_depth(path, stored.most))
            most = max(most, stored.most)
            bits.add(stored.bits)
    sizes = " and ".join(map(str, sorted(bits)))
    notes.append(
        f"{counted(len(deep), 'file')} of {sizes} bits {'holds' if len(deep) == 1 else 'hold'} "
        f"values up to {most}: {depth} bits are taken for full brightness"
        + (f"; {setting('depth', '…', '')} says otherwise" if offered("depth") else "")
    )
    return depth, notes
