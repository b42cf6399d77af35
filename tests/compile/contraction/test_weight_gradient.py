"""Gradients by the weights of convolutions and linear layers, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.compile.geometries import (
    WIDTHS,
    Contraction,
    contraction,
    contractions,
    conv_arrays,
    conv_graph,
    extremes,
)
from tests.run.graphs import check, random_arrays

import isoconv.ops as ops
from isoconv.compile.contraction import weight_rules
from isoconv.compile.contraction.cpu import weight_tiles
from isoconv.compile.contraction.weight_gradient import UNROLLED_ELEMENTS
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType

WEIGHT = ("conv_grad_weight",)


@pytest.fixture(params=["in place", "panels"], autouse=True)
def read(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Source and gradient are read where they lie, or copied to panels wherever that can be."""
    monkeypatch.setattr(weight_rules, "panels_pay", lambda *_: request.param == "panels")
    return str(request.param)


@pytest.mark.slow
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(contractions())
def test_any_geometry(case: Contraction) -> None:
    """Random ranks, kernels, strides, paddings, dilations, groups and channels."""
    check(conv_graph(case, WEIGHT), conv_arrays(case), case.images)


@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width: int) -> None:
    """Numbers of filters around the width of a vector; few channels, then many."""
    case = contraction((2,), (7,), 10 - width % 9, width, padding=1)
    check(conv_graph(case, WEIGHT), conv_arrays(case), 2)


@pytest.mark.parametrize("images", [1, 5, 130])
def test_linear(images: int) -> None:
    """Each chain runs over the images."""
    case = contraction((), (), 70, 9, images=images)
    check(conv_graph(case, WEIGHT), conv_arrays(case), images)


@pytest.mark.parametrize(
    "settings_",
    [
        {"channels": 7},
        {"channels": 8, "dilation": 2},
        {"channels": 8, "groups": 2, "filters": 6},
        {"channels": 9, "stride": 2},
    ],
    ids=["together", "dilated", "grouped", "strided"],
)
def test_large_kernels(settings_: dict[str, int]) -> None:
    """Kernels of more elements than are unrolled."""
    given_ = {"filters": 5, "padding": 1, **settings_}
    case = contraction((4, 5), (9, 10), **given_)
    assert np.prod(case.weights[:-1]) > UNROLLED_ELEMENTS
    check(conv_graph(case, WEIGHT), conv_arrays(case), 2)


@pytest.mark.parametrize("block", [(1, 0.0), (7, 0.0), (60, 1e9), (10**9, 1e9)])
def test_blocks(monkeypatch: pytest.MonkeyPatch, block: tuple[int, float]) -> None:
    """However images and rows are cut into blocks, the chain goes on where it was parked."""
    positions, share = block
    monkeypatch.setattr(weight_rules, "_BLOCK_POSITIONS", positions)
    monkeypatch.setattr(weight_rules, "_BLOCK_SHARE", share)
    case = contraction((3, 2), (8, 5), 3, 9, padding=1, images=5)
    check(conv_graph(case, WEIGHT), conv_arrays(case), 5)


@pytest.mark.parametrize("groups", [1, 6], ids=["whole", "depthwise"])
def test_special_values(groups: int) -> None:
    """Zeros of both signs, subnormals and overflows; sums that become infinite or NaN."""
    case = contraction((2, 3), (5, 6), 6, 6, groups=groups, padding=1, images=4)
    check(conv_graph(case, WEIGHT), conv_arrays(case, extremes), 4)


def test_spare_lanes_do_not_matter() -> None:
    """Vectors that reach into the next position's values ignore what they find, NaN included."""
    case = contraction((2, 2), (4, 4), 3, 5, images=2)
    arrays = conv_arrays(case)
    arrays["dy"][..., 0] = np.nan
    arrays["dy"][..., 1] = np.inf
    found = check(conv_graph(case, WEIGHT), arrays, 2)["conv_grad_weight"]
    assert np.isnan(found[..., 0]).all()
    assert np.isfinite(found[..., 2:]).all()


def test_read_by_others() -> None:
    """The result is a value like others: an output, summed, and the weights of a convolution."""
    b = GraphBuilder()
    x, dy = b.input("dataset", "x", (5, 4, 3)), b.input("dataset", "dy", (4, 3, 3))
    geometry = ops.ConvGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    dw = b.add("conv_grad_weight", x, dy, attrs=geometry)
    outputs = [
        ("dw", dw),
        ("again", b.add("conv", x, dw, attrs=geometry)),
        ("norm", b.add("sum", b.add("square", dw), attrs=ops.Sum(0, batched=False))),
    ]
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 3), 3)


@pytest.fixture(params=["rows", "columns", "both"])
def padding_left_out(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Products with padding are left out wherever there are any, with few channels as well."""
    for module in (weight_tiles, weight_rules):
        monkeypatch.setattr(module, "UNROLLED_ELEMENTS", 0)
    rows, columns = request.param != "columns", request.param != "rows"
    monkeypatch.setattr(weight_rules, "_INSIDE_ROWS", 1.0 if rows else 0.0)
    monkeypatch.setattr(weight_rules, "_INSIDE_COLUMNS", 1e9 if columns else 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case",
    [
        contraction((3, 3), (2, 2), 5, 17, padding=1),
        contraction((3, 2), (4, 3), 6, 9, padding=((2, 2), (0, 1)), stride=2),
        contraction((2, 3), (5, 4), 6, 9, padding=2, dilation=2, groups=3),
        contraction((3, 2, 3), (3, 2, 2), 3, 5, padding=1, flip=True),
        contraction((5,), (3,), 3, 5, padding=2),
    ],
    ids=["plane", "strided", "grouped", "volume", "row"],
)
def test_padding(padding_left_out: str | None, case: Contraction, dtype: DType) -> None:
    """What products with padding give: -0.0 becomes +0.0, infinities become NaN, else nothing."""
    case = replace(case, images=3, dtype=dtype)
    check(conv_graph(case, WEIGHT), conv_arrays(case), 3)
    check(conv_graph(case, WEIGHT), conv_arrays(case, extremes), 3)
    arrays = conv_arrays(case)
    tiny = np.finfo(dtype).smallest_subnormal
    for sign in (1, -1):
        # Every product with the source underflows to -0.0; padding then decides.
        arrays["x"][...] = -sign * tiny
        arrays["dy"][...] = sign * 0.25
        check(conv_graph(case, WEIGHT), arrays, 3)
    for value in (np.inf, np.nan):
        for where in ((1, 0, ...), (2, ..., 0), (0, ..., -1), (0, ..., 1)):
            arrays = conv_arrays(case)
            arrays["dy"][(*where, 2)] = value
            check(conv_graph(case, WEIGHT), arrays, 3)
