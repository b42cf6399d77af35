"""Training graphs of models with all their gradients, for tests."""

from __future__ import annotations

import numpy as np

from isoconv import nn
from isoconv.graph.autodiff import differentiate
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.graph.verify import verify


def differentiated(model: nn.Sequential, shape: tuple[int, ...], dtype: DType = "float32") -> Graph:
    """The model's training graph with gradients by the images and by every parameter."""
    traced = nn.trace_model(model, shape, training=True, dtype=dtype)
    b = traced.builder
    seed = b.input("dataset", "cotangent", b.spec(traced.output).shape, dtype)
    wanted = {
        b[i].attrs.name: i
        for i in range(len(b))
        if b[i].op == "input" and b[i].attrs.kind == "parameter"
    }
    flows = differentiate(b, {traced.output: seed}, [*wanted.values(), traced.input])
    outputs = [("result", traced.output), ("by images", flows[traced.input])]
    outputs += [(f"by {name}", flows[i]) for name, i in wanted.items() if i in flows]
    outputs += list(traced.state_updates.items())
    return verify(b.graph(outputs))


def random_inputs(graph: Graph, images: int, seed: int = 0) -> dict[str, Array]:
    """Arrays for every input of a graph."""
    random = np.random.RandomState(seed)
    arrays = {}
    for _, node in graph.inputs():
        spec = node.spec
        shape = (images, *spec.shape) if spec.batched else spec.shape
        arrays[node.attrs.name] = random.randn(*shape).astype(spec.dtype)
    if "samples" in arrays:
        arrays["samples"] = np.arange(images, dtype=np.int64) + 5
        arrays["key"] = np.array([7, 2], np.int64)
    return arrays
