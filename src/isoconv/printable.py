"""Text from outside as it may stand on a terminal, in a message or in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["cut", "listed", "printable", "printable_lines"]

_NAME = 1000
"""Characters of the longest name in a list."""


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
