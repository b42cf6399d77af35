"""NumPy's format of one array: a header that is read once, and the numbers behind it.

The format is described in NumPy's ``numpy.lib.format``. A header is a dict as Python writes it. It
is taken apart here by its grammar and not as Python, so that it can hold nothing but what an array
needs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.files import bad_file, file_error, read_into

LONGEST = 10_000
"""Characters of the longest header that is read; NumPy's own bound."""
_AXES = 32
_MAGIC = b"\x93NUMPY"
_LENGTHS = {(1, 0): 2, (2, 0): 4}
"""Bytes of the header's length, by the version of the format."""

_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?P<name>descr|fortran_order|shape)(?P=quote)\s*:\s*
    (?:'(?P<text>[^'\\]{1,20})'|"(?P<text2>[^"\\]{1,20})"|(?P<flag>True|False)
      |\((?P<sides>[\d\sL,]*)\))
    \s*(?P<end>,?)""",
    re.VERBOSE | re.ASCII,
)
_SIDE = re.compile(r"\s*(\d{1,19})L?\s*", re.ASCII)
_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|U\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an array says.

    Attributes:
        dtype: whole numbers, floats, flags or text.
        shape: of the array.
        fortran: the first axis varies fastest.
        size: bytes of the header itself.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    size: int

    @property
    def declared(self) -> int:
        """Bytes of header and array together."""
        return self.size + prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: str) -> Header:
    """Read the header of an array.

    Args:
        stream: at the array's beginning; stands behind the header afterwards.
        where: for messages, printable.

    Raises:
        DataFileError: no header of version 1 or 2, or one of an array that is not read: with other
            elements than numbers and text, with elements of no bytes, or without any elements.
    """
    start = stream.read(len(_MAGIC) + 2)
    version = tuple(start[len(_MAGIC) :])
    if not start.startswith(_MAGIC) or version not in _LENGTHS:
        expected = "an .npy header of version 1 or 2"
        found = f"version {'.'.join(map(str, version))}" if start.startswith(_MAGIC) else "none"
        raise file_error(where, expected, f"{found}: truncated, corrupt or foreign")
    count = _LENGTHS[version]
    length = int.from_bytes(stream.read(count), "little")
    if length > LONGEST:
        raise file_error(where, f"a header of at most {LONGEST} bytes", f"{length}")
    text = stream.read(length)
    if len(text) < length:
        raise file_error(where, f"a header of {length} bytes", f"{len(text)}: it is truncated")
    entries = _entries(text.decode("latin-1"), where)
    dtype, shape = _dtype(entries["descr"], where), _shape(entries["shape"], where)
    return Header(dtype, shape, entries["fortran_order"] == "True", len(start) + count + length)


def read_elements(stream: IO[bytes], header: Header, where: str) -> NDArray[Any]:
    """Read the elements behind a header.

    Raises:
        DataFileError: there are fewer of them, or more follow, or text has no characters of
            Unicode.
        NotEnoughMemoryError: there is not enough memory for them.
    """
    size = header.declared - header.size
    content = read_into(stream, size, where, f"elements of the declared shape {header.shape}")
    # To read behind the last one has their checksum compared.
    if stream.read(1):
        raise file_error(where, f"{size} bytes of elements", "more")
    if header.dtype.kind == "U":
        # NumPy makes text of such numbers without a look at them.
        most = int(content.view(f"{header.dtype.byteorder}u4").max())
        if most > sys.maxunicode:
            raise file_error(where, "characters of Unicode", f"the number {most:#x}")
    values = content.view(header.dtype)
    if header.fortran:
        return values.reshape(header.shape[::-1]).T
    return values.reshape(header.shape)


def _entries(text: str, where: str) -> dict[str, str]:
    """The three entries of a header as text."""
    found: dict[str, str] = {}
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        place, more = 1, ","
        while more and (entry := _ENTRY.match(inner, place)) and entry["name"] not in found:
            values = (entry[name] for name in ("text", "text2", "flag", "sides"))
            kind = {"descr": ("text", "text2"), "fortran_order": ("flag",), "shape": ("sides",)}
            if all(entry[name] is None for name in kind[entry["name"]]):
                break
            found[entry["name"]] = next(value for value in values if value is not None)
            place, more = entry.end(), entry["end"]
        if len(found) == 3 and not inner[place:-1].strip():
            return found
    expected = "a header with descr, fortran_order and shape of a plain array"
    raise file_error(where, expected, f"{inner[:100]!r}")


def _shape(text: str, where: str) -> tuple[int, ...]:
    words = text.split(",")
    # (3) is a number in brackets, and (3,) a shape; () is one, too.
    single = len(words) == 1 and bool(text.strip())
    words = words if words[-1].strip() else words[:-1]
    sides = [_SIDE.fullmatch(word) for word in words]
    shape = tuple(int(side[1]) for side in sides if side)
    if single or len(shape) != len(sides) or len(shape) > _AXES:
        raise file_error(where, f"a shape of at most {_AXES} axes", f"({text[:100]})")
    if not prod(shape):
        raise file_error(where, "an array with elements", f"shape {shape}")
    return shape


def _dtype(text: str, where: str) -> np.dtype[Any]:
    if _DTYPE.fullmatch(text) is None:
        what = "Python objects" if text.lstrip("<>|=").startswith("O") else "other elements"
        raise file_error(where, "numbers or text", f"{what} (dtype {text!r})")
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError) as error:
        raise bad_file(where, f"expected numbers or text; found dtype {text!r}") from error
    if not dtype.itemsize:
        raise file_error(where, "elements of at least one byte", f"dtype {text!r}")
    return dtype
