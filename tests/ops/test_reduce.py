"""Sums, broadcasts, counts and batch normalisation."""

from __future__ import annotations

import numpy as np
import pytest

import isoconv.ops as ops
from isoconv.arithmetic.sums import partial_sum
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation
from isoconv.ops.interpret import interpret
from isoconv.ops.reduce import summed


def total(attrs: ops.Sum, x: Array) -> Array:
    """The reference of `sum`."""
    return operation("sum").reference(attrs, x, images=len(x))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30])
def test_eight_partial_sums(count: int) -> None:
    """Element i goes to partial i mod 8; then ((p0+p1)+(p2+p3))+((p4+p5)+(p6+p7))."""
    x = np.random.default_rng(0).normal(size=(1, count)).astype(np.float32)
    p = np.zeros(8, np.float32)
    for i in range(count):
        p[i % 8] += x[0, i]
    expected = ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]))
    assert total(ops.Sum(0, batched=True), x)[0].tobytes() == expected.tobytes()


def test_sum_over_images_goes_image_by_image() -> None:
    """Without an image axis in the result, the images come first in the order."""
    x = np.random.default_rng(1).normal(size=(3, 2, 5, 4)).astype(np.float32)
    flat = total(ops.Sum(1, batched=True), x.reshape(1, 30, 4))[0]
    assert total(ops.Sum(1, batched=False), x).tobytes() == flat.tobytes()


@pytest.mark.parametrize(
    ("attrs", "axes"),
    [
        (ops.Sum(0, True), (1, 2, 3)),
        (ops.Sum(1, True), (1, 2)),
        (ops.Sum(0, False), (0, 1, 2, 3)),
        (ops.Sum(1, False), (0, 1, 2)),
    ],
)
def test_sum_values(attrs: ops.Sum, axes: tuple[int, ...]) -> None:
    """The right axes are summed."""
    x = np.random.default_rng(2).normal(size=(3, 2, 5, 4))
    np.testing.assert_allclose(total(attrs, x), x.sum(axes), rtol=1e-12)


def test_sums_over_any_axes() -> None:
    """The axes in row-major order, the images before them; where `sum` does, that is taken."""
    draw = np.random.default_rng(6)
    arrays = {name: draw.normal(size=(3, 4, 5, 6)).astype(np.float32) for name in "xw"}
    arrays["w"] = arrays["w"][0]
    for axes in ((0,), (1,), (2,), (0, 2), (1, 2), (0, 1), (0, 1, 2), ()):
        for name, stays in (("x", True), ("x", False), ("w", False)):
            b = GraphBuilder()
            x = b.input("dataset" if name == "x" else "parameter", name, (4, 5, 6))
            graph = b.graph([("y", summed(b, x, axes, batched=stays))])
            known = axes in ((0, 1), (0, 1, 2), ())
            assert any(node.op == "sum_axes" for node in graph.nodes) != known
            first = name == "x"
            over = [*([0] if first and not stays else []), *(axis + first for axis in axes)]
            expected = partial_sum(arrays[name], over) if over else arrays[name]
            assert interpret(graph, arrays, 3)["y"].tobytes() == expected.tobytes()


