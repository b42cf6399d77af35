"""Fractional max pooling: values by hand, its definition one by one, rounding, the adjoint."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isoconv.ops as ops
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation
from isoconv.ops.fractional_pool import first_places

ALMOST = float(np.nextafter(np.float32(1), np.float32(0)))


def run(op: str, window: ops.FractionalWindow, *arrays: Array) -> Array:
    """The reference of an operation."""
    return operation(op).reference(window, *arrays, images=len(arrays[0]))


def begins(side: int, kernel: int, outputs: int, u: float, dtype: Any = np.float32) -> list[int]:
    """Where the windows of one axis begin."""
    window = ops.FractionalWindow((kernel,), (outputs,))
    return [int(each) for each in first_places(window, (side,), np.array([[u]], dtype))[0][:, 0]]


# -- where windows begin ---------------------------------------------------------------------


def test_by_hand() -> None:
    """Nine places, four windows of two: α = 7 / 3, so 2.33, 4.67; from 0.5 on 3.5, 5.83 less 1."""
    assert begins(9, 2, 4, 0.0) == [0, 2, 4, 7]
    assert begins(9, 2, 4, 0.5) == [0, 2, 4, 7]
    assert begins(9, 2, 4, 0.75) == [0, 3, 5, 7]
    assert begins(9, 2, 4, 0.25) == [0, 2, 5, 7]


def test_one_window_ends_with_the_side() -> None:
    """There is no step; as many as there is room for begin at every place."""
    assert begins(9, 2, 1, 0.7) == [7]
    assert begins(2, 2, 1, 0.7) == [0]
    for u in (0.0, 0.5):
        assert begins(9, 2, 8, u) == [*range(8)]


def test_steps_are_rounded_in_the_dtype() -> None:
    """(5 + 0.5)·α with α = 26 / 11 is 13 in float64, just below in float32; 1 + u may become 2."""
    assert begins(27, 1, 12, 0.5) == [0, 2, 4, 7, 9, 11, 14, 16, 19, 21, 23, 26]
    assert begins(27, 1, 12, 0.5, np.float64) == [0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 23, 26]
    assert begins(9, 2, 8, ALMOST) == [0, 2, 3, 4, 5, 6, 7, 7]
    assert begins(9, 2, 8, ALMOST, np.float64) == [*range(8)]


def test_an_offset_that_is_none_counts_as_zero() -> None:
    """Whatever stands there, windows lie inside the input."""
    for wrong in (-1e-6, 1.0, 7.5, np.nan, np.inf, -np.inf):
        assert begins(9, 2, 4, wrong) == begins(9, 2, 4, 0.0)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 300), st.integers(0, 300),
    st.one_of(st.integers(0, 2**24 - 1), st.sampled_from([0, 1, 2**23, 2**24 - 1])),
)  # fmt: skip
def test_windows_lie_inside_in_order(kernel: int, outputs: int, more: int, word: int) -> None:
    """The first one may begin at 0 alone, the last one ends with the side."""
    side = kernel + outputs - 1 + more
    for dtype in (np.float32, np.float64):
        found = begins(side, kernel, outputs, word * 2.0**-24, dtype)
        assert found == sorted(found)
        assert found[0] == (0 if outputs > 1 else side - kernel)
        assert found[-1] == side - kernel


# -- values that PyTorch 2.13 gives for the same offsets -------------------------------------

MAP = np.array([[(7 * i * i + 5 * i * j + 3 * j * j) % 23 for j in range(7)] for i in range(8)],
               np.float32)  # fmt: skip
WINDOW = ops.FractionalWindow((2, 2), (4, 5))
KNOWN = {
    (0.0, 0.0): (
        [[15, 15, 12, 6, 16], [18, 18, 20, 20, 15], [20, 20, 15, 15, 19], [22, 13, 15, 15, 18]],
        [[8, 8, 2, 11, 6], [15, 15, 24, 24, 19], [28, 29, 31, 31, 41], [42, 50, 52, 52, 54]],
        {2: 3, 6: 5, 8: 3, 11: 4, 15: 13, 19: 10, 24: 17, 28: 11, 29: 12, 31: 27, 41: 15,
         42: 16, 50: 17, 52: 37, 54: 20},
    ),
    (0.9, 0.2): (
        [[15, 15, 12, 15, 16], [18, 18, 20, 15, 15], [20, 20, 15, 11, 19], [22, 13, 15, 18, 18]],
        [[8, 8, 2, 12, 6], [15, 15, 24, 19, 19], [28, 29, 31, 33, 41], [42, 50, 52, 54, 54]],
        {2: 3, 6: 5, 8: 3, 12: 4, 15: 13, 19: 19, 24: 8, 28: 11, 29: 12, 31: 13, 33: 14, 41: 15,
         42: 16, 50: 17, 52: 18, 54: 39},
    ),
    (ALMOST, 0.5): (
        [[15, 15, 6, 15, 16], [20, 20, 20, 11, 18], [22, 19, 6, 17, 19], [22, 13, 15, 18, 18]],
        [[8, 8, 11, 12, 6], [28, 29, 24, 33, 34], [42, 36, 46, 47, 41], [42, 50, 52, 54, 54]],
        {6: 5, 8: 3, 11: 3, 12: 4, 24: 8, 28: 6, 29: 7, 33: 9, 34: 10, 36: 12, 41: 15, 42: 27,
         46: 13, 47: 14, 50: 17, 52: 18, 54: 39},
    ),
}  # fmt: skip


@pytest.mark.parametrize("offsets", KNOWN, ids=str)
def test_known_values(offsets: tuple[float, float]) -> None:
    """Values, places and the gradient of 1, 2, 3, …; three channels, each with its own windows."""
    each = [*KNOWN][::-1]
    each.remove(offsets)
    order = [offsets, *each]
    x = np.repeat(MAP[None, :, :, None], 3, axis=-1)
    u = np.array(order, np.float32).T[None]
    dy = np.repeat(np.arange(1, 21, dtype=np.float32).reshape(1, 4, 5, 1), 3, axis=-1)
    y = run("fractional_max_pool", WINDOW, x, u)
    places = run("fractional_max_pool_places", WINDOW, x, u)
    dx = run("fractional_max_pool_grad", WINDOW, x, u, dy)
    for channel, known in enumerate(order):
        values, numbers, gradient = KNOWN[known]
        assert y[0, :, :, channel].tolist() == values
        assert places[0, :, :, channel].tolist() == numbers
        flat = dx[0, :, :, channel].reshape(-1)
        assert {i: flat[i] for i in np.flatnonzero(flat)} == gradient


def test_known_values_along_three_axes() -> None:
    """Offsets are in the order of the axes."""
    x = (np.arange(120, dtype=np.float32) * 37 % 101).reshape(1, 5, 6, 4, 1)
    u = np.array([0.1, 0.8, 0.4], np.float32).reshape(1, 3, 1)
    window = ops.FractionalWindow((2, 1, 2), (3, 4, 2))
    assert run("fractional_max_pool", window, x, u)[0, ..., 0].tolist() == [
        [[80, 90], [84, 100], [77, 93], [70, 86]],
        [[96, 90], [63, 100], [99, 93], [92, 86]],
        [[75, 91], [85, 95], [94, 88], [87, 81]],
    ]
    dy = np.arange(1, 25, dtype=np.float32).reshape(1, 3, 4, 2, 1)
    flat = run("fractional_max_pool_grad", window, x, u, dy).reshape(-1)
    assert {i: flat[i] for i in np.flatnonzero(flat)} == {
        5: 3, 13: 5, 21: 7, 24: 1, 27: 12, 29: 11, 30: 16, 38: 20, 46: 24, 49: 9, 60: 13, 68: 15,
        73: 17, 76: 19, 79: 20, 87: 22, 95: 24, 98: 18, 109: 21, 117: 23,
    }  # fmt: skip


# -- the definition, one by one --------------------------------------------------------------


def window_begins(side: int, kernel: int, outputs: int, u: Any) -> list[int]:
    """The definition, number by number in the type of u."""
    kind = type(u)
    found = []
    if outputs > 1:
        step = kind(side - kernel) / kind(outputs - 1)
        found = [int((kind(i) + u) * step) - int(u * step) for i in range(outputs - 1)]
    return [*found, side - kernel]


@st.composite
def poolings(draw: st.DrawFn) -> tuple[ops.FractionalWindow, tuple[int, ...]]:
    """Windows that overlap, lie side by side or leave gaps, and sides with room for them."""
    rank = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    outputs = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    sides = tuple(
        k + o - 1 + draw(st.integers(0, 9 - 2 * rank)) for k, o in zip(kernel, outputs, strict=True)
    )
    return ops.FractionalWindow(kernel, outputs), sides


@settings(max_examples=60, deadline=None)
@given(poolings(), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**16))
def test_against_loops(
    drawn: tuple[ops.FractionalWindow, tuple[int, ...]], kind: Any, seed: int
) -> None:
    """Values, places and gradient of each image and channel, ties and NaN among them."""
    window, sides = drawn
    draw = np.random.default_rng(seed)
    x = draw.integers(-2, 3, (2, *sides, 2)).astype(kind)
    x[draw.random(x.shape) < 0.03] = np.nan
    u = draw.random((2, len(sides), 2)).astype(kind)
    dy = draw.normal(size=(2, *window.outputs, 2)).astype(kind)
    y, places, dx = np.zeros_like(dy), np.zeros_like(dy), np.zeros_like(x)
    for n, c in itertools.product(range(2), range(2)):
        axes = [
            window_begins(side, k, o, u[n, axis, c])
            for axis, (side, k, o) in enumerate(
                zip(sides, window.kernel, window.outputs, strict=True)
            )
        ]
        for p in itertools.product(*map(range, window.outputs)):
            starts = [axis[i] for axis, i in zip(axes, p, strict=True)]
            best: Any = None
            for m in itertools.product(*map(range, window.kernel)):
                at: Any = tuple(start + i for start, i in zip(starts, m, strict=True))
                value = x[(n, *at, c)]
                if best is None or value > x[best] or (np.isnan(value) and not np.isnan(x[best])):
                    best = (n, *at, c)
            y[(n, *p, c)] = x[best]
            places[(n, *p, c)] = np.ravel_multi_index(best[1:-1], sides)
            dx[best] += dy[(n, *p, c)]
    np.testing.assert_array_equal(run("fractional_max_pool", window, x, u), y, strict=True)
    found = run("fractional_max_pool_places", window, x, u)
    np.testing.assert_array_equal(found, places, strict=True)
    found = run("fractional_max_pool_grad", window, x, u, dy)
    assert found.tobytes() == dx.tobytes()


def test_windows_are_added_in_their_order() -> None:
    """An input that wins three windows has their gradients added from the first to the last."""
    x = np.array([0, 0, 9, 0, 0], np.float32).reshape(1, 5, 1)
    window, u = ops.FractionalWindow((3,), (3,)), np.zeros((1, 1, 1), np.float32)
    dy = np.array([1.0, 2.0**24, -(2.0**24)], np.float32).reshape(1, 3, 1)
    assert run("fractional_max_pool_grad", window, x, u, dy)[0, :, 0].tolist() == [0, 0, 0, 0, 0]
    assert run("fractional_max_pool_grad", window, x, u, dy[:, ::-1])[0, 2, 0] == 1


@settings(max_examples=25, deadline=None)
@given(poolings(), st.integers(0, 2**16))
def test_the_gradient_is_the_adjoint(
    drawn: tuple[ops.FractionalWindow, tuple[int, ...]], seed: int
) -> None:
    """``<y, dy> = <x, dx>``, as each output is one of the inputs."""
    window, sides = drawn
    draw = np.random.default_rng(seed)
    x, u = draw.normal(size=(2, *sides, 3)), draw.random((2, len(sides), 3))
    y = run("fractional_max_pool", window, x, u)
    dy = draw.normal(size=y.shape)
    dx = run("fractional_max_pool_grad", window, x, u, dy)
    np.testing.assert_allclose(np.sum(y * dy), np.sum(x * dx), atol=1e-12)


# -- bad input -------------------------------------------------------------------------------


def test_settings() -> None:
    """Sizes are whole numbers from 1 on, as many as there are axes."""
    with pytest.raises(
        ArgumentError, match=r"kernel must be at least 1 on each of one axis or more.*\(2, 0\)"
    ):
        ops.FractionalWindow((2, 0), (2, 2))
    with pytest.raises(
        ArgumentError, match=r"outputs must be at least 1 on each of one axis or more.*got \(\)"
    ):
        ops.FractionalWindow((2, 2), ())
    with pytest.raises(ArgumentError, match="outputs must have 2 entries, one per axis"):
        ops.FractionalWindow((2, 2), (3,))


X, U = TensorSpec((8, 7, 4)), TensorSpec((2, 4))
REFUSED = {
    r"x must have 2 spatial axes and one of channels; got x float32\(N, 8, 4\)":
        (TensorSpec((8, 4)), U),
    r"offsets must have shape \(2, 4\), one of each axis and channel; .*\(N, 4, 2\)":
        (X, TensorSpec((4, 2))),
    r"there must be room for the windows, at most \(3, 6\) of \(2, 2\); got x .*\(N, 4, 7, 4\)":
        (TensorSpec((4, 7, 4)), U),
    "sides must be at most 16777216": (TensorSpec((8, 2**24 + 1, 4)), U),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED)
def test_refused(rule: str) -> None:
    """The operation, its rule and what it was given."""
    for op in ("fractional_max_pool", "fractional_max_pool_places"):
        with pytest.raises(ShapeError, match=f"^{op}: {rule}"):
            operation(op).infer(WINDOW, *REFUSED[rule])


def test_wrong_cotangent_and_dtypes() -> None:
    """A cotangent has the pooled shape; all have one dtype; an image's offsets are its own."""
    op = "fractional_max_pool_grad"
    with pytest.raises(ShapeError, match=r"dy must be as the pooled result, float32\(N, 4, 5, 4\)"):
        operation(op).infer(WINDOW, X, U, X)
    with pytest.raises(DTypeError, match="x and offsets must have one dtype"):
        operation("fractional_max_pool").infer(WINDOW, X, TensorSpec((2, 4), "float64"))
    with pytest.raises(ShapeError, match="image"):
        operation("fractional_max_pool").infer(WINDOW, X, TensorSpec((2, 4), batched=False))


def test_places_are_exact_numbers() -> None:
    """Beyond 2^24 positions float32 has none for each of them."""
    large, window = TensorSpec((2**13, 2**12, 1)), ops.FractionalWindow((2, 2), (3, 3))
    assert operation("fractional_max_pool").infer(window, large, TensorSpec((2, 1)))
    with pytest.raises(ShapeError, match="at most 16777216 positions, whose numbers are exact"):
        operation("fractional_max_pool_places").infer(window, large, TensorSpec((2, 1)))
