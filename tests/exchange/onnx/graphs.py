"""Small ONNX files, made with the onnx package, and ONNX Runtime as a witness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Array", "made", "node", "random", "witness", "written"]

Array = NDArray[Any]


def random(seed: int, *shape: int) -> Array:
    """Numbers around 0, the same each time."""
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def node(operator: str, inputs: str, outputs: str, **settings: Any) -> NodeProto:
    """A node, with names separated by blanks."""
    found: NodeProto = helper.make_node(operator, inputs.split(), outputs.split(), **settings)
    return found


def made(
    nodes: Sequence[NodeProto],
    sides: Sequence[int | str],
    arrays: Mapping[str, Array],
    *,
    outputs: str = "y",
    opset: int = 17,
) -> Any:
    """A model with an input ``x`` of these sides."""
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(sides))]
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs.split()]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(list(nodes), "graph", given, results, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def written(folder: Path, model: Any, name: str = "model.onnx") -> Path:
    """The file of a model."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def witness(path: Path, images: Array) -> Array:
    """What ONNX Runtime gives, for images as the file takes them."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {"x": images})[0]
    return found
