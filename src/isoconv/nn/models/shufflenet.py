"""ShuffleNetV2."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.parts import Slice
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.settings import is_small
from isoconv.nn.shuffling import ChannelShuffle

__public__ = {"isoconv.nn.models": ["*"]}

STEM, HEAD = 24, 1024
STAGES = ((116, 4), (232, 8), (464, 4))
"""Channels and blocks (table 5 of the paper, the first column)."""


def shufflenet_v2_x1_0(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Ma et al. 2018, "ShuffleNet V2: practical guidelines for efficient CNN design", table 5, 1×.

    A block computes one half of its channels (a 1×1, a depthwise 3×3 and a 1×1 convolution), passes
    the other one on, and shuffles both together; the first block of a stage computes both halves
    out of all channels. Images of up to 64×64 start with a 3×3 convolution of stride 1 and no
    pooling.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> shufflenet_v2_x1_0(1000).summary((224, 224, 3)).parameters
        2278604
    """
    small = is_small(input_shape)
    steps = _normalised(Conv2d(STEM, 3, 1 if small else 2, padding=1, bias=False))
    steps += [] if small else [MaxPool2d(3, stride=2, padding=1)]
    for channels, blocks in STAGES:
        half = channels // 2
        steps += [Branches(Sequential(*_narrowed(half)), _branch(half, 2)), ChannelShuffle(2)]
        for _ in range(blocks - 1):
            kept, taken = Slice((0,), (half,), (-1,)), Slice((half,), (channels,), (-1,))
            steps += [Branches(kept, Sequential(taken, _branch(half, 1))), ChannelShuffle(2)]
    return Sequential(
        *steps,
        *_normalised(Conv2d(HEAD, 1, bias=False)),
        GlobalAvgPool2d(),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _normalised(convolution: Module) -> list[Module]:
    return [convolution, BatchNorm2d(), ReLU()]


def _deep(stride: int) -> list[Module]:
    return [DepthwiseConv2d(3, stride, padding=1, bias=False), BatchNorm2d()]


def _narrowed(filters: int) -> list[Module]:
    """What the first block of a stage has in place of the half that is passed on."""
    return [*_deep(2), *_normalised(Conv2d(filters, 1, bias=False))]


def _branch(filters: int, stride: int) -> Sequential:
    return Sequential(
        *_normalised(Conv2d(filters, 1, bias=False)),
        *_deep(stride),
        *_normalised(Conv2d(filters, 1, bias=False)),
    )
