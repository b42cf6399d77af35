"""Places of the greatest and least values of ONNX as layers."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.exchange.onnx.building import Given, NodeError, Use
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.layouts import Layout, row
from isoconv.nn import ArgMax, ArgMin, TopK


@converts("ArgMax", "ArgMin")
def _arg(use: Use) -> Sequence[Given]:
    """The place as a number, the first of equals or the last."""
    x = use.value()
    axis = use.axis(use.setting("axis", 0), x.sizes)
    x, order = use.apart(x, axis)
    kind = ArgMax if use.node.operator == "ArgMax" else ArgMin
    last = bool(use.setting("select_last_index", 0))
    layer = kind(order.index(axis), False, last)
    keep = use.setting("keepdims", 1)
    axes = [() if n == axis else each for n, each in enumerate(x.layout.axes)]
    held = tuple(each for n, each in enumerate(axes) if keep or n != axis)
    return [use.layer(layer, [x], Layout(held, x.layout.lying([n for n in order if n != axis])))]


@converts("TopK")
def _top(use: Use) -> Sequence[Given]:
    """Values and their places; places are numbers here."""
    x = use.value()
    count = use.whole(1, "how many") if use.opset >= 10 else (use.setting("k", 0),)
    axis = use.axis(use.setting("axis", -1), x.sizes)
    if count is None or len(count) != 1 or not 1 <= count[0] <= x.sizes[axis]:
        raise NodeError(f"it must take 1 to {x.sizes[axis]} values; got {count}")
    if not use.setting("sorted", 1):
        raise NodeError("its values must be sorted")
    x, order = use.apart(x, axis)
    largest = bool(use.setting("largest", 1))
    axes = tuple(row(count[0]) if n == axis else each for n, each in enumerate(x.layout.axes))
    layout = Layout(axes, tuple(axes[n] for n in order))
    return [
        use.layer(TopK(count[0], order.index(axis), largest, result), [x], layout)
        for result in ("values", "places")
    ]
