"""The table of CPUs: its rows are sane, and none is in another's way."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import llvmlite.binding as llvm
import pytest

from isoconv.compile.cpus import FAMILIES, USUAL, Core, Family, core_of, units_vary

CPUS = [cpu for row in FAMILIES for cpu in row.cpus.split()]


def test_every_cpu_has_one_row() -> None:
    """No name stands twice, and what is not in the table has none."""
    assert len(CPUS) == len(set(CPUS))
    assert core_of("elsewhere", 32) is None
    assert core_of("haswell", 64) is None
    assert core_of("haswell broadwell", 32) is None


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)
def test_rows_are_sane(row: Family) -> None:
    """Units, latencies and caches are such as CPUs have, and the source of each row is named."""
    assert set(row.begun) in ({16}, {16, 32}, {16, 32, 64})
    for fmas, loads, stores in row.begun.values():
        assert fmas in (1, 2, 4)
        assert loads in (1, 2, 3)
        assert stores in (0.5, 1, 2)
        assert stores <= loads
    # A wider vector is begun no more often, and no fewer numbers are computed with it.
    sizes = sorted(row.begun)
    for narrow, wide in pairwise(sizes):
        for one, other in zip(row.begun[narrow], row.begun[wide], strict=True):
            assert other <= one <= 2 * other
    assert row.latency in (2, 4, 5)
    assert 4 <= row.width <= 8
    assert row.sets * row.ways * 64 in (32 << 10, 48 << 10, 64 << 10, 128 << 10)
    assert 256 <= row.own_cache <= 4096
    assert row.source
    assert set(row.source) <= set("AUIMNP")


@pytest.mark.parametrize("cpu", CPUS)
def test_llvm_knows_the_names(cpu: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A name that LLVM does not know is one that it never gives."""
    llvm.initialize_all_targets()
    arm = 32 not in next(row.begun for row in FAMILIES if cpu in row.cpus.split())
    triple = f"{'aarch64' if arm else 'x86_64'}-unknown-linux-gnu"
    llvm.Target.from_triple(triple).create_target_machine(cpu=cpu)
    assert "not a recognized processor" not in capfd.readouterr().err


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.name)
def test_the_front_end_bounds_no_tile(row: Family) -> None:
    """Units, loads or latency take longer, so that the cost model may do without it.

    An FMA that takes its scalar from memory is counted as two instructions.
    """
    for fmas, loads, _ in row.begun.values():
        for positions, vectors in product(range(1, 31), range(1, 7)):
            work = positions * vectors
            units = max(work / fmas, (positions + vectors) / loads, row.latency)
            assert (work + positions + vectors) / row.width <= units


def test_a_core_is_its_row() -> None:
    """The figures of the vectors at hand, and shares of the second cache."""
    core = core_of("sapphirerapids", 64)
    assert core is not None
    assert (core.fmas, core.loads, core.stores, core.latency, core.width) == (2, 2, 1, 4, 6)
    assert (core.sets, core.ways, core.own_cache) == (64, 12, 2 << 20)
    assert (core.near, core.staying) == (1 << 20, 1280 << 10)
    assert core.origin == "table: Golden Cove, server"
    narrow = core_of("sapphirerapids", 32)
    assert narrow is not None
    assert narrow.loads == 3


def test_zen_4_has_the_figures_that_tiles_were_measured_with() -> None:
    """What lies within a core's own cache was measured there, and with it all else was tuned."""
    core = core_of("znver4", 64)
    assert core is not None
    assert core == Core(1, 1, 0.5, latency=4, width=6, sets=64, ways=8, own_cache=1 << 20)
    assert (core.near, core.staying) == (512 << 10, 640 << 10)
    assert core_of("znver4", 32) == replace(core, fmas=2, loads=2, stores=1)


def test_where_it_is_from_is_no_part_of_a_core() -> None:
    """Kernels are the same wherever the same figures are from."""
    one, other = core_of("znver4", 64), core_of("znver4", 64)
    assert one is not None
    assert other is not None
    assert repr(one) == repr(other)
    assert "table" not in repr(one)
    assert USUAL.origin == "usual"


def test_units_that_vary() -> None:
    """Of 512 bits alone."""
    assert units_vary("skylake-avx512", 64)
    assert not units_vary("skylake-avx512", 32)
    assert not units_vary("sapphirerapids", 64)
