"""Tables in plain text, readable by people and by awk: columns two spaces apart; and JSON."""

from __future__ import annotations

import json
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
    """Print JSON for programs: UTF-8, and names of files that are no text as escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    typer.echo(text)


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> None:
    """Print a table; its titles are bold on a terminal."""
    first, *rest = table_lines(titles, rows, numbers)
    typer.secho(first, bold=True)
    for line in rest:
        typer.echo(line)
