"""Squeeze-and-excitation: factors for the channels of a feature map, made of their averages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from isoconv.checks import LARGEST, check_count, refusal, shown
from isoconv.errors import ArgumentError, ShapeError
from isoconv.nn.activations import ReLU, Sigmoid
from isoconv.nn.global_pooling import global_avg_pool
from isoconv.nn.linear import linear
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {"isoconv.nn": ["[A-Z]*"]}

Function = Callable[[Tensor], Tensor]


@dataclass(eq=False, repr=False)
class SqueezeExcitation(Module):
    """``y(i, j, c) = x(i, j, c) · s(c)``: each channel times a factor that all of them decide.

    ``s = gate(activation(m · reduce_weight + reduce_bias) · expand_weight + expand_bias)``, where
    m(c) is channel c's average over all positions.

    Args:
        channels_reduced: how many numbers the averages are brought to, mostly a quarter of the
            channels or fewer.
        activation: of these, a layer or a function.
        gate: what makes factors of the results, a layer or a function.

    Input shape:
        ``(..., C)``, one position or more, float32.

    Output shape:
        ``(..., C)``, the same.

    Source:
        Hu et al. 2017, "Squeeze-and-excitation networks".

    Raises:
        ArgumentError: an activation or a gate that cannot be called, or when traced gives no
            tensor; when traced: fewer than one reduced channel.
        ShapeError: when traced: an activation or a gate gives another shape.

    Example:
        >>> from isoconv import nn
        >>> layer = nn.SqueezeExcitation(4, activation=nn.SiLU()).build((14, 14, 16))
        >>> {name: array.shape for name, array in layer.weights.items()}["expand_weight"]
        (4, 16)
    """

    channels_reduced: int
    activation: Function = field(default_factory=ReLU)
    gate: Function = field(default_factory=Sigmoid)

    def __post_init__(self) -> None:
        for name, part in (("activation", self.activation), ("gate", self.gate)):
            if not callable(part) or isinstance(part, type):
                raise refusal(name, "be a layer or a function", part)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        check_tensors("SqueezeExcitation", x=x)
        reduced = check_count("channels_reduced", self.channels_reduced, most=LARGEST)
        factors = global_avg_pool(x)
        ways = (("reduce", reduced, "activation"), ("expand", x.shape[-1], "gate"))
        for name, width, after in ways:
            weight = x.trace.parameter(self, f"{name}_weight", (factors.shape[-1], width))
            bias = x.trace.parameter(self, f"{name}_bias", (width,), "zeros")
            factors = _passed(self, after, linear(factors, weight, bias))
        return x * factors


def _passed(layer: SqueezeExcitation, name: str, x: Tensor) -> Tensor:
    """A value through one of a layer's functions, which keeps its shape."""
    function = getattr(layer, name)
    y = function(x)
    if not isinstance(y, Tensor):
        text = f"{name} must give back a Tensor; got {shown(y)}"
        raise ArgumentError(text, argument=name, value=function)
    if y.shape != x.shape:
        text = f"{name} must keep the shape {x.shape}; got {y.shape}"
        raise ShapeError(text, argument=name, value=function)
    return y
