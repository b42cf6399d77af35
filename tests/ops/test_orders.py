"""The orders of docs/arithmetic.md, spelled out: whatever is computed in another one is found.

What stands on the right of each comparison is written as the document writes it, one rounded
operation after the other, and on numbers of many sizes, on which another order gives other bits.
"""

# ruff: noqa: ARG005 - all rules of a table are called alike
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.run.graphs import numbers

import isoconv.ops as ops
from isoconv.arithmetic import elementary
from isoconv.arithmetic.fma import fma
from isoconv.arithmetic.philox import Purpose, uniform32
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import Array, operation
from isoconv.ops.interpret import interpret

IMAGES = 3


def run(op: str, *arrays: Array, attrs: Any = None, images: int | None = None) -> Array:
    """The reference of an operation."""
    return operation(op).reference(attrs, *arrays, images=len(arrays[0]) if images is None
                                   else images)  # fmt: skip


def same(found: Any, wanted: Any) -> None:
    """Equal bits, in one dtype and shape."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    assert found.tobytes() == wanted.tobytes()


def eight(values: Array) -> Array:
    """The sum over the first axis in eight partial sums."""
    p: list[Array] = [np.zeros(values.shape[1:], values.dtype) for _ in range(8)]
    for i, value in enumerate(values):
        p[i % 8] = p[i % 8] + value
    total: Array = ((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7]))
    return total


# Sums -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "arrange"),
    [
        (ops.Sum(1, False), lambda x: x.reshape(-1, 5)),
        (ops.Sum(0, False), lambda x: x.reshape(-1)),
        (ops.Sum(1, True), lambda x: x.reshape(IMAGES, -1, 5).swapaxes(0, 1)),
        (ops.Sum(0, True), lambda x: x.reshape(IMAGES, -1).swapaxes(0, 1)),
    ],
)
def test_reductions(attrs: ops.Sum, arrange: Callable[[Array], Array]) -> None:
    """Eight partial sums over hundreds of elements: the images first, then row-major."""
    x = numbers((IMAGES, 13, 17, 5))
    same(run("sum", x, attrs=attrs), eight(arrange(x)))


def test_average_of_a_window() -> None:
    """From +0.0 in row-major order, then one division."""
    window = ops.WindowGeometry((3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x = numbers((1, 5, 4, 2))
    found = run("avg_pool", x, attrs=ops.AvgPool(window))
    for p, q in np.ndindex(3, 3):
        total = np.zeros(2, np.float32)
        for m, n in np.ndindex(3, 2):
            total = total + x[0, p + m, q + n]
        same(found[0, p, q], total / np.float32(6))


def test_gradient_of_averages() -> None:
    """From +0.0, dy / count of every window that covers the input, by kernel position."""
    window = ops.WindowGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    dy = numbers((1, 4, 4, 2))
    found = run("avg_pool_grad", dy, attrs=ops.AvgPoolGrad(window, False, (4, 4)))
    inside = [min(p + 1, 3) - max(p - 1, 0) + 1 for p in range(4)]
    for i, j in np.ndindex(4, 4):
        total = np.zeros(2, np.float32)
        for m, n in np.ndindex(3, 3):
            p, q = i + 1 - m, j + 1 - n
            if 0 <= p < 4 and 0 <= q < 4:
                total = total + dy[0, p, q] / np.float32(inside[p] * inside[q])
        same(found[0, i, j], total)


# Batch normalisation ----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_batch_normalisation(training: bool) -> None:
    """Forward and backward, each operation rounded; with the share of the statistics or without."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (5, 4))
    names = ("mean", "inv", "gamma", "beta")
    given = [b.input("parameter", name, (4,)) for name in names]
    y = b.add("batch_norm", x, *given, attrs=ops.BatchNorm(training, 5))
    dy = b.input("dataset", "dy", (5, 4))
    flows = differentiate(b, {y: dy}, [x, given[2], given[3]])
    outputs = [("y", y), *((f"d{i}", flow) for i, flow in enumerate(flows.values()))]
    arrays = {name: numbers((4,), seed=i) for i, name in enumerate(names)}
    arrays |= {"x": numbers((IMAGES, 5, 4), seed=7), "dy": numbers((IMAGES, 5, 4), seed=8)}
    found = interpret(b.graph(outputs), arrays, IMAGES)
    mean, inv, gamma, beta = (arrays[name] for name in names)
    xhat = (arrays["x"] - mean) * inv
    same(found["y"], xhat * gamma + beta)
    dbeta = eight(arrays["dy"].reshape(-1, 4))
    dgamma = eight((arrays["dy"] * xhat).reshape(-1, 4))
    inner, m = arrays["dy"], np.float32(5 * IMAGES)
    if training:
        inner = (inner - dbeta / m) - xhat * (dgamma / m)
    same(found["d0"], (gamma * inv) * inner)
    same(found["d1"], dgamma)
    same(found["d2"], dbeta)


