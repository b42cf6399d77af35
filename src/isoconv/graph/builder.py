"""Builds graphs node by node; equal nodes are made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any

from isoconv.checks import shown
from isoconv.errors import ArgumentError
from isoconv.graph.ir import DType, Graph, InputAttrs, InputKind, Node, TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass
from isoconv.graph.verify import verify


class GraphBuilder:
    """Collects nodes; ``add`` infers the result and returns the node's position.

    Example:
        >>> from isoconv.graph.builder import GraphBuilder
        >>> b = GraphBuilder()
        >>> x = b.input("dataset", "images", (4, 4, 1))
        >>> str(b.spec(x))
        'float32(N, 4, 4, 1)'
    """

    def __init__(self, graph: Graph | None = None) -> None:
        self._nodes: list[Node] = []
        self._known: dict[tuple[Any, ...], int] = {}
        self._inputs: dict[str, Node] = {}
        self._layer = ""
        for node in graph.nodes if graph is not None else ():
            if node.op == "input":
                self._inputs[node.attrs.name] = node
            # Each at its position, also where two are equal.
            self._known.setdefault(_key(node), len(self._nodes))
            self._nodes.append(node)

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, index: int) -> Node:
        return self._nodes[index]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes so far."""
        return tuple(self._nodes)

    def spec(self, index: int) -> TensorSpec:
        """What the value at this position is."""
        return self._nodes[index].spec

    @contextmanager
    def layer(self, name: str) -> Iterator[None]:
        """Nodes added inside carry this layer name."""
        outer, self._layer = self._layer, name
        try:
            yield
        finally:
            self._layer = outer

    def input(
        self,
        kind: InputKind,
        name: str,
        shape: Sequence[int],
        dtype: DType = "float32",
    ) -> int:
        """Add something that is given. Rows of a data set are batched, all else is not.

        Asked for again, it is the same one.

        Raises:
            ArgumentError: another input has this name; arrays are given by name alone.
        """
        spec = TensorSpec(tuple(shape), dtype, batched=kind == "dataset")
        node = Node("input", (), InputAttrs(kind, name), spec, self._layer)
        known = self._inputs.setdefault(name, node)
        if (known.attrs, known.spec) != (node.attrs, spec):
            raise ArgumentError(
                f"names of inputs must be unique: {name!r} is a {known.attrs.kind}, {known.spec}; "
                f"got a {kind}, {spec}",
                argument="name",
                value=name,
            )
        return self._append(node)

    def add(self, op: str, *inputs: int, attrs: Any = None) -> int:
        """Add an operation on earlier values and return its position.

        Raises:
            GraphError: there is no such operation.
            ArgumentError: settings of another kind than the operation's.
            ShapeError: the inputs' shapes do not fit the operation.
            DTypeError: an input has a dtype that the operation does not take.
        """
        entry = operation(op)
        if type(attrs) is not entry.attrs:
            kind = "no settings" if entry.attrs is NoneType else f"a {entry.attrs.__name__}"
            text = f"{op} takes {kind} as attrs; got {shown(attrs)}"
            raise ArgumentError(text, operation=op, argument="attrs", value=attrs)
        spec = entry.infer(attrs, *(self._nodes[index].spec for index in inputs))
        return self._append(Node(op, inputs, attrs, spec, self._layer))

    def copy(self, index: int) -> int:
        """Add a copy of a value: the same elements, in memory of their own."""
        node = self._nodes[index]
        return self._append(Node("copy", (index,), None, node.spec, self._layer))

    def _append(self, node: Node) -> int:
        key = _key(node)
        if key not in self._known:
            self._known[key] = len(self._nodes)
            self._nodes.append(node)
        return self._known[key]

    @checked_pass(lambda graph, *_: verify(graph))
    def graph(self, outputs: Sequence[tuple[str, int]]) -> Graph:
        """The graph of all that these outputs need, in the order in which it was added."""
        needed: set[int] = set()
        waiting = [index for _, index in outputs]
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                waiting.extend(self._nodes[index].inputs)
        place = {old: new for new, old in enumerate(sorted(needed))}
        nodes = tuple(
            Node(
                node.op,
                tuple(place[source] for source in node.inputs),
                node.attrs,
                node.spec,
                node.name,
            )
            for node in (self._nodes[old] for old in sorted(needed))
        )
        return Graph(nodes, tuple((name, place[index]) for name, index in outputs))


def _key(node: Node) -> tuple[Any, ...]:
    """What makes a node equal to another: its settings by their text, where 0.0 is not -0.0."""
    return node.op, node.inputs, repr(node.attrs), node.spec
