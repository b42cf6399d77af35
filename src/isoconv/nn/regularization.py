"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import check_number
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, check_tensors
from isoconv.ops import Dropout as DropoutAttrs

__all__ = ["Dropout", "dropout"]
__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def dropout(x: Tensor, rate: float = 0.5) -> Tensor:
    """In training each element is dropped with probability ``rate``, the rest is scaled up.

    ``y = x / (1 - rate)`` where kept, else 0; in inference ``y = x``. What is kept is a function of
    (seed, epoch, sample, element), whichever shard or thread the image is in. Srivastava et al.
    2014, "Dropout".

    Args:
        x: any shape.
        rate: from 0 to below 1.

    Returns:
        The same shape.

    Raises:
        ArgumentError: a rate outside its range.

    Example:
        >>> from isoconv.nn import Trace
        >>> dropout(Trace(training=True).images((64,)), 0.25).shape
        (64,)
    """
    check_tensors("dropout", x=x)
    rate = check_number("rate", rate, least=0, below=1)
    if rate == 0 or not x.trace.training:
        return x
    samples, key, stream = x.trace.dropout_source()
    return x.trace.add("dropout", x, samples, key, attrs=DropoutAttrs(float(rate), stream))


@dataclass(eq=False, repr=False)
class Dropout(Module):
    """`dropout` as a layer: drops in training, passes everything in inference.

    Args:
        rate: probability of dropping an element, from 0 to below 1.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Raises:
        ArgumentError: when traced: a rate outside its range.

    Example:
        >>> from isoconv import nn
        >>> nn.Dropout(0.25)
        Dropout(rate=0.25)
    """

    rate: float = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return dropout(x, self.rate)
