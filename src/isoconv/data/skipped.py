"""Files that were left out of a data set because they cannot be read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isoconv.checks import refusal, settle
from isoconv.errors import DataError
from isoconv.printable import csv_line, listed, printable

__public__ = {"isoconv.data": ["Skipped"]}

_COLUMNS = ("path", "reason")
_SEVERAL = 3
"""So many files of one reason have it told once."""


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """A file, or a folder, that was left out because it cannot be read.

    Attributes:
        path: within its source, with ``/`` between folders.
        reason: as this version of the decoder tells it.

    Raises:
        ArgumentError: one of them is no text.

    Example:
        >>> print(Skipped("cats/1.jpg", "truncated"))
        cats/1.jpg: truncated
    """

    path: str
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "reason"):
            given = getattr(self, name)
            if not isinstance(given, str):
                raise refusal(name, "be text", given)
            settle(self, **{name: str(given)})

    def __str__(self) -> str:
        return f"{printable(self.path)}: {printable(self.reason)}"


def all_skipped(groups: Iterable[Iterable[Skipped]]) -> tuple[Skipped, ...]:
    """Those of several data sets of one source, each path once, in the order of paths."""
    found: dict[str, Skipped] = {}
    for group in groups:
        for each in group:
            found.setdefault(each.path, each)
    return tuple(found[path] for path in sorted(found))


def lines_by_reason(files: Sequence[tuple[str, str]], most: int) -> list[str]:
    r"""Lines for a message that names files, a reason that several share once and above them.

    Args:
        files: path and reason of each, both printable.
        most: how many are named, the first ones; the reasons count all.

    Example:
        >>> print(*lines_by_reason([(f"{name}.png", "empty") for name in "abcd"], 2), sep="\n")
          4 files: empty
            a.png
            b.png
    """
    counts = Counter(reason for _, reason in files)
    groups: dict[str, list[str]] = {}
    for path, reason in files[:most]:
        if counts[reason] < _SEVERAL:
            groups[f"  {path}: {reason}"] = []
        else:
            head = f"  {counts[reason]} files: {reason}"
            groups.setdefault(head, []).append(f"    {path}")
    return [line for head, names in groups.items() for line in (head, *names)]


def skip_warning(skipped: Sequence[Skipped], read: int) -> str:
    """What a person should know before trusting figures of what is left.

    Args:
        skipped: at least one.
        read: how many files were read.

    Example:
        >>> skip_warning([Skipped("cats/1.jpg", "truncated")], 119)
        '1 of 120 files was skipped: cats/1.jpg'
    """
    was = "was" if len(skipped) == 1 else "were"
    names = listed([each.path for each in skipped])
    return f"{len(skipped)} of {len(skipped) + read} files {was} skipped: {names}"


def skipped_to_csv(skipped: Iterable[Skipped]) -> bytes:
    r"""A list as CSV in UTF-8: a line of titles, then path and reason of each.

    Example:
        >>> skipped_to_csv([Skipped('cats/1.jpg', 'not whole, truncated')])
        b'path,reason\ncats/1.jpg,"not whole, truncated"\n'
    """
    lines = [_COLUMNS, *((each.path, printable(each.reason)) for each in skipped)]
    # Names of files need not be valid text.
    return "".join(map(csv_line, lines)).encode("utf-8", "surrogateescape")


def skipped_from_csv(content: bytes, where: str) -> tuple[Skipped, ...]:
    """What `skipped_to_csv` wrote.

    Raises:
        DataError: it is something else.
    """
    try:
        text = content.decode("utf-8", "surrogateescape")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    if not lines or tuple(lines[0]) != _COLUMNS or any(len(line) != 2 for line in lines):
        raise DataError(f"{where} must have the columns {','.join(_COLUMNS)} and no others")
    return tuple(Skipped(*line) for line in lines[1:])
