"""What kernel calls are said to compute, move and be called: counted by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.compile.geometries import Contraction, contraction, conv_graph

from isoconv import nn
from isoconv.compile.calls import Call, Lowered
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.native.runtime import AdvanceSpec
from isoconv.compile.native.specification import Scheduled
from isoconv.compile.target import host_target
from isoconv.graph.ir import Node
from isoconv.run.step import StepPlan
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD


def lowered(case: Contraction, *directions: str) -> Lowered:
    """The calls of a convolution in these directions."""
    graph = conv_graph(case, directions)
    inputs = {
        node.attrs.name: placement(
            "dataset" if node.spec.batched else "parameter", node.attrs.name, node
        )
        for _, node in graph.inputs()
    }
    outputs = {name: placement("output", name, graph[index]) for name, index in graph.outputs}
    return lower(graph, host_target(), capacity=case.images, inputs=inputs, outputs=outputs)


def flops(case: Contraction, direction: str) -> int:
    """Those of one direction of a convolution."""
    calls = [call for call in lowered(case, direction).shard if call.schedule is not None]
    assert {type(call.spec) for call in calls} <= {
        ContractSpec, InsideContractSpec, ContractWeightSpec
    }  # fmt: skip
    return sum(call.flops(case.images) for call in calls)


def placement(region: str, name: str, node: Node) -> Placement:
    """A value behind the one of the image before."""
    spec = node.spec
    buffer = Buffer(region, name, spec.size * spec.itemsize, spec.batched)
    strides = dense_strides(spec.shape)
    return Placement(buffer, spec.dtype, strides, spec.size if spec.batched else 0, 0)


@pytest.mark.parametrize("direction", ["conv", "conv_grad_weight"])
def test_contractions(direction: str) -> None:
    """Two for every product, the same forward and by weight."""
    case = contraction((3, 2), (7, 9), 5, 6, images=3)
    assert flops(case, direction) == 2 * 3 * (5 * 8) * (3 * 2) * 5 * 6


def test_padding_is_not_counted_where_it_is_left_out() -> None:
    """3×3 on 2×2: 16 of 36 pairs meet no padding."""
    case = contraction((3, 3), (2, 2), 32, 32, padding=1, images=3)
    for direction in ("conv", "conv_grad_input", "conv_grad_weight"):
        assert flops(case, direction) == 2 * 3 * 32 * 32 * 16


def test_padding_by_weight_is_left_out_by_rows_and_by_columns() -> None:
    """3×3 on 40×2, then on 2×40: the long side has too little of it."""
    products = 2 * 3 * 32 * 32
    tall = contraction((3, 3), (40, 2), 32, 32, padding=1, images=3)
    assert flops(tall, "conv_grad_weight") == products * (3 * 40) * 4
    wide = contraction((3, 3), (2, 40), 32, 32, padding=1, images=3)
    assert flops(wide, "conv_grad_weight") == products * 4 * (3 * 40)


def test_padding_counts_where_it_takes_part() -> None:
    """On a wide plane it is too little to be left out."""
    case = contraction((3, 3), (40, 40), 16, 16, padding=1, images=1)
    assert flops(case, "conv") == 2 * np.prod([40, 40, 3, 3, 16, 16])


DIRECTIONS = ("conv", "conv_grad_input", "conv_grad_weight")
CASES = {
    "contraction": contraction((3, 3), (9, 8), 20, 24, padding=1),
    "inside": contraction((3, 3), (2, 2), 32, 32, padding=1),
    "linear": contraction((), (), 5, 9, images=11),
    "depthwise": contraction((3, 3), (9, 8), 20, 20, groups=20, padding=1),
}


@pytest.mark.parametrize("name", CASES)
def test_titles_of_directions(name: str) -> None:
    """The same kernel may go forward and back; what is said of a call is which way it goes.

    Of a convolution and a transposed one with the same weights, the second is the first's gradient.
    """
    case = CASES[name]
    forward, back, weight = DIRECTIONS
    for directions, titles in (
        ([forward], ["forward"]),
        ([back], ["forward"]),
        ([forward, back], ["forward", "gradient by input"]),
        ([back, forward], ["forward", "gradient by input"]),
        ([weight], ["gradient by weight"]),
    ):
        found = lowered(case, *directions)
        assert [call.title for call in found.shard if call.spec.heavy] == titles
        if name != "depthwise" and weight not in directions:
            assert {call.title for call in found.prepare} == {"packing of weights"}


@pytest.mark.parametrize("rows", [0, 1], ids=["whole", "chunks"])
def test_titles_of_winograd(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps and contractions by themselves have titles of their own, together they are one."""
    monkeypatch.setattr("isoconv.compile.winograd.rules.chunk_rows", lambda *_, **__: rows)
    model = nn.Sequential(
        nn.Conv2d(8, 3, padding=1, algorithm="winograd"),
        nn.Conv2d(8, 3, padding=1, algorithm="winograd"), nn.Flatten(), nn.Linear(3),
    ).build((8, 8, 2))  # fmt: skip
    step = build_step(model, Preparation((8, 8, 2), "float32"), Loss(), SGD(0.1), None)
    shard = StepPlan(step, 2, host_target(), fusion=True).shard
    found = Counter(call.title for call in shard.shard)
    # The first of three layers has no gradient by its input.
    directions = {"forward": 3, "gradient by input": 2, "gradient by weight": 3}
    assert {title: found[title] for title in directions} == directions
    maps = {title: count for title, count in found.items() if title.startswith("Winograd")}
    weights = {"Winograd, weight, gradient": 2}
    whole = {"Winograd, input": 2, "Winograd, output, gradient": 2, "Winograd, output": 2,
             "Winograd, input, gradient": 1}  # fmt: skip
    assert maps == (weights if rows else whole | weights)


def test_bytes() -> None:
    """Each operand once: of every image where it has them, by the row where it is a data set's."""
    buffers = (
        Buffer("dataset", "x", 0, batched=True), Buffer("order", "x", 0),
        Buffer("arena", "a", 40, batched=True), Buffer("parameter", "w", 100),
        Buffer("scratch", "scratch", 10**6), Buffer("output", "y", 0),
    )  # fmt: skip
    call = Call(AdvanceSpec(), buffers, (2, 5))
    assert call.bytes(3, {"x": 7, "y": 11}) == 3 * 7 + 3 * 40 + 100 + 3 * 11


def test_a_kernel_is_known_by_its_schedule_too() -> None:
    """Where there is none, by its specification."""
    tile = Tile(1, 2, 1, 4)
    assert Call(AdvanceSpec(), (), ()).kernel == AdvanceSpec()
    assert Call(AdvanceSpec(), (), (), schedule=tile).kernel == Scheduled(AdvanceSpec(), tile)
