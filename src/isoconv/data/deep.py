"""Numbers of more than 8 bits, as files hold them.

Pillow cuts colours of 16 bits to their upper 8, swaps bytes of some compressed TIFF files and
scales those of PNM files. Here every number comes out as it stands in the file, or the file is
refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ImageFile, TiffImagePlugin

from isoconv.data.files import file_error
from isoconv.data.opening import OpenPicture
from isoconv.files import PIECE
from isoconv.memory import check_memory
from isoconv.printable import printable
from isoconv.rows import Array

Kind = Literal["bytes", "deep", "float"]
"""What a file holds: integers of up to 8 bits, larger integers, or floats."""

# Tags of a TIFF file and what they may say.
_BITS, _PHOTOMETRIC, _PLANES, _COLOUR_MAP, _EXTRA, _SAMPLE = 258, 262, 284, 320, 338, 339
_SUBSAMPLING = 530
_WHITE_IS_ZERO, _YCBCR, _PLANE_BY_PLANE, _PREMULTIPLIED, _UNSIGNED, _SIGNED = 0, 6, 2, 1, 1, 2

_ORDERS = (("I;16S", "I;16BS"), ("I;32S", "I;32BS"), ("F;32F", "F;32BF"))
"""Pillow's raw modes for numbers in little-endian and in big-endian order."""

_COMMENT = re.compile(rb"#[^\r\n]*")
_LINE_END = re.compile(rb"[\r\n]")
_DIGITS = 18
"""Of the longest number in digits that is read: it fits into 64 bits."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one picture file, upright.

    Attributes:
        values: unsigned integers or float32 ``(H, W, C)``.
        most: the largest number that the file declares, where that tells more than that its
            numbers take 16 bits; else 0.
        bits: that a number takes in the file.
        alpha: how opaque each pixel is, uint8 ``(H, W)``; None if all are.
    """

    values: Array
    most: int
    bits: int
    alpha: Array | None = None


def kind_of(picture: OpenPicture) -> Kind:
    """What an open file holds."""
    if picture.image.mode == "F":
        return "float"
    return "deep" if _bits(picture) > 8 else "bytes"


def read_numbers(picture: OpenPicture) -> Numbers:
    """The numbers of an open file of larger integers or floats.

    Raises:
        DataFileError: they cannot be had as they are, or lie below 0.
    """
    image = picture.image
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        numbers = _tiff(picture, image)
    elif image.format == "PNG":
        numbers = _png(picture)
    elif image.format == "PPM" and image.mode != "F":
        numbers = _pnm(picture)
    elif image.format == "JPEG2000":
        numbers = _jpeg2000(picture)
    else:
        numbers = Numbers(_loaded(picture, image), 0, 32)
    if numbers.values.dtype.kind == "i":
        least = int(numbers.values.min())
        if least < 0:
            raise file_error(picture.path, "numbers from 0 upwards", f"{least}")
    return numbers


def check_bytes(picture: OpenPicture) -> None:
    """See that Pillow reads a file of up to 8 bits a number as it is meant.

    Raises:
        DataFileError: it does not.
    """
    image = picture.image
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    tags = image.tag_v2
    if _SIGNED in tags.get(_SAMPLE, (_UNSIGNED,)):
        raise _refusal(picture, "unsigned numbers", "signed ones of 8 bits")
    if tags.get(_PHOTOMETRIC) == _YCBCR and image.mode != "L" and image.tile[0][0] == "raw":
        # Older versions of Pillow take them for red, green and blue.
        subsampled = tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1)
        if subsampled or image.mode != "YCbCr":
            found = "uncompressed YCbCr" + (", subsampled" if subsampled else "")
            raise _refusal(picture, "red, green and blue, or compressed YCbCr", found)
    if image.mode == "P" and 0 < max(tags.get(_COLOUR_MAP, (0,))) < 256:
        raise _refusal(picture, "a colour map of 16-bit numbers", "one of 8-bit numbers")


def _bits(picture: OpenPicture) -> int:
    image = picture.image
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_BITS, (1,))))
    if image.format == "PNG":
        return 16 if ";16" in _raw_mode(image) else 8
    if image.format == "PPM":
        return 16 if _largest(image) > 255 else 8
    if image.format == "JPEG2000":
        return max(bits for bits, _ in _components(picture))
    return 8


def _raw_mode(image: ImageFile.ImageFile) -> str:
    args = image.tile[0][3] if image.tile else ""
    first = args[0] if isinstance(args, tuple) else args
    return first if isinstance(first, str) else ""


