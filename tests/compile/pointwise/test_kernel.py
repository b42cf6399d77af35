"""Pointwise kernels: every operation's emitter, broadcasting, gaps, sharing, bit for bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.harness import run_kernel
from tests.compile.places import same_bits, targets
from tests.run.graphs import check, numbers, random_arrays, specials

import isoconv.ops as ops
from isoconv.compile.native.emitters import emit
from isoconv.compile.native.loops import Kernel
from isoconv.compile.pointwise.cpu.kernel import collapse
from isoconv.compile.pointwise.cpu.operations import POINTWISE
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.target import Target, host_target
from isoconv.errors import CompileError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, InputKind
from isoconv.graph.operation import Array, operations
from isoconv.ops.interpret import interpret
from isoconv.run.inference import Predictor

CHANNELS = 37
SMOOTH = ("sin", "cos", "tan", "sinh", "cosh", "asinh", "acosh", "atanh", "asin", "acos", "atan")
# Settings and number of float operands that are alike, for every pointwise operation of floats.
ALIKE = {
    "abs": (1, None), "copy": (1, None), "erf": (1, None), "exp": (1, None), "gelu": (1, None),
    "log": (1, None), "neg": (1, None), "reciprocal": (1, None), "relu": (1, None),
    "sigmoid": (1, None), "silu": (1, None), "sqrt": (1, None), "square": (1, None),
    "tanh": (1, None), "times_images": (1, None),
    "scale": (1, ops.Constant(0.3)), "offset": (1, ops.Constant(-0.7)),
    "leaky_relu": (1, ops.LeakyRelu(0.1)), "inverse_std": (1, ops.Epsilon(1e-5)),
    "divide_by_count": (1, ops.CountAttrs(7, batched=False)),
    "convert": (1, ops.Convert("float32")),
    "add": (2, None), "sub": (2, None), "mul": (2, None), "div": (2, None),
    "power": (2, None), "raised": (1, ops.Constant(-2.7)),
    "maximum": (2, None), "minimum": (2, None), "relu_grad": (2, None), "gelu_grad": (2, None),
    "silu_grad": (2, None), "leaky_relu_grad": (2, ops.LeakyRelu(0.1)),
    "clip": (1, ops.Bounds(-0.5, 3.0)), "clip_grad": (2, ops.Bounds(-0.5, 3.0)),
    "hardswish": (1, None), "hardswish_grad": (2, None),
    "equal": (2, None), "expm1": (1, None), "floor": (1, None), "full_like": (1, ops.Constant(0.3)),
    "greater": (2, None), "greater_equal": (2, None), "log1p": (1, None), "round": (1, None),
    "sign": (1, None), "where": (3, None),
    "gelu_tanh": (1, None), "gelu_tanh_grad": (2, None), "mish": (1, None), "mish_grad": (2, None),
    "softsign": (1, None), "softsign_grad": (2, None),
    "softplus": (1, ops.Softplus(0.7, 5.0)), "softplus_grad": (2, ops.Softplus(0.7, 5.0)),
    "elu": (1, ops.Elu(1.3, 0.8, 0.6)), "elu_grad": (2, ops.Elu(1.3, 0.8, 0.6)),
    **dict.fromkeys(SMOOTH, (1, None)), **{f"{name}_grad": (2, None) for name in SMOOTH},
    "bce_with_logits": (2, None), "bce_grad": (3, None),
}  # fmt: skip
OTHERS = {"batch_norm", "broadcast", "dropout", "group_norm", "lookup", "uniform_like"}
UNBATCHED = {"times_images"}


def test_every_operation_is_here() -> None:
    """A pointwise operation that this file does not know, or that has no emitter, is found."""
    registered = {name for name, entry in operations().items() if entry.pointwise}
    assert registered == set(ALIKE) | OTHERS
    assert registered <= set(POINTWISE)


def every_combination(count: int, dtype: DType) -> list[Array]:
    """Arrays in which all special values meet all others; infinities and NaN among them."""
    values = np.concatenate([specials(dtype), np.array([np.inf, -np.inf, np.nan], dtype)])
    if count == 1:
        draw = np.random.default_rng(0)
        spread = draw.standard_normal(400) * 2.0 ** draw.integers(-40, 8, 400)
        return [np.concatenate([values, spread.astype(dtype)])]
    if count == 3:
        values = values[::3]
    return [grid.ravel() for grid in np.meshgrid(*[values] * count)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ALIKE))
def test_emitter(name: str, dtype: DType) -> None:
    """Special values in all combinations, in whole vectors and in the rest of a row."""
    count, attrs = ALIKE[name]
    kind: InputKind = "parameter" if name in UNBATCHED else "dataset"
    values = every_combination(count, dtype)
    rows = 1 if name in UNBATCHED else 3
    width = -(-values[0].size // rows)
    b = GraphBuilder()
    inputs = [b.input(kind, f"x{i}", (width,), dtype) for i in range(count)]
    y = b.add(name, *inputs, attrs=attrs)
    arrays = {f"x{i}": np.resize(v, (rows, width)) for i, v in enumerate(values)}
    if name in UNBATCHED:
        arrays = {key: array[0] for key, array in arrays.items()}
    check(b.graph([("y", y)]), arrays, 3)


@pytest.mark.parametrize("target", targets())
def test_targets(target: Target) -> None:
    """Operations of every kind on every instruction set: all in one fused pass."""
    b = GraphBuilder()
    x, y = b.input("dataset", "x", (CHANNELS,)), b.input("dataset", "y", (CHANNELS,))
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    z = b.add("maximum", b.add("gelu", x), b.add("div", y, b.add("exp", x)))
    z = b.add("dropout", b.add("sub", z, b.add("sqrt", b.add("abs", y))), samples, key,
              attrs=ops.Dropout(0.3, 1))  # fmt: skip
    z = b.add("where", b.add("greater", z, y), b.add("floor", y), b.add("clip", z,
              attrs=ops.Bounds(0.0, 6.0)))  # fmt: skip
    z = b.add("convert", b.add("silu_grad", z, b.add("tanh", y)), attrs=ops.Convert("float64"))
    graph = b.graph([("z", b.add("sigmoid", z))])
    check(graph, random_arrays(graph, 5), 5, target=target)


@pytest.mark.parametrize("source", ["uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("target", ["float32", "float64"])
def test_convert(source: DType, target: DType) -> None:
    """Numbers of every dtype become floats, rounded to nearest even."""
    kind = np.dtype(source)
    if kind.kind == "f":
        values = np.concatenate([specials(source), np.array([np.inf, np.nan], source)])
    else:
        info = np.iinfo(kind)
        near = [2**24 + i for i in range(-3, 9)] + [2**53 + i for i in range(-3, 9)]
        values = np.array([v for v in [info.min, info.max, 0, 1, 77, *near] if v <= info.max], kind)
    b = GraphBuilder()
    x = b.input("dataset", "x", values.shape, source)
    graph = b.graph([("y", b.add("convert", x, attrs=ops.Convert(target)))])
    check(graph, {"x": np.stack([values, values[::-1]])}, 2)


def test_convert_goes_to_floats() -> None:
    """Nothing is converted to integers."""
    spec = PointwiseSpec(
        Domain((4,)),
        Expression((Operand(0, "float32", (1,), 4),), "",
                   (Step("convert", (0,), None, "int32"),), ((1, Operand(1, "int32", (1,), 4)),)),
        2,
    )  # fmt: skip
    with pytest.raises(CompileError, match="float32 to int32"):
        run_kernel(spec, [np.zeros(4, np.float32), np.zeros(4, np.int32)])


def test_a_step_that_is_not_positional_cannot_ask_where_it_stands() -> None:
    """Its kernel may have put images together: what it would be told could be wrong."""
    place, key = Operand(0, "float32", (1,), 4), Operand(1, "int64", (0,), 0)
    step = Step("dropout", (0, 1, 1, 1), ops.Dropout(0.5, 1), "float32")
    expression = Expression((place, key), "", (step,), ((2, place),))
    kernel = Kernel("kernel", host_target(), 2)
    with pytest.raises(CompileError, match="must be positional"):
        emit(kernel, PointwiseSpec(Domain((4,)), expression, 2))


def test_an_unknown_step_is_an_error() -> None:
    """A step without an emitter is named."""
    store = Operand(0, "float32", (1,), 4)
    expression = Expression(
        (store,), "", (Step("frobnicate", (0,), None, "float32"),), ((1, store),)
    )
    with pytest.raises(CompileError, match="'frobnicate'"):
        run_kernel(PointwiseSpec(Domain((4,)), expression, 1), [np.zeros(4, np.float32)])


SHAPES = {
    "equal": ((3, 4, CHANNELS), True),
    "channels": ((CHANNELS,), False),
    "number": ((), False),
    "ones": ((1, 1, CHANNELS), False),
    "gate": ((1, 1, CHANNELS), True),
    "one image": ((3, 4, CHANNELS), False),
    "positions": ((3, 4, 1), True),
    "rows": ((3, 1, CHANNELS), True),
    "columns": ((4, 1), False),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_broadcasting(dtype: DType) -> None:
    """Every kind of smaller operand, on either side."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3, 4, CHANNELS), dtype)
    outputs = []
    for name, (shape, batched) in SHAPES.items():
        other = b.input("dataset" if batched else "parameter", name, shape, dtype)
        outputs += [
            (f"{name} left", b.add("sub", other, x)),
            (f"{name} right", b.add("div", x, other)),
        ]
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 2), 2)


