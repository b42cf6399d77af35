"""Products of matrices, bit for bit: sizes around the tiles, broadcasting, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compile.geometries import extremes
from tests.compile.places import targets
from tests.run.graphs import check, numbers, random_arrays

import isoconv.ops as ops
from isoconv.compile.target import Target
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph

Shape = tuple[int, ...]


def product_graph(a: Shape, b: Shape, shared: str = "", dtype: DType = "float32") -> Graph:
    """A product with a bias and an activation behind it, and its gradients."""
    builder = GraphBuilder()
    first, second = (
        builder.input("parameter" if name in shared else "dataset", name, shape, dtype)
        for name, shape in (("a", a), ("b", b))
    )
    y = builder.add("matmul", first, second)
    z = builder.add("relu", builder.add("add", y, builder.input("parameter", "c", b[-1:], dtype)))
    spec = builder.spec(y)
    dy = builder.input("dataset" if spec.batched else "parameter", "dy", spec.shape, dtype)
    flows = differentiate(builder, {y: dy}, [first, second])
    outputs = [("y", y), ("z", z), ("da", flows[first]), ("db", flows[second])]
    return builder.graph(outputs)


CASES: list[tuple[Shape, Shape, str]] = [
    ((1, 1), (1, 1), ""),
    ((3, 5), (5, 7), ""),
    ((17, 33), (33, 65), ""),
    ((40, 2), (2, 129), ""),
    ((2, 9, 4), (2, 4, 16), ""),
    ((2, 1, 3, 4), (1, 5, 4, 18), ""),
    ((3, 6), (2, 6, 9), "a"),
    ((2, 5, 6), (6, 9), "b"),
    ((5, 6), (6, 9), "ab"),
]


@pytest.mark.parametrize(("a", "b", "shared"), CASES, ids=str)
def test_sizes(a: Shape, b: Shape, shared: str) -> None:
    """Parts of vectors and of tiles, leading axes, operands of all images."""
    graph = product_graph(a, b, shared)
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", targets())
def test_targets(target: Target, dtype: DType) -> None:
    """Every instruction set gives the same bits, of zeros, subnormals and overflows too."""
    graph = product_graph((5, 9), (9, 21), dtype=dtype)
    for make in (numbers, extremes):
        arrays = {
            node.attrs.name: make(
                (2, *node.spec.shape) if node.spec.batched else node.spec.shape, dtype, seed
            )
            for seed, (_, node) in enumerate(graph.inputs())
        }
        check(graph, arrays, 2, target=target)


def test_operands_with_gaps() -> None:
    """An operand may be a part of another value, a value with a halo, or the same one twice."""
    b = GraphBuilder()
    x = b.add("relu", b.input("dataset", "x", (9, 8, 6)))
    geometry = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    halo = b.add("conv", x, b.input("parameter", "w", (3, 3, 6, 2)), attrs=geometry)
    crop = b.add("crop", x, attrs=ops.Padding(((0, 0), (1, 1))))
    part = b.add("slice_channels", x, attrs=ops.Slice(1, 6))
    turned = b.add("transpose", x, attrs=ops.Permutation((0, 2, 1)))
    outputs = [
        ("halo", halo),
        ("crop", b.add("matmul", turned, x)),
        ("cropped", b.add("matmul", crop, turned)),
        ("part", b.add("matmul", turned, part)),
    ]
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 2), 2)


def test_infinities() -> None:
    """What is infinite or no number reaches its row or its column, and nothing else."""
    graph = product_graph((4, 5), (5, 6))
    arrays = random_arrays(graph, 1)
    arrays["a"][0, 1, 2], arrays["b"][0, 3, 4] = np.inf, np.nan
    y = check(graph, arrays, 1)["y"][0]
    assert not np.isfinite(y[1]).any()
    assert np.isnan(y[:, 4]).all()
    assert np.isfinite(np.delete(np.delete(y, 1, 0), 4, 1)).all()
