"""Fusion: nodes are gathered into groups, each of which becomes one kernel.

What a group can be, and the rules that groups keep, stands in ``groups.py``. A value that only its
own group reads is never stored. Fusion changes no bit: the operations and their order stay the
same.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from isoconv.errors import GraphError
from isoconv.graph.groups import Group, verify_groups
from isoconv.graph.ir import Graph
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass


class _Draft:
    """A group that still grows.

    `needs` has a bit for each group that this one needs, directly or through others.
    """

    def __init__(self, anchor: int = -1) -> None:
        self.anchor = anchor
        self.bit = 0
        self.needs = 0
        self.needed = False
        self.pointwise: list[int] = []
        self.sums: list[int] = []
        self.sources: set[_Draft] = set()

    def members(self) -> list[int]:
        return ([] if self.anchor < 0 else [self.anchor]) + self.pointwise + self.sums


def _rules(groups: tuple[Group, ...], graph: Graph, *, enabled: bool = True) -> None:
    nodes = [index for group in groups for index in group.nodes]
    if len(set(nodes)) < len(nodes):
        raise GraphError(f"every node is in one group; got {sorted(nodes)}")
    if not enabled and len(groups) < len(nodes):
        raise GraphError(f"without fusion every node is alone; got {len(groups)} groups")
    verify_groups(graph, groups)


@checked_pass(_rules)
def fuse(graph: Graph, *, enabled: bool = True) -> tuple[Group, ...]:
    """Gather the nodes of a graph into groups, in an order in which they can run.

    Args:
        graph: the graph; its inputs belong to no group.
        enabled: False keeps every node alone, which changes speed and nothing else.
    """
    fusion = _Fusion(graph, enabled)
    for index, node in enumerate(graph.nodes):
        if node.op != "input":
            fusion.place(index)
    if enabled:
        fusion.leave_to_sums()
        fusion.merge_sums()
    return fusion.build()


class _Fusion:
    def __init__(self, graph: Graph, enabled: bool) -> None:
        self.graph = graph
        self.enabled = enabled
        self.of: dict[int, _Draft] = {}
        self.drafts: list[_Draft] = []
        self.made = 0

    # Growing ------------------------------------------------------------------------------------

    def place(self, index: int) -> None:
        """Put a node into a group of its inputs, or into a new one."""
        node = self.graph[index]
        if operation(node.op).pointwise:
            draft = self._home(index) or self._new(_Draft())
            draft.pointwise.append(index)
        elif operation(node.op).sums:
            draft = self._summing(index) or self._new(_Draft())
            draft.sums.append(index)
        else:
            draft = self._new(_Draft(index))
        self.of[index] = draft
        self._read(draft, {self.of[i] for i in node.inputs if i in self.of} - {draft})
        if self.enabled and operation(node.op).pointwise:
            self._gather(index, draft)

    def _new(self, draft: _Draft) -> _Draft:
        draft.bit = 1 << self.made
        self.made += 1
        self.drafts.append(draft)
        return draft

    def _read(self, draft: _Draft, sources: set[_Draft]) -> None:
        """Note that a group reads others."""
        draft.sources |= sources
        needs = draft.needs
        for source in sources:
            source.needed = True
            needs |= source.needs | source.bit
        if needs != draft.needs:
            draft.needs = needs
            if draft.needed:
                for reader in self.drafts:
                    if reader.needs & draft.bit:
                        reader.needs |= needs

    def _home(self, index: int) -> _Draft | None:
        """The latest group of an input that this pointwise node can join."""
        if not self.enabled:
            return None
        spec = self.graph[index].spec
        for source in sorted(self.graph[index].inputs, reverse=True):
            draft = self.of.get(source)
            other = self.graph[source].spec
            if draft is None or source in draft.sums:
                continue
            if (other.shape, other.batched) != (spec.shape, spec.batched):
                continue
            if self._takes_pointwise(draft) and self._legal(draft, [index]):
                return draft
        return None

    def _gather(self, index: int, draft: _Draft) -> None:
        """Take in the other pointwise groups that this node reads."""
        spec = self.graph[index].spec
        for source in self.graph[index].inputs:
            other = self.of.get(source)
            seen = self.graph[source].spec
            if other is None or other is draft or other.anchor >= 0 or source in other.sums:
                continue
            if (seen.shape, seen.batched) != (spec.shape, spec.batched) or other.sums:
                continue
            if self._anchor_reads(draft, other):
                continue
            beside = [s for s in draft.sources if s is not other]
            if not any(self._reaches(s, other) for s in beside):
                self._merge(draft, other)

    def _anchor_reads(self, draft: _Draft, other: _Draft) -> bool:
        """Whether the anchor, which comes before all else in its group, needs `other` itself."""
        if draft.anchor < 0:
            return False
        return any(self.of.get(source) is other for source in self.graph[draft.anchor].inputs)

    def _takes_pointwise(self, draft: _Draft) -> bool:
        return draft.anchor < 0 or operation(self.graph[draft.anchor].op).epilogue

    def _summing(self, index: int) -> _Draft | None:
        """The pointwise group that makes the summed value, if the sum can be taken there."""
        if not self.enabled:
            return None
        (source,) = self.graph[index].inputs
        draft = self.of.get(source)
        if draft is None or draft.anchor >= 0 or source in draft.sums:
            return None
        node = self.graph[index]
        kinds = {(self.graph[s].attrs, self.graph[s].spec.dtype) for s in draft.sums}
        if kinds - {(node.attrs, node.spec.dtype)}:
            return None
        return draft

    def _legal(self, draft: _Draft, joining: Iterable[int]) -> bool:
        """No other input of the joining nodes may depend on the group."""
        for index in joining:
            for source in self.graph[index].inputs:
                other = self.of.get(source)
                if other is None:
                    continue
                if other is draft:
                    if source in draft.sums:
                        return False
                elif self._reaches(other, draft):
                    return False
        return True

    def _reaches(self, start: _Draft, goal: _Draft) -> bool:
        """Whether `start` needs `goal`, directly or through others."""
        return start is goal or bool(start.needs & goal.bit)

    # What only sums read ------------------------------------------------------------------------

    def leave_to_sums(self) -> None:
        """Move work behind an anchor that only a sum reads into the sum's pass.

        An anchor takes no sums, so that it would store the value for that pass alone. The pass
        makes it from what is stored anyway: a gradient and a normalised value are multiplied where
        the products are added up, and not in the convolution that one of them comes from.
        """
        wanted = {index for _, index in self.graph.outputs}
        readers: dict[int, list[int]] = {}
        for index, node in enumerate(self.graph.nodes):
            for source in node.inputs:
                readers.setdefault(source, []).append(index)
        for draft in self.drafts:
            for index in [*reversed(draft.pointwise)] if draft.anchor >= 0 else []:
                takers = {self.of[reader] for reader in readers.get(index, ())}
                if index in wanted or len(takers) != 1:
                    continue
                (taker,) = takers
                if not taker.sums or set(readers[index]) - set(taker.sums):
                    continue
                if all(
                    self.of.get(source) is not draft
                    or source in wanted
                    or any(self.of[reader] is not draft for reader in readers[source])
                    for source in self.graph[index].inputs
                ):
                    self._move(index, draft, taker)

    def _move(self, index: int, draft: _Draft, taker: _Draft) -> None:
        """Let a group that reads a value make it, of what comes before its group or is stored."""
        draft.pointwise.remove(index)
        taker.pointwise = sorted([*taker.pointwise, index])
        self.of[index] = taker
        for each in (draft, taker):
            inputs = (source for node in each.members() for source in self.graph[node].inputs)
            each.sources = {self.of[source] for source in inputs if source in self.of} - {each}

    # Sums over the same values in one pass ------------------------------------------------------

    def merge_sums(self) -> None:
        """Join groups that sum in the same way over a value that they share, if they can.

        They cannot if one needs the other.
        """
        alike: dict[object, list[_Draft]] = {}
        order = []
        for draft in self.drafts:
            if draft.sums:
                node = self.graph[draft.sums[0]]
                over = self.graph[node.inputs[0]].spec
                peers = alike.setdefault((node.attrs, over), [])
                order.append((draft, peers, len(peers)))
                peers.append(draft)
        reads = {draft: self._reads(draft) for draft, _, _ in order}
        for draft, peers, number in order:
            for other in peers[number + 1 :]:
                if not draft.sums or not other.sums or not reads[draft] & reads[other]:
                    continue
                if not self._reaches(draft, other) and not self._reaches(other, draft):
                    self._merge(draft, other)
                    reads[draft] = self._reads(draft)

    def _reads(self, draft: _Draft) -> set[int]:
        """Batched values a group takes or makes, other than by broadcasting."""
        nodes = draft.pointwise + draft.sums
        read = {source for index in nodes for source in self.graph[index].inputs}
        shape = self.graph[self.graph[draft.sums[0]].inputs[0]].spec.shape
        return {i for i in read if self.graph[i].spec.shape == shape and self.graph[i].spec.batched}

    def _merge(self, draft: _Draft, other: _Draft) -> None:
        draft.pointwise = sorted(draft.pointwise + other.pointwise)
        draft.sums = sorted(draft.sums + other.sums)
        draft.sources = (draft.sources | other.sources) - {draft, other}
        both = draft.bit | other.bit
        draft.needs = (draft.needs | other.needs) & ~both
        draft.needed |= other.needed
        for index in other.members():
            self.of[index] = draft
        other.pointwise, other.sums = [], []
        self.drafts.remove(other)
        for reader in self.drafts:
            if reader.needs & both:
                reader.needs = (reader.needs | draft.bit | draft.needs) & ~other.bit
                if other in reader.sources:
                    reader.sources = (reader.sources - {other}) | {draft}

    # Order --------------------------------------------------------------------------------------

    def build(self) -> tuple[Group, ...]:
        """Groups in an order in which each comes after all that it needs."""
        wanted = {index for _, index in self.graph.outputs}
        for index, node in enumerate(self.graph.nodes):
            wanted |= {i for i in node.inputs if self.of.get(i) is not self.of.get(index)}
        rank = {d: n for n, d in enumerate(sorted(self.drafts, key=lambda d: max(d.members())))}
        drafts = list(rank)
        missing = [len(draft.sources) for draft in drafts]
        readers: list[list[int]] = [[] for _ in drafts]
        for number, draft in enumerate(drafts):
            for source in draft.sources:
                readers[rank[source]].append(number)
        ready = [number for number, count in enumerate(missing) if not count]
        order: list[_Draft] = []
        while ready:
            number = heappop(ready)
            order.append(drafts[number])
            for reader in readers[number]:
                missing[reader] -= 1
                if not missing[reader]:
                    heappush(ready, reader)
        if len(order) < len(drafts):
            raise GraphError("fusion made groups that need one another")
        return tuple(self._group(draft, wanted) for draft in order)

    def _group(self, draft: _Draft, wanted: set[int]) -> Group:
        stored = tuple(i for i in sorted(draft.members()) if i in wanted)
        return Group(draft.anchor, tuple(draft.pointwise), tuple(draft.sums), stored)
