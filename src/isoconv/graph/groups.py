"""Groups of nodes, each of which becomes one kernel, and the rules that they keep.

A group is one of

- an *anchor* (convolution, pooling or one of their gradients) with the pointwise work behind it,
- pointwise work alone, perhaps with sums over the values that it makes,
- any other single operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isoconv.errors import GraphError
from isoconv.graph.ir import Graph
from isoconv.graph.operation import operation


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that one kernel computes.

    Attributes:
        anchor: the node computed first, or -1 for pointwise work alone.
        pointwise: pointwise nodes, in order.
        sums: reductions over values of the group, in order.
        stored: values of the group that others read or that are outputs, in order.
        sign_masks: values of the group of which is stored where they are positive, in order.
    """

    anchor: int
    pointwise: tuple[int, ...]
    sums: tuple[int, ...]
    stored: tuple[int, ...]
    sign_masks: tuple[int, ...] = ()

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes of the group."""
        anchor = () if self.anchor < 0 else (self.anchor,)
        return (*anchor, *self.pointwise, *self.sums)


def asks_for_sign(graph: Graph, group: Group, value: int) -> bool:
    """Whether a group that does not make a value reads it only to see where it is positive."""
    found = False
    for index in group.nodes:
        node = graph[index]
        asking = operation(node.op).asks_for_sign
        for position, source in enumerate(node.inputs):
            if source == value:
                if position not in asking:
                    return False
                found = True
    return found


def readers_outside(graph: Graph, groups: Sequence[Group]) -> dict[int, list[Group]]:
    """For each value the groups that read it and do not make it themselves."""
    readers: dict[int, list[Group]] = {}
    for group in groups:
        inside = set(group.nodes)
        read = {source for index in inside for source in graph[index].inputs}
        for value in read - inside:
            readers.setdefault(value, []).append(group)
    return readers


# Rules ------------------------------------------------------------------------------------------


def verify_groups(graph: Graph, groups: Sequence[Group]) -> None:
    """Check that groups can be computed in their order, each by one kernel.

    The rules:

    - Every node but the inputs is in a group. One that is in several groups is pointwise, and none
      of them stores it.
    - A group has one of the three forms that stand at the top of this file. All its pointwise work
      runs over as many elements, of one image or of all; so do its sums, and they sum alike.
    - Within a group a value is made before it is read, and a sum is read by other groups alone.
      What a group reads of others, an earlier one has stored: the value itself, or where it is
      positive if no more is asked for.
    - Every output is stored; whatever else is stored, another group reads.

    Args:
        graph: the graph.
        groups: its nodes in groups.

    Raises:
        GraphError: a rule is broken; names the group, the node and its layer.
    """
    homes: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        for index in group.nodes:
            if index >= len(graph):
                raise GraphError(f"group {number} holds node {index} of a graph of {len(graph)}")
            homes.setdefault(index, []).append(number)
        _verify_form(f"group {number} of nodes {group.nodes}", graph, group)
    _verify_homes(graph, groups, homes)
    stored: set[int] = {index for index, _ in graph.inputs()}
    sign_masks: set[int] = set()
    for number, group in enumerate(groups):
        _verify_reads(f"group {number} of nodes {group.nodes}", graph, group, stored, sign_masks)
        stored.update(group.stored)
        sign_masks.update(group.sign_masks)
    _verify_stored(graph, groups, stored)


def _verify_homes(graph: Graph, groups: Sequence[Group], homes: dict[int, list[int]]) -> None:
    for index, node in enumerate(graph.nodes):
        where = f"node {index} ({node.op}) of layer {node.name!r}"
        numbers = homes.get(index, [])
        if node.op == "input":
            if numbers:
                raise GraphError(f"{where}: inputs belong to no group; it is in {numbers}")
        elif not numbers:
            raise GraphError(f"{where}: every node must be in a group; it is in none")
        elif len(numbers) > 1:
            storing = [n for n in numbers if index in (*groups[n].stored, *groups[n].sign_masks)]
            if not operation(node.op).pointwise or storing:
                raise GraphError(
                    f"{where}: a node of several groups is pointwise, and none of them stores it; "
                    f"it is in {numbers}, stored by {storing}"
                )


def _verify_form(where: str, graph: Graph, group: Group) -> None:
    if not group.nodes or len(set(group.nodes)) < len(group.nodes):
        raise GraphError(f"{where}: a group has nodes, each of them once")
    lacking = {*group.stored, *group.sign_masks} - set(group.nodes)
    if lacking:
        raise GraphError(f"{where}: a group stores values of its own; got {sorted(lacking)}")
    other = [i for i in group.pointwise if not operation(graph[i].op).pointwise]
    other += [i for i in group.sums if not operation(graph[i].op).sums]
    if other:
        raise GraphError(f"{where}: nodes {other} are neither pointwise work nor sums")
    domains = {(graph[i].spec.shape, graph[i].spec.batched) for i in group.pointwise}
    if group.anchor >= 0:
        spec = graph[group.anchor].spec
        if group.sums:
            raise GraphError(f"{where}: a group with an anchor has no sums; got {group.sums}")
        if group.pointwise:
            domains.add((spec.shape, spec.batched))
            if not operation(graph[group.anchor].op).epilogue:
                raise GraphError(
                    f"{where}: {graph[group.anchor].op} takes no pointwise work behind it"
                )
    for index in group.sums:
        spec = graph[graph[index].inputs[0]].spec
        domains.add((spec.shape, spec.batched))
    if len(domains) > 1:
        raise GraphError(f"{where}: a group runs over one shape; got {sorted(domains)}")
    if len({(graph[i].attrs, graph[i].spec.dtype) for i in group.sums}) > 1:
        raise GraphError(f"{where}: a group's sums are of one kind and one dtype")


def _verify_reads(
    where: str, graph: Graph, group: Group, stored: set[int], sign_masks: set[int]
) -> None:
    made: set[int] = set()
    inside = set(group.nodes)
    for index in group.nodes:
        for source in graph[index].inputs:
            if source in inside:
                if source not in made or source in group.sums:
                    raise GraphError(
                        f"{where}: node {index} reads {source}, which is not made before it there"
                    )
            elif source not in stored and not (
                source in sign_masks and asks_for_sign(graph, group, source)
            ):
                raise GraphError(
                    f"{where}: node {index} reads {source}, which no earlier group stores"
                )
        made.add(index)


def _verify_stored(graph: Graph, groups: Sequence[Group], stored: set[int]) -> None:
    wanted = {index for _, index in graph.outputs}
    if wanted - stored:
        raise GraphError(f"every output is stored; nodes {sorted(wanted - stored)} are not")
    read = readers_outside(graph, groups)
    for number, value in _results(groups):
        if value not in read and value not in wanted:
            raise GraphError(
                f"group {number} stores node {value}, which is no output and no other group reads"
            )


def _results(groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
    """Each group's number with each value of which it stores something."""
    for number, group in enumerate(groups):
        for value in (*group.stored, *group.sign_masks):
            yield number, value
