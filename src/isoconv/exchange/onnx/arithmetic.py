"""Elementwise arithmetic of ONNX as layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value, aligned
from isoconv.exchange.onnx.converting import converts
from isoconv.nn import Add, Conv1d, Conv2d, Conv3d, Linear, Module, Multiply

__all__: list[str] = []


@converts("Mul", since=7)
def _binary(use: Use) -> Sequence[Given]:
    return [joined(use, use.inputs, Multiply())]


@converts("Add", since=7)
def _add(use: Use) -> Sequence[Given]:
    with_bias = _as_bias(use)
    return [joined(use, use.inputs, Add()) if with_bias is None else with_bias]


def _as_bias(use: Use) -> Value | None:
    """A sum as the bias of the layer before, which adds it likewise; None where it is none."""
    parts = [part for part in use.inputs if part is not None]
    values = [part for part in parts if isinstance(part, Value)]
    arrays = [part for part in parts if isinstance(part, Fixed)]
    if len(values) != 1 or len(arrays) != 1:
        return None
    (x,), (shift,) = values, arrays
    name = use.node.inputs[parts.index(x)]
    layer = use.into.alone(name, x)
    if not isinstance(layer, (Conv1d, Conv2d, Conv3d, Linear)) or layer.bias:
        return None
    # The channels are the second axis of maps, and the last one of a product.
    axis = 1 if use.into.makers[name].operator == "Conv" else len(x.sizes) - 1
    sizes = (1,) * (len(x.sizes) - shift.array.ndim) + shift.sizes
    wanted = tuple(side if place == axis else 1 for place, side in enumerate(x.sizes))
    if sizes != wanted:
        return None
    layer.bias = True
    use.into.weights[f"{x.name}.bias"] = shift.array.reshape(-1).astype(np.float32)
    return x


@converts("Sub", since=7)
def _sub(use: Use) -> Sequence[Given]:
    first, second = use.inputs
    if not isinstance(second, Fixed):
        raise NodeError("what it subtracts must be an array in the file")
    # x - c is x + (-c), bit for bit.
    return [joined(use, (first, replace(second, array=-second.array)), Add())]


@converts("Sum", since=8)
def _sum(use: Use) -> Sequence[Given]:
    total = use.inputs[0]
    for part in use.inputs[1:]:
        total = joined(use, (total, part), Add())
    return [use.value() if isinstance(total, Fixed) or total is None else total]


def joined(use: Use, parts: Sequence[Given | None], layer: Module) -> Given:
    """A layer of two values that broadcast."""
    first, second = (part if part is not None else use.value(n) for n, part in enumerate(parts))
    one, other, layout = aligned(use, first, second)
    return use.layer(layer, [one, other], layout)
