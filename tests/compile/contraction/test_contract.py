"""Convolutions, linear layers and their gradients by the input, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from tests.compile.geometries import (
    WIDTHS,
    Contraction,
    contraction,
    contractions,
    conv_arrays,
    conv_graph,
    extremes,
)
from tests.compile.places import same_bits, targets
from tests.run.graphs import check, random_arrays

import isoconv.ops as ops
from isoconv.compile.contraction import rules
from isoconv.compile.target import Target
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.ops.interpret import interpret
from isoconv.run.inference import Predictor

BOTH = ("conv", "conv_grad_input")


@pytest.fixture(autouse=True, scope="module", params=["all products", "those inside"])
def _products(request: pytest.FixtureRequest) -> Iterator[None]:
    """Products with padding are left out too where it gains nothing, as cases here are small."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "those inside":
            patch.setattr(rules, "_INSIDE_SHARE", 1.0)
            patch.setattr(rules, "_INSIDE_CHAIN", 1)
        yield


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(contractions())
def test_any_geometry(case: Contraction) -> None:
    """Random ranks, kernels, strides, paddings, dilations, groups and channels."""
    check(conv_graph(case, BOTH), conv_arrays(case), case.images)


@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width: int) -> None:
    """Numbers of lanes around the width of a vector: filters forward, channels backward."""
    case = contraction((2,), (7,), width, width, padding=1)
    check(conv_graph(case, BOTH), conv_arrays(case), 2)


@pytest.mark.parametrize("images", [1, 16, 300])
def test_linear(images: int) -> None:
    """Rows in register tiles, in halves of them, and in chunks."""
    case = contraction((), (), 5, 17, images=images)
    check(conv_graph(case, BOTH), conv_arrays(case), images)


def test_flat_positions() -> None:
    """A 1×1 kernel runs over the positions of all images as over one axis."""
    for case in (
        contraction((1, 1), (9, 7), 9, 17, images=5),
        contraction((1, 1), (9, 7), 8, 6, images=5, groups=2),
        contraction((1, 1), (5, 3), 3, 5, images=5, stride=2),
    ):
        check(conv_graph(case, BOTH), conv_arrays(case), 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [1, 6], ids=["whole", "depthwise"])
def test_special_values(dtype: DType, groups: int) -> None:
    """Zeros of both signs, subnormals and overflows; sums that become infinite or NaN."""
    case = contraction((2, 3), (5, 6), 6, 6, groups=groups, padding=1, images=4, dtype=dtype)
    check(conv_graph(case, BOTH), conv_arrays(case, extremes), 4)


def test_infinities_and_nan() -> None:
    """An infinity reaches the results it takes part in, and meets the padding as 0 * inf = NaN."""
    case = contraction((3, 3), (5, 6), 3, 9, padding=1)
    arrays = conv_arrays(case)
    arrays["x"][0, 2, 3, 1] = np.inf
    arrays["x"][1, 4, 0, 2] = np.nan
    found = check(conv_graph(case, BOTH), arrays, 2)["conv"]
    assert np.isfinite(found[0, 0]).all()
    assert not np.isfinite(found[0, 1:4, 2:5]).any()
    assert np.isnan(found[1, 3:, :2]).all()
    arrays = conv_arrays(case)
    arrays["w"][0, 1, 2, 4] = -np.inf
    found = check(conv_graph(case, BOTH), arrays, 2)["conv"]
    assert np.isnan(found[:, 0, :, 4]).all()
    assert np.isinf(found[:, 1:, :, 4]).all()


def test_exact_zero_sums() -> None:
    """A chain starts at +0.0: a sum of nothing but -0.0 is +0.0."""
    case = contraction((2, 2), (4, 4), 3, 5)
    arrays = conv_arrays(case)
    arrays["x"][...] = -0.0
    arrays["w"][...] = 1.0
    found = check(conv_graph(case, ["conv"]), arrays, 2)["conv"]
    assert not np.signbit(found).any()


