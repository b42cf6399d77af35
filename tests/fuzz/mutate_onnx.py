"""Mutants of ONNX files: another operator, other settings, names, shapes and sizes, or bytes."""

from __future__ import annotations

import random
from typing import Any

from onnx import ModelProto
from tests.fuzz.mutate_bytes import any_bytes

__all__ = ["any_onnx"]

_NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**63 - 1)
_OPERATORS = (
    "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "DepthToSpace", "Expand", "Flatten", "Gather",
    "Gemm", "GlobalMaxPool", "LRN", "MatMul", "MaxPool", "Pad", "PRelu", "Range", "ReduceSum",
    "Reshape", "Resize", "Shape", "Slice", "Softmax", "Split", "Squeeze", "Tile", "TopK",
    "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
_SETTINGS = ("axis", "perm", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad",
             "axes", "keepdims", "to", "mode", "blocksize", "alpha")  # fmt: skip


def any_onnx(draw: random.Random, content: bytes) -> bytes:
    """A mutant of an ONNX file."""
    if draw.random() < 0.3:
        return any_bytes(draw, content)
    model = ModelProto.FromString(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        _spoil(draw, model)
    return bytes(model.SerializeToString())


def _spoil(draw: random.Random, model: Any) -> None:
    graph = model.graph
    what = draw.choice(("node", "node", "node", "array", "input", "opset", "names", "order"))
    if what == "node" and graph.node:
        _spoil_node(draw, draw.choice(graph.node), graph)
    elif what == "array" and graph.initializer:
        _spoil_array(draw, draw.choice(graph.initializer))
    elif what == "input" and graph.input:
        sides = graph.input[0].type.tensor_type.shape.dim
        if sides:
            draw.choice(sides).dim_value = draw.choice(_NUMBERS)
    elif what == "opset":
        model.opset_import[0].version = draw.choice((0, 5, 6, 9, 10, 11, 12, 13, 18, 21, 28, 999))
    elif what == "names" and graph.output:
        graph.output[0].name = _name(draw, graph)
    elif what == "order":
        nodes = [type(node).FromString(node.SerializeToString()) for node in graph.node]
        draw.shuffle(nodes)
        del graph.node[:]
        graph.node.extend(nodes)


def _spoil_node(draw: random.Random, node: Any, graph: Any) -> None:
    what = draw.choice(("operator", "input", "output", "setting", "setting", "less"))
    if what == "operator":
        node.op_type = draw.choice(_OPERATORS)
    elif what == "input" and node.input:
        node.input[draw.randrange(len(node.input))] = _name(draw, graph)
    elif what == "output" and node.output:
        node.output[draw.randrange(len(node.output))] = _name(draw, graph)
    elif what == "less" and node.input:
        del node.input[draw.randrange(len(node.input)) :]
    else:
        attribute = node.attribute.add()
        attribute.name = draw.choice(_SETTINGS)
        attribute.type = draw.choice((1, 2, 3, 7))
        attribute.i = draw.choice(_NUMBERS)
        attribute.f = draw.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
        attribute.s = draw.choice((b"", b"SAME_UPPER", b"constant", b"\xff\x1b[2J"))
        attribute.ints.extend(draw.choices(_NUMBERS, k=draw.randrange(6)))


def _spoil_array(draw: random.Random, array: Any) -> None:
    what = draw.choice(("side", "kind", "bytes", "away", "outside"))
    if what == "side" and array.dims:
        array.dims[draw.randrange(len(array.dims))] = draw.choice(_NUMBERS)
    elif what == "kind":
        array.data_type = draw.randrange(30)
    elif what == "bytes" and array.raw_data:
        array.raw_data = any_bytes(draw, array.raw_data)
    elif what == "away":
        array.ClearField("raw_data")
    else:
        array.data_location = 1
        for key, value in (("location", draw.choice(("", "..", "model.onnx", "/dev/zero"))),
                           ("offset", str(draw.choice(_NUMBERS)))):  # fmt: skip
            entry = array.external_data.add()
            entry.key, entry.value = key, value


def _name(draw: random.Random, graph: Any) -> str:
    """The name of a value of the graph, or another one."""
    names: list[str] = [name for node in graph.node for name in (*node.input, *node.output)]
    return draw.choice((*names, "", "other", "\x1b[2J"))
