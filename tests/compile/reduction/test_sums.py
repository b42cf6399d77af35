"""Reduction kernels against the reference, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from tests.compile.harness import run_kernel
from tests.compile.places import placed, same_bits, targets
from tests.run.graphs import check as check_graph
from tests.run.graphs import random_arrays

from isoconv.arithmetic.sums import partial_sum
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.reduction.cpu.walk import is_narrow
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.compile.target import Target
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation
from isoconv.ops import ConvGeometry, Dropout
from isoconv.ops.reduce import Sum, SumAxes


def data(shape: tuple[int, ...], dtype: DType = "float32", seed: int = 0) -> Array:
    """Numbers whose sum depends on the order, with some zeros of both signs."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal(shape) * 10.0 ** draw.integers(-3, 4, shape)
    x[draw.random(shape) < 0.05] = -0.0
    return x.astype(dtype)


def reduce(
    x: Array,
    kept: tuple[int, ...],
    *,
    batched: bool,
    gaps: tuple[int, ...] = (),
    target: Target | None = None,
    parts: int = 1,
) -> Array:
    """Sum x (images, axes..., channels) with the kernel."""
    source, at, _ = placed(x, 0, gaps)
    shape = (*(x.shape[:1] if batched else ()), *(x.shape[1 + axis] for axis in kept))
    result, where, view = placed(np.full(shape, 9, x.dtype), 1, image=batched)
    spec = ReduceSpec(
        domain=Domain(x.shape[1:]),
        expression=Expression((at,), "", (), ()),
        results=((0, where),),
        kept=kept,
        batched=batched,
        dtype=str(x.dtype),
        buffers=2,
    )
    run_kernel(spec, [source, result], images=len(x), target=target, parts=parts)
    return view


def check(x: Array, **settings: Any) -> None:
    """All four kinds of sum."""
    for keep in (0, 1) if x.ndim > 1 else (0,):
        for batched in (False, True):
            expected = operation("sum").reference(Sum(keep, batched), x, images=len(x))
            kept = tuple(range(x.ndim - 1 - keep, x.ndim - 1))
            same_bits(reduce(x, kept, batched=batched, **settings), expected)


@pytest.mark.parametrize("channels", [1, 3, 5, 8, 16, 17, 33, 70, 409])
@pytest.mark.parametrize("gaps", [(), (2, 1), (1, 0, 0)])
def test_channels(channels: int, gaps: tuple[int, ...]) -> None:
    """Numbers of channels around the vector width; rows with and without gaps."""
    check(data((3, 5, 7, channels)), gaps=gaps, parts=3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 3), (3, 4, 8), (5, 2, 13), (9, 6, 4)])
@pytest.mark.parametrize("gaps", [(), (1, 2)])
def test_rows(shape: tuple[int, ...], gaps: tuple[int, ...]) -> None:
    """Rows shorter and longer than eight elements, and partial sums that carry over."""
    check(data((*shape, 6)), gaps=gaps)


