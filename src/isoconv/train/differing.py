"""Where two plain values differ, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isoconv.printable import printable

MOST_SHOWN = 72
"""Characters of a value in a message."""
MOST_ROWS = 40
"""Rows of a table of differences."""


class _Absent:
    """Stands for an entry that is not there, which is another thing than one that is null."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def differing(a: Any, b: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two plain values differ: (place, value in the first, value in the second).

    An entry that one of them lacks is `ABSENT` there. Values of two types are two values: 1, 1.0
    and True are equal in Python, but not in a file; nor are 0.0 and -0.0.

    Example:
        >>> list(differing({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}))
        [('a.b', 1, 3)]
        >>> list(differing({"a": None}, {}))
        [('a', None, nothing)]
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            short = str(name) if len(str(name)) <= 80 else f"{str(name)[:79]}…"
            inner = f"{place}.{short}" if place else short
            yield from differing(a.get(name, ABSENT), b.get(name, ABSENT), inner)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (first, second) in enumerate(zip(a, b, strict=True)):
            yield from differing(first, second, f"{place}[{number}]")
    elif type(a) is not type(b) or a != b or (isinstance(a, float) and a.hex() != b.hex()):
        yield place, a, b


def told(value: Any) -> str:
    """A plain value in a message, as in JSON, shortened if it is long.

    Example:
        >>> print(told({"a": 1.0}), told("1"), told(1), told(ABSENT))
        {"a": 1.0} "1" 1 nothing
    """
    text = repr(value) if value is ABSENT else json.dumps(value, ensure_ascii=False)
    text = printable(text)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def difference_table(found: Sequence[tuple[str, Any, Any]], first: str, second: str) -> str:
    r"""Places where two records differ, as a table.

    Example:
        >>> print(difference_table([("settings.seed", 0, 1)], "the run", "given"))
        what           the run  given
        settings.seed  0        1
    """
    rows = [("what", first, second)]
    rows += [(place, told(one), told(other)) for place, one, other in found[:MOST_ROWS]]
    if len(found) > MOST_ROWS:
        rows.append((f"… and {len(found) - MOST_ROWS:,} more places", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(
        f"{place.ljust(widths[0])}  {one.ljust(widths[1])}  {other}".rstrip()
        for place, one, other in rows
    )
