"""Contractions that leave out the products with padding: what holds of these alone.

That their bits are those of all products, `test_contract.py` holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from tests.compile.geometries import contraction, conv_arrays, conv_graph, extremes
from tests.compile.places import targets
from tests.run.graphs import check

from isoconv.compile.contraction import rules as lower_contract
from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.inside_tiles import InsideTile, choose_inside_tile
from isoconv.compile.contraction.padding import inside_share
from isoconv.compile.contraction.tiles import Tile, fits
from isoconv.compile.lowering import Lowering
from isoconv.compile.target import Target, target_elsewhere
from isoconv.graph.ir import DType

BOTH = ("conv", "conv_grad_input")


@pytest.fixture(autouse=True, scope="module")
def _everywhere() -> Iterator[None]:
    """Also where it gains nothing, so that small cases reach it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_contract, "_INSIDE_SHARE", 1.0)
        patch.setattr(lower_contract, "_INSIDE_CHAIN", 1)
        patch.setattr(lower_contract, "_INSIDE_TIME", 1e9)
        yield


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tile]:
    """The tiles of the contractions of this kind that calculations are made of."""
    found = []
    emit = Lowering.emit

    def noted(
        lowering: Lowering, spec: Any, *args: Any, schedule: Any = None, **options: Any
    ) -> None:
        if isinstance(spec, InsideContractSpec):
            found.append(schedule)
        emit(lowering, spec, *args, schedule=schedule, **options)

    monkeypatch.setattr(Lowering, "emit", noted)
    return found


def test_groups_of_images(made: list[Tile]) -> None:
    """A tile's rows are images; those that fill no group come one by one."""
    case = contraction((3, 3), (3, 3), 20, 24, padding=1, images=17)
    check(conv_graph(case, BOTH), conv_arrays(case), 17)
    assert any(tile.rows > 1 and 17 % tile.rows for tile in made)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_underflow_beside_padding(made: list[Tile], dtype: DType) -> None:
    """A chain that underflowed to -0.0 is +0.0 after padding, unless all weights are negative."""
    case = contraction((3, 3), (3, 3), 2, 3, padding=1, images=1, dtype=dtype)
    arrays = conv_arrays(case)
    for sign in (1, -1):
        arrays["x"][...] = -sign * np.finfo(dtype).smallest_subnormal
        arrays["w"][...] = sign * 0.25
        found = check(conv_graph(case, ["conv"]), arrays, 1)["conv"]
        assert not found.any()
        negative = np.signbit(found[0, :, :, 0])
        # Positive weights: only where the last kernel position meets the plane.
        kept = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool) if sign > 0 else True
        np.testing.assert_array_equal(negative, np.broadcast_to(kept, (3, 3)))
    assert made


def test_all_weights_but_one(made: list[Tile]) -> None:
    """Zeros take their sign, and NaN, from every single weight of a kernel position."""
    case = contraction((3, 3), (2, 2), 18, 5, padding=1, images=1)
    arrays = conv_arrays(case)
    arrays["x"][...] = -np.finfo(np.float32).smallest_subnormal
    for value, (channel, filters) in product(
        (0.0, 1e-3, np.inf, np.nan), ((0, 4), (17, 0), (5, 2))
    ):
        arrays["w"][...] = 0.25
        arrays["w"][0, 0] = -0.25
        arrays["w"][0, 0, channel, filters] = value
        check(conv_graph(case, ["conv"]), arrays, 1)
        arrays["w"][...] *= -1
        check(conv_graph(case, ["conv"]), arrays, 1)
    assert made


def test_gradient_takes_zeros_along_filters(made: list[Tile]) -> None:
    """The same of a gradient by the input, whose chains run over filters."""
    case = contraction((3, 3), (2, 2), 5, 21, padding=1, images=1)
    arrays = conv_arrays(case)
    arrays["dy"][...] = -np.finfo(np.float32).smallest_subnormal
    for value, channel, filters in product((0.0, np.inf), (0, 4), (0, 16, 20)):
        arrays["w"][...] = -0.25
        arrays["w"][2, 2, channel, filters] = value
        check(conv_graph(case, ["conv_grad_input"]), arrays, 1)
    assert made


def test_share_of_products() -> None:
    """3×3 kernels on 7×7 and on 2×2; one that never meets padding."""
    along = Axis(7, 3, 0, 1, -1, 1, 1)
    assert inside_share((along, along), (7, 7)) == pytest.approx((19 / 21) ** 2)
    small = Axis(2, 3, 0, 1, -1, 1, 1)
    assert inside_share((small, small), (2, 2)) == pytest.approx((4 / 6) ** 2)
    assert inside_share((Axis(5, 3, 0, 1, 0, 1, 1),), (7,)) == 1.0


def chosen(target: Target, images: int, width: int, channels: int = 64) -> InsideTile | None:
    """The tile of a 3×3 convolution with padding on square planes, as many filters as channels."""
    along = Axis(width, 3, 0, 1, -1, 1, 1)
    column = 4 * channels
    return choose_inside_tile(
        target, images, (along, along), (width, width), channels, channels, "float32",
        ((width + 1) ** 2 * column, (width + 1) * column, column),
    )  # fmt: skip


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
@pytest.mark.parametrize("width", [1, 2, 4, 7, 13, 16, 24])
def test_tiles_fit(target: Target, width: int) -> None:
    """Tiles stay in registers; a row is one of them or a few."""
    found = chosen(target, 32, width)
    assert found is not None
    assert fits(target, found.tile.rows * found.tile.columns, found.tile.vectors)
    assert found.tile.columns <= width <= 4 * found.tile.columns


def test_no_part_of_a_row_is_small_enough() -> None:
    """Where none of its parts fits into the registers, there is no tile."""
    assert chosen(target_elsewhere("avx2", "haswell"), 32, 33) is None


def test_what_leaving_out_saves() -> None:
    """Nearly all of what is left out where tiles stay full, less where they do not."""
    wide, narrow = target_elsewhere("avx512", "znver4"), target_elsewhere("avx2", "znver3")
    seven = [chosen(target, 16, 7) for target in (wide, narrow)]
    assert [found and found.tile for found in seven] == [Tile(2, 7, 2, 16), Tile(2, 3, 2, 8)]
    for found in seven:
        assert found is not None
        assert (19 / 21) ** 2 - 0.02 < found.share < 0.83
    # A row of 14 positions in three tiles, of which two meet padding.
    fourteen = chosen(narrow, 16, 14)
    assert fourteen is not None
    assert (40 / 42) ** 2 + 0.05 < fourteen.share < 1.01


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [3, 7, 8])
def test_parts_of_rows(
    monkeypatch: pytest.MonkeyPatch, made: list[Tile], width: int, parts: int
) -> None:
    """However a row is cut, each part's columns meet the padding that they meet."""
    tile = Tile(2, -(-width // parts), 2, 4)
    monkeypatch.setattr(
        lower_contract, "choose_inside_tile", lambda *_, **__: InsideTile(tile, 0.5)
    )
    case = contraction((3, 5), (4, width), 5, 11, padding=2, images=5, dilation=(1, 2)[width > 3])
    for array in (None, extremes):
        arrays = conv_arrays(case, array) if array else conv_arrays(case)
        check(conv_graph(case, BOTH), arrays, 5)
    assert made.count(tile) == len(made) > 0
