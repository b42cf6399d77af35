"""The cost model's choices, and that no choice changes a bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.geometries import contraction, conv_arrays, conv_graph
from tests.compile.places import targets
from tests.run.graphs import check

from isoconv.compile import lower_contract
from isoconv.compile.schedule import (
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
from isoconv.compile.target import host_target

SIZES = st.integers(1, 400)


@given(SIZES, SIZES)
@settings(deadline=None, derandomize=True)
def test_cuts_are_whole(total, part):
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
def test_tiles_fit(target, height, width, filters, dtype, flat):
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
def test_few_filters_take_short_vectors(filters, lanes):
    """Lanes without a filter are fewer than half, down to four lanes."""
    for target in targets():
        expected = min(lanes, target.lanes("float32"))
        assert vector_lanes(target, "float32", filters) == expected


def test_the_cost_model():
    """A step costs its arithmetic, its loads or its latency, whichever is most."""
    target = host_target()
    assert step_cycles(target, 1, 1) < step_cycles(target, 28, 1)
    wide = step_cycles(target, 6, 4) / 24
    assert wide < step_cycles(target, 1, 1)
    assert not fits(target, 40, 1)


TILES = [
    Tile(1, 1, 1, 4),
    Tile(2, 3, 2, 4),
    Tile(4, 5, 3, 4),
    Tile(3, 2, 1, 16),
]
CASES = {
    "plane": contraction((2, 2), (5, 6), 3, 9, padding=1),
    "strided": contraction((2, 1), (5, 6), 3, 5, stride=2),
    "positions": contraction((1, 1), (5, 3), 3, 9, images=3),
    "linear": contraction((), (), 5, 9, images=11),
    "groups": contraction((2,), (9,), 6, 10, groups=2, padding=1),
}


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_no_tile_changes_a_bit(monkeypatch, name, tile):
    """Forced register tiles, larger than the registers and odd ones too, give the same bits."""
    monkeypatch.setattr(lower_contract, "choose_tile", lambda *_, **__: tile)
    case = CASES[name]
    check(conv_graph(case), conv_arrays(case), case.images)


@pytest.mark.parametrize("flat", [1, 49, 196, 784, 3136, 12544])
@pytest.mark.parametrize("most", [1, 6, 14, 30, 200])
def test_chunks(flat, most):
    """Chunks hold whole tiles, and about as many positions as is meant."""
    size = chunk_size(flat, most)
    assert size % most == 0
    assert size == most or 85 <= size < 128 + most


def test_a_row_costs_the_steps_of_its_tiles():
    """Ten positions in tiles of at most four: two tiles of three, one of four, by two vectors."""
    target = host_target()
    steps = 2 * step_cycles(target, 3, 2) + step_cycles(target, 4, 2)
    assert row_cycles(target, Tile(1, 4, 2, 16), 10) == pytest.approx(steps / 20)
