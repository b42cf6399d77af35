"""Winograd's convolution: the mathematics, the transposes, the error, what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
import isoconv.ops as ops
from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.operation import Array, operation
from isoconv.nn.convolution import Algorithm
from isoconv.ops.interpret import interpret
from isoconv.train.run_difference import diff
from isoconv.train.structure import layers

B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float).T
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float).T

PATCHES = [
    ops.WinogradPatches(sides, padding)
    for sides, padding in (
        ((6, 4), ((1, 1), (1, 1))),
        ((5, 7), ((1, 1), (1, 1))),
        ((4, 5), ((0, 0), (0, 0))),
        ((3, 6), ((2, 2), (2, 2))),
        ((5, 4), ((0, 2), (3, 1))),
    )
]


def whole(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Multiples of 4 of which every sum of products here is exact."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64) * 4


def reference(
    op: str, attrs: ops.WinogradPatches | ops.WinogradOutput | None, *arrays: Array, images: int = 2
) -> Array:
    """The exact reference of an operation."""
    return operation(op).reference(attrs, *arrays, images=images)


def dot(a: Array, b: Array) -> float:
    """The exact sum of products."""
    return math.fsum((a * b).ravel())


@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_is_the_convolution(patches: ops.WinogradPatches) -> None:
    """On numbers that leave no rounding it is the direct convolution, with both gradients."""
    x, w = whole((2, *patches.sides, 3)), whole((3, 3, 3, 5), 1)
    dy = whole((2, *patches.outputs, 5), 2)
    settings: dict[str, Any] = {"padding": patches.padding}
    direct = ic.conv2d(x, w, **settings)
    np.testing.assert_array_equal(ic.conv2d(x, w, algorithm="winograd", **settings), direct)
    expected = ic.gradients(ic.conv2d, dy, x, w, **settings)
    found = ic.gradients(ic.conv2d, dy, x, w, algorithm="winograd", **settings)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_are_the_papers_matrices() -> None:
    """The written sums are the products with B, G and A."""
    patch, kernel = whole((1, 4, 4, 1)), whole((3, 3, 1, 1), 1)
    patches = ops.WinogradPatches((4, 4), ((0, 0), (0, 0)))
    v = reference("winograd_input", patches, patch, images=1).reshape(4, 4)
    np.testing.assert_array_equal(v, B.T @ patch[0, ..., 0] @ B)
    u = reference("winograd_weight", None, kernel).reshape(4, 4)
    np.testing.assert_array_equal(u, G @ kernel[..., 0, 0] @ G.T)
    m = whole((1, 16, 1, 1, 1), 2)
    y = reference("winograd_output", ops.WinogradOutput((2, 2)), m, images=1)[0, ..., 0]
    np.testing.assert_array_equal(y, A.T @ m.reshape(4, 4) @ A)


@pytest.mark.parametrize("patches", PATCHES, ids=str)
def test_maps_are_adjoint(patches: ops.WinogradPatches) -> None:
    """<A x, y> = <x, A^T y> for each of the three maps and for the products, exactly."""
    outputs, tiles = ops.WinogradOutput(patches.outputs), patches.tiles
    x, dv = whole((2, *patches.sides, 3)), whole((2, 16, *tiles, 3), 1)
    v = reference("winograd_input", patches, x)
    assert dot(v, dv) == dot(x, reference("winograd_input_grad", patches, dv))
    m, dy = whole((2, 16, *tiles, 3), 2), whole((2, *outputs.sides, 3), 3)
    y, dm = reference("winograd_output", outputs, m), reference("winograd_output_grad", outputs, dy)
    assert dot(y, dy) == dot(m, dm)
    w, du = whole((3, 3, 3, 5), 4), whole((16, 3, 5), 5)
    u = reference("winograd_weight", None, w)
    assert dot(u, du) == dot(w, reference("winograd_weight_grad", None, du))
    cotangent = whole((2, 16, *tiles, 5), 6)
    product = dot(reference("winograd_product", None, v, u), cotangent)
    assert product == dot(v, reference("winograd_product_grad_input", None, cotangent, u))
    assert product == dot(u, reference("winograd_product_grad_weight", None, v, cotangent))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [16, 128])
def test_error(channels: int) -> None:
    """In float32 the error is about as large as the direct algorithm's, as the documents state."""
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 8, 8, channels)), random.standard_normal((3, 3, channels, 8))
    dy = random.standard_normal((2, 8, 8, 8))
    single = [array.astype(np.float32) for array in (x, w, dy)]
    double = [array.astype(np.float64) for array in single]

    def errors(algorithm: Algorithm) -> list[np.float64]:
        def all_three(x: Array, w: Array, dy: Array, kind: Algorithm) -> tuple[Array, ...]:
            y = ic.conv2d(x, w, padding=1, algorithm=kind)
            return y, *ic.gradients(ic.conv2d, dy, x, w, padding=1, algorithm=kind)

        exact = all_three(double[0], double[1], double[2], "direct")
        found = all_three(single[0], single[1], single[2], algorithm)
        return [
            np.sqrt(np.mean((f - e) ** 2)) / np.std(e) for f, e in zip(found, exact, strict=True)
        ]

    for fast, plain in zip(errors("winograd"), errors("direct"), strict=True):
        assert fast < 2 * plain
        assert fast < 2e-6


