"""Operators of ONNX that move values: most only say anew how a value lies."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.folding import normal_axes, shape_slice
from isoconv.exchange.onnx.layouts import Layout, row
from isoconv.nn import Concatenate

__all__: list[str] = []


@converts("Identity", "Cast")
def _identity(use: Use) -> Sequence[Given]:
    return [use.value()]


@converts("Shape")
def _shape(use: Use) -> Sequence[Given]:
    """Known, for one image."""
    return [Fixed(np.array(shape_slice(use.node.attributes, use.value().sizes), np.int64))]


@converts("Transpose")
def _transpose(use: Use) -> Sequence[Given]:
    x = use.value()
    rank = len(x.sizes)
    order = use.setting("perm", tuple(range(rank))[::-1])
    if normal_axes(order, rank) != tuple(range(rank)):
        raise NodeError(f"perm must name {rank} axes; got {list(order)}")
    return [Value(x.name, x.layout.transposed(order))]


@converts("Reshape", since=5)
def _reshape(use: Use) -> Sequence[Given]:
    x, wanted = use.value(), use.whole(1, "a shape")
    if wanted is None:
        raise NodeError("it must have a shape, input 1")
    sizes = list(wanted)
    if not use.setting("allowzero", 0):
        if any(side == 0 and place >= len(x.sizes) for place, side in enumerate(sizes)):
            raise NodeError(f"a side of 0 keeps one that there is; got {sizes} for {list(x.sizes)}")
        sizes = [side or x.sizes[place] for place, side in enumerate(sizes)]
    return [_under(use, x, sizes)]


def _under(use: Use, x: Value, sizes: Sequence[int]) -> Value:
    """A value under another shape, of which one side may be -1."""
    count, known = prod(x.sizes), prod(side for side in sizes if side != -1)
    sizes = [count // known if side == -1 and known > 0 else side for side in sizes]
    if prod(sizes) != count or min(sizes, default=1) < 1:
        raise NodeError(
            f"a reshape must keep the elements of one image, {list(x.sizes)}; got {list(sizes)}"
        )
    return use.into.reshaped(x, sizes)


@converts("Flatten")
def _flatten(use: Use) -> Sequence[Given]:
    x = use.value()
    axis = use.setting("axis", 1)
    axis = axis + len(x.sizes) if axis < 0 else axis
    return [_under(use, x, [prod(x.sizes[:axis]), prod(x.sizes[axis:])])]


def _axes(use: Use) -> tuple[int, ...] | None:
    """What was an attribute and became an input in version 13."""
    found: tuple[int, ...] | None = (
        use.whole(1, "axes") if use.opset >= 13 else use.setting("axes", ()) or None
    )
    return found


@converts("Squeeze")
def _squeeze(use: Use) -> Sequence[Given]:
    x, axes = use.value(), _axes(use)
    ones = {place for place, side in enumerate(x.sizes) if side == 1}
    gone = ones if axes is None else set(normal_axes(axes, len(x.sizes)))
    if not gone <= ones:
        raise NodeError(f"sides that go must be 1; got axes {list(axes or ())} of {list(x.sizes)}")
    return [_under(use, x, [s for place, s in enumerate(x.sizes) if place not in gone])]


@converts("Unsqueeze")
def _unsqueeze(use: Use) -> Sequence[Given]:
    x, axes = use.value(), _axes(use) or ()
    new = normal_axes(axes, len(x.sizes) + len(axes))
    sides = iter(x.sizes)
    rank = len(x.sizes) + len(axes)
    return [_under(use, x, [1 if place in new else next(sides) for place in range(rank)])]


@converts("Concat", since=4)
def _concat(use: Use) -> Sequence[Given]:
    parts = [use.value(place) for place in range(len(use.inputs))]
    sizes = parts[0].sizes
    axis = use.axis(use.setting("axis", 1), sizes)
    count = 0
    for part in parts:
        count += part.sizes[axis]
        same = [side for place, side in enumerate(part.sizes) if place != axis]
        if same != [side for place, side in enumerate(sizes) if place != axis]:
            raise NodeError(
                f"other sides must be equal; got {[list(part.sizes) for part in parts]}"
            )
    order = [each for each in parts[0].layout.order() if each != axis] + [axis]
    own = [use.into.lying(part, part.layout.lying(order)) for part in parts]
    total = row(count)
    axes = list(own[0].layout.axes)
    axes[axis] = total
    memory = (*own[0].layout.memory[:-1], total)
    return [use.layer(Concatenate(), own, Layout(tuple(axes), memory))]
