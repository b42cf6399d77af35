"""Residual networks: ResNet-18 to -50, ResNeXt-50, and two that are small."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.settings import image_shape, is_small

__public__ = {"isoconv.nn.models": ["*"]}

TINY = 40
"""Up to this side `small_resnet` keeps the size in its first convolution."""
TALL = 80
"""From beyond this side on it has four stages."""
LEAST_MAP = 3
"""Side of the smallest feature map of its last stage."""
WIDTHS = (64, 128, 256, 512)
"""Filters of the four stages; a bottleneck ends in four times as many."""

Block = Callable[[int, int, bool], Module]
"""``(filters, stride, first of its stage) -> Residual``."""


def resnet18(
    classes: int = 10, input_shape: tuple[int, ...] | None = None, algorithm: str = "direct"
) -> Sequential:
    """He et al. 2015, "Deep residual learning for image recognition", table 1, 18 layers.

    Four stages of two basic blocks with 64, 128, 256 and 512 filters. Images of up to 64×64
    start with a 3×3 convolution of stride 1 and no pooling in place of the 7×7 one of stride 2
    and the 3×3 maximum, so that their feature maps do not vanish.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        algorithm: of the blocks' 3×3 convolutions with stride 1; see `Conv2d`.

    Example:
        >>> resnet18(1000).summary((224, 224, 3)).parameters
        11689512
    """
    return _resnet(_stem(input_shape), WIDTHS, (2, 2, 2, 2), classes, _basic(algorithm))


def resnet18_winograd(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """`resnet18` with Winograd's algorithm: another arithmetic, whose training takes less time.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> resnet18_winograd(1000).summary((224, 224, 3)).parameters
        11689512
    """
    return resnet18(classes, input_shape, algorithm="winograd")


def resnet20(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
    algorithm: str = "direct",
) -> Sequential:
    """He et al. 2015, section 4.2: the network for CIFAR-10 with n = 3, 20 layers.

    A 3×3 convolution, then three stages of three basic blocks with 16, 32 and 64 filters. Where
    sizes change the shortcut is the paper's option B: a 1×1 convolution of stride 2 with batch
    normalisation. It has 272,474 parameters for 10 classes, 2,752 more than with option A, which
    pads with zeros.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; the same layers for every size.
        algorithm: of the blocks' 3×3 convolutions with stride 1; see `Conv2d`.

    Example:
        >>> resnet20().summary((32, 32, 3)).parameters
        272474
    """
    image_shape(input_shape)
    return _resnet(_normalised(16, 3, 1), (16, 32, 64), (3, 3, 3), classes, _basic(algorithm))


def resnet20_winograd(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """`resnet20` with Winograd's algorithm: another arithmetic, whose training takes less time.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; the same layers for every size.

    Example:
        >>> resnet20_winograd().summary((32, 32, 3)).parameters
        272474
    """
    return resnet20(classes, input_shape, algorithm="winograd")


def resnet34(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """He et al. 2015, "Deep residual learning for image recognition", table 1, 34 layers.

    As `resnet18`, with 3, 4, 6 and 3 blocks.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> resnet34(1000).summary((224, 224, 3)).parameters
        21797672
    """
    return _resnet(_stem(input_shape), WIDTHS, (3, 4, 6, 3), classes, _basic("direct"))


def resnet50(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """He et al. 2015, "Deep residual learning for image recognition", table 1, 50 layers.

    Bottlenecks: a 1×1 convolution that narrows, a 3×3 one, and a 1×1 one with four times the
    filters. The stride of 2 is that of the 3×3 convolution, as in all published weights; the paper
    has it in the first one. Small images as in `resnet18`.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> resnet50(1000).summary((224, 224, 3)).parameters
        25557032
    """
    return _resnet(_stem(input_shape), WIDTHS, (3, 4, 6, 3), classes, _bottleneck(1, 64))


def resnext50_32x4d(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Xie et al. 2016, "Aggregated residual transformations for deep networks", table 1.

    `resnet50` with 3×3 convolutions of twice as many filters in 32 groups, 4 filters wide in the
    first stage.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> resnext50_32x4d(1000).summary((224, 224, 3)).parameters
        25028904
    """
    return _resnet(_stem(input_shape), WIDTHS, (3, 4, 6, 3), classes, _bottleneck(32, 4))


