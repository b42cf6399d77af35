"""From groups of nodes to kernel calls: which kernel, on which memory.

Values get a place when the group that makes them is lowered. A value that a padded convolution
reads lies inside a border of zeros, so that padding costs nothing; views (reshape, slices) share
the memory of what they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from isoconv.compile.calls import Arguments, Call, Lowered
from isoconv.compile.contraction import rules as lower_contract
from isoconv.compile.contraction.pack import PackSpec
from isoconv.compile.layout import Border, Buffer, Placement, bordered, dense_strides
from isoconv.compile.lower import roots as lower_roots
from isoconv.compile.native.collector import collector_paused
from isoconv.compile.native.kernels import KernelSpec
from isoconv.compile.pointwise.bits import BITS, bits_place, suits_bits
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.halo import BorderSpec
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.pointwise.nontemporal import streamed
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.compile.target import Target
from isoconv.compile.winograd import rules as lower_winograd
from isoconv.compile.winograd.weights import WinogradPackSpec
from isoconv.errors import GraphError
from isoconv.graph.fuse import fuse
from isoconv.graph.groups import Group, asks_for_signs
from isoconv.graph.hoist import hoisted
from isoconv.graph.ir import Graph, Node, TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.passes import checked_pass
from isoconv.graph.recompute import recompute
from isoconv.graph.signs import with_signs
from isoconv.graph.verify import verify

__all__ = ["Call", "Lowered", "lower"]

_LARGE = 128 * 1024  # bytes of an image from which on a border may be written each time


class Lowering:
    """Walks the groups and emits calls; ``lower`` is its face."""

    def __init__(
        self,
        graph: Graph,
        groups: Sequence[Group],
        target: Target,
        capacity: int,
        outputs: Mapping[str, Placement],
        inputs: Mapping[int, Placement],
        written_borders: bool,
        fusion: bool,
    ) -> None:
        self.graph = graph
        self.users = graph.users()
        self.fusion = fusion
        # Winograd's planes and products that no kernel has wanted whole so far.
        self.deferred: set[int] = set()
        self._written_borders = written_borders
        self.target = target
        self.capacity = capacity
        self.result = Lowered()
        self.places: dict[int, Placement] = dict(inputs)
        # Where it stands of which values they are positive.
        self.signs: dict[int, Placement] = {}
        self.borders = _borders(graph)
        self._hoisted = hoisted(graph, groups)
        self._packed: dict[tuple[int, PackSpec | WinogradPackSpec], Buffer] = {}
        self._bound = self._bind(outputs)
        for group in groups:
            self._group(group)
        self._copy_outputs(outputs)

    # Outputs ------------------------------------------------------------------------------------

    def _bind(self, outputs: Mapping[str, Placement]) -> dict[int, Placement]:
        """Values that kernels can write where they are wanted, without a copy."""
        bound: dict[int, Placement] = {}
        for name, index in self.graph.outputs:
            node = self.graph[index]
            plain = node.op not in ("input", "reshape", "slice_channels", "crop")
            if plain and not node.spec.batched and index not in bound:
                bound[index] = outputs[name]
        return bound

    def _copy_outputs(self, outputs: Mapping[str, Placement]) -> None:
        for name, index in self.graph.outputs:
            if self._bound.get(index) != outputs[name]:
                spec = self.graph[index].spec
                self.copy(self.places[index], spec, outputs[name], spec)

    # Places -------------------------------------------------------------------------------------

    def spec(self, index: int) -> TensorSpec:
        """What a value is."""
        return self.graph[index].spec

    def allocate(self, index: int) -> Placement:
        """A place for a value that is about to be made."""
        if index in self._bound:
            self.places[index] = self._bound[index]
        elif index in self._hoisted:
            spec = self.spec(index)
            buffer = Buffer("packed", f"v{index}", spec.size * spec.itemsize)
            self.places[index] = Placement(buffer, spec.dtype, dense_strides(spec.shape), 0, 0)
        else:
            self.places[index] = self._bordered(index, self.borders.get(index, ()))
        return self.places[index]

    def _bordered(self, index: int, border: Border) -> Placement:
        """A place inside zeros that stay there or, if that saves memory, are written each time."""
        spec = self.spec(index)
        place = self._arena(f"v{index}", spec, border)
        if not (self._written_borders and place.buffer.border and spec.batched):
            return place
        if place.buffer.bytes < _LARGE:
            return place
        place = replace(place, buffer=replace(place.buffer, border=""))
        arguments = Arguments()
        arguments.add(place.buffer, write=True)
        zeros = BorderSpec(spec.dtype, spec.shape[: len(border)], spec.shape[-1], border)
        self.emit(zeros, arguments, self.graph[index].name)
        return place

    def _arena(self, name: str, spec: TensorSpec, border: Border) -> Placement:
        shape, strides, offset = bordered(spec, border)
        size = TensorSpec(shape, spec.dtype).size
        key = f"{spec.dtype}{shape}{border}" if any(map(any, border)) else ""
        buffer = Buffer("arena", name, size * spec.itemsize, spec.batched, key)
        return Placement(buffer, spec.dtype, strides, size if spec.batched else 0, offset)

    def emit(self, spec: KernelSpec, arguments: Arguments, layer: str) -> None:
        """Add a call to the shard's work; what makes packed memory comes before all shards."""
        once = any(arguments.buffers[number].region == "packed" for number in arguments.writes)
        calls = self.result.prepare if once else self.result.shard
        calls.append(Call(spec, tuple(arguments.buffers), tuple(arguments.writes), layer))

    def packed(self, weight: int, spec: PackSpec | WinogradPackSpec) -> Buffer:
        """Packed weights: once per step for parameters, in the shard for computed weights."""
        key = (weight, spec)
        if key not in self._packed:
            shared = self.graph[weight].op == "input"
            itemsize = self.spec(weight).itemsize
            name = f"w{weight}.{len(self._packed)}"
            buffer = Buffer("packed" if shared else "arena", name, spec.size * itemsize)
            arguments = Arguments()
            arguments.add(self.dense(weight).buffer)
            arguments.add(buffer, write=True)
            self.emit(spec, arguments, self.graph[weight].name)
            self._packed[key] = buffer
        return self._packed[key]

    def dense(self, index: int) -> Placement:
        """An unbatched value that begins where its buffer does, copied there if need be."""
        place, spec = self.places[index], self.spec(index)
        if place.offset or not place.is_dense(spec):
            dense = self._arena(f"d{index}", spec, ())
            self.copy(place, spec, dense, spec)
            self.places[index] = place = dense
        return place

    # Groups -------------------------------------------------------------------------------------

    def _group(self, group: Group) -> None:
        if group.sums:
            self._reduce(group)
        elif group.root < 0:
            self._pointwise(group)
        else:
            rule = lower_roots.ROOTS.get(self.graph[group.root].op)
            if rule is None:
                raise GraphError(f"no kernel computes {self.graph[group.root].op!r}")
            rule(self, group)

    def expression(
        self, group: Group, domain: TensorSpec, arguments: Arguments
    ) -> tuple[Expression, dict[int, int]]:
        """The group's pointwise work; also the number of each value in it."""
        numbers: dict[int, int] = {}
        operands: list[Operand] = []
        scalars: dict[tuple[int, int], int] = {}
        inside = set(group.nodes)

        def number_of(source: int) -> int:
            if source not in numbers:
                asks = source in self.signs and asks_for_signs(self.graph, group, source)
                place = (self.signs if asks else self.places)[source]
                operands.append(arguments.operand(place, self.spec(source), domain))
                numbers[source] = len(operands) - 1
            return numbers[source]

        for index in (*group.pointwise, *group.sums):
            node = self.graph[index]
            for position, source in enumerate(node.inputs):
                if source in inside:
                    continue
                if node.op == "dropout" and position == 2:
                    self._dropout_key(source, arguments, operands, scalars)
                else:
                    number_of(source)
        root = ""
        if group.root >= 0:
            root = self.spec(group.root).dtype
            numbers[group.root] = len(operands)
        steps: list[Step] = []
        base = len(operands) + bool(root)
        for index in group.pointwise:
            node = self.graph[index]
            args = [
                numbers[source]
                for position, source in enumerate(node.inputs)
                if not (node.op == "dropout" and position == 2)
            ]
            if node.op == "dropout":
                args += [scalars[node.inputs[2], 0], scalars[node.inputs[2], 1]]
            numbers[index] = base + len(steps)
            steps.append(Step(node.op, tuple(args), node.attrs, node.spec.dtype))
        stores = [
            (numbers[value], arguments.operand(self.allocate(value), domain, domain, write=True))
            for value in group.stored
            if value not in group.sums
        ]
        for value in group.signs:
            self.signs[value] = place = bits_place(f"s{value}", domain)
            stores.append((base + len(steps), arguments.operand(place, domain, domain, write=True)))
            steps.append(Step("positive", (numbers[value],), None, BITS))
        expression = Expression(tuple(operands), root, tuple(steps), tuple(stores))
        return _with_strides(expression, len(domain.shape)), numbers

    def streamed(self, expression: Expression, arguments: Arguments) -> Expression:
        """The same of a kernel that writes each result once, with what goes past the caches."""
        return streamed(expression, arguments.buffers, self.target, self.capacity)

    def _dropout_key(
        self,
        source: int,
        arguments: Arguments,
        operands: list[Operand],
        scalars: dict[tuple[int, int], int],
    ) -> None:
        """Seed and epoch as two operands that repeat everywhere."""
        place = self.places[source]
        number = arguments.add(place.buffer)
        for entry in (0, 1):
            if (source, entry) not in scalars:
                operands.append(Operand(number, "int64", (), 0, place.offset + entry))
                scalars[source, entry] = len(operands) - 1

    def _pointwise(self, group: Group) -> None:
        domain = self.spec(group.pointwise[0])
        arguments = Arguments()
        expression, _ = self.expression(group, domain, arguments)
        expression = self.streamed(expression, arguments)
        spec = PointwiseSpec(
            Domain(domain.shape, domain.batched), expression, len(arguments.buffers)
        )
        self.emit(spec, arguments, self.graph[group.pointwise[-1]].name)

    def _reduce(self, group: Group) -> None:
        first = self.graph[group.sums[0]]
        domain = self.spec(first.inputs[0])
        arguments = Arguments()
        expression, numbers = self.expression(group, domain, arguments)
        results = []
        for index in group.sums:
            place = self.allocate(index)
            number = arguments.add(place.buffer, write=True)
            results.append(
                (
                    numbers[self.graph[index].inputs[0]],
                    Operand(number, place.dtype, place.strides, place.image, place.offset),
                )
            )
        spec = ReduceSpec(
            domain=Domain(domain.shape, domain.batched),
            expression=expression,
            results=tuple(results),
            keep=first.attrs.keep,
            batched=first.attrs.batched,
            dtype=domain.dtype,
            buffers=len(arguments.buffers),
        )
        self.emit(spec, arguments, first.name)

    # Moving data --------------------------------------------------------------------------------

    def copy(self, source: Placement, seen: TensorSpec, to: Placement, spec: TensorSpec) -> None:
        """Copy a value; either place may have gaps when both have the same shape."""
        domain = spec
        if seen.shape != spec.shape:
            if source.is_dense(seen):
                source = replace(source, strides=dense_strides(spec.shape))
            elif to.is_dense(spec):
                to, domain = replace(to, strides=dense_strides(seen.shape)), seen
            else:
                middle = self._arena(f"m{len(self.result.shard)}", seen, ())
                self.copy(source, seen, middle, seen)
                source = replace(middle, strides=dense_strides(spec.shape))
        arguments = Arguments()
        operand = arguments.operand(source, domain, domain)
        store = arguments.operand(to, domain, domain, write=True)
        expression = _with_strides(Expression((operand,), "", (), ((0, store),)), len(domain.shape))
        kernel = PointwiseSpec(
            Domain(domain.shape, domain.batched), expression, len(arguments.buffers)
        )
        self.emit(kernel, arguments, "")

    def fill_zero(self, place: Placement, spec: TensorSpec) -> None:
        """Set a whole value to +0.0."""
        arguments = Arguments()
        store = arguments.operand(place, spec, spec, write=True)
        expression = _with_strides(
            Expression((), "", (Step("zero", (), None, spec.dtype),), ((0, store),)),
            len(spec.shape),
        )
        kernel = PointwiseSpec(Domain(spec.shape, spec.batched), expression, 1)
        self.emit(kernel, arguments, "")


