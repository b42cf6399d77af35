"""Targets here and elsewhere, on CPUs that the table has and on such that it has not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from tests.compile.geometries import Contraction, contraction, conv_arrays, conv_graph
from tests.compile.places import targets
from tests.compile.winograd_graphs import convolution
from tests.run.graphs import random_arrays

import isoconv.ops as ops
from isoconv.compile import target as rooms
from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.inside_tiles import choose_inside_tile
from isoconv.compile.contraction.tiles import choose_tile
from isoconv.compile.cpus import USUAL, Core
from isoconv.compile.native import measured
from isoconv.compile.native.measured import Units
from isoconv.compile.target import Target, host_target, target_elsewhere, target_named
from isoconv.errors import ArgumentError
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.run.evaluate import evaluate

STRANGE = "bdver4"
"""A CPU that LLVM knows and the table does not."""


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Target]:
    """This machine under a name that the table does not have; what was measured, in turn."""
    measurements: list[Target] = []
    real = measured.measure_units

    def noted(target: Target) -> Units:
        measurements.append(target)
        return real(target)

    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: STRANGE)
    monkeypatch.setattr(measured, "default_folder", lambda: tmp_path / "units")
    monkeypatch.setattr(measured, "measure_units", noted)
    return measurements


def here() -> Target:
    """The host's target, made anew."""
    return target_named.__wrapped__(host_target().name)


def test_an_unknown_cpu_is_measured_once(stranger: list[Target]) -> None:
    """And found again; its caches are those that the system tells."""
    found = here()
    assert found.core.origin == "measured"
    assert found.core.fmas in (1, 2, 4)
    assert 1 <= found.core.loads <= 4
    assert here() == found
    assert len(stranger) == 1
    caches = rooms._caches()
    if 2 in caches:
        assert found.core.own_cache == caches[2].share
    if 1 in caches:
        assert (found.core.sets, found.core.ways) == caches[1][1:]


def test_without_fused_multiply_add_nothing_is_measured(
    stranger: list[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels take it apart, and their tiles matter little."""
    if host_target().name == "neon":
        pytest.skip("every ARM machine has it")
    found = target_named.__wrapped__("generic")
    assert found.core.origin == "usual"
    assert (found.core.fmas, found.core.loads) == (USUAL.fmas, USUAL.loads)
    assert not stranger


def test_a_name_for_cpus_that_differ(
    monkeypatch: pytest.MonkeyPatch, stranger: list[Target]
) -> None:
    """Their units are measured, and all else is in the table."""
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "skylake-avx512")
    monkeypatch.setattr(measured, "measure_units", lambda _: Units(1, 3, 9))
    core = rooms._core_here(target_elsewhere("avx512", "skylake-avx512"), "skylake-avx512")
    assert (core.fmas, core.loads, core.latency) == (1, 2, 4)
    assert core.origin == "table: Skylake, server; units measured"
    narrow = rooms._core_here(target_elsewhere("avx2", "skylake-avx512"), "skylake-avx512")
    assert (narrow.fmas, narrow.origin) == (2, "table: Skylake, server")


@pytest.mark.parametrize(("told", "taken"), [(1 << 20, 1 << 20), (4 << 20, 2 << 20)])
def test_the_second_cache(monkeypatch: pytest.MonkeyPatch, told: int, taken: int) -> None:
    """As large as the system tells, and no larger than any CPU of the family has."""
    cache = rooms._Cache(told, 2048, 16)
    monkeypatch.setattr(rooms, "_caches", lambda: {2: cache})
    target = target_elsewhere("avx512", "sapphirerapids")
    assert rooms._core_here(target, "sapphirerapids").own_cache == taken


def test_a_target_elsewhere() -> None:
    """Of another architecture, too; what the table does not have is refused."""
    target = target_elsewhere("neon", "neoverse-v2")
    assert target.triple.startswith("aarch64")
    assert (target.core.fmas, target.lanes("float32"), target.registers) == (4, 4, 32)
    for name, cpu in (("avx512", "haswell"), ("avx2", STRANGE), ("neon", "znver4"), ("x", "y")):
        with pytest.raises(ArgumentError, match=f"that the table of CPUs has; got '{name}'"):
            target_elsewhere(name, cpu)


def test_a_first_cache_with_more_ways_takes_larger_tiles() -> None:
    """Of a plane of 7 × 7 × 512 every other position is in the same set: 8 ways hold 7 of them."""
    tiles = {}
    along = Axis(7, 3, 0, 1, -1, 1, 1)
    for cpu in ("znver4", "sapphirerapids"):
        found = choose_inside_tile(
            target_elsewhere("avx512", cpu), 8, (along, along), (7, 7), 512, 512, "float32",
            (9 * 9 * 2048, 9 * 2048, 2048),
        )  # fmt: skip
        assert found is not None
        tiles[cpu] = found.tile
    assert {cpu: tile.columns for cpu, tile in tiles.items()} == {"znver4": 3, "sapphirerapids": 7}
    sums = [tile.rows * tile.columns * tile.vectors for tile in tiles.values()]
    assert sums == [24, 28]


RECORDS = (
    Core(4, 1, 1, latency=12, width=1, sets=1, ways=1, own_cache=4 << 10),
    Core(1, 4, 2, latency=1, width=8, sets=4096, ways=16, own_cache=64 << 20),
    Core(2, 1, 0.5, latency=8, width=2, sets=64, ways=4, own_cache=128 << 10),
)
"""As different as can be."""


def graphs() -> list[tuple[str, Graph, dict[str, Array], int]]:
    """Contractions in all directions, such as leave padding out, and Winograd's."""
    cases: list[tuple[str, Contraction]] = [
        ("plane", contraction((3, 3), (9, 8), 20, 40, padding=1)),
        ("inside", contraction((3, 3), (4, 4), 24, 40, padding=1, images=5)),
        ("strided", contraction((3, 3), (9, 9), 17, 33, padding=1, stride=2)),
        ("flat", contraction((1, 1), (5, 7), 19, 70, images=3)),
        ("panels", contraction((1, 1), (5, 7), 256, 272, images=3)),
    ]
    found = [(name, conv_graph(case), conv_arrays(case), case.images) for name, case in cases]
    winograd = convolution(ops.WinogradPatches((7, 6), ((1, 1), (0, 2))), 17, 40)
    return [*found, ("winograd", winograd, random_arrays(winograd, 3), 3)]


@pytest.mark.slow
@pytest.mark.parametrize("target", targets()[:2])
@pytest.mark.parametrize(
    ("graph", "arrays", "images"),
    [pytest.param(*rest, id=name) for name, *rest in graphs()],
)
def test_no_record_changes_a_bit(
    target: Target, graph: Graph, arrays: dict[str, Array], images: int
) -> None:
    """Results under very different records are the same, bit for bit."""
    wanted = evaluate(graph, arrays, images, target=target)
    for core in RECORDS:
        found = evaluate(graph, arrays, images, target=replace(target, core=core))
        assert found.keys() == wanted.keys()
        for name, value in found.items():
            assert np.array_equal(value.view(np.uint8), wanted[name].view(np.uint8)), (core, name)


def test_records_choose_other_tiles() -> None:
    """Or the test above would say nothing."""
    for target in targets():
        tiles = {
            choose_tile(replace(target, core=core), 9, 8, 40, "float32", steps=(4096, 512), chain=9)
            for core in RECORDS
        }
        assert len(tiles) > 1