# Rows -------------------------------------------------------------------------------------------


def shifted(x: Array) -> tuple[Array, Array, Array]:
    """``d_i = x_i - m``, ``e_i = exp(d_i)`` and S of each row."""
    d = x - x.max(axis=1, keepdims=True)
    e = elementary.exp(d)
    return d, e, eight(e.T)[:, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_classes(dtype: str) -> None:
    """Softmax and its logarithm, and their gradients."""
    x, dy = numbers((IMAGES, 21), dtype), numbers((IMAGES, 21), dtype, seed=1)
    d, e, total = shifted(x)
    y = e / total
    same(run("softmax", x), y)
    same(run("softmax_grad", y, dy), y * (dy - eight((y * dy).T)[:, None]))
    log = d - elementary.log(total)
    same(run("log_softmax", x), log)
    same(run("log_softmax_grad", log, dy), dy - elementary.exp(log) * eight(dy.T)[:, None])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy(smoothing: float) -> None:
    """The label's surprise, or the targets' sum of all; and its gradient."""
    x, dy = numbers((IMAGES, 21)), numbers((IMAGES,), seed=1)
    labels = np.array([0, 20, 7], np.int32)
    d, e, total = shifted(x)
    target = np.full(x.shape, smoothing / 21)
    target[np.arange(IMAGES), labels] = (1 - smoothing) + smoothing / 21
    target = target.astype(np.float32)
    surprise = elementary.log(total) - d
    wanted = eight((target * surprise).T) if smoothing else surprise[np.arange(IMAGES), labels]
    attrs = ops.CrossEntropy(smoothing)
    same(run("cross_entropy", x, labels, attrs=attrs), wanted)
    slope = run("cross_entropy_grad", x, labels, dy, attrs=attrs)
    same(slope, (e / total - target) * dy[:, None])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy(dtype: type[Any]) -> None:
    """In float64, rounded at the end; the gradient is rounded before it meets dy."""
    x, z, dy = (numbers((400,), np.dtype(dtype).name, seed) for seed in (0, 1, 2))
    wide, target = x.astype(np.float64), z.astype(np.float64)
    tail = elementary.log1p(elementary.exp(-np.abs(wide)))
    wanted = (np.maximum(wide, 0) - wide * target) + tail
    same(run("bce_with_logits", x, z), wanted.astype(dtype))
    same(run("bce_grad", x, z, dy), (elementary.sigmoid(wide) - target).astype(dtype) * dy)


# Pointwise --------------------------------------------------------------------------------------

ONE, HALF, TWO, SIXTH = (np.float32(value) for value in (1, 0.5, 2, 1 / 6))


def where(condition: Array, value: Array) -> Array:
    """The value where the condition holds, else +0.0."""
    return np.where(condition, value, np.float32(0))


def hard(x: Array) -> Array:
    """Six times the gate of hardswish."""
    return np.clip(x + np.float32(3), np.float32(0), np.float32(6))


def wide_gelu(x: Array) -> Array:
    """Gelu's slope in float64."""
    bell = elementary.exp((-0.5 * x) * x)
    half = 0.5 * (1 + elementary.erf(x * 0.7071067811865476))
    slope: Array = half + x * (0.3989422804014327 * bell)
    return slope


def wide_gelu_tanh(x: Array) -> Array:
    """The slope in float64 of gelu's approximation."""
    t = np.clip(x, -32, 32)
    q = 0.044715 * (t * t)
    s = elementary.sigmoid(1.5957691216057308 * (t * (1 + q)))
    slope: Array = s * (1 + t * ((1 - s) * (1.5957691216057308 * (1 + 3 * q))))
    return slope


def wide_mish(x: Array) -> Array:
    """Mish's slope in float64."""
    e = elementary.exp(np.minimum(x, 40))
    n = e * (e + 2)
    t = n / (n + 2)
    slope: Array = t + x * ((1 - t * t) * (e / (e + 1)))
    return slope


def wide_silu(x: Array) -> Array:
    """Silu's slope in float64."""
    s = elementary.sigmoid(x)
    slope: Array = s * (1 + x * (1 - s))
    return slope


def wide(slope: Callable[[Array], Array], x: Array) -> Array:
    """A slope that is computed in float64 and rounded."""
    return slope(x.astype(float)).astype(np.float32)


SLOPES: dict[str, tuple[Any, Callable[[Array, Array, Array], Array]]] = {
    # name: settings, dx from x, y and dy
    "neg": (None, lambda x, y, dy: -dy),
    "abs": (None, lambda x, y, dy: where(x > 0, dy) - where(-x > 0, dy)),
    "square": (None, lambda x, y, dy: dy * (x * TWO)),
    "sqrt": (None, lambda x, y, dy: (dy * HALF) / y),
    "reciprocal": (None, lambda x, y, dy: -(dy * (y * y))),
    "exp": (None, lambda x, y, dy: dy * y),
    "log": (None, lambda x, y, dy: dy / x),
    "expm1": (None, lambda x, y, dy: dy * (y + ONE)),
    "log1p": (None, lambda x, y, dy: dy / (x + ONE)),
    "relu": (None, lambda x, y, dy: where(y > 0, dy)),
    "leaky_relu": (ops.LeakyRelu(0.3),
                   lambda x, y, dy: np.where(x > 0, dy, dy * np.float32(0.3))),
    "clip": (ops.Bounds(-0.3, 0.7),
             lambda x, y, dy: where((y > np.float32(-0.3)) & (y < np.float32(0.7)), dy)),
    "hardswish": (None, lambda x, y, dy: (
        hard(x) * SIXTH + where((hard(x) > 0) & (hard(x) < 6), x * SIXTH)) * dy),
    "sigmoid": (None, lambda x, y, dy: dy * (y * (-y + ONE))),
    "tanh": (None, lambda x, y, dy: dy * (-(y * y) + ONE)),
    "erf": (None, lambda x, y, dy: dy * (elementary.exp(-(x * x))
                                         * np.float32(1.1283791670955126))),
    "gelu": (None, lambda x, y, dy: wide_gelu(x.astype(float)).astype(np.float32) * dy),
    "silu": (None, lambda x, y, dy: wide_silu(x.astype(float)).astype(np.float32) * dy),
    "gelu_tanh": (None, lambda x, y, dy: wide_gelu_tanh(x.astype(float)).astype(np.float32) * dy),
    "mish": (None, lambda x, y, dy: wide_mish(x.astype(float)).astype(np.float32) * dy),
    "softplus": (ops.Softplus(0.7, 5.0), lambda x, y, dy: np.where(
        x.astype(float) * 0.7 > 5, 1, elementary.sigmoid(x.astype(float) * 0.7)
    ).astype(np.float32) * dy),
    "softsign": (None, lambda x, y, dy: (
        1 / ((1 + abs(x.astype(float))) * (1 + abs(x.astype(float))))).astype(np.float32) * dy),
    "elu": (ops.Elu(1.3, 0.8, 0.6), lambda x, y, dy: np.where(
        x > 0, 1.3, elementary.exp(x.astype(float) * 0.6) * (0.8 * 0.6)).astype(np.float32) * dy),
    "sin": (None, lambda x, y, dy: wide(elementary.cos, x) * dy),
    "cos": (None, lambda x, y, dy: wide(lambda v: -elementary.sin(v), x) * dy),
    "tan": (None, lambda x, y, dy: wide(
        lambda v: 1 + elementary.tan(v) * elementary.tan(v), x) * dy),
    "sinh": (None, lambda x, y, dy: wide(
        lambda v: 0.5 * (elementary.exp(abs(v)) + 1 / elementary.exp(abs(v))), x) * dy),
    "cosh": (None, lambda x, y, dy: wide(
        lambda v: np.sign(v) * 0.5 * (elementary.expm1(abs(v)) + elementary.expm1(abs(v))
                                      / (elementary.expm1(abs(v)) + 1)), x) * dy),
    "asinh": (None, lambda x, y, dy: wide(lambda v: 1 / np.sqrt(1 + v * v), x) * dy),
    "acosh": (None, lambda x, y, dy: wide(
        lambda v: 1 / (np.sqrt(v - 1) * np.sqrt(v + 1)), x) * dy),
    "atanh": (None, lambda x, y, dy: wide(lambda v: 1 / ((1 - v) * (1 + v)), x) * dy),
    "asin": (None, lambda x, y, dy: wide(lambda v: 1 / np.sqrt((1 - v) * (1 + v)), x) * dy),
    "acos": (None, lambda x, y, dy: wide(lambda v: -1 / np.sqrt((1 - v) * (1 + v)), x) * dy),
    "atan": (None, lambda x, y, dy: wide(lambda v: 1 / (1 + v * v), x) * dy),
    "scale": (ops.Constant(0.7), lambda x, y, dy: dy * np.float32(0.7)),
    "offset": (ops.Constant(0.7), lambda x, y, dy: dy),
    "raised": (ops.Constant(2.3), lambda x, y, dy: dy * (
        elementary.power(x, np.full_like(x, 2.3 - 1)) * np.float32(2.3))),
}  # fmt: skip
POSITIVE = {"sqrt", "log", "log1p", "raised"}


@pytest.mark.parametrize("op", SLOPES)
def test_gradients_of_one_value(op: str) -> None:
    """The rule of the table, operation by operation."""
    attrs, slope = SLOPES[op]
    x, dy = numbers((500,)) / 30, numbers((500,), seed=1)
    if op in POSITIVE:
        x = np.abs(x)
    b = GraphBuilder()
    source, seed = b.input("dataset", "x", ()), b.input("dataset", "dy", ())
    y = b.add(op, source, attrs=attrs)
    flow = differentiate(b, {y: seed}, [source])[source]
    found = interpret(b.graph([("y", y), ("dx", flow)]), {"x": x, "dy": dy}, 500)
    with np.errstate(all="ignore"):
        same(found["dx"], slope(x, found["y"], dy))


def by_power(x: Array, y: Array, z: Array, dz: Array) -> tuple[Array, Array]:
    """The gradients of x^y = z."""
    below = where(np.abs(y) > 0, y + -ONE)
    log = where(np.abs(x) > 0, elementary.log(x))
    return dz * (y * elementary.power(x, below)), dz * (z * log)


def by_choice(chosen: Array, dz: Array) -> tuple[Array, Array]:
    """The second takes dz where it is chosen, the first what is left."""
    second = where(chosen, dz)
    return dz - second, second


PAIRS: dict[str, Callable[[Array, Array, Array, Array], tuple[Array, Array]]] = {
    "add": lambda x, y, z, dz: (dz, dz),
    "sub": lambda x, y, z, dz: (dz, -dz),
    "mul": lambda x, y, z, dz: (dz * y, dz * x),
    "div": lambda x, y, z, dz: (dz / y, -((dz * z) / y)),
    "maximum": lambda x, y, z, dz: by_choice(y - x > 0, dz),
    "minimum": lambda x, y, z, dz: by_choice(x - y > 0, dz),
    "power": by_power,
}


@pytest.mark.parametrize("op", PAIRS)
def test_gradients_of_two_values(op: str) -> None:
    """So do the rules of two operands."""
    x, y, dz = numbers((500,)) / 30, numbers((500,), seed=1) / 30, numbers((500,), seed=2)
    if op == "power":
        x = np.abs(x)
    x[:50] = y[:50]
    b = GraphBuilder()
    sources = [b.input("dataset", name, ()) for name in "xy"]
    z = b.add(op, *sources)
    flows = differentiate(b, {z: b.input("dataset", "dz", ())}, sources)
    outputs = [("z", z), *((f"d{i}", flows[source]) for i, source in enumerate(sources))]
    with np.errstate(all="ignore"):
        found = interpret(b.graph(outputs), {"x": x, "y": y, "dz": dz}, 500)
        for i, wanted in enumerate(PAIRS[op](x, y, found["z"], dz)):
            same(found[f"d{i}"], wanted)


def test_dropout_keeps_from_its_rate_on() -> None:
    """An element whose number is the rate itself is kept; what is kept is x times a constant."""
    drawn = uniform32(9, Purpose.DROPOUT, 3, 1, 4, np.arange(100))
    rate = float(drawn[17])
    x = numbers((1, 100))
    key = np.array([9, 1], np.int64)
    found = run("dropout", x, np.array([4], np.int64), key, attrs=ops.Dropout(rate, 3))
    same(found[0], where(drawn >= drawn[17], x[0] * np.float32(1 / (1 - rate))))
    assert found[0, 17] != 0


# Winograd's convolution -------------------------------------------------------------------------

MAPS: dict[str, Callable[..., list[Array]]] = {
    "winograd_input": lambda a, b, c, d: [a - c, b + c, c - b, b - d],
    "winograd_weight": lambda a, b, c: [a, ((a + c) + b) * HALF, ((a + c) - b) * HALF, c],
    "winograd_output": lambda a, b, c, d: [(a + b) + c, (b - c) - d],
    "winograd_input_grad": lambda a, b, c, d: [a, (b - c) + d, (b + c) - a, -d],
    "winograd_weight_grad": lambda a, b, c, d: [
        a + (b + c) * HALF, (b - c) * HALF, (b + c) * HALF + d],
    "winograd_output_grad": lambda a, b: [a, a + b, a - b, -b],
}  # fmt: skip


def mapped(op: str, patch: list[list[Array]]) -> list[list[Array]]:
    """A map along the first index for each second one, then along the second."""
    columns = [MAPS[op](*(row[j] for row in patch)) for j in range(len(patch[0]))]
    return [MAPS[op](*(column[i] for column in columns)) for i in range(len(columns[0]))]


def square(array: Array, side: int) -> list[list[Array]]:
    """The places of a patch, whose numbers are the first axis, as rows and columns."""
    return [[array[side * i + j] for j in range(side)] for i in range(side)]


def test_maps_of_kernels() -> None:
    """The kernel's map and its gradient, sum by sum."""
    w, du = numbers((3, 3, 4, 5)), numbers((16, 4, 5), seed=1)
    flat = [u for line in mapped("winograd_weight", [list(row) for row in w]) for u in line]
    same(run("winograd_weight", w, images=1), np.stack(flat))
    wanted = np.stack([np.stack(line) for line in mapped("winograd_weight_grad", square(du, 4))])
    same(run("winograd_weight_grad", du, images=1), wanted)


def test_maps_of_patches() -> None:
    """One patch, forward and back: input and result, sum by sum."""
    patches = ops.WinogradPatches((4, 4), ((0, 0), (0, 0)))
    x, m, dy = numbers((1, 4, 4, 3)), numbers((1, 16, 1, 1, 3), seed=1), numbers((1, 2, 2, 3))
    plane = [list(row) for row in x[0]]
    flat = [v for line in mapped("winograd_input", plane) for v in line]
    same(run("winograd_input", x, attrs=patches)[0, :, 0, 0], np.stack(flat))
    tile = np.stack(
        [np.stack(line) for line in mapped("winograd_output", square(m[0, :, 0, 0], 4))]
    )
    same(run("winograd_output", m, attrs=ops.WinogradOutput((2, 2)))[0], tile)
    flat = [
        d for line in mapped("winograd_output_grad", [list(row) for row in dy[0]]) for d in line
    ]
    same(run("winograd_output_grad", dy, attrs=ops.WinogradOutput((2, 2)))[0, :, 0, 0],
         np.stack(flat))  # fmt: skip


def test_patches_are_added_in_order() -> None:
    """From +0.0 the patches that cover an input are added, row by row."""
    patches = ops.WinogradPatches((7, 6), ((1, 1), (1, 1)))
    rows, columns = patches.tiles
    dv = numbers((1, 16, rows, columns, 3))
    room = np.zeros((2 * rows + 2, 2 * columns + 2, 3), np.float32)
    for row, column in np.ndindex(rows, columns):
        patch = mapped("winograd_input_grad", square(dv[0, :, row, column], 4))
        for i, j in np.ndindex(4, 4):
            place = 2 * row + i, 2 * column + j
            room[place] = room[place] + patch[i][j]
    same(run("winograd_input_grad", dv, attrs=patches)[0], room[1:8, 1:7])


def test_products_of_planes() -> None:
    """Chains over channels, over filters, and over images and patches."""
    v, u, dm = (
        numbers((2, 16, 2, 3, 4)),
        numbers((16, 4, 5), seed=1),
        numbers((2, 16, 2, 3, 5), seed=2),
    )
    m, dv = np.zeros((2, 16, 2, 3, 5), np.float32), np.zeros(v.shape, np.float32)
    for c in range(4):
        m = fma(v[..., c, None], u[:, None, None, c], m)
    for o in range(5):
        dv = fma(dm[..., o, None], u[:, None, None, :, o], dv)
    du = np.zeros(u.shape, np.float32)
    for n, p, q in np.ndindex(2, 2, 3):
        du = fma(v[n, :, p, q, :, None], dm[n, :, p, q, None], du)
    same(run("winograd_product", v, u), m)
    same(run("winograd_product_grad_input", dm, u), dv)
    same(run("winograd_product_grad_weight", v, dm), du)
