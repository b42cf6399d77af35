"""A call of every function on arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isoconv.graph.operation import Array

__all__ = ["CASES", "IMAGE", "normal", "positive"]


def normal(*shape: int) -> Array:
    """Numbers around 0, in float64."""
    return np.random.default_rng(math.prod(shape)).standard_normal(shape)


def positive(*shape: int) -> Array:
    """Numbers of at least 1/2, in float64."""
    return 0.5 + abs(normal(*shape))


IMAGE = normal(2, 5, 6, 3)
CHANNELS = (normal(3), positive(3), normal(3) + 2, normal(3) - 1)
CASES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "avg_pool1d": ((normal(2, 7, 3),), {"kernel_size": 2}),
    "avg_pool2d": ((IMAGE,), {"kernel_size": 2, "padding": 1}),
    "avg_pool3d": ((normal(2, 3, 4, 5, 2),), {"kernel_size": 2}),
    "batch_norm": ((IMAGE, *CHANNELS), {"eps": 0.1}),
    "bce_with_logits": ((normal(2, 3), abs(np.sin(normal(2, 3)))), {}),
    "conv1d": ((normal(2, 7, 3), normal(3, 3, 4), normal(4)), {"padding": 1}),
    "conv2d": ((IMAGE, normal(3, 2, 3, 4), normal(4)), {"stride": (1, 2)}),
    "conv3d": ((normal(2, 3, 4, 5, 2), normal(2, 2, 2, 2, 3), normal(3)), {}),
    "cross_entropy": ((normal(2, 4), [3, 0]), {"smoothing": 0.1}),
    "gelu": ((IMAGE,), {}),
    "global_avg_pool": ((IMAGE,), {}),
    "global_max_pool": ((IMAGE,), {}),
    "leaky_relu": ((IMAGE,), {"slope": 0.2}),
    "linear": ((normal(2, 7), normal(7, 4), normal(4)), {}),
    "log_softmax": ((normal(2, 4),), {}),
    "max_pool1d": ((normal(2, 7, 3),), {"kernel_size": 3, "stride": 2}),
    "max_pool2d": ((IMAGE,), {"kernel_size": 2}),
    "max_pool3d": ((normal(2, 3, 4, 5, 2),), {"kernel_size": 2}),
    "mse": ((normal(2, 4), normal(2, 4) + 1), {}),
    "power": ((positive(2, 4), normal(2, 4)), {}),
    "relu": ((IMAGE,), {}),
    "sigmoid": ((IMAGE,), {}),
    "silu": ((IMAGE,), {}),
    "softmax": ((normal(2, 4),), {}),
    "tanh": ((IMAGE,), {}),
}
