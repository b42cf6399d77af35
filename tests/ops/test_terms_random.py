"""Terms over random shapes, settings and numbers, special ones among them: the reference's bits."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.ops.by_terms import check_operation, mixed
from tests.ops.geometries import convolutions
from tests.random_cases import some

import isoconv.ops as ops
from isoconv.arithmetic.fma import contract_chain
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.terms import Chain, Element
from isoconv.graph.values import evaluate

DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**16)
SHARES = st.sampled_from([0.0, 0.0, 0.05, 0.5])
"""How many of the numbers are special: zeros of both signs, subnormals, infinities, NaN."""

often = some(10)


@often
@given(convolutions(), st.integers(1, 3), DTYPES, SEEDS, SHARES)
def test_convolution(
    drawn: tuple[ops.ConvGeometry, tuple[int, ...], int, int],
    images: int, dtype: str, seed: int, share: float,
) -> None:  # fmt: skip
    """Forward, by input and by kernel: ranks 0 to 3, stride, padding, dilation, groups, flip."""
    geometry, sides, inner, outer = drawn
    x = mixed((images, *sides, inner * geometry.groups), dtype, seed, share)
    w = mixed((*geometry.kernel, inner, outer * geometry.groups), dtype, seed + 1, share)
    outputs = geometry.output_sides(sides)
    dy = mixed((images, *outputs, w.shape[-1]), dtype, seed + 2, share)
    check_operation("conv", geometry, x, w, single=(1,))
    check_operation("conv_grad_input", ops.ConvGradInput(geometry, sides), dy, w, single=(1,))
    check_operation("conv_grad_weight", geometry, x, dy)


SIDES = st.integers(1, 4)


@often
@given(
    st.lists(st.tuples(SIDES, st.sampled_from(["both", "a", "b"])), max_size=2),
    SIDES, st.integers(1, 9), SIDES, st.sampled_from([(), (0,), (1,)]), DTYPES, SEEDS, SHARES,
)  # fmt: skip
def test_products_of_matrices(
    lead: list[tuple[int, str]], rows: int, terms: int, columns: int,
    single: tuple[int, ...], dtype: str, seed: int, share: float,
) -> None:  # fmt: skip
    """With leading axes of both operands or of one; either may be the same for all images."""
    shapes = [tuple(side if of in ("both", own) else 1 for side, of in lead) for own in ("a", "b")]
    lasts = ((rows, terms), (terms, columns))
    images = [() if i in single else (3,) for i in range(2)]
    a, b = (
        mixed((*many, *outer, *last), dtype, seed + i, share)
        for i, (many, outer, last) in enumerate(zip(images, shapes, lasts, strict=True))
    )
    check_operation("matmul", None, a, b, single=single)


@st.composite
def windows(draw: st.DrawFn) -> tuple[ops.WindowGeometry, tuple[int, ...]]:
    """A window that meets an input wherever it stands, and the input's sides."""
    rank = draw(st.integers(1, 3))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, stride, dilation = per_axis(1, 3), per_axis(1, 4), per_axis(1, 2)
    most = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(
        (min(before, limit), min(after, limit))
        for before, after, limit in zip(per_axis(0, 3), per_axis(0, 3), most, strict=True)
    )
    sides = per_axis(1, 6)
    try:
        window = ops.WindowGeometry(kernel, stride, padding, dilation, draw(st.booleans()))
        operation("max_pool").infer(window, TensorSpec((*sides, 1)))
    except (ArgumentError, ShapeError):
        assume(False)
    return window, sides


@often
@given(windows(), st.booleans(), DTYPES, SEEDS, SHARES)
def test_pooling(
    drawn: tuple[ops.WindowGeometry, tuple[int, ...]],
    padded: bool, dtype: str, seed: int, share: float,
) -> None:  # fmt: skip
    """Maximum and average with their gradients: ceil_mode, padding, dilation, ties, NaN."""
    window, sides = drawn
    x = mixed((2, *sides, 2), dtype, seed, share)
    # Few different numbers: many windows have several that are equal, zeros of both signs too.
    ties = np.random.default_rng(seed).choice(np.array([-1, -0.0, 0.0, 2], dtype), x.shape)
    dy = mixed((2, *window.output_sides(sides), 2), dtype, seed + 1, share)
    for values in (x, ties):
        check_operation("max_pool", window, values)
        check_operation("max_pool_grad", window, values, dy)
        check_operation("max_pool_places", window, values)
    check_operation("avg_pool", ops.AvgPool(window, padded), x)
    check_operation("avg_pool_grad", ops.AvgPoolGrad(window, padded, sides), dy)


