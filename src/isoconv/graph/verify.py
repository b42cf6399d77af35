"""The rules that a graph keeps; checked after every pass while ``passes.py`` is told to."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.errors import GraphError, IsoconvError, turned
from isoconv.graph.ir import Graph, InputAttrs, Node
from isoconv.graph.operation import operation


def verify(graph: Graph) -> Graph:
    """Check that a graph can be computed in the order in which it stands.

    The rules: each node's inputs come before it; its operation is registered; the shape rule gives
    the node's own spec; an input node says what it is, under a name of its own; each output exists,
    under a name of its own.

    Args:
        graph: what to check.

    Returns:
        The same graph.

    Raises:
        GraphError: a rule is broken; names the node and its layer.

    Example:
        >>> from isoconv.graph.builder import GraphBuilder
        >>> b = GraphBuilder()
        >>> x = b.input("dataset", "images", (4, 4, 1))
        >>> len(verify(b.graph([("x", x)])))
        1
    """
    verify_nodes(graph.nodes)
    _verify_outputs(graph)
    return graph


def verify_nodes(nodes: Sequence[Node]) -> None:
    """Check the rules of `verify` that are about nodes.

    Raises:
        GraphError: a rule is broken; names the node and its layer.
    """
    names: set[str] = set()
    for index, node in enumerate(nodes):
        where = f"node {index} ({node.op}) of layer {node.name!r}"
        late = [source for source in node.inputs if not 0 <= source < index]
        if late:
            raise GraphError(f"{where}: inputs must come before their reader; got {late}")
        if node.op == "input":
            _verify_input(where, node, names)
        else:
            _verify_spec(where, node, nodes)


def _verify_input(where: str, node: Node, names: set[str]) -> None:
    if not isinstance(node.attrs, InputAttrs) or node.inputs:
        raise GraphError(f"{where}: an input has InputAttrs and no inputs; got {node}")
    if node.spec.batched != (node.attrs.kind == "dataset"):
        raise GraphError(f"{where}: inputs of kind 'dataset', and no others, are batched: {node}")
    if node.attrs.name in names:
        raise GraphError(f"{where}: two inputs are called {node.attrs.name!r}")
    names.add(node.attrs.name)


def _verify_spec(where: str, node: Node, nodes: Sequence[Node]) -> None:
    try:
        inferred = operation(node.op).infer(
            node.attrs, *(nodes[source].spec for source in node.inputs)
        )
    except (IsoconvError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Settings of another operation, or none, fail in ways of their own.
        raise turned(error, GraphError, where) from error
    if inferred != node.spec:
        raise GraphError(f"{where}: the shape rule gives {inferred}, the node says {node.spec}")


def _verify_outputs(graph: Graph) -> None:
    seen: set[str] = set()
    for name, index in graph.outputs:
        if not 0 <= index < len(graph):
            raise GraphError(
                f"output {name!r} must be one of the graph's {len(graph)} nodes; got node {index}"
            )
        if name in seen:
            raise GraphError(f"two outputs are called {name!r}")
        seen.add(name)
