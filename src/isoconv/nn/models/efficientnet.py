"""EfficientNet-B0, and EfficientNet-Lite0 for small machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isoconv.checks import LARGEST, check_count, check_flag, check_number
from isoconv.nn.activations import SiLU
from isoconv.nn.combining import Residual, Sequential
from isoconv.nn.convolution import Conv2d, DepthwiseConv2d
from isoconv.nn.excitation import SqueezeExcitation
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm2d
from isoconv.nn.piecewise import ReLU6
from isoconv.nn.regularization import Dropout, StochasticDepth
from isoconv.nn.settings import PaddingSetting, is_small

__public__ = {"isoconv.nn.models": ["*"]}

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
BLOCKS = 16
STEM, HEAD = 32, 1280
LEFT_OUT = 0.2
"""Probability with which a block behind the last would be left out in training; that of the n-th of
the 16 is n/16 of it."""


def efficientnet_b0(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
    *,
    eps: float = 1e-5,
    same: bool = False,
) -> Sequential:
    """Tan and Le 2019, "EfficientNet: rethinking model scaling", table 1.

    Blocks of a 1×1 convolution that widens, a depthwise one of 3×3 or 5×5, squeeze-and-excitation
    and a 1×1 convolution that narrows, with SiLU, and with a residual connection where the shape
    stays; in training a block is now and then left out. Images of up to 64×64 take the first two
    strides of 2 as 1.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        eps: added to the variances of batch normalisation: PyTorch's constant; the authors' is
            1e-3.
        same: pad as TensorFlow does, the odd zero behind, as its authors do, in place of both sides
            alike, as torchvision does.

    Raises:
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> efficientnet_b0(1000).summary((224, 224, 3)).parameters
        5288548
    """
    kind = _Kind(SiLU, eps, 0.1, same, excited=True)
    return _efficientnet(kind, classes, input_shape)


def efficientnet_lite0(
    classes: int = 10,
    input_shape: tuple[int, ...] | None = None,
    *,
    eps: float = 1e-3,
    same: bool = True,
) -> Sequential:
    """EfficientNet-Lite0, 2020: `efficientnet_b0` for small machines, by its authors.

    No squeeze-and-excitation, ReLU6 in place of SiLU.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.
        eps: added to the variances of batch normalisation.
        same: pad as TensorFlow does, the odd zero behind, in place of both sides alike.

    Raises:
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> efficientnet_lite0(1000).summary((224, 224, 3)).parameters
        4652008
    """
    kind = _Kind(ReLU6, eps, 0.01, same, excited=False)
    return _efficientnet(kind, classes, input_shape)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the two networks do not share.

    Attributes:
        activation: behind each normalisation but a block's last.
        eps: added to variances.
        momentum: share of the newest statistics in those of batch normalisation.
        same: whether padding is TensorFlow's.
        excited: whether channels are weighed.
    """

    activation: Callable[[], Module]
    eps: float
    momentum: float
    same: bool
    excited: bool

    def padding(self, kernel: int) -> PaddingSetting:
        """Of a convolution with this kernel."""
        return "same" if self.same else kernel // 2

    def norm(self) -> Module:
        """What stands behind each convolution."""
        return BatchNorm2d(eps=self.eps, momentum=self.momentum)

    def normalised(self, convolution: Module) -> list[Module]:
        """A convolution with what follows it."""
        return [convolution, self.norm(), self.activation()]


def _efficientnet(kind: _Kind, classes: int, input_shape: tuple[int, ...] | None) -> Sequential:
    check_number("eps", kind.eps, least=0)
    check_flag("same", kind.same)
    small = is_small(input_shape)
    stem = Conv2d(STEM, 3, 1 if small else 2, kind.padding(3), bias=False)
    steps = kind.normalised(stem)
    channels, place = STEM, 0
    for stage, (expansion, kernel, stride, filters, blocks) in enumerate(STAGES):
        for number in range(blocks):
            step = 1 if number > 0 or (small and stage == 1) else stride
            body = _block(kind, channels, expansion, kernel, filters, step)
            if step == 1 and channels == filters:
                left_out = StochasticDepth(LEFT_OUT * place / BLOCKS)
                steps.append(Residual(Sequential(*body, left_out)))
            else:
                steps.append(Sequential(*body))
            channels, place = filters, place + 1
    steps += kind.normalised(Conv2d(HEAD, 1, bias=False))
    return Sequential(
        *steps,
        GlobalAvgPool2d(),
        Dropout(0.2),
        Linear(check_count("classes", classes, most=LARGEST)),
    )


def _block(
    kind: _Kind, channels: int, expansion: int, kernel: int, filters: int, stride: int
) -> list[Module]:
    """An inverted residual; its last convolution is linear."""
    wide = kind.normalised(Conv2d(channels * expansion, 1, bias=False)) if expansion > 1 else []
    deep = DepthwiseConv2d(kernel, stride, kind.padding(kernel), bias=False)
    # A quarter of the channels that the block reads.
    excited = [SqueezeExcitation(channels // 4, SiLU())] if kind.excited else []
    return [
        *wide,
        *kind.normalised(deep),
        *excited,
        Conv2d(filters, 1, bias=False),
        kind.norm(),
    ]