def _with_raw_mode(image: ImageFile.ImageFile, raw_mode: str) -> ImageFile.ImageFile:
    """The image with all its tiles to be decoded in this raw mode."""
    tiles: list[Any] = []
    for tile in image.tile:
        args = (raw_mode, *tile[3][1:]) if isinstance(tile[3], tuple) else raw_mode
        # A plain tuple in Pillow before version 11.
        named = hasattr(tile, "_replace")
        tiles.append(tile._replace(args=args) if named else (*tile[:3], args))
    image.tile = tiles
    return image


def _loaded(picture: OpenPicture, image: ImageFile.ImageFile) -> Array:
    """An image's numbers ``(H, W, C)`` in the order of this machine's bytes."""
    picture.load(image)
    values = np.asarray(picture.upright(image, image))
    values = values if values.ndim == 3 else values[..., np.newaxis]
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _in_two_bytes(picture: OpenPicture, raw_mode: str, little_endian: bool) -> Array:
    """Numbers of 16 bits, of which Pillow gives one byte at a time: the first or the second."""
    first, second = (
        _loaded(picture, _with_raw_mode(picture.again(), raw_mode[:-1] + end)) for end in "BL"
    )
    high, low = (second, first) if little_endian else (first, second)
    values = high.astype(np.uint16)
    values <<= 8
    values |= low
    return values


def _refusal(picture: OpenPicture, expected: str, found: str) -> Exception:
    kind = picture.image.format
    return file_error(picture.path, f"a {kind} file with {expected}", f"{found}; save it otherwise")


def _tiff(picture: OpenPicture, image: TiffImagePlugin.TiffImageFile) -> Numbers:
    tags = image.tag_v2
    bits = int(max(tags.get(_BITS, (1,))))
    compressed = image.tile[0][0] == "libtiff"
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise _refusal(picture, "0 for black in numbers of more than 8 bits", "0 for white")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raw_mode = _raw_mode(image)
        for pair in _ORDERS:
            if compressed and raw_mode in pair:
                # libtiff gives numbers in the order of this machine, which Pillow forgets here.
                raw_mode = pair[sys.byteorder == "big"]
        values = _loaded(picture, _with_raw_mode(image, raw_mode))
        if bits == 32 and image.mode == "I" and tags.get(_SAMPLE, (_UNSIGNED,))[0] == _UNSIGNED:
            values = values.view(np.uint32)
        return Numbers(values, (1 << bits) - 1 if bits < 16 else 0, bits)
    if image.mode not in ("RGB", "RGBA", "RGBX") or bits != 16:
        found = f"Pillow's mode {image.mode} of {bits} bits"
        raise _refusal(picture, "gray or red, green and blue in more than 8 bits", found)
    if tags.get(_PLANES) == _PLANE_BY_PLANE:
        raise _refusal(picture, "numbers of 16 bits pixel by pixel", "plane by plane")
    if _PREMULTIPLIED in tags.get(_EXTRA, ()):
        raise _refusal(picture, "colours of 16 bits as they are", "colours times opacity")
    raw_mode = _raw_mode(image)
    little = sys.byteorder == "little" if compressed else raw_mode.endswith("L")
    values = _in_two_bytes(picture, raw_mode, little)
    alpha = _in_8_bits(values[..., 3]) if image.mode == "RGBA" else None
    return Numbers(values[..., :3], 0, bits, alpha)


def _png(picture: OpenPicture) -> Numbers:
    image = picture.image
    key = image.info.get("transparency")
    raw_mode = _raw_mode(image)
    if raw_mode == "LA;16B":
        # Two numbers of two bytes each: read as four bytes.
        parts = _loaded(picture, _with_raw_mode(picture.again(), "RGBA")).astype(np.uint16)
        values = parts[..., 0::2] << 8 | parts[..., 1::2]
    elif image.mode in ("RGB", "RGBA"):
        values = _in_two_bytes(picture, raw_mode, little_endian=False)
    else:
        values = _loaded(picture, image)
    colours = values.shape[2] - (values.shape[2] in (2, 4))
    alpha = _in_8_bits(values[..., colours]) if values.shape[2] > colours else None
    if key is not None:
        clear = (values == np.array(key)).all(axis=2)
        alpha = np.where(clear, 0, 255).astype(np.uint8) if clear.any() else None
    return Numbers(values[..., :colours], 0, 16, alpha)


def _in_8_bits(alpha: Array) -> Array | None:
    """Opacity of 16 bits as uint8, the nearest; None if all is opaque."""
    if (alpha == 65535).all():
        return None
    # A multiple of 257 is exact, and there are no ties: 257 is odd.
    return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _largest(image: ImageFile.ImageFile) -> int:
    """The largest number that a PNM file declares; 1 for a bitmap, 0 for floats."""
    args = image.tile[0][3]
    if isinstance(args, tuple):
        return args[1] if isinstance(args[1], int) and image.mode != "F" else 0
    return 65535 if args == "I;16B" else 1 if image.mode == "1" else 255


