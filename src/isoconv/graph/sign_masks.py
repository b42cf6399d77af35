"""Values of which later work asks one thing only: where they are positive.

ReLU's gradient reads ReLU's result for this and for nothing else. An answer is one bit, an element
is thirty-two; so the group that makes the value stores the answers as well, and the gradient reads
those. If nobody reads the value itself any more, it is not stored at all.

What is compared are the same numbers, so no bit of a result changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from isoconv.graph.groups import Group, asks_for_sign, readers_outside, verify_groups
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.passes import checked_pass


@checked_pass(lambda groups, graph, *_: verify_groups(graph, groups))
def with_sign_masks(
    graph: Graph, groups: Sequence[Group], suits: Callable[[TensorSpec], bool]
) -> tuple[Group, ...]:
    """Let groups store where results of pointwise work are positive, if others ask for no more.

    Args:
        graph: the graph.
        groups: its nodes in groups, in an order in which they can run.
        suits: whether bits can be stored and read quickly for a value like this.

    Returns:
        The same groups with their ``sign_masks``, and without those stored values that only they
        stood for.
    """
    wanted = {index for _, index in graph.outputs}
    readers = readers_outside(graph, groups)
    found = []
    for group in groups:
        sign_masks, stored = [], []
        for value in group.stored:
            asking = [asks_for_sign(graph, reader, value) for reader in readers.get(value, ())]
            spec = graph[value].spec
            if any(asking) and value in group.pointwise and spec.batched and suits(spec):
                sign_masks.append(value)
            if value not in sign_masks or value in wanted or not all(asking):
                stored.append(value)
        found.append(replace(group, stored=tuple(stored), sign_masks=tuple(sign_masks)))
    return tuple(found)