def test_broadcast() -> None:
    """Values repeated along positions, channels and images."""
    b = GraphBuilder()
    outputs = []
    for name, (shape, batched) in SHAPES.items():
        source = b.input("dataset" if batched else "parameter", name, shape)
        attrs = ops.Broadcast((3, 4, CHANNELS), True, batched)
        outputs.append((name, b.add("broadcast", source, attrs=attrs)))
    per_image = b.input("dataset", "per image", ())
    outputs.append(
        ("per image", b.add("broadcast", per_image, attrs=ops.Broadcast((5,), True, True)))
    )
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 3), 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lookup(dtype: DType) -> None:
    """A number for each label; nothing is read for one that has none."""
    b = GraphBuilder()
    labels = b.input("dataset", "labels", (CHANNELS,), "int32")
    y = b.add("lookup", labels, attrs=ops.Lookup((0.1, -2.0, 3.7), dtype))
    numbers_ = np.resize(np.array([0, 1, 2, 3, -1, 2**31 - 1, -(2**31)], np.int32), (3, CHANNELS))
    found = check(b.graph([("y", y)]), {"labels": numbers_}, 3)["y"]
    wanted = np.array([0.1, -2.0, 3.7, 0, 0, 0, 0], dtype)
    np.testing.assert_array_equal(found, np.resize(wanted, (3, CHANNELS)))


