"""The table that a batch prediction writes, a row for each picture: Parquet, CSV or JSON lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from unicodedata import category

from isoconv.checks import refusal
from isoconv.errors import CheckpointError, MissingExtraError
from isoconv.graph.operation import Array
from isoconv.printable import csv_line, printable

COLUMNS = ("path", "class", "probabilities", "error", "notes")
_ESCAPED = ("Cc", "Cs", "Zl", "Zp")
"""Kinds of characters that end a line, command a terminal, or are bytes that are no text."""
_FORMULA = "=+-@"
"""What programs for tables take for the begin of a formula, which they work out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of the table.

    Attributes:
        path: of the picture, as `as_text` has it.
        name: of the most probable class, of equals the first, likewise; None of one that cannot be
            read.
        probabilities: of all classes, float32; likewise.
        error: why it cannot be read; None of all others.
        notes: what is to be told of it, a line each.
    """

    path: str
    name: str | None = None
    probabilities: Array | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """By columns, as JSON has it; a probability is read back as the same float32."""
        shares = None if self.probabilities is None else [float(p) for p in self.probabilities]
        return dict(
            zip(COLUMNS, (self.path, self.name, shares, self.error, list(self.notes)), strict=True)
        )


def as_text(path: str) -> str:
    r"""A path as one line of text that every file can hold, from which the path can be had again.

    Bytes that are no text (in Python surrogates), control characters, ends of lines and backslashes
    become the escapes that they have in Python: so no two paths become one, and
    ``text.encode("latin-1", "backslashreplace").decode("unicode_escape")`` is the path.

    Example:
        >>> as_text("café.png"), as_text("a\n.png"), as_text(r"a\n.png")
        ('café.png', 'a\\n.png', 'a\\\\n.png')
        >>> from os import fsdecode
        >>> as_text(fsdecode(b"cat\xff.png"))
        'cat\\udcff.png'
    """
    if path.isprintable() and "\\" not in path:
        return path
    return "".join(
        repr(each)[1:-1] if each == "\\" or category(each) in _ESCAPED else each for each in path
    )


class Table(Protocol):
    """A kind of file."""

    def part(self, rows: Sequence[Answer]) -> bytes:
        """A file of some rows."""

    def join(self, parts: Iterable[tuple[Path, bytes, int]], out: IO[bytes]) -> None:
        """Write the whole table of parts: of each its file, its bytes and its number of rows.

        Raises:
            CheckpointError: a part has another number of rows, or cannot be read.
        """


def table_for(out: Path, facts: Mapping[str, Any]) -> Table:
    """The kind of table that a name asks for.

    Args:
        out: ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        facts: of the model, by name; kept in the file where it has a place for them.

    Raises:
        ArgumentError: another ending.
        MissingExtraError: of Parquet, without pyarrow.
    """
    ending = out.suffix.lower()
    if ending == ".parquet":
        need_pyarrow()
        return _Parquet(dict(facts))
    if ending == ".csv":
        return _Csv()
    if ending == ".jsonl":
        return _JsonLines()
    raise refusal("out", "end in .parquet, .csv or .jsonl", str(out))


def need_pyarrow() -> None:
    """Complain before anything long begins.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        text = "Parquet files need pyarrow: pip install 'isoconv[parquet]'"
        raise MissingExtraError(text) from error
    del pyarrow


def _other_rows(path: Path, rows: int, found: object) -> CheckpointError:
    return CheckpointError(
        f"{printable(path)} must have {rows:,} rows; it has {found}: remove it",
        path=path,
    )


class _Lines:
    """A table of text, a line for each row and perhaps one of titles."""

    titles = ""

    def line(self, row: Answer) -> str:
        """A row with its end of line."""
        raise AssertionError(row)

    def part(self, rows: Sequence[Answer]) -> bytes:
        """See `Table`; without titles."""
        return "".join(map(self.line, rows)).encode()

    def join(self, parts: Iterable[tuple[Path, bytes, int]], out: IO[bytes]) -> None:
        """See `Table`."""
        out.write(self.titles.encode())
        for path, content, rows in parts:
            found = content.count(b"\n")
            if found != rows or not content.endswith(b"\n"):
                raise _other_rows(path, rows, f"{found:,}")
            out.write(content)


class _Csv(_Lines):
    titles = csv_line(COLUMNS)

    def line(self, row: Answer) -> str:
        """Lists are JSON in a cell; ends of lines are escaped, so that a row is a line."""
        plain = row.plain()
        cells = []
        for name in COLUMNS:
            value = plain[name]
            if isinstance(value, list):
                value = json.dumps(value, ensure_ascii=False) if value else ""
            cells.append("" if value is None else self._cell(value))
        return csv_line(cells)

    def _cell(self, text: str) -> str:
        """One line that no program takes for a formula; the escape is Python's, as of a path."""
        text = text.replace("\r", r"\r").replace("\n", r"\n")
        return f"\\x{ord(text[0]):x}{text[1:]}" if text.startswith((*_FORMULA,)) else text


class _JsonLines(_Lines):
    def line(self, row: Answer) -> str:
        return json.dumps(row.plain(), ensure_ascii=False) + "\n"


class _Parquet:
    """A table whose groups of rows are the parts.

    Args:
        facts: of the model.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def _schema(self) -> Any:
        import pyarrow as pa

        kinds = (pa.string(), pa.string(), pa.list_(pa.float32()), pa.string(),
                 pa.list_(pa.string()))  # fmt: skip
        fields = [
            pa.field(name, kind, nullable=name not in ("path", "notes"))
            for name, kind in zip(COLUMNS, kinds, strict=True)
        ]
        return pa.schema(fields, {"isoconv": json.dumps(self._facts, sort_keys=True)})

    def part(self, rows: Sequence[Answer]) -> bytes:
        """See `Table`."""
        import pyarrow as pa
        from pyarrow import parquet

        shares = [None if row.probabilities is None else row.probabilities for row in rows]
        columns = (
            [row.path for row in rows], [row.name for row in rows], shares,
            [row.error for row in rows], [list(row.notes) for row in rows],
        )  # fmt: skip
        schema = self._schema()
        arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
        out = io.BytesIO()
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), out)
        return out.getvalue()

    def join(self, parts: Iterable[tuple[Path, bytes, int]], out: IO[bytes]) -> None:
        """See `Table`."""
        import pyarrow as pa
        from pyarrow import parquet

        schema = self._schema()
        with parquet.ParquetWriter(out, schema) as writer:
            for path, content, rows in parts:
                try:
                    table = parquet.read_table(pa.BufferReader(content), use_threads=False)
                    if len(table) != rows or table.schema != schema:
                        raise _other_rows(path, rows, f"{len(table):,}, or other columns")
                    writer.write_table(table, row_group_size=max(1, rows))
                except (pa.ArrowException, OSError) as error:
                    raise _other_rows(path, rows, f"none that can be read ({error})") from error
