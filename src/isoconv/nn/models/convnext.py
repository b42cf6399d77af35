"""ConvNeXt-T."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import GELU
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.layer_scale import LayerScale
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import LayerNorm
from isoconv.nn.regularization import StochasticDepth
from isoconv.nn.settings import is_small

__public__ = {"isoconv.nn.models": ["*"]}

STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))
"""Channels and blocks (table 9 of the paper)."""
LEFT_OUT = 0.1
"""Probability with which the last block is left out in training; that of the first is 0."""


def convnext_tiny(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Liu et al. 2022, "A ConvNet for the 2020s", ConvNeXt-T.

    Blocks of a depthwise 7×7 convolution, layer normalisation over the channels, a 1×1 convolution
    that widens four times, GELU and one that narrows, with layer scale and a residual connection;
    in training a block is now and then left out. Images of up to 64×64 start with a 2×2 convolution
    in place of the 4×4 one.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> convnext_tiny(1000).summary((224, 224, 3)).parameters
        28589128
    """
    patch = 2 if is_small(input_shape) else 4
    steps: list[Module] = [Conv2d(STAGES[0][0], patch, patch), _norm()]
    last, place = -1, 0
    for _, blocks in STAGES:
        last += blocks
    for stage, (channels, blocks) in enumerate(STAGES):
        if stage:
            steps += [_norm(), Conv2d(channels, 2, 2)]
        for _ in range(blocks):
            steps.append(_block(channels, LEFT_OUT * place / last))
            place += 1
    return Sequential(
        *steps,
        GlobalAvgPool2d(),
        _norm(),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _norm() -> Module:
    return LayerNorm(eps=1e-6)


def _block(channels: int, left_out: float) -> Module:
    return Residual(
        Sequential(
            DepthwiseConv2d(7, padding=3),
            _norm(),
            Conv2d(4 * channels, 1),
            GELU(),
            Conv2d(channels, 1),
            LayerScale(),
            StochasticDepth(left_out),
        )
    )
