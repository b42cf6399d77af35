"""Panels of a gradient by weight: what they hold, when they pay, and who copies them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.compile.geometries import contraction, conv_arrays, conv_graph
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import same_bits
from tests.run.graphs import check

from isoconv.compile.contraction import weight_rules
from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.panels import Places, panel_map, places
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec, WeightSchedule
from isoconv.compile.native.specification import Scheduled
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.target import Target, host_target, target_elsewhere, target_named
from isoconv.errors import CompileError
from isoconv.graph.ir import TensorSpec
from isoconv.ops.geometry import ConvGeometry


@pytest.mark.parametrize(
    ("axis", "positions", "expected"),
    [
        # 3 taps with padding 1: 7 positions reach places -1 to 7.
        (Axis(7, 3, 0, 1, -1, 1, 1), 7, Places(9, -1, 1, 1, 1, 0)),
        # One tap with stride 2: what lies between is not copied.
        (Axis(7, 1, 0, 1, 0, 2, 0), 7, Places(7, 0, 2, 1, 0, 0)),
        # Stride 2 and dilation 2 meet every other place.
        (Axis(4, 3, 0, 1, -2, 2, 2), 4, Places(6, -2, 2, 1, 1, 0)),
        # Stride 2, dilation 3: all of them.
        (Axis(3, 2, 0, 1, 0, 2, 3), 3, Places(8, 0, 1, 2, 3, 0)),
        # A flipped kernel begins at the far end.
        (Axis(5, 3, 0, 1, 1, 1, -1), 5, Places(7, -1, 1, 1, -1, 2)),
        # Some rows of it.
        (Axis(5, 3, 0, 1, 1, 1, -1), 2, Places(4, -1, 1, 1, -1, 2)),
    ],
    ids=["padded", "strided", "dilated", "apart", "flipped", "rows"],
)
def test_places(axis: Axis, positions: int, expected: Places) -> None:
    """Hand values; and each position and tap meets the place of its coordinate."""
    found = places(axis, positions)
    assert found == expected
    for p in range(positions):
        for tap in range(axis.taps):
            place = found.corner + p * found.per_position + tap * found.per_tap
            assert 0 <= place < found.count
            there = axis.in_first + p * axis.in_step + tap * axis.in_tap
            assert found.first + place * found.step == there


def test_where_they_lie() -> None:
    """Gradient, source with room for a vector, flags: nothing overlaps."""
    axes = (Axis(4, 3, 0, 1, -1, 1, 1), Axis(5, 3, 0, 1, -1, 1, 1))
    row = Operand(0, "float32", (1, 1, 1))
    spec = ContractWeightSpec("float32", axes, 1, 20, 21, row, row, 0, 0, 3, (0, 0))
    found = panel_map(spec, WeightSchedule(Tile(1, 6, 2, 8), 2, 3, 0, 2))
    assert found.positions == 2 * 3 * 5
    assert found.source == 24 * found.positions
    # 20 channels in tiles of up to six are four of five.
    assert found.width == 5
    assert found.source_panel == 2 * (5 * 7) * 5 + 8
    assert (found.gradient_panels, found.source_panels) == (2, 4)
    assert found.flags >= 4 * (found.source + 4 * found.source_panel)
    assert found.flags % 64 == 0
    assert found.bytes == found.flags + 8 * 6


def schedule_of(
    target: Target,
    channels: int,
    filters: int,
    side: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    images: int = 8,
) -> tuple[ContractWeightSpec, WeightSchedule]:
    """That of a square layer with a halo of zeros, of which padding keeps the size."""
    pad = kernel // 2 * dilation
    geometry = ConvGeometry((kernel,) * 2, (stride,) * 2, ((pad, pad),) * 2, (dilation,) * 2)
    (out, _) = geometry.output_sides((side, side))
    row = side + 2 * pad
    source = Operand(0, "float32", (row * channels, channels, 1), row * row * channels)
    gradient = Operand(1, "float32", (out * filters, filters, 1), out * out * filters)
    x, dy = (
        TensorSpec(shape, "float32") for shape in ((side, side, channels), (out, out, filters))
    )
    return weight_rules.weight_contraction(
        target, geometry, x, dy, source, gradient, 2, 0, 3, images
    )


LAYERS = {
    "near": ((64, 64, 56, 3), False),
    "half a kilobyte": ((128, 128, 28, 3), False),
    "a kilobyte": ((256, 256, 14, 3), True),
    "wide": ((256, 1024, 14, 1), True),
    "few filters": ((256, 64, 56, 1), False),
    "few channels": ((64, 256, 56, 1), False),
    "strided": ((256, 512, 56, 1, 2), True),
    # For some rows nearly all the plane would be copied; for few positions all zeros around them.
    "dilated": ((1024, 256, 32, 3, 1, 24), False),
    "padding": ((1024, 64, 2, 5, 1, 1, 64), False),
    "more than caches hold": ((4096, 4096, 32, 3), False),
}


@pytest.mark.parametrize(("layer", "expected"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("cpu", ["haswell", "znver3", "sapphirerapids", "znver4"])
def test_when_they_pay(cpu: str, layer: tuple[int, ...], expected: bool) -> None:
    """Where positions are far apart and FMAs quick, unless copying costs too much."""
    target = target_elsewhere("avx512" if cpu in ("sapphirerapids", "znver4") else "avx2", cpu)
    spec, schedule = schedule_of(target, *layer)
    assert (schedule.panels is not None) == (expected and target.core.fmas == 2)
    assert spec.buffers == 3 + (schedule.panels is not None)
    if schedule.panels is not None:
        assert panel_map(spec, schedule).bytes <= 4 * target.core.own_cache


def test_linear_layers_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no positions, however far their images are apart."""
    monkeypatch.setattr(weight_rules, "panels_pay", lambda *_: True)
    row = Operand(0, "float32", (1,), 4096)
    _, schedule = weight_rules.weight_contraction(
        target_named("generic"), ConvGeometry.linear(), TensorSpec((4096,), "float32"),
        TensorSpec((4096,), "float32"), row, row, 2, 0, 3, 8,
    )  # fmt: skip
    assert schedule.panels is None


