"""Building graphs: inference, equal nodes, layers, and what a graph keeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import isoconv.ops as ops
from isoconv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph, InputAttrs, InputKind, Node, TensorSpec
from isoconv.graph.operation import Operation, enter, operation, operations
from isoconv.ops.interpret import interpret


def test_inputs_are_batched_if_rows() -> None:
    """Only rows of a data set have an image axis."""
    b = GraphBuilder()
    for kind in ("parameter", "state", "scalar", "dataset"):
        index = b.input(kind, kind, (2, 3))
        assert b.spec(index) == TensorSpec((2, 3), "float32", kind == "dataset")
        assert b[index].attrs == InputAttrs(kind, kind)


def test_add_infers() -> None:
    """The result's shape and dtype come from the operation's rule."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 5, 3), "float64")
    y = b.add("sum", x, attrs=ops.Sum(1, batched=False))
    assert str(b.spec(y)) == "float64(3)"
    assert len(b) == 2


def test_add_refuses() -> None:
    """What an operation does not take is refused with the rule's own error."""
    b = GraphBuilder()
    x, y = b.input("dataset", "x", (3,)), b.input("dataset", "y", (4,))
    with pytest.raises(ShapeError, match=r"^add: .*\(N, 3\).*\(N, 4\)"):
        b.add("add", x, y)
    labels = b.input("dataset", "labels", (), "int32")
    with pytest.raises(DTypeError, match="int32"):
        b.add("exp", labels)
    with pytest.raises(GraphError, match="no operation is called 'frobnicate'"):
        b.add("frobnicate", x)
    with pytest.raises(GraphError, match=r"GraphBuilder\.input"):
        b.add("input")
    assert len(b) == 3


def test_equal_nodes_are_one() -> None:
    """The same operation on the same values with the same settings is made once."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    assert b.input("dataset", "x", (3,)) == x
    assert b.input("dataset", "z", (3,)) != x
    with b.layer("first"):
        y = b.add("scale", x, attrs=ops.Constant(2.0))
    with b.layer("second"):
        assert b.add("scale", x, attrs=ops.Constant(2.0)) == y
    assert b[y].name == "first"
    assert b.add("scale", x, attrs=ops.Constant(3.0)) != y
    assert b.add("offset", x, attrs=ops.Constant(2.0)) != y


def test_zeros_of_both_signs_are_two_constants() -> None:
    """-0.0 + 0.0 is 0.0 and -0.0 + -0.0 is -0.0, so the two nodes differ."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (1,))
    plus = b.add("offset", x, attrs=ops.Constant(0.0))
    minus = b.add("offset", x, attrs=ops.Constant(-0.0))
    # Also in records that Python takes for equal.
    slopes = [b.add("leaky_relu", x, attrs=ops.LeakyRelu(slope)) for slope in (0.0, -0.0)]
    assert slopes[0] != slopes[1]
    found = interpret(
        b.graph([("plus", plus), ("minus", minus)]), {"x": np.array([[-0.0]], np.float32)}, images=1
    )
    assert not np.signbit(found["plus"]).any()
    assert np.signbit(found["minus"]).all()


def test_names_of_inputs_are_unique() -> None:
    """Arrays are given by name, so a name is that of one input, whatever its kind."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    assert b.input("dataset", "x", (3,)) == x
    others: tuple[tuple[InputKind, tuple[int, ...], DType], ...] = (
        ("parameter", (3,), "float32"),
        ("dataset", (4,), "float32"),
        ("dataset", (3,), "float64"),
    )
    for kind, shape, dtype in others:
        with pytest.raises(ArgumentError, match=r"'x' is a dataset, float32\(N, 3\); got a "):
            b.input(kind, "x", shape, dtype)
    more = GraphBuilder(b.graph([("x", x)]))
    with pytest.raises(ArgumentError, match="names of inputs must be unique"):
        more.input("scalar", "x", ())
    assert len(b) == len(more) == 1


def test_a_copy_is_a_value_of_its_own() -> None:
    """A copy has its source's spec and another position."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    y = b.copy(x)
    assert y != x
    assert b.spec(y) == b.spec(x)
    assert b[y].inputs == (x,)


def test_layers_nest() -> None:
    """Nodes carry the innermost layer's name, also after an error inside it."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    with b.layer("outer"):
        with b.layer("inner"):
            inner = b.add("neg", x)
        outer = b.add("square", x)
        with pytest.raises(GraphError), b.layer("broken"):
            b.add("frobnicate", x)
        after = b.add("exp", x)
    assert [b[i].name for i in (x, inner, outer, after)] == ["", "inner", "outer", "outer"]


def test_a_graph_holds_what_its_outputs_need() -> None:
    """Other nodes are left out; the order stays; positions are closed up."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    b.input("dataset", "unused", (3,))
    y = b.add("neg", x)
    b.add("exp", x)
    z = b.add("mul", y, x)
    graph = b.graph([("z", z), ("y", y), ("again", z)])
    assert [node.op for node in graph.nodes] == ["input", "neg", "mul"]
    assert graph.outputs == (("z", 2), ("y", 1), ("again", 2))
    assert graph[2].inputs == (1, 0)
    assert graph.output("y") == 1
    assert graph.users() == ((1, 2), (2,), ())
    twice = b.graph([("square", b.add("mul", y, y))])
    assert twice.users() == ((1,), (2,), ())
    assert [index for index, _ in graph.inputs()] == [0]
    assert list(graph.inputs("parameter")) == []


def test_a_builder_goes_on_from_a_graph() -> None:
    """A builder that starts from a graph has its nodes at their positions."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    graph = b.graph([("y", b.add("neg", x))])
    more = GraphBuilder(graph)
    assert len(more) == 2
    assert more.add("neg", 0) == 1
    assert more.add("exp", 1) == 2


def test_a_builder_keeps_equal_nodes_of_a_graph_apart() -> None:
    """What stands behind two equal nodes still reads what it read."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    nodes = list(b.graph([("y", b.add("neg", x))]).nodes)
    nodes += [nodes[1], Node("exp", (2,), None, TensorSpec((3,)))]
    graph = Graph(tuple(nodes), (("y", 3),))
    more = GraphBuilder(graph)
    assert more.graph(graph.outputs)[2] == Node("exp", (1,), None, TensorSpec((3,)))
    assert more.nodes == graph.nodes


def test_graphs_are_frozen() -> None:
    """A pass makes a new graph."""
    node = Node("input", (), InputAttrs("dataset", "x"), TensorSpec((3,)))
    graph = Graph((node,), (("x", 0),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.nodes = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.op = "neg"  # type: ignore[misc]
    assert len(graph) == 1


def test_operation_names_are_unique() -> None:
    """The table takes a name once, and is read-only outside."""
    with pytest.raises(GraphError, match="'add' is registered already"):
        enter(operation("add"))
    assert isinstance(operation("add"), Operation)
    with pytest.raises(TypeError):
        operations()["add"] = None  # type: ignore[index]


def test_operations_say_what_their_elements_are_made_of() -> None:
    """One that is not pointwise and has no terms is refused; an input alone may go without."""
    silent = dataclasses.replace(operation("sum"), name="silent", terms=None)
    with pytest.raises(GraphError, match="by terms or by being pointwise; 'silent' does neither"):
        enter(silent)
    assert "silent" not in operations()
    without = {name for name, each in operations().items() if not (each.terms or each.pointwise)}
    assert without == {"input"}
    with pytest.raises(GraphError, match="the elements of an input are given"):
        operation("input").terms_of(None)  # type: ignore[arg-type]
