"""Channels and positions exchanged: pixel shuffle and unshuffle, channel shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isoconv.checks import check_choice, check_count, refusal
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.moving import transpose
from isoconv.nn.settings import PerAxis, per_axis
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {
    "isoconv.nn": ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"],
    "isoconv.nn.functional": ["[a-z]*"],
}

PixelOrder = Literal["CRD", "DCR"]
"""Which part of a channel's number runs slowest: that of the result's channel, or the place in its
block; ONNX's names (column, row, depth)."""


def _factors(x: Tensor, factor: PerAxis) -> tuple[int, ...]:
    """One factor for each spatial axis."""
    if len(x.shape) < 2:
        rule = "have spatial axes before that of the channels"
        raise refusal("x", rule, x, ShapeError, got=f"shape {x.shape}")
    return per_axis("factor", factor, len(x.shape) - 1)


def pixel_shuffle(x: Tensor, factor: PerAxis, order: PixelOrder = "CRD") -> Tensor:
    """Channels become blocks of positions: ``Y(i·r + a, j·r + b, c) = X(i, j, channel(c, a, b))``.

    ``channel(c, a, b)`` is ``(c·r + a)·r + b`` in the order "CRD", that of `torch.nn.PixelShuffle`,
    and ``(a·r + b)·C + c`` in the order "DCR", of C channels of the result. Shi et al. 2016,
    "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network".

    Args:
        x: ``(H, W, r·r·C)``, or with another number of spatial axes.
        factor: how much larger r the result is, one number or one per axis.
        order: of the channels, "CRD" or "DCR".

    Returns:
        ``(r·H, r·W, C)``.

    Raises:
        ArgumentError: a factor below 1, or another order.
        ShapeError: no spatial axis, or channels that are no multiple of ``r·r``.

    Example:
        >>> from isoconv.nn import Trace
        >>> pixel_shuffle(Trace().images((14, 14, 12)), 2).shape
        (28, 28, 3)
    """
    check_tensors("pixel_shuffle", x=x)
    factors = _factors(x, factor)
    check_choice("order", order, ("CRD", "DCR"))
    *sides, channels = x.shape
    block = 1
    for each in factors:
        block *= each
    if channels % block:
        rule = f"make blocks out of {channels} channels, a multiple of {block}"
        raise refusal("factor", rule, factor, ShapeError)
    count, rank = channels // block, len(sides)
    parts = (count, *factors) if order == "CRD" else (*factors, count)
    first, depth = (rank + 1, rank) if order == "CRD" else (rank, 2 * rank)
    moved = [axis for i in range(rank) for axis in (i, first + i)]
    y = transpose(x.reshape(*sides, *parts), (*moved, depth))
    return y.reshape(*(side * r for side, r in zip(sides, factors, strict=True)), count)


