"""Graphs on the kernels against the references, for tests: `check(graph, arrays, images)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from tests.compile.places import same_bits

from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.graph.verify import verify
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate


def numbers(shape: int | Sequence[int], dtype: str = "float32", seed: int = 0) -> Array:
    """Numbers whose sum depends on the order in which they are added."""
    draw = np.random.default_rng(seed)
    return (draw.standard_normal(shape) * 10.0 ** draw.integers(-2, 3, shape)).astype(dtype)


def dtype_of(array: Array) -> DType:
    """The name of an array's dtype, as graphs have it."""
    return cast("DType", array.dtype.name)


def specials(dtype: str) -> Array:
    """Zeros, subnormals, the smallest and largest normal numbers, of both signs; ordinary ones."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, 5 * info.smallest_subnormal, info.tiny / 2,
                info.tiny, 0.1, 0.5, 1.0, 1.0 + info.eps, 1.5, 3.0, 1e6, info.max / 2,
                info.max]  # fmt: skip
    values = np.array(positive, dtype)
    return np.concatenate([values, -values])


def random_arrays(graph: Graph, images: int, seed: int = 0) -> dict[str, Array]:
    """Ordinary numbers for every input; sample numbers, a key and labels where they are asked."""
    draw = np.random.default_rng(seed)
    arrays = {}
    for _, node in graph.inputs():
        spec, name = node.spec, node.attrs.name
        shape = (images, *spec.shape) if spec.batched else spec.shape
        if name == "samples":
            arrays[name] = np.arange(images, dtype=np.int64) * 3 + 5
        elif name == "key":
            arrays[name] = np.array([-7, 2], np.int64)
        elif spec.dtype in ("float32", "float64"):
            arrays[name] = draw.standard_normal(shape).astype(spec.dtype)
        else:
            arrays[name] = draw.integers(0, 3, shape).astype(spec.dtype)
    return arrays


def check(
    graph: Graph, arrays: Mapping[str, Array], images: int, **settings: Any
) -> dict[str, Array]:
    """All outputs of the kernels are the references', bit for bit; returns them."""
    with np.errstate(all="ignore"):
        expected = interpret(verify(graph), arrays, images=images)
    found = evaluate(graph, arrays, images, **settings)
    assert set(found) == set(expected)
    for name, array in expected.items():
        if array.dtype.kind == "f":
            same_bits(found[name], array)
        else:
            np.testing.assert_array_equal(found[name], array, strict=True)
    return found
