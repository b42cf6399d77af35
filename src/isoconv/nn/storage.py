"""Weights by name: checked against a model, digested, written to and read from files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Any

import numpy as np

from isoconv.checks import check_arrays
from isoconv.errors import ArgumentError, CheckpointError, turned
from isoconv.files import read_file, sync_folder
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.nn.plain import parse
from isoconv.nn.schema import Exactly, Fault, Fields, Named, Rows, Schema, Text, Whole, check, inner

MOST_NAMED = 40
"""Arrays that a message names."""
LONGEST_NAMED = 160
"""Characters of what a message says of each."""
MOST_HEADER = 100_000_000
"""Bytes of a header; the format's own bound."""
MOST_RECORD = 4_000_000
"""Characters of a record in a file's header; those of 65536 classes with long names."""


def check_names(wanted: Mapping[str, tuple[int, ...]], weights: object) -> dict[str, Array]:
    """See that arrays fit a model by names, shapes and dtypes.

    Args:
        wanted: shape by name.
        weights: what was given: arrays by name, or lists that make arrays.

    Returns:
        The arrays by name.

    Raises:
        ArgumentError: no mapping from names.
        CheckpointError: they do not fit; the message lists every difference.
    """
    given = check_arrays("weights", weights, CheckpointError)
    problems = misfits(wanted, given, ("float32", "float64"))
    if problems:
        raise CheckpointError(f"the weights do not fit the model: {problems}")
    return given


def misfits(
    wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, Array], kinds: tuple[str, ...]
) -> str:
    """How arrays differ from those that a model needs; "" where they do not.

    Args:
        wanted: shape by name.
        given: arrays by name.
        kinds: dtypes that are taken.

    Example:
        >>> misfits({"a": (2,)}, {"b": np.zeros(2)}, ("float64",))
        'missing: a | not in the model: b'
    """
    shared = sorted(set(wanted) & set(given))
    shapes = [name for name in shared if given[name].shape != tuple(wanted[name])]
    dtypes = [name for name in shared if given[name].dtype.name not in kinds]
    neither = " or ".join(kinds)
    found = {
        "missing": sorted(set(wanted) - set(given)),
        "not in the model": sorted(set(given) - set(wanted)),
        "other shape": [
            f"{name} has {given[name].shape}, the model needs {tuple(wanted[name])}"
            for name in shapes
        ],
        f"not {neither}": [f"{name} is {given[name].dtype}" for name in dtypes],
    }
    return " | ".join(f"{what}: {listed(lines)}" for what, lines in found.items() if lines)


def listed(lines: list[str]) -> str:
    """The first of many names or lines, and how many more there are."""
    more = len(lines) - MOST_NAMED
    first = [line if len(line) <= LONGEST_NAMED else f"{line[:LONGEST_NAMED]}…" for line in lines]
    return ", ".join(first[:MOST_NAMED]) + (f", … and {more} more" if more > 0 else "")


