"""Greatest elements and their places along any axis, and rows with a one: kernels and values."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from tests.nn.slopes import computed

from isoconv import nn
from isoconv.errors import ArgumentError, GraphError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)

NAN = np.nan
X = np.random.default_rng(1).integers(-3, 4, (2, 5, 11, 4)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_places(axis: int) -> None:
    """The first of equals, and asked for the last, along any axis."""
    at = axis if axis < 0 else axis + 1
    turned, last = np.flip(X, at), X.shape[at] - 1
    for function, oracle in ((F.argmax, np.argmax), (F.argmin, np.argmin)):
        (found,) = computed(partial(function, axis=axis), X)
        np.testing.assert_array_equal(found, oracle(X, at))
        (found,) = computed(partial(function, axis=axis, keepdims=True, last=True), X)
        np.testing.assert_array_equal(found, last - np.expand_dims(oracle(turned, at), at))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_of_all(dtype: str) -> None:
    """Values and places in decreasing or increasing order; those of equals by their places."""
    x = X.astype(dtype)
    for axis, k in ((1, 3), (-1, 4), (0, 1)):
        at = axis if axis < 0 else axis + 1
        for largest in (True, False):
            order = np.argsort(-x if largest else x, at, kind="stable").take(range(k), at)
            settings = {"k": k, "axis": axis, "largest": largest}
            for result, expected in ((1, order), (0, np.take_along_axis(x, order, at))):
                (found,) = computed(lambda x, s=settings, r=result: F.top_k(x, **s)[r], x)
                np.testing.assert_array_equal(found, expected)
                assert found.dtype == x.dtype


def test_special_numbers() -> None:
    """NaN come before all, in their order; zeros of both signs are equal and keep their signs."""
    x = np.array([[0.0, -0.0, NAN, np.inf, -np.inf, NAN, 0.0]], np.float32)
    (places,) = computed(lambda x: F.top_k(x, 7)[1], x)
    assert places.tolist() == [[2, 5, 3, 0, 1, 6, 4]]
    (values,) = computed(lambda x: F.top_k(x, 7)[0], x)
    assert np.signbit(values[0, 3:6]).tolist() == [False, True, False]
    (places,) = computed(lambda x: F.top_k(x, 7, largest=False)[1], x)
    assert places.tolist() == [[2, 5, 4, 0, 1, 6, 3]]


def test_numbers_as_rows() -> None:
    """A one where the number says, along any axis; none for what is no class."""
    x = np.array([[0, 2, 3], [-1, 1.5, NAN]], np.float32)
    (rows,) = computed(partial(F.one_hot, classes=3), x)
    ones = [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert rows.tolist() == [ones, [[0, 0, 0]] * 3]
    (columns,) = computed(partial(F.one_hot, classes=3, axis=0), x)
    np.testing.assert_array_equal(columns, rows.transpose(0, 2, 1))
    (both,) = computed(lambda x: F.one_hot(F.argmax(x), 4) * x, X)
    np.testing.assert_array_equal(np.count_nonzero(both, -1), X.max(-1) != 0)


def test_what_they_refuse() -> None:
    """Axes that are none, more elements than there are, places that float32 cannot tell apart."""
    x = nn.Trace().images((4, 3))
    for axis in (2, -3, None):
        with pytest.raises(ArgumentError, match="axis must be an axis of the input, which has 2"):
            F.argmax(x, axis)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="k must be at most 3, the places of the axis; got 4"):
        F.top_k(x, 4)
    with pytest.raises(ArgumentError, match="k must"):
        F.top_k(x, 0)
    with pytest.raises(ShapeError, match="places of float32 end at 16777216"):
        F.argmax(nn.Trace().images((2**24 + 1,)))
    with pytest.raises(ArgumentError, match="classes must"):
        F.one_hot(x, 0)
    trace = nn.Trace()
    given = trace.images((4,))
    values, _ = F.top_k(given, 2)
    seed = trace.input("dataset", "dy", (2,))
    with pytest.raises(GraphError, match="gradients by chosen elements not offered"):
        differentiate(trace.builder, {values.index: seed.index}, [given.index])
