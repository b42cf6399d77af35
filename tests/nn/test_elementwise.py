"""Arithmetic and comparisons of tensors and numbers: values, operators, gradients, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from tests.run.graphs import check

from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.operation import Array
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)

X = np.array([[-3, -1.5, -0.0, 0.25], [0.5, 1, 2.5, 7]], np.float32)
Y = np.array([[2, -1.5, 0.0, 0.5], [0.25, 3, 2, 0]], np.float32)
H = np.float32(0.5)

CASES: dict[str, tuple[Callable[[Any, Any], nn.Tensor], Callable[[Array, Array], Any]]] = {
    "add": (F.add, lambda x, y: x + y),
    "add, number": (lambda x, _: F.add(0.5, x), lambda x, _: H + x),
    "subtract": (F.subtract, lambda x, y: x - y),
    "subtract, number": (lambda x, _: F.subtract(0.5, x), lambda x, _: H - x),
    "multiply": (F.multiply, lambda x, y: x * y),
    "divide": (F.divide, lambda x, y: x / y),
    "divide by a number": (lambda x, _: F.divide(x, 3), lambda x, _: x / np.float32(3)),
    "divide a number": (lambda x, _: F.divide(3, x), lambda x, _: np.float32(3) / x),
    "maximum": (F.maximum, lambda x, y: np.where(x >= y, x, y)),
    "minimum, number": (lambda x, _: F.minimum(x, 0.5), lambda x, _: np.minimum(x, H)),
    "greater": (lambda x, y: x > y, np.greater),
    "greater, number": (lambda x, _: x > 0.5, lambda x, _: x > H),
    "greater, number on the left": (lambda x, _: F.greater(0.5, x), lambda x, _: x < H),
    "greater_equal": (lambda x, y: x >= y, np.greater_equal),
    "less": (lambda x, y: x < y, np.less),
    "less_equal": (lambda x, y: x <= y, np.less_equal),
    "equal": (F.equal, np.equal),
    "not_equal": (F.not_equal, np.not_equal),
    "logical_and": (F.logical_and, np.logical_and),
    "logical_or": (F.logical_or, np.logical_or),
    "logical_xor": (F.logical_xor, np.logical_xor),
    "logical_not": (lambda x, _: F.logical_not(x), lambda x, _: x == 0),
    "isnan": (lambda _, y: F.isnan(y / y), lambda _, y: y == 0),
    "isinf": (lambda x, y: F.isinf(x / y), lambda x, y: np.isinf(x / y)),
    "where": (lambda x, y: F.where(x > y, x, 0.5), lambda x, y: np.where(x > y, x, H)),
    "where, of numbers": (lambda x, _: F.where(x, 1, -1), lambda x, _: np.where(x == 0, -1, 1)),
    "abs": (lambda x, _: abs(x), lambda x, _: np.abs(x)),
    "ceil": (lambda x, _: F.ceil(x), lambda x, _: np.ceil(x)),
    "floor": (lambda x, _: F.floor(x), lambda x, _: np.floor(x)),
    "neg": (lambda x, _: F.neg(x), lambda x, _: -x),
    "reciprocal": (lambda x, _: F.reciprocal(x), lambda x, _: 1 / x),
    "round": (lambda x, _: F.round(x), lambda x, _: np.round(x)),
    "sign": (lambda x, _: F.sign(x), lambda x, _: np.where(x == 0, x, np.sign(x))),
    "sqrt": (lambda x, _: F.sqrt(x), lambda x, _: np.sqrt(x)),
    "square": (lambda x, _: F.square(x), lambda x, _: x * x),
    "power of a number": (lambda x, _: 2.0**x, lambda x, _: np.float32(2) ** x),
    "exp": (lambda x, _: F.exp(x), lambda x, _: np.exp(x)),
    "expm1": (lambda x, _: F.expm1(x), lambda x, _: np.expm1(x)),
    "log": (lambda x, _: F.log(x), lambda x, _: np.log(x)),
    "log1p": (lambda x, _: F.log1p(x), lambda x, _: np.log1p(x)),
    "sin": (lambda x, _: F.sin(x), lambda x, _: np.sin(x)),
    "cos": (lambda x, _: F.cos(x), lambda x, _: np.cos(x)),
    "tan": (lambda x, _: F.tan(x), lambda x, _: np.tan(x)),
    "sinh": (lambda x, _: F.sinh(x), lambda x, _: np.sinh(x)),
    "cosh": (lambda x, _: F.cosh(x), lambda x, _: np.cosh(x)),
    "asinh": (lambda x, _: F.asinh(x), lambda x, _: np.arcsinh(x)),
    "acosh": (lambda x, _: F.acosh(x), lambda x, _: np.arccosh(x)),
    "atanh": (lambda x, _: F.atanh(x), lambda x, _: np.arctanh(x)),
    "asin": (lambda x, _: F.asin(x), lambda x, _: np.arcsin(x)),
    "acos": (lambda x, _: F.acos(x), lambda x, _: np.arccos(x)),
    "atan": (lambda x, _: F.atan(x), lambda x, _: np.arctan(x)),
}  # fmt: skip
INEXACT = ("power of a number", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh",
           "cosh", "asinh", "acosh", "atanh", "asin", "acos", "atan")  # fmt: skip


def test_values() -> None:
    """All functions in one graph, kernels and references alike, give NumPy's values and zeros."""
    trace = nn.Trace()
    x, y = (trace.input("dataset", name, (4,)) for name in "xy")
    outputs = [(name, function(x, y).index) for name, (function, _) in CASES.items()]
    found = check(trace.builder.graph(outputs), {"x": X, "y": Y}, 2)
    with np.errstate(all="ignore"):
        for name, (_, wanted) in CASES.items():
            expected = np.asarray(wanted(X, Y)).astype(np.float32)
            tolerance = 1e-6 if name in INEXACT else 0
            np.testing.assert_allclose(found[name], expected, rtol=tolerance, err_msg=name)
            kept = ~np.isnan(expected)
            assert (np.signbit(found[name]) == np.signbit(expected))[kept].all(), name


