"""Values computed again where they are read: which ones, and what must stay stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.places import same_bits
from tests.graph.random_graphs import HALF, random_graph

import isoconv.ops as ops
from isoconv import nn
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.fuse import fuse
from isoconv.graph.groups import Group
from isoconv.graph.ir import Graph
from isoconv.graph.recompute import recompute
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate

OVER = ops.Sum(1, batched=False)


def check_complete(graph: Graph, groups: tuple[Group, ...]) -> None:
    """Everything that a group reads is an input, its own or stored by an earlier group."""
    stored = {index for index, _ in graph.inputs()}
    for group in groups:
        made: set[int] = set()
        for index in group.nodes:
            assert set(graph[index].inputs) <= stored | made, "a value is nowhere"
            made.add(index)
        domains = {(graph[i].spec.shape, graph[i].spec.batched) for i in group.pointwise}
        assert len(domains) <= 1
        stored |= set(group.stored)
    assert {index for _, index in graph.outputs} <= stored


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_nothing_is_missing(data: st.DataObject) -> None:
    """After recomputation every value that is read is at hand."""
    graph = random_graph(data.draw)
    check_complete(graph, recompute(graph, fuse(graph)))


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2"])
def test_normalisation_stores_no_difference(name: str) -> None:
    """Neither x - mean nor (x - mean) * inv of a batch normalisation is stored."""
    traced = nn.trace_model(nn.models.create(name, 10, (32, 32, 3)), (32, 32, 3), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    wanted = [i for i in range(len(b)) if b[i].op == "input" and b[i].attrs.kind == "parameter"]
    flows = differentiate(b, {traced.output: seed}, wanted)
    graph = b.graph([(f"d{i}", flow) for i, flow in flows.items()])
    before = fuse(graph)
    after = recompute(graph, before)
    check_complete(graph, after)
    differences = {
        index
        for index, node in enumerate(graph.nodes)
        if node.op == "sub" and len(node.spec.shape) == 3 and graph[node.inputs[0]].op == "conv"
    }
    assert differences & {index for group in before for index in group.stored}
    assert not differences & {index for group in after for index in group.stored}
    written = [
        sum(graph[i].spec.size for g in groups for i in g.stored) for groups in (before, after)
    ]
    assert written[1] < 0.9 * written[0]


def statistics(b: GraphBuilder, x: int, mean: int) -> tuple[int, ...]:
    """A difference that two passes read, and its two sums."""
    difference = b.add("sub", x, mean)
    total = b.add("sum", b.add("square", difference), attrs=OVER)
    last = b.add("mul", difference, b.add("exp", total))
    return difference, total, last


@pytest.mark.parametrize("own", [False, True])
def test_same_bits(own: bool) -> None:
    """Repeated work gives the bits of stored values, with numbers for all images and each one's."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (5, 5, 4))
    mean = b.input("dataset" if own else "parameter", "mean", (1, 1, 4))
    _, total, last = statistics(b, x, mean)
    graph = b.graph([("total", total), ("last", last)])
    groups = recompute(graph, fuse(graph))
    assert sum(graph[i].op == "sub" for group in groups for i in group.pointwise) == 2
    random = np.random.default_rng(0)
    arrays = {
        "x": random.normal(size=(3, 5, 5, 4)).astype(np.float32) * np.float32(0.1),
        "mean": random.normal(size=(3, 1, 1, 4)[not own :]).astype(np.float32),
    }
    expected = interpret(graph, arrays, images=3)
    for name, array in evaluate(graph, arrays, 3).items():
        same_bits(array, expected[name])


def test_outputs_stay() -> None:
    """A value that is wanted outside is stored, and then read."""
    b = GraphBuilder()
    x, mean = b.input("dataset", "x", (5, 5, 4)), b.input("parameter", "mean", (4,))
    difference, _, last = statistics(b, x, mean)
    graph = b.graph([("difference", difference), ("last", last)])
    assert recompute(graph, fuse(graph)) == fuse(graph)


def test_roots_read_memory() -> None:
    """Pooling reads what is stored, so the value that it reads stays."""
    b = GraphBuilder()
    x, mean = b.input("dataset", "x", (4, 4, 4)), b.input("parameter", "mean", (4,))
    difference, _, last = statistics(b, x, mean)
    pooled = b.add("max_pool", difference, attrs=HALF)
    graph = b.graph([("pooled", pooled), ("last", last)])
    assert recompute(graph, fuse(graph)) == fuse(graph)


def test_long_work_is_not_repeated() -> None:
    """Three operations from a stored value on are repeated; with one more its result is stored."""
    b = GraphBuilder()
    values = [b.input("dataset", "x", (5, 5, 4))]
    for number in range(5):
        values.append(b.add("scale", values[-1], attrs=ops.Constant(number + 0.5)))
    last = b.add("exp", b.add("sum", b.add("square", values[-1]), attrs=OVER))
    # Another pass reads every one of them.
    for value in values:
        last = b.add("mul", value, last)
    graph = b.graph([("last", last)])
    groups = recompute(graph, fuse(graph))
    stored = {index for group in groups for index in group.stored}
    homes = [sum(index in group.pointwise for group in groups) for index in range(1, 6)]
    assert stored & set(range(6)) == {4}
    assert homes == [2, 2, 2, 1, 2]


def test_dear_work_is_not_repeated() -> None:
    """An exponential is stored."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 4))
    y = b.add("exp", x)
    total = b.add("sum", y, attrs=OVER)
    graph = b.graph([("z", b.add("mul", y, total))])
    assert recompute(graph, fuse(graph)) == fuse(graph)