# The choice -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 5}, r"kernel_size \(3, 3\) alone; got kernel_size=\(5, 5\)"),
        ({"kernel_size": (3, 1)}, r"kernel_size=\(3, 1\)"),
        ({"stride": 2}, r"stride=\(2, 2\)"),
        ({"dilation": (1, 2)}, r"dilation=\(1, 2\)"),
        ({"groups": 2}, "groups=2"),
        ({"flip": True}, "flip=True"),
        ({"algorithm": "fft"}, r"algorithm must be one of direct, winograd; got 'fft'"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    """What the algorithm does not compute is refused with layer, rule and value."""
    settings = {"kernel_size": 3, "algorithm": "winograd", **settings}
    with pytest.raises(ArgumentError, match=message) as caught:
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, **settings)).build((8, 8, 2))
    assert str(caught.value).startswith("layer '1', Conv2d(")


def test_too_small() -> None:
    """An input into which the kernel does not fit is refused as in the direct algorithm."""
    with pytest.raises(ShapeError):
        nn.Conv2d(4, 3, algorithm="winograd").build((2, 8, 1))
    with pytest.raises(ArgumentError, match="3x3 kernel must fit"):
        ops.WinogradPatches((2, 8), ((0, 0), (0, 0)))


def test_wrong_shapes() -> None:
    """Planes and kernels that do not fit one another are refused."""
    trace = nn.Trace()
    add, builder = trace.builder.add, trace.builder
    v = builder.input("dataset", "v", (16, 2, 3, 4))
    u = builder.input("parameter", "u", (16, 5, 6))
    with pytest.raises(ShapeError, match="same channels: 4 != 5"):
        add("winograd_product", v, u)
    with pytest.raises(ShapeError, match=r"must have shape \(16, 1, 1, channels\)"):
        add("winograd_output", v, attrs=ops.WinogradOutput((2, 2)))
    with pytest.raises(ShapeError, match=r"w must have shape \(3, 3, C, O\)"):
        add("winograd_weight", u)


def test_is_part_of_the_description() -> None:
    """The choice stands in a model's text and summary; a direct layer reads as it always has."""
    fast, plain = (nn.Conv2d(4, 3, padding=1, algorithm=kind) for kind in ("winograd", "direct"))
    assert repr(plain) == repr(nn.Conv2d(4, 3, padding=1))
    assert "algorithm" not in repr(plain)
    assert layers(fast)[0][1].endswith("flip=False, algorithm='winograd')")
    (row,) = fast.summary((8, 8, 3)).rows
    assert (row.kind, row.multiply_adds) == ("Conv2d winograd", 16 * 16 * 3 * 4)
    assert plain.summary((8, 8, 3)).rows[0].kind == "Conv2d"


@pytest.mark.slow
def test_is_another_arithmetic(tmp_path: Path) -> None:
    """A run with it differs from one without in its model, and its own receipt holds."""
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    data = ic.data.Dataset.from_arrays(images, np.arange(24) % 3)
    runs = {}
    for kind in ("direct", "winograd"):
        model = nn.Sequential(
            nn.Conv2d(8, 3, padding=1, algorithm=kind), nn.ReLU(), nn.GlobalAvgPool2d(),
            nn.Linear(3),
        )  # fmt: skip
        trainer = ic.train.Trainer(model, batch_size=8, shard_size=4, progress=False)
        runs[kind] = trainer.fit(data, epochs=1, out=tmp_path / kind)
        assert ic.train.verify(tmp_path / kind, model, data).identical
    assert runs["direct"].digest != runs["winograd"].digest
    found = diff(tmp_path / "direct", tmp_path / "winograd")
    assert any(line.startswith("model.") for line in found.head)


def test_gradients_of_gradients() -> None:
    """The operations are one another's gradients, so second derivatives agree with direct ones."""
    from isoconv.graph.autodiff import differentiate
    from isoconv.nn.trace import Trace

    found = {}
    for kind in ("direct", "winograd"):
        trace = Trace()
        x = trace.input("dataset", "x", (5, 6, 2), "float64")
        w = trace.input("parameter", "w", (3, 3, 2, 3), "float64")
        y = nn.functional.conv2d(x, w, padding=1, algorithm=kind)
        b = trace.builder
        seed = b.input("dataset", "dy", (5, 6, 3), "float64")
        first = differentiate(b, {y.index: seed}, [x.index, w.index])
        again = differentiate(
            b,
            {first[x.index]: b.input("dataset", "dx", (5, 6, 2), "float64"),
             first[w.index]: b.input("parameter", "dw", (3, 3, 2, 3), "float64")},
            [x.index, w.index, seed],
        )  # fmt: skip
        inputs = {"by x": x.index, "by w": w.index, "by dy": seed}
        graph = b.graph([(name, again[index]) for name, index in inputs.items()])
        arrays = {
            "x": whole((2, 5, 6, 2)), "w": whole((3, 3, 2, 3), 1),
            "dy": whole((2, 5, 6, 3), 2), "dx": whole((2, 5, 6, 2), 3),
            "dw": whole((3, 3, 2, 3), 4),
        }  # fmt: skip
        found[kind] = interpret(graph, arrays, images=2)
    for name, array in found["direct"].items():
        np.testing.assert_array_equal(found["winograd"][name], array)