def _pnm(picture: OpenPicture) -> Numbers:
    image, stream = picture.image, picture.stream
    plain = image.tile[0][0] == "ppm_plain"
    channels = 3 if image.mode == "RGB" else 1
    count = image.width * image.height * channels
    most = _largest(image)
    stream.seek(image.tile[0][2])
    pieces = _plain_numbers(stream) if plain else _packed_numbers(stream, 2 * count)
    needs = {f"{count} numbers": 2 * count}
    check_memory(f"decoding {printable(picture.path)}", needs, "a smaller picture")
    numbers, place = np.empty(count, np.uint16), 0
    for piece in pieces:
        piece = piece[: count - place]
        if len(piece) and not 0 <= int(piece.min()) <= int(piece.max()) <= most:
            wrong = int(piece[(piece < 0) | (piece > most)][0])
            raise file_error(picture.path, f"numbers from 0 to {most}", f"{wrong}")
        numbers[place : place + len(piece)] = piece
        place += len(piece)
        if place == count:
            break
    else:
        raise file_error(picture.path, f"{count} numbers", f"{place}: it is truncated")
    values = numbers.reshape(image.height, image.width, channels)
    return Numbers(values, most if most < 65535 else 0, 16)


def _packed_numbers(stream: BinaryIO, size: int) -> Iterator[Array]:
    """Numbers of two bytes, piece by piece."""
    while size and (content := stream.read(min(PIECE, size))):
        yield np.frombuffer(content, ">u2", len(content) // 2)
        size -= len(content)


def _plain_numbers(stream: BinaryIO) -> Iterator[Array]:
    """Numbers written in digits, piece by piece; what stands behind ``#`` in a line is none."""
    begun, comment = b"", False
    while piece := stream.read(PIECE):
        if comment:
            end = _LINE_END.search(piece)
            if end is None:
                continue
            piece = piece[end.start() :]
        text = _COMMENT.sub(b"", begun + piece)
        comment = piece.rfind(b"#") > max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        words = text.split()
        # The last word may go on in the next piece.
        begun = words.pop() if words and not comment and not text[-1:].isspace() else b""
        if len(begun) > _DIGITS:
            raise ValueError(f"a number of more than {_DIGITS} digits")
        yield _as_numbers(words)
    yield _as_numbers([begun] if begun else [])


def _as_numbers(words: Sequence[bytes]) -> Array:
    if any(len(word) > _DIGITS or not word.isdigit() for word in words):
        wrong = next(word for word in words if len(word) > _DIGITS or not word.isdigit())
        raise ValueError(f"numbers in digits are expected; found {wrong[:40]!r}")
    return np.fromiter((int(word) for word in words), np.int64, len(words))


def _boxes(picture: OpenPicture) -> Iterator[tuple[bytes, int]]:
    """Kind and first byte of each box of a JPEG 2000 file."""
    stream = picture.stream
    place = 0
    while True:
        stream.seek(place)
        head = stream.read(16)
        size, start = int.from_bytes(head[:4], "big"), place + 8
        if size == 1:
            size, start = int.from_bytes(head[8:], "big"), place + 16
        yield head[4:8], start
        if size < 8 or len(head) < 8:
            return
        place += size


def _components(picture: OpenPicture) -> list[tuple[int, bool]]:
    """Bits of each component of a JPEG 2000 file, and whether they are signed."""
    stream = picture.stream
    place = stream.tell()
    stream.seek(0)
    bare = stream.read(4) == b"\xff\x4f\xff\x51"
    starts = [0] if bare else [start for kind, start in _boxes(picture) if kind == b"jp2c"]
    if not starts:
        raise file_error(picture.path, "a JPEG 2000 codestream", "none")
    # The codestream's first segment: 2 + 2 bytes of markers, 38 of sizes, then 3 a component.
    stream.seek(starts[0])
    segment = stream.read(42 + 3 * 4)
    count = min(int.from_bytes(segment[40:42], "big"), 4)
    stream.seek(place)
    sizes = segment[42 : 42 + 3 * count : 3]
    if len(sizes) != count or not count:
        raise file_error(picture.path, "the sizes of a JPEG 2000 image", "fewer bytes")
    return [((size & 0x7F) + 1, bool(size & 0x80)) for size in sizes]


def _jpeg2000(picture: OpenPicture) -> Numbers:
    image = picture.image
    components = _components(picture)
    bits, signed = components[0]
    # Pillow brings everything else to 8 bits.
    if len(components) > 1 or signed or bits > 16 or not image.mode.startswith("I;16"):
        found = f"{len(components)} of {bits} {'signed ' if signed else ''}bits"
        raise _refusal(picture, "one component of up to 16 bits, or several of up to 8", found)
    values = _loaded(picture, image) >> (16 - bits)
    return Numbers(values, (1 << bits) - 1 if bits < 16 else 0, bits)
