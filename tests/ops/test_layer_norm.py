"""Layer normalisation: values by hand, the order of its sums, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.arithmetic.sums import partial_sum
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array
from isoconv.ops import Epsilon
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate

X = np.array([[1, 3], [10, 30], [5, 5]], np.float32)


def test_by_hand() -> None:
    """A row's mean goes, its spread becomes one; a row of equals becomes zeros."""
    found = ic.layer_norm(X, eps=0.25)
    assert found[0].tolist() == [-1 / np.float32(1.25) ** 0.5, 1 / np.float32(1.25) ** 0.5]
    assert found[2].tolist() == [0, 0]
    scaled = ic.layer_norm(X, np.array([2, 4], "f4"), np.array([1, -1], "f4"), eps=0)
    np.testing.assert_allclose(scaled[:2], [[-1, 3], [-1, 3]])


def test_the_written_order() -> None:
    """Two sums in eight partial sums, a division after each, then one square root."""
    x = np.random.default_rng(1).standard_normal((3, 21)).astype(np.float32)
    size, eps = np.float32(21), np.float32(1e-5)
    d = x - partial_sum(x, 1)[:, None] / size
    inverse = np.float32(1) / np.sqrt(partial_sum(d * d, 1)[:, None] / size + eps)
    assert ic.layer_norm(x).tobytes() == (d * inverse).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["generic", None])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 33])
def test_kernels_have_the_references_bits(size: int, target: str | None, dtype: DType) -> None:
    """Forward and backward, with work behind them, at sizes around the vectors'."""
    draw = np.random.default_rng(size)
    for names in (("x",), ("x", "dy")):
        b = GraphBuilder()
        inputs = [b.input("dataset", name, (3, size), dtype) for name in names]
        scale = b.input("parameter", "scale", (size,), dtype)
        op = "layer_norm" if len(names) == 1 else "layer_norm_grad"
        y = b.add("mul", b.add(op, *inputs, attrs=Epsilon(1e-5)), scale)
        arrays = {name: draw.standard_normal((5, 3, size)).astype(dtype) for name in names}
        arrays["scale"] = draw.standard_normal(size).astype(dtype)
        graph = b.graph([("y", b.add("relu", y))])
        found = evaluate(graph, arrays, 5, target=target)["y"]
        assert found.tobytes() == interpret(graph, arrays, 5)["y"].tobytes()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gradients_are_the_slopes(axes: int) -> None:
    """By x, the factors and what is added, in float64."""
    draw = np.random.default_rng(axes)
    x = draw.standard_normal((2, 3, 4, 5))
    vectors = [draw.standard_normal(x.shape[-axes:]) for _ in range(2)]
    dy = draw.standard_normal(x.shape)
    found = ic.gradients(ic.layer_norm, dy, x, *vectors, axes=axes)

    def value(arrays: list[Array]) -> float:
        x, gamma, beta = arrays
        return float((ic.layer_norm(x, gamma, beta, axes) * dy).sum())

    for number, gradient in enumerate(found):
        for place in [(0,) * gradient.ndim, (-1,) * gradient.ndim]:
            ends = []
            for step in (1e-6, -1e-6):
                arrays = [array.copy() for array in (x, *vectors)]
                arrays[number][place] += step
                ends.append(value(arrays))
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_a_layer_of_a_network() -> None:
    """It is built, saved and trained like any other, and no image knows of another."""
    model = nn.Sequential(nn.Conv2d(4, 3), nn.LayerNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(2))
    model.build((6, 6, 1), seed=3)
    assert model.parameters()["1.weight"].shape == (4,)
    images = np.random.default_rng(2).random((7, 6, 6, 1)).astype(np.float32)
    together = model.predict(images)
    alone = np.concatenate([model.predict(image[None]) for image in images])
    assert together.tobytes() == alone.tobytes()
    digests = set()
    for threads in (1, 2, 3):
        trained = nn.Sequential(nn.LayerNorm(3), nn.Flatten(), nn.Linear(2)).build((6, 6, 1), 5)
        trainer = ic.Trainer(trained, batch_size=4, shard_size=1, threads=threads)
        trainer.fit((images, [0, 1, 0, 1, 0, 1, 0]), epochs=2)
        digests.add(trained.digest())
    assert len(digests) == 1
    told = str(ic.explain(model, images[0], at=("1", 2, 3, 1)))
    assert "sqrt" in told


def test_what_it_refuses() -> None:
    """Fewer axes than are asked for, and factors of another shape."""
    with pytest.raises(ArgumentError, match="axes must be at most 1, those of the input; got 2"):
        ic.layer_norm(X, axes=2)
    with pytest.raises(ShapeError, match=r"gamma must have the shape of the last axes, \(2,\)"):
        ic.layer_norm(X, np.ones(3, np.float32))
    with pytest.raises(ArgumentError, match="axes must"):
        ic.layer_norm(X, axes=0)
    with pytest.raises(ArgumentError, match="eps must"):
        ic.layer_norm(X, eps=-1)
