"""Where lowering stands: what the rules of all kernel families ask, and where they leave calls.

A rule turns a group around one operation into kernel calls. It stands beside its kernels, in the
``rules.py`` of their wing, and enters itself here under the operation's name; the operation names
the wing (`Operation.kernels`). Values get a place when the group that makes them is lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module

from isoconv.compile.calls import Arguments, Call, Lowered
from isoconv.compile.layout import (
    Buffer,
    Halo,
    Placement,
    dense_placement,
    dense_strides,
    with_halo,
)
from isoconv.compile.native.specification import Schedule, Specification
from isoconv.compile.pointwise.bits import BITS, bits_place
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.pointwise.nontemporal import with_nontemporal_stores
from isoconv.compile.target import Target
from isoconv.errors import GraphError
from isoconv.graph.groups import Group, asks_for_sign
from isoconv.graph.ir import Graph, Node, TensorSpec
from isoconv.graph.operation import operation

_LARGE = 128 * 1024  # bytes of an image from which on a halo may be written each time


Halos = Callable[[Graph, Node], Iterator[tuple[int, Halo]]]
"""(input position, halo) of what a node wants around its inputs."""


class Rule:
    """How an operation becomes kernel calls.

    Attributes:
        lower: emits the calls of a group around a node with this operation.
        halos: what the operation wants around its inputs; None for nothing.
    """

    __slots__ = ("halos", "lower")

    def __init__(
        self, lower: Callable[[Lowering, Group], None], halos: Halos | None = None
    ) -> None:
        self.lower = lower
        self.halos = halos


_RULES: dict[str, Rule] = {}


def lowers(
    *names: str, halos: Halos | None = None
) -> Callable[[Callable[[Lowering, Group], None]], Callable[[Lowering, Group], None]]:
    """Enter a function as the rule of these operations.

    Args:
        names: of the operations.
        halos: what they want around their inputs.
    """

    def enter(
        function: Callable[[Lowering, Group], None],
    ) -> Callable[[Lowering, Group], None]:
        for name in names:
            _RULES[name] = Rule(function, halos)
        return function

    return enter


def rule_of(name: str) -> Rule | None:
    """The rule of an operation; None for pointwise work and sums, which need none of their own.

    Raises:
        GraphError: no kernel computes it.
    """
    entry = operation(name)
    if entry.pointwise or entry.sums or name == "input":
        return None
    if name not in _RULES and entry.kernels:
        import_module(f"isoconv.compile.{entry.kernels}.rules")
    if name not in _RULES:
        raise GraphError(f"no kernel computes {name!r}")
    return _RULES[name]


class Lowering:
    """The state of lowering a graph; the driver goes through the groups with it.

    Args:
        graph: what is lowered.
        target: the machine.
        capacity: most images a shard can hold.
        places: where each input lies, by node.
        bound: values that kernels can write where they are wanted, without a copy.
        hoisted: nodes that are computed before all shards.
        halos: of zeros that readers want around a value, by node.
        written_halos: whether those of large values are written in each shard.
        fusion: whether nodes are grouped.

    Attributes:
        places: where each value lies that was made so far.
        sign_masks: where it stands of which values they are positive.
        deferred: values that nobody has wanted whole so far; a rule of the wing that put them here
            makes them when somebody does.
        result: the calls.
    """

    def __init__(
        self,
        graph: Graph,
        target: Target,
        capacity: int,
        *,
        places: Mapping[int, Placement],
        bound: Mapping[int, Placement],
        hoisted: frozenset[int],
        halos: Mapping[int, Halo],
        written_halos: bool,
        fusion: bool,
    ) -> None:
        self.graph = graph
        self.users = graph.users()
        self.target = target
        self.capacity = capacity
        self.fusion = fusion
        self.places = dict(places)
        self.sign_masks: dict[int, Placement] = {}
        self.halos = halos
        self.deferred: set[int] = set()
        self.result = Lowered()
        self._bound = bound
        self._hoisted = hoisted
        self._written_halos = written_halos
        self._packed: dict[tuple[int, Specification], Buffer] = {}

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
            self.places[index] = dense_placement(buffer, spec)
        else:
            self.places[index] = self._with_halo(index, self.halos.get(index, ()))
        return self.places[index]

    def read(self, index: int, arguments: Arguments) -> Operand:
        """A value as a kernel reads it that goes through all of it."""
        spec = self.spec(index)
        return arguments.operand(self.places[index], spec, spec)

    def _with_halo(self, index: int, halo: Halo) -> Placement:
        """A place inside zeros that stay there or, if that saves memory, are written each time."""
        spec = self.spec(index)
        place = self._arena(f"v{index}", spec, halo)
        if not (self._written_halos and place.buffer.halo and spec.batched):
            return place
        if place.buffer.bytes < _LARGE:
            return place
        place = replace(place, buffer=replace(place.buffer, halo=""))
        arguments = Arguments()
        arguments.add(place.buffer, write=True)
        zeros = HaloSpec(spec.dtype, spec.shape[: len(halo)], spec.shape[-1], halo)
        self.emit(zeros, arguments, self.graph[index].name)
        return place

    def _arena(self, name: str, spec: TensorSpec, halo: Halo) -> Placement:
        shape, strides, offset = with_halo(spec, halo)
        size = TensorSpec(shape, spec.dtype).size
        key = f"{spec.dtype}{shape}{halo}" if any(map(any, halo)) else ""
        buffer = Buffer("arena", name, size * spec.itemsize, spec.batched, key)
        return Placement(buffer, spec.dtype, strides, size if spec.batched else 0, offset)

    def emit(
        self,
        spec: Specification,
        arguments: Arguments,
        layer: str,
        *,
        schedule: Schedule | None = None,
        gradient: bool = False,
    ) -> None:
        """Add a call to the shard's work; what makes packed memory comes before all shards.

        Args:
            spec: the kernel.
            arguments: its buffers.
            layer: the layer it works for.
            schedule: how it goes about its work; None where there is one way.
            gradient: whether it is a gradient by the input.
        """
        once = any(arguments.buffers[number].region == "packed" for number in arguments.writes)
        calls = self.result.prepare if once else self.result.shard
        buffers, writes = tuple(arguments.buffers), tuple(arguments.writes)
        calls.append(Call(spec, buffers, writes, layer, schedule, gradient))

    def packed(self, weight: int, spec: Specification, size: int) -> Buffer:
        """So many packed weights: once per step for parameters, in the shard for computed ones."""
        key = (weight, spec)
        if key not in self._packed:
            source = weight
            while operation(self.graph[source].op).view:
                (source,) = self.graph[source].inputs
            shared = self.graph[source].op == "input" and (
                self.places[source].buffer == self.places[weight].buffer
            )
            itemsize = self.spec(weight).itemsize
            name = f"w{weight}.{len(self._packed)}"
            buffer = Buffer("packed" if shared else "arena", name, size * itemsize)
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

    # Pointwise work -------------------------------------------------------------------------------

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
                asks = source in self.sign_masks and asks_for_sign(self.graph, group, source)
                place = (self.sign_masks if asks else self.places)[source]
                operands.append(arguments.operand(place, self.spec(source), domain))
                numbers[source] = len(operands) - 1
            return numbers[source]

        for index in (*group.pointwise, *group.sums):
            node = self.graph[index]
            for position, source in enumerate(node.inputs):
                if source in inside:
                    continue
                if position == operation(node.op).key:
                    self._key(source, arguments, operands, scalars)
                else:
                    number_of(source)
        root = ""
        if group.anchor >= 0:
            root = self.spec(group.anchor).dtype
            numbers[group.anchor] = len(operands)
        steps: list[Step] = []
        base = len(operands) + bool(root)
        for index in group.pointwise:
            node, key = self.graph[index], operation(self.graph[index].op).key
            args = [numbers[s] for position, s in enumerate(node.inputs) if position != key]
            if key is not None:
                args += [scalars[node.inputs[key], 0], scalars[node.inputs[key], 1]]
            numbers[index] = base + len(steps)
            positional = key is not None
            steps.append(Step(node.op, tuple(args), node.attrs, node.spec.dtype, positional))
        stores = [
            (numbers[value], arguments.operand(self.allocate(value), domain, domain, write=True))
            for value in group.stored
            if value not in group.sums
        ]
        for value in group.sign_masks:
            self.sign_masks[value] = place = bits_place(f"s{value}", domain)
            stores.append((base + len(steps), arguments.operand(place, domain, domain, write=True)))
            steps.append(Step("positive", (numbers[value],), None, BITS))
        expression = Expression(tuple(operands), root, tuple(steps), tuple(stores))
        return _with_strides(expression, len(domain.shape)), numbers

    def nontemporal(self, expression: Expression, arguments: Arguments) -> Expression:
        """The same of a kernel that writes each result once, with what goes past the caches."""
        return with_nontemporal_stores(expression, arguments.buffers, self.target, self.capacity)

    def _key(
        self,
        source: int,
        arguments: Arguments,
        operands: list[Operand],
        scalars: dict[tuple[int, int], int],
    ) -> None:
        """A key of random numbers, as two operands that repeat everywhere: seed and epoch."""
        place = self.places[source]
        number = arguments.add(place.buffer)
        for entry in (0, 1):
            if (source, entry) not in scalars:
                operands.append(Operand(number, "int64", (), 0, place.offset + entry))
                scalars[source, entry] = len(operands) - 1

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
