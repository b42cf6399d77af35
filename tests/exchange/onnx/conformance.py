"""ONNX's own test cases, run through what isoconv makes of them."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.numpy_helper import to_array

from isoconv.errors import IsoconvError
from isoconv.exchange.onnx.building import Building, Fixed, Value
from isoconv.exchange.onnx.importing import converted
from isoconv.exchange.onnx.layouts import of_shape
from isoconv.exchange.onnx.messages import read_model
from isoconv.exchange.onnx.reader import OnnxFile, file_of, open_onnx
from isoconv.exchange.onnx.wire import Reading
from isoconv.graph.ir import Graph
from isoconv.nn import Network, Tensor, Trace
from isoconv.ops.interpret import interpret

Array = NDArray[Any]


OPERATORS = (
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "AveragePool", "BatchNormalization", "Ceil", "Celu", "Clip", "Concat", "Conv", "ConvInteger",
    "ConvTranspose", "Cos", "Cosh", "DepthToSpace", "DequantizeLinear", "Div", "Dropout",
    "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor",
    "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "MatMulInteger",
    "Max", "MaxPool", "MaxUnpool", "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod",
    "Mul", "Neg", "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    "RMSNormalization", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu",
    "Reshape", "Resize", "Round", "Selu", "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh",
    "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub",
    "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Unsqueeze",
    "Upsample", "Where", "Xor",
)  # fmt: skip
"""Operators whose cases are run."""
REASONS = (
    ("in training mode", r"inference mode"),
    ("bfloat16, smaller floats, 4-bit numbers", r"bfloat16|float8|float4|int4|int2"),
    ("texts, sequences, optional values", r"no array of numbers"),
    ("arrays without elements", r"has no elements|something must be left"),
    ("other equations than products of two", r"equation must be a product of two"),
    ("operators of before version 6", r"must be of a version from 6"),
    ("remainders of floats", r"left of a quotient of floats"),
    ("numbers beyond float32", r"numbers beyond float32"),
    ("no layer yet", r"there are no layers for|its results . are not known"),
)
"""Why a case is told apart: in words, and in what the error says."""
MAPS = {
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace",
    "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization",
    "InstanceNormalization", "LRN", "LpPool", "MaxPool", "Resize", "SpaceToDepth", "Upsample",
}  # fmt: skip
"""Operators whose first axis is that of the images."""


@dataclass(frozen=True)
class Case:
    """One of ONNX's cases.

    Attributes:
        name: ONNX's.
        operators: that its graph uses.
        file: the graph.
        inputs: arrays by name.
        outputs: what is to come out.
        rtol: how far off it may be, as NumPy has it.
        atol: likewise.
    """

    name: str
    operators: tuple[str, ...]
    file: OnnxFile
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    rtol: float
    atol: float


class ApartError(Exception):
    """A case that isoconv does not compute; the text says why."""


@cache
def node_cases() -> Sequence[Any]:
    """All cases of single operators, as the onnx package makes them."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases: list[Any] = load_model_tests(kind="node")
    return cases


def case_of(given: Any) -> Case:
    """A case of the package, read as any file is.

    Raises:
        ApartError: it holds what no file of a network is read with.
    """
    content = given.model.SerializeToString()
    try:
        file = file_of(read_model(Reading(), 2, memoryview(content), "it"), Path("case.onnx"))
    except IsoconvError as error:
        raise ApartError(str(error)) from error
    # Some arrays stand there as they would in a file.
    inputs, outputs = (
        [to_array(each) if isinstance(each, TensorProto) else each for each in part]
        for part in given.data_sets[0]
    )
    if any(isinstance(array, list) or array is None for array in (*inputs, *outputs)):
        raise ApartError("it reads what is no array of numbers")
    return Case(
        given.name,
        tuple(node.operator for node in file.nodes),
        file,
        dict(zip((each.name for each in file.inputs), map(np.asarray, inputs), strict=False)),
        dict(zip((entry.name for entry in file.outputs), outputs, strict=False)),
        given.rtol,
        given.atol,
    )


