"""The graph: what a network computes, without a word on how.

A graph describes the work on one *shard* (a fixed number of images). A value is either *batched*
(one entry for each image of the shard) or *unbatched* (parameters, their gradients, statistics).
Shapes are written without the image axis: a feature map has shape ``(H, W, C)`` and is batched, a
kernel has shape ``(kh, kw, C, O)`` and is unbatched. How many images a shard holds is known when a
kernel runs, never before, so that one kernel serves every batch size.

Everything here is frozen; a pass makes a new graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

DType = Literal["float32", "float64", "int32", "int64", "uint8"]
DTYPES: dict[str, int] = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "uint8": 1}

InputKind = Literal["parameter", "state", "scalar", "dataset"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape without the image axis, element type, and whether there is an image axis."""

    shape: tuple[int, ...]
    dtype: DType = "float32"
    batched: bool = True

    @property
    def size(self) -> int:
        """Number of elements, of one image when batched."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return DTYPES[self.dtype]

    def __str__(self) -> str:
        sides = (["N"] if self.batched else []) + [str(side) for side in self.shape]
        return f"{self.dtype}({', '.join(sides)})"


@dataclass(frozen=True, slots=True)
class InputAttrs:
    """What a graph is given.

    - ``parameter``: learned, unbatched; one place in the flat vector of parameters.
    - ``state``: kept from step to step but not learned (running statistics), unbatched.
    - ``scalar``: one number that changes from step to step (``1/N``, a seed), unbatched.
    - ``dataset``: an array with one row for each sample, from which a shard takes its images.
    """

    kind: InputKind
    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """One operation and, since each operation has one result, one value.

    Attributes:
        op: name of a registered operation.
        inputs: positions in the graph of the values it takes; all smaller than its own.
        attrs: the operation's own frozen record of settings, or None.
        spec: what the result is.
        name: the layer that asked for it, for messages and explanations (``"features.0"``).
    """

    op: str
    inputs: tuple[int, ...]
    attrs: Any
    spec: TensorSpec
    name: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed, and the named values that are wanted."""

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    def __len__(self) -> int:
        return len(self.nodes)

    def inputs(self, kind: InputKind | None = None) -> Iterator[tuple[int, Node]]:
        """The input nodes with their positions, of one kind or of all."""
        for index, node in enumerate(self.nodes):
            if node.op == "input" and kind in (None, node.attrs.kind):
                yield index, node

    def output(self, name: str) -> int:
        """Position of the value with this output name."""
        return dict(self.outputs)[name]

    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each value the positions of the nodes that read it, in order."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.inputs):
                users[source].append(index)
        return tuple(tuple(readers) for readers in users)
