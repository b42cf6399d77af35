"""SqueezeNet 1.0 and 1.1."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.global_pooling import GlobalAvgPool2d
from isoconv.nn.module import Module
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.regularization import Dropout
from isoconv.nn.settings import is_small

__public__ = {"isoconv.nn.models": ["*"]}

FIRES = (16, 16, 32, 32, 48, 48, 64, 64)
"""Filters that squeeze; each of the two kinds that expand has four times as many."""


def squeezenet1_0(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", table 1.

    Eight fire modules: a 1×1 convolution that squeezes the channels, then 1×1 and 3×3 ones side by
    side that expand them; a 1×1 convolution gives the classes. Images of up to 64×64 start with a
    3×3 convolution of stride 1 and no pooling.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> squeezenet1_0(1000).summary((224, 224, 3)).parameters
        1248424
    """
    return _squeezenet(96, 7, (3, 7), classes, input_shape)


def squeezenet1_1(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """The authors' second version of `squeezenet1_0`, with less than half of its work.

    64 filters of 3×3 in place of 96 of 7×7, and the feature maps are halved earlier.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``; None for ``(224, 224, 3)``.

    Example:
        >>> squeezenet1_1(1000).summary((224, 224, 3)).parameters
        1235496
    """
    return _squeezenet(64, 3, (2, 4), classes, input_shape)


def _squeezenet(
    filters: int,
    kernel_size: int,
    pooled: Sequence[int],
    classes: int,
    input_shape: tuple[int, ...] | None,
) -> Sequential:
    """A SqueezeNet by its first convolution and the fire modules that a maximum follows."""
    if is_small(input_shape):
        steps: list[Module] = [Conv2d(filters, 3, padding=1), ReLU()]
    else:
        steps = [Conv2d(filters, kernel_size, 2), ReLU(), _halved()]
    for number, squeezed in enumerate(FIRES, 1):
        steps.append(_fire(squeezed))
        steps += [_halved()] if number in pooled else []
    return Sequential(
        *steps,
        Dropout(0.5),
        Conv2d(check_count("classes", classes, most=LARGEST), 1),
        ReLU(),
        GlobalAvgPool2d(),
    )


def _halved() -> Module:
    return MaxPool2d(3, stride=2, ceil_mode=True)


def _fire(squeezed: int) -> Module:
    return Sequential(
        Conv2d(squeezed, 1),
        ReLU(),
        Branches(
            Sequential(Conv2d(4 * squeezed, 1), ReLU()),
            Sequential(Conv2d(4 * squeezed, 3, padding=1), ReLU()),
        ),
    )
