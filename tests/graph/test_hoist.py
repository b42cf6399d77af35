"""Work that is done once, before all shards: which, and what has to stay in them."""

from __future__ import annotations

from tests.run.graphs import check, random_arrays

import isoconv.ops as ops
from isoconv import nn
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.fuse import fuse
from isoconv.graph.hoist import hoisted
from isoconv.graph.ir import Graph
from isoconv.nn.inference import inference_graph


def names(graph: Graph) -> list[str]:
    """Operations of the nodes that are hoisted, in order."""
    return [graph[index].op for index in sorted(hoisted(graph, fuse(graph)))]


def test_deviations_of_normalisation() -> None:
    """A prediction takes each inverse standard deviation once and all else for each image."""
    model = nn.models.create("mobilenetv2", 10, (32, 32, 3)).build((32, 32, 3))
    graph = inference_graph(model, (32, 32, 3), "float32", "softmax")
    found = names(graph)
    assert found == [node.op for node in graph.nodes if node.op == "inverse_std"]
    assert len(found) == 52


def test_chains_of_one_group() -> None:
    """Several operations on weights alone are one group, and hoisted together."""
    b = GraphBuilder()
    x, p, s = (
        b.input("dataset", "x", (3,)),
        b.input("parameter", "p", (3,)),
        b.input("state", "s", (3,)),
    )
    fixed = b.add("square", b.add("add", p, s))
    graph = b.graph([("y", b.add("mul", x, fixed))])
    assert names(graph) == ["add", "square"]


def test_without_images() -> None:
    """What runs once anyway has nothing before it."""
    b = GraphBuilder()
    square = b.add("square", b.input("parameter", "p", (2, 3)))
    graph = b.graph([("y", b.add("reshape", square, attrs=ops.Shape((3, 2), batched=False)))])
    assert names(graph) == []


def test_what_stays() -> None:
    """What reads data, a scalar of the step or another kernel's result, and what is an output."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (3,)), b.input("parameter", "p", (3,))
    rate = b.input("scalar", "rate", ())
    mean = b.add("sum", x, attrs=ops.Sum(1, batched=False))
    of_data = b.add("mul", mean, p)
    of_scalar = b.add("mul", p, rate)
    of_sum = b.add("neg", b.add("sum", p, attrs=ops.Sum(0, batched=False)))
    total = x
    for value in (of_data, of_scalar, of_sum):
        total = b.add("mul", total, value)
    wanted = b.add("square", p)
    graph = b.graph([("total", total), ("wanted", wanted)])
    assert names(graph) == []


def test_what_is_made_for_each_image() -> None:
    """A parameter repeated for the images has as many copies as a shard has images."""
    b = GraphBuilder()
    p, w = b.input("parameter", "p", (3,)), b.input("parameter", "w", (1, 1, 3, 5))
    x = b.input("dataset", "x", (4, 4, 5))
    repeated = b.add("broadcast", p, attrs=ops.Broadcast((4, 4, 3), True, source_batched=False))
    geometry = ops.ConvGeometry((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    y = b.add("mul", x, b.add("conv", repeated, w, attrs=geometry))
    graph = b.graph([("y", y)])
    assert names(graph) == []
    check(graph, random_arrays(graph, 3), 3)
