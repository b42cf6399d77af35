"""Winograd's convolution chunk by chunk: the bits of whole components, and of the references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.geometries import extremes
from tests.compile.places import same_bits, targets
from tests.compile.winograd_graphs import arrays_for, cases, convolution
from tests.run.graphs import check, numbers, random_arrays

import isoconv.ops as ops
from isoconv import nn
from isoconv.compile.calls import Call
from isoconv.compile.cpus import USUAL
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import Plan, make_plan
from isoconv.compile.target import Target, host_target, target_named
from isoconv.compile.winograd.chunks import WinogradConvSpec, WinogradConvWeightSpec
from isoconv.compile.winograd.placement import chunk_rows
from isoconv.graph.ir import DType, Graph, TensorSpec
from isoconv.graph.operation import Array
from isoconv.run.inference import Predictor
from isoconv.run.memory import aligned_bytes
from isoconv.run.training import TrainingEngine
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD

SHAPE = (11, 9, 3)
MACHINE = replace(target_named("generic"), core=USUAL)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many rows of tiles a chunk has."""

    def set_rows(count: int) -> None:
        def chosen(
            _: Target,
            components: TensorSpec,
            channels: int,
            filters: int,
            capacity: int,
            *,
            sums: bool,
        ) -> int:
            return min(count, components.shape[1] * max(1, capacity))

        monkeypatch.setattr("isoconv.compile.winograd.rules.chunk_rows", chosen)

    return set_rows


def lowered(graph: Graph, images: int, *, fusion: bool = True) -> list[Call]:
    """The kernel calls of a graph."""

    def place(region: str, name: str, spec: TensorSpec) -> Placement:
        buffer = Buffer(region, name, spec.size * spec.itemsize)
        return Placement(buffer, spec.dtype, dense_strides(spec.shape), spec.size, 0)

    inputs = {node.attrs.name: place("dataset" if node.spec.batched else "parameter",
                                     node.attrs.name, node.spec)
              for _, node in graph.inputs()}  # fmt: skip
    outputs = {name: place("output", name, graph[index].spec) for name, index in graph.outputs}
    return lower(graph, host_target(), capacity=images, inputs=inputs, outputs=outputs,
                 fusion=fusion).shard  # fmt: skip


def kinds(calls: list[Call]) -> Counter[type[Any]]:
    """How many calls of each kind of kernel."""
    return Counter(type(call.spec) for call in calls)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(cases(), st.integers(1, 7))
