"""The cost model's choices, and that no choice changes a bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.geometries import contraction, conv_arrays, conv_graph
from tests.compile.places import targets
from tests.compile.winograd_graphs import convolution
from tests.run.graphs import check, random_arrays

import isoconv.ops as ops
from isoconv.compile.contraction import rules as lower_contract
from isoconv.compile.contraction import weight_rules
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.inside_tiles import InsideTile
from isoconv.compile.contraction.tiles import (
    Tile,
    choose_tile,
    chunk_size,
    equal_parts,
    equal_runs,
    fits,
    halving_runs,
    row_cycles,
    runs,
    step_cycles,
    vector_lanes,
)
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.lowering import Lowering
from isoconv.compile.target import Target, host_target
from isoconv.compile.winograd import rules as lower_winograd
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.run.evaluate import evaluate

SIZES = st.integers(1, 400)


@given(SIZES, SIZES)
@settings(deadline=None, derandomize=True)
def test_cuts_are_whole(total: int, part: int) -> None:
    """Every way to cut an axis covers it once, in parts that are not too large."""
    for cut in (runs, equal_runs, halving_runs):
        found = cut(total, part)
        assert sum(size * count for size, count in found) == total
        assert all(0 < size <= part and count > 0 for size, count in found)
    sizes = [size for size, _ in equal_runs(total, part)]
    assert max(sizes) - min(sizes) <= 1
    first = 0
    for size, count, start in equal_parts(total, part):
        assert start == first
        first += size * count
    assert first == total


@given(
    st.sampled_from(targets()), st.integers(1, 60), st.integers(1, 300), st.integers(1, 200),
    st.sampled_from(["float32", "float64"]), st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None, derandomize=True)
def test_tiles_fit(
    target: Target, height: int, width: int, filters: int, dtype: DType, flat: bool
) -> None:
    """A chosen tile stays in registers and in the plane; the lanes are a vector's or fewer."""
    height = 1 if flat else height
    tile = choose_tile(target, height, width, filters, dtype, flat=flat)
    assert tile == choose_tile(target, height, width, filters, dtype, flat=flat)
    assert 1 <= tile.rows <= height
    assert 1 <= tile.columns <= width
    assert 1 <= tile.vectors <= -(-filters // tile.lanes)
    assert fits(target, tile.rows * tile.columns, tile.vectors)
    assert tile.lanes == vector_lanes(target, dtype, filters) <= target.lanes(dtype)


@pytest.mark.parametrize(("filters", "lanes"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (99, 16)])
def test_few_filters_take_short_vectors(filters: int, lanes: int) -> None:
    """Lanes without a filter are fewer than half, down to four lanes."""
    for target in targets():
        expected = min(lanes, target.lanes("float32"))
        assert vector_lanes(target, "float32", filters) == expected


def test_the_cost_model() -> None:
    """A step costs its arithmetic, its loads or its latency, whichever is most."""
    target = host_target()
    assert step_cycles(target, 1, 1) < step_cycles(target, 28, 1)
    wide = step_cycles(target, 6, 4) / 24
    assert wide < step_cycles(target, 1, 1)
    assert not fits(target, 40, 1)


def test_a_register_is_spared() -> None:
    """Beside accumulators, weights and a broadcast, where that does not come from memory."""
    for target in targets():
        most = (target.registers - 4) // 2
        assert fits(target, most, 2)
        assert not fits(target, most + 1, 2)
        # With one vector each sum moves to its scalar's register, unless that stays in memory.
        alone = target.registers - 2 if target.memory_broadcast else target.registers // 2
        assert fits(target, alone, 1)
        assert not fits(target, alone + 1, 1)


TILES = [
    Tile(1, 1, 1, 4),
    Tile(2, 3, 2, 4),
    Tile(4, 5, 3, 4),
    Tile(3, 2, 1, 16),
]
BOTH = {ContractSpec, ContractWeightSpec}
CASES = {
    "plane": contraction((2, 2), (5, 6), 3, 9, padding=1),
    "strided": contraction((2, 1), (5, 6), 3, 5, stride=2),
    "positions": contraction((1, 1), (5, 3), 3, 9, images=3),
    "linear": contraction((), (), 5, 9, images=11),
    "groups": contraction((2,), (9,), 6, 10, groups=2, padding=1),
    # Chains in loops, and more kernel elements than are unrolled.
    "long": contraction((3, 3), (6, 7), 29, 37, padding=1, images=3),
    "double": contraction((3, 2), (5, 6), 11, 9, padding=1, dtype="float64"),
}


def contraction_of(spec: Any) -> Any:
    """The contraction that a kernel is made around, or the kernel itself."""
    for name in ("product", "inner"):
        spec = getattr(spec, name, spec)
    return spec


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tiles of all kernels that are made, with the kind of their contractions."""
    found = []
    emit = Lowering.emit

    def noted(
        lowering: Lowering, spec: Any, *args: Any, schedule: Any = None, **options: Any
    ) -> None:
        if schedule is not None:
            found.append((type(contraction_of(spec)), schedule.tile))
        emit(lowering, spec, *args, schedule=schedule, **options)

    monkeypatch.setattr(Lowering, "emit", noted)
    return found


def check_tile(
    patch: pytest.MonkeyPatch,
    made: list[Any],
    graph: Graph,
    arrays: dict[str, Array],
    images: int,
    tile: Tile,
) -> set[type]:
    """The references' bits with a tile that was forced on every contraction; returns their kinds.

    It must be there in the kernels, and change them: it is another than the cost model's.
    """

    def as_wide_as_a_plane(
        _: Target, images: int, axes: tuple[Axis, ...], *__: object
    ) -> InsideTile:
        wide = Tile(min(tile.rows, images), axes[-1].positions, tile.vectors, tile.lanes)
        return InsideTile(wide, 0.5)

    evaluate(graph, arrays, images)
    chosen = list(made)
    made.clear()
    for file in (lower_contract, weight_rules, lower_winograd):
        patch.setattr(file, "choose_tile", lambda *_, **__: tile)
    patch.setattr(lower_contract, "choose_inside_tile", as_wide_as_a_plane)
    check(graph, arrays, images)
    assert len(made) == len(chosen) > 0
    for (kind, one), (_, other) in zip(made, chosen, strict=True):
        assert one != other
        assert (one.vectors, one.lanes) == (tile.vectors, tile.lanes)
        if kind is not InsideContractSpec:
            assert one == tile
    return {kind for kind, _ in made}


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_no_tile_changes_a_bit(
    monkeypatch: pytest.MonkeyPatch, made: list[Any], name: str, tile: Tile
) -> None:
    """Forced register tiles, larger than the registers and odd ones too, give the same bits."""
    case = CASES[name]
    monkeypatch.setattr(lower_contract, "_INSIDE_SHARE", 0.0)
    kinds = check_tile(monkeypatch, made, conv_graph(case), conv_arrays(case), case.images, tile)
    assert kinds == BOTH


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_no_tile_changes_a_bit_without_padding(
    monkeypatch: pytest.MonkeyPatch, made: list[Any], tile: Tile
) -> None:
    """The same where products with padding are left out."""
    monkeypatch.setattr(lower_contract, "_INSIDE_SHARE", 1.0)
    monkeypatch.setattr(lower_contract, "_INSIDE_CHAIN", 1)
    monkeypatch.setattr(lower_contract, "_INSIDE_TIME", 1e9)
    case = contraction((3, 3), (3, 4), 20, 24, padding=1, images=7)
    kinds = check_tile(monkeypatch, made, conv_graph(case), conv_arrays(case), case.images, tile)
    assert kinds == {InsideContractSpec, ContractWeightSpec}


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("rows", [0, 2], ids=["whole", "chunks"])
def test_no_tile_changes_a_bit_of_winograd(
    monkeypatch: pytest.MonkeyPatch, made: list[Any], tile: Tile, rows: int
) -> None:
    """The same for Winograd's 16 contractions, on components of all images or of a chunk."""
    monkeypatch.setattr(lower_winograd, "chunk_rows", lambda *_, **__: rows)
    graph = convolution(ops.WinogradPatches((7, 6), ((1, 1), (0, 2))), 17, 9)
    arrays = random_arrays(graph, 3)
    assert check_tile(monkeypatch, made, graph, arrays, 3, tile) == BOTH


@pytest.mark.parametrize("flat", [1, 49, 196, 784, 3136, 12544])
@pytest.mark.parametrize("most", [1, 6, 14, 30, 200])
def test_chunks(flat: int, most: int) -> None:
    """Chunks hold whole tiles, and about as many positions as is meant."""
    size = chunk_size(flat, most)
    assert size % most == 0
    assert size == most or 85 <= size < 128 + most


def test_a_row_costs_the_steps_of_its_tiles() -> None:
    """Ten positions in tiles of at most four: two tiles of three, one of four, by two vectors."""
    target = host_target()
    steps = 2 * step_cycles(target, 3, 2) + step_cycles(target, 4, 2)
    assert row_cycles(target, Tile(1, 4, 2, 16), 10) == pytest.approx(steps / 20)
