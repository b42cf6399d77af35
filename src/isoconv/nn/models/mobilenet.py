"""MobileNetV2: with ReLU6 as published, and with ReLU."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.piecewise import ReLU6
from isoconv.nn.regularization import Dropout
from isoconv.nn.settings import is_small

__public__ = {"isoconv.nn.models": ["*"]}

STAGES = (
    # expansion, filters, blocks, stride of the first block (table 2 of the paper)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenetv2(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.

    `mobilenet_v2` with ReLU in place of ReLU6, whose bound served arithmetic of few bits.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> mobilenetv2(1000).summary((224, 224, 3)).parameters
        3504872
    """
    return _mobilenet(classes, input_shape, ReLU)


def mobilenet_v2(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", as published.

    Blocks of a 1×1 convolution that widens, a depthwise 3×3 one and a 1×1 one that narrows, with
    a residual connection where the shape stays, and ReLU6. Images of up to 64×64 take the first two
    strides of 2 as 1.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> mobilenet_v2(1000).summary((224, 224, 3)).parameters
        3504872
    """
    return _mobilenet(classes, input_shape, ReLU6)


def _mobilenet(
    classes: int, input_shape: tuple[int, ...] | None, activation: type[Module]
) -> Sequential:
    small = is_small(input_shape)
    steps = _normalised(Conv2d(32, 3, 1 if small else 2, padding=1, bias=False), activation)
    channels = 32
    for stage, (expansion, filters, blocks, stride) in enumerate(STAGES):
        for block in range(blocks):
            step = 1 if block > 0 or (small and stage == 1) else stride
            steps.append(_block(channels, expansion, filters, step, activation))
            channels = filters
    steps += _normalised(Conv2d(1280, 1, bias=False), activation)
    return Sequential(
        *steps,
        GlobalAvgPool2d(),
        Dropout(0.2),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _normalised(convolution: Module, activation: type[Module]) -> list[Module]:
    return [convolution, BatchNorm2d(), activation()]


def _block(
    channels: int, expansion: int, filters: int, stride: int, activation: type[Module]
) -> Module:
    """An inverted residual; its last convolution is linear."""
    wide = _normalised(Conv2d(channels * expansion, 1, bias=False), activation)
    wide = wide if expansion > 1 else []
    deep = _normalised(DepthwiseConv2d(3, stride, padding=1, bias=False), activation)
    body = Sequential(*wide, *deep, Conv2d(filters, 1, bias=False), BatchNorm2d())
    return Residual(body) if stride == 1 and channels == filters else body
