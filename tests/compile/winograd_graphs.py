"""Winograd's convolutions as graphs, for tests: `cases()` draws them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from tests.compile.geometries import FLOATS, WIDTHS

import isoconv.ops as ops
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array


def arrays_for(
    graph: Graph, images: int, make: Callable[[tuple[int, ...], DType, int], Array]
) -> dict[str, Array]:
    """Values for every input: ``make(shape, dtype, seed)``."""
    found = {}
    for seed, (_, node) in enumerate(graph.inputs()):
        spec = node.spec
        shape = (images, *spec.shape) if spec.batched else spec.shape
        found[node.attrs.name] = make(shape, spec.dtype, seed)
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[ops.WinogradPatches, int, int, DType, int]:
    """Small inputs, paddings of 0 to 2 on each side, channels around the width of vectors."""
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    padding = (draw(pair), draw(pair))
    height, width = (draw(st.integers(max(1, 3 - sum(p)), 8)) for p in padding)
    channels, filters = (draw(st.sampled_from(WIDTHS)) for _ in range(2))
    dtype = draw(st.sampled_from(FLOATS))
    return (
        ops.WinogradPatches((height, width), padding),
        channels,
        filters,
        dtype,
        draw(st.integers(1, 3)),
    )


def convolution(
    patches: ops.WinogradPatches,
    channels: int,
    filters: int,
    dtype: DType = "float32",
    more: tuple[str, ...] = (),
) -> Graph:
    """A convolution with its gradients, and pointwise work on its results."""
    b = GraphBuilder()
    outputs = ops.WinogradOutput(patches.outputs)
    x = b.input("dataset", "x", (*patches.sides, channels), dtype)
    w = b.input("parameter", "w", (3, 3, channels, filters), dtype)
    dy = b.input("dataset", "dy", (*outputs.sides, filters), dtype)
    v, u = b.add("winograd_input", x, attrs=patches), b.add("winograd_weight", w)
    y = b.add("winograd_output", b.add("winograd_product", v, u), attrs=outputs)
    dm = b.add("winograd_output_grad", dy, attrs=outputs)
    dv = b.add("winograd_product_grad_input", dm, u)
    dx = b.add("winograd_input_grad", dv, attrs=patches)
    du = b.add("winograd_product_grad_weight", v, dm)
    results = {
        "y": b.add("relu", y),
        "dx": b.add("add", dx, x),
        "dw": b.add("winograd_weight_grad", du),
        "v": v, "dm": dm, "dv": dv,
    }  # fmt: skip
    return b.graph([(name, results[name]) for name in ("y", "dx", "dw", *more)])
