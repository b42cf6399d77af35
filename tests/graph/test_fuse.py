"""Fusion: legal groups for every graph, the groups that speed needs, and the same values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.places import same_bits
from tests.graph.random_graphs import HALF, SAME, random_graph

import isoconv.ops as ops
from isoconv import nn
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.fuse import fuse
from isoconv.graph.groups import Group
from isoconv.graph.ir import Graph
from isoconv.graph.operation import operation
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate


def check_legal(graph: Graph, groups: tuple[Group, ...]) -> None:
    """The rules that every fusion keeps."""
    owner = {}
    for number, group in enumerate(groups):
        for index in group.nodes:
            assert index not in owner, f"node {index} is in two groups"
            owner[index] = number
    assert set(owner) == {i for i, n in enumerate(graph.nodes) if n.op != "input"}
    wanted = {index for _, index in graph.outputs}
    for number, group in enumerate(groups):
        within = list(group.nodes)
        for place, index in enumerate(within):
            node = graph[index]
            for source in node.inputs:
                if graph[source].op == "input":
                    continue
                if owner[source] == number:
                    assert source in within[:place], "a value is used before it is made"
                    assert source not in group.sums, "a sum is read in its own pass"
                    assert index != group.anchor, "an anchor reads stored values alone"
                else:
                    assert owner[source] < number, "a group needs a later one"
                    assert source in groups[owner[source]].stored, "a value is not stored"
        read_elsewhere = {
            source
            for index, node in enumerate(graph.nodes)
            for source in node.inputs
            if owner.get(index) != number
        }
        needed = wanted | read_elsewhere
        assert set(group.stored) == needed & set(within)
        _check_shapes(graph, group)


def _check_shapes(graph: Graph, group: Group) -> None:
    """One domain per group, and a kernel family for it."""
    domain = {(graph[i].spec.shape, graph[i].spec.batched) for i in group.pointwise}
    assert all(operation(graph[i].op).pointwise for i in group.pointwise)
    if group.anchor >= 0:
        assert not group.sums
        if group.pointwise:
            assert operation(graph[group.anchor].op).epilogue
            domain.add((graph[group.anchor].spec.shape, graph[group.anchor].spec.batched))
    for index in group.sums:
        assert operation(graph[index].op).sums
        source = graph[graph[index].inputs[0]].spec
        domain.add((source.shape, source.batched))
    assert len(domain) <= 1
    assert len({(graph[i].attrs, graph[i].spec.dtype) for i in group.sums}) <= 1


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_every_fusion_is_legal(data: st.DataObject) -> None:
    """Each node in one group, groups in a possible order, values stored if read elsewhere."""
    graph = random_graph(data.draw)
    check_legal(graph, fuse(graph))
    single = fuse(graph, enabled=False)
    check_legal(graph, single)
    assert all(len(group.nodes) == 1 for group in single)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.data())
def test_fusion_changes_no_bit(data: st.DataObject) -> None:
    """Fused, one by one, and by the references: the same values."""
    graph = random_graph(data.draw)
    rng = np.random.default_rng(0)
    arrays = {}
    for _, node in graph.inputs():
        lead = (2,) if node.spec.batched else ()
        array = rng.normal(size=(*lead, *node.spec.shape))
        arrays[node.attrs.name] = array.astype(node.spec.dtype)
    with np.errstate(all="ignore"):
        expected = interpret(graph, arrays, images=2)
    for fusion in (True, False):
        found = evaluate(graph, arrays, 2, fusion=fusion)
        for name, array in expected.items():
            same_bits(found[name], array)


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mobilenetv2", "tinyvgg"])
def test_models(name: str) -> None:
    """Training graphs of the ready models fuse legally, and into far fewer groups."""
    traced = nn.trace_model(nn.models.create(name, 10, (32, 32, 3)), (32, 32, 3), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    wanted = [i for i in range(len(b)) if b[i].op == "input" and b[i].attrs.kind == "parameter"]
    flows = differentiate(b, {traced.output: seed}, wanted)
    outputs = [(f"d{i}", flow) for i, flow in flows.items()]
    graph = b.graph(outputs + list(traced.state_updates.items()))
    groups = fuse(graph)
    check_legal(graph, groups)
    computed = sum(node.op != "input" for node in graph.nodes)
    assert len(groups) < 0.75 * computed


def test_convolution_bias_relu() -> None:
    """The work behind a convolution is its epilogue, and only the result is stored."""
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (6, 6, 3)), b.input("parameter", "w", (3, 3, 3, 3))
    y = b.add("conv", x, w, attrs=SAME)
    z = b.add("add", y, b.input("parameter", "bias", (3,)))
    r = b.add("relu", z)
    graph = b.graph([("r", r)])
    relu = graph.output("r")
    assert fuse(graph) == (Group(relu - 3, (relu - 1, relu), (), (relu,)),)


def test_statistics_share_a_pass() -> None:
    """Both sums of a normalisation's gradient are taken in one pass over the same values."""
    b = GraphBuilder()
    x, dy, mean = (
        b.input("dataset", "x", (5, 5, 4)),
        b.input("dataset", "dy", (5, 5, 4)),
        b.input("parameter", "mean", (4,)),
    )
    over = ops.Sum(1, batched=False)
    first = b.add("sum", dy, attrs=over)
    second = b.add("sum", b.add("mul", dy, b.add("sub", x, mean)), attrs=over)
    graph = b.graph([("first", first), ("second", second)])
    (group,) = fuse(graph)
    assert group.sums == (graph.output("first"), graph.output("second"))
    assert group.stored == group.sums


