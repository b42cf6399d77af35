"""Random graphs of operations that fuse in many ways, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import isoconv.ops as ops
from isoconv.errors import IsoconvError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.ops.reduce import reshaped, summed

SAME = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
HALF = ops.WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
STEPS = ("neg", "relu", "add", "mul", "maximum", "sum", "axes", "conv", "pool", "broadcast",
         "convert")  # fmt: skip


def random_graph(draw: Callable[..., Any], channels: int = 3) -> Graph:
    """A graph of operations that fuse in many ways, with gradients."""
    b = GraphBuilder()
    values = [b.input("dataset", name, (4, 4, channels)) for name in "xy"]
    values += [b.input("parameter", "p", (channels,)), b.input("scalar", "s", ())]
    w = b.input("parameter", "w", (3, 3, channels, channels))
    step = st.tuples(
        st.sampled_from(STEPS),
        st.integers(0, 30),
        st.integers(0, 30),
    )
    for op, first, second in draw(st.lists(step, min_size=2, max_size=14)):
        x, y = values[-1 - first % len(values)], values[-1 - second % len(values)]
        try:
            if op == "sum":
                new = b.add("sum", x, attrs=ops.Sum(second % 2, bool(second // 2 % 2)))
            elif op == "axes":
                sides, batched = b.spec(x).shape, b.spec(x).batched and second % 3 > 0
                axes = [axis for axis in range(len(sides)) if second >> axis & 1]
                ones = tuple(1 if axis in axes else side for axis, side in enumerate(sides))
                new = reshaped(b, summed(b, x, axes, batched=batched), ones)
            elif op == "conv":
                new = b.add("conv", x, w, attrs=SAME)
            elif op == "pool":
                new = b.add("max_pool", x, attrs=HALF)
            elif op == "broadcast":
                attrs = ops.Broadcast((4, 4, channels), True, b.spec(x).batched)
                new = b.add("broadcast", x, attrs=attrs)
            elif op == "convert":
                other: DType = "float64" if b.spec(x).dtype == "float32" else "float32"
                new = b.add("convert", x, attrs=ops.Convert(other))
            else:
                new = b.add(op, x, y) if op in ("add", "mul", "maximum") else b.add(op, x)
        except IsoconvError:
            continue
        values.append(new)
    last = values[-1]
    spec = b.spec(last)
    dy = b.input("dataset" if spec.batched else "parameter", "dy", spec.shape, spec.dtype)
    flows = differentiate(b, {last: dy}, [0, 1, 2, w])
    outputs = [("last", last), (f"v{values[len(values) // 2]}", values[len(values) // 2])]
    return b.graph(outputs + [(f"d{i}", flow) for i, flow in flows.items()])
