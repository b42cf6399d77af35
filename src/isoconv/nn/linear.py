"""The linear (fully connected) layer."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import LARGEST, check_count
from isoconv.nn.module import Module
from isoconv.nn.settings import check_rank, learned_bias, with_bias
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import ConvGeometry

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y(o) = bias(o) + Σ_c x(c) · weight(c, o)``: a convolution with nowhere to slide.

    Args:
        x: ``(C,)``; one without an image axis, such as a state that a network begins with, is the
            same for each image.
        weight: ``(C, O)``.
        bias: ``(O,)`` or None.

    Returns:
        ``(O,)``.

    Raises:
        ShapeError: an input that is not flat, or channels that differ.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((12,))
        >>> linear(x, x.trace.input("parameter", "w", (12, 5))).shape
        (5,)
    """
    check_rank("linear", 0, x)
    x = x.for_each_image()
    return with_bias("linear", apply("conv", x=x, weight=weight, attrs=ConvGeometry.linear()), bias)


@dataclass(eq=False, repr=False)
class Linear(Module):
    """Every input meets every output: `linear` with its weight and bias.

    ``y(o) = bias(o) + Σ_c x(c) · weight(c, o)``.

    Args:
        features: number of outputs.
        bias: whether a learned number is added to each output.

    Input shape:
        ``(C,)``, float32.

    Output shape:
        ``(features,)``.

    Source:
        Rumelhart et al. 1986, "Learning representations by back-propagating errors".

    Raises:
        ShapeError: when traced: the input is not flat.
        ArgumentError: when traced: fewer than one feature.

    Example:
        >>> from isoconv import nn
        >>> nn.Linear(10).build((64,)).weights["weight"].shape
        (64, 10)
    """

    width = "features"

    features: int
    bias: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """``(C,)`` to ``(features,)``."""
        check_rank(type(self).__name__, 0, x)
        features = check_count("features", self.features, most=LARGEST)
        weight = x.trace.parameter(self, "weight", (x.shape[-1], features))
        bias = learned_bias(self, x, features, self.bias)
        return linear(x, weight, bias)