def test_what_a_sum_alone_reads_is_made_in_its_pass() -> None:
    """The products that a scale's gradient adds up are not stored behind the convolution."""
    norm = nn.BatchNorm2d(frozen=True)
    model = nn.Sequential(nn.Conv2d(3, 1), norm, nn.ReLU6(), nn.Conv2d(4, 3))
    traced = nn.trace_model(model, (6, 6, 2), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    wanted = {b[i].attrs.name: i for i in range(len(b)) if b[i].op == "input"}
    parts = [wanted["0.weight"], wanted["1.weight"], wanted["1.bias"]]
    flows = differentiate(b, {traced.output: seed}, parts)
    graph = b.graph([(str(place), flows[place]) for place in parts])
    groups = fuse(graph)
    check_legal(graph, groups)
    (behind,) = (g for g in groups if g.anchor >= 0 and graph[g.anchor].op == "conv_grad_input")
    assert [graph[i].op for i in behind.stored] == ["clip_grad", "mul"]
    (summing,) = (g for g in groups if g.sums)
    assert [graph[i].op for i in summing.nodes] == ["mul", "sum", "sum"]


def test_a_root_does_not_take_in_what_it_reads() -> None:
    """The gradient of max(y) needs y before it; the group of y cannot become its epilogue."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 3))
    y = b.add("relu", b.add("scale", x, attrs=ops.Constant(2.0)))
    z = b.add("max_pool", y, attrs=HALF)
    dz = b.input("dataset", "dz", (2, 2, 3))
    dx = differentiate(b, {z: dz}, [x])[x]
    graph = b.graph([("z", z), ("dx", dx)])
    check_legal(graph, fuse(graph))


def test_normalised_rectified_pooled() -> None:
    """Convolution, batch normalisation, ReLU, max pooling: the most usual block of all."""
    model = nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2))
    traced = nn.trace_model(model, (6, 6, 2), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    flows = differentiate(b, {traced.output: seed}, [traced.input])
    graph = b.graph([("y", traced.output), ("dx", flows[traced.input])])
    check_legal(graph, fuse(graph))


def test_sums_of_two_dtypes_stay_apart() -> None:
    """A pass sums in one dtype."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 3))
    square = b.add("square", x)
    wide = b.add("convert", square, attrs=ops.Convert("float64"))
    over = ops.Sum(1, batched=False)
    outputs = [
        ("narrow", b.add("sum", square, attrs=over)),
        ("wide", b.add("sum", wide, attrs=over)),
    ]
    graph = b.graph(outputs)
    check_legal(graph, fuse(graph))


def test_a_diamond_is_not_torn() -> None:
    """In exp(sum of y) * y the sum must be whole before the product, in a later pass."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 3))
    y = b.add("neg", x)
    total = b.add("sum", y, attrs=ops.Sum(1, batched=False))
    z = b.add("mul", y, b.add("exp", total))
    graph = b.graph([("z", z)])
    groups = fuse(graph)
    check_legal(graph, groups)
    assert len(groups) == 3
