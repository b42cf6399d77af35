"""Values of which only signs are read: which ones, and what must stay stored."""

from __future__ import annotations

from collections.abc import Callable

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
from isoconv.graph.groups import Group, asks_for_sign
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.recompute import recompute
from isoconv.graph.sign_masks import with_sign_masks
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate


def always(_: TensorSpec) -> bool:
    """Every value suits."""
    return True


def grouped(graph: Graph, suits: Callable[[TensorSpec], bool] = always) -> tuple[Group, ...]:
    """Groups as they are lowered."""
    return with_sign_masks(graph, recompute(graph, fuse(graph)), suits)


def check_complete(graph: Graph, groups: tuple[Group, ...]) -> None:
    """What a group reads is an input, its own, or left by an earlier group: itself or its signs."""
    stored, sign_masks = {index for index, _ in graph.inputs()}, set()
    for group in groups:
        made: set[int] = set()
        for index in group.nodes:
            for source in graph[index].inputs:
                asks = source in sign_masks and asks_for_sign(graph, group, source)
                assert source in stored | made or asks, "a value is nowhere"
            made.add(index)
        stored |= set(group.stored)
        assert set(group.sign_masks) <= set(group.pointwise)
        sign_masks |= set(group.sign_masks)
    assert {index for _, index in graph.outputs} <= stored


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_nothing_is_missing(data: st.DataObject) -> None:
    """Every value that is read is at hand, or its signs are where they are enough."""
    graph = random_graph(data.draw)
    check_complete(graph, grouped(graph))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.data())
def test_signs_change_no_bit(data: st.DataObject) -> None:
    """Fused, one by one, and by the references: the same values."""
    graph = random_graph(data.draw, channels=8)
    draw = np.random.default_rng(0)
    arrays = {}
    for _, node in graph.inputs():
        shape = (*((3,) if node.spec.batched else ()), *node.spec.shape)
        arrays[node.attrs.name] = draw.standard_normal(shape).astype(node.spec.dtype)
    with np.errstate(all="ignore"):
        expected = interpret(graph, arrays, images=3)
    for fusion in (True, False):
        for name, array in evaluate(graph, arrays, 3, fusion=fusion).items():
            same_bits(array, expected[name])


def pooled() -> tuple[GraphBuilder, int, int, int, int]:
    """A gradient that asks for the signs of a value which nobody else reads after pooling."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 8))
    y = b.add("relu", x)
    z = b.add("avg_pool", y, attrs=ops.AvgPool(HALF))
    dy = b.input("dataset", "dy", (2, 2, 8))
    flow = differentiate(b, {z: b.add("mul", z, dy)}, [x])[x]
    return b, x, y, z, flow


def test_value_is_not_stored_for_its_gradient() -> None:
    """Average pooling reads the value, its gradient does not: only signs stay."""
    b, x, _, z, flow = pooled()
    graph = b.graph([("z", z), ("dx", flow)])
    (maker,) = [group for group in grouped(graph) if group.sign_masks]
    (y,) = maker.sign_masks
    assert graph[y].op == "relu"
    # Pooling is a group of its own and reads all of it.
    assert y in maker.stored
    b = GraphBuilder()
    x = b.input("dataset", "x", (8,))
    y = b.add("relu", x)
    later = b.add("reshape", b.add("exp", y), attrs=ops.Shape((8,)))
    graph = b.graph([("later", later), ("dx", b.add("relu_grad", y, later))])
    (maker,) = [group for group in grouped(graph) if group.sign_masks]
    assert not any(graph[index].op == "relu" for index in maker.stored)


def test_outputs_and_other_readers_keep_the_value() -> None:
    """A value that is an output, or that another group computes with, stays stored."""
    b, _, y, z, flow = pooled()
    graph = b.graph([("y", y), ("z", z), ("dx", flow)])
    groups = grouped(graph)
    (maker,) = [group for group in groups if group.sign_masks]
    assert set(maker.sign_masks) <= set(maker.stored)
    check_complete(graph, groups)


def test_an_output_that_only_gradients_read() -> None:
    """It is stored for whoever wanted it, and its signs for the gradient."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (8,))
    y = b.add("relu", x)
    later = b.add("reshape", b.add("exp", y), attrs=ops.Shape((8,)))
    graph = b.graph([("y", y), ("dx", b.add("relu_grad", y, later))])
    (maker,) = [group for group in grouped(graph) if group.sign_masks]
    assert maker.sign_masks == (graph.output("y"),)
    assert graph.output("y") in maker.stored


def test_a_reader_that_needs_more_reads_the_value() -> None:
    """ReLU's gradient in one kernel with the gradient of max pooling, which reads the value."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, 4, 8))
    y = b.add("relu", x)
    z = b.add("max_pool", y, attrs=HALF)
    dy = b.input("dataset", "dy", (2, 2, 8))
    graph = b.graph([("dx", differentiate(b, {z: dy}, [x])[x])])
    assert not any(group.sign_masks for group in grouped(graph))


def test_nothing_changes_where_bits_do_not_suit() -> None:
    """Then every gradient reads the value itself."""
    b, _, _, z, flow = pooled()
    graph = b.graph([("z", z), ("dx", flow)])
    groups = recompute(graph, fuse(graph))
    assert with_sign_masks(graph, groups, lambda _: False) == groups


@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2"])
def test_networks_read_signs(name: str) -> None:
    """No ReLU's gradient in another kernel than its ReLU reads whole numbers for it."""
    traced = nn.trace_model(nn.models.create(name, 10, (32, 32, 3)), (32, 32, 3), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    wanted = [i for i in range(len(b)) if b[i].op == "input" and b[i].attrs.kind == "parameter"]
    flows = differentiate(b, {traced.output: seed}, wanted)
    graph = b.graph([(f"d{i}", flow) for i, flow in flows.items()])
    groups = grouped(graph)
    check_complete(graph, groups)
    sign_masks = {value for group in groups for value in group.sign_masks}
    masks = [node.inputs[0] for node in graph.nodes if node.op == "relu_grad"]
    assert len(masks) > 10
    assert set(masks) == sign_masks