def test_blocks_of_several_images_have_all_rows() -> None:
    """Chains of some rows of several images would come in another order."""
    target = host_target()
    spec, schedule = schedule_of(target, 8, 8, 6, 3)
    assert schedule.images > 1
    with pytest.raises(CompileError, match="several images"):
        run_kernel(Scheduled(spec, replace(schedule, rows=2)), [])


@pytest.mark.parametrize("parts", [1, 2, 5, 64])
def test_teams(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Each thread copies what its own tiles need; more threads than panels, than tiles as well."""
    case = contraction((3, 3), (6, 5), 31, 50, padding=1, images=3)
    arrays = conv_arrays(case)
    expected = check(conv_graph(case, ("conv_grad_weight",)), arrays, 3)["conv_grad_weight"]
    monkeypatch.setattr(weight_rules, "panels_pay", lambda *_: True)
    monkeypatch.setattr(weight_rules, "_BLOCK_POSITIONS", 40)
    x = np.pad(arrays["x"], ((0, 0), (1, 1), (1, 1), (0, 0)))
    dy, found = arrays["dy"], np.full_like(expected, np.nan)
    spec, schedule = weight_rules.weight_contraction(
        host_target(),
        ConvGeometry((3, 3), (1, 1), ((1, 1),) * 2, (1, 1)),
        TensorSpec((6, 5, 31), "float32"),
        TensorSpec((6, 5, 50), "float32"),
        Operand(0, "float32", (7 * 31, 31, 1), 8 * 7 * 31, offset=(7 + 1) * 31),
        Operand(1, "float32", (5 * 50, 50, 1), 6 * 5 * 50),
        result=2, offset=0, buffers=3, capacity=3,
    )  # fmt: skip
    # What an earlier kernel has left there: all flags are set, all numbers are none.
    scratch = np.full(panel_map(spec, schedule).bytes, 0xFF, np.uint8)
    operands = [aligned(array) for array in (x, dy, found, scratch)]
    run_kernel(Scheduled(spec, schedule), operands, images=3, parts=parts)
    same_bits(operands[2], expected)


@pytest.mark.parametrize("tile", [Tile(1, 1, 1, 4), Tile(1, 5, 3, 4), Tile(1, 7, 2, 16)], ids=str)
def test_no_tile_changes_a_bit(monkeypatch: pytest.MonkeyPatch, tile: Tile) -> None:
    """Panels of any width; blocks of which the last is smaller."""
    monkeypatch.setattr(weight_rules, "panels_pay", lambda *_: True)
    monkeypatch.setattr(weight_rules, "choose_tile", lambda *_, **__: tile)
    monkeypatch.setattr(weight_rules, "_BLOCK_POSITIONS", 11)
    monkeypatch.setattr(weight_rules, "_BLOCK_SHARE", 0.0)
    case = contraction((2, 3), (5, 6), 23, 37, padding=1, stride=2, images=5)
    check(conv_graph(case, ("conv_grad_weight",)), conv_arrays(case), 5)
