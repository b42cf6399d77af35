"""Models as ONNX files: the graph of a prediction, operation by operation."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from isoconv.checks import check_choice, check_count, check_kind, check_path, refusal
from isoconv.errors import ArgumentError, MissingExtraError
from isoconv.exchange.onnx.writing import (
    PREPROCESSING,
    RECORD,
    Writer,
    Written,
    channels_first,
)
from isoconv.graph.ir import Graph
from isoconv.nn import Module, Trace
from isoconv.nn.images import warn_outside
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.nn.plain import canonical
from isoconv.nn.snapshot import whole
from isoconv.nn.storage import replace_file
from isoconv.printable import printable

__public__ = {"isoconv.exchange": ["save_onnx"]}

OLDEST = 13
"""The first opset in which axes of sums and squeezes are operands, as they are written."""
MOST_BYTES = 2**31 - 1
"""Of a message; larger ones cannot be read."""

_FAMILIES = ("write_elements", "write_layers", "write_moving", "write_quantized")
for _family in _FAMILIES:
    # Each enters its operations into the table.
    import_module(f"isoconv.exchange.onnx.{_family}")


def save_onnx(
    model: Module,
    path: str | Path,
    *,
    opset: int = 17,
    preprocessing: Literal["inside", "beside"] = "inside",
) -> None:
    """Write a model as an ONNX file, which the `onnx` package has checked; atomic.

    The file takes float32 images with their channels first, ``(N, C, H, W)``, of any number, and
    gives what ``predict`` gives, softmax included, feature maps with their channels first. Weights
    have their names here and the layout of ONNX. Class names, and how pictures are read and
    normalised, stand in the file's metadata. Needs the extra ``onnx``.

    A `DataWarning` names layers that go out in float64, such as quantised ones of which nothing
    says that their input is bytes, since few programs run these; and weights of which only what is
    computed of them is in the file, since training from it would train that.

    Args:
        model: a built model, of the library's layers or of one's own.
        path: of the file.
        opset: version of ONNX's set of operators, from 13 on.
        preprocessing: ``"inside"``: images are given as they are, such as brightness from 0 to 255,
            and the graph normalises them; ``"beside"``: they are given normalised.

    Raises:
        ArgumentError: a model that was not built, another opset, or operations that ONNX has no
            counterpart for; the message names all of them, with their layers.
        MissingExtraError: the package `onnx` is not installed.
        OSError: the file cannot be written; an earlier file of that name stays whole.

    Example:
        >>> from isoconv import nn
        >>> from isoconv.exchange import save_onnx
        >>> save_onnx(nn.Linear(2), "model.onnx")
        Traceback (most recent call last):
        isoconv.errors.ArgumentError: only a built model is written: call model.build(input_shape)
    """
    check_kind("model", model, Module, "a Module")
    place = check_path("path", path)
    check_choice("preprocessing", preprocessing, ("inside", "beside"))
    if model.input_shape is None:
        text = "only a built model is written: call model.build(input_shape)"
        raise ArgumentError(text, argument="model", value=model)
    onnx = _package()
    newest = onnx.defs.onnx_opset_version()
    opset = check_count("opset", opset, least=OLDEST, most=newest)
    with whole:
        graph, arrays, record = _prediction(model, preprocessing), weights_for(model), \
            model.describe()  # fmt: skip
    writer = Writer(graph, arrays, opset)
    lacking = writer.lacking()
    if lacking:
        listed = "; ".join(
            f"{op} of {', '.join(repr(name) for name in dict.fromkeys(layers))}"
            for op, layers in sorted(lacking.items())
        )
        text = f"the model has operations that ONNX has no counterpart for: {listed}"
        raise ArgumentError(text, argument="model", value=model)
    result = _written(writer, model.input_shape)
    metadata = {RECORD: canonical(record).decode(), PREPROCESSING: preprocessing}
    made = _message(onnx, writer, model.input_shape, result, metadata)
    if made.ByteSize() > MOST_BYTES:
        raise refusal("model", "fit into 2 GB as one ONNX file", model)
    onnx.checker.check_model(made, full_check=True)
    replace_file(place, made.SerializeToString())
    for told in _told(writer):
        warn_outside(f"{printable(place)}: {told}")


def _told(writer: Writer) -> list[str]:
    """What a person is to know of a graph that was written."""
    told = []
    if wide := writer.in_float64():
        listed = ", ".join(
            printable(name or "the model") + f" ({writer.reasons[name]})" * (name in writer.reasons)
            for name in wide
        )
        told.append(
            f"ONNX Runtime may not run it: it has no convolutions in float64, and {listed} "
            "compute so; docs/onnx.md says what a layer needs to go out as an operator of bytes"
        )
    if computed := writer.computed():
        listed = ", ".join(printable(", ".join(of)) for of in computed.values())
        told.append(
            "what is computed of weights alone goes out as numbers, and training from the file "
            f"would train these numbers: those of {listed}"
        )
    return told


def _package() -> Any:
    try:
        import onnx
        import onnx.checker
    except ImportError as error:
        text = "ONNX files are written with the package onnx: pip install 'isoconv[onnx]'"
        raise MissingExtraError(text) from error
    return onnx


def _prediction(model: Module, preprocessing: str) -> Graph:
    shape = model.input_shape or ()
    if preprocessing == "inside":
        return inference_graph(model, shape, "float32", model.finish)
    trace = Trace(model)
    result = model(trace.images(shape))
    own = trace.builder[result.index].op
    if model.finish != "none" and own not in ("softmax", "sigmoid"):
        result = trace.add(model.finish, result)
    return trace.builder.graph([("result", result.index)])


def _written(writer: Writer, shape: tuple[int, ...]) -> Written:
    images = Written("images", shape, channels_first(len(shape)))
    result = writer.run({"images": images})
    if result.flat:
        result = writer.unflattened(result)
    if result.shape:
        result = writer.ordered(result, channels_first(len(result.shape)))
    writer.nodes.append(("Identity", [result.name], ["result"], "result", {}))
    writer.prune("result")
    return result


def _message(
    onnx: Any,
    writer: Writer,
    shape: tuple[int, ...],
    result: Written,
    metadata: dict[str, str],
) -> Any:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def info(name: str, sides: tuple[int, ...]) -> Any:
        order = channels_first(len(sides)) if sides else ()
        return helper.make_tensor_value_info(name, kind, ["N", *(sides[a] for a in order)])

    made = {n: onnx.numpy_helper.from_array(array, n) for n, array in writer.weights.items()}
    # What is no weight of the model must not be learned by whoever reads the file.
    constants = writer.constants
    fixed = {name: tensor for name, tensor in made.items() if name in constants}
    graph = helper.make_graph(
        [*(helper.make_node("Constant", [], [name], name, value=tensor)
           for name, tensor in fixed.items()),
         *(helper.make_node(op, inputs, outputs, name, **settings)
           for op, inputs, outputs, name, settings in writer.nodes)],
        "isoconv",
        [info("images", shape)],
        [info("result", result.shape)],
        [tensor for name, tensor in made.items() if name not in fixed],
    )  # fmt: skip
    versions = [helper.make_opsetid("", writer.opset)]
    file = helper.make_model(
        graph, opset_imports=versions, producer_name="isoconv",
        ir_version=helper.find_min_ir_version_for(versions),
    )  # fmt: skip
    helper.set_model_props(file, metadata)
    return file
