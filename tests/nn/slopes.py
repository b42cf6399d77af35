"""Functions on tensors, computed and differentiated: `computed`, and beside slopes `check_slopes`.

The first array leads with images, those behind it do not. Where numbers are drawn, they are always
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tests.run.graphs import check, dtype_of

from isoconv import nn
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.ops.interpret import interpret

__all__ = ["check_slopes", "computed"]

Function = Callable[..., nn.Tensor]


def _graph(function: Function, arrays: Sequence[Array], *, back: bool) -> Graph:
    """The graph of the result "y" and, with "dy" given, of gradients "d0", "d1", …."""
    trace = nn.Trace(training=True, dtype=dtype_of(arrays[0]))
    inputs = [
        trace.input("parameter" if i else "dataset", f"x{i}", a.shape[not i :], dtype_of(a))
        for i, a in enumerate(arrays)
    ]
    y = function(*inputs)
    outputs = [("y", y.index)]
    if back:
        dy = trace.input("dataset", "dy", y.shape, y.dtype)
        flows = differentiate(trace.builder, {y.index: dy.index}, [x.index for x in inputs])
        outputs += [(f"d{i}", flows[x.index]) for i, x in enumerate(inputs)]
    return trace.builder.graph(outputs)


def _drawn_for(images: int) -> dict[str, Array]:
    """What random numbers are a function of."""
    return {
        "samples": np.arange(images, dtype=np.int64) * 7 + 2,
        "key": np.array([-5, 3], np.int64),
    }


def computed(function: Function, *arrays: Array, dy: Array | None = None) -> list[Array]:
    """The result and, with its gradient, those by all arrays.

    The kernels give the references' bits, with fusion and without.
    """
    graph = _graph(function, arrays, back=dy is not None)
    named = {f"x{i}": array for i, array in enumerate(arrays)} | _drawn_for(len(arrays[0]))
    if dy is not None:
        named["dy"] = dy
    used = {node.attrs.name: named[node.attrs.name] for _, node in graph.inputs()}
    check(graph, used, len(arrays[0]), fusion=False)
    return [*check(graph, used, len(arrays[0])).values()]


def check_slopes(function: Function, *arrays: Array) -> Array:
    """The result; the gradients by all arrays, of float64, are the slopes along some direction."""
    draw = np.random.default_rng(7)
    forward = _graph(function, arrays, back=False)

    def value(changed: int, by: Array) -> Array:
        named = {f"x{i}": array + by if i == changed else array for i, array in enumerate(arrays)}
        named |= _drawn_for(len(arrays[0]))
        used = {node.attrs.name: named[node.attrs.name] for _, node in forward.inputs()}
        return interpret(forward, used, len(arrays[0]))["y"]

    dy = draw.standard_normal(value(-1, arrays[0]).shape)
    y, *gradients = computed(function, *arrays, dy=dy)
    for number, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        step = 1e-6 * draw.standard_normal(array.shape)
        slope = np.sum((value(number, step) - value(number, -step)) * dy) / 2
        np.testing.assert_allclose(np.sum(gradient * step), slope, rtol=3e-6, atol=1e-13)
    return y