def digest(arrays: Mapping[str, Array]) -> str:
    r"""SHA-256 over the names in sorted order: name, shape, dtype, little-endian bytes.

    Name, shape and dtype are a line each. Where a name has a line end in it, two lines come first
    that are no name and its shape, ``names\nby length\n``, and each name stands behind a line with
    the number of its bytes: so no name can be taken for lines of another array.

    Example:
        >>> import numpy as np
        >>> digest({"a": np.zeros(1, np.float32)}) == digest({"a": np.zeros(2, np.float32)})
        False
    """
    total = hashlib.sha256()
    by_length = any("\n" in name for name in arrays)
    if by_length:
        total.update(b"names\nby length\n")
    for name in sorted(arrays):
        array = arrays[name]
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        shape = ",".join(str(side) for side in array.shape)
        if by_length:
            total.update(b"%d\n" % len(name.encode()))
        total.update(f"{name}\n{shape}\n{array.dtype.name}\n".encode())
        # Bytes where they lie: a data set is not copied for its digest.
        total.update(little.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def content_of(arrays: Mapping[str, Array], record: Mapping[str, Any]) -> bytes:
    """A safetensors file of arrays, with a record of what they are in its header.

    Raises:
        ArgumentError: a record that is too long to be read back.
    """
    from safetensors.numpy import save

    text = json.dumps(record, sort_keys=True)
    if len(text) > MOST_RECORD:
        raise ArgumentError(
            f"what a file says of its model (layers, class names) must have at most "
            f"{MOST_RECORD:,} characters; it has {len(text):,}"
        )
    # One entry: several would be written in an order that changes from process to process.
    metadata = {"isoconv": text}
    # An array of no axes stays one, which `ascontiguousarray` would give an axis.
    return save({name: np.asarray(a, order="C") for name, a in arrays.items()}, metadata)


def write(path: Path, arrays: Mapping[str, Array], record: Mapping[str, Any]) -> None:
    """Write arrays as safetensors through a temporary file beside the target.

    Args:
        path: of the file.
        arrays: by name.
        record: what they are, see `isoconv.nn.record`.

    Raises:
        ArgumentError: a record that is too long to be read back.
        OSError: the file cannot be written; an earlier file of that name stays whole.
    """
    replace_file(path, content_of(arrays, record))


def replace_file(path: Path, content: bytes) -> None:
    """Give a file new content, whole or not at all, through a temporary file beside it.

    Raises:
        OSError: it cannot be written; an earlier file of that name stays whole.
    """
    # Another machine may have a process of this number, which writes the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{randbits(63)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Nobody knows the temporary file by its name.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


# Reading


@dataclass(frozen=True, eq=False, slots=True)
class Saved:
    """What a file holds.

    Attributes:
        arrays: by name.
        record: what they are; empty when the file does not say.
        content: all of its bytes.
    """

    arrays: dict[str, Array]
    record: dict[str, Any]
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def usual(self) -> bool:
        """Whether its bytes are those that `content_of` gives here.

        They are others where a header has the same entries in another order or with other spaces,
        as safetensors of another version may write them.
        """
        try:
            return self.content == content_of(self.arrays, self.record)
        except ArgumentError:
            return False


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read arrays, and the record in the header (empty when there is none).

    Raises:
        CheckpointError: the file cannot be read, is not a safetensors file, or says more in its
            header than what it is read for.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    saved = read_saved(path)
    return saved.arrays, saved.record


def read_saved(path: Path) -> Saved:
    """Read all of a file; see `read`."""
    try:
        content = read_file(path)
    except OSError as error:
        what = f"{path} cannot be read as saved weights"
        raise CheckpointError(f"{what}: {error.strerror or error}", path=path) from error
    return saved_in(content, path)


def saved_in(content: bytes, path: Path) -> Saved:
    """What the bytes of a file are; see `read`, which reads them from its path."""
    try:
        header, start = _header(content)
    except ValueError as error:
        what = f"{path} cannot be read as saved weights"
        raise turned(error, CheckpointError, what, path=path) from error
    check(str(path), header, _Header(len(content) - start), path)
    record = _record(path, header.pop("__metadata__", {}))
    check_memory(f"reading {path}", {"its arrays": len(content) - start}, "a smaller file")
    arrays = {
        name: _array(content, start, entry)
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    }
    return Saved(arrays, record, content)


def _header(content: bytes) -> tuple[Any, int]:
    """The header of a file as plain values, and where the arrays begin.

    Raises:
        ValueError: there is none.
    """
    if len(content) < 8:
        raise ValueError(f"it has {len(content)} bytes, and a header's size alone has 8")
    (size,) = struct.unpack_from("<Q", content)
    if len(content) - 8 < size <= MOST_HEADER and content[8:9] in (b"", b"{"):
        raise ValueError(
            f"it is cut off: {len(content) - 8:,} of {size:,} bytes of its header are there"
        )
    if size > min(MOST_HEADER, len(content) - 8):
        raise ValueError(
            f"its header must have at most {min(MOST_HEADER, len(content) - 8):,} bytes; it says "
            f"{size:,}"
        )
    return parse(content[8 : 8 + size]), 8 + size


def _record(path: Path, notes: Mapping[str, str]) -> dict[str, Any]:
    """What a header says of the model."""
    if "isoconv" not in notes:
        return {}
    if len(notes) > 1:
        more = listed(sorted(set(notes) - {"isoconv"}))
        raise CheckpointError(
            f"{path} was altered: its header has more than its record: {more}",
            path=path,
        )
    try:
        found = parse(notes["isoconv"])
    except ValueError as error:
        what = f"the record of the model in {path} cannot be read"
        raise turned(error, CheckpointError, what, path=path) from error
    if not isinstance(found, dict):
        raise CheckpointError(
            f"the record of the model in {path} cannot be read: it is no object",
            path=path,
        )
    return found


def _array(content: bytes, start: int, entry: Mapping[str, Any]) -> Array:
    first, last = entry["data_offsets"]
    dtype = np.dtype(_DTYPES[entry["dtype"]]).newbyteorder("<")
    flat = np.frombuffer(content, dtype, (last - first) // dtype.itemsize, start + first)
    if entry["dtype"] == "BF16":
        # The upper halves of float32 numbers.
        wide: Array = (flat.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return wide.reshape(entry["shape"])
    # A copy, in this machine's order of bytes, that can be written to.
    return flat.astype(dtype.newbyteorder("=")).reshape(entry["shape"])


_DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?", "BF16": "u2",
}  # fmt: skip
"""Kinds of numbers, and NumPy's of the same bytes; safetensors knows some more."""
_UTF8 = r"(?s)[^\ud800-\udfff]*"
"""JSON can name halves of characters, which no UTF-8 has, and of which no digest can be taken."""
_ENTRY = Fields(
    {
        "dtype": Exactly(*_DTYPES),
        "shape": Rows(Whole(0, 2**63 - 1), most=32),
        "data_offsets": Rows(Whole(0, 2**63 - 1), least=2, most=2),
    }
)


class _Header(Schema):
    """A header: its entries, and that they cover all bytes behind it once.

    Args:
        size: bytes behind it.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all entries; where there are none, those of the bytes that they stand for."""
        if type(value) is not dict:
            yield Fault("its header", "be an object", value)
            return
        notes = Named(Text(_UTF8, "a text in UTF-8", MOST_RECORD), most=1000)
        fits = True
        arrays = {name: entry for name, entry in value.items() if name != "__metadata__"}
        for fault in (
            *notes.faults(value.get("__metadata__", {}), inner(place, "__metadata__")),
            *Named(_ENTRY, Text(_UTF8, "a text in UTF-8")).faults(arrays, place),
        ):
            fits = False
            yield fault
        if fits:
            yield from self._bytes(arrays, place)

    def _bytes(self, arrays: Mapping[str, Any], place: str) -> Iterator[Fault]:
        end = 0
        for name, entry in sorted(arrays.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = entry["data_offsets"]
            count = room = np.dtype(_DTYPES[entry["dtype"]]).itemsize
            for side in entry["shape"]:
                count *= side
                room *= max(side, 1)
            if room >= 2**63:
                # NumPy refuses it also where a side of 0 leaves nothing of it.
                yield Fault(
                    inner(inner(place, name), "shape"), "be one that fits into memory", room
                )
            if first != end or last - first != count:
                rule = f"be [{end}, {end + count}], as many bytes as its shape and dtype need"
                yield Fault(inner(inner(place, name), "data_offsets"), rule, entry["data_offsets"])
            end = max(end, last)
        if end > self._size:
            there = f"{self._size:,} of {end:,} bytes"
            if end >= 10**6:
                there = f"{self._size / 1e6:,.1f} of {end / 1e6:,.1f} MB"
            rule = f"be whole, and is cut off: {there} of its arrays are there"
            yield Fault("the file", rule, self._size)
        elif end < self._size:
            rule = f"say what all {self._size:,} bytes behind it are"
            yield Fault("its header", rule, end)
