"""Softmax, cross-entropy and hits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import special

import isoconv.ops as ops
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation

LOGITS = np.random.default_rng(0).normal(0, 4, size=(6, 11))
LABELS = np.array([0, 3, 10, 5, 5, 1], np.int32)


def run(op: str, *arrays: Array, attrs: Any = None) -> Array:
    """The reference of an operation."""
    return operation(op).reference(attrs, *arrays, images=len(arrays[0]))


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-13)])
def test_softmax_values(dtype: str, rtol: float) -> None:
    """Softmax and its logarithm agree with SciPy's."""
    x = LOGITS.astype(dtype)
    np.testing.assert_allclose(run("softmax", x), special.softmax(x, 1), rtol=rtol)
    np.testing.assert_allclose(run("log_softmax", x), special.log_softmax(x, 1), rtol=rtol)


def test_softmax_stays_finite() -> None:
    """The maximum is subtracted first."""
    assert run("softmax", np.array([[1e30, 1e30, -1e30]], np.float32)).tolist() == [[0.5, 0.5, 0]]


def test_softmax_of_nan() -> None:
    """A NaN makes its whole row NaN, whatever its place, and no other row."""
    y = run("softmax", np.array([[1, math.nan, 2], [math.nan, 1, 2], [0, 0, 0]], np.float32))
    assert np.isnan(y).all(1).tolist() == [True, True, False]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_values(smoothing: float) -> None:
    """It is -sum(t log softmax(x)) with the smoothed target t."""
    target = np.full((6, 11), smoothing / 11)
    target[np.arange(6), LABELS] += 1 - smoothing
    expected = -np.sum(target * special.log_softmax(LOGITS, 1), 1)
    attrs = ops.CrossEntropy(smoothing)
    actual = run("cross_entropy", LOGITS, LABELS, attrs=attrs)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    dy = np.linspace(0.5, 2, 6)
    slope = run("cross_entropy_grad", LOGITS, LABELS, dy, attrs=attrs)
    expected = (special.softmax(LOGITS, 1) - target) * dy[:, None]
    np.testing.assert_allclose(slope, expected, rtol=1e-11, atol=1e-14)


def hits(k: int, logits: list[float], label: int) -> float:
    """The reference for one row."""
    row, one = np.array([logits], np.float32), np.array([label], np.int32)
    return float(run("hits", row, one, attrs=ops.Hits(k))[0])


def test_hits() -> None:
    """Fewer than k classes beat the label; of equal logits the smaller index does."""
    assert hits(1, [1, 3, 2], 1) == 1
    assert hits(1, [1, 3, 2], 2) == 0
    assert hits(2, [1, 3, 2], 2) == 1
    assert hits(1, [3, 3, 3], 0) == 1
    assert hits(1, [3, 3, 3], 1) == 0
    assert hits(2, [3, 3, 3], 1) == 1


def test_nan_never_hits() -> None:
    """A label whose logit is NaN is no hit, even when all classes count."""
    assert hits(3, [math.nan, 1, 2], 0) == 0
    assert hits(3, [math.nan] * 3, 2) == 0


def test_labels_of_no_class() -> None:
    """A label outside 0 … K - 1, as of a place that nobody labelled, has no loss and is no hit."""
    x = np.log(np.array([[[1, 3], [1, 1]], [[1, 1], [9, 1]]], np.float32))
    labels = np.array([[0, -1], [2, 0]], np.int32)
    found = run("cross_entropy", x, labels, attrs=ops.CrossEntropy())
    np.testing.assert_allclose(np.exp(found), [[4.0, 1.0], [1.0, 10 / 9]], rtol=1e-6)
    np.testing.assert_array_equal(run("hits", x, labels, attrs=ops.Hits(1)), [[0, 0], [0, 1]])


def test_messages() -> None:
    """Shapes and settings that make no rows are named."""
    logits, labels = TensorSpec((2, 11)), TensorSpec((), "int32")
    with pytest.raises(ShapeError) as caught:
        operation("cross_entropy").infer(ops.CrossEntropy(), logits, labels)
    assert str(caught.value) == (
        "cross_entropy: logits must have shape (N, ..., K) and labels (N, ...); "
        "got logits float32(N, 2, 11), labels int32(N)"
    )
    with pytest.raises(ShapeError, match="softmax: x must have an axis of classes; got x"):
        operation("softmax").infer(None, TensorSpec(()))
    with pytest.raises(ShapeError, match="softmax_grad: y and dy must have one shape"):
        operation("softmax_grad").infer(None, TensorSpec((3,)), TensorSpec((4,)))
    row = TensorSpec((11,))
    with pytest.raises(ShapeError, match="dy must have the shape of the labels"):
        operation("cross_entropy_grad").infer(ops.CrossEntropy(), row, labels, row)
    with pytest.raises(ArgumentError, match="smoothing must be at least 0 and below 1; got 1"):
        ops.CrossEntropy(1.0)
    with pytest.raises(ArgumentError, match="k must be at least 1; got 0"):
        ops.Hits(0)
