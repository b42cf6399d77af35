"""Conditions of eight elements in a byte: stored by one kernel and read by another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import same_bits, targets
from tests.run.graphs import check, random_arrays, specials

import isoconv.ops as ops
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.pointwise.bits import BITS, suits_bits
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.target import Target, host_target
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph, TensorSpec

SAME = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
HALF = ops.WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))


def masked(shape: tuple[int, ...], dtype: DType = "float32") -> tuple[GraphBuilder, int, int]:
    """ReLU, and its gradient in a kernel of its own, where it meets what comes from ReLU."""
    b = GraphBuilder()
    x, dy = b.input("dataset", "x", shape, dtype), b.input("dataset", "dy", shape, dtype)
    y = b.add("relu", x)
    moved = b.add("reshape", b.add("add", y, dy), attrs=ops.Shape((int(np.prod(shape)),)))
    later = b.add("reshape", moved, attrs=ops.Shape(shape))
    return b, y, b.add("relu_grad", y, later)


def operands_of(graph: Graph, images: int, target: Target) -> tuple[list[str], list[str]]:
    """Element types of all that the graph's kernels read and write."""

    def place(name: str, spec: TensorSpec, region: str) -> Placement:
        buffer = Buffer(region, name, spec.size * spec.itemsize)
        image = spec.size if spec.batched else 0
        return Placement(buffer, spec.dtype, dense_strides(spec.shape), image, 0, "shifted")

    inputs = {
        node.attrs.name: place(node.attrs.name, node.spec, "dataset") for _, node in graph.inputs()
    }
    outputs = {name: place(name, graph[i].spec, "output") for name, i in graph.outputs}
    lowered = lower(graph, target, capacity=images, inputs=inputs, outputs=outputs)
    specs: list[Any] = [call.spec for call in lowered.shard]
    expressions = [spec.expression for spec in specs]
    return (
        [place.dtype for e in expressions for place in e.operands],
        [place.dtype for e in expressions for _, place in e.stores],
    )


@pytest.mark.parametrize("shape", [(8,), (16,), (24,), (5, 8), (3, 7, 40), (2, 2, 3, 16)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", targets())
def test_special_values(shape: tuple[int, ...], dtype: DType, target: Target) -> None:
    """Zeros of both signs, subnormals, infinities and NaN; rows that end within a vector."""
    b, _, dx = masked(shape, dtype)
    graph = b.graph([("dx", dx)])
    values = np.concatenate([specials(dtype), np.array([np.inf, -np.inf, np.nan], dtype)])
    for images in (1, 3):
        arrays = random_arrays(graph, images)
        arrays["x"] = np.resize(values, arrays["x"].shape)
        check(graph, arrays, images, target=target)


@pytest.mark.parametrize("target", targets())
def test_bits_where_vectors_fill_bytes(target: Target) -> None:
    """Bits are stored where vectors are long enough and channels fill bytes; else numbers are."""
    cases: list[tuple[int, DType]] = [
        (8, "float32"), (24, "float64"), (12, "float32"), (3, "float32")
    ]  # fmt: skip
    for channels, dtype in cases:
        b, _, dx = masked((5, channels), dtype)
        read, stored = operands_of(b.graph([("dx", dx)]), 3, target)
        bits = channels % 8 == 0 and target.lanes(dtype) >= 8
        assert suits_bits(target, TensorSpec((5, channels), dtype)) == bits
        assert read.count(BITS) == stored.count(BITS) == bits


@pytest.mark.parametrize("channels", [8, 24, 64])
@pytest.mark.parametrize(
    "target",
    [target for target in targets() if suits_bits(target, TensorSpec((8,), "float32"))],
)
def test_kernels_of_all_families(channels: int, target: Target) -> None:
    """Stored behind convolutions, sums and pooling; read behind gradients and before sums."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 6, channels))
    w = b.input("parameter", "w", (3, 3, channels, channels))
    one = b.input("parameter", "one", (3, 3, 1, channels))
    depthwise = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), channels)
    values, flow = [x], x
    for op, attrs, *more in (
        ("conv", SAME, w), ("conv", depthwise, one), ("max_pool", HALF), ("conv", SAME, w),
    ):  # fmt: skip
        values.append(b.add("relu", b.add(op, values[-1], *more, attrs=attrs)))
    outputs = []
    flow = b.add("exp", values[-1])
    flow = b.add("conv", flow, w, attrs=SAME)
    for number, value in enumerate(reversed(values[3:])):
        by_input = ops.ConvGradInput(SAME, b.spec(value).shape[:2])
        flow = b.add("relu_grad", value, b.add("conv_grad_input", flow, w, attrs=by_input))
        total = b.add("sum", flow, attrs=ops.Sum(1, batched=False))
        outputs += [(f"flow{number}", flow), (f"sum{number}", total)]
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 3), 3, target=target)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [8, 24, 1000, 4104])
def test_parts_of_a_team(parts: int, size: int) -> None:
    """Threads write bytes of their own, and all of them."""
    target = host_target()
    if target.lanes("float32") < 8:
        pytest.skip("vectors of this machine fill no bytes")
    x = aligned(np.random.default_rng(0).standard_normal((3, size)).astype(np.float32))
    bits = aligned(np.full(3 * size // 8, 255, np.uint8))
    expression = Expression(
        (Operand(0, "float32", (1,), size),), "", (Step("positive", (0,), None, BITS),),
        ((1, Operand(1, BITS, (1,), size)),),
    )  # fmt: skip
    spec = PointwiseSpec(Domain((size,)), expression, 2)
    run_kernel(spec, [x, bits], images=3, parts=parts)
    found = np.unpackbits(bits, bitorder="little").reshape(x.shape)
    assert np.array_equal(found, x > 0)
    result = aligned(np.empty_like(x))
    expression = Expression(
        (Operand(0, BITS, (1,), size), Operand(1, "float32", (1,), size)), "",
        (Step("relu_grad", (0, 1), None, "float32"),), ((2, Operand(2, "float32", (1,), size)),),
    )  # fmt: skip
    run_kernel(PointwiseSpec(Domain((size,)), expression, 3), [bits, x, result], 3, parts=parts)
    same_bits(result, np.where(x > 0, x, np.float32(0)))
