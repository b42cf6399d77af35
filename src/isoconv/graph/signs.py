"""Values of which later work asks one thing only: where they are positive.

ReLU's gradient reads ReLU's result for this and for nothing else. An answer is one bit, an element
is thirty-two; so the group that makes the value stores the answers as well, and the gradient reads
those. If nobody reads the value itself any more, it is not stored at all.

What is compared are the same numbers, so no bit of a result changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from isoconv.graph.fuse import Group
from isoconv.graph.ir import Graph, TensorSpec

__all__ = ["asks_for_signs", "with_signs"]


def asks_for_signs(graph: Graph, group: Group, value: int) -> bool:
    """Whether a group that does not make a value reads it only to see where it is positive."""
    readers = [graph[index] for index in group.nodes if value in graph[index].inputs]
    return bool(readers) and all(
        node.op == "relu_grad" and node.inputs[0] == value != node.inputs[1] for node in readers
    )


def with_signs(
    graph: Graph, groups: Sequence[Group], suits: Callable[[TensorSpec], bool]
) -> tuple[Group, ...]:
    """Let groups store where results of pointwise work are positive, if others ask for no more.

    Args:
        graph: the graph.
        groups: its nodes in groups, in an order in which they can run.
        suits: whether bits can be stored and read quickly for a value like this.

    Returns:
        The same groups with their ``signs``, and without those stored values that only they
        stood for.
    """
    wanted = {index for _, index in graph.outputs}
    readers = _readers(graph, groups)
    found = []
    for group in groups:
        signs, stored = [], []
        for value in group.stored:
            asking = [asks_for_signs(graph, reader, value) for reader in readers.get(value, ())]
            spec = graph[value].spec
            if any(asking) and value in group.pointwise and spec.batched and suits(spec):
                signs.append(value)
            if value not in signs or value in wanted or not all(asking):
                stored.append(value)
        found.append(replace(group, stored=tuple(stored), signs=tuple(signs)))
    return tuple(found)


def _readers(graph: Graph, groups: Sequence[Group]) -> dict[int, list[Group]]:
    """For each value the groups that read it and do not make it themselves."""
    readers: dict[int, list[Group]] = {}
    for group in groups:
        inside = set(group.nodes)
        read = {source for index in inside for source in graph[index].inputs}
        for value in read - inside:
            readers.setdefault(value, []).append(group)
    return readers
