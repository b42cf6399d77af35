"""Protocol buffers as they lie in a file: messages by records of their fields, with bounds.

A message is a row of fields, each a number, a kind and a value
(https://protobuf.dev/programming-guides/encoding). Bytes of arrays stay where they lie, in the
content of the file, so that nothing is held twice, and no more fields are read than a network has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from isoconv.graph.operation import Array

Made = TypeVar("Made")

MOST_FIELDS = 500_000
"""Fields of a file; those of a network of some 20,000 nodes."""
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_KINDS = {_VARINT: "a whole number", _EIGHT: "8 bytes", _BYTES: "bytes", _FOUR: "4 bytes"}


class Reading:
    """How many fields of a file have been read."""

    def __init__(self) -> None:
        self.fields = 0

    def count(self, place: str) -> None:
        """One more.

        Raises:
            ValueError: there are too many.
        """
        self.fields += 1
        if self.fields > MOST_FIELDS:
            raise ValueError(f"it must have at most {MOST_FIELDS:,} fields; {place} has more")


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field of a message is read.

    Attributes:
        number: of the field.
        read: makes a value of what stands in the file; see `whole` and the others below.
        many: whether it may stand several times: the attribute is a list then.
    """

    number: int
    read: Callable[[Reading, int, Any, str], Any]
    many: bool


def once(number: int, read: Callable[[Reading, int, Any, str], Any], default: Any = None) -> Any:
    """An attribute of a message that a field gives, of several the last one.

    Args:
        number: of the field.
        read: makes a value of what stands in the file; see `whole` and the others below.
        default: the value where there is no such field.
    """
    return field(default=default, metadata={"field": _Field(number, read, many=False)})


def many(number: int, read: Callable[[Reading, int, Any, str], Any]) -> Any:
    """As `once`, of a field that may stand several times: the attribute is a list."""
    return field(default_factory=list, metadata={"field": _Field(number, read, many=True)})


def message(made: type[Made]) -> Callable[[Reading, int, Any, str], Made]:
    """Reads messages of a kind.

    Args:
        made: a record, its attributes made by `once` and `many`; fields of other numbers are passed
            over.
    """
    known: dict[int, tuple[str, _Field]] = {
        each.metadata["field"].number: (each.name, each.metadata["field"])
        for each in fields(made)  # type: ignore[arg-type]
    }

    def read(reading: Reading, kind: int, value: Any, place: str) -> Made:
        found = made()
        for number, inner, content in _fields(reading, _checked(kind, _BYTES, value, place), place):
            if number not in known:
                continue
            name, wanted = known[number]
            item = wanted.read(reading, inner, content, f"{place}.{name}")
            if not wanted.many:
                setattr(found, name, item)
            elif isinstance(item, list):
                getattr(found, name).extend(item)
            else:
                getattr(found, name).append(item)
        return found

    return read


def _fields(reading: Reading, data: memoryview, place: str) -> Iterator[tuple[int, int, Any]]:
    at, end = 0, len(data)
    while at < end:
        reading.count(place)
        key, at = _varint(data, at, place)
        number, kind = key >> 3, key & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(data, at, place)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
            value, at = _piece(data, at, size, place), at + size
        elif kind == _BYTES:
            size, at = _varint(data, at, place)
            value, at = _piece(data, at, size, place), at + size
        else:
            raise ValueError(f"{place} must have fields of known kinds; got kind {kind}")
        yield number, kind, value


def _varint(data: memoryview, at: int, place: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError(f"{place} must be whole; it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
    raise ValueError(f"{place} must have numbers of at most 64 bits")


def _piece(data: memoryview, at: int, size: int, place: str) -> memoryview:
    if size > len(data) - at:
        raise ValueError(
            f"{place} must be whole; {size} bytes are to come, and {len(data) - at} do"
        )
    return data[at : at + size]


def _checked(kind: int, wanted: int, value: Any, place: str) -> Any:
    if kind != wanted:
        raise ValueError(f"{place} must be {_KINDS[wanted]}; got {_KINDS[kind]}")
    return value


# What fields hold


def whole(_: Reading, kind: int, value: Any, place: str) -> int:
    """A whole number with a sign."""
    found: int = _checked(kind, _VARINT, value, place)
    return found - 2**64 if found >= 2**63 else found


def single(_: Reading, kind: int, value: Any, place: str) -> float:
    """A float32 number."""
    (found,) = struct.unpack("<f", _checked(kind, _FOUR, value, place))
    return float(found)


def text(_: Reading, kind: int, value: Any, place: str) -> str:
    """A text in UTF-8; what is none is replaced."""
    return bytes(_checked(kind, _BYTES, value, place)).decode("utf-8", "replace")


def raw(_: Reading, kind: int, value: Any, place: str) -> memoryview:
    """Bytes, where they lie."""
    found: memoryview = _checked(kind, _BYTES, value, place)
    return found


def numbers(dtype: str) -> Callable[[Reading, int, Any, str], Array | list[Any]]:
    """Numbers of a kind, one by one or many at once, as an array for each piece.

    Args:
        dtype: ``"<f4"``, ``"<f8"``, or ``"<i8"`` for whole numbers of any length.
    """
    size = np.dtype(dtype).itemsize
    kinds = {4: _FOUR, 8: _EIGHT} if dtype.startswith("<f") else {size: _VARINT}

    def read(_: Reading, kind: int, value: Any, place: str) -> Array | list[Any]:
        if kind == _BYTES:
            if dtype == "<i8":
                return [_varints(value, place)]
            if len(value) % size:
                raise ValueError(f"{place} must be numbers of {size} bytes; got {len(value)} bytes")
            return [np.frombuffer(value, dtype)]
        _checked(kind, kinds[size], value, place)
        if kind == _VARINT:
            return [np.array([value], np.uint64).astype("<i8")]
        return [np.frombuffer(value, dtype)]

    return read


def sides(_: Reading, kind: int, value: Any, place: str) -> list[int]:
    """Whole numbers, one by one or many at once; of a shape there are few."""
    if kind == _BYTES:
        found: list[int] = _varints(value, place).tolist()
        return found
    return [whole(_, kind, value, place)]


def _varints(data: memoryview, place: str) -> Array:
    """All whole numbers of a packed field at once."""
    pieces: Array = np.frombuffer(data, np.uint8)
    if pieces.size == 0:
        return np.zeros(0, np.int64)
    last = pieces < 128
    if not last[-1]:
        raise ValueError(f"{place} must be whole; it ends within a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise ValueError(f"{place} must have numbers of at most 64 bits")
    found = np.zeros(len(ends), np.uint64)
    for place_in in range(int(lengths.max())):
        there = lengths > place_in
        byte = pieces[starts[there] + place_in].astype(np.uint64)
        found[there] |= (byte & np.uint64(127)) << np.uint64(7 * place_in)
    return found.astype(np.int64)
