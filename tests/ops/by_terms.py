"""Elements of graphs worked off by their terms, beside the reference's: `check_operation`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tests.compile.places import same_bits
from tests.run.graphs import dtype_of, numbers, specials

from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array, operation
from isoconv.graph.terms import Asked, Element
from isoconv.graph.values import evaluate

Index = tuple[int, ...]


def mixed(shape: Sequence[int], dtype: str, seed: int, share: float = 0.0) -> Array:
    """Numbers of many sizes; a share of them zeros, subnormals, the largest, infinities, NaN."""
    shape = tuple(shape)
    draw = np.random.default_rng(seed)
    values = numbers(shape, dtype, seed)
    with np.errstate(all="ignore"):
        rare = np.concatenate([specials(dtype), np.array([np.inf, -np.inf, np.nan], dtype)])
    return np.where(draw.random(shape) < share, draw.choice(rare, shape), values).astype(dtype)


def by_terms(graph: Graph, at: int, operands: Sequence[Array], index: Index, images: int) -> Any:
    """One element of one node, from its operands' elements."""
    node = graph[at]

    def read(element: Element) -> Any:
        return operands[element.operand][element.index]

    specs = tuple(graph[i].spec for i in node.inputs)
    asked = Asked(node.attrs, specs, node.spec, index, images, read)
    return evaluate(operation(node.op).terms_of(asked), operands, np.dtype(node.spec.dtype))


def some_places(shape: Sequence[int], most: int, seed: int) -> Iterator[Index]:
    """All places of a small array; the first, the last and others drawn of a large one."""
    size = int(np.prod(shape))
    flat: Sequence[int] = range(size)
    if size > most:
        drawn = np.random.default_rng(seed).integers(0, size, most - 2).tolist()
        flat = sorted({0, size - 1, *drawn})
    for each in flat:
        yield tuple(int(i) for i in np.unravel_index(each, tuple(shape)))


def check_node(
    graph: Graph,
    at: int,
    operands: Sequence[Array],
    result: Array,
    images: int,
    most: int = 12,
) -> None:
    """Elements of a node by their terms have the bits of its result; all NaN count as one."""
    for index in some_places(result.shape, most, at):
        found = np.asarray(by_terms(graph, at, operands, index, images))
        wanted = np.asarray(result[index])
        assert found.dtype == wanted.dtype, graph[at]
        if wanted.dtype.kind == "f":
            same_bits(found.reshape(1), wanted.reshape(1))
        else:
            assert found == wanted, (graph[at], index)


def check_operation(
    op: str, attrs: Any, *arrays: Array, single: tuple[int, ...] = (), most: int = 24
) -> None:
    """One operation on arrays with an image axis; those at the places `single` are without."""
    batched = [i not in single for i in range(len(arrays))]
    images = next((len(array) for array, many in zip(arrays, batched, strict=True) if many), 1)
    b = GraphBuilder()
    inputs = [
        b.input("dataset" if many else "parameter", f"x{i}", array.shape[many:], dtype_of(array))
        for i, (array, many) in enumerate(zip(arrays, batched, strict=True))
    ]
    graph = b.graph([("y", b.add(op, *inputs, attrs=attrs))])
    with np.errstate(all="ignore"):
        result = operation(op).reference(attrs, *arrays, images=images)
    check_node(graph, graph.output("y"), arrays, result, images, most)
