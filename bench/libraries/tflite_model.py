"""A network in an ONNX file as a TFLite model, channels last, for LiteRT.

TensorFlow's converter writes it from plain operations of TensorFlow, which stand for those of the
file one by one; it folds batch normalisation into the convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import tensorflow as tf  # type: ignore[import-untyped]
from onnx import helper, numpy_helper

from bench.worker import Array

__all__ = ["tflite_bytes"]

Settings = Mapping[str, Any]


def tflite_bytes(content: bytes, shape: tuple[int, ...]) -> bytes:
    """The model of a file for images of this shape.

    Args:
        content: of the ONNX file, which takes its images channels first.
        shape: ``(N, H, W, C)`` of the images.

    Raises:
        ValueError: an operator, or a setting of one, that no benchmark has.
    """
    graph = onnx.load_from_string(content).graph
    constants = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            (entry,) = node.attribute
            constants[node.output[0]] = numpy_helper.to_array(helper.get_attribute_value(entry))
    nodes = [node for node in graph.node if node.op_type != "Constant"]

    def network(images: Any) -> Any:
        values = {graph.input[0].name: images}
        for node in nodes:
            if node.op_type not in _OPERATORS:
                raise ValueError(f"no benchmark has the operator {node.op_type}")
            settings = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
            given = [values[n] if n in values else constants[n] for n in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](settings, *given)
        return values[graph.output[0].name]

    traced = tf.function(network, autograph=False)
    function = traced.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    made: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()
    return made


def _conv(settings: Settings, x: Any, weight: Array, bias: Array | None = None) -> Any:
    strides = list(settings["strides"])
    x, padding = _padded(settings, x, 0.0)
    if settings["group"] == 1:
        y = tf.nn.conv2d(x, weight.transpose(2, 3, 1, 0), strides, padding)
    elif settings["group"] == x.shape[-1] == len(weight):
        y = tf.nn.depthwise_conv2d(x, weight.transpose(2, 3, 0, 1), [1, *strides, 1], padding)
    else:
        raise ValueError(f"no benchmark has {settings['group']} groups of {x.shape[-1]} channels")
    return y if bias is None else tf.nn.bias_add(y, bias)


def _conv_transpose(settings: Settings, x: Any, weight: Array, bias: Array) -> Any:
    strides = list(settings["strides"])
    if strides != list(weight.shape[2:]) or any(settings["pads"]):
        raise ValueError(f"no benchmark has a transposed convolution with {dict(settings)}")
    batch, height, width, _ = x.shape
    shape = [batch, height * strides[0], width * strides[1], weight.shape[1]]
    y = tf.nn.conv2d_transpose(x, weight.transpose(2, 3, 1, 0), shape, strides, "VALID")
    return tf.nn.bias_add(y, bias)


def _batch_norm(settings: Settings, x: Any, *parts: Array) -> Any:
    scale, offset, mean, variance = parts
    factor = scale / np.sqrt(variance + np.float32(settings["epsilon"]))
    return x * factor + (offset - mean * factor)


def _max_pool(settings: Settings, x: Any) -> Any:
    kernel, strides = list(settings["kernel_shape"]), list(settings["strides"])
    x, padding = _padded(settings, x, float(np.finfo(np.float32).min))
    sides = zip(x.shape[1:3], kernel, strides, strict=True)
    if settings["ceil_mode"] and any((side - size) % every for side, size, every in sides):
        raise ValueError(f"no benchmark has a pooling that ends within a window: {dict(settings)}")
    return tf.nn.max_pool2d(x, kernel, strides, padding)


def _padded(settings: Settings, x: Any, value: float) -> tuple[Any, str]:
    """The value with its padding, or as it is with the name of the padding that TensorFlow does."""
    sizes, strides, pads = (settings[name] for name in ("kernel_shape", "strides", "pads"))
    pairs = [(pads[axis], pads[axis + 2]) for axis in range(2)]
    if not any(pads):
        return x, "VALID"
    same = []
    for side, size, every in zip(x.shape[1:3], sizes, strides, strict=True):
        total = max(0, (-(-side // every) - 1) * every + size - side)
        same.append((total // 2, total - total // 2))
    if pairs == same:
        return x, "SAME"
    return tf.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=value), "VALID"


def _clip(_: Settings, x: Any, least: Array, most: Array) -> Any:
    if float(least) == 0 and float(most) == 6:
        return tf.nn.relu6(x)
    return tf.clip_by_value(x, least, most)


def _concat(settings: Settings, *values: Any) -> Any:
    return tf.concat(values, _last(settings["axis"]))


def _mean(settings: Settings, x: Any) -> Any:
    return tf.reduce_mean(x, [_last(axis) for axis in settings["axes"]], settings["keepdims"])


def _last(axis: int) -> int:
    """An axis of channels first as it is called with channels last."""
    return (0, 3, 1, 2)[axis]


def _gemm(settings: Settings, x: Any, weight: Array, bias: Array) -> Any:
    return tf.matmul(x, weight.T if settings["transB"] else weight) + bias


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "Identity": lambda _, x: tf.identity(x),
    "MaxPool": _max_pool,
    "ReduceMean": _mean,
    "Relu": lambda _, x: tf.nn.relu(x),
}
