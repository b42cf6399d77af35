"""Pooling kernels against the references, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.harness import run_kernel
from tests.compile.places import FILLER, placed, plain_store, same_bits, targets
from tests.run.graphs import check

from isoconv.compile.pointwise.expression import Domain, Expression, Step
from isoconv.compile.target import Target
from isoconv.compile.window.gradient import PoolGradSpec
from isoconv.compile.window.pool import PoolSpec
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation
from isoconv.ops.geometry import WindowGeometry
from isoconv.ops.pointwise import Constant
from isoconv.ops.pool import AvgPool, AvgPoolGrad
from isoconv.ops.unpool import Unpool

WINDOWS = {
    "2x2": (WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), (6, 8)),
    "2x2 rest": (WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), (5, 7)),
    "gaps": (WindowGeometry((1, 2), (2, 3), ((0, 0), (0, 0)), (1, 1)), (7, 10)),
    "3x3/2": (WindowGeometry((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), (7, 9)),
    "3x3/1": (WindowGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), (5, 6)),
    "3x3/2 inside": (WindowGeometry((3, 3), (2, 2), ((0, 0), (0, 0)), (1, 1)), (9, 7)),
    "dilated": (WindowGeometry((3, 2), (2, 1), ((1, 2), (0, 1)), (2, 2)), (9, 6)),
    "ceil": (WindowGeometry((3, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), ceil_mode=True), (6, 7)),
    "uneven": (WindowGeometry((3, 3), (3, 2), ((1, 0), (0, 1)), (1, 1), ceil_mode=True), (7, 8)),
    "global": (WindowGeometry((5, 6), (1, 1), ((0, 0), (0, 0)), (1, 1)), (5, 6)),
    "global by stride": (WindowGeometry((6, 6), (6, 6), ((0, 0), (0, 0)), (1, 1)), (6, 6)),
    "row": (WindowGeometry((3,), (2,), ((1, 1),), (1,)), (11,)),
    "cube": (WindowGeometry((2, 3, 2), (2, 2, 1), ((0, 1), (1, 1), (0, 0)), (1, 1, 1)), (4, 5, 3)),
    "nothing": (WindowGeometry((), (), (), ()), ()),
    "larger than unrolled": (
        WindowGeometry((6, 5), (2, 3), ((3, 2), (1, 2)), (1, 1)),
        (11, 9),
    ),
    "looked at again": (WindowGeometry((9, 9), (1, 1), ((4, 4), (4, 4)), (1, 1)), (6, 7)),
    "padded wide": (WindowGeometry((3, 4), (1, 2), ((2, 2), (3, 1)), (1, 1)), (5, 6)),
    "padded far": (
        WindowGeometry((3, 2), (2, 1), ((4, 3), (0, 1)), (2, 1), ceil_mode=True),
        (7, 4),
    ),
    "long rows": (WindowGeometry((2, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), (2, 4000)),
}


def data(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> Array:
    """Small integers, so that many are equal, with zeros of both signs and some NaN."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-3, 4, shape).astype(dtype) / 4
    x = np.where(draw.random(shape) < 0.2, -x, x)
    x[draw.random(shape) < 0.02] = np.nan
    return x.astype(dtype)


def forward(
    kind: str,
    window: WindowGeometry,
    x: Array,
    *,
    include_pad: bool = False,
    gaps: tuple[int, ...] = (),
    target: Target | None = None,
    parts: int = 1,
) -> Array:
    """Run the pooling kernel on x."""
    sides, channels = x.shape[1:-1], x.shape[-1]
    outputs = window.output_sides(sides)
    source, at, _ = placed(x, 0, gaps)
    result, where, view = placed(np.zeros((len(x), *outputs, channels), x.dtype), 1, gaps)
    spec = PoolSpec(
        kind=kind,
        dtype=str(x.dtype),
        window=window,
        sides=sides,
        channels=channels,
        source=at,
        count_include_pad=include_pad,
        domain=Domain((*outputs, channels)),
        epilogue=plain_store(str(x.dtype), where),
        buffers=2,
    )
    run_kernel(spec, [source, result], images=len(x), target=target, parts=parts)
    outside = (result == FILLER).sum()
    assert outside == result.size - view.size, "the kernel wrote outside its result"
    return view


def backward(
    kind: str,
    window: WindowGeometry,
    x: Array,
    dy: Array,
    *,
    include_pad: bool = False,
    gaps: tuple[int, ...] = (),
    target: Target | None = None,
    parts: int = 1,
) -> Array:
    """Run the kernel of the gradient."""
    sides, channels = x.shape[1:-1], x.shape[-1]
    source, at, _ = placed(x, 0, gaps)
    gradient, at_dy, _ = placed(dy, 1, gaps)
    result, where, view = placed(np.full_like(x, 5), 2, gaps)
    spec = PoolGradSpec(
        kind=kind,
        dtype=str(x.dtype),
        window=window,
        sides=sides,
        channels=channels,
        source=at if kind == "max" else None,
        gradient=at_dy,
        count_include_pad=include_pad,
        domain=Domain((*sides, channels)),
        epilogue=plain_store(str(x.dtype), where),
        buffers=3,
    )
    run_kernel(spec, [source, gradient, result], images=len(x), target=target, parts=parts)
    outside = (result == FILLER).sum()
    assert outside == result.size - view.size, "the kernel wrote outside its result"
    return view


