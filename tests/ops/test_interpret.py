"""Evaluating and verifying graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import isoconv.ops  # noqa: F401  (fills the table)
from isoconv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.verify import verify
from isoconv.ops.geometry import ConvGeometry
from isoconv.ops.interpret import interpret


@pytest.fixture
def graph() -> Graph:
    """A linear layer and its activation."""
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (3,)), b.input("parameter", "w", (3, 2))
    with b.layer("dense"):
        y = b.add("conv", x, w, attrs=ConvGeometry.linear())
        z = b.add("relu", y)
    return b.graph([("y", y), ("z", z)])


ARRAYS = {
    "x": np.array([[1, 2, 3]], np.float32),
    "w": np.array([[1, -1], [1, -1], [1, -1]], np.float32),
}


def test_outputs(graph: Graph) -> None:
    """All outputs come back by name."""
    results = interpret(graph, ARRAYS, 1)
    assert {name: value.tolist() for name, value in results.items()} == {
        "y": [[6, -6]],
        "z": [[6, 0]],
    }


def test_missing_array(graph: Graph) -> None:
    """An input without an array is named."""
    with pytest.raises(ArgumentError, match="every input needs an array: 'w' is missing"):
        interpret(graph, {"x": ARRAYS["x"]}, 1)


def test_wrong_shape(graph: Graph) -> None:
    """The number of images belongs to the shape."""
    with pytest.raises(ShapeError, match=r"input 'x' must have shape \(2, 3\); got \(1, 3\)"):
        interpret(graph, ARRAYS, 2)


def test_wrong_dtype(graph: Graph) -> None:
    """Arrays are not converted."""
    with pytest.raises(DTypeError, match="input 'x' must have dtype float32; got float64"):
        interpret(graph, {**ARRAYS, "x": np.ones((1, 3))}, 1)


def test_no_images(graph: Graph) -> None:
    """A shard is never empty."""
    with pytest.raises(ArgumentError, match="at least one image; got images=0"):
        interpret(graph, ARRAYS, 0)


def test_verify_returns_the_graph(graph: Graph) -> None:
    """A sound graph goes through."""
    assert verify(graph) is graph


def changed(graph: Graph, index: int, **fields: Any) -> Graph:
    """The graph with one node changed."""
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)
    return replace(graph, nodes=tuple(nodes))


def test_verify_order(graph: Graph) -> None:
    """An input that comes later is named with node and layer."""
    with pytest.raises(GraphError) as caught:
        verify(changed(graph, 3, inputs=(3,)))
    assert str(caught.value) == (
        "node 3 (relu) of layer 'dense': inputs must come before their reader; got [3]"
    )


def test_verify_operation(graph: Graph) -> None:
    """An operation that is not registered is named."""
    with pytest.raises(GraphError, match=r"of layer 'dense': no operation is called 'swish'"):
        verify(changed(graph, 3, op="swish"))


def test_verify_spec(graph: Graph) -> None:
    """A node must be what its shape rule says."""
    with pytest.raises(GraphError, match=r"the shape rule gives float32\(N, 2\), the node says"):
        verify(changed(graph, 3, spec=TensorSpec((5,))))


def test_verify_inputs_fit(graph: Graph) -> None:
    """A shape rule's own complaint is passed on with node and layer."""
    with pytest.raises(GraphError, match=r"node 2 \(conv\) of layer 'dense': conv: "):
        verify(changed(graph, 2, inputs=(0, 0)))


def test_verify_input_nodes(graph: Graph) -> None:
    """Rows of a data set are batched, and names are used once."""
    with pytest.raises(GraphError, match="inputs of kind 'dataset', and no others, are batched"):
        verify(changed(graph, 0, spec=TensorSpec((3,), batched=False)))
    with pytest.raises(GraphError, match="an input has InputAttrs and no inputs"):
        verify(changed(graph, 0, attrs=None))
    twice = replace(graph[1], attrs=graph[0].attrs, spec=graph[0].spec)
    with pytest.raises(GraphError, match="two inputs are called 'x'"):
        verify(Graph((graph[0], twice), ()))


def test_verify_outputs(graph: Graph) -> None:
    """Outputs exist, once."""
    with pytest.raises(GraphError, match="output 'q' must be one of the graph's 4 nodes; got node"):
        verify(replace(graph, outputs=(("q", 4),)))
    with pytest.raises(GraphError, match="two outputs are called 'y'"):
        verify(replace(graph, outputs=(("y", 2), ("y", 3))))
