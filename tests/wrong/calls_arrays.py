"""Valid calls of the functions on arrays."""

from __future__ import annotations

import numpy as np
from tests.wrong.calls import Call, Table

import isoconv as ic
from isoconv.graph.operation import Array

__all__ = ["CALLS"]


def array(*shape: int) -> Array:
    """Small numbers."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) / count + 0.25).reshape(shape)


X1, X2, X3 = array(2, 6, 2), array(2, 5, 5, 2), array(2, 4, 4, 4, 2)
ROWS, FOUR = array(2, 3), array(4)

CALLS: Table = {
    "isoconv.avg_pool1d": lambda _: Call(ic.avg_pool1d, x=X1, kernel_size=2),
    "isoconv.avg_pool2d": lambda _: Call(ic.avg_pool2d, x=X2, kernel_size=2),
    "isoconv.avg_pool3d": lambda _: Call(ic.avg_pool3d, x=X3, kernel_size=2),
    "isoconv.batch_norm": lambda _: Call(
        ic.batch_norm,
        x=ROWS, mean=array(3), variance=array(3), gamma=array(3), beta=array(3),
    ),
    "isoconv.bce_with_logits": lambda _: Call(ic.bce_with_logits, logits=ROWS, target=ROWS),
    "isoconv.conv1d": lambda _: Call(ic.conv1d, x=X1, weight=array(3, 2, 4), bias=FOUR),
    "isoconv.conv2d": lambda _: Call(ic.conv2d, x=X2, weight=array(3, 3, 2, 4), bias=FOUR),
    "isoconv.conv3d": lambda _: Call(ic.conv3d, x=X3, weight=array(3, 3, 3, 2, 4), bias=FOUR),
    "isoconv.cross_entropy": lambda _: Call(ic.cross_entropy, logits=ROWS, labels=[0, 2]),
    "isoconv.gelu": lambda _: Call(ic.gelu, x=ROWS),
    "isoconv.global_avg_pool": lambda _: Call(ic.global_avg_pool, x=X2),
    "isoconv.global_max_pool": lambda _: Call(ic.global_max_pool, x=X2),
    "isoconv.gradients": lambda _: Call(
        ic.gradients, ROWS, function=ic.relu, grad_output=ROWS
    ),
    "isoconv.leaky_relu": lambda _: Call(ic.leaky_relu, x=ROWS),
    "isoconv.linear": lambda _: Call(ic.linear, x=ROWS, weight=array(3, 4), bias=FOUR),
    "isoconv.log_softmax": lambda _: Call(ic.log_softmax, x=ROWS),
    "isoconv.max_pool1d": lambda _: Call(ic.max_pool1d, x=X1, kernel_size=2),
    "isoconv.max_pool2d": lambda _: Call(ic.max_pool2d, x=X2, kernel_size=2),
    "isoconv.max_pool3d": lambda _: Call(ic.max_pool3d, x=X3, kernel_size=2),
    "isoconv.mse": lambda _: Call(ic.mse, prediction=ROWS, target=ROWS),
    "isoconv.output_size": lambda _: Call(ic.output_size, size=9, kernel=3),
    "isoconv.power": lambda _: Call(ic.power, x=ROWS, y=2.0),
    "isoconv.relu": lambda _: Call(ic.relu, x=ROWS),
    "isoconv.same_padding": lambda _: Call(ic.same_padding, size=9, kernel=3),
    "isoconv.sigmoid": lambda _: Call(ic.sigmoid, x=ROWS),
    "isoconv.silu": lambda _: Call(ic.silu, x=ROWS),
    "isoconv.softmax": lambda _: Call(ic.softmax, x=ROWS),
    "isoconv.tanh": lambda _: Call(ic.tanh, x=ROWS),
    "symbols.avg_pool": lambda _: Call(ic.symbols.avg_pool, values=[[1, 2], [3, 4]]),
    "symbols.conv": lambda _: Call(ic.symbols.conv),
    "symbols.conv_transpose": lambda _: Call(ic.symbols.conv_transpose),
    "symbols.global_avg_pool": lambda _: Call(ic.symbols.global_avg_pool, values=[[1, 2]]),
    "symbols.max_pool": lambda _: Call(ic.symbols.max_pool, values=[[1, 2], [3, 4]]),
}  # fmt: skip
