"""How a packed data set lies in its file: a page that says so, the data, digests, a description.

::

    byte 0      magic, 16 bytes; then little-endian 64-bit numbers: version, bytes of the data,
                bytes of the description; SHA-256 of all that stands behind the data; zeros
    byte 4096   the data: images, labels and paths, each from a page's begin on
    then        SHA-256 of each MiB of the data, 32 bytes each
    then        the description, JSON in ASCII

The SHA-256 in the first page is that of the whole, for it vouches for the digests of all blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from isoconv.data.files import SPLITS, Split, file_error
from isoconv.data.labels import MAX_CLASSES
from isoconv.data.reading import Reading
from isoconv.data.skipped import Skipped
from isoconv.errors import ArgumentError, DataFileError
from isoconv.memory import check_memory

MAGIC = b"\x89ISOCONV-PACK\r\n\x1a"
VERSION = 1
PAGE = 4096
BLOCK = 1 << 20
"""Bytes of the data that have a digest of their own."""
MOST_JSON = 1 << 26
"""Bytes of the longest description."""
VALUES = 40
"""Bytes of memory for each byte of JSON, at most."""
DTYPES: Mapping[str, int] = {"uint8": 1, "int32": 4, "float32": 4}
"""Bytes of an element of the arrays that are stored."""


def aligned(place: int) -> int:
    """The first begin of a page from here on."""
    return -(-place // PAGE) * PAGE


def first_page(data: int, behind: bytes, description: int) -> bytes:
    """The first page of a file.

    Args:
        data: bytes of the data.
        behind: digests and description.
        description: bytes of that.
    """
    numbers = b"".join(number.to_bytes(8, "little") for number in (VERSION, data, description))
    return (MAGIC + numbers + hashlib.sha256(behind).digest()).ljust(PAGE, b"\0")


@dataclass(frozen=True, slots=True)
class Area:
    """Where an array lies.

    Attributes:
        dtype: of its elements, little-endian.
        shape: its sides, none of them 0.
        start: its first byte within the data.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def bytes(self) -> int:
        """How many it has."""
        return prod(self.shape) * DTYPES[self.dtype]

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"dtype": self.dtype, "shape": list(self.shape), "start": self.start}


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts, whose samples lie behind each other.

    Attributes:
        part: which.
        samples: how many, at least one.
        sha256: `Dataset.digest` of it.
        notes: as `Dataset` has them.
    """

    part: Split
    samples: int
    sha256: str
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"part": self.part, "samples": self.samples, "sha256": self.sha256,
                "notes": list(self.notes)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file says of what it holds.

    Attributes:
        name: of the source.
        images: uint8 or float32 ``(N, H, W, C)``.
        labels: int32 or float32 ``(N, …)``.
        paths: where each sample stood in the source, each with a zero byte behind it; of no bytes
            where nobody said.
        parts: in the order of their samples.
        class_names: as `Dataset` has them.
        numbered: likewise.
        reading: likewise.
        skipped: likewise.
    """

    name: str
    images: Area
    labels: Area
    paths: Area | None
    parts: tuple[Part, ...]
    class_names: tuple[str, ...] = ()
    numbered: bool = False
    reading: Reading | None = None
    skipped: tuple[Skipped, ...] = ()

    def content(self) -> bytes:
        """The description.

        Raises:
            DataFileError: it is longer than what is read back.
        """
        content = json.dumps(
            {
                "name": self.name,
                "images": self.images.plain(),
                "labels": self.labels.plain(),
                "paths": None if self.paths is None else self.paths.plain(),
                "parts": [part.plain() for part in self.parts],
                "class_names": list(self.class_names),
                "numbered": self.numbered,
                "reading": None if self.reading is None else self.reading.plain(),
                "skipped": [[each.path, each.reason] for each in self.skipped],
            },
            sort_keys=True,
        ).encode("ascii")
        if len(content) > MOST_JSON:
            found = f"{len(content):,}: it names too many classes or files that were skipped"
            raise file_error("the pack", f"a description of at most {MOST_JSON:,} bytes", found)
        return content

    @classmethod
    def read(cls, file: BinaryIO, size: int, where: str) -> tuple[Layout, int, bytes, bytes]:
        """What a file says, checked against its length.

        Args:
            file: open, at its begin.
            size: its bytes.
            where: it is, for messages.

        Returns:
            The layout, bytes of the data, the digests of its blocks, and that of the whole.

        Raises:
            DataFileError: it is no packed data set, or is damaged.
            NotEnoughMemoryError: there is no memory for its description.
        """
        page = file.read(PAGE)
        if page[: len(MAGIC)] != MAGIC or len(page) < PAGE:
            found = "another" if len(page) == PAGE else f"a file of {len(page)} bytes"
            raise file_error(where, "the first page of a packed data set", found)
        version, data, length = (
            int.from_bytes(page[place : place + 8], "little") for place in (16, 24, 32)
        )
        if version != VERSION:
            raise file_error(where, f"version {VERSION} of packed data sets", f"version {version}")
        blocks = -(-data // BLOCK)
        if length > MOST_JSON or PAGE + data + 32 * blocks + length != size:
            expected = f"{PAGE + data + 32 * blocks + length} bytes by its first page"
            raise file_error(where, f"{expected}, at most {MOST_JSON} of description", f"{size}")
        needs = {"the digests of its blocks": 32 * blocks, "its description": VALUES * length}
        check_memory(f"reading {where}", needs, "a smaller file")
        file.seek(PAGE + data)
        behind = file.read(32 * blocks + length)
        whole = page[40:72]
        if hashlib.sha256(behind).digest() != whole or page[72:].strip(b"\0"):
            rule = "digests and a description with the SHA-256 that its first page says"
            raise file_error(where, rule, "others: it is damaged")
        try:
            plain = json.loads(behind[32 * blocks :].decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise file_error(where, "a description in JSON", f"another: {error}") from error
        return _layout(plain, data, where), data, behind[: 32 * blocks], whole


class _Fields:
    """A JSON object that has these fields and no others."""

    def __init__(self, value: object, names: Sequence[str], where: str) -> None:
        if not isinstance(value, dict) or set(value) != set(names):
            raise file_error(where, f"an object of {', '.join(names)}", _kind(value))
        self._value, self._where = value, where

    def take(self, name: str, kind: type) -> Any:
        """A field of just this kind."""
        value = self._value[name]
        if type(value) is not kind:
            raise file_error(self._where, f"{name}: {kind.__name__}", _kind(value))
        return value

    def count(self, name: str) -> int:
        """A field that is a number of samples or a place."""
        value: int = self.take(name, int)
        if value < 0:
            raise file_error(self._where, f"{name}: 0 or more", f"{value}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.take(name, list)
        if not all(type(each) is str for each in value):
            raise file_error(self._where, f"{name}: a list of texts", "others among them")
        return tuple(value)

    def __getitem__(self, name: str) -> Any:
        return self._value[name]


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    return type(value).__name__


def _layout(plain: object, data: int, where: str) -> Layout:
    names = ("name", "images", "labels", "paths", "parts", "class_names", "numbered", "reading",
             "skipped")  # fmt: skip
    found = _Fields(plain, names, where)
    images = _area(found["images"], ("uint8", "float32"), 4, data, f"{where}, images")
    labels = _area(found["labels"], ("int32", "float32"), None, data, f"{where}, labels")
    paths = found["paths"]
    if paths is not None:
        paths = _area(paths, ("uint8",), 1, data, f"{where}, paths")
    parts = tuple(_part(each, f"{where}, parts") for each in found.take("parts", list))
    held = [part.part for part in parts]
    total = sum(part.samples for part in parts)
    if not parts or len(set(held)) < len(held) or total != images.shape[0]:
        text = f"{len(held)} parts of {total} samples"
        raise file_error(where, f"parts that share {images.shape[0]} samples", text)
    if labels.shape[0] != images.shape[0]:
        expected = f"a label for each of {images.shape[0]} images"
        raise file_error(where, expected, f"{labels.shape[0]}")
    classes = found.texts("class_names")
    if len(classes) > MAX_CLASSES:
        raise file_error(where, f"at most {MAX_CLASSES} classes", f"{len(classes)}")
    return Layout(
        found.take("name", str), images, labels, paths, parts, classes,
        found.take("numbered", bool), _reading(found["reading"], images, where),
        _skipped(found.take("skipped", list), where),
    )  # fmt: skip


def _area(plain: object, dtypes: Sequence[str], axes: int | None, data: int, where: str) -> Area:
    found = _Fields(plain, ("dtype", "shape", "start"), where)
    dtype, start = found.take("dtype", str), found.count("start")
    shape = tuple(found.take("shape", list))
    sides = all(type(side) is int and side > 0 for side in shape)
    right = len(shape) == axes if axes else 1 <= len(shape) <= 8
    if dtype not in dtypes or not (sides and right):
        text = f"{' or '.join(dtypes)} of {axes or 'one to eight'} sides"
        raise file_error(where, text, f"{dtype!r} of shape {str(shape)[:100]}")
    area = Area(dtype, shape, start)
    if start % PAGE or start + area.bytes > data:
        expected = f"a place at the begin of a page within {data} bytes"
        raise file_error(where, expected, f"{area.bytes} bytes from byte {start} on")
    return area


def _part(plain: object, where: str) -> Part:
    found = _Fields(plain, ("part", "samples", "sha256", "notes"), where)
    part = next((split for split in SPLITS if split == found["part"]), None)
    samples, digest = found.count("samples"), found.take("sha256", str)
    if part is None or not samples:
        raise file_error(where, f"samples of {', '.join(SPLITS)}", f"{samples} of another")
    if len(digest) != 64 or digest.strip("0123456789abcdef"):
        raise file_error(where, "a SHA-256 of 64 digits", f"{len(digest)} characters")
    return Part(part, samples, digest, found.texts("notes"))


def _reading(plain: object, images: Area, where: str) -> Reading | None:
    if plain is None:
        return None
    try:
        reading = Reading.from_plain(plain)  # type: ignore[arg-type]  # checked there
    except ArgumentError as error:
        raise DataFileError(f"{where}: {error}") from error
    _, height, width, channels = images.shape
    own = reading.size, reading.channels, reading.dtype
    if own != ((height, width), channels, images.dtype):
        expected = f"a reading that gives {images.dtype} of shape {images.shape[1:]}"
        raise file_error(where, expected, "another")
    return reading


def _skipped(plain: list[object], where: str) -> tuple[Skipped, ...]:
    found = []
    for each in plain:
        if not (isinstance(each, list) and [type(text) for text in each] == [str, str]):
            raise file_error(where, "skipped: pairs of path and reason", _kind(each))
        found.append(Skipped(*each))
    return tuple(found)
