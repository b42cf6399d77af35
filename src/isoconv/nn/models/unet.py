"""U-Net."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.errors import ShapeError
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.module import Module
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.settings import image_shape
from isoconv.nn.transposed import ConvTranspose2d

__all__ = ["unet"]
__public__ = {"isoconv.nn.models": ["*"]}

FILTERS = (64, 128, 256, 512, 1024)
"""Of the levels (figure 1 of the paper)."""


def unet(classes: int = 2, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Ronneberger et al. 2015, "U-Net: convolutional networks for biomedical image segmentation".

    Down four times, each by two 3×3 convolutions and a maximum, and up again by transposed 2×2
    convolutions, beside whose result stands what was computed on the way down. The 3×3 convolutions
    keep the size, so that there is a result for each pixel; in the paper's they do not, and the
    borders are cut off.

    It is no classifier of pictures, and so none of `MODELS`.

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


def _convolutions(filters: int) -> list[Module]:
    return [
        Conv2d(filters, 3, padding=1),
        ReLU(),
        Conv2d(filters, 3, padding=1),
        ReLU(),
    ]
