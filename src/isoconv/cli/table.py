"""What commands print: lines, tables for people and for awk with columns two spaces apart, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

import typer

__all__ = ["print_json", "print_table", "table_lines"]


def table_lines(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> list[str]:
    """A table as lines; what a terminal would not print of a cell is escaped.

    Args:
        titles: of the columns.
        rows: of as many cells.
        numbers: columns that stand to the right.

    Example:
        >>> table_lines(("name", "size"), [("a", "7")], numbers=(1,))
        ['name  size', 'a        7']
    """
    from rich.cells import cell_len

    from isoconv.printable import printable

    cells = [titles, *([printable(text) for text in row] for row in rows)]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(titles))]
    lines = []
    for row in cells:
        parts = []
        for column, (text, width) in enumerate(zip(row, widths, strict=True)):
            # Some letters are two columns wide.
            room = " " * (width - cell_len(text))
            parts.append(room + text if column in numbers else text + room)
        lines.append("  ".join(parts).rstrip())
    return lines


def print_json(value: object) -> None:
    """Print JSON for programs: UTF-8, with escapes for what is no text or could move a cursor."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    say(_HIDDEN.sub(_escaped, text))


_HIDDEN = re.compile(r"[^\n -~]")


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def say(text: str) -> None:
    """Print lines on standard output; all that commands print there goes through here.

    What a terminal would obey is escaped, whatever file or name it came out of.
    """
    from isoconv.printable import printable_lines

    typer.echo(printable_lines(text))


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> None:
    """Print a table; its titles are bold on a terminal."""
    first, *rest = table_lines(titles, rows, numbers)
    typer.secho(first, bold=True)
    for line in rest:
        say(line)
