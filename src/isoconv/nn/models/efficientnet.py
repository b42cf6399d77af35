"""EfficientNet-Lite0: EfficientNet-B0 for small machines."""

from __future__ import annotations

from collections.abc import Callable

from isoconv.checks import LARGEST, check_count
from isoconv.nn.bounded import ReLU6
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.regularization import Dropout
from isoconv.nn.settings import image_shape

__all__ = ["efficientnet_lite0"]
__public__ = {"isoconv.nn.models": ["*"]}

SMALL = 64
"""Up to this side images are taken for small ones, such as CIFAR's."""
STAGES = (
    # expansion, kernel, stride of the first block, filters, blocks (table 1 of the paper)
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD = 32, 1280


def efficientnet_lite0(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """EfficientNet-Lite0, 2020: Tan and Le 2019, "EfficientNet", table 1, for small machines.

    Blocks of a 1×1 convolution that widens, a depthwise one of 3×3 or 5×5 and a 1×1 one that
    narrows, with a residual connection where the shape stays. No squeeze-and-excitation, ReLU6 in
    place of SiLU, TensorFlow's padding "same". Images of up to 64×64 take the first two strides of 2
    as 1.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> efficientnet_lite0(1000).summary((224, 224, 3)).parameters
        4652008
    """
    height, width, _ = image_shape(input_shape)
    small = min(height, width) <= SMALL
    steps = _normalised(Conv2d(STEM, 3, 1 if small else 2, "same", bias=False))
    channels = STEM
    for stage, (expansion, kernel, stride, filters, blocks) in enumerate(STAGES):
        for number in range(blocks):
            step = 1 if number > 0 or (small and stage == 1) else stride
            steps.append(_block(channels, expansion, kernel, filters, step))
            channels = filters
    steps += _normalised(Conv2d(HEAD, 1, bias=False))
    return Sequential(
        *steps,
        GlobalAvgPool2d(),
        Dropout(0.2),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _normalised(convolution: Module, activation: Callable[[], Module] = ReLU6) -> list[Module]:
    return [convolution, BatchNorm2d(eps=1e-3, momentum=0.01), activation()]


def _block(channels: int, expansion: int, kernel: int, filters: int, stride: int) -> Module:
    """An inverted residual; its last convolution is linear."""
    wide = _normalised(Conv2d(channels * expansion, 1, bias=False)) if expansion > 1 else []
    body = Sequential(
        *wide,
        *_normalised(DepthwiseConv2d(kernel, stride, "same", bias=False)),
        Conv2d(filters, 1, bias=False),
        BatchNorm2d(eps=1e-3, momentum=0.01),
    )
    return Residual(body) if stride == 1 and channels == filters else body
