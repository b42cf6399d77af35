"""How the axes of a layer's arrays lie in PyTorch, and how they lie here.

PyTorch has channels first. A convolution's weight is ``(O, C / groups, kernel...)`` there and
``(kernel..., C / groups, O)`` here, a transposed one's ``(C, O / groups, kernel...)`` there and
``(kernel..., O / groups, C)`` here, a linear layer's ``(O, C)`` there and ``(C, O)`` here. What
follows a feature map that was flattened has its inputs in the order of ``(C, spatial...)`` there
and of ``(spatial..., C)`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from isoconv.errors import CheckpointError
from isoconv.graph.ir import Node
from isoconv.graph.operation import Array, operation
from isoconv.nn import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    DepthwiseConv2d,
    LayerNorm,
    Linear,
    LogSoftmax,
    Module,
    RMSNorm,
    Softmax,
    SqueezeExcitation,
    Traced,
)

_CONVOLUTIONS = (Conv1d, Conv2d, Conv3d, DepthwiseConv2d, ConvTranspose1d, ConvTranspose2d,
                 ConvTranspose3d)  # fmt: skip
_IN_PLACE = (LayerNorm, LogSoftmax, RMSNorm, Softmax)
"""Layers whose results stand where what they are made of stands, though they ask for all of it."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """An array of a layer, here and in PyTorch.

    Attributes:
        shape: here.
        torch_shape: in PyTorch.
        sides: of the array before its axes are moved, as PyTorch has them.
        order: of those axes, as they lie here.
    """

    shape: tuple[int, ...]
    torch_shape: tuple[int, ...]
    sides: tuple[int, ...]
    order: tuple[int, ...]

    def to_ours(self, array: Array) -> Array:
        """PyTorch's array as it lies here."""
        moved = array.reshape(self.sides).transpose(self.order)
        return np.ascontiguousarray(moved).reshape(self.shape)

    def to_torch(self, array: Array) -> Array:
        """An array from here as it lies in PyTorch."""
        back = tuple(self.order.index(axis) for axis in range(len(self.order)))
        moved = array.reshape(tuple(self.sides[axis] for axis in self.order)).transpose(back)
        return np.ascontiguousarray(moved).reshape(self.torch_shape)


def arranged(
    layer: Module,
    leaf: str,
    shape: tuple[int, ...],
    before: tuple[int, ...] | None,
    form: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None,
) -> Arranged:
    """How an array of a layer lies.

    Args:
        layer: it.
        leaf: the array's own name, ``"weight"``.
        shape: of the array here.
        before: shape of the feature map that was flattened before the layer, None where none was.
        form: the shape that a file has in place of the layer's own in PyTorch: ``(O, C)`` of a
            linear layer for a 1×1 convolution, say.

    Raises:
        CheckpointError: an array with several axes of a layer of which nobody knows.

    Example:
        >>> arranged(Conv2d(8, 3), "weight", (3, 3, 2, 8), None).torch_shape
        (8, 2, 3, 3)
        >>> arranged(Linear(10), "weight", (12, 10), (2, 2, 3)).sides
        (10, 3, 2, 2)
    """
    rank, count = len(shape), prod(shape)
    sides, order = shape, tuple(range(rank))
    own = shape
    if leaf == "weight" and isinstance(layer, _CONVOLUTIONS):
        own = (shape[-1], shape[-2], *shape[:-2])
        sides, order = own, (*range(2, rank), 1, 0)
    elif leaf.endswith("weight") and isinstance(layer, (Linear, SqueezeExcitation)):
        own = shape[::-1]
        sides, order = own, (1, 0)
        if before is not None:
            sides = (shape[1], *_first(before))
            order = (*range(2, len(before) + 1), 1, 0)
    elif isinstance(layer, (LayerNorm, RMSNorm)) and rank > 1:
        own = sides = _first(shape)
        order = (*range(1, rank), 0)
    elif before is not None and rank == 1 and prod(before) == count and not _filters(layer):
        sides, order = _first(before), (*range(1, len(before)), 0)
    elif rank > 1:
        raise CheckpointError(
            f"how {leaf!r} of shape {shape} lies in PyTorch is known for the library's own layers "
            f"alone; its layer is a {type(layer).__name__}"
        )
    return Arranged(shape, own if form is None else form(own), sides, order)


def _filters(layer: Module) -> bool:
    """Whether a layer's vectors belong to its results, and not to what it reads."""
    return isinstance(layer, (*_CONVOLUTIONS, Linear))


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its channels first."""
    return shape[-1], *shape[:-1]


def flattened(traced: Traced) -> dict[str, tuple[int, ...]]:
    """The feature map that was flattened before a layer, by the layer's name.

    Raises:
        CheckpointError: it cannot be told where the elements of one come to lie.
    """
    found: dict[str, tuple[int, ...]] = {}
    nodes = traced.builder.nodes
    kept = {
        call.result: call.sources[0]
        for call in traced.trace.calls
        if isinstance(call.module, _IN_PLACE)
    }
    for call in traced.trace.calls:
        if call.inner or len(call.sources) != 1:
            continue
        shape = _behind(nodes, kept, call.sources[0], call.path)
        if shape is not None:
            found[call.path] = shape
    return found


def _behind(
    nodes: Sequence[Node], kept: Mapping[int, int], place: int, layer: str
) -> tuple[int, ...] | None:
    """The feature map whose elements, flattened, a vector has in their order.

    Args:
        nodes: of the graph.
        kept: results of layers that leave each element in its place → what these read.
        place: of the vector.
        layer: that reads it.
    """
    known: set[int] = set()
    shapes: set[tuple[int, ...]] = set()
    waiting, clear = [place], True
    while waiting:
        place = waiting.pop()
        node = nodes[place]
        meaning = operation(node.op)
        if place in known or not _is_vector(node) or meaning.multiply_adds is not None:
            continue
        known.add(place)
        if place in kept:
            waiting.append(kept[place])
            continue
        before = [each for each in node.inputs if nodes[each].spec.batched]
        if meaning.view and not _is_vector(nodes[before[0]]):
            shape = nodes[before[0]].spec.shape
            # Where all sides are 1 both orders are one.
            shapes |= {shape} if prod(shape[:-1]) > 1 else set()
            continue
        inner = [each for each in before if _is_vector(nodes[each])]
        clear = clear and (meaning.pointwise or not inner)
        waiting.extend(inner)
    if shapes and (len(shapes) > 1 or not clear):
        raise CheckpointError(
            f"layer {layer!r} reads a flattened feature map whose elements were moved before: in "
            "which order PyTorch has its weights cannot be told",
            layer=layer,
        )
    return next(iter(shapes), None)


def _is_vector(node: Node) -> bool:
    return node.spec.batched and len(node.spec.shape) == 1
