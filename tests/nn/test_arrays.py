"""Functions on arrays: what they take, and one gradient for each float array."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.nn.array_calls import CASES, normal

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, DataError, DTypeError, IsoconvError, ShapeError
from isoconv.graph.operation import Array
from isoconv.nn import Trace


@pytest.mark.parametrize("name", CASES)
def test_the_arguments_are_those_on_tensors(name: str) -> None:
    """A function on arrays has the names, order, defaults and types of its namesake on tensors."""
    own = inspect.signature(getattr(ic, name))
    other = inspect.signature(getattr(nn.functional, name))
    on_arrays = {"Tensor": "ArrayLike", "Tensor | None": "ArrayLike | None",
                 "Tensor | float": "ArrayLike"}  # fmt: skip
    wanted = [
        each.replace(annotation=on_arrays.get(each.annotation, each.annotation))
        for each in other.parameters.values()
    ]
    assert list(own.parameters.values()) == wanted
    assert own.return_annotation == "Array"


@pytest.mark.parametrize("name", CASES)
def test_help(name: str) -> None:
    """`help` shows each argument, what comes back, what is raised and an example."""
    text = inspect.getdoc(getattr(ic, name)) or ""
    for part in ("Args:", "Input shape:", "Output shape:", "Raises:", "Example:", f"ic.{name}("):
        assert part in text, part
    for argument in inspect.signature(getattr(ic, name)).parameters:
        assert f"\n    {argument}: " in text, argument


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_for_each_float_array(name: str) -> None:
    """In float64 each is the slope of the function's own result along a random direction."""
    function = getattr(ic, name)
    given, settings = CASES[name]
    result = function(*given, **settings)
    cotangent = np.random.default_rng(7).standard_normal(result.shape)
    found = ic.gradients(function, cotangent, *given, **settings)
    floats = [i for i, array in enumerate(given) if isinstance(array, np.ndarray)]
    assert [a.shape for a in found] == [given[i].shape for i in floats]
    assert all(a.dtype == np.float64 for a in found)
    step = 1e-6
    for i, gradient in zip(floats, found, strict=True):
        direction = np.random.default_rng(i).standard_normal(given[i].shape)

        def loss(distance: float, i: int = i, direction: Array = direction) -> float:
            moved = [a + distance * direction if j == i else a for j, a in enumerate(given)]
            return math.fsum((function(*moved, **settings) * cotangent).ravel())

        slope = (loss(step) - loss(-step)) / (2 * step)
        assert math.fsum((gradient * direction).ravel()) == pytest.approx(slope, rel=1e-6)


def test_gradients_by_given_statistics() -> None:
    """By hand: dL/dmean = -γ Σ dy / σ, and dL/dvariance = -γ/2 Σ dy (x - mean) / σ³."""
    x = np.array([[1, 2], [3, 6]], np.float32)
    mean, variance = np.array([2, 2], np.float32), np.array([4, 16], np.float32)
    gamma, beta = np.array([3, 5], np.float32), np.array([0, 1], np.float32)
    dy = np.array([[1, 1], [2, 1]], np.float32)
    found = ic.gradients(ic.batch_norm, dy, x, mean, variance, gamma, beta, eps=0.0)
    by_x, by_mean, by_variance, by_gamma, by_beta = found
    np.testing.assert_array_equal(by_x, [[1.5, 1.25], [3, 1.25]])
    np.testing.assert_array_equal(by_mean, [-4.5, -2.5])
    np.testing.assert_array_equal(by_variance, [-3 / 16, -5 / 32])
    np.testing.assert_array_equal(by_gamma, [0.5, 1])
    np.testing.assert_array_equal(by_beta, [3, 2])


def test_no_gradient_is_zeros() -> None:
    """Statistics of x itself have no gradient of their own: dx holds their share."""
    x = normal(4, 3).astype(np.float32)
    mean, variance = x.mean(0), x.var(0)
    given = (x, mean, variance, np.ones(3, np.float32), np.zeros(3, np.float32))
    found = ic.gradients(ic.batch_norm, np.ones_like(x), *given, own_statistics=True)
    assert [a.shape for a in found] == [(4, 3), (3,), (3,), (3,), (3,)]
    for array in found[1:3]:
        assert array.dtype == np.float32
        assert not array.any()
        array[...] = 1  # the caller's own
    # Moved by a constant, x has the same result: its gradient adds up to nothing.
    np.testing.assert_allclose(found[0].sum(0), 0, atol=1e-6)


