"""The receptive field: which rectangle of the picture can change an element at all.

From node to node back to the picture, a box of elements says which box of operands it reads,
through every path of a residual or branching network. What mixes places or channels in another way
than a window does, reads all of its operands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from isoconv.explain.network import Network
from isoconv.explain.windows import direct_of
from isoconv.graph.ir import Node
from isoconv.graph.operation import operation
from isoconv.graph.terms import Index, elements
from isoconv.ops import AvgPool, ConvGeometry, WindowGeometry

__all__ = ["Field", "field_of"]

_Box = tuple[tuple[int, int], ...]
"""First and last place on each axis but that of the images."""


@dataclass(frozen=True, slots=True)
class Field:
    """A box of the picture, its last axis the channels.

    Attributes:
        first: the least place on each axis.
        last: the greatest, included.
        shape: of the picture.
    """

    first: Index
    last: Index
    shape: Index

    @property
    def whole(self) -> bool:
        """Whether it is all of the picture, channels aside."""
        sides = zip(self.first[:-1], self.last[:-1], self.shape[:-1], strict=True)
        return all(low == 0 and high == side - 1 for low, high, side in sides)

    def __str__(self) -> str:
        if self.whole:
            return "the whole picture"
        names = {2: ("row", "column"), 1: ("place",)}.get(len(self.shape) - 1)
        names = names or tuple(f"on axis {axis} place" for axis in range(len(self.shape) - 1))
        pairs = zip(names, self.first, self.last, strict=False)
        return ", ".join(
            f"{name} {low}" if low == high else f"{name}s {low} … {high}"
            for name, low, high in pairs
        )


def field_of(network: Network, index: int, place: Index) -> Field | None:
    """The part of the picture that an element depends on.

    Args:
        network: the network.
        index: position of the node.
        place: the element without its image.

    Returns:
        None for what does not depend on the picture.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.MaxPool2d(2)).build((8, 8, 1))
        >>> network = Network(model, np.ones((1, 8, 8, 1), np.float32))
        >>> print(field_of(network, network.layer("1").result, (1, 2, 0)))
        rows 2 … 5, columns 4 … 7
    """
    depends = {network.picture}
    for node in range(index + 1):
        if not depends.isdisjoint(network.node(node).inputs):
            depends.add(node)
    boxes: dict[int, _Box] = {index: tuple((at, at) for at in place)}
    for node in range(index, -1, -1):
        box = boxes.get(node)
        if box is None or network.node(node).op == "input":
            continue
        for source, read in _read(network, node, box, depends).items():
            known = boxes.get(source)
            boxes[source] = read if known is None else _joined(known, read)
    image = network.picture
    if image not in boxes:
        return None
    first, last = zip(*boxes[image], strict=True)
    return Field(first, last, network.node(image).spec.shape)


def _read(
    network: Network, index: int, box: _Box, depends: Collection[int]
) -> dict[int, _Box]:  # fmt: skip
    """What a box of a node's elements reads of each operand that depends on the picture."""
    node = network.node(index)
    sources = [i for i in dict.fromkeys(node.inputs) if i in depends]
    if operation(node.op).pointwise:
        return {i: _same_place(box, network.node(i).spec.shape) for i in sources}
    direct = direct_of(network, index)
    if node.op == "conv" or (direct is not None and direct.op == "conv"):
        attrs = node.attrs if direct is None else direct.attrs
        source = (node.inputs if direct is None else direct.operands)[0]
        return _kept({source: _convolved(attrs, box, network.node(source).spec.shape, node)})
    window = node.attrs.window if isinstance(node.attrs, AvgPool) else node.attrs
    if isinstance(window, WindowGeometry):
        sides = network.node(sources[0]).spec.shape[:-1]
        return _kept({sources[0]: (*_windows(window, box, sides), box[-1])})
    if node.op == "concat":
        return _beside(network, index, box)
    if node.op in ("pad", "crop"):
        return _kept({sources[0]: _moved(node, box, network.node(sources[0]).spec.shape)})
    if all(low == high for low, high in box):
        found = _by_terms(network, index, tuple(low for low, _ in box))
        return {i: read for i, read in found.items() if i in depends}
    # Whatever else there is mixes places or channels: all of it, which is never too little.
    return {i: tuple((0, side - 1) for side in network.node(i).spec.shape) for i in sources}


