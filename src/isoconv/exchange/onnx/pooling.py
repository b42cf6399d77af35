"""Poolings of ONNX as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isoconv.exchange.onnx.building import Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.convolution import (
    channels_last,
    padding_of,
    padding_setting,
    per_axis,
)
from isoconv.exchange.onnx.layouts import Layout
from isoconv.nn import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from isoconv.ops.geometry import output_size

if TYPE_CHECKING:
    from isoconv.nn import Module

_MAXIMA = (MaxPool1d, MaxPool2d, MaxPool3d)
_AVERAGES = (AvgPool1d, AvgPool2d, AvgPool3d)
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
    return [_windows(use, x, rank, use.counts("dilations", rank, 1), _MAXIMA[rank - 1])]


@converts("AveragePool")
def _average_pool(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    dilations = use.counts("dilations", rank, 1)
    if set(dilations) != {1}:
        raise NodeError(f"an average's dilations must be 1; got {list(dilations)}")
    counted = bool(use.setting("count_include_pad", 0))
    return [_windows(use, x, rank, dilations, _AVERAGES[rank - 1], count_include_pad=counted)]


def _windows(
    use: Use,
    x: Value,
    rank: int,
    dilations: Sequence[int],
    kind: type[Module],
    **more: object,
) -> Value:
    kernel = use.counts("kernel_shape", rank, 0)
    if min(kernel) < 1:
        raise NodeError(f"kernel_shape must have {rank} sides; got {list(kernel)}")
    strides = use.counts("strides", rank, 1)
    pairs = padding_of(use, x.sizes[2:], kernel, strides, dilations)
    ceil_mode = bool(use.setting("ceil_mode", 0))
    settings: dict[str, object] = {
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
    return use.layer(kind(**settings), [x], channels_last((1, x.sizes[1], *sides)))


@converts("GlobalAveragePool", "GlobalMaxPool")
def _global(use: Use) -> Sequence[Given]:
    x, rank = _ranked(use)
    channels = x.layout.axes[1]
    layout = Layout(((), channels, *((),) * rank), (channels,))
    return [use.layer(_GLOBAL[use.node.operator][rank - 1](), [x], layout)]
