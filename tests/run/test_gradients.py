"""Gradients on the kernels: finite differences, the adjoint identity, outside oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve, convolve2d, correlate, correlate2d
from tests.compile.geometries import Contraction, contractions, conv_arrays, conv_graph
from tests.run.networks import differentiated, random_inputs

import isoconv as ic
import isoconv.ops as ops
from isoconv import nn
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.run.evaluate import evaluate

S = nn.Sequential
NETWORKS = {
    "smooth": (
        S(
            nn.Conv2d(4, 3, padding=1, stride=2), nn.BatchNorm2d(), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 2, groups=2, flip=True), nn.GELU(), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(5), nn.SiLU(), nn.Linear(3), nn.Sigmoid(),
        ),
        (8, 9, 3),
    ),
    "choices": (
        S(
            nn.DepthwiseConv2d(3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
            nn.Residual(S(nn.Conv2d(3, 3, padding=1), nn.LeakyReLU(0.2))), nn.GlobalMaxPool2d(),
            nn.Linear(4), nn.Softmax(),
        ),
        (7, 8, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_finite_differences(name: str) -> None:
    """In float64 every gradient of a network is the slope of its own result."""
    model, shape = NETWORKS[name]
    graph = differentiated(model, shape, "float64")
    arrays = random_inputs(graph, 3, seed=1)
    gradients = evaluate(graph, arrays, 3)
    forward = Graph(graph.nodes, (("result", graph.output("result")),))

    def loss(changed: dict[str, Array]) -> float:
        result = evaluate(forward, {**arrays, **changed}, 3)["result"]
        return math.fsum((result * arrays["cotangent"]).ravel())

    random = np.random.default_rng(2)
    step = 1e-5
    wanted = [output.removeprefix("by ") for output in gradients if output.startswith("by ")]
    assert len(wanted) > 6
    for name_ in wanted:
        if name_ == "images":
            continue
        direction = random.standard_normal(arrays[name_].shape)
        up, down = (loss({name_: arrays[name_] + s * direction}) for s in (step, -step))
        found = math.fsum((gradients[f"by {name_}"] * direction).ravel())
        assert found == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7), name_


def dot(a: Array, b: Array) -> float:
    """The exact sum of products of small whole numbers."""
    return math.fsum((a * b).ravel())


def whole(shape: tuple[int, ...], dtype: DType, seed: int) -> Array:
    """Small whole numbers, of which every sum of products is exact."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, derandomize=True)
@given(contractions())
def test_convolutions_are_adjoint(case: Contraction) -> None:
    """<conv(x, w), dy> = <x, conv_grad_input(dy, w)> = <w, conv_grad_weight(x, dy)>, exactly."""
    arrays = conv_arrays(case, whole)
    found = evaluate(conv_graph(case), arrays, case.images)
    expected = dot(found["conv"], arrays["dy"])
    assert dot(found["conv_grad_input"], arrays["x"]) == expected
    assert dot(found["conv_grad_weight"], arrays["w"]) == expected


@pytest.mark.parametrize("overlap", [False, True])
def test_poolings_are_adjoint(overlap: bool) -> None:
    """What a window takes from its input it gives back to the same places."""
    if overlap:
        window = ops.WindowGeometry((2, 4), (1, 2), ((1, 0), (2, 1)), (1, 1), ceil_mode=True)
    else:
        window = ops.WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    b = GraphBuilder()
    x = b.input("dataset", "x", (7, 6, 5), "float64")
    outputs = window.output_sides((7, 6))
    dy = b.input("dataset", "dy", (*outputs, 5), "float64")
    average = ops.AvgPool(window, count_include_pad=False)
    graph = b.graph(
        [
            ("max", b.add("max_pool", x, attrs=window)),
            ("max_grad", b.add("max_pool_grad", x, dy, attrs=window)),
            ("avg", b.add("avg_pool", x, attrs=average)),
            ("avg_grad", b.add("avg_pool_grad", dy, attrs=ops.AvgPoolGrad(window, False, (7, 6)))),
        ]
    )
    values = whole((2, 7, 6, 5), "float64", 0)
    cotangent = whole((2, *outputs, 5), "float64", 1)
    found = evaluate(graph, {"x": values, "dy": cotangent}, 2)
    for kind in ("max", "avg"):
        assert dot(found[kind], cotangent) == pytest.approx(
            dot(found[f"{kind}_grad"], values), rel=1e-13
        )


# SciPy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True], ids=["correlate2d", "convolve2d"])
@pytest.mark.parametrize(("padding", "mode"), [(0, "valid"), ((2, 1), "full")])
def test_scipy(flip: bool, padding: tuple[int, ...] | int, mode: str) -> None:
    """Both meanings of convolution, channel by channel, as SciPy computes them."""
    x, w = whole((2, 7, 8, 3), "float64", 0), whole((3, 2, 3, 4), "float64", 1)
    found = ic.conv2d(x, w, padding=padding, flip=flip)
    oracle = convolve2d if flip else correlate2d
    expected = np.stack(
        [
            [sum(oracle(x[n, :, :, c], w[:, :, c, o], mode) for c in range(3)) for o in range(4)]
            for n in range(2)
        ]
    ).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("flip", [False, True], ids=["correlate", "convolve"])
@pytest.mark.parametrize("rank", [1, 3])
def test_scipy_other_ranks(flip: bool, rank: int) -> None:
    """Rows and volumes: SciPy sums over channels as over one more axis."""
    function = {1: ic.conv1d, 3: ic.conv3d}[rank]
    sides, kernel = (6, 5, 7)[:rank], (3, 2, 2)[:rank]
    x, w = whole((2, *sides, 3), "float64", 0), whole((*kernel, 3, 4), "float64", 1)
    found = function(x, w, flip=flip)
    for n in range(2):
        for o in range(4):
            if flip:
                expected = convolve(x[n], w[..., ::-1, o], "valid", "direct")
            else:
                expected = correlate(x[n], w[..., o], "valid", "direct")
            np.testing.assert_array_equal(found[n, ..., o], expected[..., 0])


@given(st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_scipy_stride_and_dilation(stride: int, dilation: int) -> None:
    """A stride keeps every so many results; dilation is a kernel with zeros between."""
    x, w = whole((1, 11, 10, 2), "float64", 2), whole((3, 2, 2, 3), "float64", 3)
    found = ic.conv2d(x, w, stride=stride, dilation=dilation)
    spread = np.zeros((2 * dilation + 1, dilation + 1, 2, 3))
    spread[::dilation, ::dilation] = w
    for o in range(3):
        full = sum(correlate2d(x[0, :, :, c], spread[:, :, c, o], "valid") for c in range(2))
        np.testing.assert_array_equal(found[0, ..., o], full[::stride, ::stride])


def test_scipy_gradients() -> None:
    """By the input a full convolution with the kernel, by the kernel a valid correlation."""
    x, w = whole((1, 7, 8, 1), "float64", 4), whole((3, 2, 1, 1), "float64", 5)
    dy = whole((1, 5, 7, 1), "float64", 6)
    dx, dw = ic.gradients(ic.conv2d, dy, x, w)
    plane, kernel, change = x[0, ..., 0], w[..., 0, 0], dy[0, ..., 0]
    np.testing.assert_array_equal(dx[0, ..., 0], convolve2d(change, kernel, "full"))
    np.testing.assert_array_equal(dw[..., 0, 0], correlate2d(plane, change, "valid"))
