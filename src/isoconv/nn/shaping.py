"""Layers that move values and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import check_count, entries, refusal
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.settings import PaddingSetting, axis_of, check_rank, padding_pairs
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Padding, Slice

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def flatten(x: Tensor) -> Tensor:
    """All elements of an image in row-major order (channels fastest).

    Args:
        x: any shape.

    Returns:
        ``(H · W · C,)``.

    Example:
        >>> from isoconv.nn import Trace
        >>> flatten(Trace().images((7, 7, 64))).shape
        (3136,)
    """
    check_tensors("flatten", x=x)
    return x.reshape(-1)


def zero_pad(x: Tensor, padding: PaddingSetting) -> Tensor:
    """Zeros around a feature map.

    Args:
        x: ``(spatial..., C)``.
        padding: zeros: one number, one per axis, or a pair (before, after) per axis.

    Returns:
        ``(before + spatial + after..., C)``.

    Raises:
        ArgumentError: a negative padding or the wrong number of entries.

    Example:
        >>> from isoconv.nn import Trace
        >>> zero_pad(Trace().images((28, 28, 3)), ((0, 1), (2, 2))).shape
        (29, 32, 3)
    """
    check_tensors("zero_pad", x=x)
    if isinstance(padding, str):
        raise refusal("padding", "be given in numbers", padding)
    sides = x.shape[:-1]
    ones = (1,) * len(sides)
    return apply("pad", x=x, attrs=Padding(padding_pairs(padding, sides, ones, ones, ones)))


def concatenate(*parts: Tensor, axis: int = -1) -> Tensor:
    """Values side by side on one axis, the last (channels) unless another is named.

    Args:
        *parts: with the same sides on all other axes; weights stand beside each image.
        axis: which, without that of the images; negative ones are counted from the end.

    Returns:
        The shape of the parts, with the sum of their sides on this axis.

    Raises:
        ShapeError: other axes differ.
        ArgumentError: nothing is given, or an axis that there is not.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((8, 8, 3))
        >>> concatenate(x, x).shape, concatenate(x, x, axis=0).shape
        ((8, 8, 6), (16, 8, 3))
    """
    named = entries("parts", parts)
    check_tensors("concatenate", **named)
    if len({part.batched for part in parts}) > 1:
        parts = tuple(part if part.batched else part.for_each_image() for part in parts)
        named = entries("parts", parts)
    first = parts[0].shape
    place = axis_of("axis", axis, len(first)) if first else 0
    if len(parts) == 1:
        return parts[0]
    if place >= len(first) - 1 or any(len(part.shape) != len(first) for part in parts):
        return apply("concat", **named)
    # In row-major order this axis and those behind it are one.
    for name, part in named.items():
        if part.shape[place + 1 :] != first[place + 1 :]:
            rule = f"have the sides of the first, {first}, on all axes but one"
            raise refusal(name, rule, part, ShapeError, got=f"{part.shape}")
    flat = {name: part.reshape(*part.shape[:place], -1) for name, part in named.items()}
    return apply("concat", **flat).reshape(*first[:place], -1, *first[place + 1 :])


def slice_channels(x: Tensor, start: int, stop: int) -> Tensor:
    """Channels ``start`` to below ``stop``.

    Args:
        x: ``(..., C)``.
        start: first channel, from 0.
        stop: one past the last, at most C.

    Returns:
        ``(..., stop - start)``.

    Raises:
        ShapeError: the range does not lie within the channels.

    Example:
        >>> from isoconv.nn import Trace
        >>> slice_channels(Trace().images((8, 8, 3)), 0, 2).shape
        (8, 8, 2)
    """
    channels = Slice(check_count("start", start, least=0), check_count("stop", stop))
    return apply("slice_channels", x=x, attrs=channels)


class Flatten(Module):
    """`flatten` as a layer: all elements of an image in row-major order (channels fastest).

    Input shape:
        ``(..., C)``, any shape, float32.

    Output shape:
        ``(... · C,)``: one axis of all elements.

    Source:
        No formula: values are moved, none is computed.

    Example:
        >>> from isoconv import nn
        >>> nn.Flatten().summary((8, 8, 3)).rows[0].output
        (192,)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return flatten(x)


@dataclass(eq=False, repr=False)
class _ZeroPad(Module):
    rank: ClassVar[int]

    padding: PaddingSetting

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(before + spatial + after..., C)``."""
        check_rank(type(self).__name__, self.rank, x)
        return zero_pad(x, self.padding)


class ZeroPad1d(_ZeroPad):
    """`zero_pad` of ``(L, C)`` as a layer; see `ZeroPad2d`.

    Input shape:
        ``(L, C)``, float32.

    Output shape:
        ``(L', C)``, ``L' = before + L + after``.

    Source:
        No formula: values are moved, none is computed.

    Example:
        >>> from isoconv import nn
        >>> nn.ZeroPad1d(2).summary((28, 3)).rows[0].output
        (32, 3)
    """

    rank = 1


class ZeroPad2d(_ZeroPad):
    """`zero_pad` of ``(H, W, C)`` as a layer.

    Args:
        padding: zeros: one number, one per axis, or a pair (before, after) per axis.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C)``, ``H' = before + H + after``.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: a negative padding or the wrong number of entries.

    Example:
        >>> from isoconv import nn
        >>> nn.ZeroPad2d(2).summary((28, 28, 3)).rows[0].output
        (32, 32, 3)
    """

    rank = 2


class ZeroPad3d(_ZeroPad):
    """`zero_pad` of ``(D, H, W, C)`` as a layer; see `ZeroPad2d`.

    Input shape:
        ``(D, H, W, C)``, float32.

    Output shape:
        ``(D', H', W', C)``, ``D' = before + D + after``.

    Source:
        No formula: values are moved, none is computed.

    Example:
        >>> from isoconv import nn
        >>> nn.ZeroPad3d(2).summary((8, 8, 8, 3)).rows[0].output
        (12, 12, 12, 3)
    """

    rank = 3
