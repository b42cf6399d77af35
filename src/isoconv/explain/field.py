"""The receptive field: which rectangle of the picture can change an element at all.

From node to node back to the picture, a box of elements says which box of operands it reads,
through every path of a residual or branching network. What mixes places or channels in another way
than a window does, reads all of its operands.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from isoconv.explain.network import Network
from isoconv.explain.windows import direct_of
from isoconv.graph.operation import Box, operation
from isoconv.graph.terms import Index, elements


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
    boxes: dict[int, Box] = {index: tuple((at, at) for at in place)}
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
    network: Network, index: int, box: Box, depends: Collection[int]
) -> dict[int, Box]:  # fmt: skip
    """What a box of a node's elements reads of each operand that depends on the picture."""
    node = network.node(index)
    sources = [i for i in dict.fromkeys(node.inputs) if i in depends]
    if operation(node.op).pointwise:
        return {i: _same_place(box, network.node(i).spec.shape) for i in sources}
    found: dict[int, Box] = {}
    direct = direct_of(network, index)
    kind = operation(node.op if direct is None else direct.op)
    if kind.reads is not None:
        attrs, inputs = (
            (node.attrs, node.inputs) if direct is None else (direct.attrs, direct.operands)
        )
        specs = (network.node(i).spec for i in inputs)
        for source, read in zip(inputs, kind.reads(attrs, box, node.spec, *specs), strict=True):
            if read is not None and source in depends:
                found[source] = _joined(found[source], read) if source in found else read
        return found
    if all(low == high for low, high in box):
        found = _by_terms(network, index, tuple(low for low, _ in box))
        return {i: read for i, read in found.items() if i in depends}
    # Whatever else there is mixes places or channels: all of it, which is never too little.
    return {i: tuple((0, side - 1) for side in network.node(i).spec.shape) for i in sources}


def _same_place(box: Box, shape: tuple[int, ...]) -> Box:
    """Where a broadcast operand is read: trailing axes align, an axis of one stays at 0."""
    trailing = box[len(box) - len(shape) :]
    return tuple((0, 0) if side == 1 else at for at, side in zip(trailing, shape, strict=True))


def _by_terms(network: Network, index: int, place: Index) -> dict[int, Box]:
    """What a single element reads, by its terms."""
    node = network.node(index)
    found: dict[int, Box] = {}
    for element in elements(network.terms(index, (*((0,) if node.spec.batched else ()), *place))):
        source = node.inputs[element.operand]
        images = network.node(source).spec.batched
        here = tuple((at, at) for at in element.index[images:])
        found[source] = _joined(found[source], here) if source in found else here
    return found


def _joined(a: Box, b: Box) -> Box:
    return tuple(
        (min(low, other_low), max(high, other_high))
        for (low, high), (other_low, other_high) in zip(a, b, strict=True)
    )
