"""A network's description as an ONNX model, channels first, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import (
    TensorProto,
    helper,
    numpy_helper,
)

from bench.worker import Array

__all__ = ["channels_last", "onnx_bytes"]

OPSET, IR_VERSION = 17, 9


def channels_last(result: Array) -> Array:
    """A result as isoconv has it: feature maps with their channels behind their positions."""
    return np.moveaxis(result, 1, -1) if result.ndim > 2 else result


def onnx_bytes(
    description: list[dict[str, Any]], weights: dict[str, Array], shape: tuple[int, ...]
) -> bytes:
    """The serialised model.

    Args:
        description: from ``bench.networks``.
        weights: isoconv's, by name.
        shape: ``(N, H, W, C)`` of the images.
    """
    maker = _Maker(weights)
    result = maker.steps(description, "images")
    batch, height, width, channels = shape
    graph = helper.make_graph(
        maker.nodes, "network",
        [helper.make_tensor_value_info(
            "images", TensorProto.FLOAT, [batch, channels, height, width])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        maker.constants,
    )  # fmt: skip
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content


class _Maker:
    def __init__(self, weights: dict[str, Array]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._weights = weights

    def steps(self, description: list[dict[str, Any]], value: str) -> str:
        for step in description:
            value = self._step(step, value)
        return value

    def _node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def _constant(self, name: str, array: Array | None = None) -> str:
        given = self._weights[name] if array is None else array
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(given), name))
        return name

    def _step(self, step: dict[str, Any], value: str) -> str:
        kind = step["op"]
        if kind == "conv":
            weight = f"{step['name']}.weight"
            inputs = [value, self._constant(weight, self._weights[weight].transpose(3, 2, 0, 1))]
            if step["bias"]:
                inputs.append(self._constant(f"{step['name']}.bias"))
            return self._node(
                "Conv", inputs, kernel_shape=[step["kernel"]] * 2, strides=[step["stride"]] * 2,
                pads=[side for side in step["padding"] for _ in range(2)], group=step["groups"],
            )  # fmt: skip
        if kind == "batch_norm":
            parts = ("weight", "bias", "running_mean", "running_var")
            names = [self._constant(f"{step['name']}.{part}") for part in parts]
            return self._node("BatchNormalization", [value, *names], epsilon=step["eps"])
        if kind == "linear":
            names = [self._constant(f"{step['name']}.{part}") for part in ("weight", "bias")]
            return self._node("Gemm", [value, *names])
        if kind == "max_pool":
            return self._node(
                "MaxPool", [value], kernel_shape=[step["kernel"]] * 2,
                strides=[step["stride"]] * 2, pads=[step["padding"]] * 4,
            )  # fmt: skip
        if kind == "global_avg_pool":
            return self._node("Flatten", [self._node("GlobalAveragePool", [value])])
        if kind == "residual":
            inner = self.steps(step["body"], value)
            return self._node("Add", [inner, self.steps(step["shortcut"], value)])
        if kind == "sequence":
            return self.steps(step["body"], value)
        if kind == "relu":
            return self._node("Relu", [value])
        raise ValueError(f"a description has no step {kind!r}")
