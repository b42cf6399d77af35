"""What commands print: lines, tables for people and for awk with columns two spaces apart, JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isoconv.signals import check_not_ended

if TYPE_CHECKING:
    from rich.console import Console

LEAST = 6
"""Columns of a terminal below which no cell is shortened."""
PADDED = 40
"""Columns up to which cells are padded where no terminal is; longer ones are so long alone."""
CLOSE = 12
"""Where a cell would get fewer, one space between the columns of a table has to do."""

JSON_WANTED: ContextVar[bool] = ContextVar("isoconv.json", default=False)
"""Whether the command at hand prints its result as JSON, on standard output alone."""


def table_lines(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Collection[int] = (),
    *,
    shorten: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """A table as lines; what a terminal would not print of a cell is escaped.

    Args:
        titles: of the columns.
        rows: of as many cells.
        numbers: columns that stand to the right.
        shorten: columns whose cells may lose their middle, for the table to fit into `width`.
        width: columns of the terminal; None where nothing is to be lost, and where no cell is
            padded to more than `PADDED` columns.

    Example:
        >>> table_lines(("name", "size"), [("a", "7")], numbers=(1,))
        ['name  size', 'a        7']
        >>> table_lines(("name", "size"), [("abcdefghij", "7")], shorten=(0,), width=14)
        ['name      size', 'abcd…ghij 7']
    """
    from rich.cells import cell_len

    from isoconv.printable import printable, shortened

    cells = [list(titles), *([printable(text) for text in row] for row in rows)]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(titles))]
    between = "  "
    if width is None:
        # One long name would make every row as long.
        widths = [wide if column in numbers else min(wide, PADDED)
                  for column, wide in enumerate(widths)]  # fmt: skip
    if width is not None and shorten:
        wished = max(widths[column] for column in shorten)
        fitting = _fitting(widths, shorten, width - len(between) * (len(widths) - 1))
        if max(fitting[column] for column in shorten) < min(wished, CLOSE):
            between = " "
            fitting = _fitting(widths, shorten, width - len(widths) + 1)
        widths = fitting
        for row in cells:
            for column in shorten:
                row[column] = shortened(row[column], widths[column])
    lines = []
    for row in cells:
        parts = []
        for column, (text, wide) in enumerate(zip(row, widths, strict=True)):
            # Some letters are two columns wide.
            room = " " * (wide - cell_len(text))
            parts.append(room + text if column in numbers else text + room)
        lines.append(between.join(parts).rstrip())
    return lines


def _fitting(widths: Sequence[int], shorten: Collection[int], room: int) -> list[int]:
    """Widths of columns that fit into a room, the widest of those that may be shortened first."""
    found = list(widths)
    excess = -room
    for width in found:
        excess += width
    while excess > 0:
        widest = max(shorten, key=found.__getitem__)
        if found[widest] <= LEAST:
            break
        found[widest] -= 1
        excess -= 1
    return found


@contextmanager
def json_alone() -> Iterator[None]:
    """Within, what libraries print goes to standard error, where JSON is wanted."""
    with redirect_stdout(sys.stderr) if JSON_WANTED.get() else nullcontext():
        yield


def progress() -> bool | Console:
    """What a trainer is to show its progress in: on standard error where JSON is wanted."""
    from rich.console import Console

    return Console(stderr=True) if JSON_WANTED.get() else True


def reading_progress() -> Console:
    """What the reading of data shows its progress in: standard error, beside what is printed."""
    from rich.console import Console

    return Console(stderr=True)


def print_json(value: object) -> None:
    """Print JSON for programs: UTF-8, with escapes for what is no text or could move a cursor.

    Numbers that are not finite, which JSON does not have, become the texts "nan", "inf", "-inf".
    """
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    print_alone(_HIDDEN.sub(_escaped, text) + "\n")


def _plain(value: object) -> object:
    """The same with texts for numbers that are not finite, and for paths."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Path) or (isinstance(value, float) and not isfinite(value)):
        return str(value)
    return value


_HIDDEN = re.compile(r"[^\n -~]")


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def print_alone(content: str | bytes, *, err: bool = False) -> None:
    """Print what is safe as it is, and no line end behind it."""
    check_not_ended()
    typer.echo(content, nl=False, err=err)


def say(text: str) -> None:
    """Print lines on standard output, where JSON is wanted on standard error.

    All that commands print for people goes through here. What a terminal would obey is escaped,
    whatever file or name it came out of.
    """
    from isoconv.printable import printable_lines

    print_alone(printable_lines(text) + "\n", err=JSON_WANTED.get())


def print_row(cells: Sequence[str]) -> None:
    """Print a row of CSV: for programs as it is, on a terminal without what that would obey."""
    from isoconv.printable import csv_line, printable

    if sys.stdout is not None and sys.stdout.isatty():
        cells = [printable(cell) for cell in cells]
    # Names of files need not be valid text.
    print_alone(csv_line(cells).encode("utf-8", "surrogateescape"))


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Collection[int] = (),
    *,
    shorten: Collection[int] = (),
) -> None:
    """Print a table; its titles are bold on a terminal.

    Args:
        titles: of the columns.
        rows: of as many cells.
        numbers: columns that stand to the right.
        shorten: columns whose cells lose their middle where a terminal is too narrow for them.
    """
    width = terminal_width()
    first, *rest = table_lines(titles, rows, numbers, shorten=shorten, width=width)
    typer.secho(first, bold=True, err=JSON_WANTED.get())
    for line in rest:
        say(line)


def terminal_width() -> int | None:
    """How many columns the terminal has that is printed on; None where it is none."""
    from shutil import get_terminal_size

    stream = sys.stderr if JSON_WANTED.get() else sys.stdout
    return get_terminal_size().columns if stream is not None and stream.isatty() else None