def test_batch_norm() -> None:
    """Four vectors of channels meet a feature map."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3, 4, CHANNELS))
    vectors = [b.input("parameter", name, (CHANNELS,)) for name in "abcd"]
    y = b.add("batch_norm", x, *vectors, attrs=ops.BatchNorm(False, 12))
    graph = b.graph([("y", y)])
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.999999, 1e-9])
@pytest.mark.parametrize("shape", [(3, 2, 5), (CHANNELS,), ()])
def test_dropout(rate: float, shape: tuple[int, ...]) -> None:
    """Which elements stay depends on seed, epoch, sample and element, not on the vector."""
    b = GraphBuilder()
    x = b.input("dataset", "x", shape)
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    y = b.add("dropout", x, samples, key, attrs=ops.Dropout(rate, 65535))
    graph = b.graph([("y", y)])
    arrays = {
        "x": numbers((3, *shape)) + 1,
        "samples": np.array([0, 2**31 + 5, 7], np.int64),
        "key": np.array([-(2**63), 2**32 - 1], np.int64),
    }
    check(graph, arrays, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 5), (3, CHANNELS), ()])
def test_uniform(dtype: DType, shape: tuple[int, ...]) -> None:
    """The generator's numbers, whatever the element stands beside."""
    b = GraphBuilder()
    like = b.input("dataset", "like", shape, dtype)
    samples = b.input("dataset", "samples", (), "int64")
    key = b.input("scalar", "key", (2,), "int64")
    drawn = b.add("uniform_like", like, samples, key, attrs=ops.Uniform(65535, 65535))
    graph = b.graph([("drawn", drawn), ("behind", b.add("square", drawn))])
    arrays = {
        "like": np.full((3, *shape), np.nan, dtype),
        "samples": np.array([0, 2**31 + 5, 7], np.int64),
        "key": np.array([-(2**63), 2**32 - 1], np.int64),
    }
    found = check(graph, arrays, 3)["drawn"]
    assert found.dtype == dtype
    assert (found >= 0).all()
    assert (found < 1).all()


def test_values_with_gaps() -> None:
    """Crops, slices, halos and strides other than one are read and written where they lie."""
    b = GraphBuilder()
    x = b.add("neg", b.input("dataset", "x", (6, 7, 9)))
    crop = b.add("relu", b.add("crop", x, attrs=ops.Padding(((1, 2), (0, 3)))))
    part = b.add("square", b.add("slice_channels", x, attrs=ops.Slice(4, 5)))
    turned = b.add("exp", b.add("reshape", part, attrs=ops.Shape((7, 6, 1))))
    padded = b.add("offset", b.add("pad", crop, attrs=ops.Padding(((2, 0), (1, 1)))),
                   attrs=ops.Constant(1.0))  # fmt: skip
    wide = b.add("embed_channels", b.add("concat", crop, crop), attrs=ops.Embed(3, 25))
    outputs = {"crop": crop, "part": part, "turned": turned, "padded": padded, "wide": wide}
    graph = b.graph(list(outputs.items()))
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.parametrize(("rows", "at"), [("gathered", [4, 0, 3]), ("shifted", [1, 2, 3])])
def test_rows_of_a_larger_array(rows: Literal["shifted", "gathered"], at: list[int]) -> None:
    """Images stand at rows of the shard's order, or behind its first row."""
    images = numbers((6, CHANNELS))
    source = Operand(0, "float32", (1,), CHANNELS, rows=rows)
    store = Operand(2, "float32", (1,), CHANNELS)
    expression = Expression((source,), "", (Step("neg", (0,), None, "float32"),), ((1, store),))
    order = np.array([5, 4, 0, 3, 1, 2], np.int64)
    result = np.zeros((3, CHANNELS), np.float32)
    run_kernel(
        PointwiseSpec(Domain((CHANNELS,)), expression, 3),
        [images, order, result], images=3, first=1, parts=2,
    )  # fmt: skip
    same_bits(result, -images[at])


