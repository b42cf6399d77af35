"""One picture file: what its header tells, what it holds, and an array as a model takes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin

from isoconv.data.deep import Kind, check_bytes, kind_of, read_numbers
from isoconv.data.files import bad_file, file_error
from isoconv.data.opening import OpenPicture, opened
from isoconv.data.reading import Opacity
from isoconv.data.tally import Trait
from isoconv.data.threads import Take, freely
from isoconv.rows import Array
from isoconv.wording import offered, setting

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and scanners give, the ones that are guessed."""

_GRAY = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
_BY_WAY_OF = {"La": "LA", "RGBa": "RGBA"}
"""Modes whose colours are multiplied by opacity, and what Pillow turns them into first."""
_UNITS = {"L;2": 85, "L;4": 17}
"""What gray of 2 and 4 bits is multiplied with when Pillow decodes it."""
_TRANSFORMED = frozenset((0xC0, 0xC1, 0xC2))
_OTHER_FRAMES = frozenset((0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_SCAN = 0xDA
"""Markers of a JPEG file: frames of the sequential and the progressive discrete cosine transform,
all others, and the beginning of the coded picture."""
_META = 1 << 20
"""Bytes of the longest head of an AVIF file that is searched."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture file tells before it is decoded.

    Attributes:
        size: height and width of the upright picture.
        gray: it has no colours.
        kind: what its numbers are.
    """

    size: tuple[int, int]
    gray: bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Stored:
    """What a picture file holds, decoded and upright.

    Attributes:
        path: of the file.
        kind: what its numbers are.
        picture: a Pillow image of mode L or RGB; None unless the kind is ``"bytes"``.
        numbers: unsigned integers or float32 ``(H, W, C)`` as they stand in the file; None if the
            kind is ``"bytes"``.
        most: the largest number, or the largest that the file declares if that tells more.
        bits: that a number takes in the file.
        found: what is to be told of it, and what its decoder said.
        alpha: how opaque each pixel is, uint8 ``(H, W)``, if it is to be shown on white.
    """

    path: Path
    kind: Kind
    picture: Image.Image | None
    numbers: Array | None
    most: int
    bits: int
    found: tuple[Trait | str, ...]
    alpha: Array | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, as it was decoded."""
        if self.numbers is not None:
            return int(self.numbers.shape[0]), int(self.numbers.shape[1])
        return (0, 0) if self.picture is None else (self.picture.height, self.picture.width)

    @property
    def channels(self) -> int:
        """1 for gray, 3 for colour."""
        if self.numbers is not None:
            return int(self.numbers.shape[2])
        return 1 if self.picture is not None and self.picture.mode == "L" else 3


def reduction(own: tuple[int, int], wanted: tuple[int, int] | None) -> int:
    """By how much a JPEG is made smaller while it is decoded, before it is scaled.

    The largest of 8, 4 and 2 that leaves twice the wanted height and twice the wanted width; 1 if
    none does. The decoder then takes so much fewer coefficients of each 8×8 block, and does not
    compute what scaling would average away.

    Args:
        own: height and width of the upright picture.
        wanted: those that it will be scaled to; None if it will not be scaled.

    Example:
        >>> reduction((3000, 4000), (96, 96)), reduction((500, 400), (64, 64))
        (8, 2)
    """
    if wanted is not None:
        for by in (8, 4, 2):
            if own[0] >= 2 * by * wanted[0] and own[1] >= 2 * by * wanted[1]:
                return by
    return 1


def look(path: Path) -> Header:
    """Read a file's header.

    Raises:
        DataFileError: it is missing, damaged, of no known format or too large.
        MissingExtraError: it is in HEIC, and the extra is not installed.
    """
    with opened(path) as picture:
        gray, kind = _is_gray(picture.image), kind_of(picture)
        # Last, for it may have to decode the picture.
        return Header(picture.size, gray, kind)


def read(
    path: Path,
    wanted: tuple[int, int] | None = None,
    take: Take = freely,
    opacity: Opacity = "white",
) -> Stored:
    """Decode a file.

    Args:
        path: of the file.
        wanted: height and width that it will be scaled to, if a large JPEG may be decoded reduced
            (see `reduction`); None if it must not.
        take: asks for memory before pixels take it.
        opacity: what becomes of it, see `Reading`.

    Raises:
        DataFileError: as `look`, or the pixels are damaged, cannot be had as they are, or hold NaN
            or infinity.
        MissingExtraError: as `look`.
    """
    with opened(path, take) as picture:
        kind = kind_of(picture)
        if kind == "bytes":
            check_bytes(picture)
            _reduce(picture, wanted)
            image, alpha = _bytes(picture)
            numbers, most, bits = None, 0, 8
        else:
            image = None
            found = read_numbers(picture)
            numbers, most, bits = found.values, found.most, found.bits
            alpha = found.alpha
        if alpha is not None:
            dropped = opacity == "dropped"
            picture.traits.add(Trait.TRANSPARENT if dropped else Trait.ON_WHITE)
            alpha = None if dropped else alpha
    if numbers is not None and kind == "deep":
        most = max(most, int(numbers.max()))
    elif numbers is not None and not np.isfinite(numbers).all():
        wrong = float(numbers[~np.isfinite(numbers)][0])
        raise file_error(path, "finite numbers", f"{wrong}")
    traits = sorted(picture.traits, key=lambda trait: trait.name)
    warnings = (f"a warning of the decoder: {line}" for line in picture.said)
    return Stored(path, kind, image, numbers, most, bits, (*traits, *warnings), alpha)


def least_depth(path: Path, most: int) -> int:
    """The least of 8, 10, 12, 14 and 16 bits that hold a number.

    Raises:
        DataFileError: none does; the message names the file and asks for a depth.
    """
    for depth in DEPTHS:
        if most < 1 << depth:
            return depth
    depth_of = f": {setting('depth', str(most.bit_length()))} or more" if offered("depth") else ""
    needs = "numbers of more than 16 bits need a depth, the bits of full brightness"
    raise bad_file(path, f"{needs}; found {most}{depth_of}")


def as_pixels(stored: Stored, size: tuple[int, int] | None, channels: int, depth: int) -> Array:
    """What a file of integers holds as uint8 ``(H, W, C)``.

    Raises:
        DataFileError: a number is larger than `depth` bits hold.
    """
    plain = stored.picture
    if plain is None:
        plain = _image(_scaled(stored, depth))
    if stored.alpha is not None:
        plain = _on_white(plain, stored.alpha)
    return fitted(plain, size, channels)


def fitted(plain: Image.Image, size: tuple[int, int] | None, channels: int) -> Array:
    """A picture of mode L or RGB as uint8 ``(H, W, C)``: scaled until it covers a size, and cut."""
    if plain.mode != ("L" if channels == 1 else "RGB"):
        plain = plain.convert("L" if channels == 1 else "RGB")
    if size is not None and (plain.height, plain.width) != size:
        plain = ImageOps.fit(plain, (size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.array(plain, np.uint8)
    return pixels[..., np.newaxis] if channels == 1 else pixels


def as_floats(stored: Stored, size: tuple[int, int] | None, channels: int) -> Array:
    """What a file of floats holds as float32 ``(H, W, C)``."""
    values = np.asarray(stored.numbers, np.float32)
    if size is not None and values.shape[:2] != size:
        plain = ImageOps.fit(_image(values), (size[1], size[0]), Image.Resampling.BILINEAR)
        values = np.asarray(plain, np.float32)[..., np.newaxis]
    return np.repeat(values, channels, axis=2) if values.shape[2] != channels else values


def _on_white(plain: Image.Image, alpha: Array) -> Image.Image:
    """A picture of mode L or RGB shown on white, before it is scaled.

    Of opacity a out of 255 a number v becomes the whole number nearest to
    ``(v * a + 255 * (255 - a)) / 255``. There are no ties: 255 is odd.
    """
    pixels = np.array(plain, np.uint8)
    # Row by row: products take two bytes each, and their doubles four.
    for row, line in enumerate(pixels):
        seen = alpha[row].astype(np.uint32)
        seen = seen if line.ndim == 1 else seen[:, np.newaxis]
        shown = line * seen + 255 * (255 - seen)
        pixels[row] = (2 * shown + 255) // 510
    return Image.fromarray(pixels)


def _image(values: Array) -> Image.Image:
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _scaled(stored: Stored, depth: int) -> Array:
    """Numbers of `depth` bits as uint8: the nearest of v * 255 / (2**depth - 1).

    With m = 2**depth - 1 that is ``(v * 510 + m) // (2 * m)``. There are no ties: 510 v is even and
    m (2 k + 1) odd.
    """
    numbers = np.asarray(stored.numbers)
    largest = int(numbers.max())
    most = (1 << depth) - 1
    if largest > most:
        raise file_error(
            stored.path,
            f"numbers of {depth} bits ({setting('depth', str(depth))}), at most {most}",
            f"{largest}",
        )
    pixels = np.empty(numbers.shape, np.uint8)
    # Row by row: indices and products take eight bytes each.
    for row, line in enumerate(numbers):
        wide = line.astype(np.int64)
        pixels[row] = _table(depth)[wide] if depth <= DEPTHS[-1] else _nearest(wide, most)
    return pixels


@lru_cache(maxsize=4)
def _table(depth: int) -> Array:
    most = (1 << depth) - 1
    return _nearest(np.arange(most + 1, dtype=np.int64), most)


def _nearest(numbers: Array, most: int) -> Array:
    return ((numbers * 510 + most) // (2 * most)).astype(np.uint8)


def _reduce(picture: OpenPicture, wanted: tuple[int, int] | None) -> None:
    """Have a large JPEG decoded reduced."""
    image = picture.image
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    by = reduction(picture.size, wanted)
    if by > 1 and _is_transformed(picture.stream):
        # Of what it is given here Pillow finds this very number.
        image.draft(None, (image.width // by, image.height // by))


def _is_transformed(stream: BinaryIO) -> bool:
    """Whether a JPEG file holds coefficients, of which some can be left out; a few hold pixels."""
    place = stream.tell()
    stream.seek(2)
    found = False
    while not found and len(head := stream.read(4)) == 4 and head[0] == 0xFF:
        kind = head[1]
        found = kind in _TRANSFORMED
        if kind in _OTHER_FRAMES or kind == _SCAN:
            break
        if kind == 0xFF:
            # A marker may have more bytes of this value before it.
            stream.seek(-3, 1)
        else:
            stream.seek(int.from_bytes(head[2:], "big") - 2, 1)
    stream.seek(place)
    return found


def _bytes(picture: OpenPicture) -> tuple[Image.Image, Array | None]:
    """The upright picture of a file of up to 8 bits a number, in mode L or RGB, and its opacity."""
    image = picture.image
    unit = stored_unit(image)
    if _is_reduced(picture):
        picture.traits.add(Trait.REDUCED)
    picture.load(image)
    if image.mode == "CMYK":
        picture.traits.add(Trait.CMYK)
    alpha = _alpha(image, unit)
    if alpha is not None:
        alpha = np.asarray(picture.upright(Image.fromarray(alpha), image))
    # Pillow would convert it as well, and warn where it cannot.
    image.info.pop("transparency", None)
    plain = image.convert(_BY_WAY_OF[image.mode]) if image.mode in _BY_WAY_OF else image
    return picture.upright(plain.convert("L" if image.mode in _GRAY else "RGB"), image), alpha


def stored_unit(image: ImageFile.ImageFile) -> int:
    """What Pillow multiplies the gray values of a file with that is to be decoded."""
    args = image.tile[0][3] if image.tile else ""
    return _UNITS.get(args, 1) if isinstance(args, str) and image.format == "PNG" else 1


def _is_gray(image: ImageFile.ImageFile) -> bool:
    # Pillow opens gray with opacity in 16 bits as colours.
    return image.mode in _GRAY or bool(image.tile and image.tile[0][3] == "LA;16B")


def _alpha(image: Image.Image, unit: int) -> Array | None:
    """How opaque each pixel of a decoded picture is, uint8 ``(H, W)``; None if all are."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        alpha = np.asarray(image.getchannel(image.getbands()[-1]))
        return None if (alpha == 255).all() else alpha
    key = image.info.get("transparency")
    if key is None:
        return None
    pixels = np.asarray(image)
    if isinstance(key, bytes):
        table = np.full(max(256, len(key)), 255, np.uint8)
        table[: len(key)] = np.frombuffer(key, np.uint8)
        alpha = table[pixels]
        return None if (alpha == 255).all() else alpha
    if image.mode == "1":
        clear = pixels == (key != 0)
    elif isinstance(key, int):
        clear = pixels == key * unit
    else:
        clear = (pixels == np.array(key)).all(axis=-1)
    return np.where(clear, 0, 255).astype(np.uint8) if clear.any() else None


def _is_reduced(picture: OpenPicture) -> bool:
    """Whether a format of any depth holds more bits than its decoder gives."""
    if picture.image.format == "HEIF":
        return int(picture.image.info.get("bit_depth", 8)) > 8
    if picture.image.format != "AVIF":
        return False
    stream = picture.stream
    place = stream.tell()
    stream.seek(0)
    head = stream.read(_META)
    stream.seek(place)
    # Its configuration: two bytes of versions, then flags, of which 0x40 says more than 8 bits.
    start = head.find(b"av1C")
    return 0 <= start < len(head) - 6 and bool(head[start + 6] & 0x40)
