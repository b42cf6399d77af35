"""MobileNetV3, large and small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isoconv.checks import LARGEST, check_count, check_flag, check_number
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.excitation import SqueezeExcitation
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.piecewise import Hardsigmoid, Hardswish
from isoconv.nn.regularization import Dropout
from isoconv.nn.settings import PaddingSetting, is_small

__public__ = {"isoconv.nn.models": ["mobilenet*"]}

STEM = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A row of the paper's tables.

    Attributes:
        kernel: of the depthwise convolution.
        wide: channels between the two 1×1 convolutions.
        filters: that come out.
        excited: whether channels are weighed.
        hard: hard swish in place of ReLU.
        stride: of the depthwise convolution.
    """

    kernel: int
    wide: int
    filters: int
    excited: bool
    hard: bool
    stride: int


LARGE = (
    # table 1
    Block(3, 16, 16, False, False, 1),
    Block(3, 64, 24, False, False, 2),
    Block(3, 72, 24, False, False, 1),
    Block(5, 72, 40, True, False, 2),
    Block(5, 120, 40, True, False, 1),
    Block(5, 120, 40, True, False, 1),
    Block(3, 240, 80, False, True, 2),
    Block(3, 200, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 480, 112, True, True, 1),
    Block(3, 672, 112, True, True, 1),
    Block(5, 672, 160, True, True, 2),
    Block(5, 960, 160, True, True, 1),
    Block(5, 960, 160, True, True, 1),
)
LITTLE = (
    # table 2
    Block(3, 16, 16, True, False, 2),
    Block(3, 72, 24, False, False, 2),
    Block(3, 88, 24, False, False, 1),
    Block(5, 96, 40, True, True, 2),
    Block(5, 240, 40, True, True, 1),
    Block(5, 240, 40, True, True, 1),
    Block(5, 120, 48, True, True, 1),
    Block(5, 144, 48, True, True, 1),
    Block(5, 288, 96, True, True, 2),
    Block(5, 576, 96, True, True, 1),
    Block(5, 576, 96, True, True, 1),
)


def mobilenet_v3_large(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
    *,
    eps: float = 1e-3,
    same: bool = False,
) -> Sequential:
    """Howard et al. 2019, "Searching for MobileNetV3", table 1.

    Blocks of a 1×1 convolution that widens, a depthwise one, squeeze-and-excitation in some and a
    1×1 convolution that narrows, with ReLU first and hard swish later, and with a residual
    connection where the shape stays. Images of up to 64×64 take the first two strides of 2 as 1.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        eps: added to the variances of batch normalisation: torchvision's constant; timm's is 1e-5.
        same: pad as TensorFlow does, the odd zero behind, in place of both sides alike.

    Raises:
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> mobilenet_v3_large(1000).summary((224, 224, 3)).parameters
        5483032
    """
    return _mobilenet_v3(_Kind(LARGE, 1280, eps, same), classes, input_shape)


def mobilenet_v3_small(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
    *,
    eps: float = 1e-3,
    same: bool = False,
) -> Sequential:
    """Howard et al. 2019, "Searching for MobileNetV3", table 2; see `mobilenet_v3_large`.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        eps: added to the variances of batch normalisation: torchvision's constant; timm's is 1e-5.
        same: pad as TensorFlow does, the odd zero behind, in place of both sides alike.

    Raises:
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> mobilenet_v3_small(1000).summary((224, 224, 3)).parameters
        2542856
    """
    return _mobilenet_v3(_Kind(LITTLE, 1024, eps, same), classes, input_shape)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What networks do not share.

    Attributes:
        blocks: rows of the paper's table.
        features: outputs of the last layer but one.
        eps: added to variances.
        same: whether padding is TensorFlow's.
    """

    blocks: Sequence[Block]
    features: int
    eps: float
    same: bool

    def padding(self, kernel: int) -> PaddingSetting:
        """Of a convolution with this kernel."""
        return "same" if self.same else kernel // 2

    def normalised(self, convolution: Module, *activation: Module) -> list[Module]:
        """A convolution with what follows it."""
        return [convolution, BatchNorm2d(eps=self.eps, momentum=0.01), *activation]


def _mobilenet_v3(kind: _Kind, classes: int, input_shape: tuple[int, ...] | None) -> Sequential:
    check_number("eps", kind.eps, least=0)
    check_flag("same", kind.same)
    halvings = 2 if is_small(input_shape) else 0
    stem = Conv2d(STEM, 3, 1 if halvings else 2, kind.padding(3), bias=False)
    steps = kind.normalised(stem, Hardswish())
    channels, halvings = STEM, max(halvings - 1, 0)
    for block in kind.blocks:
        stride = block.stride
        if stride > 1 and halvings:
            stride, halvings = 1, halvings - 1
        body = _body(kind, block, channels, stride)
        kept = stride == 1 and channels == block.filters
        steps.append(Residual(body) if kept else body)
        channels = block.filters
    steps += kind.normalised(Conv2d(6 * channels, 1, bias=False), Hardswish())
    return Sequential(
        *steps,
        GlobalAvgPool2d(),
        Linear(kind.features),
        Hardswish(),
        Dropout(0.2),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _body(kind: _Kind, block: Block, channels: int, stride: int) -> Sequential:
    """An inverted residual; its last convolution is linear."""
    activation = Hardswish if block.hard else ReLU
    wide = kind.normalised(Conv2d(block.wide, 1, bias=False), activation())
    deep = DepthwiseConv2d(block.kernel, stride, kind.padding(block.kernel), bias=False)
    squeezed = _eighths(block.wide / 4)
    return Sequential(
        *(wide if block.wide != channels else []),
        *kind.normalised(deep, activation()),
        *([SqueezeExcitation(squeezed, ReLU(), Hardsigmoid())] if block.excited else []),
        *kind.normalised(Conv2d(block.filters, 1, bias=False)),
    )


def _eighths(count: float) -> int:
    """The multiple of 8 that is nearest, but none that is less than nine tenths of it.

    Example:
        >>> _eighths(18), _eighths(60)
        (24, 64)
    """
    near = max(8, int(count + 4) // 8 * 8)
    return near + 8 if near < 0.9 * count else near
