"""A graph cut behind what is the same for a sample in every step: computed once, it is data.

Layers that learn nothing give the same values for the same image again and again. The nodes stay
what they are, on whichever side of the cut they stand, so no bit of what comes after it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from isoconv.errors import GraphError
from isoconv.graph.ir import Graph, InputAttrs, Node
from isoconv.graph.passes import checked_pass
from isoconv.graph.verify import verify


@dataclass(frozen=True, slots=True)
class Cut:
    """A graph in two parts.

    Attributes:
        before: gives the values at the cut by name, each with an image axis.
        after: the rest, which takes them as rows of a data set by the same names.
    """

    before: Graph
    after: Graph


def _rules(found: Cut | None, graph: Graph, fixed: Collection[str]) -> None:
    """Both parts are graphs, the outputs are the same, and nothing that changes comes before."""
    if found is None:
        return
    verify(found.before)
    verify(found.after)
    given = {node.attrs.name: node.spec for _, node in found.after.inputs("dataset")}
    for name, index in found.before.outputs:
        if given.get(name) != found.before[index].spec:
            raise GraphError(f"{name} must be the same on both sides; got {given.get(name)}")
    wanted, outputs = (
        [(name, part[index].spec) for name, index in part.outputs] for part in (graph, found.after)
    )
    if outputs != wanted:
        raise GraphError(f"the outputs must stay as they are; got {outputs}")
    for _, node in found.before.inputs():
        if node.attrs.name not in fixed:
            raise GraphError(f"{node.attrs.name} changes, and stands before the cut")


@checked_pass(_rules)
def cut_behind(graph: Graph, fixed: Collection[str]) -> Cut | None:
    """Cut a graph behind what follows from these inputs, image by image.

    What no weight has touched is not worth the memory, and stays behind the cut.

    Args:
        graph: the work on one shard.
        fixed: names of the inputs that are the same for a sample whenever it is asked for.

    Returns:
        None where nothing is to be computed before.
    """
    same, touched = [False] * len(graph), [False] * len(graph)
    for index, node in enumerate(graph.nodes):
        if node.op == "input":
            same[index] = node.attrs.name in fixed
            touched[index] = node.attrs.kind in ("parameter", "state")
            continue
        # What is added up over images depends on which of them stand together.
        whole = node.spec.batched or not any(graph[source].spec.batched for source in node.inputs)
        same[index] = whole and all(same[source] for source in node.inputs)
        touched[index] = any(touched[source] for source in node.inputs)
    before = {
        index
        for index, node in enumerate(graph.nodes)
        if same[index] and touched[index] and node.spec.batched
    }
    if before.intersection(index for _, index in graph.outputs):
        return None
    needed = _needed(graph, [index for _, index in graph.outputs], before)
    edge = sorted(before & needed)
    if not edge:
        return None
    names = {index: f"cut:{number}" for number, index in enumerate(edge)}
    inputs = {
        index: replace(graph[index], op="input", inputs=(), attrs=InputAttrs("dataset", name))
        for index, name in names.items()
    }
    return Cut(
        _part(graph, [(name, index) for index, name in names.items()], {}),
        _part(graph, graph.outputs, inputs),
    )


def _needed(graph: Graph, outputs: Collection[int], ends: Collection[int]) -> set[int]:
    """What these outputs need, up to where others stand in."""
    needed: set[int] = set()
    waiting = list(outputs)
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting.extend(() if index in ends else graph[index].inputs)
    return needed


def _part(graph: Graph, outputs: Collection[tuple[str, int]], instead: Mapping[int, Node]) -> Graph:
    """What these outputs need, with other nodes in the place of some."""
    needed = sorted(_needed(graph, [index for _, index in outputs], instead))
    place = {old: new for new, old in enumerate(needed)}
    nodes = tuple(
        instead[old]
        if old in instead
        else replace(graph[old], inputs=tuple(place[source] for source in graph[old].inputs))
        for old in needed
    )
    return Graph(nodes, tuple((name, place[index]) for name, index in outputs))
