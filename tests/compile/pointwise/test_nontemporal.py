"""Results stored past the caches: when they are, and that the bits are the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.compile.harness import run_kernel
from tests.compile.places import FILLER, placed, plain_store, same_bits, targets
from tests.run.graphs import check, random_arrays
from tests.run.steps import digest, engine_for, make_step, rates

from isoconv import nn
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.native.emitters import emit
from isoconv.compile.native.loops import Kernel
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.pointwise.nontemporal import with_nontemporal_stores
from isoconv.compile.target import Target, host_target
from isoconv.compile.window.gradient import PoolGradSpec
from isoconv.compile.window.pool import PoolSpec
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.ops import ConvGeometry, ConvGradInput
from isoconv.ops.geometry import WindowGeometry

# Which stores there are depends on the width of vectors; it is the same with and without an FMA.
WIDTHS = [target for target in targets() if target.fma]
NEAR, FAR = (dataclasses.replace(host_target(), cache_share=share) for share in (1 << 40, 0))
S = nn.Sequential


def marked(place: Operand) -> Operand:
    """The place, stored past the caches."""
    return dataclasses.replace(place, nontemporal=True)


def text_of(spec: PointwiseSpec, target: Target) -> str:
    """A kernel in LLVM's language."""
    kernel = Kernel("kernel", target, spec.buffers)
    emit(kernel, spec)
    return str(kernel.build())


def addition(x: Operand, y: Operand, result: Operand, sizes: tuple[int, ...]) -> PointwiseSpec:
    """The sum of x and y."""
    steps = (Step("add", (0, 1), None, x.dtype),)
    return PointwiseSpec(Domain(sizes), Expression((x, y), "", steps, ((2, result),)), 3)


@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "gaps"),
    [((3, 5, 7, 48), ()), ((2, 5, 7, 21), ()), ((3, 5, 7, 48), (2, 2)), ((2, 3, 5, 24), (1, 2))],
)
@pytest.mark.parametrize("parts", [1, 3])
def test_pointwise(
    shape: tuple[int, ...], gaps: tuple[int, ...], parts: int, dtype: DType, target: Target
) -> None:
    """The sum, in rows of whole vectors and of others, with gaps and without."""
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal(shape).astype(dtype) for _ in range(2))
    arrays = [placed(a, i, gaps) for i, a in enumerate((x, y, np.zeros_like(x)))]
    one, other, (whole, place, view) = arrays
    spec = addition(one[1], other[1], marked(place), shape[1:])
    run_kernel(spec, [a for a, _, _ in arrays], images=len(x), target=target, parts=parts)
    same_bits(view, x + y)
    assert (whole == FILLER).sum() == whole.size - view.size


def test_which_stores() -> None:
    """Whole vectors that begin where vectors do; then a fence, so that others see them."""
    target = host_target()
    x, y = (placed(np.zeros((2, 5, 48), np.float32), i)[1] for i in range(2))
    result = placed(np.zeros((2, 5, 48), np.float32), 2, (2,))[1]
    plain = text_of(addition(x, y, result, (5, 48)), target)
    assert "!nontemporal" not in plain
    assert "sfence" not in plain
    past = text_of(addition(x, y, marked(result), (5, 48)), target)
    assert "!nontemporal" in past
    assert ("sfence" in past) == target.triple.startswith("x86_64")
    shifted = dataclasses.replace(result, offset=result.offset + 1)
    assert "!nontemporal" not in text_of(addition(x, y, marked(shifted), (5, 48)), target)


@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("channels", [48, 21])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1)])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling(kind: str, kernel: int, padding: int, channels: int, target: Target) -> None:
    """Pooling and its gradient leave the same bits, whichever way they are stored."""
    window = WindowGeometry((kernel,) * 2, (2, 2), ((padding, padding),) * 2, (1, 1))
    sides, images = (7, 8), 2
    draw = np.random.default_rng(0)
    x = draw.standard_normal((images, *sides, channels)).astype(np.float32)
    dy = draw.standard_normal((images, *window.output_sides(sides), channels)).astype(np.float32)
    source, at, _ = placed(x, 0)
    gradient, at_dy, _ = placed(dy, 1)
    found = []
    for way in (lambda place: place, marked):
        pooled, to, forward = placed(np.zeros_like(dy), 1)
        spec = PoolSpec(
            kind, "float32", window, sides, channels, at, False,
            Domain(dy.shape[1:]), plain_store("float32", way(to)), 2,
        )  # fmt: skip
        run_kernel(spec, [source, pooled], images=images, target=target)
        result, to, backward = placed(np.zeros_like(x), 2)
        gradient_spec = PoolGradSpec(
            kind, "float32", window, sides, channels, at if kind == "max" else None, at_dy, False,
            Domain(x.shape[1:]), plain_store("float32", way(to)), 3,
        )  # fmt: skip
        run_kernel(gradient_spec, [source, gradient, result], images=images, target=target)
        found.append((forward, backward))
    for one, other in zip(*found, strict=True):
        same_bits(one, other)


