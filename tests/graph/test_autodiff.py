"""Reverse mode: which cotangents meet, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import isoconv.ops as ops
from isoconv.errors import GraphError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Operation, operation
from isoconv.graph.verify import verify
from isoconv.ops.interpret import interpret


def start(shape: tuple[int, ...] = (3,), dtype: DType = "float32") -> tuple[GraphBuilder, int, int]:
    """A builder with an input x and a cotangent dy."""
    b = GraphBuilder()
    return b, b.input("dataset", "x", shape, dtype), b.input("dataset", "dy", shape, dtype)


def test_the_gradient_of_a_value_by_itself_is_the_seed() -> None:
    """Nothing is computed for dx/dx."""
    b, x, dy = start()
    assert differentiate(b, {x: dy}, [x]) == {x: dy}
    assert len(b) == 2


def test_the_chain_rule() -> None:
    """d(-2x)/dx = -2."""
    b, x, dy = start()
    y = b.add("neg", b.add("scale", x, attrs=ops.Constant(2.0)))
    dx = differentiate(b, {y: dy}, [x])[x]
    found = interpret(b.graph([("dx", dx)]), {"dy": np.array([[1, -3, 0.5]], np.float32)}, images=1)
    np.testing.assert_array_equal(found["dx"], [[-2, 6, -1]])


def test_cotangents_are_added_last_reader_first() -> None:
    """Three readers: ((last + middle) + first), as the rounding shows."""
    b, x, dy = start((1,))
    big = [b.add("scale", x, attrs=ops.Constant(c)) for c in (1.0, 2.0**24, -(2.0**24))]
    y = b.add("add", b.add("add", big[0], big[1]), big[2])
    flows = differentiate(b, {y: dy}, [x])
    graph = verify(b.graph([("dx", flows[x])]))
    last = graph.output("dx")
    order = []
    while graph[last].op == "add":
        left, right = graph[last].inputs
        order.append(graph[right].attrs.value)
        last = left
    assert [*order, graph[last].attrs.value] == [1.0, 2.0**24, -(2.0**24)]
    found = interpret(graph, {"dy": np.array([[1.0]], np.float32)}, images=1)
    np.testing.assert_array_equal(found["dx"], [[1.0]])


def test_several_seeds() -> None:
    """The gradients of several seeded values are those of their weighted sum."""
    b, x, dy = start()
    square = b.add("square", x)
    anchor = b.add("mul", square, x)
    flows = differentiate(b, {square: dy, anchor: dy}, [x])
    values = {"x": np.array([[1, 2, -3]], np.float32), "dy": np.array([[1, 1, 2]], np.float32)}
    found = interpret(b.graph([("dx", flows[x])]), values, images=1)
    np.testing.assert_array_equal(found["dx"], [[5, 16, 42]])


def test_only_what_is_wanted_is_computed() -> None:
    """No node is added for values on no path, and unreached values are left out."""
    b, x, dy = start()
    other = b.input("dataset", "other", (3,))
    beside = b.add("exp", other)
    y = b.add("mul", x, beside)
    before = len(b)
    flows = differentiate(b, {y: dy}, [x, dy])
    assert set(flows) == {x}
    added = [b[i].op for i in range(before, len(b))]
    assert added.count("mul") <= 2
    assert "exp" not in added


def test_layers_keep_their_names() -> None:
    """Gradient nodes belong to the layer that they differentiate."""
    b, x, dy = start()
    with b.layer("features.3"):
        y = b.add("tanh", x)
    before = len(b)
    differentiate(b, {y: dy}, [x])
    assert {b[i].name for i in range(before, len(b))} == {"features.3"}


def test_no_gradient_is_an_error() -> None:
    """Where a gradient would have to flow through an operation without one, its reason is told."""
    b, x, _ = start()
    labels = b.input("dataset", "labels", (), "int32")
    with b.layer("metric"):
        y = b.add("hits", x, labels, attrs=ops.Hits(1))
    seed = b.input("dataset", "seed", ())
    reason = operation("hits").why_no_gradient
    with pytest.raises(GraphError, match="layer 'metric': hits has no gradient") as caught:
        differentiate(b, {y: seed}, [x])
    assert reason in str(caught.value)


def test_operations_off_the_path_may_have_no_gradient() -> None:
    """A value that nothing wanted leads to needs no gradient rule."""
    b, x, _ = start()
    labels = b.input("dataset", "labels", (), "int32")
    hits = b.add("hits", x, labels, attrs=ops.Hits(1))
    other = b.input("dataset", "other", ())
    y = b.add("mul", hits, other)
    seed = b.input("dataset", "seed", ())
    assert set(differentiate(b, {y: seed}, [other])) == {other}


def test_a_wrong_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient rule that gives another shape than its input's is a fault that is named."""
    b, x, _ = start()
    y = b.add("sum", x, attrs=ops.Sum(0, batched=True))
    seed = b.input("dataset", "seed", ())
    entry = operation("sum")

    def identity(*given: Any) -> tuple[int, ...]:
        return given[-1:]

    wrong = Operation("sum", entry.summary, entry.infer, entry.reference, identity)
    monkeypatch.setattr("isoconv.graph.autodiff.operation", {"sum": wrong}.get)
    with pytest.raises(GraphError, match=r"the gradient rule of sum gave float32\(N\)"):
        differentiate(b, {y: seed}, [x])


def test_second_derivatives() -> None:
    """Gradients are nodes like others: d2(x^3)/dx2 = 6x."""
    b, x, dy = start(dtype="float64")
    cube = b.add("mul", b.add("square", x), x)
    first = differentiate(b, {cube: dy}, [x])[x]
    second = differentiate(b, {first: dy}, [x])[x]
    values = {"x": np.array([[1.0, -2.0, 0.5]]), "dy": np.ones((1, 3))}
    found = interpret(verify(b.graph([("ddx", second)])), values, images=1)
    np.testing.assert_array_equal(found["ddx"], [[6.0, -12.0, 3.0]])
