"""Activations of ONNX as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isoconv.checks import LARGEST_SINGLE
from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.layouts import Layout, flat
from isoconv.nn import (
    CELU,
    ELU,
    GELU,
    SELU,
    Add,
    Clip,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    Mish,
    Module,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Threshold,
    functional,
)

_ALPHA, _GAMMA = 1.6732631921768188, 1.0507010221481323
"""Of SELU, as float32 numbers."""


def elementwise(use: Use, layer: Module) -> list[Given]:
    """A layer that changes each element for itself."""
    x = use.value()
    return [use.layer(layer, [x], x.layout)]


def _plain(operator: str, make: Callable[[Use], Module], since: int = 1) -> None:
    def converted(use: Use) -> Sequence[Given]:
        return elementwise(use, make(use))

    converts(operator, since=since)(converted)


_plain("Relu", lambda _: ReLU())
_plain("Sigmoid", lambda _: Sigmoid())
_plain("Tanh", lambda _: Tanh())
_plain("LeakyRelu", lambda use: LeakyReLU(use.setting("alpha", 0.01)))


_plain("Elu", lambda use: ELU(use.setting("alpha", 1.0)))
_plain("Celu", lambda use: CELU(use.setting("alpha", 1.0)), since=12)
_plain("Mish", lambda _: Mish())
_plain("Softplus", lambda _: Softplus())
_plain("Softsign", lambda _: Softsign())
_plain("HardSwish", lambda _: Hardswish())
_plain(
    "HardSigmoid",
    lambda use: Hardsigmoid(use.setting("alpha", 0.2), use.setting("beta", 0.5)),
)


@converts("Clip", since=6)
def _clip(use: Use) -> Sequence[Given]:
    """Bounds were settings, and are inputs since version 11."""
    bounds: list[float | None] = []
    for place, name in enumerate(("min", "max"), 1):
        if use.opset >= 11:
            given = use.optional(place, name)
            bound = None if given is None else float(given.reshape(-1)[0])
        else:
            bound = use.setting(name, 0.0) if name in use.node.attributes else None
        # The greatest float32 number stands for none.
        outward = bound if bound is None or name == "max" else -bound
        if outward is not None and outward <= -LARGEST_SINGLE:
            raise NodeError(f"its {name} must leave numbers; got {bound}")
        bounds.append(None if outward is None or outward >= LARGEST_SINGLE else bound)
    return elementwise(use, ReLU6() if bounds == [0.0, 6.0] else Clip(*bounds))


@converts("Gelu")
def _gelu(use: Use) -> Sequence[Given]:
    return elementwise(use, GELU(use.setting("approximate", "none")))


@converts("Selu")
def _selu(use: Use) -> Sequence[Given]:
    alpha, gamma = use.setting("alpha", _ALPHA), use.setting("gamma", _GAMMA)
    if (alpha, gamma) == (_ALPHA, _GAMMA):
        return elementwise(use, SELU())
    (x,) = elementwise(use, ELU(alpha))
    return [joined(use, (x, Fixed(np.array([gamma], np.float32))), Multiply())]


@converts("ThresholdedRelu", since=10)
def _thresholded(use: Use) -> Sequence[Given]:
    return elementwise(use, Threshold(use.setting("alpha", 1.0), 0.0))


@converts("PRelu")
def _prelu(use: Use) -> Sequence[Given]:
    """One slope, or one for each channel; for others, the parts above and below zero apart."""
    x, slopes = use.value(), use.array(1, "slopes")
    if use.opset < 7:
        # They were those of channels.
        slopes = slopes.reshape(-1, *(1,) * max(0, len(x.sizes) - 2))
    sizes = (1,) * (len(x.sizes) - slopes.ndim) + slopes.shape
    channels = tuple(side if axis == 1 else 1 for axis, side in enumerate(x.sizes))
    if slopes.size == 1 or (len(sizes) > 1 and sizes == channels):
        x, order = use.apart(x, *([1] if slopes.size > 1 else []))
        if slopes.size > 1:
            x = use.into.lying(x, x.layout.lying([n for n in order if n != 1] + [1]))
        layer, weight = PReLU(slopes.size), slopes.reshape(-1)
        return [use.layer(layer, [x], x.layout, name=use.name(1), weight=weight)]
    above = use.layer(ReLU(), [x], x.layout)
    below = applied(use, x, functional.minimum, 0.0)
    return [joined(use, (above, joined(use, (below, Fixed(slopes)), Multiply())), Add())]


def rows_of(use: Use, layer: Module, axes: Sequence[int]) -> list[Given]:
    """A layer that takes the elements along some axes of a value as one row."""
    x = use.value()
    held = {factor for axis in axes for factor in x.layout.axes[axis]}
    memory = flat(x.layout.memory)
    inner = tuple(factor for factor in memory if factor in held)
    others = [tuple(f for f in each if f not in held) for each in x.layout.memory]
    x = use.into.lying(x, (*(each for each in others if each), inner))
    return [use.layer(layer, [x], Layout(x.layout.axes, x.layout.memory))]


def _rows(operator: str, layer: Callable[[], Any]) -> None:
    def flattened(use: Use) -> Sequence[Given]:
        """Before version 13 all axes from `axis` on are one row."""
        sizes = use.value().sizes
        axis = use.axis(use.setting("axis", 1), sizes)
        return rows_of(use, layer(), range(axis, len(sizes)))

    def single(use: Use) -> Sequence[Given]:
        sizes = use.value().sizes
        return rows_of(use, layer(), [use.axis(use.setting("axis", -1), sizes)])

    converts(operator)(flattened)
    converts(operator, since=13)(single)


_rows("Softmax", Softmax)
_rows("LogSoftmax", LogSoftmax)