def _same_place(box: _Box, shape: tuple[int, ...]) -> _Box:
    """Where a broadcast operand is read: trailing axes align, an axis of one stays at 0."""
    trailing = box[len(box) - len(shape) :]
    return tuple((0, 0) if side == 1 else at for at, side in zip(trailing, shape, strict=True))


def _windows(
    window: ConvGeometry | WindowGeometry, box: _Box, sides: Sequence[int]
) -> list[tuple[int, int]]:
    """First and last place inside that the windows of a box meet, on each axis that slides."""
    found = []
    axes = zip(box, sides, window.kernel, window.stride, window.padding, window.dilation,
               strict=False)  # fmt: skip
    for (low, high), side, kernel, stride, (before, _), dilation in axes:
        starts = np.arange(low, high + 1) * stride - before
        met = (starts[:, None] + np.arange(kernel) * dilation).ravel()
        inside = met[(met >= 0) & (met < side)]
        found.append((int(inside.min()), int(inside.max())) if inside.size else (1, 0))
    return found


def _convolved(
    geometry: ConvGeometry, box: _Box, shape: tuple[int, ...], node: Node
) -> _Box:  # fmt: skip
    """What of its input a box of a convolution's result reads: of each group all channels."""
    inner = shape[-1] // geometry.groups
    filters = node.spec.shape[-1] // geometry.groups
    first, last = (at // filters for at in box[-1])
    channels = (first * inner, (last + 1) * inner - 1)
    return (*_windows(geometry, box, shape[:-1]), channels)


def _beside(network: Network, index: int, box: _Box) -> dict[int, _Box]:
    """What channels of values side by side read: of each one those that are its own."""
    start = 0
    found: dict[int, _Box] = {}
    for source in network.node(index).inputs:
        channels = network.node(source).spec.shape[-1]
        low, high = max(box[-1][0] - start, 0), min(box[-1][1] - start, channels - 1)
        start += channels
        if low <= high:
            here = (*box[:-1], (low, high))
            found[source] = _joined(found[source], here) if source in found else here
    return found


def _moved(node: Node, box: _Box, shape: tuple[int, ...]) -> _Box:
    """What a padded or cropped value reads; nothing of the padding."""
    sign = -1 if node.op == "pad" else 1
    moved = [
        (max(low + sign * before, 0), min(high + sign * before, side - 1))
        for (low, high), (before, _), side in zip(box, node.attrs.pairs, shape, strict=False)
    ]
    return (*moved, *box[len(moved) :])


def _kept(found: dict[int, _Box]) -> dict[int, _Box]:
    """Without boxes that hold nothing, such as a window that lies in the padding alone."""
    return {i: box for i, box in found.items() if all(low <= high for low, high in box)}


def _by_terms(network: Network, index: int, place: Index) -> dict[int, _Box]:
    """What a single element reads, by its terms."""
    node = network.node(index)
    found: dict[int, _Box] = {}
    for element in elements(network.terms(index, (*((0,) if node.spec.batched else ()), *place))):
        source = node.inputs[element.operand]
        images = network.node(source).spec.batched
        here = tuple((at, at) for at in element.index[images:])
        found[source] = _joined(found[source], here) if source in found else here
    return found


def _joined(a: _Box, b: _Box) -> _Box:
    return tuple(
        (min(low, other_low), max(high, other_high))
        for (low, high), (other_low, other_high) in zip(a, b, strict=True)
    )
