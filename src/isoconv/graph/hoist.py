"""Work that is the same for every shard: it is done once, before them.

In inference batch normalisation takes its statistics from the states, so that the inverse standard
deviation follows from them alone. Computed with the packing of the weights, it costs a prediction
nothing; the operations are the same on the same numbers, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.graph.fuse import Group
from isoconv.graph.ir import Graph

__all__ = ["hoisted"]

_FIXED = frozenset({"parameter", "state"})


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
        if group.root >= 0 or group.sums or inside & wanted:
            continue
        if any(graph[index].spec.batched for index in inside):
            continue
        read = {source for index in inside for source in graph[index].inputs} - inside
        if read and read <= fixed:
            found |= inside
    return frozenset(found)
