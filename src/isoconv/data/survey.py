"""What many picture files have in common: the reading that brings all of them to one shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import gcd
from pathlib import Path

from isoconv.data.cache import Marks, PictureCache
from isoconv.data.counting import SILENT, Counting
from isoconv.data.decode import Header, least_depth, look, read
from isoconv.data.deep import Kind
from isoconv.data.files import Failures
from isoconv.data.reader import decoders
from isoconv.data.reading import PixelType, Reading
from isoconv.data.tally import counted
from isoconv.data.threads import Take, each_in_order
from isoconv.printable import printable
from isoconv.wording import offered, setting

Size = tuple[int, int]
Usual = Callable[[Counter[Size]], Size | None]
"""The size to which pictures of these sizes are scaled when nobody says one."""

LEFT_ALONE = 64
"""The largest side of pictures of one size that are not scaled when nobody says a size."""
SIDES = (32, 48, 64)
"""Sides of the squares that others are scaled to."""
MAP_SIDES = (32, 48, 64, 96, 128)
"""Likewise of pictures whose places have labels: what is small is to be seen still."""


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


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was found out of many files.

    Attributes:
        reading: with nothing left to guess.
        wanted: what was asked for, and the size that a rule chose where none was: its ``size`` is
            what pictures are scaled to, None where they stay as they are.
        notes: what is to be told, a line each.
    """

    reading: Reading
    wanted: Reading
    notes: list[str]


def usual_size(sizes: Counter[Size]) -> Size | None:
    """The size to which pictures are scaled when nobody says one; None if they stay as they are.

    Pictures of one size with sides of at most 64 stay as they are. All others become a square: its
    side is the largest of 32, 48 and 64 that is no larger than the middle one of the pictures'
    shorter sides (of an even number the lower of two); 32 if all of these are larger.

    Args:
        sizes: how many pictures there are of each height and width.

    Example:
        >>> usual_size(Counter({(28, 28): 9})), usual_size(Counter({(480, 640): 5, (70, 50): 4}))
        (None, (64, 64))
    """
    if len(sizes) == 1 and max(max(size) for size in sizes) <= LEFT_ALONE:
        return None
    middle = _middle(sizes)
    side = max((side for side in SIDES if side <= middle), default=SIDES[0])
    return side, side


