"""Small ONNX files, made with the onnx package, and ONNX Runtime as a witness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = [
    "Array", "attentive", "classifier", "excited", "last_in_the_file", "made", "node",
    "one_dimensional", "random", "shuffled", "witness", "written",
]  # fmt: skip

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


def classifier() -> Any:
    """A convolution, normalised, pooled, flattened, and two linear layers, as PyTorch has it."""
    arrays = {
        "features.0.weight": random(1, 8, 3, 3, 3), "features.0.bias": random(2, 8),
        "features.1.weight": random(3, 8), "features.1.bias": random(4, 8),
        "features.1.running_mean": random(5, 8), "features.1.running_var": random(6, 8) ** 2,
        "head.weight": random(7, 5, 128) / 8, "head.bias": random(8, 5),
        "last": random(9, 5, 4),
    }  # fmt: skip
    nodes = [
        node("Conv", "x features.0.weight features.0.bias", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c features.1.weight features.1.bias features.1.running_mean "
             "features.1.running_var", "n"),
        node("Relu", "n", "r", name="/relu"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "m", "f"),
        node("Gemm", "f head.weight head.bias", "h", transB=1),
        node("MatMul", "h last", "y"),
    ]  # fmt: skip
    return made(nodes, ("N", 3, 8, 8), arrays)


def shuffled() -> Any:
    """Channels shuffled by a reshape, a transposition and a reshape, as in ShuffleNet."""
    nodes = [
        node("Conv", "x w", "c", group=2),
        node("Reshape", "c apart", "a"),
        node("Transpose", "a", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t together", "s"),
        node("Conv", "s v", "y", pads=[0, 1, 1, 0], strides=[2, 1], group=3),
    ]
    arrays = {
        "w": random(1, 6, 2, 1, 1), "v": random(2, 6, 2, 2, 2),
        "apart": np.array([0, 2, 3, 6, 5]), "together": np.array([0, -1, 6, 5]),
    }  # fmt: skip
    return made(nodes, (1, 4, 6, 5), arrays)


def last_in_the_file() -> Any:
    """Images with their channels last, transposed at once, as TensorFlow's are."""
    nodes = [
        node("Sub", "x mean", "d"),
        node("Transpose", "d", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "c", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", "c", "b", perm=[0, 2, 3, 1]),
        node("Add", "b shift", "y"),
    ]
    arrays = {"w": random(1, 4, 3, 3, 3), "shift": random(2, 4), "mean": random(3, 3)}
    return made(nodes, (1, 6, 7, 3), arrays)


def excited() -> Any:
    """Channels weighed by what was pooled of them, and shapes that the graph works out itself."""
    nodes = [
        node("GlobalAveragePool", "x", "g"),
        node("Conv", "g w", "c"),
        node("Sigmoid", "c", "s"),
        node("Mul", "x s", "m"),
        node("Shape", "m", "shape"),
        node("Gather", "shape zero", "n", axis=0),
        node("Unsqueeze", "n first", "u"),
        node("Concat", "u rest", "target", axis=0),
        node("Reshape", "m target", "f"),
        node("Concat", "f f", "y", axis=1),
    ]
    arrays = {
        "w": random(1, 4, 4, 1, 1), "zero": np.array(0), "first": np.array([0]),
        "rest": np.array([-1]),
    }  # fmt: skip
    return made(nodes, ("batch", 4, 5, 6), arrays)


def one_dimensional() -> Any:
    """A signal: convolution, a softmax over its channels, a mean over its length."""
    nodes = [
        node("Conv", "x w b", "c", dilations=[2], pads=[2, 2]),
        node("Softmax", "c", "s", axis=1),
        node("ReduceMean", "s", "y", axes=[2], keepdims=0),
    ]
    return made(nodes, ("N", 2, 9), {"w": random(1, 5, 2, 3), "b": random(2, 5)})


def attentive() -> Any:
    """Each position weighed by one number: a map of one channel against one of four."""
    nodes = [
        node("ReduceMax", "x", "m", axes=[1], keepdims=1),
        node("Conv", "m w", "c", pads=[1, 1, 1, 1]),
        node("Mul", "c x", "p"),
        node("Add", "p plane", "y"),
    ]
    return made(nodes, (1, 4, 5, 6), {"w": random(1, 1, 1, 3, 3), "plane": random(2, 1, 1, 5, 1)})


def written(folder: Path, model: Any, name: str = "model.onnx") -> Path:
    """The file of a model."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def witness(path: Path, images: Array, name: str = "x") -> Array:
    """What ONNX Runtime gives, for images as the file takes them."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {name: images})[0]
    return found
