"""Products of matrices: NumPy's meaning, of images' own matrices and of shared ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.places import same_bits

import isoconv as ic
from isoconv import nn
from isoconv.errors import ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate
from isoconv.run.inference import Predictor

Shape = tuple[int, ...]
CASES: list[tuple[Shape, Shape, str]] = [
    # shapes of one image, and which of both all images share
    ((3, 4), (4, 5), ""),
    ((2, 3, 4), (4, 5), ""),
    ((2, 1, 3, 4), (3, 4, 5), ""),
    ((2, 3, 4), (4, 5), "b"),
    ((3, 4), (2, 4, 5), "a"),
    ((3, 4), (2, 4, 5), "b"),
    ((4,), (2, 4, 5), ""),
    ((2, 3, 4), (4,), "b"),
    ((4,), (4,), "a"),
    ((4,), (4,), ""),
]


def product(a: Shape, b: Shape, shared: str) -> tuple[nn.Trace, Graph, dict[str, Array]]:
    """The graph of a product with its gradients, and small whole numbers for it."""
    trace, rng = nn.Trace(), np.random.default_rng(0)
    kind: dict[str, Any] = {name: "parameter" if name in shared else "dataset" for name in "ab"}
    first, second = (trace.input(kind[name], name, shape) for name, shape in (("a", a), ("b", b)))
    y = F.matmul(first, second)
    dy = trace.input("dataset", "dy", y.shape)
    flows = differentiate(trace.builder, {y.index: dy.index}, [first.index, second.index])
    outputs = {"y": y.index, "a": flows[first.index], "b": flows[second.index]}
    shapes = {"a": a, "b": b, "dy": y.shape}
    arrays: dict[str, Array] = {
        name: rng.integers(-9, 10, shape if name in shared else (3, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    return trace, trace.builder.graph(list(outputs.items())), arrays


@pytest.mark.parametrize(("a", "b", "shared"), CASES, ids=str)
def test_it_is_numpys(a: Shape, b: Shape, shared: str) -> None:
    """For each image NumPy's product; gradients by the definition, summed over what is shared."""
    _, graph, arrays = product(a, b, shared)
    found, wanted = evaluate(graph, arrays, 3), interpret(graph, arrays, images=3)
    for name, array in wanted.items():
        same_bits(found[name], array)
    gradients: dict[str, list[Array]] = {"a": [], "b": []}
    for image in range(3):
        own = {k: v if k in shared else v[image] for k, v in arrays.items()}
        np.testing.assert_array_equal(found["y"][image], np.matmul(own["a"], own["b"]))
        for name in "ab":
            slope = np.zeros(own[name].shape, np.float32)
            for place in np.ndindex(slope.shape):
                unit = np.zeros_like(slope)
                unit[place] = 1
                change = np.matmul(*((unit, own["b"]) if name == "a" else (own["a"], unit)))
                slope[place] = (change * own["dy"]).sum()
            gradients[name].append(slope)
    for name, slopes in gradients.items():
        total = np.sum(slopes, axis=0) if name in shared else np.stack(slopes)
        np.testing.assert_array_equal(found[name], total)


def test_a_shared_matrix_is_a_linear_layer() -> None:
    """Its operation is the convolution's, with weights that are packed once for all shards."""
    trace, graph, _ = product((2, 3, 4), (4, 5), "b")
    assert {"conv", "conv_grad_input", "conv_grad_weight"} <= {node.op for node in graph.nodes}
    assert not any(node.op == "matmul" for node in trace.builder.nodes)
    x = trace.images((6, 4))
    y = F.matmul(x, trace.input("parameter", "w", (4, 7)))
    w, images = np.ones((4, 7), np.float32), np.ones((5, 6, 4), np.float32)
    with Predictor(trace.builder.graph([("y", y.index)]), shard_size=2, threads=2) as predictor:
        assert (predictor.run({"w": w}, {"images": images})["y"] == 4).all()


@pytest.mark.parametrize("images", [1, 5])
def test_a_team_shares_the_work(images: int) -> None:
    """Three threads on one shard give the same bits as the reference."""
    trace = nn.Trace()
    x = trace.images((3, 21, 40))
    graph = trace.builder.graph([("y", F.matmul(x, x.transpose(0, 2, 1)).index)])
    arrays = {"images": np.random.default_rng(0).random((images, 3, 21, 40), np.float32)}
    with Predictor(graph, shard_size=8, threads=3) as predictor:
        found = predictor.run({}, arrays)
    same_bits(found["y"], interpret(graph, arrays, images=images)["y"])


def test_arrays_and_layers() -> None:
    """On arrays each image has both matrices; the layer multiplies several from the left."""
    a, b = np.arange(12.0).reshape(2, 2, 3), np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(ic.matmul(a, b), a @ b)
    layer = nn.MatMul()
    x = nn.Trace(layer).images((2, 3))
    assert layer(x, x.transpose(1, 0), x).shape == (2, 3)


@pytest.mark.parametrize(("a", "b"), [((3, 4), (3, 4)), ((2, 3, 4), (3, 4, 5)), ((), (4,))])
def test_what_does_not_fit(a: Shape, b: Shape) -> None:
    """Other numbers of columns and rows, other leading axes, single numbers."""
    trace = nn.Trace()
    with pytest.raises(ShapeError, match=r"as many columns as b|before the last two|shapes \(\)"):
        F.matmul(trace.input("dataset", "a", a), trace.input("dataset", "b", b))
