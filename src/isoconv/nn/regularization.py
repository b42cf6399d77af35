"""Dropout of elements, of channels and of whole branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import check_number
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import check_rank
from isoconv.nn.tensor import Tensor, check_tensors
from isoconv.ops import Broadcast
from isoconv.ops import Dropout as DropoutAttrs

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


# -- what is dropped together ----------------------------------------------------------------


def _drop_together(x: Tensor, rate: float, shape: tuple[int, ...]) -> Tensor:
    """The value times factors of this shape, of which each is 0 or ``1 / (1 - rate)``."""
    rate = check_number("rate", rate, least=0, below=1)
    if rate == 0 or not x.trace.training:
        return x
    samples, key, stream = x.trace.dropout_source()
    # A one for each image: nothing else is known to be finite.
    ones = x.trace.convert(samples, x.dtype) * 0 + 1
    if shape:
        ones = x.trace.add("broadcast", ones, attrs=Broadcast(shape, True, True))
    attrs = DropoutAttrs(float(rate), stream)
    return x * x.trace.add("dropout", ones, samples, key, attrs=attrs)


def _drop_channels(rank: int, x: Tensor, rate: float) -> Tensor:
    check_rank(f"dropout{rank}d", rank, x)
    return _drop_together(x, rate, x.shape[-1:])


def dropout2d(x: Tensor, rate: float = 0.5) -> Tensor:
    """In training each channel of a feature map is dropped whole with probability ``rate``.

    ``y(i, j, c) = x(i, j, c) · f(c)``, where f(c) is 0 for a dropped channel and
    ``1 / (1 - rate)`` for another; in inference ``y = x``. Neighbours in a feature map say nearly
    the same, so that single elements are no loss; whole channels are. What is kept is a function
    of (seed, epoch, sample, channel). Tompson et al. 2014, "Efficient object localization using
    convolutional networks".

    Args:
        x: ``(H, W, C)``.
        rate: from 0 to below 1.

    Returns:
        The same shape.

    Raises:
        ShapeError: another rank.
        ArgumentError: a rate outside its range.

    Example:
        >>> from isoconv.nn import Trace
        >>> dropout2d(Trace(training=True).images((14, 14, 8)), 0.25).shape
        (14, 14, 8)
    """
    return _drop_channels(2, x, rate)


@like(dropout2d, rank=1)
def dropout1d(x: Tensor, rate: float = 0.5) -> Tensor:
    """In training each channel of ``(L, C)`` is dropped whole; see `dropout2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> dropout1d(Trace(training=True).images((28, 8)), 0.25).shape
        (28, 8)
    """
    return _drop_channels(1, x, rate)


@like(dropout2d, rank=3)
def dropout3d(x: Tensor, rate: float = 0.5) -> Tensor:
    """In training each channel of ``(D, H, W, C)`` is dropped whole; see `dropout2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> dropout3d(Trace(training=True).images((4, 4, 4, 8)), 0.25).shape
        (4, 4, 4, 8)
    """
    return _drop_channels(3, x, rate)


@like(dropout)
def stochastic_depth(x: Tensor, rate: float = 0.5) -> Tensor:
    """In training the whole value of an image is dropped with probability ``rate``.

    ``y = x · f``, where f is 0 for a dropped image and ``1 / (1 - rate)`` for another; in inference
    ``y = x``. On the body of a residual block it leaves the identity alone of the blocks that it
    drops. What is kept is a function of (seed, epoch, sample). Huang et al. 2016, "Deep networks
    with stochastic depth".

    Example:
        >>> from isoconv.nn import Trace
        >>> stochastic_depth(Trace(training=True).images((14, 14, 8)), 0.25).shape
        (14, 14, 8)
    """
    check_tensors("stochastic_depth", x=x)
    return _drop_together(x, rate, (1,) * len(x.shape))


@dataclass(eq=False, repr=False)
class _ChannelDropout(Module):
    rank: ClassVar[int]

    rate: float = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to the same shape."""
        check_rank(type(self).__name__, self.rank, x)
        return _drop_channels(self.rank, x, self.rate)


@like(Dropout)
class Dropout2d(_ChannelDropout):
    """`dropout2d` as a layer: drops whole channels in training.

    Args:
        rate: probability of dropping a channel, from 0 to below 1.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H, W, C)``, the same.

    Source:
        Tompson et al. 2014, "Efficient object localization using convolutional networks".

    Raises:
        ShapeError: when traced: an input of another rank.
        ArgumentError: when traced: a rate outside its range.
    """

    rank = 2


@like(Dropout2d, rank=1)
class Dropout1d(_ChannelDropout):
    """`dropout1d` as a layer: drops whole channels in training; see `Dropout2d`."""

    rank = 1


@like(Dropout2d, rank=3)
class Dropout3d(_ChannelDropout):
    """`dropout3d` as a layer: drops whole channels in training; see `Dropout2d`."""

    rank = 3


@like(Dropout)
@dataclass(eq=False, repr=False)
class StochasticDepth(Module):
    """`stochastic_depth` as a layer: drops all of an image's value in training.

    Args:
        rate: probability of dropping an image, from 0 to below 1.

    Source:
        Huang et al. 2016, "Deep networks with stochastic depth".

    Example:
        >>> from isoconv import nn
        >>> nn.Residual(nn.Sequential(nn.Conv2d(8, 3, padding=1), nn.StochasticDepth(0.2))).body[1]
        StochasticDepth(rate=0.2)
    """

    rate: float = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return stochastic_depth(x, self.rate)
