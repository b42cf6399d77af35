"""Opening picture files: which formats there are, and what a file tells before it is decoded."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from isoconv.data.files import bad_file, file_error
from isoconv.data.messages import caught, native_caught
from isoconv.data.tally import Trait
from isoconv.data.threads import Take, freely
from isoconv.errors import DataFileError, MissingExtraError, NotEnoughMemoryError
from isoconv.files import open_file
from isoconv.memory import check_memory, memory_told
from isoconv.printable import printable

try:
    from PIL import AvifImagePlugin

    HAS_AVIF = bool(AvifImagePlugin.SUPPORTED)
except ImportError:  # Pillow before 11.3
    HAS_AVIF = False

PIXELS = 1 << 26
"""Pixels of the largest image that is decoded, as its header declares them."""

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_ENDINGS_OF = {
    "PNG": (".png", ".apng"),
    "JPEG": _JPEG,
    "MPO": _JPEG,
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".jpx", ".j2k", ".j2c", ".jpc"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
"""By Pillow's name of the format. It opens JPEG files of several pictures as MPO."""
ENDINGS = frozenset(ending for endings in _ENDINGS_OF.values() for ending in endings)

_PILLOWS = tuple(
    name for name in _ENDINGS_OF if name not in ("MPO", "HEIF") and (name != "AVIF" or HAS_AVIF)
)
_HEVC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AV1 = frozenset((b"avif", b"avis"))
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
"""Bytes of a pixel while Pillow holds it, by its mode; 4 in all others."""
_COPIES = 3
"""Of a picture that are held at once: as it was decoded, as it was converted, turned upright."""
_WIDTH, _HEIGHT, _BITS, _SAMPLE = 256, 257, 258, 339
"""Tags of a TIFF file."""
_SAMPLES = {1: "unsigned", 2: "signed", 3: "floating-point"}

_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are truncated, corrupt or too large."""


@dataclass(slots=True)
class OpenPicture:
    """A picture file whose header was read.

    Attributes:
        path: of the file.
        stream: its bytes.
        image: what Pillow makes of it; `load` decodes it.
        take: asks for memory before pixels take it.
        traits: what is to be told of it.
        said: what decoders said so far.
    """

    path: Path
    stream: BinaryIO
    image: ImageFile.ImageFile
    take: Take = freely
    traits: set[Trait] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def again(self) -> ImageFile.ImageFile:
        """The same file opened once more, for Pillow decodes an image but once."""
        self.stream.seek(0)
        return Image.open(self.stream, formats=(str(self.image.format),))

    def load(self, image: ImageFile.ImageFile) -> None:
        """Decode an image of this file.

        Raises:
            NotEnoughMemoryError: there is not enough memory for its pixels.
        """
        each = _BYTES.get(image.mode, 4)
        self.take(_COPIES * image.width * image.height * each)
        _check_pixels(self.path, image.width, image.height, each)
        # libtiff would say into a picture that took the place of a standard error that is closed.
        usual = sys.__stderr__ is not None and self.stream.fileno() > 2
        if not (usual and image.tile and image.tile[0][0] == "libtiff"):
            image.load()
            return
        said: list[str] = []
        try:
            with native_caught() as said:
                image.load()
        finally:
            self.said.extend(said)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        image = self.image
        width, height = image.size
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            # Some versions of Pillow have turned the size at this point and some have not.
            width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]
        elif image.format == "PNG" and "exif" not in image.info and _is_turned(self.stream):
            self.load(image)
        return (width, height) if self._orientation(image) in _SIDEWAYS else (height, width)

    def upright(self, image: Image.Image, decoded: ImageFile.ImageFile) -> Image.Image:
        """What was made of a decoded image of this file, turned as its EXIF orientation says."""
        if decoded.format == "TIFF":
            return image  # Pillow has turned it.
        method = _UPRIGHT.get(self._orientation(decoded))
        return image if method is None else image.transpose(method)

    def _orientation(self, image: ImageFile.ImageFile) -> int:
        if image.format == "PNG" and image.tile and "exif" not in image.info:
            return 1  # To ask for what stands behind the pixels would decode them.
        try:
            return int(image.getexif().get(_ORIENTATION, 1))
        except _DAMAGED:
            # What is damaged is what stands about the picture, not the picture.
            self.traits.add(Trait.EXIF)
            return 1


@contextmanager
def opened(path: Path, take: Take = freely) -> Iterator[OpenPicture]:
    """A picture file whose header was read and whose size is bounded.

    Args:
        path: of the file.
        take: asks for memory before pixels take it.

    Raises:
        DataFileError: the file is missing, no file or no image, declares more than 2**26 pixels,
            or the block finds it damaged.
        MissingExtraError: the file is in HEIC, and the extra ``heic`` is not installed.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    said: list[str] = []
    native: list[str] = []
    try:
        with (
            memory_told(f"decoding {printable(path)}"),
            _stream(path) as stream,
            caught() as said,
            _image(path, stream, take) as image,
        ):
            if not 0 < image.width * image.height <= PIXELS:
                raise _too_large(path, image.width, image.height)
            picture = OpenPicture(path, stream, image, take, said=native)
            if _has_pages(image):
                picture.traits.add(Trait.PAGES)
            ending = path.suffix.lower()
            if ending in ENDINGS and ending not in _ENDINGS_OF[str(image.format)]:
                picture.traits.add(Trait.FOREIGN)
            yield picture
    except (DataFileError, NotEnoughMemoryError):
        raise
    except _DAMAGED as error:
        reason = "; ".join(printable(line) for line in (_reason(error), *native))
        raise bad_file(path, f"not a whole image: {reason}") from error
    native.extend(said)


