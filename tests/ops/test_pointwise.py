"""Element by element: values beside SciPy's, special values, broadcasting and its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import special

import isoconv.ops as ops
from isoconv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation
from isoconv.ops.interpret import interpret
from isoconv.ops.reduce import reduce_like

NAN, INF = math.nan, math.inf


def run(op: str, *arrays: Any, attrs: Any = None, dtype: str = "float32") -> Array:
    """The reference of an operation on values of one dtype."""
    given = [np.asarray(array, dtype) for array in arrays]
    return operation(op).reference(attrs, *given, images=len(given[0]))


# -- values beside an outside oracle ---------------------------------------------------------

ORACLES = {
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "round": np.rint,
    "sign": np.sign,
    "erf": special.erf,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "gelu_tanh": lambda x: x * special.expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "relu": lambda x: np.maximum(x, 0),
    "square": lambda x: x**2,
    "neg": lambda x: -x,
    "abs": np.abs,
}
POSITIVE_ORACLES = {
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1 / x,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers(dtype: str) -> None:
    """With an exponent for each element, and with one for all."""
    x, y = np.exp(np.linspace(-6, 6, 201)), np.linspace(7, -5, 201)
    x, y = x.astype(dtype), y.astype(dtype)
    expected = x.astype(np.float64) ** y.astype(np.float64)
    tolerance = 1e-7 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(run("power", x, y, dtype=dtype), expected, rtol=tolerance)
    found = run("raised", x, attrs=ops.Constant(0.1), dtype=dtype)
    np.testing.assert_array_equal(found, run("power", x, np.full_like(y, 0.1), dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", sorted(ORACLES | POSITIVE_ORACLES))
def test_values(op: str, dtype: str) -> None:
    """Each function agrees with NumPy's or SciPy's to the precision of its dtype."""
    x = np.linspace(-6, 6, 201).astype(dtype)
    x = np.exp(x) if op in POSITIVE_ORACLES else x
    expected = (ORACLES | POSITIVE_ORACLES)[op](x.astype(np.float64))
    tolerance = 1e-7 if dtype == "float32" else 5e-13
    np.testing.assert_allclose(run(op, x, dtype=dtype), expected, rtol=tolerance, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trigonometric_and_hyperbolic_functions(dtype: str) -> None:
    """Near 0 and at the ends of what they take they are accurate, and beyond NaN."""
    small, most = np.finfo(dtype).tiny, np.finfo(dtype).max
    both = np.array([-INF, -most, -3, -1e-5, -small, -0.0, 0, small, 1e-5, 3, most, INF, NAN])
    inside = np.array([-1.5, -1, -0.9, -1e-6, -0.0, 0, 1e-6, 0.5, 1 - 1e-6, 1, 1.5, NAN])
    above = np.array([-2, 0, 1 - 1e-6, 1, 1 + 1e-6, 1.5, 3e8, most, INF, NAN])
    cases: dict[str, tuple[Any, Array]] = {
        "sin": (np.sin, both), "cos": (np.cos, both), "tan": (np.tan, both),
        "sinh": (np.sinh, both), "cosh": (np.cosh, both), "asinh": (np.arcsinh, both),
        "atan": (np.arctan, both), "asin": (np.arcsin, inside), "acos": (np.arccos, inside),
        "atanh": (np.arctanh, inside), "acosh": (np.arccosh, above),
    }  # fmt: skip
    tolerance = 1.2e-7 if dtype == "float32" else 1e-15
    for op, (oracle, values) in cases.items():
        x = values.astype(dtype)
        with np.errstate(all="ignore"):
            found = run(op, x, dtype=dtype)
            wanted = oracle(x.astype(np.float64)).astype(dtype)
        np.testing.assert_allclose(found, wanted, rtol=tolerance, err_msg=op)
        assert (np.signbit(found) == np.signbit(wanted))[~np.isnan(wanted)].all(), op


def test_binary_cross_entropy() -> None:
    """It is -(z log s + (1 - z) log(1 - s)) with s = sigmoid(x), and stays finite far out."""
    x, z = np.linspace(-8, 8, 41), np.linspace(0, 1, 41)
    s = special.expit(x)
    expected = -(z * np.log(s) + (1 - z) * np.log1p(-s))
    np.testing.assert_allclose(run("bce_with_logits", x, z, dtype="float64"), expected, rtol=1e-12)
    assert run("bce_with_logits", [500, -500], [0, 0]).tolist() == [500, 0]


def test_constants_are_rounded_to_the_dtype() -> None:
    """0.1 is another number in float32 than in float64."""
    x = np.array([3.0])
    assert run("scale", x, attrs=ops.Constant(0.1))[0] == np.float32(3) * np.float32(0.1)
    assert run("offset", x, attrs=ops.Constant(0.1), dtype="float64")[0] == 3 + 0.1
    y = run("leaky_relu", -x, attrs=ops.LeakyRelu(0.1))
    assert y.dtype == np.float32
    assert y[0] == np.float32(-3) * np.float32(0.1)


# -- special values --------------------------------------------------------------------------


def same(actual: Array, expected: list[float]) -> None:
    """Equal, NaN where NaN, zeros of the same sign."""
    np.testing.assert_array_equal(actual, expected)
    numbers = ~np.isnan(actual)
    assert (np.signbit(actual) == np.signbit(expected))[numbers].all()


def test_numbers_in_lists_stay_finite() -> None:
    """Weights of taps and of classes are no infinities of float32."""
    b = GraphBuilder()
    x, label = b.input("dataset", "x", (2,)), b.input("dataset", "label", (), "int32")
    taps = (((0, -1e300), (1, 1.0)),)
    with pytest.raises(ArgumentError, match="resample: taps must be a number of float32"):
        b.add("resample", x, attrs=ops.Resample(-1, taps))
    with pytest.raises(ArgumentError, match=r"lookup: values must be .* got 1e\+39"):
        b.add("lookup", label, attrs=ops.Lookup((1.0, 1e39)))
    b.add("lookup", label, attrs=ops.Lookup((1.0, 1e39), "float64"))


def test_relu_special_values() -> None:
    """NaN goes through; both zeros become +0.0; the gradient at 0 and at NaN is 0."""
    x = [-INF, -1, -0.0, 0.0, 2, INF, NAN]
    same(run("relu", x), [0, 0, 0, 0, 2, INF, NAN])
    same(run("relu_grad", x, [5] * 7), [0, 0, 0, 0, 5, 5, 0])


def test_leaky_relu_special_values() -> None:
    """Zero keeps its sign, NaN stays."""
    slope = ops.LeakyRelu(0.5)
    same(run("leaky_relu", [-4, -0.0, 0.0, 3, NAN], attrs=slope), [-2, -0.0, 0, 3, NAN])
    same(run("leaky_relu_grad", [-4, 0, 3], [6, 6, 6], attrs=slope), [3, 3, 6])


@pytest.mark.parametrize(
    ("bounds", "wanted", "inside"),
    [
        ((-1, 2), [-1, -1, -0.0, 0.0, 1, 2, 2, NAN], [2, 3, 4]),
        ((0.0, INF), [0, 0, -0.0, 0.0, 1, 2, INF, NAN], [4, 5]),
        ((-0.0, 1), [0, 0, -0.0, 0.0, 1, 1, 1, NAN], []),
        ((-INF, 1), [-INF, -1, -0.0, 0.0, 1, 1, 1, NAN], [1, 2, 3]),
        ((2, -1), [-1, -1, -1, -1, -1, -1, -1, NAN], []),
    ],
)
def test_clip_special_values(
    bounds: tuple[float, float], wanted: list[float], inside: list[int]
) -> None:
    """A bound of -0.0 is 0.0, the greatest wins, NaN stays; no gradient at a bound or at NaN."""
    attrs = ops.Bounds(*bounds)
    y = run("clip", [-INF, -1, -0.0, 0.0, 1, 2, INF, NAN], attrs=attrs)
    same(y, wanted)
    found = run("clip_grad", y, [5] * 8, attrs=attrs)
    same(found, [5 if place in inside else 0 for place in range(8)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out(dtype: str) -> None:
    """Activations are lines or end, however large x is; nothing overflows on the way."""
    x = [-1e30, -200.0, 200.0, 1e30]
    ends: dict[str, tuple[Any, list[float], list[float]]] = {
        "gelu_tanh": (None, [0, 0, 200, 1e30], [0, 0, 1, 1]),
        "hardswish": (None, [0, 0, 200, 1e30], [0, 0, 1, 1]),
        "mish": (None, [0, 0, 200, 1e30], [0, 0, 1, 1]),
        "softplus": (ops.Softplus(2.0, 20.0), [0, 0, 200, 1e30], [0, 0, 1, 1]),
        "softsign": (None, [-1, -200 / 201, 200 / 201, 1], [0, 1 / 201**2, 1 / 201**2, 0]),
        "elu": (ops.Elu(3.0, 2.0, 0.5), [-2, -2, 600, 3e30], [0, 0, 3, 3]),
    }
    for op, (attrs, values, slopes) in ends.items():
        found = run(op, x, attrs=attrs, dtype=dtype)
        np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-80, err_msg=op)
        found = run(f"{op}_grad", x, [1] * 4, attrs=attrs, dtype=dtype)
        np.testing.assert_allclose(found, slopes, rtol=1e-6, atol=1e-40, err_msg=op)


def test_softplus_and_elu() -> None:
    """The logarithm's corner and where the line begins; both branches, and -0.0 with its sign."""
    x = np.array([-30, -1, -0.0, 0, 1, 2.4, 2.6])
    attrs = ops.Softplus(2.0, 5.0)
    wanted = np.where(x < 2.5, np.log1p(np.exp(2 * x)) / 2, x)
    np.testing.assert_allclose(run("softplus", x, attrs=attrs, dtype="float64"), wanted, rtol=1e-14)
    bent = ops.Elu(1.5, 2.0, 0.5)
    wanted = np.where(x > 0, 1.5 * x, 2 * np.expm1(x / 2))
    found = run("elu", x, attrs=bent, dtype="float64")
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert np.signbit(found).tolist() == [True, True, True, False, False, False, False]


