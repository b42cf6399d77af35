"""Layer scale: a learned factor for each channel of what a block adds."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import check_number
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {"isoconv.nn": ["LayerScale"]}


@dataclass(eq=False, repr=False)
class LayerScale(Module):
    """``y(..., c) = x(..., c) · weight(c)``: channel by channel a learned factor.

    Args:
        initial: what each factor is at first.

    Input shape:
        ``(..., C)``, float32.

    Output shape:
        ``(..., C)``, the same.

    Source:
        Touvron et al. 2021, "Going deeper with image transformers".

    Raises:
        ShapeError: when traced: an input without channels.
        ArgumentError: when traced: an initial value that is no finite number.

    Example:
        >>> from isoconv import nn
        >>> nn.LayerScale(0.5).build((8, 8, 3)).weights["weight"]
        array([0.5, 0.5, 0.5], dtype=float32)
    """

    initial: float = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        check_tensors("LayerScale", x=x)
        if not x.shape:
            text = f"LayerScale needs an axis of channels; got shape {x.shape}"
            raise ShapeError(text, argument="x", value=x)
        initial = float(check_number("initial", self.initial))
        return x * x.trace.parameter(self, "weight", x.shape[-1:], initial)
