"""Files that are written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isoconv.errors import CheckpointError, turned
from isoconv.files import read_file
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.nn import storage
from isoconv.nn.plain import parse
from isoconv.nn.schema import PLAIN, Fault, Rows, Schema, check
from isoconv.nn.storage import replace_file

MOST_TEXT = 2**30
"""Bytes of a file of text: a receipt of a million epochs."""
VALUES = 40
"""Bytes of memory for each byte of JSON, at most: ``[]`` becomes a list of 56, named by 8."""


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file through a temporary one beside it.

    Raises:
        CheckpointError: it cannot be written; an earlier file of that name stays whole.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def cannot_be_written(path: Path, error: OSError) -> CheckpointError:
    """The error that says so; replaced files are whole, if there are any."""
    # The folder of a run, or one in it.
    saved = any(_is_there(place / "run.json") for place in (path, path.parent, path.parent.parent))
    whole = "; what was saved before is whole" if saved or _is_there(path) else ""
    return CheckpointError(
        f"{path} cannot be written ({error.strerror or error}){whole}",
        path=path,
    )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Its name is too long for there to be such a file.
        return False


def canonical_json(value: Any) -> bytes:
    r"""JSON with sorted keys and an end of line; the same value gives the same bytes.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> canonical_json({"b": 1, "a": 0.5})
        b'{\n  "a": 0.5,\n  "b": 1\n}\n'
    """
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    # Odd bytes in names of files are surrogates in Python; JSON has escapes of the same form.
    return f"{text}\n".encode("utf-8", "backslashreplace")


def read_json(path: Path, what: str, schema: Schema = PLAIN) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: of the file.
        what: it is, for the message.
        schema: of the object.

    Raises:
        CheckpointError: the file is missing, unreadable, no JSON object (see
            `isoconv.nn.plain.parse`), or not as its schema says.
        NotEnoughMemoryError: there is not enough memory for what it may hold.
    """
    content = _read(path, what)
    try:
        value = parse(content)
    except ValueError as error:
        raise turned(error, CheckpointError, f"{what} {path} cannot be read", path=path) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{what} {path} must hold a JSON object; it holds a {type(value).__name__}",
            path=path,
        )
    check(f"{what} {path}", value, schema, path)
    return value


def read_lines(path: Path) -> tuple[list[bytes], bytes]:
    """The lines of a file, and what stands behind the last end of a line.

    Raises:
        CheckpointError: the file cannot be read.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    *lines, end = _read(path, "").split(b"\n")
    return lines, end


def read_rows(path: Path, schema: Schema) -> tuple[list[dict[str, Any]], bytes]:
    """The JSON objects of a file, one to a line, and what stands behind the last end of a line.

    Args:
        path: of the file.
        schema: of each object.

    Raises:
        CheckpointError: the file cannot be read, or a line is not as the schema says.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    lines, end = read_lines(path)
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(parse(line))
        except ValueError as error:
            where = f"{path} cannot be read: line {number}"
            raise turned(error, CheckpointError, where, path=path, line=number) from error
    check(str(path), rows, Lines(schema), path)
    return rows, end


class Lines(Rows):
    """The lines of a file, from 1."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all lines."""
        for number, row in enumerate(value, 1):
            yield from self.schema.faults(row, f"{place}line {number}")


def _read(path: Path, what: str) -> bytes:
    """The bytes of a file of text, within bounds of what they may become."""
    try:
        content = read_file(path, MOST_TEXT)
    except OSError as error:
        title = f"{what} {path}" if what else str(path)
        text = f"{title} cannot be read: {error.strerror or error}"
        raise CheckpointError(text, path=path) from error
    check_memory(f"reading {path}", {"its values": VALUES * len(content)}, "a smaller file")
    return content


def read_arrays(path: Path, digest: str | None = None) -> dict[str, Array]:
    """Read a safetensors file.

    Args:
        path: of the file.
        digest: SHA-256 that its bytes must have.

    Raises:
        CheckpointError: the file cannot be read, is not safetensors or has another digest.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    saved = storage.read_saved(path)
    if digest is not None and saved.sha256 != digest:
        raise CheckpointError(
            f"checkpoint {path} is damaged: its SHA-256 must be {digest}; it is {saved.sha256}",
            path=path,
        )
    return saved.arrays


def check_arrays(
    what: str, wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, Array]
) -> None:
    """See that float32 arrays have these names and shapes.

    Raises:
        CheckpointError: they do not; the message lists every difference.
    """
    problems = storage.misfits(wanted, given, ("float32",))
    if problems:
        raise CheckpointError(f"{what} belongs to another model: {problems}")
