"""Text from outside as it may stand on a terminal, in a message or in a table."""

from __future__ import annotations

from pathlib import Path

__all__ = ["printable", "printable_lines"]


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
