"""Picture files made byte by byte, for what Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image


def ramp(height: int, width: int, channels: int, most: int, seed: int = 0) -> np.ndarray:
    """Random whole numbers from 0 to `most`, both of which are there."""
    values = np.random.default_rng(seed).integers(0, most + 1, (height, width, channels))
    values[0, 0, 0], values[-1, -1, -1] = 0, most
    return values


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )  # fmt: skip


def png(
    values: np.ndarray,
    bits: int = 16,
    before: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
    interlaced: bool = False,
) -> bytes:
    """A PNG file of 8 or 16 bits: gray, gray with opacity, colour, colour with opacity.

    Args:
        values: ``(H, W, C)``.
        bits: 8 or 16; of gray also 1, 2 and 4.
        before: chunks before the pixels, (kind, content).
        after: chunks behind them.
        interlaced: in the seven passes of Adam7.
    """
    height, width, channels = values.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                  (0, 1, 2, 2), (1, 0, 2, 1)]  # fmt: skip
    raw = b""
    for row, column, down, right in passes:
        part = values[row::down, column::right]
        if not part.size:
            continue
        for line in part:
            if bits < 8:
                digits = "".join(f"{int(value):0{bits}b}" for value in line[:, 0])
                digits += "0" * (-len(digits) % 8)
                raw += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
            else:
                raw += b"\0" + line.astype(">u2" if bits == 16 else "u1").tobytes()
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(raw)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def tiff(
    content: np.ndarray | bytes,
    shape: tuple[int, int, int],
    bits: int,
    *,
    order: Literal["<", ">"] = "<",
    compressed: bool = False,
    photometric: int | None = None,
    sample: int = 1,
    more: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF file of one strip.

    Args:
        content: numbers as they are to stand in the file (brought to its byte order), or bytes.
        shape: height, width and numbers of a pixel.
        bits: of a number.
        order: ``<`` or ``>``, the byte order.
        compressed: with deflate, which Pillow leaves to libtiff.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, …; by default 1 or 2.
        sample: 1 unsigned, 2 signed, 3 floats.
        more: other tags, of 16-bit numbers.
    """
    if not isinstance(content, bytes):
        content = content.astype(content.dtype.newbyteorder(order)).tobytes()
    if compressed:
        content = zlib.compress(content)
    height, width, channels = shape
    tags: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (bits,) * channels,
        259: (8 if compressed else 1,),
        262: (photometric if photometric is not None else 2 if channels > 2 else 1,),
        273: (0,),
        277: (channels,),
        278: (height,),
        279: (len(content),),
        339: (sample,) * channels,
        **(more or {}),
    }
    long = (273, 279)
    start = 8 + 2 + 12 * len(tags) + 4
    behind = b""
    rows = b""
    longer = sum(2 * len(values) for values in tags.values() if len(values) > 2)
    for tag, values in sorted(tags.items()):
        if tag == 273:
            values = (start + longer,)
        kind, letter = (4, "I") if tag in long else (3, "H")
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", start + len(behind))
            behind += packed
            packed = place
        rows += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(tags))
    return head + rows + b"\0\0\0\0" + behind + content


def twelve_bits(values: np.ndarray) -> bytes:
    """Rows of 12-bit numbers, packed as TIFF does it: two numbers in three bytes."""
    rows = b""
    for line in values.reshape(len(values), -1):
        digits = "".join(f"{int(value):012b}" for value in line)
        digits += "0" * (-len(digits) % 8)
        rows += int(digits, 2).to_bytes(len(digits) // 8, "big")
    return rows


def jpeg2000(values: np.ndarray, bits: int) -> bytes:
    """A lossless JPEG 2000 file of gray numbers of so many bits, 9 to 16.

    Pillow writes 16 bits. With the level at which numbers are centred moved by hand, the same
    coefficients are numbers of fewer bits.
    """
    moved = values[..., 0].astype(np.int64) - (1 << (bits - 1)) + (1 << 15)
    return _with_bits(Image.fromarray(moved.astype(np.uint16)), 1, bits)


def deep_jpeg2000(bits: int) -> bytes:
    """A JPEG 2000 file that declares three components of so many bits."""
    return _with_bits(Image.new("RGB", (4, 4), (1, 2, 3)), 3, bits)


def boxed_jpeg2000(bits: int) -> bytes:
    """A JPEG 2000 file in its container, that declares one component of so many bits."""
    stream = io.BytesIO()
    Image.new("I;16", (4, 4), 1).save(stream, "JPEG2000", irreversible=False)
    content = bytearray(stream.getvalue())
    # Behind the name of the header's box stand height, width and the number of components.
    content[content.index(b"ihdr") + 14] = bits - 1
    content[content.index(b"\xff\x4f\xff\x51") + 42] = bits - 1
    return bytes(content)


def _with_bits(image: Image.Image, components: int, bits: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG2000", no_jp2=True, irreversible=False)
    content = bytearray(stream.getvalue())
    for component in range(components):
        content[42 + 3 * component] = bits - 1
    return bytes(content)


def write(path: Path, content: bytes | Image.Image | np.ndarray, **settings: Any) -> Path:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        image = content if isinstance(content, Image.Image) else Image.fromarray(content)
        image.save(path, **settings)
    return path