def case_in(given: Any) -> Case:
    """A case of the package that lies in files: a graph, arrays that go in, arrays to come out."""
    from onnx import TensorProto, numpy_helper

    folder = Path(given.model_dir)
    file = open_onnx(folder / "model.onnx")
    arrays: dict[str, list[Array]] = {}
    for kind in ("input", "output"):
        found = sorted((folder / "test_data_set_0").glob(f"{kind}_*.pb"))
        contents = (path.read_bytes() for path in found)
        arrays[kind] = [numpy_helper.to_array(TensorProto.FromString(each)) for each in contents]
    return Case(
        given.name,
        tuple(node.operator for node in file.nodes),
        file,
        dict(zip((each.name for each in file.inputs), arrays["input"], strict=True)),
        dict(zip((each.name for each in file.outputs), arrays["output"], strict=True)),
        given.rtol,
        given.atol,
    )


@dataclass(frozen=True)
class Ready:
    """A case as a graph of isoconv.

    Attributes:
        graph: with an output for each result; None where all follow from the file alone.
        arrays: that it reads.
        images: of the batch.
        known: results that follow from the file alone.
    """

    graph: Graph | None
    arrays: dict[str, Array]
    images: int
    known: dict[str, Array]


def prepared(case: Case) -> Ready:
    """A case as a graph: its arrays are images of a batch, or one image without an image axis.

    Raises:
        ApartError: it cannot be one.
    """
    if any(array.size == 0 for array in list(case.inputs.values())[:1]):
        raise ApartError("its first input has no elements")
    with np.errstate(over="ignore"):
        if any(np.isinf(a.astype(np.float32)).any() > np.isinf(a).any()
               for a in case.inputs.values() if a.dtype == np.float64):  # fmt: skip
            raise ApartError("it reads numbers beyond float32")
    floats = [name for name, array in case.inputs.items() if _of(array, "f")]
    numbers = [name for name, array in case.inputs.items() if _of(array, "biuf")]
    faults: list[str] = []
    maps = MAPS.intersection(case.operators)
    # Whole numbers of cases are small: float32 has them all.
    for values in (floats, floats[:1], numbers, numbers[:2], numbers[:1]):
        for batched in (True, False) if maps else (False, True):
            try:
                return _ready(case, values, batched=batched)
            except (IsoconvError, ApartError) as error:
                faults.append(str(error))
    raise ApartError(faults[2 if len(floats) > 1 else 0 if floats else 6])


def _of(array: Array, kinds: str) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in kinds and array.size > 0


def _ready(case: Case, values: Sequence[str], *, batched: bool) -> Ready:
    if not values and any(_of(array, "f") for array in case.inputs.values()):
        raise ApartError("it reads no number")
    images = case.inputs[values[0]].shape[:1] if values and batched else (1,)
    if not images or any(case.inputs[name].shape[:1] != images for name in values if batched):
        raise ApartError("its inputs have no common image axis")
    layouts = {}
    for name in values:
        sizes = case.inputs[name].shape
        if batched:
            layouts[name] = of_shape((1, *sizes[1:]), _order(len(sizes)))
        else:
            layouts[name] = of_shape(sizes, range(len(sizes)))
    fixed = {name: array for name, array in case.inputs.items() if name not in values}
    # A number alone comes as NumPy's.
    fixed = {name: np.asarray(array) for name, array in fixed.items()}
    if any(array.dtype.kind not in "biuf" for array in fixed.values()):
        kinds = ", ".join(array.dtype.name for array in fixed.values())
        raise ApartError(f"it reads what is no array of numbers, but {kinds}")
    made = converted(case.file, layouts, fixed=fixed)
    graph, known = _graph(case, made, values)
    arrays = {
        name: np.ascontiguousarray(
            case.inputs[name].transpose(0, *_order(case.inputs[name].ndim)) if batched
            else case.inputs[name][None], np.float32
        )
        for name in values
    }  # fmt: skip
    weights = {name: np.asarray(a, np.float32) for name, a in made.weights.items()}
    return Ready(graph, {**arrays, **weights}, images[0], known)


