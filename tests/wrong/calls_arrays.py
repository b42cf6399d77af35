"""Valid calls of the functions on arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.nn.array_calls import CASES
from tests.wrong.calls import Call, Table

import isoconv as ic
from isoconv.graph.operation import Array

__all__ = ["CALLS"]


def array(*shape: int) -> Array:
    """Small numbers."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) / count + 0.25).reshape(shape)


ROWS = array(2, 3)


def call(name: str) -> Callable[[Any], Call]:
    """A call of a function on arrays, in float32."""
    function = getattr(ic, name)
    given, settings = CASES[name]
    arrays = [each.astype(np.float32) if isinstance(each, np.ndarray) else each for each in given]
    named: dict[str, Any] = dict(zip(inspect.signature(function).parameters, arrays, strict=False))
    return lambda _: Call(function, **named, **settings)


CALLS: Table = {
    **{f"isoconv.{name}": call(name) for name in CASES},
    "isoconv.gradients": lambda _: Call(
        ic.gradients, ROWS, function=ic.relu, grad_output=ROWS
    ),
    "isoconv.output_size": lambda _: Call(ic.output_size, size=9, kernel=3),
    "isoconv.same_padding": lambda _: Call(ic.same_padding, size=9, kernel=3),
    "symbols.avg_pool": lambda _: Call(ic.symbols.avg_pool, values=[[1, 2], [3, 4]]),
    "symbols.conv": lambda _: Call(ic.symbols.conv),
    "symbols.conv_transpose": lambda _: Call(ic.symbols.conv_transpose),
    "symbols.global_avg_pool": lambda _: Call(ic.symbols.global_avg_pool, values=[[1, 2]]),
    "symbols.max_pool": lambda _: Call(ic.symbols.max_pool, values=[[1, 2], [3, 4]]),
}  # fmt: skip
