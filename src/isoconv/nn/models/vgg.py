"""VGG-11, and a network of its kind that is small enough to learn in a minute."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.regularization import Dropout
from isoconv.nn.settings import image_shape
from isoconv.nn.shaping import Flatten

__public__ = {"isoconv.nn.models": ["*"]}

VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Filters of the convolutions before each pooling (configuration A of the paper)."""


def vgg11(
    classes: int = 10, input_shape: tuple[int, ...] | None = None, algorithm: str = "direct"
) -> Sequential:
    """Simonyan and Zisserman 2014, "Very deep convolutional networks", configuration A.

    Eight 3×3 convolutions, each with batch normalisation in place of its bias, and a maximum
    after each of five stages; then global average pooling and one linear layer in place of the
    paper's three. A stage whose feature map is a single pixel wide is not pooled, so that small
    images fit.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        algorithm: of all convolutions but the first, whose few input channels gain nothing from
            Winograd's; see `Conv2d`.

    Example:
        >>> vgg11(10, (32, 32, 3)).summary((32, 32, 3)).parameters
        9228362
    """
    height, width, _ = image_shape(input_shape)
    side = min(height, width)
    steps: list[Module] = []
    for stage in VGG11:
        for filters in stage:
            chosen = algorithm if steps else "direct"
            convolution = Conv2d(filters, 3, padding=1, bias=False, algorithm=chosen)
            steps += [convolution, BatchNorm2d(), ReLU()]
        if side >= 2:
            steps.append(MaxPool2d(2))
            side //= 2
    return Sequential(
        *steps, GlobalAvgPool2d(), Linear(check_count("classes", classes, most=LARGEST))
    )


def vgg11_winograd(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """`vgg11` with Winograd's algorithm: another arithmetic, whose training takes less time.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> vgg11_winograd(10, (32, 32, 3)).summary((32, 32, 3)).parameters
        9228362
    """
    return vgg11(classes, input_shape, algorithm="winograd")


def tinyvgg(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
) -> Sequential:
    """Two stages of two 3×3 convolutions (32, then 64 filters), dropout and a linear layer.

    After CNN Explainer's Tiny VGG (Wang et al. 2020, https://arxiv.org/abs/2004.15004), with more
    filters and padding, for images of about 28×28.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``, at least ``(4, 4, C)``; the same layers for every size.

    Example:
        >>> tinyvgg().summary((28, 28, 1)).parameters
        96362
    """
    image_shape(input_shape)
    steps: list[Module] = []
    for filters in (32, 64):
        for _ in range(2):
            steps += [Conv2d(filters, 3, padding=1), ReLU()]
        steps.append(MaxPool2d(2))
    return Sequential(
        *steps, Flatten(), Dropout(0.3), Linear(check_count("classes", classes, most=LARGEST))
    )
