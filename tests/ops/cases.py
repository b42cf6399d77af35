"""One use at least of every operation, for tests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tests.run.graphs import dtype_of

import isoconv.ops as ops
from isoconv.graph.builder import GraphBuilder

IMAGES = 3


@dataclass(frozen=True)
class Given:
    """One input of a case: its shape, whether it has an image axis, and what its values are."""

    shape: tuple[int, ...]
    batched: bool = True
    values: str = "normal"

    @property
    def is_float(self) -> bool:
        """Whether gradients may flow into it."""
        return self.values in ("normal", "positive", "share", "part", "beyond", "distinct")


@dataclass(frozen=True)
class Case:
    """One use of an operation; `constants` are inputs into which no gradient flows."""

    op: str
    inputs: tuple[Given, ...]
    attrs: Any = None
    constants: tuple[int, ...] = field(default=())

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, i.shape)) + "u" * (not i.batched) for i in self.inputs)
        return f"{self.op}[{shapes}]"


def given(*shape: int, values: str = "normal") -> Given:
    """An input with an image axis."""
    return Given(shape, values=values)


def single(*shape: int, values: str = "normal") -> Given:
    """An input without an image axis."""
    return Given(shape, batched=False, values=values)


LABELS, SAMPLES, KEY = given(values="labels"), given(values="samples"), single(2, values="key")
PLAIN = ops.ConvGeometry((3, 2), (1, 1), ((1, 1), (0, 1)), (1, 1))
HARD = ops.ConvGeometry((3, 2), (2, 3), ((2, 1), (0, 1)), (1, 2), groups=2, flip=True)
LINE = ops.ConvGeometry((3,), (2,), ((1, 0),), (1,))
CUBE = ops.ConvGeometry((2, 1, 2), (1, 2, 1), ((1, 0), (0, 0), (0, 1)), (1, 1, 1))
WINDOW = ops.WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
OVERLAP = ops.WindowGeometry((3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1), ceil_mode=True)
DILATED = ops.WindowGeometry((2, 2), (1, 2), ((1, 0), (0, 1)), (2, 1))
X, Y = given(5, 6, 4), given(5, 6, 4)
TAPS = (((0, 1.0),), ((0, 0.25), (1, 0.75)), (), ((4, -0.1), (1, 0.7), (1, 0.4)), ((2, 1.0),))


def _conv_cases() -> list[Case]:
    settings = (
        (PLAIN, (5, 6), 4, 6),
        (HARD, (6, 7), 4, 6),
        (LINE, (7,), 3, 2),
        (CUBE, (3, 4, 3), 2, 3),
        (ops.ConvGeometry.linear(), (), 5, 4),
    )
    cases = []
    for geometry, sides, inner, outer in settings:
        outputs = geometry.output_sides(sides)
        x, dy = given(*sides, inner), given(*outputs, outer)
        w = single(*geometry.kernel, inner // geometry.groups, outer)
        cases += [
            Case("conv", (x, w), geometry),
            Case("conv_grad_input", (dy, w), ops.ConvGradInput(geometry, sides)),
            Case("conv_grad_weight", (x, dy), geometry),
        ]
    return cases


def _pool_cases() -> list[Case]:
    cases = []
    for window in (WINDOW, OVERLAP, DILATED):
        x = given(5, 6, 2, values="distinct")
        cases.append(Case("max_pool_places", (x,), window))
        dy = given(*window.output_sides((5, 6)), 2)
        cases += [Case("max_pool", (x,), window), Case("max_pool_grad", (x, dy), window)]
        for count in (False, True):
            cases += [
                Case("avg_pool", (x,), ops.AvgPool(window, count)),
                Case("avg_pool_grad", (dy,), ops.AvgPoolGrad(window, count, (5, 6))),
            ]
    return cases


def _fractional_cases() -> list[Case]:
    settings = (
        (ops.FractionalWindow((2, 3), (4, 3)), (9, 8)),
        (ops.FractionalWindow((2, 2), (4, 4)), (5, 6)),
        (ops.FractionalWindow((2, 1, 2), (1, 3, 2)), (4, 5, 3)),
    )
    cases = []
    for window, sides in settings:
        x = given(*sides, 2, values="distinct")
        u, dy = given(len(sides), 2, values="offsets"), given(*window.outputs, 2)
        cases += [
            Case("fractional_max_pool", (x, u), window, constants=(1,)),
            Case("fractional_max_pool_places", (x, u), window),
            Case("fractional_max_pool_grad", (x, u, dy), window),
        ]
    return cases


def _winograd_cases() -> list[Case]:
    u = single(16, 4, 3)
    cases = [
        Case("winograd_weight", (single(3, 3, 4, 3),)),
        Case("winograd_weight_grad", (u,)),
        Case("winograd_product", (given(16, 2, 3, 4), u)),
        Case("winograd_product_grad_input", (given(16, 2, 3, 3), u)),
        Case("winograd_product_grad_weight", (given(16, 2, 3, 4), given(16, 2, 3, 3))),
    ]
    for padding in (((1, 1), (1, 1)), ((0, 2), (0, 0))):
        patches = ops.WinogradPatches((5, 6), padding)
        output = ops.WinogradOutput(patches.outputs)
        planes = given(16, *patches.tiles, 4)
        cases += [
            Case("winograd_input", (X,), patches),
            Case("winograd_input_grad", (planes,), patches),
            Case("winograd_output", (planes,), output),
            Case("winograd_output_grad", (given(*output.sides, 4),), output),
        ]
    return cases


def _binary_cases() -> list[Case]:
    pairs = (
        (X, Y),
        (X, single(4)),
        (single(5, 6, 4), Y),
        (given(1, 1, 4), Y),
        (X, single(1, 1, 4)),
        (single(), X),
        (single(4), single()),
        (given(), given()),
        (given(), single()),
        (X, single(6, 1)),
        (given(5, 1, 4), single(6, 1)),
        (given(1, 6, 1), given(5, 1, 1)),
    )
    cases = [Case(op, pair) for op in ("add", "sub", "mul", "maximum", "minimum") for pair in pairs]
    quotients = [(x, dataclasses.replace(y, values="positive")) for x, y in pairs]
    powers = [(dataclasses.replace(x, values="positive"), y) for x, y in pairs]
    cases += [Case(op, pairs[1], constants=(0, 1)) for op in ("greater", "greater_equal", "equal")]
    cases += [
        Case("where", (X, *pair), constants=(0,)) for pair in pairs if len(pair[0].shape) == 3
    ]
    cases += [Case("div", pair) for pair in quotients]
    return cases + [Case("power", pair) for pair in powers]


def _unary_cases() -> list[Case]:
    plain = ["neg", "square", "exp", "relu", "sigmoid", "tanh", "erf", "gelu", "silu", "abs",
             "hardswish", "gelu_tanh", "mish", "softsign", "expm1", "sin", "cos",
             "sinh", "cosh", "asinh", "atan"]  # fmt: skip
    cases = [Case(op, (X,)) for op in plain]
    cases += [Case(op, (X,), constants=(0,)) for op in ("sign", "floor", "round")]
    cases += [Case("full_like", (X,), ops.Constant(0.3), constants=(0,))]
    cases += [
        Case(op, (given(7, values="positive"),)) for op in ("sqrt", "log", "log1p", "reciprocal")
    ]
    cases += [
        Case("raised", (given(7, values="positive"),), ops.Constant(value))
        for value in (-1.5, 0.0, 0.5, 1.0, 3.0)
    ]
    cases += [Case(op, (single(7),), ops.Constant(0.3)) for op in ("scale", "offset")]
    cases += [
        Case("leaky_relu", (X,), ops.LeakyRelu(0.1)),
        Case("leaky_relu_grad", (X, Y), ops.LeakyRelu(0.1), constants=(0,)),
        Case("relu_grad", (X, Y), constants=(0,)),
        Case("clip", (X,), ops.Bounds(-0.7, 0.4)),
        Case("clip", (X,), ops.Bounds(maximum=0.4)),
        Case("clip_grad", (X, Y), ops.Bounds(-0.7, 0.4), constants=(0,)),
        Case("hardswish_grad", (X, Y)),
        *(Case(f"{op}_grad", (X, Y)) for op in ("gelu", "gelu_tanh", "mish", "silu", "softsign")),
        *(Case(f"{op}_grad", (X, Y)) for op in ("sin", "cos", "sinh", "cosh", "asinh", "atan")),
        *(Case(op, (given(7, values="part"),)) for op in ("asin", "acos", "atanh")),
        Case("tan", (given(7, values="part"),)),
        Case("tan_grad", (given(7, values="part"), given(7))),
        *(
            Case(f"{op}_grad", (given(7, values="part"), given(7)))
            for op in ("asin", "acos", "atanh")
        ),
        Case("acosh", (given(7, values="beyond"),)),
        Case("acosh_grad", (given(7, values="beyond"), given(7))),
        Case("softplus", (X,), ops.Softplus(2.0, 1.5)),
        Case("softplus_grad", (X, Y), ops.Softplus(2.0, 1.5)),
        Case("elu", (X,), ops.Elu(1.3, 0.8, 0.6)),
        Case("elu_grad", (X, Y), ops.Elu(1.3, 0.8, 0.6)),
        Case("convert", (X,), ops.Convert("float64")),
        Case("convert", (given(5, values="bytes"),), ops.Convert("float32")),
        Case("bce_with_logits", (X, given(5, 6, 4, values="share"))),
        Case("bce_grad", (X, given(5, 6, 4, values="share"), Y)),
        Case("dropout", (X, SAMPLES, KEY), ops.Dropout(0.4, stream=7)),
        Case("uniform_like", (X, SAMPLES, KEY), ops.Uniform(purpose=6, stream=7)),
    ]
    return cases


def _other_cases() -> list[Case]:
    c = single(4)
    return [
        Case("sum", (X,), ops.Sum(1, batched=True)),
        Case("sum", (X,), ops.Sum(0, batched=True)),
        Case("sum", (X,), ops.Sum(1, batched=False)),
        Case("sum", (given(),), ops.Sum(0, batched=False)),
        Case("sum", (single(19),), ops.Sum(0, batched=False)),
        Case("sum_axes", (X,), ops.SumAxes((1,), batched=True, source_batched=True)),
        Case("sum_axes", (X,), ops.SumAxes((0, 2), batched=False, source_batched=True)),
        Case("sum_axes", (single(3, 4),), ops.SumAxes((0,), batched=False, source_batched=False)),
        Case("broadcast", (given(5, 1, 4),), ops.Broadcast((5, 6, 4), True, True)),
        Case("broadcast", (given(4),), ops.Broadcast((5, 6, 4), True, True)),
        Case("broadcast", (single(4),), ops.Broadcast((5, 6, 4), True, False)),
        Case("broadcast", (single(),), ops.Broadcast((3, 2), False, False)),
        Case("divide_by_count", (given(4),), ops.CountAttrs(7, batched=True)),
        Case("divide_by_count", (single(4),), ops.CountAttrs(7, batched=False)),
        Case("times_images", (single(4),)),
        Case("inverse_std", (single(4, values="positive"),), ops.Epsilon(1e-3)),
        Case("batch_norm", (X, c, c, c, c), ops.BatchNorm(False, 30)),
        Case(
            "group_norm", (X, given(1, 1, 4), given(1, 1, 4)), ops.GroupNorm(2), constants=(0, 1, 2)
        ),
        Case("copy", (X,)),
        Case("reshape", (X,), ops.Shape((10, 12))),
        Case("reshape", (single(6, 2),), ops.Shape((3, 4), batched=False)),
        Case("concat", (X, given(5, 6, 1), Y)),
        Case("slice_channels", (X,), ops.Slice(1, 3)),
        Case("embed_channels", (X,), ops.Embed(2, 9)),
        Case("pad", (X,), ops.Padding(((1, 0), (2, 3)))),
        Case("crop", (X,), ops.Padding(((1, 0), (2, 3)))),
        Case(
            "max_unpool",
            (given(2, 3, 4), given(2, 3, 4, values="places")),
            ops.Unpool((4, 5)),
            constants=(1,),
        ),
        Case("at_places", (X, given(2, 3, 4, values="places"))),
        Case("transpose", (X,), ops.Permutation((2, 0, 1))),
        Case("transpose", (single(3, 5),), ops.Permutation((1, 0))),
        Case("take", (X,), ops.Take(-2, (1, 0, -1, 5, 5, 2, 0))),
        Case("take", (single(6),), ops.Take(-1, (4, 2, 0))),
        Case("resample", (X,), ops.Resample(-3, TAPS)),
        Case("resample", (single(5, 2),), ops.Resample(-2, TAPS)),
        Case("layer_norm", (given(3, 11),), ops.Epsilon(1e-5)),
        Case("layer_norm_grad", (given(3, 11), given(3, 11)), ops.Epsilon(1e-5)),
        Case("softmax", (given(11),)),
        Case("softmax_grad", (given(11, values="share"), given(11))),
        Case("log_softmax", (given(2, 11),)),
        Case("log_softmax_grad", (given(11), given(11))),
        Case("cross_entropy", (given(11), LABELS), ops.CrossEntropy()),
        Case("cross_entropy", (given(11), LABELS), ops.CrossEntropy(0.1)),
        Case("cross_entropy_grad", (given(11), LABELS, given()), ops.CrossEntropy(0.1)),
        Case("hits", (given(11), LABELS), ops.Hits(5)),
        *(
            Case(op, (given(2, 3, 11), given(2, 3, values="labels"), *more), attrs)
            for op, more, attrs in (
                ("cross_entropy", (), ops.CrossEntropy()),
                ("cross_entropy", (), ops.CrossEntropy(0.1)),
                ("cross_entropy_grad", (given(2, 3),), ops.CrossEntropy(0.1)),
                ("hits", (), ops.Hits(2)),
            )
        ),
        Case("top_k", (given(2, 11),), ops.TopK(4, places=False)),
        Case("top_k", (single(11),), ops.TopK(11, places=True)),
        Case("one_hot", (LABELS,), ops.OneHot(11)),
        Case("lookup", (given(5, values="labels"),), ops.Lookup((0.5, 2.0, -1.25))),
        Case("one_hot", (given(5, values="normal"),), ops.OneHot(3, "float64"), constants=(0,)),
        Case("augment", (given(5, 6, 2, values="bytes"), given(9, values="table")), ops.Augment()),
        Case("augment", (given(5, 6, values="labels"), given(9, values="table")), ops.Augment(-1)),
        Case(
            "augment",
            (given(5, 6, 2, values="bytes"), given(9, values="turns")),
            ops.Augment(7.5, interpolate=True),
        ),
    ]


def _matmul_cases() -> list[Case]:
    pairs = (
        (given(3, 4), given(4, 5)),
        (given(2, 3, 4), single(4, 5)),
        (single(3, 4), given(2, 4, 5)),
        (given(2, 1, 3, 4), given(1, 5, 4, 2)),
        (given(1, 3, 1), single(2, 1, 1)),
    )
    return [Case("matmul", pair) for pair in pairs]


CASES = (
    _conv_cases()
    + _matmul_cases()
    + _winograd_cases()
    + _pool_cases()
    + _fractional_cases()
    + _binary_cases()
    + _unary_cases()
    + _other_cases()
)
# An input has no meaning of its own.
ELSEWHERE = {"input"}


def make_array(item: Given, dtype: str, rng: np.random.Generator) -> np.ndarray:
    """Values for one input."""
    shape = (IMAGES, *item.shape) if item.batched else item.shape
    match item.values:
        case "labels":
            return rng.integers(0, 11, shape).astype(np.int32)
        case "samples":
            return np.arange(100, 100 + IMAGES, dtype=np.int64)
        case "key":
            return np.array([12345, 2], dtype=np.int64)
        case "bytes":
            return rng.integers(0, 256, shape).astype(np.uint8)
        case "turns":
            table = rng.integers(0, 3, shape).astype(np.float32)
            table[..., 3:7] = (0, 1, 0, 1)
            table[..., 7:] = (0.8, 0.6)
            return table
        case "table":
            return rng.integers(0, 3, shape).astype(np.float32)
        case "places":
            return rng.integers(-2, 25, shape).astype(dtype)
        case "offsets":
            return rng.uniform(-0.1, 1.1, shape).astype(dtype)
        case "positive":
            return rng.uniform(0.5, 2.0, shape).astype(dtype)
        case "part":
            return rng.uniform(-0.8, 0.8, shape).astype(dtype)
        case "beyond":
            return rng.uniform(1.2, 4.0, shape).astype(dtype)
        case "share":
            return rng.uniform(0.0, 1.0, shape).astype(dtype)
        case "distinct":
            return rng.permutation(np.prod(shape)).reshape(shape).astype(dtype) / 7
    return rng.normal(size=shape).astype(dtype)


def add_inputs(b: GraphBuilder, case: Case, arrays: list[np.ndarray]) -> list[int]:
    """The inputs x0, x1, ... of a case."""
    return [
        b.input("dataset" if item.batched else "parameter", f"x{i}", item.shape, dtype_of(array))
        for i, (item, array) in enumerate(zip(case.inputs, arrays, strict=True))
    ]