def _order(rank: int) -> tuple[int, ...]:
    return (*range(2, rank), 1) if rank > 1 else ()


def _graph(
    case: Case, made: Building, values: Sequence[str]
) -> tuple[Graph | None, dict[str, Array]]:
    known: dict[str, Array] = {}
    results: dict[str, Value] = {}
    for given in case.file.outputs:
        found = made.values[given.name]
        if isinstance(found, Fixed):
            known[given.name] = found.array
        else:
            order = range(len(found.sizes))
            results[given.name] = made.lying(found, found.layout.lying(order))
    steps = list(made.steps)
    if not results:
        return None, known
    network = Network(tuple(steps), made.inputs) if steps else None
    trace = Trace(network)
    inputs = [
        trace.input("dataset", name, made.values[name].layout.shape)  # type: ignore[union-attr]
        for name in values
    ]
    tensors = dict(zip(values, inputs, strict=True))
    if network is not None:
        network(*inputs)
        for call in trace.calls:
            if made.shapes.get(call.path, call.output) != call.output:
                raise ApartError(f"{call.path} gives {call.output}, not {made.shapes[call.path]}")
            if call.path:
                tensors[call.path] = Tensor(trace, call.result)
    outputs = [(name, tensors[value.name].index) for name, value in results.items()]
    return trace.builder.graph(outputs), known


def difference(case: Case, found: Mapping[str, Array]) -> str:
    """How results differ from those that are to come out; "" where they do not."""
    for name, given in case.outputs.items():
        have, wanted = found[name], np.asarray(given)
        if have.size != wanted.size:
            return f"{name} has {have.shape}, not {wanted.shape}"
        with np.errstate(all="ignore"):
            close = np.isclose(
                have.reshape(wanted.shape).astype(np.float64), wanted.astype(np.float64),
                case.rtol, case.atol, equal_nan=True,
            )  # fmt: skip
        if not close.all():
            worst = np.abs(have.reshape(wanted.shape).astype(np.float64) - wanted).max()
            return f"{name} differs by {worst:g}"
    return ""


def exactly(ready: Ready) -> dict[str, Array]:
    """Results by the exact references."""
    if ready.graph is None:
        return ready.known
    return {**interpret(ready.graph, ready.arrays, ready.images), **ready.known}


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        name: of the case.
        operator: that it is about.
        apart: why it is told apart; "" where it is computed.
        wrong: how its results differ; "" where they do not.
    """

    name: str
    operator: str
    apart: str = ""
    wrong: str = ""


def outcome(given: Any) -> Outcome:
    """What comes of a case of the package by the exact references."""
    operator = given.model.graph.node[0].op_type
    try:
        case = case_of(given)
        found = exactly(prepared(case))
    except ApartError as error:
        return Outcome(given.name, operator, str(error))
    return Outcome(given.name, operator, wrong=difference(case, found))


def chosen() -> list[Any]:
    """The cases of one node whose operator is run."""
    graphs = ((given, given.model.graph.node) for given in node_cases())
    return [given for given, (node, *more) in graphs if not more and node.op_type in OPERATORS]


@cache
def outcomes() -> tuple[Outcome, ...]:
    """What comes of all cases of one node."""
    return tuple(outcome(given) for given in chosen())


def reason(text: str) -> str:
    """Why a case is told apart, in words; "" where no reason is known."""
    return next((title for title, rule in REASONS if re.search(rule, text)), "")


def table() -> list[tuple[str, str, str, str]]:
    """A row for each operator: its cases, those that are computed, why others are told apart."""
    rows = []
    for operator in sorted({each.operator for each in outcomes()}):
        own = [each for each in outcomes() if each.operator == operator]
        apart = Counter(reason(each.apart) for each in own if each.apart)
        told = ", ".join(f"{count} {title}" for title, count in sorted(apart.items()))
        passed = len(own) - apart.total()
        rows.append((operator, str(len(own)), str(passed), told))
    return rows