def test_random_shapes(case: tuple[ops.WinogradPatches, int, int, DType, int], count: int) -> None:
    """Convolution and gradients are the references', whatever the sizes and the chunk."""
    patches, channels, filters, dtype, images = case
    graph = convolution(patches, channels, filters, dtype)
    arrays = random_arrays(graph, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isoconv.compile.winograd.rules.chunk_rows", lambda *_, **__: count)
        calls = kinds(lowered(graph, images))
        assert calls[WinogradConvSpec] == 2
        assert calls[WinogradConvWeightSpec] == 1
        check(graph, arrays, images, cache=False)


@pytest.mark.parametrize("target", targets())
def test_targets(target: Target, rows: Callable[[int], None]) -> None:
    """The same bits with every instruction set, from numbers of every size."""
    rows(2)
    graph = convolution(ops.WinogradPatches((7, 6), ((1, 1), (0, 2))), 17, 9)
    check(graph, arrays_for(graph, 3, extremes), 3, target=target.name)


@pytest.mark.parametrize("name", ["v", "dm", "dv"])
def test_components_that_others_want(name: str, rows: Callable[[int], None]) -> None:
    """Components that somebody else reads are made whole, and the convolution uses them."""
    rows(2)
    graph = convolution(ops.WinogradPatches((6, 5), ((1, 1), (1, 1))), 5, 7, more=(name,))
    found = kinds(lowered(graph, 3))
    assert found[WinogradConvSpec] == 1
    assert not found[WinogradConvWeightSpec]
    check(graph, random_arrays(graph, 3), 3)


def test_without_fusion() -> None:
    """Every node alone: components are made whole."""
    graph = convolution(ops.WinogradPatches((6, 5), ((1, 1), (1, 1))), 5, 7)
    found = kinds(lowered(graph, 3, fusion=False))
    assert not found[WinogradConvSpec] + found[WinogradConvWeightSpec]
    check(graph, random_arrays(graph, 3), 3, fusion=False)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_scratch_is_enough(
    count: int, rows: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels write up to the end of the scratch memory that they ask for, and not beyond it."""
    rows(count)
    graph = convolution(ops.WinogradPatches((6, 5), ((1, 1), (1, 1))), 5, 7)
    asked, held, beyond, mark = [], [], 1 << 16, 0xA5

    def plan_of(calls: list[Call], capacity: int) -> Plan:
        plan = make_plan(calls, capacity)
        asked.append(plan.scratch)
        return replace(plan, scratch=plan.scratch + beyond)

    def memory(size: int) -> Array:
        taken = aligned_bytes(size)
        if size == asked[0] + beyond:
            taken[...] = mark
            held.append(taken)
        return taken

    monkeypatch.setattr("isoconv.run.evaluate.make_plan", plan_of)
    monkeypatch.setattr("isoconv.run.binder.aligned_bytes", memory)
    check(graph, random_arrays(graph, 3), 3)
    for scratch in held:
        written = int(np.flatnonzero(scratch != mark)[-1]) + 1
        # Behind it lies room to read in; the last channels may fill no whole vector.
        room = asked[0] - make_plan([], 1).scratch
        assert 0.9 * room < written <= room
    assert held


# Teams ------------------------------------------------------------------------------------------


def model() -> nn.Sequential:
    """Two convolutions by the algorithm, with padding and without."""
    return nn.Sequential(
        nn.Conv2d(6, 3, padding=1, algorithm="winograd"), nn.BatchNorm2d(), nn.ReLU(),
        nn.Conv2d(17, 3, algorithm="winograd"), nn.ReLU(), nn.Flatten(), nn.Linear(4),
    ).build(SHAPE, seed=2)  # fmt: skip


def trained(threads: int, *, fusion: bool = True) -> dict[str, Array]:
    """Parameters after three steps on a shard and a half."""
    made = model()
    step = build_step(made, Preparation(SHAPE, "float32"), Loss(), SGD(0.1, momentum=0.9))
    data = {"images": numbers((18, *SHAPE), seed=1), "labels": np.arange(18, dtype=np.int32) % 4}
    engine = TrainingEngine(step, data, batch_size=6, shard_size=4, threads=threads, fusion=fusion)
    engine.load(made.parameters(), made.states())
    engine.begin_epoch(0, np.arange(18))
    engine.steps(0, np.full((3, 1), 0.1, np.float32))
    return engine.parameters()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_training_in_teams(count: int, rows: Callable[[int], None]) -> None:
    """A team trains to the same bits, and so do chunks of any size."""
    expected = trained(1, fusion=False)
    rows(count)
    for threads in (1, 2, 3, 5):
        found = trained(threads)
        for name, array in expected.items():
            same_bits(found[name], array)


@pytest.mark.parametrize("count", [1, 3])
def test_predictions_in_teams(count: int, rows: Callable[[int], None]) -> None:
    """Threads that share an image find their rows of tiles, wherever they begin."""
    graph = convolution(ops.WinogradPatches((11, 6), ((1, 1), (1, 1))), 5, 7)
    graph = type(graph)(graph.nodes, graph.outputs[:2])
    arrays = random_arrays(graph, 2)
    weights, images = {"w": arrays.pop("w")}, arrays
    expected = Predictor(graph, threads=1, fusion=False).run(weights, images)
    rows(count)
    for threads in (2, 3, 7):
        with Predictor(graph, threads=threads) as predictor:
            found = predictor.run(weights, images)
        for name, array in expected.items():
            same_bits(found[name], array)


# The choice -------------------------------------------------------------------------------------


def components_of(side: int, channels: int) -> TensorSpec:
    """Components of a square feature map."""
    return TensorSpec((16, -(-side // 2), -(-side // 2), channels), "float32")


@pytest.mark.parametrize(
    ("side", "channels", "capacity", "wanted"),
    [
        (32, 16, 32, 16),  # 32 KiB for a row of tiles
        (64, 64, 32, 2),
        (32, 128, 32, 2),
        (16, 256, 32, 2),
        (8, 512, 32, 0),  # 16 MiB of weights for each chunk
        (7, 512, 1, 0),
        (224, 64, 1, 1),  # a row of tiles is more than the cache holds, and yet less than all
        (2, 16, 1, 1),  # no more than there are
    ],
)
def test_chunk_rows(side: int, channels: int, capacity: int, wanted: int) -> None:
    """Components of a chunk stay in the cache; none where weights would come too often."""
    components = components_of(side, channels)
    assert chunk_rows(MACHINE, components, channels, channels, capacity) == wanted
    row = 16 * 2 * channels * components.shape[2] * 4
    assert wanted <= 1 or wanted * row <= MACHINE.core.near


def test_sums_in_chunks() -> None:
    """Sums over positions are read and written with each chunk, which pays up to fewer channels."""
    components = components_of(16, 256)
    assert chunk_rows(MACHINE, components, 256, 256, 32) == 2
    assert chunk_rows(MACHINE, components, 256, 256, 32, sums=True) == 0
    components = components_of(32, 128)
    assert chunk_rows(MACHINE, components, 128, 128, 32, sums=True) == 2
