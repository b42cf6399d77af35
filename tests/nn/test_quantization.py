"""Quantised layers: sums of whole numbers that no float32 holds, and what they are brought to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.run.graphs import check

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array


def outputs(layer: nn.Module, x: Array, weights: dict[str, Array]) -> Array:
    """What a layer gives by its kernels, which have the references' bits."""
    traced = nn.trace_model(layer, x.shape[1:], training=False)
    graph = traced.builder.graph([("y", traced.output)])
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    return check(graph, {"images": x.astype(np.float32), **arrays}, len(x))["y"]


def sums(x: Array, w: Array, zero: int) -> Array:
    """A valid convolution of whole numbers, in Python's own."""
    kh, kw = w.shape[:2]
    rows, columns = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((len(x), rows, columns, w.shape[-1]), object)
    for i, j in np.ndindex(kh, kw):
        part = x[:, i : i + rows, j : j + columns].astype(object) - zero
        y = y + part @ w[i, j].astype(object)
    return y


@pytest.mark.parametrize("kind", ["int32", "uint8", "int8"])
def test_sums_are_exact(kind: str) -> None:
    """Beyond the whole numbers of float32, where order would show; padding is the zero point."""
    rng = np.random.default_rng(0)
    x = rng.integers(250, 256, (2, 4, 5, 64))
    w = rng.integers(-128, -120, (3, 3, 64, 3))
    w[..., 2] *= -1
    w[0, 0, 0] += 1
    bias = np.array([1, -7, 5])
    settings: dict[str, Any] = {} if kind == "int32" else {"dtype": kind, "zero_point": 3}
    layer = nn.QuantizedConv2d(3, 3, padding=1, input_zero_point=2, **settings)
    multiplier = np.array([1e-6, 2.7e-5, 3.3e-6], np.float32)
    arrays = {"weight": w, "bias": bias}
    arrays |= {} if kind == "int32" else {"multiplier": multiplier}
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=2)
    exact = sums(wide, w, 2) + bias
    assert abs(exact).max() > 2**24
    found = outputs(layer, x, arrays)
    if kind == "int32":
        np.testing.assert_array_equal(found, exact.astype(np.float64).astype(np.float32))
        return
    low, high = (0, 255) if kind == "uint8" else (-128, 127)
    wanted = exact.astype(np.float64) * multiplier.astype(np.float64) + 3
    np.testing.assert_array_equal(found, np.rint(np.clip(wanted, low, high)))
    assert {low, high} & set(np.unique(found))


def test_rows_times_a_matrix() -> None:
    """Any axes before the last; halves go to the even number."""
    x, w = np.array([[[3, 1], [5, 1]], [[7, 1], [-9, 1]]]), np.array([[1, 2], [0, 1]])
    layer = nn.QuantizedLinear(2, dtype="int8", input_zero_point=1)
    arrays = {"weight": w, "bias": np.zeros(2), "multiplier": np.array([0.25, 0.5])}
    found = outputs(layer, x, arrays)
    np.testing.assert_array_equal(found, [[[0, 2], [1, 4]], [[2, 6], [-2, -10]]])


def test_training_leaves_the_weights() -> None:
    """Weights, bias and multipliers are states, and a gradient goes through exact sums."""
    layer = nn.QuantizedConv1d(2, 3, dtype="uint8").build((9, 2))
    assert not layer.parameters()
    assert set(layer.states()) == {"weight", "bias", "multiplier"}


def test_other_kinds_are_refused() -> None:
    """The kinds of integers are listed."""
    with pytest.raises(ArgumentError, match=r"dtype must be .*int32.*uint16; got 'int4'") as caught:
        nn.QuantizedLinear(2, dtype="int4").build((4,))
    assert caught.value.argument == "dtype"
