"""Normalisations of ONNX as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.layouts import Layout
from isoconv.graph.operation import Array
from isoconv.nn import (
    Apply,
    BatchNorm,
    Conv1d,
    Conv2d,
    Conv3d,
    Dropout,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Reduce,
    RMSNorm,
)
from isoconv.nn.functional import add, reciprocal, sqrt, square, subtract


@converts("BatchNormalization")
def _batch_norm(use: Use) -> Sequence[Given]:
    if use.setting("training_mode", 0) or not use.setting("spatial", 1):
        raise NodeError("it must be in inference mode, one pair of statistics for each channel")
    x = use.value()
    if len(x.sizes) < 2:
        raise NodeError(f"it must read values with an axis of channels; got {list(x.sizes)}")
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: use.array(place, name) for place, name in enumerate(names, 1)}
    channels = x.sizes[1]
    for array in weights.values():
        if array.shape != (channels,):
            raise NodeError(
                f"its arrays must have one number for each of {channels} channels; got "
                f"{list(array.shape)}"
            )
    x, order = use.apart(x, 1)
    # The channels come last.
    order = [axis for axis in order if axis != 1] + [1]
    x = use.into.lying(x, x.layout.lying(order))
    eps = use.setting("epsilon", 1e-5)
    if use.into.fold_batch_norm and _fold(use, x, weights, eps):
        return [x]
    layer = BatchNorm(eps=eps, momentum=round(1 - use.setting("momentum", 0.9), 9))
    return [use.layer(layer, [x], x.layout, name=use.name(1), **weights)]


def _fold(use: Use, x: Value, arrays: Mapping[str, Array], eps: float) -> bool:
    """Make it part of the layer that it alone reads; False where that has no weights."""
    weights, name = use.into.weights, x.name
    layer = use.into.alone(use.node.inputs[0], x)
    if not isinstance(layer, (Conv1d, Conv2d, Conv3d, Linear)):
        return False
    wide = {key: array.astype(np.float64) for key, array in arrays.items()}
    factor = wide["weight"] / np.sqrt(wide["running_var"] + eps)
    bias = weights.get(f"{name}.bias", np.zeros(len(factor), np.float32))
    moved = (bias - wide["running_mean"]) * factor + wide["bias"]
    weights[f"{name}.weight"] = (weights[f"{name}.weight"] * factor).astype(np.float32)
    weights[f"{name}.bias"] = moved.astype(np.float32)
    layer.bias = True
    return True


@converts("InstanceNormalization", since=6)
def _instance_norm(use: Use) -> Sequence[Given]:
    x = use.maps(use.value())
    layer = InstanceNorm(use.setting("epsilon", 1e-5), affine=True)
    return [use.layer(layer, [x], x.layout, name=use.name(1), **_per_channel(use, x, 1))]


@converts("GroupNormalization", since=18)
def _group_norm(use: Use) -> Sequence[Given]:
    """Factors are those of groups in version 18, and of channels since 21."""
    x = use.maps(use.value())
    groups, channels = use.setting("num_groups", 1), x.sizes[1]
    if groups < 1 or channels % groups:
        raise NodeError(f"num_groups must divide {channels} channels; got {groups}")
    repeats = 1 if use.opset >= 21 else channels // groups
    layer = GroupNorm(groups, use.setting("epsilon", 1e-5))
    return [use.layer(layer, [x], x.layout, name=use.name(1), **_per_channel(use, x, repeats))]


def _per_channel(use: Use, x: Value, repeats: int) -> dict[str, Array]:
    """Factors and shifts, one for each channel."""
    found = {
        name: np.repeat(use.array(place, name), repeats)
        for place, name in enumerate(("weight", "bias"), 1)
    }
    for array in found.values():
        if array.shape != x.sizes[1:2]:
            raise NodeError(f"its arrays must have {x.sizes[1]} numbers; got {list(array.shape)}")
    return found


@converts("LRN")
def _local_response(use: Use) -> Sequence[Given]:
    x = use.value()
    x, order = use.apart(x, 1)
    x = use.into.lying(x, x.layout.lying([axis for axis in order if axis != 1] + [1]))
    size = use.setting("size", 1)
    layer = LocalResponseNorm(
        size,
        alpha=use.setting("alpha", 1e-4),
        beta=use.setting("beta", 0.75),
        k=use.setting("bias", 1.0),
        before=(size - 1) // 2,
    )
    return [use.layer(layer, [x], x.layout)]


def _last_axes(use: Use) -> tuple[Value, int]:
    """A value whose last axes are normalised together, and how many there are."""
    x = use.value()
    rank = len(x.sizes)
    axis = use.axis(use.setting("axis", -1), x.sizes)
    others = [each for each in x.layout.order() if each < axis]
    return use.into.lying(x, x.layout.lying([*others, *range(axis, rank)])), rank - axis


def _factors(use: Use, x: Value, axes: int, place: int) -> Array:
    """An array of the shape of the last axes."""
    row = x.sizes[len(x.sizes) - axes :]
    array = use.array(place, "an array")
    try:
        return np.broadcast_to(array, row)
    except ValueError:
        raise NodeError(
            f"its arrays must have shape {list(row)}; got {list(array.shape)}"
        ) from None


@converts("RMSNormalization", since=23)
def _rms_norm(use: Use) -> Sequence[Given]:
    x, axes = _last_axes(use)
    layer = RMSNorm(axes, use.setting("epsilon", 1e-5))
    return [use.layer(layer, [x], x.layout, name=use.name(1), weight=_factors(use, x, axes, 1))]


@converts("LayerNormalization", since=17)
def _layer_norm(use: Use) -> Sequence[Given]:
    x, axes = _last_axes(use)
    weight = _factors(use, x, axes, 1)
    has_bias = use.given(2) is not None
    bias = _factors(use, x, axes, 2) if has_bias else np.zeros_like(weight)
    eps = use.setting("epsilon", 1e-5)
    y = use.layer(LayerNorm(axes, eps), [x], x.layout, name=use.name(1), weight=weight, bias=bias)
    return [y, *(_statistics(use, x, axes, eps) if use.wanted(1) or use.wanted(2) else ())]


def _statistics(use: Use, x: Value, axes: int, eps: float) -> list[Given]:
    """The mean, and one over the standard deviation, of the last axes."""
    rank = len(x.layout.memory)
    kept = x.layout.memory[: rank - axes]
    sizes = len(x.sizes)
    layout = Layout((*x.layout.axes[: sizes - axes], *((),) * axes), kept)
    over = Reduce("mean", tuple(range(rank - axes, rank)))
    mean = use.layer(over, [x], layout)
    apart = joined(use, (x, mean), Apply(subtract))
    variance = use.layer(over, [applied(use, apart, square)], layout)
    deviation = applied(use, applied(use, variance, add, eps), sqrt)
    return [mean, applied(use, deviation, reciprocal)]


@converts("Dropout")
def _dropout(use: Use) -> Sequence[Given]:
    """A layer that works in training alone; in the file it passes all."""
    if use.opset >= 12:
        share = use.optional(1, "the ratio")
        ratio = 0.5 if share is None else float(share.reshape(-1)[0])
        training = use.optional(2, "training_mode")
        if training is not None and training.reshape(-1)[0]:
            raise NodeError("it must be in inference mode")
    else:
        ratio = use.setting("ratio", 0.5)
    x = use.value()
    # Nothing is dropped: the mask is one of ones.
    mask = Fixed(np.broadcast_to(np.True_, x.sizes))
    return [use.layer(Dropout(ratio), [x], x.layout), mask]
