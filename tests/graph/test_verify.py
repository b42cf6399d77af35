"""A broken graph is found, and the message says where."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import isoconv.ops as ops
from isoconv.errors import GraphError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph, InputAttrs, Node, TensorSpec
from isoconv.graph.verify import verify


def sound() -> Graph:
    """The graph of -x * 2, in a layer of its own."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    with b.layer("features.0"):
        y = b.add("scale", b.add("neg", x), attrs=ops.Constant(2.0))
    return b.graph([("y", y)])


def replaced(graph: Graph, index: int, **changes: Any) -> Graph:
    """The graph with one node changed."""
    nodes = list(graph.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    return Graph(tuple(nodes), graph.outputs)


def test_a_sound_graph_comes_back() -> None:
    """A pass can end with verify."""
    graph = sound()
    assert verify(graph) is graph


@pytest.mark.parametrize("source", [1, 2, 7, -1])
def test_inputs_come_before_their_reader(source: int) -> None:
    """A node may read neither itself, nor later nodes, nor nodes that do not exist."""
    with pytest.raises(GraphError, match=r"node 1 \(neg\) of layer 'features\.0'.*before"):
        verify(replaced(sound(), 1, inputs=(source,)))


def test_the_shape_rule_is_asked() -> None:
    """A node whose spec is another than the inferred one is found."""
    wrong = TensorSpec((4,))
    with pytest.raises(GraphError, match=r"gives float32\(N, 3\), the node says float32\(N, 4\)"):
        verify(replaced(sound(), 2, spec=wrong))


def test_the_shape_rule_refuses() -> None:
    """An operation that does not take its inputs is named with the rule's words."""
    with pytest.raises(GraphError, match=r"node 2 \(hits\).*hits: "):
        verify(replaced(sound(), 2, op="hits", inputs=(1, 1), attrs=ops.Hits(1)))


def test_unknown_operations() -> None:
    """An unregistered operation is named."""
    with pytest.raises(GraphError, match="'frobnicate'"):
        verify(replaced(sound(), 1, op="frobnicate"))


def test_inputs_say_what_they_are() -> None:
    """An input needs its record, no sources, and an image axis if it is a data set's rows."""
    graph = sound()
    with pytest.raises(GraphError, match="InputAttrs"):
        verify(replaced(graph, 0, attrs=None))
    with pytest.raises(GraphError, match="are batched"):
        verify(replaced(graph, 0, attrs=InputAttrs("parameter", "x")))


def test_names_are_unique() -> None:
    """Neither two inputs, of whatever kinds, nor two outputs share a name."""
    graph = sound()
    for kind in ("dataset", "parameter"):
        spec = TensorSpec((5,), batched=kind == "dataset")
        twice = Node("input", (), InputAttrs(kind, "x"), spec)
        with pytest.raises(GraphError, match="two inputs are called 'x'"):
            verify(Graph((*graph.nodes, twice), graph.outputs))
    with pytest.raises(GraphError, match="two outputs are called 'y'"):
        verify(Graph(graph.nodes, (("y", 1), ("y", 2))))


def test_outputs_exist() -> None:
    """An output must be one of the nodes."""
    for index in (3, -1):
        with pytest.raises(GraphError, match=f"output 'y'.*got node {index}"):
            verify(Graph(sound().nodes, (("y", index),)))