def test_steps() -> None:
    """NaN is equal to nothing and has no sign; zeros are equal and keep theirs; ties go to even."""
    x, y = [1, 2, NAN, -0.0, INF, NAN], [2, 2, 1, 0.0, INF, NAN]
    same(run("greater", y, x), [1, 0, 0, 0, 0, 0])
    same(run("greater_equal", x, y), [0, 1, 0, 1, 1, 0])
    same(run("equal", x, y), [0, 1, 0, 1, 1, 0])
    same(run("where", [0, -0.0, 2, NAN], [5] * 4, [7] * 4), [7, 7, 5, 5])
    same(run("sign", [-INF, -3, -0.0, 0.0, 1e-45, NAN]), [-1, -1, -0.0, 0, 1, NAN])
    ties = [-2.5, -1.5, -0.5, -0.2, -0.0, 0.5, 0.7, 1.5, 2.5, 2**23 + 1, -INF, NAN]
    same(run("round", ties), [-2, -2, -0.0, -0.0, -0.0, 0, 1, 2, 2, 2**23 + 1, -INF, NAN])
    same(run("floor", ties), [-3, -2, -1, -1, -0.0, 0, 0, 1, 2, 2**23 + 1, -INF, NAN])


def test_maximum_and_minimum() -> None:
    """NaN propagates from either side; of equals the first wins."""
    x, y = [1, 5, NAN, 1, -0.0, 0.0], [2, 3, 1, NAN, 0.0, -0.0]
    same(run("maximum", x, y), [2, 5, NAN, NAN, -0.0, 0.0])
    same(run("minimum", x, y), [1, 3, NAN, NAN, -0.0, 0.0])