def _with_strides(expression: Expression, axes: int) -> Expression:
    """Operands that repeat everywhere get a stride of 0 per axis; rank 0 becomes one axis of 1."""

    def full(operand: Operand) -> Operand:
        if len(operand.strides) == axes:
            return operand
        return replace(operand, strides=(0,) * axes)

    return replace(
        expression,
        operands=tuple(full(o) for o in expression.operands),
        stores=tuple((v, full(o)) for v, o in expression.stores),
    )


def _borders(graph: Graph) -> dict[int, Border]:
    """The widest border that any reader asks for, per value."""
    found: dict[int, Border] = {}
    for node in graph.nodes:
        contracted = lower_contract.borders_of(graph, node)
        for position, wanted in (*contracted, *lower_winograd.borders_of(node)):
            source = node.inputs[position]
            known = found.get(source, ((0, 0),) * len(wanted))
            found[source] = tuple(
                (max(a, c), max(b, d)) for (a, b), (c, d) in zip(known, wanted, strict=True)
            )
    return found


_NEEDS_COPY = frozenset(
    {"conv", "conv_grad_input", "conv_grad_weight", "max_pool", "max_pool_grad", "avg_pool",
     "avg_pool_grad", "reshape", "slice_channels", "concat", "pad", "crop", "embed_channels",
     "winograd_input", "winograd_input_grad", "winograd_output", "winograd_output_grad",
     "winograd_product", "winograd_product_grad_input", "winograd_product_grad_weight"}
)  # fmt: skip


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
        if reader.op not in _NEEDS_COPY or origin.op != "input" or origin.attrs.kind != "dataset":
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
    written_borders: bool = False,
) -> Lowered:
    """Lower a graph to kernel calls.

    Args:
        graph: the work on one shard.
        target: the machine.
        capacity: most images a shard can hold.
        inputs: where each input lies, by input name.
        outputs: where each output is wanted, by output name.
        fusion: whether nodes are grouped.
        written_borders: whether the borders of large values are written in each shard, so that
            their memory is free for others before and after; else they have theirs for themselves.
    """
    with collector_paused():
        graph = with_gathered(graph)
        places = {index: inputs[node.attrs.name] for index, node in graph.inputs()}
        for node in graph.nodes:
            operation(node.op)
        groups = fuse(graph, enabled=fusion)
        if fusion:
            groups = recompute(graph, groups)
            groups = with_signs(graph, groups, partial(suits_bits, target))
        lowering = Lowering(
            graph, groups, target, capacity, outputs, places, written_borders, fusion
        )
        return lowering.result
