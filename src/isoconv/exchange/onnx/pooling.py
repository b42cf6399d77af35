"""Poolings of ONNX as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.convolution import (
    channels_last,
    padding_of,
    padding_setting,
    per_axis,
)
from isoconv.exchange.onnx.layouts import Layout
from isoconv.nn import (
    Add,
    Apply,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Pad,
    Reduce,
    functional,
)
from isoconv.ops.geometry import output_size

if TYPE_CHECKING:
    from isoconv.nn import Module

LARGEST_PLACE = 2**24
"""Below which float32 has all whole numbers."""
_MAXIMA = (MaxPool1d, MaxPool2d, MaxPool3d)
_AVERAGES = (AvgPool1d, AvgPool2d, AvgPool3d)
_NORMS = (LPPool1d, LPPool2d, LPPool3d)
_GLOBAL: dict[str, Sequence[type[Module]]] = {
    "GlobalAveragePool": (GlobalAvgPool1d, GlobalAvgPool2d, GlobalAvgPool3d),
    "GlobalMaxPool": (GlobalMaxPool1d, GlobalMaxPool2d, GlobalMaxPool3d),
}


def _ranked(use: Use) -> tuple[Value, int]:
    x = use.maps(use.value())
    rank = len(x.sizes) - 2
    if rank > 3:
        raise NodeError(f"it must slide along 1 to 3 axes; got {rank}")
    return x, rank


@converts("MaxPool")
def _max_pool(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    dilations = use.counts("dilations", rank, 1)
    y = _windows(use, x, rank, dilations, _MAXIMA[rank - 1])
    if not use.wanted(1):
        return [y]
    places = _windows(use, x, rank, dilations, _places_of(rank))
    return [y, _numbered(use, places, x.sizes)]


def _places_of(rank: int) -> Callable[..., Module]:
    """A layer of the places of maxima, made with the settings of a pooling."""
    function = getattr(functional, f"max_pool{rank}d_with_indices")
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def made(**settings: Any) -> Module:
        return Apply(function, tuple(settings.get(name, 1) for name in names), 1)

    return made


def _numbered(use: Use, places: Value, sizes: Sequence[int]) -> Value:
    """Places within a channel as ONNX counts them: through all channels of the image.

    Raises:
        NodeError: their numbers are beyond those that float32 has.
    """
    inside = prod(sizes[2:])
    if sizes[1] * inside > LARGEST_PLACE:
        raise NodeError(f"its places must be below {LARGEST_PLACE:,}; got {sizes[1] * inside:,}")
    if use.setting("storage_order", 0):
        # By columns: j · H + i in place of i · W + j.
        if len(sizes) != 4:
            raise NodeError("storage_order must be 0 but for two axes")
        height, width = (float(side) for side in sizes[2:])
        wide = Fixed(np.array(width, np.float32))
        rows = joined(use, (places, wide), Apply(functional.divide))
        rows = applied(use, rows, functional.floor)
        before = applied(use, rows, functional.multiply, width)
        columns = joined(use, (places, before), Apply(functional.subtract))
        down = applied(use, columns, functional.multiply, height)
        places = joined(use, (down, rows), Add())
    return joined(use, (places, _offsets(sizes, inside)), Add())


def _offsets(sizes: Sequence[int], inside: int) -> Fixed:
    """How many elements lie before each channel."""
    first = np.arange(sizes[1], dtype=np.float32) * np.float32(inside)
    return Fixed(first.reshape(-1, *(1,) * (len(sizes) - 2)))


@converts("MaxUnpool", since=9)
def _unpool(use: Use) -> Sequence[Given]:
    """Its places count in the shape that follows from the window; beyond it zeros are added."""
    x, rank = _ranked(use)
    places = use.maps(use.value(1))
    kernel, strides = use.counts("kernel_shape", rank, 0), use.counts("strides", rank, 1)
    pads = use.counts("pads", 2 * rank, 0)
    if pads[:rank] != pads[rank:] or min(kernel) < 1:
        raise NodeError(f"pads must be the same before and after; got {list(pads)}")
    sides = [
        (side - 1) * s + k - 2 * p
        for side, s, k, p in zip(x.sizes[2:], strides, kernel, pads, strict=False)
    ]
    sizes = (1, x.sizes[1], *sides)
    inside = joined(use, (places, _offsets(sizes, prod(sides))), Apply(functional.subtract))
    settings = (kernel, strides, pads[:rank], tuple(sides))
    layer = Apply(getattr(functional, f"max_unpool{rank}d"), settings)
    y = use.layer(layer, [x, use.maps(inside)], channels_last(sizes))
    wanted = (use.whole(2, "a shape") or sizes)[2:]
    more = [want - side for want, side in zip(wanted, sides, strict=True)]
    if min(more) < 0:
        raise NodeError(f"its shape must be at least {list(sizes)}; got sides {list(wanted)}")
    if not any(more):
        return [y]
    pad = Pad((*((0, count) for count in more), (0, 0)))
    return [use.layer(pad, [y], channels_last((1, x.sizes[1], *wanted)))]


@converts("AveragePool")
def _average_pool(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    counted = bool(use.setting("count_include_pad", 0))
    dilations = use.counts("dilations", rank, 1)
    return [_windows(use, x, rank, dilations, _AVERAGES[rank - 1], count_include_pad=counted)]


@converts("LpPool")
def _lp_pool(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    norm = float(use.setting("p", 2))
    return [_windows(use, x, rank, use.counts("dilations", rank, 1), _NORMS[rank - 1], norm)]


def _windows(
    use: Use,
    x: Value,
    rank: int,
    dilations: Sequence[int],
    kind: Callable[..., Module],
    *first: float,
    **more: bool,
) -> Value:
    kernel = use.counts("kernel_shape", rank, 0)
    if min(kernel) < 1:
        raise NodeError(f"kernel_shape must have {rank} sides; got {list(kernel)}")
    strides = use.counts("strides", rank, 1)
    pairs = padding_of(use, x.sizes[2:], kernel, strides, dilations)
    ceil_mode = bool(use.setting("ceil_mode", 0))
    settings: dict[str, Any] = {
        "kernel_size": per_axis(kernel),
        "stride": per_axis(strides),
        "padding": padding_setting(use, pairs),
        "ceil_mode": ceil_mode,
        **more,
    }
    if set(dilations) != {1}:
        settings["dilation"] = per_axis(dilations)
    sides = [
        output_size(side, k, s, pair, d, ceil_mode=ceil_mode)
        for side, k, s, pair, d in zip(x.sizes[2:], kernel, strides, pairs, dilations, strict=True)
    ]
    return use.layer(kind(*first, **settings), [x], channels_last((1, x.sizes[1], *sides)))


@converts("GlobalLpPool")
def _global_norm(use: Use) -> Sequence[Given]:
    """The norm of each channel's elements, by their powers."""
    x, rank = _ranked(use)
    power = float(use.setting("p", 2))
    layout = Layout(((), x.layout.axes[1], *((),) * rank), (x.layout.axes[1],))
    over = tuple(range(rank))
    if power in (1.0, 2.0):
        return [use.layer(Reduce(f"l{power:.0f}", over), [x], layout)]
    powers = applied(use, applied(use, x, functional.abs), functional.power, power)
    total = use.layer(Reduce("sum", over), [powers], layout)
    return [applied(use, total, functional.power, 1 / power)]


@converts("GlobalAveragePool", "GlobalMaxPool")
def _global(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    channels = x.layout.axes[1]
    layout = Layout(((), channels, *((),) * rank), (channels,))
    return [use.layer(_GLOBAL[use.node.operator][rank - 1](), [x], layout)]