@often
@given(st.data(), DTYPES, SEEDS, SHARES)
def test_fractional_pooling(data: st.DataObject, dtype: str, seed: int, share: float) -> None:
    """Maximum, its place and gradient; windows that overlap and that leave gaps, any offsets."""
    rank = data.draw(st.integers(1, 3))
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    outputs = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    sides = [k + o - 1 + data.draw(st.integers(0, 5)) for k, o in zip(kernel, outputs, strict=True)]
    window = ops.FractionalWindow(kernel, outputs)
    x = mixed((2, *sides, 2), dtype, seed, share)
    draw = np.random.default_rng(seed)
    ties = draw.choice(np.array([-1, -0.0, 0.0, 2], dtype), x.shape)
    offsets = draw.random((2, rank, 2)).astype(dtype)
    offsets = np.where(draw.random(offsets.shape) < share, mixed(offsets.shape, dtype, seed, 1.0),
                       offsets)  # fmt: skip
    dy = mixed((2, *outputs, 2), dtype, seed + 1, share)
    for values in (x, ties):
        check_operation("fractional_max_pool", window, values, offsets)
        check_operation("fractional_max_pool_places", window, values, offsets)
        check_operation("fractional_max_pool_grad", window, values, offsets, dy)


@often
@given(
    st.lists(st.integers(1, 7), max_size=3), st.integers(0, 1), st.booleans(), st.integers(1, 11),
    DTYPES, SEEDS, SHARES,
)  # fmt: skip
def test_sums(
    shape: list[int], kept: int, batched: bool, images: int, dtype: str, seed: int, share: float
) -> None:
    """Over positions, over any axes, over images too, over everything."""
    assume(len(shape) >= kept)
    x = mixed((images, *shape), dtype, seed, share)
    check_operation("sum", ops.Sum(kept, batched), x)
    axes = tuple(axis for axis in range(len(shape)) if seed >> axis & 1)
    if axes:
        check_operation("sum_axes", ops.SumAxes(axes, batched, source_batched=True), x)


@pytest.mark.slow
@often
@given(st.integers(1, 40), st.floats(0, 0.9), DTYPES, SEEDS, SHARES)
def test_rows(classes: int, smoothing: float, dtype: str, seed: int, share: float) -> None:
    """Softmax, its logarithm, cross-entropy, their gradients and hits, of any number of classes."""
    x, other = (mixed((3, classes), dtype, seed + i, share) for i in range(2))
    # Logits of the size that networks give, too: those above saturate most rows.
    near: Any = np.random.default_rng(seed).standard_normal(x.shape).astype(dtype)
    labels = np.random.default_rng(seed).integers(0, classes, 3).astype(np.int32)
    loss = ops.CrossEntropy(smoothing)
    for logits in (x, near):
        for op in ("softmax", "log_softmax"):
            check_operation(op, None, logits)
            check_operation(f"{op}_grad", None, logits, other)
        check_operation("layer_norm", ops.Epsilon(1e-3), logits)
        check_operation("layer_norm_grad", ops.Epsilon(1e-3), logits, other)
        check_operation("cross_entropy", loss, logits, labels)
        check_operation("cross_entropy_grad", loss, logits, labels, other[:, 0].copy())
        check_operation("hits", ops.Hits(min(classes, 3)), logits, labels)
        check_operation("lookup", ops.Lookup((0.1, -3.0)), labels)
        for places in (False, True):
            check_operation("top_k", ops.TopK(min(classes, 5), places), logits)
    for numbers in (labels, labels.astype(np.int64), x[0]):
        check_operation("one_hot", ops.OneHot(classes), numbers)


