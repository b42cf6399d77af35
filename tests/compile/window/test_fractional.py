"""Kernels of fractional max pooling against the references, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.harness import run_kernel
from tests.compile.places import FILLER, placed, plain_store, same_bits, targets
from tests.run.graphs import check, numbers

import isoconv.ops as ops
from isoconv.compile.pointwise.expression import Domain
from isoconv.compile.target import Target
from isoconv.compile.window.fractional import FractionalPoolGradSpec, FractionalPoolSpec
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation

WINDOWS = {
    "between": (ops.FractionalWindow((2, 3), (4, 3)), (9, 8)),
    "overlapping": (ops.FractionalWindow((3, 3), (5, 6)), (8, 9)),
    "as many as fit": (ops.FractionalWindow((2, 2), (5, 4)), (6, 5)),
    "gaps": (ops.FractionalWindow((1, 2), (3, 2)), (11, 12)),
    "one": (ops.FractionalWindow((3, 2), (1, 1)), (7, 5)),
    "global": (ops.FractionalWindow((5, 6), (1, 1)), (5, 6)),
    "one place each": (ops.FractionalWindow((1, 1), (4, 5)), (6, 7)),
    "row": (ops.FractionalWindow((3,), (5,)), (12,)),
    "cube": (ops.FractionalWindow((2, 1, 2), (3, 4, 2)), (5, 6, 4)),
    "larger than unrolled": (ops.FractionalWindow((6, 5), (3, 4)), (11, 9)),
    "rounded": (ops.FractionalWindow((1,), (12,)), (27,)),
}


def data(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> Array:
    """Small integers, so that many are equal, with zeros of both signs and some NaN."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-3, 4, shape).astype(dtype) / 4
    x = np.where(draw.random(shape) < 0.2, -x, x)
    x[draw.random(shape) < 0.02] = np.nan
    return x.astype(dtype)


def offsets(shape: tuple[int, ...], dtype: DType) -> Array:
    """Drawn ones, the least and the largest, halves, and some that are none."""
    draw = np.random.default_rng(5)
    word = draw.integers(0, 2**24, shape) * 2.0**-24
    rare = np.array([0, 0.5, 1 - 2.0**-24, 1, -0.25, 3e38, -3e38, np.nan, np.inf])
    return np.where(draw.random(shape) < 0.3, draw.choice(rare, shape), word).astype(dtype)


def check_all(
    name: str, channels: int, dtype: DType = "float32", *, gaps: bool = False,
    target: Target | None = None, parts: int = 1,
) -> None:  # fmt: skip
    """Values, places and the gradient; nothing outside the results is written."""
    window, sides = WINDOWS[name]
    rank = len(sides)
    larger = (2,) * rank if gaps else ()
    x, u = data((2, *sides, channels), dtype), offsets((2, rank, channels), dtype)
    dy = numbers((2, *window.outputs, channels), dtype, seed=1)
    given = [placed(x, 0, larger), placed(u, 1), placed(dy, 2, larger)]
    arrays, (at_x, at_u, at_dy) = [each[0] for each in given], [each[1] for each in given]

    def run(op: str, number: int, shape: tuple[int, ...], make: Any) -> None:
        result, where, view = placed(np.full(shape, 5, dtype), number, larger)
        with np.errstate(all="ignore"):
            expected = operation(op).reference(window, *[x, u, dy][:number], images=2)
        run_kernel(make(where), [*arrays[:number], result], images=2, target=target, parts=parts)
        same_bits(view, expected)
        # A place may have the filler's number.
        outside = (result == FILLER).sum() - (view == FILLER).sum()
        assert outside == result.size - view.size, "the kernel wrote outside its result"

    for kind, op in (("max", "fractional_max_pool"), ("place", "fractional_max_pool_places")):
        run(
            op, 2, dy.shape,
            lambda where, kind=kind: FractionalPoolSpec(
                kind, dtype, window, sides, channels, at_x, at_u,
                Domain((*window.outputs, channels)), plain_store(dtype, where), 3,
            ),
        )  # fmt: skip
    run(
        "fractional_max_pool_grad", 3, x.shape,
        lambda where: FractionalPoolGradSpec(
            dtype, window, sides, channels, at_x, at_u, at_dy, where, 4
        ),
    )  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    """Every kind of window, rows with gaps between them, work in three parts."""
    check_all(name, 5, gaps=True, parts=3)


@pytest.mark.parametrize("channels", [1, 3, 16, 17, 70])
def test_channels(channels: int) -> None:
    """Numbers of channels around the vector width, of which each has windows of its own."""
    check_all("between", channels, parts=2)


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("name", ["overlapping", "cube"])
def test_targets(name: str, target: Target) -> None:
    """Every target gives the same bits."""
    check_all(name, 11, target=target)


def test_double() -> None:
    """float64 works as float32 does, with steps of its own."""
    for name in ("between", "rounded"):
        check_all(name, 9, "float64")


@pytest.mark.parametrize(("turn", "target"), [*enumerate(targets())])
def test_graphs(turn: int, target: Target) -> None:
    """From drawn numbers to the gradient, with work before and behind that is fused."""
    name = ("between", "overlapping", "cube", "row")[turn % 4]
    window, sides = WINDOWS[name]
    channels = (5, 16, 19)[turn % 3]
    b = GraphBuilder()
    x = b.input("dataset", "x", (*sides, channels))
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    like = b.add("convert", samples, attrs=ops.Convert("float32"))
    like = b.add("broadcast", like, attrs=ops.Broadcast((len(sides), channels), True, True))
    u = b.add("uniform_like", like, samples, key, attrs=ops.Uniform(6, 1))
    before = b.add("scale", x, attrs=ops.Constant(-1.5))
    pooled = b.add("fractional_max_pool", before, u, attrs=window)
    places = b.add("fractional_max_pool_places", before, u, attrs=window)
    y = b.add("relu", b.add("offset", pooled, attrs=ops.Constant(0.25)))
    dy = b.input("dataset", "dy", b.spec(y).shape)
    dx = differentiate(b, {y: dy}, [x])[x]
    graph = b.graph([("y", y), ("places", places), ("dx", dx), ("u", u)])
    arrays = {
        "x": data((3, *sides, channels), "float32"),
        "samples": np.array([0, 2**31 + 5, 7], np.int64),
        "key": np.array([-(2**63), 2**32 - 1], np.int64),
        "dy": numbers((3, *window.outputs, channels)),
    }
    found = check(graph, arrays, 3, target=target.name)
    fused = check(graph, arrays, 3, target=target.name, fusion=False)
    for each, array in found.items():
        same_bits(array, fused[each])
    assert len(np.unique(found["u"])) > found["u"].size * 0.99


def test_specs_are_keys() -> None:
    """Equal specifications are equal keys, and their text is canonical."""
    window, sides = WINDOWS["between"]
    _, at, _ = placed(np.zeros((1, *sides, 4), "float32"), 0)

    def make(kind: str = "max") -> FractionalPoolSpec:
        return FractionalPoolSpec(
            kind, "float32", window, sides, 4, at, at, Domain((4, 3, 4)),
            plain_store("float32", at), 3,
        )  # fmt: skip

    assert make() == make()
    assert hash(make()) == hash(make())
    assert repr(make()) == repr(make())
    assert make().title == "fractional max pooling"
    assert make("place").title == "fractional max pooling, places"