def test_adjoint_of_sum_is_broadcast() -> None:
    """<sum(x), s> = <x, broadcast(s)>, with and without the image axis."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 2, 5, 4))
    for keep in (0, 1):
        for batched in (True, False):
            y = total(ops.Sum(keep, batched), x)
            s = rng.normal(size=y.shape)
            attrs = ops.Broadcast((2, 5, 4), True, batched)
            back = operation("broadcast").reference(attrs, s, images=3)
            np.testing.assert_allclose(np.sum(y * s), np.sum(x * back), rtol=1e-11)


def test_counts() -> None:
    """A mean over a shard divides by its images too; statistics are weighted by them."""
    s = np.array([30], np.float32)
    divide, weigh = operation("divide_by_count"), operation("times_images")
    assert divide.reference(ops.CountAttrs(5, batched=True), s, images=3).tolist() == [6]
    assert divide.reference(ops.CountAttrs(5, batched=False), s, images=3).tolist() == [2]
    assert weigh.reference(None, s, images=3).tolist() == [90]


def test_sum_messages() -> None:
    """What cannot be kept is named."""
    with pytest.raises(ShapeError, match=r"sum: x must have an axis to keep \(keep=1\); got x"):
        operation("sum").infer(ops.Sum(1, True), TensorSpec(()))
    with pytest.raises(ShapeError, match="an image axis can stay only where there is one"):
        operation("sum").infer(ops.Sum(0, True), TensorSpec((3,), batched=False))
    with pytest.raises(ShapeError, match=r"sum_axes: x must have the axes \(0, 2\); got x"):
        operation("sum_axes").infer(ops.SumAxes((0, 2), True, True), TensorSpec((3, 4)))
    with pytest.raises(ShapeError, match="source_batched=False must say whether x has an image"):
        operation("sum_axes").infer(ops.SumAxes((0,), False, False), TensorSpec((3, 4)))
    for axes in ((), (1, 0), (-1,), (1, 1)):
        with pytest.raises(ArgumentError, match="axes must be axes from 0 on in increasing order"):
            ops.SumAxes(axes, True, True)
    with pytest.raises(ArgumentError, match="keep must be 0 or 1; got 2"):
        ops.Sum(2, True)
    with pytest.raises(ArgumentError, match="size must be at least 1; got 0"):
        ops.CountAttrs(0, True)


def test_broadcast_messages() -> None:
    """What cannot be repeated is named."""
    infer = operation("broadcast").infer
    with pytest.raises(ShapeError, match=r"each axis of s, from the last on, must be 1 or as in"):
        infer(ops.Broadcast((4, 3), True, True), TensorSpec((4,)))
    with pytest.raises(ShapeError, match="source_batched=False must say whether s has an image"):
        infer(ops.Broadcast((4, 3), True, False), TensorSpec((3,)))
    with pytest.raises(ArgumentError, match="keeps the image axis of its source"):
        ops.Broadcast((3,), False, True)


# -- batch normalisation ---------------------------------------------------------------------


def batch_norm(b: GraphBuilder, x: int, gamma: int, beta: int, eps: float) -> int:
    """Normalise over the shard by x's own statistics."""
    spec = b.spec(x)
    size = spec.size // spec.shape[-1]
    count = ops.CountAttrs(size, batched=False)

    def mean_of(value: int) -> int:
        return b.add("divide_by_count", b.add("sum", value, attrs=ops.Sum(1, False)), attrs=count)

    mean = mean_of(x)
    variance = mean_of(b.add("square", b.add("sub", x, mean)))
    inverse = b.add("inverse_std", variance, attrs=ops.Epsilon(eps))
    attrs = ops.BatchNorm(True, size)
    return b.add("batch_norm", x, mean, inverse, gamma, beta, attrs=attrs)


def test_batch_norm_training_gradient() -> None:
    """In training the gradient by x holds the share of mean and deviation."""
    rng = np.random.default_rng(4)
    b = GraphBuilder()
    x = b.input("dataset", "x", (2, 3, 4), "float64")
    gamma, beta = (b.input("parameter", n, (4,), "float64") for n in ("gamma", "beta"))
    y = batch_norm(b, x, gamma, beta, 1e-3)
    dy = b.input("dataset", "dy", (2, 3, 4), "float64")
    found = differentiate(b, {y: dy}, [x, gamma, beta])
    names = {"x": x, "gamma": gamma, "beta": beta}
    graph = b.graph([("y", y), *((name, found[at]) for name, at in names.items())])
    values = {
        "x": rng.normal(2, 3, size=(5, 2, 3, 4)),
        "gamma": rng.normal(size=4),
        "beta": rng.normal(size=4),
        "dy": rng.normal(size=(5, 2, 3, 4)),
    }
    exact = interpret(graph, values, 5)

    def loss(name: str, array: Array) -> float:
        return float(np.sum(interpret(graph, {**values, name: array}, 5)["y"] * values["dy"]))

    for name in names:
        direction = rng.normal(size=values[name].shape)
        up = loss(name, values[name] + 1e-5 * direction)
        down = loss(name, values[name] - 1e-5 * direction)
        expected = (up - down) / 2e-5
        np.testing.assert_allclose(np.sum(exact[name] * direction), expected, rtol=1e-6)


def test_batch_norm_normalises() -> None:
    """With gamma 1 and beta 0 each channel has mean 0 and variance 1 over the shard."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 2), "float64")
    gamma, beta = (b.input("parameter", n, (2,), "float64") for n in ("gamma", "beta"))
    graph = b.graph([("y", batch_norm(b, x, gamma, beta, 0.0))])
    values = np.random.default_rng(5).normal(7, 3, size=(4, 6, 2))
    y = interpret(graph, {"x": values, "gamma": np.ones(2), "beta": np.zeros(2)}, 4)["y"]
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var((0, 1)), 1, rtol=1e-12)


def test_batch_norm_messages() -> None:
    """Statistics need one element per channel, and the positions of one image."""
    x = TensorSpec((5, 4))
    four, three = (TensorSpec((n,), batched=False) for n in (4, 3))
    infer = operation("batch_norm").infer
    with pytest.raises(ShapeError, match=r"must have one element per channel, \(4,\); got x"):
        infer(ops.BatchNorm(True, 5), x, four, four, three, four)
    with pytest.raises(ShapeError, match="size must be the positions of one image: 6; got x"):
        infer(ops.BatchNorm(True, 6), x, four, four, four, four)
    with pytest.raises(ArgumentError, match="size must be at least 1; got 0"):
        ops.BatchNorm(True, 0)
    with pytest.raises(ArgumentError, match=r"eps must not be negative; got -1"):
        ops.Epsilon(-1)