@often
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(*(st.tuples(st.integers(0, 2), st.integers(0, 2)) for _ in range(2))),
    DTYPES, SEEDS, SHARES,
)  # fmt: skip
def test_winograd(
    sides: tuple[int, int], padding: Any, dtype: str, seed: int, share: float
) -> None:
    """All maps and contractions, at even and odd sizes, with any padding."""
    try:
        patches = ops.WinogradPatches(sides, padding)
    except ArgumentError:
        assume(False)
    output = ops.WinogradOutput(patches.outputs)
    x = mixed((2, *sides, 3), dtype, seed, share)
    v = mixed((2, 16, *patches.tiles, 3), dtype, seed + 1, share)
    m = mixed((2, 16, *patches.tiles, 2), dtype, seed + 2, share)
    u = mixed((16, 3, 2), dtype, seed + 3, share)
    dy = mixed((2, *patches.outputs, 2), dtype, seed + 4, share)
    w = mixed((3, 3, 3, 2), dtype, seed + 5, share)
    check_operation("winograd_input", patches, x)
    check_operation("winograd_input_grad", patches, v)
    check_operation("winograd_output", output, m)
    check_operation("winograd_output_grad", output, dy)
    check_operation("winograd_weight", None, w, single=(0,))
    check_operation("winograd_weight_grad", None, u, single=(0,))
    check_operation("winograd_product", None, v, u, single=(1,))
    check_operation("winograd_product_grad_input", None, m, u, single=(1,))
    check_operation("winograd_product_grad_weight", None, v, m)


UNARY = ("neg", "square", "exp", "log", "sqrt", "reciprocal", "relu", "sigmoid", "tanh", "erf",
         "gelu", "silu", "abs", "clip", "hardswish", "gelu_tanh", "mish", "softsign", "softplus",
         "elu", "expm1", "floor", "full_like", "log1p", "round", "sign", "sin", "cos", "tan",
         "sinh", "cosh", "asinh", "acosh", "atanh", "asin", "acos", "atan")  # fmt: skip
GRADIENTS = ("relu", "gelu", "silu", "clip", "hardswish", "gelu_tanh", "mish", "softsign",
             "softplus", "elu", "sin", "cos", "tan", "sinh", "cosh", "asinh", "acosh", "atanh",
             "asin", "acos", "atan")  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "power", "greater",
          "greater_equal", "equal",
          *(f"{name}_grad" for name in GRADIENTS))  # fmt: skip
SETTINGS = {
    name + grad: settings
    for name, settings in (
        ("clip", ops.Bounds(-0.5, 2.0)), ("softplus", ops.Softplus(0.7, 5.0)),
        ("elu", ops.Elu(1.3, 0.8, 0.6)), ("full_like", ops.Constant(0.3)),
    )
    for grad in ("", "_grad")
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [*UNARY, *BINARY])
def test_special_numbers_element_by_element(op: str, dtype: str) -> None:
    """Zeros of both signs, subnormals, the largest numbers, infinities, NaN, with one another."""
    x, y = (mixed((6, 8), dtype, seed, 0.7) for seed in (1, 2))
    arrays = (x, y) if op in BINARY else (x,)
    check_operation(op, SETTINGS.get(op), *arrays, most=48)


@often
@given(SEEDS, DTYPES, SHARES, st.floats(0.01, 0.99))
def test_normalisation_and_dropout(seed: int, dtype: str, share: float, rate: float) -> None:
    """Operands without an image axis, repeated over positions; random numbers by place."""
    x = mixed((3, 4, 5, 3), dtype, seed, share)
    per_channel = [mixed((3,), dtype, seed + i, share) for i in range(1, 5)]
    norm = ops.BatchNorm(False, 20)
    check_operation("batch_norm", norm, x, *per_channel, single=(1, 2, 3, 4))
    check_operation("inverse_std", ops.Epsilon(1e-5), abs(per_channel[0]), single=(0,))
    own = [mixed((3, 1, 1, 3), dtype, seed + i, share) for i in (5, 6)]
    check_operation("group_norm", ops.GroupNorm(3), x, *own)
    samples = np.random.default_rng(seed).integers(0, 2**40, 3)
    key = np.array([seed - 100, 3], np.int64)
    check_operation("dropout", ops.Dropout(rate, stream=seed % 9), x, samples, key, single=(2,))
    check_operation("uniform_like", ops.Uniform(6, seed % 9), x, samples, key, single=(2,))