def gradients(function: Callable[..., nn.Tensor], *arrays: Array) -> list[Array | None]:
    """The gradients of a sum of results by each array; None where none flows."""
    trace = nn.Trace()
    given = [trace.input("dataset", f"x{i}", a.shape[1:]) for i, a in enumerate(arrays)]
    result = function(*given)
    seed = trace.input("dataset", "dy", result.shape)
    flows = differentiate(trace.builder, {result.index: seed.index}, [x.index for x in given])
    outputs = [(f"d{i}", flows[x.index]) for i, x in enumerate(given) if x.index in flows]
    values = {f"x{i}": array for i, array in enumerate(arrays)}
    values["dy"] = np.ones((len(arrays[0]), *result.shape), np.float32)
    found = check(trace.builder.graph([*outputs, ("y", result.index)]), values, len(arrays[0]))
    return [found.get(f"d{i}") for i in range(len(given))]


def test_gradients() -> None:
    """A choice hands its gradient to what it chose, summed where that broadcasts; steps to none."""
    (dx, dy) = gradients(lambda x, y: F.where(x > y, 3 * x, y), X, Y[:, :1])
    assert dx is not None
    assert dy is not None
    np.testing.assert_array_equal(dx, 3 * (Y[:, :1] < X))
    np.testing.assert_array_equal(dy, (Y[:, :1] >= X).sum(1, keepdims=True))
    for step in (F.floor, F.ceil, F.round, F.sign, lambda x: x > 0.5, lambda x: F.where(x, 1, 2)):
        assert gradients(step, X) == [None]
    (through,) = gradients(lambda x: x * (x > 0.5), X)
    assert through is not None
    np.testing.assert_array_equal(through, X > 0.5)
    (most,) = gradients(lambda x: F.maximum(x, 0.5), X)
    assert most is not None
    np.testing.assert_array_equal(most, X >= 0.5)


def test_what_is_refused() -> None:
    """No tensor at all, other things, numbers beyond float32, shapes that do not broadcast."""
    trace = nn.Trace()
    text, number = cast("Any", "1"), cast("Any", 1.0)
    x, y = trace.input("dataset", "x", (4,)), trace.input("dataset", "y", (3,))
    refused: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: F.add(1.0, 2.0), "x", "add takes a tensor at least; got numbers alone"),
        (lambda: F.subtract(x, text), "y", "sub takes tensors of a trace; got str"),
        (lambda: F.less(x, text), "y", "less takes tensors of a trace; got str"),
        (lambda: x <= text, "other", "less_equal takes tensors of a trace; got str"),
        (lambda: F.where(number, x, x), "condition", "where takes tensors of a trace; got float"),
        (lambda: F.maximum(x, 1e300), "y", "must be a number of float32"),
        (lambda: F.greater(x, nn.Trace().images((4,))), "y", "tensors of one trace"),
        (lambda: 1 if x > 0 else 2, "self", "neither true nor false"),
    ]  # fmt: skip
    for call, argument, rule in refused:
        with pytest.raises(ArgumentError, match=rule) as caught:
            call()
        assert caught.value.argument == argument
    with pytest.raises(ShapeError, match="must be equal or 1"):
        F.less(x, y)
