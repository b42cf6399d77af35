"""Work that is the same for every shard: it is done once, before them.

In inference batch normalisation takes its statistics from the states, so that the inverse standard
deviation follows from them alone. Computed with the packing of the weights, it costs a prediction
nothing; the operations are the same on the same numbers, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.errors import GraphError
from isoconv.graph.groups import Group
from isoconv.graph.ir import Graph
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass

_FIXED = frozenset({"parameter", "state"})


def _rules(found: frozenset[int], graph: Graph, groups: Sequence[Group]) -> None:
    """Each kernel before the shards is pointwise work of its own, on what is there before them."""
    wanted = {index for _, index in graph.outputs}
    whole = {index for group in groups if found.issuperset(group.nodes) for index in group.nodes}
    if found - whole:
        raise GraphError(f"groups are hoisted whole; got {sorted(found - whole)} of larger ones")
    for group in groups:
        for index in group.nodes if found.issuperset(group.nodes) else ():
            node = graph[index]
            where = f"hoisted node {index} ({node.op}) of layer {node.name!r}"
            if not operation(node.op).pointwise or node.spec.batched or index in wanted:
                raise GraphError(f"{where}: it must be pointwise, without images and no output")
            for source in set(node.inputs) - set(group.nodes):
                given = graph[source]
                if given.op != "input" or given.attrs.kind in ("dataset", "scalar"):
                    raise GraphError(
                        f"{where}: it may read parameters and states alone; it reads {source} "
                        f"({given.op})"
                    )


@checked_pass(_rules)
def hoisted(graph: Graph, groups: Sequence[Group]) -> frozenset[int]:
    """The pointwise nodes that can be computed before the first shard.

    Args:
        graph: the work on one shard.
        groups: its nodes in groups.

    Returns:
        The nodes of the groups that read parameters and states and nothing else, and make nothing
        for each image. A group that reads another one's result stays in the shard: nobody waits
        between what comes before it. None of a graph without images, such as an update, which runs
        once anyway.
    """
    if not any(node.spec.batched for node in graph.nodes):
        return frozenset()
    fixed = {index for index, node in graph.inputs() if node.attrs.kind in _FIXED}
    wanted = {index for _, index in graph.outputs}
    found: set[int] = set()
    for group in groups:
        inside = set(group.pointwise)
        if group.anchor >= 0 or group.sums or inside & wanted:
            continue
        if any(graph[index].spec.batched for index in inside):
            continue
        read = {source for index in inside for source in graph[index].inputs} - inside
        if read and read <= fixed:
            found |= inside
    return frozenset(found)
