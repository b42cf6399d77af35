"""ONNX's own test cases, run through what isoconv makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import IsoconvError
from isoconv.exchange.onnx.building import Building, Fixed, Value
from isoconv.exchange.onnx.importing import converted
from isoconv.exchange.onnx.layouts import of_shape
from isoconv.exchange.onnx.messages import read_model
from isoconv.exchange.onnx.reader import OnnxFile, file_of
from isoconv.exchange.onnx.wire import Reading
from isoconv.graph.ir import Graph
from isoconv.nn import Network, Tensor, Trace
from isoconv.ops.interpret import interpret

Array = NDArray[Any]


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
    inputs, outputs = given.data_sets[0]
    return Case(
        given.name,
        tuple(node.operator for node in file.nodes),
        file,
        dict(zip((entry.name for entry in file.inputs), inputs, strict=False)),
        dict(zip((entry.name for entry in file.outputs), outputs, strict=False)),
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
    floats = [name for name, array in case.inputs.items() if _of(array, "f")]
    numbers = [name for name, array in case.inputs.items() if _of(array, "biuf")]
    faults: list[str] = []
    maps = MAPS.intersection(case.operators)
    # Whole numbers of cases are small: float32 has them all.
    for values in (floats, floats[:1], numbers, numbers[:1]):
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
        raise ApartError("it reads what is no array of numbers")
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
    for name, wanted in case.outputs.items():
        have = found[name]
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
