"""Reductions over any axes: values beside NumPy's, gradients, kernels, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.nn.slopes import check_slopes, computed

from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.nn.functional import reduce
from isoconv.nn.reduction import REDUCTIONS

ORACLES: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "l1": lambda x, axes: np.abs(x).sum(axes),
    "l2": lambda x, axes: np.sqrt((x * x).sum(axes)),
    "sum_square": lambda x, axes: (x * x).sum(axes),
    "log_sum": lambda x, axes: np.log(x.sum(axes)),
    "log_sum_exp": lambda x, axes: np.log(np.exp(x).sum(axes)),
}
X = np.random.default_rng(1).uniform(0.5, 2, (2, 3, 5, 4))


@pytest.mark.parametrize("kind", sorted(REDUCTIONS))
def test_values_and_gradients(kind: str) -> None:
    """Over axes before, between and behind others; the kernels' bits, and gradients as slopes."""
    for axes in ((), (1,), (2,), (0, 2), (0, 1, 2)):
        keep = len(axes) == 2
        found = check_slopes(partial(reduce, kind=kind, axes=axes, keepdims=keep), X)
        over = tuple(1 + axis for axis in axes)
        expected = ORACLES[kind](X, over)
        assert found.shape == (np.sum(X, over, keepdims=True).shape if keep else expected.shape)
        np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-13)


def test_extremes_and_their_gradients_go_to_the_first() -> None:
    """Of equals, zeros of both signs among them, the first is taken; NaN before all."""
    x = np.array([[[0.0, -0.0, 3, 3], [-0.0, 0.0, np.nan, 3]]], np.float32)
    dy = np.ones((1, 2), np.float32)
    for kind, first, place in (("max", 3, 2), ("min", 0, 0)):
        function = partial(reduce, kind=kind, axes=-1)
        y, dx = computed(function, x, dy=dy)
        np.testing.assert_array_equal(y, [[first, np.nan]])
        assert dx.tolist() == [[[float(i == place) for i in range(4)], [0, 0, 1, 0]]]
        (y,) = computed(function, x[:, :, :2])
        assert np.signbit(y).tolist() == [[False, True]]


def test_a_product_with_zeros_has_its_gradient() -> None:
    """The gradient by the only zero is the product of the others."""
    x = np.array([[2, 0, 3, 5, 7]], np.float32)
    y, dx = computed(lambda x: reduce(x, "prod"), x, dy=np.ones(1, np.float32))
    assert y.tolist() == [0]
    assert dx.tolist() == [[0, 210, 0, 0, 0]]


def test_log_sum_exp_far_out() -> None:
    """Large numbers do not overflow, and infinite ones are what they are in a limit."""
    inf = np.inf
    rows = [[1000, 1000], [-1000, -1000], [-inf, -inf], [-inf, 2], [inf, 2], [inf, -inf]]
    (y,) = computed(lambda x: reduce(x, "log_sum_exp", -1), np.array([rows], np.float32))
    half = np.log(np.float32(2))
    np.testing.assert_allclose(y[0], [1000 + half, half - 1000, -inf, 2, inf, inf], rtol=1e-7)


def test_what_it_refuses() -> None:
    """Other kinds, axes that are none, extremes of what no image has."""
    x = nn.Trace().images((4, 3))
    with pytest.raises(ArgumentError, match="kind must be one of sum, mean, max"):
        reduce(x, "median")
    for axes in (2, -3, (0, 0), (0, -2), 0.5, "0"):
        with pytest.raises(ArgumentError, match="axes must be different axes of the input, which"):
            reduce(x, "sum", axes)  # type: ignore[arg-type]
    weight = x.trace.input("parameter", "w", (3,))
    assert reduce(weight, "mean").shape == ()
    with pytest.raises(ShapeError, match="max_pool: x must have an image axis"):
        reduce(weight, "max")
