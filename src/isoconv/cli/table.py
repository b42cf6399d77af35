"""Tables in plain text: columns two spaces apart, readable by people and by awk."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import typer

__all__ = ["print_table", "table_lines"]


def table_lines(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> list[str]:
    """A table as lines.

    Args:
        titles: of the columns.
        rows: of as many cells.
        numbers: columns that stand to the right.

    Example:
        >>> table_lines(("name", "size"), [("a", "7")], numbers=(1,))
        ['name  size', 'a        7']
    """
    cells = [titles, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    return [
        "  ".join(
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> None:
    """Print a table; its titles are bold on a terminal."""
    first, *rest = table_lines(titles, rows, numbers)
    typer.secho(first, bold=True)
    for line in rest:
        typer.echo(line)
