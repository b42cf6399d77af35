"""The receptive field: which rectangle of the picture can change an element at all.

It is found by the terms themselves: the corners of a box of elements say which box of operands
they read, from node to node back to the image. So it holds for every operation that has terms, and
through every path of a residual or branching network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from isoconv.explain.network import Network
from isoconv.graph.operation import operation
from isoconv.graph.terms import Index, elements

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
    boxes: dict[int, _Box] = {index: tuple((at, at) for at in place)}
    for node in range(index, -1, -1):
        box = boxes.get(node)
        if box is None or network.node(node).op == "input":
            continue
        for source, read in _read(network, node, box).items():
            known = boxes.get(source)
            boxes[source] = read if known is None else _joined(known, read)
    image = network.picture
    if image not in boxes:
        return None
    first, last = zip(*boxes[image], strict=True)
    return Field(first, last, network.node(image).spec.shape)


def _read(network: Network, index: int, box: _Box) -> dict[int, _Box]:
    """What a box of a node's elements reads of each operand, of any image."""
    node = network.node(index)
    if operation(node.op).view and any(low != high for low, high in box):
        # Places that lie between two do not lie between their places under another shape.
        whole = network.node(node.inputs[0]).spec.shape
        return {node.inputs[0]: tuple((0, side - 1) for side in whole)}
    image = (0,) if node.spec.batched else ()
    found: dict[int, _Box] = {}
    for corner in product(*(sorted({low, high}) for low, high in box)):
        for element in elements(network.terms(index, (*image, *corner))):
            source = node.inputs[element.operand]
            images = network.node(source).spec.batched
            here = tuple((at, at) for at in element.index[images:])
            known = found.get(source)
            found[source] = here if known is None else _joined(known, here)
    return found


def _joined(a: _Box, b: _Box) -> _Box:
    return tuple(
        (min(low, other_low), max(high, other_high))
        for (low, high), (other_low, other_high) in zip(a, b, strict=True)
    )