@pytest.mark.parametrize("threads", [2, 3])
def test_a_team_shares_the_work(threads: int) -> None:
    """Long rows, rows of positions and single images fall into disjoint shares."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (5, 6, CHANNELS))
    y = b.add("exp", x)
    z = b.add("mul", y, b.input("parameter", "p", (CHANNELS,)))
    small = b.add("neg", b.input("dataset", "small", ()))
    graph = b.graph([("y", y), ("z", z), ("small", small)])
    arrays = random_arrays(graph, 2)
    expected = interpret(graph, arrays, images=2)
    rows = {name: arrays[name] for name in ("x", "small")}
    with Predictor(graph, shard_size=4, threads=threads) as predictor:
        found = predictor.run({"p": arrays["p"]}, rows)
    for name, array in expected.items():
        same_bits(found[name], array)


# Axes that become one ---------------------------------------------------------------------------


def expression(
    *places: tuple[tuple[int, ...], int], op: str = "add", positional: bool = False
) -> Expression:
    """An expression over these places, the last of which is stored to."""
    *operands, store = (Operand(i, "float32", s, image) for i, (s, image) in enumerate(places))
    step = Step(op, tuple(range(len(operands))), None, "float32", positional)
    return Expression(tuple(operands), "", (step,), ((len(operands), store),))


def test_dense_values_are_one_long_row() -> None:
    """Axes and images without gaps collapse into one."""
    dense = ((12, 4, 1), 24)
    domain, merged, joined = collapse(Domain((2, 3, 4)), expression(dense, dense, dense))
    assert joined
    assert domain.axes == (24,)
    assert all(o.strides == (1,) and o.image == 0 for o in merged.operands)


def test_channels_keep_their_axis() -> None:
    """A vector of channels beside a feature map: positions collapse, channels stay."""
    dense, bias = ((12, 4, 1), 24), ((0, 0, 1), 0)
    domain, merged, joined = collapse(Domain((2, 3, 4)), expression(dense, bias, dense))
    assert joined, "positions run on through all images"
    assert domain.axes == (6, 4)
    assert merged.operands[1].strides == (0, 1)


def test_images_apart_stay_apart() -> None:
    """A gap between images keeps their axis."""
    dense, apart = ((12, 4, 1), 24), ((12, 4, 1), 32)
    domain, merged, joined = collapse(Domain((2, 3, 4)), expression(dense, apart, dense))
    assert not joined
    assert domain.axes == (24,)
    assert [o.image for o in merged.operands] == [24, 32]


def test_gaps_keep_their_axis() -> None:
    """A halo between rows keeps rows apart; axes of size one go."""
    dense, gap = ((12, 12, 4, 1), 24), ((30, 30, 4, 1), 60)
    domain, _, joined = collapse(Domain((2, 1, 3, 4)), expression(dense, gap, dense))
    assert joined, "the same gap lies between images"
    assert domain.axes == (2, 12)


def test_dropout_counts_elements() -> None:
    """An operation that asks for the element's number keeps images apart."""
    dense = ((12, 4, 1), 24)
    dropped = expression(dense, dense, op="dropout", positional=True)
    domain, _, joined = collapse(Domain((2, 3, 4)), dropped)
    assert not joined
    assert domain.axes == (24,)


@given(st.permutations([0, 1, 2]), st.tuples(*[st.integers(1, 4)] * 3))
@settings(deadline=None, derandomize=True)
def test_collapsing_moves_nothing(order: list[int], sizes: tuple[int, ...]) -> None:
    """Every element keeps its address, whatever the order of axes in memory."""
    laid = [sizes[d] for d in order]
    strides = [0] * 3
    for place, d in enumerate(order):
        strides[d] = int(np.prod(laid[place + 1 :]))
    total = int(np.prod(sizes))
    domain, merged, joined = collapse(
        Domain(sizes), expression((tuple(strides), total), (tuple(strides), total))
    )
    kept = merged.operands[0]
    images = 1 if joined else 3
    grid = np.indices((images, *domain.axes)).reshape(1 + len(domain.axes), -1)
    steps = np.array([kept.image, *kept.strides])
    found = (steps[:, None] * grid).sum(0)
    before = np.indices((3 if not joined else 1, *sizes)).reshape(4, -1)
    wanted = (np.array([0 if joined else total, *strides])[:, None] * before).sum(0)
    np.testing.assert_array_equal(found, wanted)
