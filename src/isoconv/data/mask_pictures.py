"""Masks as pictures: PNG files with a palette, and colours on a photograph."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isoconv.data.mask_files import NO_LABEL
from isoconv.data.nearest import put_back
from isoconv.memory import check_memory

__all__ = ["MaskFound", "colours", "found_in", "mask_png", "nowhere", "overlaid", "png"]

Array = NDArray[Any]
WIDE = 65535
"""What stands for no label where there are too many classes for a byte."""


@cache
def colours() -> Array:
    """A colour for each of 256 numbers, uint8 ``(256, 3)``, that of 0 black.

    Those of the masks of PASCAL VOC (Everingham et al. 2010): bit j of red, green and blue, from
    the highest one on, is bit 3j, 3j + 1 and 3j + 2 of the number.

    Example:
        >>> colours()[[0, 1, 2, 15]].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128]]
    """
    found = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for place in range(24):
            if number >> place & 1:
                found[number, place % 3] |= 128 >> place // 3
    return found


def nowhere(classes: int) -> int:
    """The number that stands for no label in a mask of so many classes.

    Example:
        >>> nowhere(3), nowhere(300)
        (255, 65535)
    """
    return NO_LABEL if classes <= NO_LABEL else WIDE


@dataclass(frozen=True, slots=True)
class MaskFound:
    """What a model says of the pixels of a picture, in the picture's own size.

    Attributes:
        mask: class numbers, uint16 ``(H, W)``; `nowhere` where the model does not see it.
        shares: of the pixels that it sees, by class.
        outside: share of the pixels that it does not see.
    """

    mask: Array
    shares: tuple[float, ...]
    outside: float


def found_in(said: Array, size: tuple[int, int], classes: int) -> MaskFound:
    """What a model says of a picture, in the picture's own size.

    Args:
        said: class numbers ``(h, w)`` of the picture as the model takes it.
        size: height and width of the picture.
        classes: how many there are.

    Raises:
        NotEnoughMemoryError: there is no memory for so many pixels.
    """
    height, width = size
    needs = {f"a mask of {height} by {width} pixels": 16 * height * width}
    check_memory("masks", needs, "a smaller picture")
    mask = put_back(said.astype(np.uint16), size, nowhere(classes))
    counts = np.bincount(mask.reshape(-1), minlength=classes)[:classes].tolist()
    seen = 0
    for count in counts:
        seen += count
    shares = tuple(count / max(seen, 1) for count in counts)
    return MaskFound(mask, shares, (mask.size - seen) / mask.size)


def mask_png(mask: Array, classes: int) -> bytes:
    """A mask as a PNG file: with a palette, or gray of 16 bits for 256 classes and more.

    Args:
        mask: class numbers ``(H, W)``, `nowhere` where there is none.
        classes: how many there are.
    """
    if classes > NO_LABEL:
        return png(Image.fromarray(mask.astype(np.uint16)))
    height, width = mask.shape
    image = Image.frombytes("P", (width, height), mask.astype(np.uint8).tobytes())
    image.putpalette(colours().tobytes())
    return png(image)


def overlaid(picture: Array, mask: Array, outside: int) -> Array:
    """A picture with the colours of a mask on it, uint8 ``(H, W, 3)``.

    A colour and a pixel become ``(p + c + 1) // 2`` of each channel. Class 0, which is black, is
    left as it is, and where there is no class the picture is dark, ``p // 4``.

    Args:
        picture: uint8 ``(H, W, 3)``.
        mask: class numbers ``(H, W)``; of those from 256 on the last eight bits count.
        outside: the number of pixels without a class.
    """
    shown = picture.copy()
    # Row by row: sums take two bytes each.
    for before, line, numbers in zip(picture, shown, mask, strict=True):
        there = numbers != 0
        paint = colours()[numbers[there] & 255].astype(np.uint16)
        line[there] = (line[there] + paint + 1) // 2
        line[numbers == outside] = before[numbers == outside] // 4
    return shown


def png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