@pytest.mark.parametrize(
    ("shape", "gaps"),
    [((2, 3, 5, 9), ()), ((3, 9, 2, 17), (1, 2)), ((2, 1, 8, 1), (0, 1)), ((2, 3, 2, 2, 3), (1,))],
)
def test_any_axes(shape: tuple[int, ...], gaps: tuple[int, ...]) -> None:
    """Every choice of axes; kept ones before, between and behind those that are summed over."""
    x, axes = data(shape), range(len(shape) - 1)
    for count in axes:
        for kept in combinations(axes, count):
            summed = [1 + axis for axis in axes if axis not in kept]
            found = reduce(x, kept, batched=True, gaps=gaps, parts=3)
            same_bits(found, partial_sum(x, summed))
            found = reduce(x, kept, batched=False, gaps=gaps, parts=2)
            same_bits(found, partial_sum(x, [0, *summed]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_axes_behind_other_work(dtype: DType) -> None:
    """Dropout, broadcast operands and stored values in the pass that sums; halos in results."""
    b = GraphBuilder()
    x, row = (
        b.input("dataset", name, (n, 6, m), dtype) for name, n, m in (("x", 4, 16), ("row", 1, 1))
    )
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    y = b.add("dropout", x, samples, key, attrs=Dropout(0.4, 1))
    y = b.add("relu", b.add("sub", y, row))
    outputs = [("y", y), ("sign", b.add("relu_grad", y, x))]
    for axes in ((0,), (1,), (2,), (0, 2), (1, 2)):
        for batched in (True, False):
            total = b.add("sum_axes", y, attrs=SumAxes(axes, batched, source_batched=True))
            outputs.append((f"{axes} {batched}", total))
    w = b.input("parameter", "w", (3, 16, 2), dtype)
    line = b.add("sum_axes", y, attrs=SumAxes((0,), batched=True, source_batched=True))
    geometry = ConvGeometry((3,), (1,), ((1, 1),), (1,))
    outputs.append(("conv", b.add("conv", line, w, attrs=geometry)))
    graph = b.graph(outputs)
    for fusion in (True, False):
        check_graph(graph, random_arrays(graph, 3), 3, fusion=fusion)


@pytest.mark.parametrize("images", [1, 2, 7, 8, 9, 30])
def test_images(images: int) -> None:
    """One number or one vector for each image."""
    check(data((images,)))
    check(data((images, 10)))
    check(data((images, 20)), gaps=(3,), parts=2)


@pytest.mark.parametrize("target", targets())
def test_targets(target: Target) -> None:
    """Every target gives the same bits."""
    check(data((3, 5, 6, 11)), gaps=(1, 1), target=target)
    check(data((4, 5, 6, 24), "float64"), target=target)


def test_ranks() -> None:
    """Volumes, and images with gaps on one axis only."""
    check(data((2, 3, 4, 5, 9)), gaps=(0, 2, 0))
    check(data((2, 3, 4, 5, 9)), gaps=(1, 1, 1))


def test_unbatched() -> None:
    """Without an image axis, the sum is over the array."""
    x = data((7, 6, 5))
    for keep in (0, 1):
        source, at, _ = placed(x, 0, (1, 1), image=False)
        result, where, view = placed(np.zeros(x.shape[3 - keep :], x.dtype), 1, image=False)
        expression = Expression((at,), "", (), ())
        domain = Domain(x.shape, batched=False)
        kept = (2,) if keep else ()
        spec = ReduceSpec(domain, expression, ((0, where),), kept, False, "float32", 2)
        run_kernel(spec, [source, result], images=4, parts=2)
        same_bits(view, partial_sum(x, axis=range(3 - keep)))


@pytest.mark.parametrize("gaps", [(), (1, 1)])
@pytest.mark.parametrize("channels", [18, 201])
@pytest.mark.parametrize("target", targets())
def test_two_sums_and_a_store(gaps: tuple[int, ...], channels: int, target: Target) -> None:
    """Two sums and a stored value in one pass: sum of dy, sum of dy * (x - mean), and x - mean."""
    shape = (3, 5, 7, channels)
    x, dy, mean = data(shape), data(shape, seed=1), data((channels,), seed=2)
    first, at_x, _ = placed(x, 0, gaps)
    second, at_dy, _ = placed(dy, 1)
    third, _, _ = placed(mean, 2, image=False)
    at_mean = Operand(2, "float32", (0, 0, 1))
    stored, at_stored, stored_view = placed(np.zeros_like(x), 3, gaps)
    sums, at_sum, sum_view = placed(np.zeros((2, channels), "float32"), 4, image=False)
    at_sum = Operand(4, "float32", (1,))
    expression = Expression(
        (at_x, at_dy, at_mean),
        "",
        (Step("sub", (0, 2), None, "float32"), Step("mul", (1, 3), None, "float32")),
        ((3, at_stored),),
    )
    results = ((1, at_sum), (4, Operand(4, "float32", (1,), offset=channels)))
    spec = ReduceSpec(Domain(shape[1:]), expression, results, (2,), False, "float32", 5)
    run_kernel(spec, [first, second, third, stored, sums], images=3, target=target, parts=2)
    same_bits(stored_view, x - mean)
    same_bits(sum_view[0], partial_sum(dy, axis=(0, 1, 2)))
    same_bits(sum_view[1], partial_sum(dy * (x - mean), axis=(0, 1, 2)))
    assert (stored == 77.0).sum() == stored.size - stored_view.size


def test_narrow() -> None:
    """What is walked through: more channels than one block, with room for their partial sums."""
    result = Operand(1, "float32", (1,))
    one = ReduceSpec(Domain((4, 64)), Expression((), "", (), ()), ((0, result),), (1,), False,
                     "float32", 2)  # fmt: skip
    two = replace(one, results=one.results * 2)
    assert [is_narrow(channels, 32, one) for channels in (16, 32, 33, 384, 385)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert [is_narrow(channels, 16, two) for channels in (16, 17, 192, 193)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not is_narrow(193, 32, replace(one, dtype="float64"))


def test_no_images() -> None:
    """The sum over no images is +0.0."""
    x = data((2, 4, 4, 5))
    source, at, _ = placed(x, 0, (1, 1))
    result, where, view = placed(np.ones(5, "float32"), 1, image=False)
    expression = Expression((at,), "", (), ())
    spec = ReduceSpec(Domain((4, 4, 5)), expression, ((0, where),), (2,), False, "float32", 2)
    run_kernel(spec, [source, result], images=0)
    same_bits(view, np.zeros(5, "float32"))
