"""Pooling: the notes' worked examples, plain loops, the adjoint identity, choices among equals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isoconv.ops  # noqa: F401  (fills the table)
from isoconv.errors import ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation
from isoconv.ops.geometry import WindowGeometry
from isoconv.ops.pool import AvgPool, AvgPoolGrad

Index = tuple[int, ...]
NOTES = WindowGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
X = np.array([[1, 5, 4], [9, 2, 1], [6, 3, 2]], np.float32).reshape(1, 3, 3, 1)
A, B, C, D = 0.5, 7.0, 11.0, -3.0
DY = np.array([[A, B], [C, D]], np.float32).reshape(1, 2, 2, 1)


def run(op: str, attrs: Any, *arrays: Array) -> Array:
    """The reference of an operation."""
    return operation(op).reference(attrs, *arrays, images=len(arrays[0]))


# -- the notes' worked examples --------------------------------------------------------------


def test_notes_max_pooling() -> None:
    """The maxima of the four windows."""
    assert run("max_pool", NOTES, X)[0, :, :, 0].tolist() == [[9, 5], [9, 3]]


def test_notes_max_pooling_gradient() -> None:
    """The 9 wins two windows and gets a + c."""
    dx = run("max_pool_grad", NOTES, X, DY)[0, :, :, 0]
    assert dx.tolist() == [[0, B, 0], [A + C, 0, 0], [0, D, 0]]


def test_notes_average_pooling() -> None:
    """The averages of the four windows."""
    y = run("avg_pool", AvgPool(NOTES), X)[0, :, :, 0]
    assert y.tolist() == [[4.25, 3], [5, 2]]


def test_notes_average_pooling_gradient() -> None:
    """Each input gets a quarter of every output that it contributed to."""
    dx = run("avg_pool_grad", AvgPoolGrad(NOTES, False, (3, 3)), DY)[0, :, :, 0]
    assert dx.tolist() == [
        [A / 4, A / 4 + B / 4, B / 4],
        [A / 4 + C / 4, A / 4 + B / 4 + C / 4 + D / 4, B / 4 + D / 4],
        [C / 4, C / 4 + D / 4, D / 4],
    ]


def test_notes_global_average() -> None:
    """A window as large as the input gives (sum over i, j of X_c(i, j)) / (H W)."""
    whole = WindowGeometry((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    y = run("avg_pool", AvgPool(whole), X)
    assert y.shape == (1, 1, 1, 1)
    assert y.item() == np.float32(33) / np.float32(9)


# -- choices ---------------------------------------------------------------------------------

ROW = WindowGeometry((3,), (3,), ((0, 0),), (1,))


def row(*values: float) -> Array:
    """One image of one row and one channel."""
    return np.array(values, np.float32).reshape(1, -1, 1)


def test_first_of_equals_takes_the_gradient() -> None:
    """Among equal maxima the first in row-major order wins."""
    dx = run("max_pool_grad", ROW, row(1, 4, 4), row(5))
    assert dx[0, :, 0].tolist() == [0, 5, 0]


def test_positive_zero_does_not_beat_negative_zero() -> None:
    """The two zeros are equal: the first wins and keeps its sign."""
    assert np.signbit(run("max_pool", ROW, row(-0.0, 0.0, -1))[0, 0, 0])


def test_nan_propagates_and_the_first_takes_the_gradient() -> None:
    """A NaN wins over every number, the first NaN over later ones."""
    x = row(9, np.nan, np.nan)
    assert np.isnan(run("max_pool", ROW, x)[0, 0, 0])
    assert run("max_pool_grad", ROW, x, row(5))[0, :, 0].tolist() == [0, 5, 0]


def test_padding_never_wins() -> None:
    """Negative values win over padding, and so does minus infinity."""
    padded = WindowGeometry((3,), (2,), ((1, 1),), (1,))
    y = run("max_pool", padded, row(-5, -6, -np.inf))
    assert y[0, :, 0].tolist() == [-5, -6]
    y = run("max_pool", padded, row(-np.inf))
    assert y[0, :, 0].tolist() == [-np.inf]
    assert run("max_pool_grad", padded, row(-np.inf), row(2))[0, :, 0].tolist() == [2]


def test_count_include_pad() -> None:
    """Padding counts only on request."""
    padded = WindowGeometry((2,), (2,), ((1, 1),), (1,))
    x = row(6, 2, 4, 8)
    assert run("avg_pool", AvgPool(padded), x)[0, :, 0].tolist() == [6, 3, 8]
    assert run("avg_pool", AvgPool(padded, True), x)[0, :, 0].tolist() == [3, 3, 4]


def test_ceil_mode_overhang_never_counts() -> None:
    """What a last window covers beyond the padding is no position."""
    window = WindowGeometry((3,), (2,), ((1, 1),), (1,), ceil_mode=True)
    # Padded to 6; the windows start at 0, 2 and 4, and the last one is cut to 2 positions.
    y = run("avg_pool", AvgPool(window, True), row(6, 2, 4, 8))
    assert y[0, :, 0].tolist() == [np.float32(8) / 3, np.float32(14) / 3, 4]


# -- plain loops -----------------------------------------------------------------------------


def windows(window: WindowGeometry, sides: tuple[int, ...]) -> dict[Index, tuple[list[Any], int]]:
    """For each output the input positions it covers, and its positions in the padded input."""
    found = {}
    for p in np.ndindex(*window.output_sides(sides)):
        inside, counted = [], 0
        for m in np.ndindex(*window.kernel):
            place = tuple(
                p[a] * window.stride[a] - window.padding[a][0] + m[a] * window.dilation[a]
                for a in range(len(sides))
            )
            if all(0 <= i < side for i, side in zip(place, sides, strict=True)):
                inside.append(place)
            counted += all(
                i < side + after
                for i, side, (_, after) in zip(place, sides, window.padding, strict=True)
            )
        found[p] = inside, counted
    return found


@st.composite
def poolings(draw: st.DrawFn) -> tuple[WindowGeometry, tuple[int, ...]]:
    """A window and input sizes that it can pool."""
    rank = draw(st.integers(0, 3))
    kernel, stride, padding, dilation, sides = [], [], [], [], []
    for _ in range(rank):
        k, d = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        extent = d * (k - 1) + 1
        kernel.append(k)
        dilation.append(d)
        stride.append(draw(st.integers(1, 3)))
        padding.append((draw(st.integers(0, extent // 2)), draw(st.integers(0, extent // 2))))
        sides.append(draw(st.integers(extent, extent + 3)))
    ceil_mode = draw(st.booleans())
    window = WindowGeometry(
        tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), ceil_mode
    )
    return window, tuple(sides)


@settings(max_examples=25, deadline=None)
@given(poolings(), st.booleans())
def test_settings_against_loops(
    drawn: tuple[WindowGeometry, tuple[int, ...]], include: bool
) -> None:
    """Ranks 0 to 3, strides, padding, dilation, ceil_mode, count_include_pad; and the adjoint."""
    window, sides = drawn
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *sides, 3))
    found = windows(window, sides)
    maxima = run("max_pool", window, x)
    averages = run("avg_pool", AvgPool(window, include), x)
    for p, (inside, counted) in found.items():
        at: tuple[slice | int, ...] = (slice(None), *p)
        values = np.stack([x[(slice(None), *place)] for place in inside])
        np.testing.assert_array_equal(maxima[at], values.max(0))
        count = counted if include else len(inside)
        np.testing.assert_allclose(averages[at], values.sum(0) / count, atol=1e-14)
    dy = rng.normal(size=averages.shape)
    back = run("avg_pool_grad", AvgPoolGrad(window, include, sides), dy)
    np.testing.assert_allclose(np.sum(averages * dy), np.sum(x * back), atol=1e-12)
    back = run("max_pool_grad", window, x, dy)
    np.testing.assert_allclose(np.sum(maxima * dy), np.sum(x * back), atol=1e-12)


# -- bad input -------------------------------------------------------------------------------


def message(op: str, attrs: Any, *specs: TensorSpec) -> str:
    """The text of the error of a shape rule."""
    with pytest.raises(ShapeError) as caught:
        operation(op).infer(attrs, *specs)
    return str(caught.value)


def test_window_larger_than_input() -> None:
    """A window must fit into the padded input."""
    text = message("max_pool", NOTES, TensorSpec((1, 5, 3)))
    assert text.startswith("max_pool: the kernel must fit into the padded input: kernel size 2")
    assert text.endswith("got x float32(N, 1, 5, 3)")


def test_wrong_rank() -> None:
    """An image without channels is named with its shape."""
    assert message("avg_pool", AvgPool(NOTES), TensorSpec((5, 5))) == (
        "avg_pool: x must have 2 spatial axes and one of channels; got x float32(N, 5, 5)"
    )


def test_window_beside_the_input() -> None:
    """With dilation a window can step over the whole input; it has no maximum then."""
    window = WindowGeometry((2,), (1,), ((3, 3),), (5,))
    text = message("max_pool", window, TensorSpec((1, 2)))
    assert text.startswith("max_pool: every window must meet the input: WindowGeometry(")


def test_every_small_window_meets_the_input_or_is_refused() -> None:
    """Of all windows of one axis up to size 6, just those that step over it are refused."""
    refused = 0
    small = range(1, 7)
    for side, k, s, d, ceil in itertools.product(small, small[:4], small[:3], small, (False, True)):
        half = (d * (k - 1) + 1) // 2
        for pair in itertools.product(range(half + 1), repeat=2):
            window = WindowGeometry((k,), (s,), ((pair[0], pair[1]),), (d,), ceil)
            try:
                (count,) = window.output_sides((side,))
            except ShapeError:
                continue
            starts = [o * s - pair[0] for o in range(count)]
            met = all(any(0 <= a + m * d < side for m in range(k)) for a in starts)
            try:
                operation("max_pool").infer(window, TensorSpec((side, 1)))
            except ShapeError:
                assert not met, (side, window)
                refused += 1
            else:
                assert met, (side, window)
    assert refused > 100


def test_huge_windows_are_judged_at_once() -> None:
    """The shape rule takes neither time nor memory for the sizes that it is asked about."""
    window = WindowGeometry((2**40,), (3,), ((2**39, 2**39),), (1,))
    assert operation("max_pool").infer(window, TensorSpec((9, 1))).shape == (4, 1)
    large = WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    shape = operation("max_pool").infer(large, TensorSpec((2**30, 2**30, 1))).shape
    assert shape == (2**29, 2**29, 1)


def test_wrong_cotangent() -> None:
    """A cotangent must have the pooled shape."""
    text = message("max_pool_grad", NOTES, TensorSpec((3, 3, 1)), TensorSpec((3, 3, 1)))
    assert "dy must be as the pooled result, float32(N, 2, 2, 1)" in text
    attrs = AvgPoolGrad(NOTES, False, (3, 3))
    text = message("avg_pool_grad", attrs, TensorSpec((2, 3, 1)))
    assert "dy must be as the pooled result, float32(N, 2, 2, 1)" in text
    assert "dy must have an axis of channels" in message("avg_pool_grad", attrs, TensorSpec(()))