def _stream(path: Path) -> BinaryIO:
    try:
        return open_file(path)
    except FileNotFoundError as error:
        raise bad_file(path, "there is no such file") from error
    except (OSError, ValueError) as error:
        raise bad_file(path, f"cannot be read: {_reason(error)}") from error


def _image(path: Path, stream: BinaryIO, take: Take) -> ImageFile.ImageFile:
    start = stream.read(64)
    if not start:
        raise bad_file(path, "empty (0 bytes)")
    stream.seek(0)
    brands = _brands(start)
    if brands or start.startswith(b"RIFF"):
        size = os.fstat(stream.fileno()).st_size
        check_memory(f"reading {printable(path)}", {"the file": size}, "a smaller file")
    width, height = _webp_sides(start)
    if width * height > PIXELS:
        raise _too_large(path, width, height)
    # Its decoder holds two pictures as soon as it is made, and has no word for a lack of memory.
    if width:
        take(_COPIES * width * height * 8)
    _check_pixels(path, width, height, 8)
    if brands & _HEVC and not brands & _AV1:
        return _heif(path, stream)
    try:
        return Image.open(stream, formats=_PILLOWS)
    except UnidentifiedImageError as error:
        if brands & _AV1 and not HAS_AVIF:
            reason = "AVIF, which Pillow reads since its version 11.3"
        elif start.startswith(_TIFF):
            reason = f"TIFF of a kind that is not read, or damaged{_tiff_kind(stream)}"
        else:
            reason = "no picture, or damaged at its beginning"
        raise OSError(reason) from error


def _tiff_kind(stream: BinaryIO) -> str:
    """What the header of a TIFF file tells of its numbers, if it can be read."""
    try:
        stream.seek(0)
        tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
        stream.seek(tags.next)
        tags.load(stream)
        bits = tags.get(_BITS, (1,))
        kind = _SAMPLES.get(tags.get(_SAMPLE, (1,))[0], "unknown")
    except _DAMAGED:
        return ""
    return f" ({kind} numbers of {', '.join(map(str, bits[:9]))} bits)"


def _heif(path: Path, stream: BinaryIO) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        cure = "HEIC pictures need pillow-heif: pip install 'isoconv[heic]'"
        raise MissingExtraError(cure).within(printable(path), path=path) from error
    image: ImageFile.ImageFile = HeifImageFile(stream)
    return image


def _brands(start: bytes) -> set[bytes]:
    """The brands of a file of ISO's container, such as HEIC and AVIF; none for others."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    # The major brand, its version, then those that the file is compatible with.
    return {start[8:12], *(start[place : place + 4] for place in range(16, end - 3, 4))}


def _webp_sides(start: bytes) -> tuple[int, int]:
    """Width and height by the beginning of a WebP file; 0 by 0 of others."""
    kind = start[12:16] if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else b""
    if kind == b"VP8X":
        sides = int.from_bytes(start[24:27], "little"), int.from_bytes(start[27:30], "little")
        return 1 + sides[0], 1 + sides[1]
    if kind == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        sides = int.from_bytes(start[26:28], "little"), int.from_bytes(start[28:30], "little")
        return sides[0] & 0x3FFF, sides[1] & 0x3FFF
    return 0, 0


def _too_large(path: Path, width: int, height: int) -> DataFileError:
    return file_error(path, f"an image of 1 to {PIXELS} pixels", f"{width} by {height}")


def _check_pixels(path: Path, width: int, height: int, each: int) -> None:
    """See that there is memory for pixels of so many bytes each."""
    needs = {f"{width} by {height} pixels": width * height * each}
    check_memory(f"decoding {printable(path)}", needs, "a smaller picture")


def _has_pages(image: ImageFile.ImageFile) -> bool:
    # A JPEG file of several pictures holds a preview or a map of depth or light beside the photo.
    if image.format == "MPO":
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except _DAMAGED:
        return True  # There is another page, and it is damaged; the first is read.


def _is_turned(stream: BinaryIO) -> bool:
    """Whether a PNG file has an orientation that may stand behind its pixels."""
    place = stream.tell()
    stream.seek(8)
    found = False
    while len(head := stream.read(8)) == 8 and not found:
        length = int.from_bytes(head[:4], "big")
        kind = head[4:]
        start = stream.read(min(length, 32))
        found = kind == b"eXIf" or start.startswith((b"Raw profile type exif", b"XML:com.adobe"))
        stream.seek(length - len(start) + 4, 1)
    stream.seek(place)
    return found


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
