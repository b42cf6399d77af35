"""Text from outside as it may stand on a terminal, in a message or in a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

_NAME = 1000
"""Characters of the longest name in a list."""
_QUOTED = re.compile('[",\r\n]')
"""What a cell of CSV may hold in quotes only."""


def printable(text: str | Path) -> str:
    r"""A path, a name or other text of a stranger's, on one line.

    Line ends, escape sequences, characters that turn the direction of writing or cannot be seen,
    and bytes of a file's name that are no text are escaped as `repr` does it, so that no name can
    write on a terminal what it likes. What was escaped once stays as it is.

    Example:
        >>> printable("cats/1.png"), printable("cats/\x1b[2J\n.png")
        ('cats/1.png', 'cats/\\x1b[2J\\n.png')
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def printable_lines(text: str) -> str:
    r"""The same for text of several lines, whose ends stay.

    Example:
        >>> printable_lines("two files:\n  a\x1b[2J.png\n  b.png").splitlines()
        ['two files:', '  a\\x1b[2J.png', '  b.png']
    """
    return "\n".join(map(printable, text.split("\n")))


def cut(text: str, most: int) -> str:
    """A text of at most so many characters; what is cut off is counted.

    Example:
        >>> cut("abcdefgh", 3), cut("abc", 3)
        ('abc… (8 characters)', 'abc')
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def listed(names: Sequence[str | Path], most: int = 20) -> str:
    """Names for a message: the first of many, with their number, and the beginning of long ones.

    Example:
        >>> listed(["cat", "dog"]), listed(["a", "b", "c"], most=2)
        ('cat, dog', 'a, b, … (3 in all)')
    """
    first = ", ".join(cut(printable(name), _NAME) for name in names[:most])
    return f"{first}, … ({len(names):,} in all)" if len(names) > most else first


def shortened(text: str, columns: int) -> str:
    """A name of at most so many columns; what is left out is its middle.

    Names of files and classes differ at their ends as often as at their beginnings. Letters of
    Chinese, Japanese and Korean and most emoji are two columns wide, marks on letters none.

    Example:
        >>> shortened("a quite long name of a class (12)", 15), shortened("cat", 15)
        ('a quite…ss (12)', 'cat')
    """
    if sum(map(_columns, text)) <= columns:
        return text
    after = (columns - 1) // 2
    before = columns - 1 - after
    return _within(text, before).rstrip() + "…" + _within(text[::-1], after)[::-1].lstrip()


def _within(text: str, columns: int) -> str:
    """As much of the beginning of a text as there is room for."""
    room = columns
    for place, letter in enumerate(text):
        room -= _columns(letter)
        if room < 0:
            return text[:place]
    return text


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def csv_line(cells: Iterable[str]) -> str:
    r"""A line of CSV as RFC 4180 has it, with one line feed at its end.

    Example:
        >>> csv_line(['a,b.png', 'a "cat" of mine', '0.5'])
        '"a,b.png","a ""cat"" of mine",0.5\n'
    """
    # Python's writer leaves a lone carriage return without quotes, which its reader refuses.
    return ",".join(map(_cell, cells)) + "\n"


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
