"""Values that are computed again where they are read, in place of being stored and loaded.

To add a number for each channel to an activation, one for all images or each image's own, costs
next to nothing; to store the result and load it again costs as much as for any other activation. So
a group that reads such a value of another group computes it itself, from the activation behind it,
which lies in memory anyway. In batch normalisation these are ``x - mean`` and ``(x - mean) * inv``:
its backward pass needs them again.

The operations are the same on the same numbers, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isoconv.graph.groups import Group, verify_groups
from isoconv.graph.ir import Graph
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass

_LONGEST = 3  # operations from a stored value on; more would cost more than a load


@checked_pass(lambda groups, graph, _: verify_groups(graph, groups))
def recompute(graph: Graph, groups: Sequence[Group]) -> tuple[Group, ...]:
    """Let pointwise groups repeat cheap work of other groups instead of loading its result.

    Args:
        graph: the graph.
        groups: its nodes in groups, in an order in which they can run.

    Returns:
        The same groups; a node may now be in several of them, and is then stored by none.
    """
    return _Recomputation(graph, groups).build()


class _Recomputation:
    def __init__(self, graph: Graph, groups: Sequence[Group]) -> None:
        self.graph, self.groups = graph, groups
        self.home = {index: number for number, g in enumerate(groups) for index in g.nodes}
        self.wanted = {index for _, index in graph.outputs}
        self.stored = {index for index, _ in graph.inputs()}
        for group in groups:
            self.stored |= set(group.stored)
        self.readers: dict[int, set[int]] = {}
        for index, number in self.home.items():
            for source in graph[index].inputs:
                self.readers.setdefault(source, set()).add(number)
        self.chains: dict[int, tuple[int, ...]] = {}
        self.repeated: list[set[int]] = [set() for _ in groups]
        for number, group in enumerate(groups):
            for value in group.stored:
                self._consider(number, value)

    def _consider(self, number: int, value: int) -> None:
        """Store a value no more if its own group needs it and all others can repeat it."""
        readers = self.readers.get(value, set())
        others = readers - {number}
        if value in self.wanted or number not in readers:
            return
        if not all(self._runs_over(self.groups[other], value) for other in others):
            return
        chain = self._chain(value)
        if chain is None:
            return
        self.chains[value] = chain
        self.stored.remove(value)
        for other in others:
            self.repeated[other] |= set(chain)

    def _runs_over(self, group: Group, value: int) -> bool:
        """Whether a group is pointwise work, sums included, on values of this size."""
        if group.anchor >= 0:
            return False
        node = self.graph[(*group.pointwise, *group.sums)[0]]
        spec = node.spec if group.pointwise else self.graph[node.inputs[0]].spec
        own = self.graph[value].spec
        return (spec.shape, spec.batched) == (own.shape, own.batched)

    def _chain(self, value: int) -> tuple[int, ...] | None:
        """The nodes that make a value from a stored one of its size, or None."""
        node = self.graph[value]
        if not operation(node.op).cheap or not node.spec.batched:
            return None
        wide = [s for s in node.inputs if self.graph[s].spec == node.spec]
        specs = {s: self.graph[s].spec for s in node.inputs}
        narrow = [s for s, own in specs.items() if not own.batched or own.size < node.spec.size]
        if len(wide) != 1 or len(wide) + len(narrow) != len(node.inputs):
            return None
        if not self.stored.issuperset(narrow):
            return None
        (base,) = wide
        before = () if base in self.stored else self.chains.get(base)
        if before is None or len(before) == _LONGEST:
            return None
        return (*before, value)

    def build(self) -> tuple[Group, ...]:
        """The groups with what they repeat and without what none stores."""
        found = []
        for group, repeated in zip(self.groups, self.repeated, strict=True):
            pointwise = tuple(sorted({*group.pointwise, *repeated}))
            stored = tuple(index for index in group.stored if index in self.stored)
            found.append(replace(group, pointwise=pointwise, stored=stored))
        return tuple(found)