@often
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)), st.booleans(), st.floats(0, 255), SEEDS,
)  # fmt: skip
def test_augmentation(sides: tuple[int, int], interpolate: bool, fill: float, seed: int) -> None:
    """Shifted, mirrored, cut out and turned by any table."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (4, *sides, 2)).astype(np.uint8)
    table = draw.integers(-3, 4, (4, 9)).astype(np.float32)
    table[:, 2] = draw.integers(0, 2, 4)
    table[:, 3:7] = np.abs(table[:, 3:7])
    angle = draw.uniform(0, 6.3, 4)
    table[:, 7], table[:, 8] = np.cos(angle), np.sin(angle)
    if not interpolate:
        table[:, 7:] = (1, 0)
    check_operation("augment", ops.Augment(float(np.float32(fill)), interpolate=interpolate),
                    images, table)  # fmt: skip
    table[:, 7:] = (1, 0)
    check_operation("augment", ops.Augment(-1.0), images[..., 0].astype(np.int32), table)


@often
@given(SEEDS, DTYPES, SHARES, st.integers(1, 3), st.integers(1, 6))
def test_places(seed: int, dtype: str, share: float, rank: int, side: int) -> None:
    """Values put at places and picked from there; several at one, and numbers that are none."""
    shape = (2, *(2,) * rank, 2)
    draw = np.random.default_rng(seed)
    places = draw.integers(-1, side**rank + 1, shape).astype(dtype)
    places = np.where(draw.random(shape) < share, mixed(shape, dtype, seed, 1.0), places)
    x, y = mixed(shape, dtype, seed, share), mixed((2, *(side,) * rank, 2), dtype, seed, share)
    check_operation("max_unpool", ops.Unpool((side,) * rank), x, places)
    check_operation("at_places", None, y, places)


@often
@given(st.permutations(range(3)), st.integers(-3, -1), st.data(), DTYPES, SEEDS, SHARES)
def test_movement(
    axes: list[int], axis: int, data: st.DataObject, dtype: str, seed: int, share: float
) -> None:
    """Axes in any order; places taken, and mixed, along any of them."""
    x = mixed((2, 3, 4, 5), dtype, seed, share)
    check_operation("transpose", ops.Permutation(tuple(axes)), x)
    side = x.shape[axis]
    indices = data.draw(st.lists(st.integers(-1, side - 1), min_size=1, max_size=9))
    check_operation("take", ops.Take(axis, tuple(indices)), x)
    tap = st.tuples(st.integers(0, side - 1), st.floats(-2, 2))
    taps = data.draw(st.lists(st.lists(tap, max_size=4).map(tuple), min_size=1, max_size=5))
    check_operation("resample", ops.Resample(axis, tuple(taps)), x)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("side", [1, -1])
def test_links_are_rounded_once(sign: int, side: int) -> None:
    """A sum that float64 rounds to the midpoint of two float32 goes to the side it lies on."""
    # Half a last bit is added, and far below the last bit of float64 a little more or less.
    if side > 0:  # 2**-24 (1 + 2**-36); a tie would stay at the even number
        start, a, b = 1 + 2**-22, 1 + 2**-12, (1 - 2**-12 + 2**-24) * 2**-24
    else:  # 2**-24 (1 - 2**-46); a tie would leave the odd number
        start, a, b = 1 + 2**-23, 1 + 2**-23, (1 - 2**-23) * 2**-24
    x, w = sign * np.array([[start, a]], np.float32), np.array([[1], [b]], np.float32)
    chain = Chain(tuple((Element(0, (0, i)), Element(1, (i, 0))) for i in range(2)))
    found = evaluate(chain, (x, w))
    assert found == contract_chain([(x[0, i], w[i, 0]) for i in range(2)])
    exact = [Fraction(float(x[0, i])) * Fraction(float(w[i, 0])) for i in range(2)]
    near = [np.nextafter(found, np.float32(far)) for far in (-9, 9)]
    away = [abs(exact[0] + exact[1] - Fraction(float(each))) for each in (found, *near)]
    assert away[0] < min(away[1:])