def usual_map_size(sizes: Counter[Size]) -> Size | None:
    """`usual_size` of pictures whose places have labels; None if they stay as they are.

    Pictures of one size with sides of at most 128 stay as they are. Others of one shape (height by
    width) become those of that shape whose longer side is 128, each side the nearest multiple of 8
    (of two the greater one), or stay as large as the smallest of them. Pictures of several shapes
    become a square: its side is the largest of 32, 48, 64, 96 and 128 that is no larger than the
    middle one of the shorter sides; 32 if all of these are larger.

    Example:
        >>> usual_map_size(Counter({(480, 640): 9}))
        (96, 128)
        >>> usual_map_size(Counter({(90, 70): 3, (300, 200): 1}))
        (64, 64)
    """
    most = MAP_SIDES[-1]
    if len(sizes) == 1 and max(max(size) for size in sizes) <= most:
        return None
    shapes = {tuple(side // gcd(*size) for side in size) for size in sizes}
    if len(shapes) == 1:
        smallest = min(sizes)
        longer = max(smallest)
        if longer <= most:
            return smallest
        height, width = (
            max(8, 8 * ((2 * (most // 8) * side + longer) // (2 * longer))) for side in smallest
        )
        return height, width
    middle = _middle(sizes)
    side = max((side for side in MAP_SIDES if side <= middle), default=MAP_SIDES[0])
    return side, side


def _middle(sizes: Counter[Size]) -> int:
    """The middle one of the shorter sides, the lower of two."""
    shorter = sorted(min(size) for size in sizes.elements())
    return shorter[(len(shorter) - 1) // 2]


def resolve(
    files: Sequence[Path],
    wanted: Reading,
    failures: Failures,
    cache: PictureCache | None = None,
    counting: Counting = SILENT,
    usual: Usual = usual_size,
) -> Resolved:
    """The reading of some files with nothing left to guess, and what is to be told of it.

    Args:
        files: at least one.
        wanted: what is not None in it stays as it is.
        failures: gathers files that cannot be read.
        cache: remembers what headers tell, if there is one.
        counting: tells how far it has come.
        usual: the size of pictures when nobody says one.

    Raises:
        DataFileError: not one file can be read, or the files do not go together; see `Failures`.
        MissingExtraError: likewise.
    """
    survey = _Survey()

    headers: dict[Path, Header] = {}

    def seen(path: Path, take: Take) -> Header:  # noqa: ARG001
        return _header(path, cache)

    with counting.of("looking at", len(files)) as step:
        # What is remembered comes by one thread: several would wait for each other.
        for path in files:
            if cache is None:
                break
            known = _remembered(cache.marks(path))
            if known is not None:
                headers[path] = known
                step()
        missing = [path for path in files if path not in headers]
        with closing(each_in_order(seen, missing)) as results:
            for path, result in results:
                with failures.gathered(path):
                    headers[path] = result()
                step()
    for path in files:
        if path in headers:
            survey.add(path, headers[path])
    if not survey.kinds:
        failures.raise_any()
    notes: list[str] = []
    if wanted.size is None:
        fit, note = _size(survey, usual)
        wanted = replace(wanted, size=fit)
        notes += note
    size = wanted.size or next(iter(survey.sizes))
    dtype = wanted.dtype or _dtype(survey, failures)
    if dtype is None:
        failures.raise_any()
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
        return Resolved(replace(reading, depth=None), wanted, notes)
    depth, more = _depth(survey, wanted.depth, failures, cache)
    return Resolved(replace(reading, depth=depth), wanted, notes + more)


def _header(path: Path, cache: PictureCache | None) -> Header:
    """What a file's header tells; it is remembered if there is a cache."""
    if cache is None:
        return look(path)
    marks = cache.marks(path)
    found = look(path)
    cache.remember(marks, "header", [decoders(), found.size, found.gray, found.kind])
    return found


def _remembered(marks: Marks) -> Header | None:
    """What the header of a file told to the decoders of now."""
    by, fact = decoders(), marks.facts.get("header")
    if by is None or fact is None or fact[0] != by:
        return None
    return Header((fact[1][0], fact[1][1]), fact[2], fact[3])


def _largest(path: Path, take: Take, cache: PictureCache | None) -> tuple[int, int]:
    """The largest number of a file of more than 8 bits, and its bits, remembered if they can be."""
    by = None if cache is None else decoders()
    marks = None if cache is None or by is None else cache.marks(path)
    fact = None if marks is None else marks.facts.get("largest")
    if fact is not None and fact[0] == by:
        return fact[1], fact[2]
    stored = read(path, take=take)
    if cache is not None and marks is not None:
        cache.remember(marks, "largest", [by, stored.most, stored.bits])
    return stored.most, stored.bits


def _size(survey: _Survey, usual: Usual) -> tuple[Size | None, list[str]]:
    """What pictures are scaled to where nobody said it, and the note that says so."""
    sizes = Counter({size: len(paths) for size, paths in survey.sizes.items()})
    fit = usual(sizes)
    if fit is None or set(sizes) == {fit}:
        return None, []
    height, width = next(iter(sizes))
    if len(sizes) == 1:
        what = f"pictures of {height} by {width}"
    else:
        what = f"pictures of {len(sizes)} sizes, the middle one of shorter side {_middle(sizes)}"
    more = f"; {setting('size', '…', '')} says otherwise" if offered("size") else ""
    return fit, [f"{what}: scaled to {fit[0]} by {fit[1]}{more}"]


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


def _depth(
    survey: _Survey, wanted: int | None, failures: Failures, cache: PictureCache | None
) -> tuple[int, list[str]]:
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
            f"{len(deep)} of {len(deep) + len(plain)} pictures hold numbers of more than 8 bits, "
            "which are scaled to 0 … 255; the others are read as they are"
        )
    if wanted is not None:
        return wanted, notes
    most, depth = 0, 8
    bits: set[int] = set()

    def largest(path: Path, take: Take) -> tuple[int, int]:
        return _largest(path, take, cache)

    with closing(each_in_order(largest, deep)) as results:
        for path, result in results:
            with failures.gathered(path):
                found, own_bits = result()
                depth = max(depth, least_depth(path, found))
                most = max(most, found)
                bits.add(own_bits)
    sizes = " and ".join(map(str, sorted(bits)))
    notes.append(
        f"{counted(len(deep), 'file')} of {sizes} bits {'holds' if len(deep) == 1 else 'hold'} "
        f"values up to {most}: {depth} bits are taken for full brightness"
        + (f"; {setting('depth', '…', '')} says otherwise" if offered("depth") else "")
    )
    return depth, notes