def epilogue_graph(kernel: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> Graph:
    """A convolution with all kinds of pointwise work behind it."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 5, 4))
    w = b.input("parameter", "w", (*kernel, 4, 19))
    geometry = ops.ConvGeometry(kernel, (1, 1), padding, (1, 1))
    y = b.add("conv", x, w, attrs=geometry)
    spec = b.spec(y)
    vectors = [b.input("parameter", name, (19,)) for name in ("mean", "inv", "gamma", "beta")]
    norm = ops.BatchNorm(False, spec.size // 19)
    z = b.add("batch_norm", b.add("add", y, vectors[0]), *vectors, attrs=norm)
    z = b.add("relu", b.add("add", z, b.input("dataset", "residual", spec.shape)))
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    gated = b.add("mul", z, b.input("dataset", "gate", (1, 1, 19)))
    dropped = b.add("dropout", gated, samples, key, attrs=ops.Dropout(0.4, 3))
    scaled = b.add("scale", y, attrs=ops.Constant(0.1))
    wide = b.add("convert", scaled, attrs=ops.Convert("float64"))
    return b.graph([("conv", y), ("z", z), ("dropped", dropped), ("wide", wide)])


PLANE_AND_POSITIONS = pytest.mark.parametrize(
    ("kernel", "padding"),
    [((3, 3), ((1, 1), (2, 0))), ((1, 1), ((0, 0), (0, 0)))],
    ids=["plane", "positions"],
)


@PLANE_AND_POSITIONS
def test_epilogues(kernel: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> None:
    """Bias, normalisation, residual, gate, dropout, conversion and several stores."""
    graph = epilogue_graph(kernel, padding)
    check(graph, random_arrays(graph, 3), 3)


def test_gradient_epilogue_in_phases() -> None:
    """Work behind a gradient with a stride is done at each input exactly once."""
    case = contraction((2, 3), (7, 9), 5, 6, stride=3, padding=1)
    b = GraphBuilder(conv_graph(case, ["conv_grad_input"]))
    dx = len(b) - 1
    y = b.input("dataset", "y", b.spec(dx).shape)
    graph = b.graph([("dx", dx), ("masked", b.add("relu_grad", y, dx))])
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.parametrize("channels", [1, 5])
def test_gradient_with_a_stride_far_beyond_the_kernel(channels: int) -> None:
    """What no tap reaches is written at once, with the work behind it; groups are depthwise too."""
    case = contraction((3, 2), (47, 40), 5, 5, stride=23, padding=1, groups=5 // channels)
    b = GraphBuilder(conv_graph(case, ["conv_grad_input"]))
    dx = len(b) - 1
    y = b.input("dataset", "y", b.spec(dx).shape)
    graph = b.graph([("dx", dx), ("sum", b.add("add", y, dx))])
    check(graph, random_arrays(graph, 2), 2)


def test_computed_weights() -> None:
    """A kernel may be a parameter under another shape, or itself computed: sliced or scaled."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (5, 5, 3))
    w = b.input("parameter", "w", (9, 3, 12))
    shaped = b.add("reshape", w, attrs=ops.Shape((3, 3, 3, 12), batched=False))
    sliced = b.add("slice_channels", shaped, attrs=ops.Slice(2, 9))
    scaled = b.add("scale", shaped, attrs=ops.Constant(0.5))
    geometry = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    graph = b.graph(
        [
            (name, b.add("conv", x, weights, attrs=geometry))
            for name, weights in (("shaped", shaped), ("sliced", sliced), ("scaled", scaled))
        ]
    )
    check(graph, random_arrays(graph, 2), 2)


def test_sources_with_gaps() -> None:
    """A source may be a crop, a slice of channels or a value with a wider halo."""
    b = GraphBuilder()
    x = b.add("relu", b.input("dataset", "x", (8, 7, 9)))
    crop = b.add("crop", x, attrs=ops.Padding(((1, 2), (0, 1))))
    part = b.add("slice_channels", x, attrs=ops.Slice(2, 6))
    plain = ops.ConvGeometry((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    wide = ops.ConvGeometry((3, 3), (2, 1), ((2, 1), (0, 2)), (1, 1))
    weights = {
        "by9": b.input("parameter", "by9", (1, 1, 9, 5)),
        "by4": b.input("parameter", "by4", (1, 1, 4, 5)),
        "3x3": b.input("parameter", "3x3", (3, 3, 9, 5)),
        "3x3x4": b.input("parameter", "3x3x4", (3, 3, 4, 5)),
    }
    outputs = [
        ("crop", b.add("conv", crop, weights["by9"], attrs=plain)),
        ("slice", b.add("conv", part, weights["by4"], attrs=plain)),
        ("halo", b.add("conv", x, weights["3x3"], attrs=wide)),
        ("with_halo crop", b.add("conv", crop, weights["3x3"], attrs=wide)),
        ("with_halo slice", b.add("conv", part, weights["3x3x4"], attrs=wide)),
        ("no halo", b.add("conv", x, weights["by9"], attrs=plain)),
    ]
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", targets())
def test_targets(target: Target, dtype: DType) -> None:
    """Every instruction set, with and without a fused multiply-add, gives the same bits."""
    case = contraction((2, 2), (4, 5), 3, 9, stride=2, padding=1, dtype=dtype)
    check(conv_graph(case), conv_arrays(case, extremes), 2, target=target)
    check(conv_graph(case), conv_arrays(case), 2, target=target)


@pytest.mark.parametrize(
    "case",
    [
        contraction((3, 3), (9, 8), 5, 40, padding=1, images=3),
        contraction((1, 1), (9, 8), 5, 40, images=3),
        contraction((3, 3), (7, 7), 18, 18, groups=18, padding=1, images=3),
        contraction((2, 2, 2), (4, 3, 5), 4, 6, stride=2, images=3),
        contraction((1, 1), (7, 7), 40, 72, images=3),
    ],
    ids=["plane", "positions", "depthwise", "volume", "one chunk"],
)
@pytest.mark.parametrize("images", [1, 2])
def test_a_team_shares_the_work(case: Contraction, images: int) -> None:
    """Three threads on one shard, kernel by kernel: each result is made once, and the same."""
    graph = conv_graph(case, BOTH)
    arrays = conv_arrays(case)
    rows = {name: arrays[name][:images] for name in ("x", "dy")}
    expected = interpret(graph, {**arrays, **rows}, images)
    with Predictor(graph, shard_size=4, threads=3) as predictor:
        found = predictor.run({"w": arrays["w"]}, rows)
    for name, array in expected.items():
        same_bits(found[name], array)


def residual_graph(
    kernel: tuple[int, ...], padding: tuple[tuple[int, int], ...], channels: int
) -> Graph:
    """A convolution with a little pointwise work behind it, and some that takes longer."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 5, channels))
    w = b.input("parameter", "w", (*kernel, channels, 19))
    geometry = ops.ConvGeometry(kernel, (1, 1), padding, (1, 1))
    y = b.add("conv", x, w, attrs=geometry)
    z = b.add("add", y, b.input("parameter", "bias", (19,)))
    z = b.add("relu", b.add("add", z, b.input("dataset", "residual", b.spec(y).shape)))
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    dropped = b.add("dropout", y, samples, key, attrs=ops.Dropout(0.4, 3))
    return b.graph([("y", y), ("z", z), ("dropped", dropped)])


@PLANE_AND_POSITIONS
@pytest.mark.parametrize("links", [18, 180], ids=["short", "long"])
def test_work_behind_short_and_long_chains(
    kernel: tuple[int, ...], padding: tuple[tuple[int, int], ...], links: int
) -> None:
    """Positions of a tile one after the other and by loops."""
    graph = residual_graph(kernel, padding, links // math.prod(kernel))
    check(graph, random_arrays(graph, 3), 3)
    kept = [(name, index) for name, index in graph.outputs if name != "dropped"]
    graph = Graph(graph.nodes, tuple(kept))
    check(graph, random_arrays(graph, 3), 3)