def small_resnet(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """A small residual network for images of any size: what is trained when no model is named.

    A 3×3 convolution, then stages of one basic block each with 32, 64 and 128 filters, as in
    `resnet20`. From 41 pixels of the shorter side on, the first convolution has stride 2, so that
    large images do not take many times as long, and from 81 on a fourth stage of 256 filters
    follows. A stage whose feature map would be smaller than 3×3 is left out. The 3×3 convolutions
    of stride 1 are Winograd's.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> small_resnet(10, (64, 64, 3)).summary((64, 64, 3)).parameters
        308650
        >>> small_resnet(10, (8, 8, 1)).summary((8, 8, 1)).parameters
        77290
    """
    height, width, _ = image_shape(input_shape)
    side = min(height, width)
    stages = [32, 64, 128, *([256] if side > TALL else [])]
    stride = 2 if side > TINY else 1
    side = -(-side // stride)
    while len(stages) > 1 and -(-side // 2 ** (len(stages) - 1)) < LEAST_MAP:
        stages.pop()
    blocks = [1] * len(stages)
    stem = _normalised(stages[0], 3, stride)
    return _resnet(stem, stages, blocks, classes, _basic("winograd"))


def _stem(input_shape: tuple[int, ...] | None) -> list[Module]:
    """What stands before the first stage, by the size of the images."""
    if is_small(input_shape):
        return _normalised(64, 3, 1)
    return [*_normalised(64, 7, 2), MaxPool2d(3, stride=2, padding=1)]


def _normalised(
    filters: int, kernel_size: int, stride: int, algorithm: str = "direct", groups: int = 1
) -> list[Module]:
    """A convolution that keeps the size but for its stride, normalised, with ReLU."""
    convolution = Conv2d(
        filters, kernel_size, stride, kernel_size // 2, groups=groups, bias=False,
        algorithm=algorithm,
    )  # fmt: skip
    return [convolution, BatchNorm2d(), ReLU()]


def _basic(algorithm: str) -> Block:
    """Two 3×3 convolutions around which x is added."""

    def block(filters: int, stride: int, first: bool) -> Module:
        body = Sequential(
            *_normalised(filters, 3, stride, algorithm if stride == 1 else "direct"),
            Conv2d(filters, 3, padding=1, bias=False, algorithm=algorithm),
            BatchNorm2d(),
        )
        # The first stage keeps the size and the channels.
        return Residual(body, _projection(filters, stride) if first and stride > 1 else None)

    return block


def _bottleneck(groups: int, width: int) -> Block:
    """A 1×1, a 3×3 and a 1×1 convolution around which x is added.

    Args:
        groups: of the 3×3 convolution.
        width: filters of each group in the first stage.
    """

    def block(filters: int, stride: int, first: bool) -> Module:
        inner = filters * width // 64 * groups
        body = Sequential(
            *_normalised(inner, 1, 1),
            *_normalised(inner, 3, stride, groups=groups),
            Conv2d(4 * filters, 1, bias=False),
            BatchNorm2d(),
        )
        return Residual(body, _projection(4 * filters, stride) if first else None)

    return block


def _projection(filters: int, stride: int) -> Module:
    """What brings x to the shape of a block's result."""
    return Sequential(Conv2d(filters, 1, stride, bias=False), BatchNorm2d())


def _resnet(
    stem: Sequence[Module],
    stages: Sequence[int],
    blocks: Sequence[int],
    classes: int,
    block: Block,
) -> Sequential:
    steps = list(stem)
    for stage, (filters, count) in enumerate(zip(stages, blocks, strict=True)):
        for number in range(count):
            # Every stage but the first halves the feature map in its first block.
            stride = 2 if stage > 0 and number == 0 else 1
            steps += [block(filters, stride, number == 0), ReLU()]
    return Sequential(
        *steps, GlobalAvgPool2d(), Linear(check_count("classes", classes, most=LARGEST))
    )
