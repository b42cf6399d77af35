"""Masks as pictures: PNG files with a palette, and colours on a photograph."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from isoconv.data.mask_files import NO_LABEL
from isoconv.data.nearest import put_back
from isoconv.memory import check_memory
from isoconv.rows import Array

WIDE = 65535
"""What stands for no label where there are too many classes for a byte."""
LINE = 500
"""Pixels of a picture's shorter side for which an outline gets a pixel wider."""


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
    seen = sum(counts)
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
    """A picture with the colours of a mask on it, and outlines, uint8 ``(H, W, 3)``.

    A colour and a pixel become ``(p + c + 1) // 2`` of each channel. Class 0, which is black, is
    left as it is, and where there is no class the picture is dark, ``p // 4``.

    Each region of one of the other classes ends in a line of its colour, and beside that, where
    there is no such class, in one that is white beside a dark colour and black beside a light one:
    so that one of both can be seen on any picture. The lines are a pixel wide, and another one
    for each `LINE` pixels of the picture's shorter side.

    Args:
        picture: uint8 ``(H, W, 3)``.
        mask: class numbers ``(H, W)``; of those from 256 on the last eight bits count.
        outside: the number of pixels without a class.

    Raises:
        NotEnoughMemoryError: there is no memory for so many pixels.
    """
    height, width = mask.shape
    needs = {f"outlines in {height} by {width} pixels": 16 * height * width}
    check_memory("masks", needs, "a smaller picture")
    coloured = (mask != 0) & (mask != outside)
    lines = coloured & ~_surrounded(mask)
    wide = 1 + min(height, width) // LINE
    for _ in range(wide - 1):
        lines = (lines | _beside(lines)) & coloured
    around = np.where(lines, mask, 0)
    for _ in range(wide):
        around = np.where(coloured | (around != 0), around, _beside(around))
    around[coloured] = 0
    # Of light in a colour, green is most and blue least (ITU-R BT.601, in thousandths).
    dark = colours().astype(np.uint32) @ np.array([299, 587, 114], np.uint32) < 128_000
    shown = picture.copy()
    # Row by row: sums take two bytes each.
    for line, numbers, inner, end, beside in zip(shown, mask, coloured, lines, around, strict=True):
        paint = colours()[numbers[inner] & 255].astype(np.uint16)
        line[inner] = (line[inner] + paint + 1) // 2
        line[numbers == outside] //= 4
        line[end] = colours()[numbers[end] & 255]
        ring = beside != 0
        line[ring] = np.where(dark[beside[ring] & 255], 255, 0)[:, None]
    return shown


def _surrounded(mask: Array) -> Array:
    """Whether a pixel has one of its own class above, below, left and right of it."""
    found = np.zeros(mask.shape, bool)
    inner = mask[1:-1, 1:-1]
    found[1:-1, 1:-1] = (
        (inner == mask[:-2, 1:-1]) & (inner == mask[2:, 1:-1])
        & (inner == mask[1:-1, :-2]) & (inner == mask[1:-1, 2:])
    )  # fmt: skip
    return found


def _beside(marks: Array) -> Array:
    """The greatest of the marks above, below, left and right of each."""
    found = np.zeros_like(marks)
    for here, there in (
        (found[1:], marks[:-1]), (found[:-1], marks[1:]),
        (found[:, 1:], marks[:, :-1]), (found[:, :-1], marks[:, 1:]),
    ):  # fmt: skip
        np.maximum(here, there, out=here)
    return found


def png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
