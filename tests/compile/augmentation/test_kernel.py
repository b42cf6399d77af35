"""The augmentation kernel against the reference, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import FILLER, placed, same_bits, targets

import isoconv.ops  # noqa: F401 - fills the table of operations
from isoconv.compile.augmentation.kernel import AugmentSpec
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.target import Target
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation
from isoconv.ops.image import TABLE_COLUMNS, Augment


def images(count: int, sides: tuple[int, ...], channels: int, dtype: DType, seed: int = 0) -> Array:
    """Images of random pixels."""
    draw = np.random.default_rng(seed)
    if dtype == "uint8":
        return draw.integers(0, 256, (count, *sides, channels)).astype(np.uint8)
    return draw.standard_normal((count, *sides, channels)).astype(np.float32)


def choices(count: int, sides: tuple[int, ...], seed: int = 1) -> Array:
    """A table of random choices; the first rows change nothing, then one thing each."""
    draw = np.random.default_rng(seed)
    height, width = sides
    angle = draw.uniform(-0.6, 0.6, count)
    table = {
        "dy": draw.integers(-height - 1, height + 2, count),
        "dx": draw.integers(-width - 1, width + 2, count),
        "flip": draw.integers(0, 2, count),
        "cut_y0": draw.integers(-2, height, count),
        "cut_y1": draw.integers(0, height + 3, count),
        "cut_x0": draw.integers(-2, width, count),
        "cut_x1": draw.integers(0, width + 3, count),
        "cos": np.cos(angle),
        "sin": np.sin(angle),
    }
    rows = np.stack([table[name] for name in TABLE_COLUMNS], axis=1).astype(np.float32)
    still = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0], np.float32)
    rows[:4] = still
    rows[1, :2] = 2, -1
    rows[2, 2] = 1
    rows[3, 3:7] = 1, 4, 2, 3
    return rows


def augment(
    x: Array,
    table: Array,
    attrs: Augment,
    *,
    gaps: tuple[int, ...] = (),
    target: Target | None = None,
    parts: int = 1,
) -> Array:
    """Run the kernel."""
    source, at, _ = placed(x, 0, gaps)
    result, where, view = placed(np.zeros(x.shape, np.float32), 2, gaps)
    spec = AugmentSpec(
        attrs=attrs,
        domain=Domain(x.shape[1:]),
        images=at,
        table=Operand(1, "float32", (1,), len(TABLE_COLUMNS)),
        result=where,
        buffers=3,
    )
    arrays = [source, aligned(table), result]
    run_kernel(spec, arrays, images=len(x), target=target, parts=parts)
    assert (result == FILLER).sum() >= result.size - view.size
    return view


def check(x: Array, table: Array, attrs: Augment, **settings: Any) -> None:
    """Compare with the reference."""
    expected = operation("augment").reference(attrs, x, table, images=len(x))
    same_bits(augment(x, table, attrs, **settings), expected)


@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 17])
def test_images(channels: int, dtype: DType, interpolate: bool) -> None:
    """Both dtypes, copied and turned, with fill."""
    x = images(12, (7, 10), channels, dtype)
    attrs = Augment(fill=0.3, interpolate=interpolate)
    check(x, choices(12, (7, 10)), attrs, parts=3)


@pytest.mark.parametrize("target", targets())
def test_labels(target: Target) -> None:
    """Labels of places, in rows around the vector width, with gaps and without."""
    for width in (1, 7, 16, 33):
        sides = (5, width)
        x = np.random.default_rng(width).integers(-(2**31), 2**31, (9, *sides)).astype(np.int32)
        table, attrs = choices(9, sides), Augment(-1.0)
        for gaps in ((), (3,)):
            source, at, _ = placed(x, 0, gaps)
            result, where, view = placed(np.zeros(x.shape, np.int32), 2, gaps)
            spec = AugmentSpec(
                attrs,
                Domain((*sides, 1)),
                replace(at, strides=(*at.strides, 1)),
                Operand(1, "float32", (1,), len(TABLE_COLUMNS)),
                replace(where, strides=(*where.strides, 1)),
                3,
            )
            run_kernel(spec, [source, aligned(table), result], images=9, target=target, parts=2)
            same_bits(view, operation("augment").reference(attrs, x, table, images=9))


@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("gaps", [(2, 3), (1, 2, 1)])
def test_gaps(gaps: tuple[int, ...], interpolate: bool) -> None:
    """Gaps between rows, columns and channels."""
    x = images(8, (6, 9), 3, "uint8")
    check(x, choices(8, (6, 9)), Augment(interpolate=interpolate), gaps=gaps)


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("interpolate", [False, True])
def test_targets(interpolate: bool, target: Target) -> None:
    """Every target gives the same bits."""
    x = images(9, (28, 28), 1, "uint8")
    check(x, choices(9, (28, 28)), Augment(interpolate=interpolate), target=target)


def test_gathered() -> None:
    """A shard's images and choices are picked by the order of samples."""
    x, table = images(10, (5, 6), 3, "uint8"), choices(10, (5, 6))
    order = np.array([3, 9, 4, 0, 7], np.int64)
    _, at, _ = placed(x, 0)
    result, where, view = placed(np.zeros((3, 5, 6, 3), np.float32), 4)
    spec = AugmentSpec(
        Augment(),
        Domain((5, 6, 3)),
        replace(at, rows="gathered"),
        Operand(2, "float32", (1,), len(TABLE_COLUMNS), rows="gathered"),
        where,
        5,
    )
    arrays = [aligned(x), aligned(order), aligned(table), aligned(order), result]
    run_kernel(spec, arrays, images=3, first=1)
    picked = order[1:4]
    expected = operation("augment").reference(Augment(), x[picked], table[picked], images=3)
    same_bits(view, expected)


@pytest.mark.parametrize("interpolate", [False, True])
def test_planes(interpolate: bool) -> None:
    """Channels that do not lie side by side: an image held as planes."""
    x, table = images(8, (6, 9), 3, "uint8"), choices(8, (6, 9))
    attrs = Augment(interpolate=interpolate)
    result = aligned(np.zeros((8, 3, 6, 9), np.float32))
    spec = AugmentSpec(
        attrs,
        Domain((6, 9, 3)),
        Operand(0, "uint8", (9, 1, 54), 162),
        Operand(1, "float32", (1,), len(TABLE_COLUMNS)),
        Operand(2, "float32", (9, 1, 54), 162),
        3,
    )
    planes = aligned(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    run_kernel(spec, [planes, aligned(table), result], images=8)
    expected = operation("augment").reference(attrs, x, table, images=8)
    same_bits(np.ascontiguousarray(result.transpose(0, 2, 3, 1)), expected)
