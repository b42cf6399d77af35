"""Normalisations of ONNX as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from isoconv.exchange.onnx.building import Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.graph.operation import Array
from isoconv.nn import BatchNorm, Conv1d, Conv2d, Conv3d, Dropout, LayerNorm, Linear

__all__: list[str] = []


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


@converts("LayerNormalization", since=17)
def _layer_norm(use: Use) -> Sequence[Given]:
    x = use.value()
    rank = len(x.sizes)
    axis = use.axis(use.setting("axis", -1), x.sizes)
    row = x.sizes[axis:]
    factors, shifts = use.array(1, "factors"), use.optional(2, "shifts")
    arrays = {"weight": factors, "bias": np.zeros(row, np.float32) if shifts is None else shifts}
    for array in arrays.values():
        if array.size not in (1, prod(row)):
            raise NodeError(f"its arrays must have shape {list(row)}; got {list(array.shape)}")
    arrays = {name: np.broadcast_to(array, row) for name, array in arrays.items()}
    others = [each for each in x.layout.order() if each < axis]
    x = use.into.lying(x, x.layout.lying([*others, *range(axis, rank)]))
    layer = LayerNorm(rank - axis, use.setting("epsilon", 1e-5))
    return [use.layer(layer, [x], x.layout, name=use.name(1), **arrays)]


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
    return [use.layer(Dropout(ratio), [x], x.layout)]
