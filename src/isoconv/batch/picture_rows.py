"""Pictures of a Parquet table: bytes, paths, or both as datasets of Hugging Face have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.batch.item import Item, state_of
from isoconv.batch.pages import check_pages
from isoconv.batch.table import as_text, need_pyarrow
from isoconv.errors import ArgumentError, DataFileError, IsoconvError
from isoconv.files import open_file
from isoconv.printable import listed, printable

ENDING = ".parquet"
ROWS = 16
"""That are decoded at once; of a large one each may have `pages.MOST` bytes."""
FEW = 2**23
"""Bytes of a page from which on rows are decoded one by one."""
_BUFFER = 2**20


@dataclass(frozen=True, slots=True)
class PictureRows:
    """The pictures of one table.

    Attributes:
        path: of the table.
        column: that holds them.
        leaves: of that column, those that are read.
        groups: rows of each group of rows.
        root: where paths in it begin.
        at_once: rows that are decoded together.
    """

    path: Path
    column: str
    leaves: tuple[str, ...]
    groups: tuple[int, ...]
    root: Path
    at_once: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(self.groups)

    def states(self) -> Iterator[bytes]:
        """One for the table; pictures that it names alone may change behind its back."""
        yield state_of(self.path) + f"\0{self.column}\0{self.root}\0{self.count}".encode(
            "utf-8", "surrogateescape"
        )

    def items(self, start: int) -> Iterator[Item]:
        """The pictures from a row on, read as they are asked for.

        Raises:
            DataFileError: the table is damaged, or another one by now.
        """
        first, before = 0, 0
        while first < len(self.groups) and before + self.groups[first] <= start:
            before += self.groups[first]
            first += 1
        number = before
        with _told(self.path), _opened(self.path) as table:
            batches = table.iter_batches(
                self.at_once,
                row_groups=[k for k in range(first, len(self.groups)) if self.groups[k]],
                columns=list(self.leaves),
                use_threads=False,
            )
            for batch in batches:
                values = batch.column(batch.schema.get_field_index(self.column))
                for content, path in _contents(values.slice(max(0, start - number))):
                    yield self._item(start, content, path)
                    start += 1
                number += len(batch)
        if start != self.count:
            raise DataFileError(
                f"{printable(self.path)} must have {self.count:,} rows, as it says; it has "
                f"{start:,}",
                path=self.path,
            )

    def _item(self, row: int, content: bytes | None, path: bytes | None) -> Item:
        name = as_text(f"{self.path}#{row}")
        if content is not None:
            return Item(name, content=content) if content else Item(name, error="empty")
        if path is not None:
            # Text in a damaged or careless file need not be UTF-8; names of files need not either.
            return self._named(name, os.fsdecode(path))
        return Item(name, error="the row holds no picture")

    def _named(self, name: str, value: str) -> Item:
        """A picture by its path, which a stranger may have written."""
        if not value:
            return Item(name, error="the row's path is empty")
        root = os.path.abspath(self.root)  # noqa: PTH100  # without following links
        path = os.path.normpath(os.path.join(root, value))  # noqa: PTH118
        if "\0" in value or os.path.commonpath([root, path]) != root:
            text = f"{value!r:.200} lies outside {root} (--root names another folder)"
            return Item(name, error=printable(text))
        return Item(as_text(value), path)


def picture_rows(
    path: Path, column: str | None, root: Path | None
) -> tuple[PictureRows, tuple[str, ...]]:
    """The pictures of a table, and what was chosen, a line each.

    Args:
        path: of the table.
        column: that holds them; None for the only one that can.
        root: where paths in it begin; None for its folder.

    Raises:
        ArgumentError: no such column, or none that can hold pictures, or several.
        DataFileError: the file cannot be read, or declares what is impossible.
        MissingExtraError: pyarrow is not installed.
    """
    need_pyarrow()
    notes: tuple[str, ...] = ()
    with _told(path), _opened(path) as table:
        schema = table.schema_arrow
        kinds = {field.name: _kind(field.type) for field in schema}
        if column is None:
            column = _only(path, schema)
            notes = (
                f"{printable(path)}: pictures are taken out of column {listed([repr(column)])}",
            )
        if (same := schema.names.count(column)) > 1:
            raise ArgumentError(
                f"--column must name one column of {printable(path)}; {same} are called "
                f"{listed([repr(column)])}"
            )
        if not kinds.get(column):
            raise ArgumentError(
                f"--column must name one with bytes or paths that {printable(path)} has: "
                f"{_names(schema)}; got {column!r}"
            )
        leaves = _leaves(schema.field(column))
        with open_file(path) as file:
            groups, largest = check_pages(file, leaves)
    at_once = ROWS if largest <= FEW else 1
    found = PictureRows(path, column, leaves, groups, root or path.parent, at_once)
    return found, notes if found.count else (*notes, f"{printable(path)}: it has no rows")


def _contents(values: Any) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Of each of some rows the picture's bytes, or the path to it, or neither."""
    import pyarrow as pa

    if pa.types.is_struct(values.type):
        # Without the struct's own gaps, its fields may hold anything there.
        fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
        contents = _as_bytes(fields["bytes"])
        paths = _as_bytes(fields["path"]) if "path" in fields else [None] * len(values)
        yield from zip(contents, paths, strict=True)
        return
    for value in _as_bytes(values):
        yield (None, value) if _kind(values.type) == "paths" else (value, None)


def _as_bytes(values: Any) -> list[bytes | None]:
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    binary = {
        pa.string(): pa.binary(),
        pa.large_string(): pa.large_binary(),
        pa.string_view(): pa.binary_view(),
    }
    wanted = binary.get(values.type)
    found: list[bytes | None] = (values if wanted is None else values.cast(wanted)).to_pylist()
    return found


def _kind(kind: Any) -> str:
    """What a column may hold: "bytes", "paths", "both", or "" for no pictures."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "paths"
    if types.is_struct(kind):
        inner = {field.name: _kind(field.type) for field in kind}
        if inner.get("bytes") == "bytes":
            return "both"
    return ""


def _leaves(field: Any) -> tuple[str, ...]:
    """The parts of a column that are read."""
    if _kind(field.type) != "both":
        return (field.name,)
    paths = [inner.name for inner in field.type if _kind(inner.type) == "paths"]
    return tuple(f"{field.name}.{name}" for name in ("bytes", "path") if name in {"bytes", *paths})


def _only(path: Path, schema: Any) -> str:
    for wanted in ("both", "bytes"):
        found: list[str] = [field.name for field in schema if _kind(field.type) == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise ArgumentError(
        f"--column must say which column of {printable(path)} holds pictures: {_names(schema)}"
    )


def _names(schema: Any) -> str:
    """The columns that can hold pictures; if there is none, why each of all cannot."""
    found = [repr(field.name) for field in schema if _kind(field.type)]
    if found:
        return listed(found)
    others = listed([f"{field.name!r} ({field.type})" for field in schema])
    return f"it has none of bytes, each as long as it is, or of texts: {others or 'no column'}"


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    # Pages are read one by one, not whole groups of rows.
    how = {"buffer_size": _BUFFER, "pre_buffer": False, "page_checksum_verification": True}
    with open_file(path) as file, parquet.ParquetFile(file, **how) as table:
        yield table


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong within is told of a table."""
    import pyarrow as pa

    try:
        yield
    except (IsoconvError, GeneratorExit):
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, EOFError) as error:
        first = printable(str(error).partition("\n")[0])
        raise DataFileError(
            f"{printable(path)} cannot be read as a Parquet table: {first}", path=path
        ) from error
