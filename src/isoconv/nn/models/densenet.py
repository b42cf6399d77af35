"""DenseNet-121."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.pooling import AvgPool2d, MaxPool2d
from isoconv.nn.settings import is_small

__public__ = {"isoconv.nn.models": ["*"]}

BLOCKS = (6, 12, 24, 16)
"""Layers of each dense block (table 1 of the paper)."""
GROWTH = 32
"""Channels that each layer adds."""
BOTTLENECK = 4 * GROWTH


def densenet121(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Huang et al. 2016, "Densely connected convolutional networks", table 1, 121 layers.

    Each layer of a block reads what all layers before it gave, and adds 32 channels beside it: a
    1×1 convolution with 128 filters and a 3×3 one, each behind batch normalisation and ReLU.
    Between the blocks a 1×1 convolution halves the channels and an average the feature map. Images
    of up to 64×64 start with a 3×3 convolution of stride 1 and no pooling.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> densenet121(1000).summary((224, 224, 3)).parameters
        7978856
    """
    small, channels = is_small(input_shape), 2 * GROWTH
    steps: list[Module] = [
        Conv2d(channels, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False),
        BatchNorm2d(),
        ReLU(),
        *([] if small else [MaxPool2d(3, stride=2, padding=1)]),
    ]
    for number, layers in enumerate(BLOCKS):
        if number:
            channels //= 2
            steps += [BatchNorm2d(), ReLU(), Conv2d(channels, 1, bias=False), AvgPool2d(2)]
        steps += [Branches(Sequential(), _layer()) for _ in range(layers)]
        channels += layers * GROWTH
    return Sequential(
        *steps,
        BatchNorm2d(),
        ReLU(),
        GlobalAvgPool2d(),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _layer() -> Module:
    return Sequential(
        BatchNorm2d(),
        ReLU(),
        Conv2d(BOTTLENECK, 1, bias=False),
        BatchNorm2d(),
        ReLU(),
        Conv2d(GROWTH, 3, padding=1, bias=False),
    )