X = np.arange(48, dtype=np.float32).reshape(2, 4, 3, 2)
W = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2)


class Foreign:
    """An array of another library, as far as NumPy can tell."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: None = None, copy: None = None) -> Array:
        return self.array


@pytest.mark.parametrize(
    "other",
    [
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a[::-1].copy()[::-1],
        np.asfortranarray,
        lambda a: np.ma.masked_array(a, mask=False),
        Foreign,
    ],
    ids=["byte order", "strided", "backwards", "columns", "nothing masked", "foreign"],
)
def test_arrays_of_every_layout(other: Callable[[Array], Any]) -> None:
    """The same numbers give the same bits, however they lie and whoever holds them."""
    wanted = ic.conv2d(X, W)
    np.testing.assert_array_equal(ic.conv2d(other(X), other(W)), wanted)
    dx, dw = ic.gradients(ic.conv2d, other(wanted), other(X), other(W))
    plain_dx, plain_dw = ic.gradients(ic.conv2d, wanted, X, W)
    np.testing.assert_array_equal(dx, plain_dx)
    np.testing.assert_array_equal(dw, plain_dw)


def test_arrays_that_cannot_be_written() -> None:
    """They are read, and stay as they are."""
    fixed = X.copy()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(ic.relu(fixed), X)


def test_lists() -> None:
    """Lists are the arrays that NumPy makes of them; a matrix is an array of two axes."""
    found = ic.softmax([[0.0, 0.0], [1.0, 1.0]])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(ic.conv2d(X.tolist(), W.tolist()), ic.conv2d(X, W))
    with pytest.warns(PendingDeprecationWarning):
        x = np.asmatrix([[1.0, -2.0]])
    np.testing.assert_array_equal(ic.relu(x), [[1, 0]])


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16, np.int64, np.uint64, bool, ">i4"])
def test_labels(kind: type[Any] | str) -> None:
    """Class numbers of every whole kind are taken, and a list of them."""
    logits = np.array([[1, 2], [3, -1], [0, 0]], np.float32)
    labels = [1, 0, 1] if kind is list else np.array([1, 0, 1], kind)
    wanted = ic.cross_entropy(logits, np.array([1, 0, 1], np.int32))
    np.testing.assert_array_equal(ic.cross_entropy(logits, labels), wanted)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 2], DataError, r"0 … 1, one for each logit; label 1 is 2"),
        ([-1, 0], DataError, r"label 0 is -1"),
        ([2**40, 0], DataError, rf"label 0 is {2**40}"),
        ([0.0, 1.0], DTypeError, "labels must be whole numbers; got float64"),
        ([[0], [1]], ShapeError, r"labels int32\(N, 1\)"),
        (["a", "b"], DTypeError, r"labels must be an array of real numbers; got <U1 of shape"),
        ([0], ShapeError, "same number of images"),
    ],
)
def test_wrong_labels(labels: list[Any], error: type[IsoconvError], message: str) -> None:
    """A label that names no class is refused before a kernel looks it up."""
    with pytest.raises(error, match=message):
        ic.cross_entropy(np.zeros((2, 2), np.float32), labels)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0], [1.0, 2.0]], ShapeError, "x must be an array, or lists of equal lengths"),
        (np.array([None, 1]), DTypeError, r"real numbers; got object of shape \(2,\)"),
        ("photo.png", DTypeError, r"real numbers; got 'photo.png'"),
        (np.ones((1, 2), complex), DTypeError, "complex128"),
        (np.ones((1, 2), np.float16), DTypeError, "float32 or float64; got .*float16"),
        (np.ones((1, 2), np.longdouble), DTypeError, "float32 or float64; got"),
        (np.ones((1, 2), "m8[s]"), DTypeError, "real numbers; got timedelta64"),
        ([[1, 2]], DTypeError, "x must be float32 or float64; got x int64"),
        (np.float32(3), ShapeError, "must lead with an axis of images"),
        (np.ones((1, 0), np.float32), ShapeError, r"sides of at least 1.*; got shape \(1, 0\)"),
        (np.ma.masked_array([[1.0, 2.0]], [[True, False]]), DTypeError, "masked elements"),
        (Trace().images((3,)), ArgumentError, r"relu on arrays .* is nn\.functional\.relu"),
    ],
)
def test_what_is_no_array(x: Any, error: type[IsoconvError], message: str) -> None:
    """Everything else is refused by name, rule and what was given."""
    with pytest.raises(error, match=message):
        ic.relu(x)


def test_no_channels() -> None:
    """Nothing is divided by channels that are not there."""
    with pytest.raises(ShapeError, match="x must have sides of at least 1"):
        ic.conv2d(X[..., :0], W[:, :, :0])
    with pytest.raises(ShapeError, match="weight must have sides of at least 1"):
        ic.conv2d(X, W[..., :0])


def test_no_images() -> None:
    """No images give no results, and weights whose gradient is zero."""
    assert ic.conv2d(X[:0], W).shape == (0, 3, 2, 2)
    dx, dw = ic.gradients(ic.conv2d, np.zeros((0, 3, 2, 2)), X[:0], W)
    assert dx.shape == (0, 4, 3, 2)
    np.testing.assert_array_equal(dw, np.zeros_like(W))


def test_settings_of_numpy() -> None:
    """Settings may be NumPy's numbers and flags."""
    wanted = ic.conv2d(X, W, stride=(1, 2), padding=1, flip=True)
    settings: dict[str, Any] = {
        "stride": (np.int32(1), 2), "padding": np.uint8(1), "flip": np.bool_(True)
    }  # fmt: skip
    found = ic.conv2d(X, W, **settings)
    np.testing.assert_array_equal(found, wanted)
    settings = {"kernel_size": np.int64(2), "stride": np.array(1), "ceil_mode": np.False_}
    found = ic.max_pool2d(X, **settings)
    np.testing.assert_array_equal(found, ic.max_pool2d(X, 2, stride=1))
    np.testing.assert_array_equal(ic.power(X, np.float32(2)), X * X)
    np.testing.assert_array_equal(
        ic.leaky_relu(-X, np.float64(0.25)), ic.leaky_relu(-X, slope=0.25)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": True}, "stride must be a whole number or 2 of them; got True"),
        ({"stride": 2.0}, r"stride must be a whole number or 2 of them; got 2\.0"),
        ({"padding": "full"}, "padding must be .*; got 'full'"),
        ({"padding": np.array([1, 1])}, r"padding must be .*; got array\(\[1, 1\]\)"),
        ({"groups": 1.5}, r"groups must be a whole number of at least 1; got 1\.5"),
        ({"flip": 1}, "flip must be True or False; got 1"),
        ({"algorithm": None}, "algorithm must be one of direct, winograd; got None"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    """Settings of a wrong kind are refused, not read as numbers or flags."""
    with pytest.raises(ArgumentError, match=message):
        ic.conv2d(X, W, **settings)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_settings_that_are_not_finite(value: float) -> None:
    """Where a finite number is expected no other is taken."""
    with pytest.raises(ArgumentError, match="slope must be a finite number"):
        ic.leaky_relu(X, value)
    with pytest.raises(ArgumentError, match="eps must be a finite number at least 0"):
        ic.batch_norm(X, *(np.ones(2, np.float32),) * 4, eps=value)


@pytest.mark.parametrize("function", [np.tanh, "relu", None, ic.output_size, ic.nn.functional.relu])
def test_gradients_of_other_functions(function: Any) -> None:
    """Only a function on arrays has gradients on arrays."""
    with pytest.raises(ArgumentError, match="gradients takes a function of isoconv on arrays; got"):
        ic.gradients(function, X, X)


def test_wrong_cotangents() -> None:
    """A cotangent has the result's shape and holds numbers."""
    with pytest.raises(ShapeError, match=r"grad_output must have shape \(2, 4, 3, 2\); got \(\)"):
        ic.gradients(ic.relu, 1.0, X)
    with pytest.raises(DTypeError, match="grad_output must be an array of real numbers; got None"):
        ic.gradients(ic.relu, None, X)  # type: ignore[arg-type]
