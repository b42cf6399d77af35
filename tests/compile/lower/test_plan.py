"""The plan of memory: nothing that lives is overwritten, and halos of zeros stay zeros."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv import nn
from isoconv.compile.calls import Call
from isoconv.compile.layout import ALIGNMENT, Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.native.runtime import AdvanceSpec
from isoconv.compile.target import host_target
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import Node


def lives(calls: list[Call]) -> dict[Buffer, tuple[int, int]]:
    """First and last call of every arena buffer."""
    found: dict[Buffer, tuple[int, int]] = {}
    for time, call in enumerate(calls):
        for buffer in call.buffers:
            if buffer.region == "arena":
                first, _ = found.get(buffer, (time, time))
                found[buffer] = (first, time)
    return found


def check_plan(calls: list[Call], capacity: int) -> Any:
    """Living buffers are apart; equals alone share a halo; all begin on cache lines."""
    plan = make_plan(calls, capacity)
    found = lives(calls)
    assert {buffer for buffer in plan.offsets if buffer.region == "arena"} == set(found)
    spans = {}
    for buffer in found:
        start = plan.offsets[buffer]
        size = buffer.bytes * (capacity if buffer.batched else 1)
        assert start % ALIGNMENT == 0
        assert 0 <= start <= start + size <= plan.arena
        spans[buffer] = (start, start + size)
    for a, b in combinations(found, 2):
        (a_start, a_end), (b_start, b_end) = spans[a], spans[b]
        if a_end <= b_start or b_end <= a_start:
            continue
        (a_first, a_last), (b_first, b_last) = found[a], found[b]
        assert a_last < b_first or b_last < a_first, f"{a} and {b} live at the same time"
        if a.halo or b.halo:
            assert a.halo == b.halo
            assert spans[a] == spans[b]
    return plan


@st.composite
def programs(draw: st.DrawFn) -> list[Call]:
    """Calls that write each buffer once and read it some times."""
    count = draw(st.integers(1, 14))
    buffers = []
    for i in range(count):
        halo = draw(st.sampled_from(["", "", "", "4x4", "6x6"]))
        size = {"4x4": 400, "6x6": 720}.get(halo) or draw(st.integers(1, 40)) * 20
        buffers.append(Buffer("arena", f"v{i}", size, draw(st.booleans()), halo))
    calls = []
    for i, buffer in enumerate(buffers):
        reads = draw(st.lists(st.sampled_from(buffers[:i]), max_size=3)) if i else []
        outside = [Buffer("parameter", "parameter", 64)] if draw(st.booleans()) else []
        taken = tuple(dict.fromkeys((*reads, *outside, buffer)))
        calls.append(Call(AdvanceSpec(), taken, (len(taken) - 1,)))
    return calls


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(programs(), st.integers(1, 9))
def test_plans(calls: list[Call], capacity: int) -> None:
    """Every plan keeps the rules."""
    check_plan(calls, capacity)


def training_calls(name: str) -> list[Call]:
    """The calls of a model's training step for a shard of up to four images."""
    traced = nn.trace_model(nn.models.create(name, 10, (16, 16, 3)), (16, 16, 3), training=True)
    b = traced.builder
    seed = b.input("dataset", "seed", b.spec(traced.output).shape)
    wanted = [i for i in range(len(b)) if b[i].op == "input" and b[i].attrs.kind == "parameter"]
    flows = differentiate(b, {traced.output: seed}, wanted)
    graph = b.graph([(f"d{i}", flow) for i, flow in flows.items()])

    def place(region: str, node: Node, rows: str = "") -> Placement:
        spec = node.spec
        image = spec.size if spec.batched else 0
        buffer = Buffer(region, node.attrs.name, 0)
        return Placement(buffer, spec.dtype, dense_strides(spec.shape), image, 0, rows)

    inputs = {
        node.attrs.name: place("dataset", node, "gathered")
        if node.spec.batched
        else place("parameter", node)
        for _, node in graph.inputs()
    }
    outputs = {
        output: Placement(Buffer("sums", output, 0), "float32",
                          dense_strides(graph[index].spec.shape), 0, 0)
        for output, index in graph.outputs
    }  # fmt: skip
    return lower(graph, host_target(), capacity=4, inputs=inputs, outputs=outputs).shard


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mobilenetv2"])
def test_models(name: str) -> None:
    """Training steps of the ready models: the rules hold, and memory is used again."""
    calls = training_calls(name)
    plan = check_plan(calls, 4)
    apart = sum(b.bytes * (4 if b.batched else 1) for b in lives(calls))
    assert plan.arena < apart


def test_memory_is_used_again() -> None:
    """A chain of equal values needs the room of two."""
    buffers = [Buffer("arena", f"v{i}", 640) for i in range(6)]
    calls = [Call(AdvanceSpec(), pair, (1,)) for pair in pairwise(buffers)]
    assert make_plan(calls, 1).arena < 3 * 640


def test_equal_halos_take_turns() -> None:
    """Values of one shape with a halo share zeros, in turn; others keep away at all times."""
    first, second, third = (Buffer("arena", n, 640, halo="10x16") for n in "abc")
    plain = Buffer("arena", "plain", 640)
    calls = [
        Call(AdvanceSpec(), taken, (0,))
        for taken in ((first,), (second, first), (third, second), (plain, third))
    ]
    plan = check_plan(calls, 1)
    assert plan.offsets[first] == plan.offsets[third] != plan.offsets[second]
    assert len({plan.offsets[b] for b in (first, second, plain)}) == 3


def test_no_arena() -> None:
    """A script without values of its own needs no room but the slack."""
    plan = make_plan([Call(AdvanceSpec(), (Buffer("parameter", "p", 64),), (0,))], 4)
    assert not plan.offsets
    assert max(plan.arena, plan.scratch, plan.packed) < 1024


def test_packed_weights_live_on() -> None:
    """Each has bytes of its own on a cache line, whoever reads it again."""
    buffers = [Buffer("packed", f"w{i}", size) for i, size in enumerate((1, 64, 65, 640))]
    calls = [Call(AdvanceSpec(), (buffer,), (0,)) for buffer in (*buffers, buffers[1])]
    plan = make_plan(calls, 1)
    assert [plan.offsets[b] for b in buffers] == [0, 64, 128, 256]
    assert plan.packed >= 256 + 640


def test_scratch_memory_is_for_one_call_at_a_time() -> None:
    """All calls begin at its first byte, and the largest has room."""
    pieces = [Buffer("scratch", "scratch", size, start=start) for start, size in ((0, 9), (64, 7))]
    plan = make_plan([Call(AdvanceSpec(), (piece,), (0,)) for piece in pieces], 1)
    assert [plan.offsets[piece] for piece in pieces] == [0, 0]
    assert plan.scratch >= 64 + 7
