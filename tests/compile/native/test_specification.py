"""What kernels are said to compute: counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compile.geometries import Contraction, contraction, conv_graph

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.target import host_target
from isoconv.graph.ir import Node


def flops(case: Contraction, direction: str) -> int:
    """Those of one direction of a convolution."""
    graph = conv_graph(case, [direction])
    inputs = {
        node.attrs.name: placement(
            "dataset" if node.spec.batched else "parameter", node.attrs.name, node
        )
        for _, node in graph.inputs()
    }
    outputs = {name: placement("output", name, graph[index]) for name, index in graph.outputs}
    lowered = lower(graph, host_target(), capacity=case.images, inputs=inputs, outputs=outputs)
    contractions = (ContractSpec, ContractWeightSpec)
    return sum(
        call.flops(case.images) for call in lowered.shard if isinstance(call.spec, contractions)
    )


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
