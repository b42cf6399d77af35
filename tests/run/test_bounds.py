"""What bounds a kernel, by the model that chose its schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from isoconv import nn
from isoconv.compile.calls import Call
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.tiles import (
    SHARED_RATE,
    Tile,
    step_cycles,
    step_limits,
)
from isoconv.compile.cpus import USUAL
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.target import target_named
from isoconv.nn.inference import inference_graph
from isoconv.run.bounds import Demand, demand_of
from isoconv.run.ceilings import Ceilings
from isoconv.run.inference import Predictor

MACHINE = replace(
    target_named("generic"), vector_bytes=64, registers=32, core=USUAL, cache_share=8 << 20
)  # fmt: skip
CEILINGS = Ceilings(1, gflops=100.0, memory=10.0, cache=50.0)
ROWS = {"images": 0, "result": 0}


@pytest.fixture(scope="module")
def calls() -> Iterator[list[Call]]:
    """Of a prediction by two convolutions, the second with a halo."""
    model = nn.Sequential(nn.Conv2d(64, 1), nn.Conv2d(64, 3, padding=1)).build((16, 16, 64), seed=0)
    graph = inference_graph(model, (16, 16, 64), "float32", "none")
    with Predictor(graph, threads=1, shard_size=4) as predictor:
        yield predictor._lowered.shard


def contraction(calls: list[Call], tile: Tile) -> Call:
    """The last one, with this tile."""
    *_, found = (call for call in calls if isinstance(call.spec, ContractSpec))
    return replace(found, schedule=tile)


def test_limits_are_those_of_the_cost_model() -> None:
    """The longest of them, and what a step costs beside, are what it was chosen by.

    Loads are counted a fifth higher in the choice, and not as a bound.
    """
    assert step_limits(MACHINE, 14, 2, 512) == (14.0, 8.0, 4.0, 64.0)
    for positions, vectors, far in ((14, 2, 0), (14, 2, 512), (1, 1, 0)):
        longest = max(step_limits(MACHINE, positions, vectors, far))
        assert step_cycles(MACHINE, positions, vectors, far) == longest + 1.0
    assert step_limits(MACHINE, 28, 1) == (14.0, 14.5, 4.0, 0.0)
    assert step_cycles(MACHINE, 28, 1) == pytest.approx(1.2 * 14.5 + 1.0)


@pytest.mark.parametrize(
    ("tile", "bound", "share"),
    [
        (Tile(1, 14, 2, 16), "FMAs", 1.0),
        (Tile(1, 14, 2, 8), "FMAs", 2.0),  # vectors half full
        (Tile(1, 1, 8, 16), "loads", 4.5 / 4.0),
        (Tile(1, 1, 1, 16), "latency", 4.0 / 0.5),
    ],
)
def test_bound_of_a_tile(calls: list[Call], tile: Tile, bound: str, share: float) -> None:
    """What takes the longest in a step of the chain, in time of the peak."""
    call = contraction(calls, tile)
    seconds = demand_of(call, 4, ROWS, MACHINE).seconds(CEILINGS)
    assert next(iter(seconds)) == bound
    assert seconds[bound] == pytest.approx(share * call.flops(4) / 100e9)
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)


def test_weights_that_come_from_the_shared_cache(calls: list[Call]) -> None:
    """Those of a long chain, which do not stay until the next tile."""
    tile = Tile(1, 1, 6, 16)
    near, far = (
        replace(call, spec=replace(call.spec, channels=channels))
        for call, channels in ((contraction(calls, tile), n) for n in (64, 512))
        if isinstance(call.spec, ContractSpec)
    )
    assert "shared cache" not in demand_of(near, 1, ROWS, MACHINE).meanwhile
    share = 6 * 64 / SHARED_RATE / 3.0
    demand = demand_of(far, 1, ROWS, replace(MACHINE, cache_share=1))
    assert demand.meanwhile["shared cache"] == pytest.approx(share * far.flops(1))


def test_where_operands_come_from(calls: list[Call]) -> None:
    """By how much a call takes: a core's own cache, the shared one, or memory."""
    call = contraction(calls, Tile(1, 14, 2, 16))
    moved = call.bytes(1, ROWS)
    assert moved < USUAL.own_cache
    assert demand_of(call, 1, ROWS, MACHINE).bytes == {"own cache": moved}
    many = call.bytes(64, ROWS)
    assert USUAL.own_cache < many < 16 << 20
    shared = demand_of(call, 64, ROWS, replace(MACHINE, cache_share=16 << 20))
    assert shared.bytes == {}
    # 8 bytes a cycle, in each of which two vectors of 16 FMAs could begin.
    assert shared.meanwhile["shared cache"] == pytest.approx(many / 8 * 64)
    far = demand_of(call, 64, ROWS, replace(MACHINE, cache_share=2 << 20))
    assert far.bytes == {"memory": many}
    assert far.seconds(CEILINGS)["memory"] == pytest.approx(many / 10e9)


def test_a_part_of_its_operands(calls: list[Call]) -> None:
    """What writes zeros around images goes through none of them, and has no bound."""
    call = contraction(calls, Tile(1, 14, 2, 16))
    halo = Call(HaloSpec("float32", (16, 16), 64, ((1, 1), (1, 1))), call.buffers[:1], (0,))
    assert replace(halo, spec=call.spec).bytes(4, ROWS) > 0
    assert halo.bytes(4, ROWS) == 0
    assert demand_of(halo, 4, ROWS, MACHINE).seconds(CEILINGS) == {}


def test_demands_add_up() -> None:
    """Of several calls that are one row."""
    one, two = Demand({"FMAs": 2.0}, {"memory": 5}), Demand({"FMAs": 1.0, "loads": 4.0})
    assert one + two == Demand({"FMAs": 3.0, "loads": 4.0}, {"memory": 5})
    assert Demand() + one == one
