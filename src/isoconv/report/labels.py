"""Short forms of class names that stay apart from one another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from isoconv.printable import printable, shortened

_JOINERS = re.compile("([\u200c\u200d]+)")
"""Characters that join or part the letters beside them, or make one emoji of two."""


def shown(value: str) -> str:
    r"""A name as it may stand in the page: printable, and letters are joined as they are written.

    Example:
        >>> shown("a\x1bb"), shown("x\u200dy") == "x\u200dy"
        ('a\\x1bb', True)
    """
    # What a terminal must be kept from is needed in Persian, in Hindi and in emoji.
    return "".join(
        part if _JOINERS.fullmatch(part) else printable(part) for part in _JOINERS.split(value)
    )


def labels(names: Sequence[str], columns: int) -> list[str]:
    """Names of at most so many columns; those that differ in their middles alone show these.

    Example:
        >>> labels(["house 11 of the village", "house 12 of the village", "mill"], 15)
        ['hou…11 of the…', 'hou…12 of the…', 'mill']
    """
    whole = [shown(name) for name in names]
    short = {name: shortened(name, columns) for name in whole}
    alike: dict[str, list[str]] = {}
    for name in sorted(short):
        alike.setdefault(short[name], []).append(name)
    for group in alike.values():
        # In order, the nearest neighbours of a name stand beside it.
        for before, name, after in zip([None, *group], group, [*group[1:], None], strict=False):
            near = [_shared(name, other) for other in (before, after) if other is not None]
            if near:
                short[name] = _apart(name, max(near), columns)
    return [short[name] for name in whole]


def _apart(name: str, shared: int, columns: int) -> str:
    """A name from its beginning and from the word on in which its nearest neighbour differs.

    Args:
        name: the name.
        shared: letters that it begins with as its neighbour does.
        columns: how wide it may be.
    """
    word = max((found.end() for found in re.finditer(r"[\s_./-]+", name[:shared])), default=0)
    # Of a long word, or of writing without spaces, only what stands just before.
    begin, head = max(word, shared - columns // 4), columns // 5
    if begin <= head + 1:
        return _cut(name, columns)
    return f"{_cut(name, head + 1)}{_cut(name[begin:], columns - head - 1)}"


def _cut(text: str, columns: int) -> str:
    """As much of the beginning of a text as there is room for."""
    if shortened(text, columns) == text:
        return text
    kept = text[: columns - 1]
    while shortened(kept, columns - 1) != kept:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _shared(one: str, other: str) -> int:
    """How many letters two names begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
