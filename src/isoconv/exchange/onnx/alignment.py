"""Values that broadcast, as tensors that an elementwise layer of ours can read side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.layouts import Layout, Row, flat, in_order, row


def aligned(use: Use, parts: Sequence[Given]) -> tuple[list[Value], Layout]:
    """Values as tensors that an elementwise layer can read, and the layout of what it gives.

    Raises:
        NodeError: their shapes do not broadcast.
    """
    try:
        sizes = np.broadcast_shapes(*(part.sizes for part in parts))
    except ValueError:
        listed = " and ".join(str(list(part.sizes)) for part in parts)
        raise NodeError(f"its inputs must broadcast; got {listed}") from None
    found = [_lifted(use, part, len(sizes)) for part in parts]
    # What lies as it is: a value before an array, then what has more of the result's elements.
    rank = sorted(
        range(len(found)), key=lambda n: (isinstance(found[n], Fixed), -prod(found[n].sizes))
    )
    chief = found[rank[0]]
    if isinstance(chief, Fixed):
        chief = use.into.constant(chief, use.name())
    if any(part.sizes != chief.sizes for part in found):
        # An axis of the tensor is repeated as a whole, or not at all.
        chief = use.apart(chief)[0]
    if any(_split(part) != _split(chief) for part in found if isinstance(part, Value)):
        # Each axis as one piece.
        chief, found = _merged(use, chief), [_merged(use, part) for part in found]
    axes = list(chief.layout.axes)
    extra: list[Row] = []
    for place in range(len(sizes)):
        others = [
            p.layout.axes[place] for p in found if isinstance(p, Value) and p.sizes[place] > 1
        ]
        if not axes[place] and sizes[place] > 1:
            axes[place] = others[0] if others else row(sizes[place])
            extra.append(axes[place])
    layout = Layout(tuple(axes), (*extra, *chief.layout.memory))
    found[rank[0]] = chief
    # Sides of 1 before all others are the result's where no tensor has more before them.
    bare = bool(layout.memory and layout.memory[0])
    return [_placed(use, part, layout, bare=bare) for part in found], layout


def _lifted(use: Use, part: Given, rank: int) -> Given:
    sizes = (1,) * (rank - len(part.sizes)) + tuple(part.sizes)
    if isinstance(part, Fixed):
        return replace(part, array=part.array.reshape(sizes))
    return use.into.reshaped(part, sizes)


def _split(part: Given) -> list[list[int]]:
    """How the axes of a value are made of factors."""
    if isinstance(part, Fixed):
        return []
    return [[factor.size for factor in axis] for axis in part.layout.axes]


def _merged(use: Use, part: Any) -> Any:
    """A value whose axes have one factor each."""
    if isinstance(part, Fixed):
        return part
    part = use.apart(part)[0]
    pairs = zip(part.layout.axes, part.sizes, strict=True)
    new = {axis: axis if len(axis) < 2 else row(size) for axis, size in pairs}
    axes = tuple(new[axis] for axis in part.layout.axes)
    return Value(part.name, Layout(axes, tuple(new[axis] for axis in part.layout.memory)))


def _renamed(layout: Layout, target: Sequence[Row]) -> Layout:
    """A layout with the factors of other axes, which are as large."""
    names = {
        mine: theirs
        for own, others in zip(layout.axes, target, strict=True)
        if own
        for mine, theirs in zip(own, others, strict=True)
    }
    axes = tuple(tuple(names[factor] for factor in axis) for axis in layout.axes)
    return Layout(axes, tuple(tuple(names[factor] for factor in axis) for axis in layout.memory))


def _placed(use: Use, part: Given, layout: Layout, *, bare: bool) -> Value:
    """A value or an array as a tensor whose axes are those of a layout, or have size 1.

    Args:
        use: the node.
        part: the value or array.
        layout: of the result.
        bare: whether axes before the first of more than one element may be left out.
    """
    if isinstance(part, Fixed):
        use.into.hold(4 * part.array.size, kept=False)
        array = in_order(part.array, layout.axes, layout.memory)
        while array.ndim and array.shape[0] == 1:
            array = array[0]
        return use.into.constant(part, use.name(), array)
    part = Value(part.name, _renamed(part.layout, layout.axes))
    held = flat(part.layout.memory)
    memory = [tuple(f for f in axis if f in held) for axis in layout.memory]
    while bare and not memory[0] and len(memory) > 1:
        memory = memory[1:]
    return use.into.lying(part, memory)
