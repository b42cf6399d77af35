"""U-Nets, which give each place of a picture a class."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.errors import ShapeError
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.resizing import Upsample
from isoconv.nn.settings import image_shape
from isoconv.nn.transposed import ConvTranspose2d

__public__ = {"isoconv.nn.models": ["*"]}

FILTERS = (64, 128, 256, 512, 1024)
"""Of the levels (figure 1 of the paper)."""
SMALL = (16, 32, 64, 128)
"""Likewise of the small one."""
LEAST = 4
"""Pixels of the shorter side at the lowest level of the small one."""


def unet(classes: int = 2, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Ronneberger et al. 2015, "U-Net: convolutional networks for biomedical image segmentation".

    Down four times, each by two 3×3 convolutions and a maximum, and up again by transposed 2×2
    convolutions, beside whose result stands what was computed on the way down. The 3×3 convolutions
    keep the size, so that there is a result for each pixel; in the paper's they do not, and the
    borders are cut off.

    Args:
        classes: number of outputs for each pixel.
        input_shape: ``(H, W, C)``, sides that 16 divides; None for ``(256, 256, 1)``.

    Raises:
        ShapeError: sides that 16 does not divide.

    Example:
        >>> model = unet(2, (32, 48, 1))
        >>> model.summary((32, 48, 1)).rows[-1].output
        (32, 48, 2)
    """
    height, width, _ = image_shape(input_shape, (256, 256, 1))
    least = 2 ** (len(FILTERS) - 1)
    if height % least or width % least:
        raise ShapeError(
            f"input_shape of a U-Net must have sides that {least} divides; got {input_shape}",
            argument="input_shape",
            value=input_shape,
        )
    inner = _convolutions(FILTERS[-1])
    for filters in reversed(FILTERS[:-1]):
        below = Sequential(MaxPool2d(2), *inner, ConvTranspose2d(filters, 2, 2))
        inner = [
            *_convolutions(filters),
            Branches(Sequential(), below),
            *_convolutions(filters),
        ]
    return Sequential(*inner, Conv2d(check_count("classes", classes, most=LARGEST), 1))


def small_unet(classes: int = 2, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """A U-Net for pictures of any size, with a fiftieth of the weights, that learns from few.

    Down by maxima up to three times, as long as the shorter side keeps 4 places, with 16 to 128
    filters. Each two 3×3 convolutions are normalised by batches; up again the nearest value is
    repeated to the size of the level above, and a 3×3 convolution halves the channels, so that no
    size needs to be divided.

    Args:
        classes: number of outputs for each pixel.
        input_shape: ``(H, W, C)``; None for ``(128, 128, 3)``.

    Example:
        >>> small_unet(3, (45, 70, 3)).summary((45, 70, 3)).rows[-1].output
        (45, 70, 3)
    """
    height, width, _ = image_shape(input_shape, (128, 128, 3))
    deepest = 0
    while deepest < len(SMALL) - 1 and min(height, width) >> (deepest + 1) >= LEAST:
        deepest += 1
    inner = _normalised(SMALL[deepest], 2)
    for level in reversed(range(deepest)):
        filters, sides = SMALL[level], (height >> level, width >> level)
        below = Sequential(MaxPool2d(2), *inner, Upsample(sides), *_normalised(filters, 1))
        inner = [
            *_normalised(filters, 2),
            Branches(Sequential(), below),
            *_normalised(filters, 2),
        ]
    return Sequential(*inner, Conv2d(check_count("classes", classes, most=LARGEST), 1))


def _normalised(filters: int, count: int) -> list[Module]:
    """So many 3×3 convolutions that keep the size, normalised, each with ReLU."""
    steps: list[Module] = []
    for _ in range(count):
        steps += [Conv2d(filters, 3, padding=1, bias=False), BatchNorm2d(), ReLU()]
    return steps


def _convolutions(filters: int) -> list[Module]:
    return [
        Conv2d(filters, 3, padding=1),
        ReLU(),
        Conv2d(filters, 3, padding=1),
        ReLU(),
    ]