def check_all(
    window: WindowGeometry,
    sides: tuple[int, ...],
    channels: int,
    dtype: DType = "float32",
    **settings: Any,
) -> None:
    """Forward and backward, maximum and both averages."""
    x = data((2, *sides, channels), dtype)
    dy = data((2, *window.output_sides(sides), channels), dtype, seed=1)
    expected = operation("max_pool").reference(window, x, images=2)
    same_bits(forward("max", window, x, **settings), expected)
    expected = operation("max_pool_grad").reference(window, x, dy, images=2)
    same_bits(backward("max", window, x, dy, **settings), expected)
    for include_pad in (False, True):
        attrs = AvgPool(window, include_pad)
        expected = operation("avg_pool").reference(attrs, x, images=2)
        same_bits(forward("avg", window, x, include_pad=include_pad, **settings), expected)
        back = AvgPoolGrad(window, include_pad, sides)
        expected = operation("avg_pool_grad").reference(back, dy, images=2)
        same_bits(backward("avg", window, x, dy, include_pad=include_pad, **settings), expected)


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    """Every kind of window gives the bits of the reference."""
    window, sides = WINDOWS[name]
    check_all(window, sides, 5, gaps=(2,) * len(sides), parts=3)


@pytest.mark.parametrize("channels", [1, 3, 16, 17, 70])
@pytest.mark.parametrize("name", ["2x2 rest", "3x3/2"])
def test_channels(name: str, channels: int) -> None:
    """Numbers of channels around the vector width."""
    window, sides = WINDOWS[name]
    check_all(window, sides, channels)


@pytest.mark.parametrize(("turn", "target"), [*enumerate(targets())])
def test_places(turn: int, target: Target) -> None:
    """Where maxima stood, values put back there, and their gradient; any floats as places."""
    names = ("2x2 rest", "dilated", "ceil", "row", "cube", "nothing", "padded wide")
    for number, (window, sides) in enumerate(WINDOWS[name] for name in names[turn % 3 :: 3]):
        dtype: DType = ("float32", "float64")[number % 2]
        x = data((2, *sides, 1 + 8 * (number % 3)), dtype)
        b = GraphBuilder()
        given = b.input("dataset", "x", x.shape[1:], dtype)
        places = b.add("max_pool_places", given, attrs=window)
        top = b.add("max_pool", given, attrs=window)
        y = b.add("max_unpool", top, places, attrs=Unpool(sides))
        wild = b.add("max_unpool", top, b.add("scale", top, attrs=Constant(7.5)),
                     attrs=Unpool(sides))  # fmt: skip
        dy = b.input("dataset", "dy", b.spec(y).shape, dtype)
        outputs = {"places": places, "y": y, "wild": wild}
        outputs["dx"] = differentiate(b, {y: dy, wild: dy}, [given])[given]
        graph = b.graph([*outputs.items()])
        found = check(graph, {"x": x, "dy": data(x.shape, dtype, 1)}, 2, target=target.name)
        kept = found["y"] != 0
        np.testing.assert_array_equal(found["y"][kept], x[kept])


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("name", ["2x2 rest", "3x3/1"])
def test_targets(name: str, target: Target) -> None:
    """Every target gives the same bits."""
    window, sides = WINDOWS[name]
    check_all(window, sides, 11, target=target)


def test_double() -> None:
    """float64 works as float32 does."""
    window, sides = WINDOWS["3x3/2"]
    check_all(window, sides, 9, dtype="float64")


def test_epilogue() -> None:
    """Work behind the pooled value is done in registers and stored where it is wanted."""
    window, sides = WINDOWS["2x2"]
    x = np.abs(np.nan_to_num(data((2, *sides, 18), "float32"))) - 0.5
    other = data((2, 3, 4, 18), "float32", seed=3)
    source, at, _ = placed(x, 0)
    second, at_other, _ = placed(other, 1)
    result, where, view = placed(np.zeros((2, 3, 4, 18), "float32"), 2)
    epilogue = Expression(
        (at_other,), "float32", (Step("add", (1, 0), None, "float32"),), ((2, where),)
    )
    spec = PoolSpec("max", "float32", window, sides, 18, at, False, Domain((3, 4, 18)), epilogue, 3)
    run_kernel(spec, [source, second, result], images=2)
    same_bits(view, operation("max_pool").reference(window, x, images=2) + other)


def test_spec_is_a_key() -> None:
    """Equal specifications are equal keys, and their text is canonical."""
    window, sides = WINDOWS["2x2"]
    _, at, _ = placed(np.zeros((1, *sides, 4), "float32"), 0)

    def make() -> PoolSpec:
        return PoolSpec(
            "max", "float32", window, sides, 4, at, False, Domain((3, 4, 4)),
            plain_store("float32", at), 2,
        )  # fmt: skip

    assert make() == make()
    assert hash(make()) == hash(make())
    assert repr(make()) == repr(make())
