"""Arrays of an ONNX file: from the file itself, or from one beside it, with sizes checked first."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from isoconv.checks import LARGEST
from isoconv.exchange.onnx.messages import TensorMessage
from isoconv.files import open_file
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.printable import printable

KINDS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
    19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1",
    24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip
"""Kinds of elements by ONNX's numbers."""
FLOATS = ("float32", "float16", "bfloat16", "float64")
_NUMPY = {
    "float32": "<f4", "uint8": "u1", "int8": "i1", "uint16": "<u2", "int16": "<i2",
    "int32": "<i4", "int64": "<i8", "bool": "?", "float16": "<f2", "float64": "<f8",
    "uint32": "<u4", "uint64": "<u8", "bfloat16": "<u2",
}  # fmt: skip


def shape_of(tensor: TensorMessage) -> tuple[int, ...]:
    """The shape of an array.

    Raises:
        ValueError: a side that is none, or more elements than can be addressed.
    """
    sides = tuple(tensor.dims)
    if any(not 0 <= side <= LARGEST for side in sides) or prod(max(s, 1) for s in sides) > 2**40:
        raise ValueError(f"its shape must be one that fits into memory; got {list(sides)}")
    return sides


def array_of(tensor: TensorMessage, folder: Path) -> Array:
    """The elements of an array, without a copy where they lie as NumPy has them.

    Args:
        tensor: from the file.
        folder: of the file, in which the files of its external data are.

    Raises:
        ValueError: elements of a kind that is not taken, or another number of them than the shape
            has.
        OSError: a file of external data cannot be read.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    shape = shape_of(tensor)
    kind = KINDS.get(tensor.kind, f"kind {tensor.kind}")
    if kind not in _NUMPY:
        raise ValueError(
            f"elements must be floats, whole numbers of 8 to 64 bits, or bool; got {kind}"
        )
    dtype = np.dtype(_NUMPY[kind])
    count = prod(shape)
    if tensor.location == 1:
        flat = np.frombuffer(_outside(tensor, folder, count * dtype.itemsize), dtype)
    elif tensor.raw is not None:
        if len(tensor.raw) != count * dtype.itemsize:
            raise ValueError(
                f"it must have {count * dtype.itemsize:,} bytes, as {kind} of shape {list(shape)}; "
                f"got {len(tensor.raw):,}"
            )
        flat = np.frombuffer(tensor.raw, dtype)
    else:
        flat = _typed(tensor, kind, dtype)
    if flat.size != count:
        raise ValueError(
            f"it must have {count:,} elements, as shape {list(shape)} says; got {flat.size:,}"
        )
    if kind == "bfloat16":
        # The upper half of a float32 number.
        flat = (flat.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return flat.astype(flat.dtype.newbyteorder("="), copy=False).reshape(shape)


def _typed(tensor: TensorMessage, kind: str, dtype: np.dtype[np.generic]) -> Array:
    """Elements that stand in a field of their kind."""
    pieces = {
        "float32": tensor.singles, "float64": tensor.doubles, "int64": tensor.whole,
        "uint32": tensor.unsigned, "uint64": tensor.unsigned,
    }.get(kind, tensor.small)  # fmt: skip
    if not pieces:
        return np.zeros(0, dtype)
    flat: Array = np.concatenate(pieces)
    if kind == "float16":
        # Their bits, as whole numbers.
        return flat.astype(np.uint16).view(np.float16)
    return flat.astype(dtype, copy=False)


def _outside(tensor: TensorMessage, folder: Path, size: int) -> bytes:
    """Bytes of a file that lies in the folder of the model or below."""
    notes = {entry.key: entry.value for entry in tensor.external}
    location = notes.get("location", "")
    place = Path(location)
    inside = folder.resolve()
    path = (inside / place).resolve() if location and "\0" not in location else inside
    if not location or place.is_absolute() or inside not in path.parents:
        raise ValueError(
            f"its external data must lie in the model's folder; got {printable(location)!r}"
        )
    start = _number(notes.get("offset", "0"), "offset")
    length = _number(notes.get("length", str(size)), "length")
    if length != size:
        raise ValueError(f"its external data must have {size:,} bytes; got a length of {length:,}")
    check_memory(f"reading {printable(path.name)}", {"its external data": size}, "a smaller model")
    try:
        with open_file(path) as file:
            file.seek(start)
            content = file.read(size)
    except FileNotFoundError as error:
        raise ValueError(
            f"external data must lie beside the model; {printable(location)!r} is missing"
        ) from error
    if len(content) != size:
        raise ValueError(
            f"its external data must have {size:,} bytes from {start:,} on; {printable(location)} "
            f"has {len(content):,}"
        )
    return content


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"the {name} of its external data must be a whole number; got {text!r}")
    return int(text)