CONVOLUTIONS = {
    "3x3": ((3, 3), 1, 1, 7, 48),
    "1x1": ((1, 1), 1, 1, 7, 48),
    "strided": ((3, 3), 2, 1, 32, 48),
    "groups": ((3, 3), 1, 2, 10, 36),  # the second group begins within a vector
    "depthwise": ((3, 3), 1, 37, 37, 37),
    "depthwise, strided": ((3, 3), 2, 48, 48, 48),
}


@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, target: Target) -> None:
    """Convolutions and their gradients by the input leave the references' bits."""
    kernel, stride, groups, channels, filters = CONVOLUTIONS[name]
    padding = tuple((size // 2, size // 2) for size in kernel)
    geometry = ConvGeometry(kernel, (stride,) * 2, padding, (1, 1), groups)
    sides = (7, 9)
    b = GraphBuilder()
    x = b.input("dataset", "x", (*sides, channels))
    w = b.input("parameter", "w", (*kernel, channels // groups, filters))
    dy = b.input("dataset", "dy", (*geometry.output_sides(sides), filters))
    attrs = ConvGradInput(geometry, sides)
    y, dx = b.add("conv", x, w, attrs=geometry), b.add("conv_grad_input", dy, w, attrs=attrs)
    graph = b.graph([("y", b.add("relu", y)), ("dx", b.add("add", dx, x))])
    far = dataclasses.replace(target, cache_share=0)
    found = lowered_specs(graph, far, ("Contract", "Depthwise"))
    assert found
    assert all("nontemporal=True" in repr(spec) for spec in found) == (name != "groups")
    check(graph, random_arrays(graph, 3), 3, target=far)


def lowered_specs(graph: Graph, target: Target, families: tuple[str, ...]) -> list[Any]:
    """The kernels of these families that a graph becomes."""
    inputs = {
        node.attrs.name: Placement(
            Buffer("dataset", node.attrs.name, 0), "float32", dense_strides(node.spec.shape),
            node.spec.size, 0,
        )
        for _, node in graph.inputs()
    }  # fmt: skip
    outputs = {
        name: Placement(
            Buffer("output", name, 0), "float32", dense_strides(graph[index].spec.shape),
            graph[index].spec.size, 0,
        )
        for name, index in graph.outputs
    }  # fmt: skip
    calls = lower(graph, target, capacity=3, inputs=inputs, outputs=outputs).shard
    return [call.spec for call in calls if type(call.spec).__name__.startswith(families)]


def test_rule() -> None:
    """Of kernels that go through more than half the share of the cache, and in arenas alone."""
    place = placed(np.zeros((1, 4), np.float32), 0)[1]
    expression = plain_store("float32", place)
    target = dataclasses.replace(host_target(), cache_share=1000)

    def chosen(buffer: Buffer, capacity: int) -> list[bool]:
        stored = with_nontemporal_stores(expression, [buffer], target, capacity).stores
        return [where.nontemporal for _, where in stored]

    arena = Buffer("arena", "v", 100, batched=True)
    assert chosen(arena, 5) == [False]
    assert chosen(arena, 6) == [True]
    assert chosen(dataclasses.replace(arena, batched=False), 6) == [False]
    assert chosen(dataclasses.replace(arena, region="output"), 6) == [False]
    assert chosen(dataclasses.replace(arena, start=32), 6) == [False]


@pytest.mark.slow
def test_training() -> None:
    """A step leaves the same bits, whether everything goes past the caches or nothing does."""
    model = S(
        nn.Conv2d(32, 3, padding=1, bias=False), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 3, padding=1), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4),
    )  # fmt: skip
    step, model = make_step(model=model)
    digests = []
    for target in (NEAR, FAR):
        engine = engine_for(step, model, target=target)
        past = any("nontemporal=True" in repr(call.spec) for call in engine.plan.shard.shard)
        assert past == (target is FAR)
        digests.append(digest(engine, engine.steps(0, rates(2))))
    assert digests[0] == digests[1]