def gradients(
    op: str, x: list[float], y: list[float] | None = None, attrs: Any = None
) -> list[list[float]]:
    """The gradients of a sum of results by the operands."""
    from isoconv.graph.autodiff import differentiate

    b = GraphBuilder()
    given = {"x": x} if y is None else {"x": x, "y": y}
    sources = [b.input("parameter", name, (len(x),)) for name in given]
    dz = b.input("parameter", "dz", (len(x),))
    found = differentiate(b, {b.add(op, *sources, attrs=attrs): dz}, sources)
    graph = b.graph([(str(i), found[source]) for i, source in enumerate(sources)])
    arrays = {name: np.array(values, np.float32) for name, values in given.items()}
    results = interpret(graph, arrays | {"dz": np.ones(len(x), np.float32)}, 1)
    return [results[str(i)].tolist() for i in range(len(sources))]


def test_gradient_of_equals() -> None:
    """The first of two equal operands takes the whole gradient."""
    assert gradients("maximum", [1, 2, 3], [2, 2, 2]) == [[0, 1, 1], [1, 0, 0]]
    assert gradients("minimum", [1, 2, 3], [2, 2, 2]) == [[1, 1, 0], [0, 0, 1]]


def test_gradient_of_abs_at_zero() -> None:
    """The sign of x, and 0 at 0."""
    assert gradients("abs", [-3, 0, 2]) == [[-1, 0, 1]]


def test_gradient_of_powers_at_zero() -> None:
    """At x = 0 neither gradient is NaN where x^y is finite: y x^(y-1), and 0 by y."""
    by_x, by_y = gradients("power", [0, 0, 0, 0, 2, -3], [0, 0.5, 1, 2, 0, 2])
    same(np.array(by_x), [0, INF, 1, 0, 0, -6])
    same(np.array(by_y[:4]), [0, 0, 0, 0])
    np.testing.assert_allclose(by_y[4], np.log(2), rtol=1e-6)
    assert np.isnan(by_y[5])


def test_gradient_of_constant_powers_at_zero() -> None:
    """The slope of x^0 is 0 and that of x^1 is 1, also at 0."""
    for value, expected in (
        (0.0, [0, 0]),
        (1.0, [1, 1]),
        (2.0, [0, 6]),
        (0.5, [INF, 0.5 / 3**0.5]),
    ):
        found = gradients("raised", [0, 3], attrs=ops.Constant(value))
        np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_overflow_is_no_error() -> None:
    """Results out of range are infinities, as IEEE 754 has it, without a warning."""
    assert run("exp", [1000.0]).tolist() == [INF]
    assert run("mul", [3e38], [10.0]).tolist() == [INF]
    assert run("div", [1.0, 0.0], [0.0, 0.0])[0] == INF
    wide = operation("convert").reference(ops.Convert("float32"), np.array([1e300]), images=1)
    assert wide.tolist() == [INF]


