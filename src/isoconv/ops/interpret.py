"""Evaluates a graph by the exact references: slow, and the meaning of every kernel's bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isoconv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from isoconv.graph.ir import Graph, Node
from isoconv.graph.operation import Array, operation


def interpret(graph: Graph, arrays: Mapping[str, Array], images: int) -> dict[str, Array]:
    """Compute a graph's outputs for one shard.

    Args:
        graph: what to compute.
        arrays: for each input of the graph, by its name, the array: ``(N, ...)`` with one row for
            each image of the shard for data-set inputs, without an image axis for all others.
        images: how many images the shard holds.

    Returns:
        The outputs by name; batched ones lead with the images.

    Raises:
        ArgumentError: `images` is below 1, or an input has no array.
        DTypeError: an array has another dtype than its input.
        ShapeError: an array has another shape than its input.
        GraphError: a reference gave another shape or dtype than the graph says.

    Example:
        >>> import numpy as np
        >>> import isoconv.ops
        >>> from isoconv.graph.builder import GraphBuilder
        >>> b = GraphBuilder()
        >>> x = b.input("dataset", "x", (2,))
        >>> y = b.add("square", x)
        >>> interpret(b.graph([("y", y)]), {"x": np.float32([[1, 2], [3, 4]])}, images=2)["y"]
        array([[ 1.,  4.],
               [ 9., 16.]], dtype=float32)
    """
    if images < 1:
        text = f"a shard holds at least one image; got images={images}"
        raise ArgumentError(text, argument="images", value=images)
    values: list[Array] = []
    for node in graph.nodes:
        if node.op == "input":
            values.append(_given(node, arrays, images))
        else:
            values.append(_computed(node, [values[i] for i in node.inputs], images))
    return {name: values[index] for name, index in graph.outputs}


def _shape(node: Node, images: int) -> tuple[int, ...]:
    return (images, *node.spec.shape) if node.spec.batched else node.spec.shape


def _given(node: Node, arrays: Mapping[str, Array], images: int) -> Array:
    name, shape = node.attrs.name, _shape(node, images)
    if name not in arrays:
        text = f"every input needs an array: {name!r} is missing"
        raise ArgumentError(text, argument=f"arrays[{name!r}]")
    array = np.asarray(arrays[name])
    if array.dtype != np.dtype(node.spec.dtype):
        raise DTypeError(f"input {name!r} must have dtype {node.spec.dtype}; got {array.dtype}")
    if array.shape != shape:
        raise ShapeError(f"input {name!r} must have shape {shape}; got {array.shape}")
    return array


def _computed(node: Node, inputs: list[Array], images: int) -> Array:
    result = operation(node.op).reference(node.attrs, *inputs, images=images)
    if result.shape != _shape(node, images) or result.dtype != np.dtype(node.spec.dtype):
        raise GraphError(
            f"layer {node.name!r}: the reference of {node.op} gave {result.dtype}{result.shape} "
            f"for {node.spec} with {images} images"
        )
    return result
