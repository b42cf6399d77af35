"""Reverse-mode differentiation: a graph in, the same graph with gradients out.

The cotangents of a value with several readers are added in the order in which those readers stand
in the graph, last reader first: that order is part of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isoconv.errors import GraphError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass
from isoconv.graph.verify import verify_nodes


def _rules(
    gradients: Mapping[int, int],
    b: GraphBuilder,
    seeds: Mapping[int, int],  # noqa: ARG001
    wanted: Sequence[int],
) -> None:
    verify_nodes(b.nodes)
    for value, gradient in gradients.items():
        if value not in wanted or b.spec(gradient) != b.spec(value):
            raise GraphError(
                f"the gradient by a wanted value is of its kind; got {b.spec(gradient)} for node "
                f"{value}, {b.spec(value)}"
            )


@checked_pass(_rules)
def differentiate(
    b: GraphBuilder, seeds: Mapping[int, int], wanted: Sequence[int]
) -> dict[int, int]:
    """Add to `b` the gradients of the seeded values by the wanted ones.

    Args:
        b: the builder that holds the forward graph.
        seeds: for each differentiated value its cotangent (both as positions in `b`).
        wanted: positions of the values whose gradients are asked for.

    Returns:
        For each wanted value that the seeded values depend on, the position of its gradient.

    Raises:
        GraphError: a gradient would have to flow through an operation that has none.
    """
    last = max(seeds, default=-1) + 1
    on_path = _depends_on(b, last, set(wanted))
    cotangents: dict[int, int] = dict(seeds)
    for index in reversed(range(last)):
        if index not in cotangents or not on_path[index]:
            continue
        node = b[index]
        if not any(on_path[source] for source in node.inputs):
            continue
        rule = operation(node.op).gradient
        if rule is None:
            reason = operation(node.op).why_no_gradient
            raise GraphError(f"layer {node.name!r}: {node.op} has no gradient: {reason}")
        with b.layer(node.name):
            flows = rule(b, index, cotangents[index])
        for source, flow in zip(node.inputs, flows, strict=True):
            if flow is None or not on_path[source]:
                continue
            if b.spec(flow) != b.spec(source):
                raise GraphError(
                    f"layer {node.name!r}: the gradient rule of {node.op} gave {b.spec(flow)} "
                    f"for an input of {b.spec(source)}"
                )
            known = cotangents.get(source)
            with b.layer(node.name):
                cotangents[source] = flow if known is None else b.add("add", known, flow)
    return {index: cotangents[index] for index in wanted if index in cotangents}


def _depends_on(b: GraphBuilder, last: int, sources: set[int]) -> list[bool]:
    reached = [False] * last
    for index in range(last):
        reached[index] = index in sources or any(reached[i] for i in b[index].inputs)
    return reached
