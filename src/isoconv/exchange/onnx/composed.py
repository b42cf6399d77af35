"""Operators of ONNX that several layers compute."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.folding import normal_axes
from isoconv.exchange.onnx.layouts import Layout
from isoconv.nn import Add, Apply, ArgMax, Multiply, OneHot, Reduce, Sigmoid, SiLU, Threshold
from isoconv.nn import functional as f


@converts("Swish", since=24)
def _swish(use: Use) -> Sequence[Given]:
    x, alpha = use.value(), use.setting("alpha", 1.0)
    if alpha == 1:
        return [use.layer(SiLU(), [x], x.layout)]
    scaled = applied(use, x, f.multiply, alpha)
    return [joined(use, (x, use.layer(Sigmoid(), [scaled], x.layout)), Multiply())]


@converts("Shrink", since=9)
def _shrink(use: Use) -> Sequence[Given]:
    """What lies beyond the bounds on either side, moved inward; the sides do not meet."""
    bound, shift = use.setting("lambd", 0.5), use.setting("bias", 0.0)
    if bound < 0:
        raise NodeError(f"lambd must be at least 0; got {bound}")
    x = use.value()
    sides = []
    for sign in (1.0, -1.0):
        side = x if sign > 0 else applied(use, x, f.multiply, -1.0)
        beyond = use.layer(Threshold(bound, 0.0), [side], x.layout)
        if shift:
            there = applied(use, applied(use, side, f.greater, bound), f.multiply, -shift)
            beyond = joined(use, (beyond, there), Add())
        sides.append(beyond)
    return [joined(use, sides, Apply(f.subtract))]


def _over(use: Use, x: Value, kind: str, axes: Sequence[int]) -> Value:
    """A reduction along axes, which stay as ones."""
    x, order = use.apart(x, *axes)
    kept = [axis for axis in order if axis not in axes]
    sides = tuple(() if axis in axes else each for axis, each in enumerate(x.layout.axes))
    layer = Reduce(kind, tuple(order.index(axis) for axis in axes))
    return use.layer(layer, [x], Layout(sides, x.layout.lying(kept)))


@converts("LpNormalization")
def _lp_normalization(use: Use) -> Sequence[Given]:
    """Over the norm along an axis; zeros where that is 0."""
    p = use.setting("p", 2)
    if p not in (1, 2):
        raise NodeError(f"p must be 1 or 2; got {p}")
    x = use.value()
    norm = _over(use, x, f"l{p}", [use.axis(use.setting("axis", -1), x.sizes)])
    norm = joined(use, (norm, applied(use, norm, f.equal, 0.0)), Add())
    return [joined(use, (x, norm), Apply(f.divide))]


@converts("MeanVarianceNormalization", since=9)
def _mean_variance(use: Use) -> Sequence[Given]:
    x = use.value()
    axes = normal_axes(use.setting("axes", (0, 2, 3)), len(x.sizes))
    apart = joined(use, (x, _over(use, x, "mean", axes)), Apply(f.subtract))
    variance = _over(use, applied(use, apart, f.square), "mean", axes)
    deviation = applied(use, applied(use, variance, f.sqrt), f.add, 1e-9)
    return [joined(use, (apart, deviation), Apply(f.divide))]


@converts("Hardmax", since=13)
def _hardmax(use: Use) -> Sequence[Given]:
    """A one at the first of the greatest along an axis."""
    x = use.value()
    axis = use.axis(use.setting("axis", -1), x.sizes)
    x, order = use.apart(x, axis)
    others = [n for n in order if n != axis]
    places = x.layout.lying(others)
    place = use.layer(ArgMax(order.index(axis)), [x], Layout(x.layout.axes, places))
    layout = Layout(x.layout.axes, x.layout.lying([*others, axis]))
    return [use.layer(OneHot(x.sizes[axis]), [place], layout)]
