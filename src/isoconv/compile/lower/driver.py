"""From a graph to kernel calls: its passes, then group by group, each by its family's rule.

A value that a padded convolution reads lies inside a halo of zeros, so that padding costs
nothing; views (reshape, slices) share the memory of what they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from isoconv.compile.calls import Arguments, Lowered
from isoconv.compile.layout import Halo, Placement
from isoconv.compile.lowering import Lowering, rule_of
from isoconv.compile.native.collector import collector_paused
from isoconv.compile.pointwise.bits import suits_bits
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.compile.target import Target
from isoconv.graph.fuse import fuse
from isoconv.graph.groups import Group
from isoconv.graph.hoist import hoisted
from isoconv.graph.ir import Graph, Node
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass
from isoconv.graph.recompute import recompute
from isoconv.graph.sign_masks import with_sign_masks
from isoconv.graph.verify import verify


def _lower_group(lowering: Lowering, group: Group) -> None:
    if group.sums:
        _reduce(lowering, group)
    elif group.anchor < 0:
        _pointwise(lowering, group)
    else:
        rule = rule_of(lowering.graph[group.anchor].op)
        if rule is not None:
            rule.lower(lowering, group)


def _pointwise(lowering: Lowering, group: Group) -> None:
    domain = lowering.spec(group.pointwise[0])
    arguments = Arguments()
    expression, _ = lowering.expression(group, domain, arguments)
    expression = lowering.nontemporal(expression, arguments)
    spec = PointwiseSpec(Domain(domain.shape, domain.batched), expression, len(arguments.buffers))
    lowering.emit(spec, arguments, lowering.graph[group.pointwise[-1]].name)


def _reduce(lowering: Lowering, group: Group) -> None:
    first = lowering.graph[group.sums[0]]
    domain = lowering.spec(first.inputs[0])
    arguments = Arguments()
    expression, numbers = lowering.expression(group, domain, arguments)
    results = []
    for index in group.sums:
        place = lowering.allocate(index)
        number = arguments.add(place.buffer, write=True)
        results.append(
            (
                numbers[lowering.graph[index].inputs[0]],
                Operand(number, place.dtype, place.strides, place.image, place.offset),
            )
        )
    spec = ReduceSpec(
        domain=Domain(domain.shape, domain.batched),
        expression=expression,
        results=tuple(results),
        kept=first.attrs.kept(len(domain.shape)),
        batched=first.attrs.batched,
        dtype=domain.dtype,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, first.name)


def _bound(graph: Graph, outputs: Mapping[str, Placement]) -> dict[int, Placement]:
    """Values that kernels can write where they are wanted, without a copy."""
    bound: dict[int, Placement] = {}
    for name, index in graph.outputs:
        node = graph[index]
        made = node.op != "input" and not operation(node.op).shares
        if made and not node.spec.batched and index not in bound:
            bound[index] = outputs[name]
    return bound


def _halos(graph: Graph) -> dict[int, Halo]:
    """The widest halo that any reader asks for, per value."""
    found: dict[int, Halo] = {}
    for node in graph.nodes:
        rule = rule_of(node.op)
        if rule is None or rule.halos is None:
            continue
        for position, wanted in rule.halos(graph, node):
            source = node.inputs[position]
            known = found.get(source, ((0, 0),) * len(wanted))
            found[source] = tuple(
                (max(a, c), max(b, d)) for (a, b), (c, d) in zip(known, wanted, strict=True)
            )
    return found


@checked_pass(lambda graph, _: verify(graph))
def with_gathered(graph: Graph) -> Graph:
    """Rows of a data set are first gathered into the arena where a kernel cannot pick them."""
    nodes: list[Node] = []
    place: list[int] = []
    gathered: dict[int, int] = {}

    def add(node: Node) -> int:
        nodes.append(node)
        return len(nodes) - 1

    def source_of(source: int, reader: Node) -> int:
        origin = graph[source]
        rows = origin.op == "input" and origin.attrs.kind == "dataset"
        if not rows or operation(reader.op).gathers_rows:
            return place[source]
        if source not in gathered:
            gathered[source] = add(Node("copy", (place[source],), None, origin.spec, reader.name))
        return gathered[source]

    for node in graph.nodes:
        sources = tuple([source_of(source, node) for source in node.inputs])
        place.append(add(node if sources == node.inputs else replace(node, inputs=sources)))
    return Graph(tuple(nodes), tuple((name, place[index]) for name, index in graph.outputs))


def lower(
    graph: Graph,
    target: Target,
    *,
    capacity: int,
    inputs: Mapping[str, Placement],
    outputs: Mapping[str, Placement],
    fusion: bool = True,
    written_halos: bool = False,
) -> Lowered:
    """Lower a graph to kernel calls.

    Args:
        graph: the work on one shard.
        target: the machine.
        capacity: most images a shard can hold.
        inputs: where each input lies, by input name.
        outputs: where each output is wanted, by output name.
        fusion: whether nodes are grouped.
        written_halos: whether the halos of large values are written in each shard, so that
            their memory is free for others before and after; else they have theirs for themselves.
    """
    with collector_paused():
        graph = with_gathered(graph)
        places = {index: inputs[node.attrs.name] for index, node in graph.inputs()}
        for node in graph.nodes:
            rule_of(node.op)
        groups = fuse(graph, enabled=fusion)
        if fusion:
            groups = recompute(graph, groups)
            groups = with_sign_masks(graph, groups, partial(suits_bits, target))
        bound = _bound(graph, outputs)
        lowering = Lowering(
            graph,
            target,
            capacity,
            places=places,
            bound=bound,
            hoisted=hoisted(graph, groups),
            halos=_halos(graph),
            written_halos=written_halos,
            fusion=fusion,
        )
        for group in groups:
            _lower_group(lowering, group)
        for name, index in graph.outputs:
            if bound.get(index) != outputs[name]:
                spec = graph[index].spec
                lowering.copy(lowering.places[index], spec, outputs[name], spec)
        return lowering.result