def pixel_unshuffle(x: Tensor, factor: PerAxis, order: PixelOrder = "CRD") -> Tensor:
    """Blocks of positions become channels: `pixel_shuffle` backwards.

    Args:
        x: ``(r·H, r·W, C)``, or with another number of spatial axes.
        factor: how much smaller r the result is, one number or one per axis.
        order: of the channels, "CRD", that of `torch.nn.PixelUnshuffle`, or "DCR".

    Returns:
        ``(H, W, r·r·C)``.

    Raises:
        ArgumentError: a factor below 1, or another order.
        ShapeError: no spatial axis, or sides that are no multiples of r.

    Example:
        >>> from isoconv.nn import Trace
        >>> pixel_unshuffle(Trace().images((28, 28, 3)), 2).shape
        (14, 14, 12)
    """
    check_tensors("pixel_unshuffle", x=x)
    factors = _factors(x, factor)
    check_choice("order", order, ("CRD", "DCR"))
    *sides, channels = x.shape
    if any(side % r for side, r in zip(sides, factors, strict=True)):
        raise refusal("factor", f"divide the sides {tuple(sides)}", factor, ShapeError)
    small = [side // r for side, r in zip(sides, factors, strict=True)]
    blocks = [size for pair in zip(small, factors, strict=True) for size in pair]
    rank = len(sides)
    outer, inner = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    depth = (2 * rank, *inner) if order == "CRD" else (*inner, 2 * rank)
    return transpose(x.reshape(*blocks, channels), (*outer, *depth)).reshape(*small, -1)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels of all groups in turn: ``Y(..., k·G + g) = X(..., g·(C/G) + k)``.

    Zhang et al. 2017, "ShuffleNet".

    Args:
        x: ``(..., C)``.
        groups: how many groups G of channels lie side by side.

    Returns:
        ``(..., C)``.

    Raises:
        ArgumentError: groups below 1.
        ShapeError: channels that are no multiple of the groups.

    Example:
        >>> from isoconv.nn import Trace
        >>> channel_shuffle(Trace().images((28, 28, 6)), 2).shape
        (28, 28, 6)
    """
    check_tensors("channel_shuffle", x=x)
    count = check_count("groups", groups)
    if not x.shape or x.shape[-1] % count:
        rule = f"divide the channels of shape {x.shape}"
        raise refusal("groups", rule, groups, ShapeError)
    *sides, channels = x.shape
    rank = len(sides)
    y = transpose(x.reshape(*sides, count, channels // count), (*range(rank), rank + 1, rank))
    return y.reshape(*sides, channels)


@dataclass(eq=False, repr=False)
class PixelShuffle(Module):
    """`pixel_shuffle` as a layer: channels become blocks of positions.

    Args:
        factor: how much larger the result is, one number or one per spatial axis.
        order: of the channels: "CRD", those of one channel of the result side by side; "DCR",
            those of one place in a block.

    Input shape:
        ``(H, W, C)``, or with another number of spatial axes, float32; C a multiple of the
        factor for each axis.

    Output shape:
        ``(H', W', C')``, ``H' = factor · H``, ``C' = C / factor²``.

    Source:
        Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
        sub-pixel convolutional neural network".

    Raises:
        ShapeError: when traced: channels that are no multiple.

    Example:
        >>> from isoconv import nn
        >>> nn.PixelShuffle(2).summary((14, 14, 12)).rows[0].output
        (28, 28, 3)
    """

    factor: PerAxis
    order: PixelOrder = "CRD"

    def forward(self, x: Tensor) -> Tensor:
        """``(H, W, C)`` to ``(H', W', C')``."""
        return pixel_shuffle(x, self.factor, self.order)


@dataclass(eq=False, repr=False)
class PixelUnshuffle(Module):
    """`pixel_unshuffle` as a layer: blocks of positions become channels.

    Args:
        factor: how much smaller the result is, one number or one per spatial axis.
        order: of the channels: "CRD", those of one channel of the input side by side; "DCR",
            those of one place in a block.

    Input shape:
        ``(H, W, C)``, or with another number of spatial axes, float32; sides that are multiples
        of the factor.

    Output shape:
        ``(H', W', C')``, ``H' = H / factor``, ``C' = C · factor²``.

    Source:
        Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
        sub-pixel convolutional neural network".

    Raises:
        ShapeError: when traced: sides that are no multiples.

    Example:
        >>> from isoconv import nn
        >>> nn.PixelUnshuffle(2).summary((28, 28, 3)).rows[0].output
        (14, 14, 12)
    """

    factor: PerAxis
    order: PixelOrder = "CRD"

    def forward(self, x: Tensor) -> Tensor:
        """``(H, W, C)`` to ``(H', W', C')``."""
        return pixel_unshuffle(x, self.factor, self.order)


@dataclass(eq=False, repr=False)
class ChannelShuffle(Module):
    """`channel_shuffle` as a layer: channels of all groups in turn.

    Args:
        groups: how many groups of channels lie side by side.

    Input shape:
        ``(..., C)``, float32; C a multiple of the groups.

    Output shape:
        ``(..., C)``, the same.

    Source:
        Zhang et al. 2017, "ShuffleNet: an extremely efficient convolutional neural network for
        mobile devices".

    Raises:
        ShapeError: when traced: channels that are no multiple.

    Example:
        >>> from isoconv import nn
        >>> nn.ChannelShuffle(2)
        ChannelShuffle(groups=2)
    """

    groups: int

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        return channel_shuffle(x, self.groups)