# -- broadcasting ----------------------------------------------------------------------------


def test_broadcast_refused() -> None:
    """Shapes that do not fit are named."""
    with pytest.raises(ShapeError) as caught:
        operation("add").infer(None, TensorSpec((4, 4, 3)), TensorSpec((3, 3), batched=False))
    assert str(caught.value) == (
        "add: the sides of each axis, from the last on, must be equal or 1; "
        "got x float32(N, 4, 4, 3), y float32(3, 3)"
    )


def test_batched_operand_of_fewer_axes_refused() -> None:
    """Images must not be mistaken for rows."""
    with pytest.raises(ShapeError, match="must have all axes of the result; reshape it first"):
        operation("mul").infer(None, TensorSpec((4, 4, 3)), TensorSpec((3,)))


def test_reduce_like_refuses_what_cannot_be() -> None:
    """A cotangent smaller than its operand is a fault."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    with pytest.raises(GraphError, match="is no broadcast result of"):
        reduce_like(b, x, TensorSpec((4,)))


@pytest.mark.parametrize("op", ["relu_grad", "gelu_grad", "bce_with_logits"])
def test_unequal_shapes_refused(op: str) -> None:
    """Operations with shapes that must be equal say so."""
    with pytest.raises(ShapeError, match=f"^{op}: .* must have one shape"):
        operation(op).infer(None, TensorSpec((3,)), TensorSpec((4,)))


def test_convert_goes_to_floats() -> None:
    """Results are floats."""
    with pytest.raises(ArgumentError, match="dtype must be float32 or float64; got 'int32'"):
        ops.Convert("int32")


def test_mixed_precision_refused() -> None:
    """There is no silent conversion."""
    with pytest.raises(DTypeError) as caught:
        operation("add").infer(None, TensorSpec((3,)), TensorSpec((3,), "float64"))
    assert str(caught.value) == (
        "add: x and y must have one dtype; got x float32(N, 3), y float64(N, 3)"
    )


# -- dropout ---------------------------------------------------------------------------------


def drop(rate: float, samples: list[int], key: list[int], dtype: str = "float32") -> Array:
    """Dropout of ones, 100 elements an image."""
    x = np.ones((len(samples), 10, 10), dtype)
    numbers = np.array(samples, np.int64), np.array(key, np.int64)
    return operation("dropout").reference(ops.Dropout(rate, 3), x, *numbers, images=len(samples))


def test_dropout_keeps_the_mean() -> None:
    """About `rate` of the elements are dropped, the others grow by 1 / (1 - rate)."""
    y = drop(0.25, list(range(50)), [9, 1])
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(np.mean(y == 0) - 0.25) < 0.02
    np.testing.assert_array_equal(drop(0.0, [1], [9, 1]), 1)


def test_dropout_depends_on_names_alone() -> None:
    """A sample's mask is the same in any batch and dtype; sample, epoch and seed change it."""
    two = drop(0.5, [4, 7], [9, 1])
    np.testing.assert_array_equal(two[1:], drop(0.5, [7], [9, 1]))
    np.testing.assert_array_equal(two == 0, drop(0.5, [4, 7], [9, 1], "float64") == 0)
    for other in (drop(0.5, [5], [9, 1]), drop(0.5, [4], [9, 2]), drop(0.5, [4], [8, 1])):
        assert (other != two[:1]).any()


def test_dropout_takes_seeds_of_64_bits() -> None:
    """A seed above 2^63 arrives as a negative int64."""
    assert (drop(0.5, [4], [-1, 1]) != drop(0.5, [4], [9, 1])).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0, NAN])
def test_dropout_rate(rate: float) -> None:
    """A rate of 1 would drop everything."""
    with pytest.raises(ArgumentError, match="rate must be at least 0 and below 1; got"):
        ops.Dropout(rate, 0)


def test_dropout_stream() -> None:
    """Streams have 16 bits."""
    with pytest.raises(ArgumentError, match="stream must be at least 0 and below 65536; got 65536"):
        ops.Dropout(0.5, 1 << 16)


def test_dropout_inputs() -> None:
    """The key is (seed, epoch)."""
    key = TensorSpec((3,), "int64", batched=False)
    with pytest.raises(ShapeError, match=r"samples must have shape \(\) and key \(seed, epoch\)"):
        operation("dropout").infer(
            ops.Dropout(0.5, 0), TensorSpec((4,)), TensorSpec((), "int64"), key
        )
