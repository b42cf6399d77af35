"""A call of every function on arrays, and of the functions of one tensor."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import isoconv as ic
from isoconv import nn
from isoconv.graph.operation import Array

__all__ = ["CASES", "IMAGE", "normal", "positive", "takes_one"]


def normal(*shape: int) -> Array:
    """Numbers around 0, in float64."""
    return np.random.default_rng(math.prod(shape)).standard_normal(shape)


def positive(*shape: int) -> Array:
    """Numbers of at least 1/2, in float64."""
    return 0.5 + abs(normal(*shape))


IMAGE = normal(2, 5, 6, 3)
CHANNELS = (normal(3), positive(3), normal(3) + 2, normal(3) - 1)
GIVEN: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "avg_pool1d": ((normal(2, 7, 3),), {"kernel_size": 2}),
    "avg_pool2d": ((IMAGE,), {"kernel_size": 2, "padding": 1, "dilation": (1, 2)}),
    "avg_pool3d": ((normal(2, 3, 4, 5, 2),), {"kernel_size": 2}),
    "batch_norm": ((IMAGE, *CHANNELS), {"eps": 0.1}),
    "bce_with_logits": ((normal(2, 3), abs(np.sin(normal(2, 3)))), {}),
    "conv1d": ((normal(2, 7, 3), normal(3, 3, 4), normal(4)), {"padding": 1}),
    "conv2d": ((IMAGE, normal(3, 2, 3, 4), normal(4)), {"stride": (1, 2)}),
    "conv3d": ((normal(2, 3, 4, 5, 2), normal(2, 2, 2, 2, 3), normal(3)), {}),
    "conv_transpose1d": ((normal(2, 4, 2), normal(3, 4, 2), normal(4)), {"stride": 2}),
    "conv_transpose2d": (
        (normal(2, 3, 4, 2), normal(3, 2, 4, 2), normal(4)),
        {"stride": (1, 2), "padding": 1},
    ),
    "conv_transpose3d": ((normal(2, 2, 3, 2, 2), normal(2, 2, 2, 3, 2), normal(3)), {}),
    "cross_entropy": ((normal(2, 4), [3, 0]), {"smoothing": 0.1}),
    "layer_norm": ((IMAGE,), {"eps": 0.1}),
    "leaky_relu": ((IMAGE,), {"slope": 0.2}),
    "linear": ((normal(2, 7), normal(7, 4), normal(4)), {}),
    "log_softmax": ((normal(2, 4),), {}),
    "matmul": ((normal(2, 3, 2, 4), normal(2, 3, 4, 5)), {}),
    "max_pool1d": ((normal(2, 7, 3),), {"kernel_size": 3, "stride": 2}),
    "max_pool2d": ((IMAGE,), {"kernel_size": 2}),
    "max_pool3d": ((normal(2, 3, 4, 5, 2),), {"kernel_size": 2}),
    "mse": ((normal(2, 4), normal(2, 4) + 1), {}),
    "power": ((positive(2, 4), normal(2, 4)), {}),
    "resize": ((IMAGE,), {"size": 7, "mode": "cubic"}),
    "softmax": ((normal(2, 4),), {}),
    "upsample": ((IMAGE,), {"scale_factor": 1.5, "mode": "linear"}),
}
"""Calls of functions that take more than one array, or settings that change their result."""


def takes_one(function: Callable[..., Any]) -> bool:
    """Whether a function takes one array or tensor, and nothing else must be given."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is each.empty] == ["x"]


def case_of(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arrays and settings for a function: those above, or an image if it needs no more."""
    assert name in GIVEN or takes_one(getattr(ic, name)), f"{name} needs a place in GIVEN"
    return GIVEN.get(name, ((IMAGE,), {}))


CASES = {name: case_of(name) for name in ic.__all__ if name in nn.functional.__all__}
"""Every function on arrays."""
