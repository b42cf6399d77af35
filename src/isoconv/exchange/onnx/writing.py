"""A graph while it is written as ONNX: values, how they lie, weights, nodes, and the table.

An axis of an image's shape may lie anywhere among those of an ONNX value: the images come first,
and `Written.order` says for each other axis whose it is. So transpositions cost nothing until an
operator asks for channels first, or a reshape for elements in our order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isoconv.errors import ArgumentError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph, Node
from isoconv.graph.operation import Array, operation
from isoconv.ops import (
    Broadcast,
    ConvGeometry,
    ConvGradInput,
    CountAttrs,
    Permutation,
    Shape,
)
from isoconv.ops.interpret import interpret

Order = tuple[int, ...]

INTEGERS = {"uint8": 2, "int8": 3}
"""ONNX's numbers of the kinds that its quantised operators take."""

RECORD, PREPROCESSING = "isoconv", "isoconv.preprocessing"
"""Keys of a file's metadata: the model's record as `Module.describe` has it; what normalises."""

COMPUTED = ":computed"
"""What the name of an array that is computed of a weight has behind that of the weight."""


@dataclass(frozen=True, slots=True)
class Written:
    """A value with an image axis, as it stands in the ONNX graph.

    Attributes:
        name: in the graph.
        shape: of an image, as it is here.
        order: for each axis of the ONNX value behind that of the images, which of ``shape`` it is.
        flat: of a row, the shape ``(spatial..., C)`` whose elements it holds channels first; empty
            for a row in its own order.
    """

    name: str
    shape: tuple[int, ...]
    order: Order
    flat: tuple[int, ...] = ()

    def axis(self, own: int) -> int:
        """The ONNX axis of one of ours."""
        return 1 + self.order.index(own % len(self.shape))


def channels_first(rank: int) -> Order:
    """The order of a feature map of so many axes: channels, then positions."""
    return (rank - 1, *range(rank - 1))


_CONVOLUTION = (ConvGeometry, ConvGradInput)
"""Settings of a convolution, and of a transposed one."""
Rule = Callable[["Writer", Node], Written]
Attempt = Callable[["Writer", Node], Written | None]
_TABLE: dict[str, Rule] = {}
_ATTEMPTS: dict[str, Attempt] = {}
_KEEPING: set[str] = set()


@dataclass(frozen=True, slots=True)
class Integers:
    """What is known of floats that are whole numbers of 8 bits.

    Attributes:
        name: of the integers.
        kind: ``"int8"`` or ``"uint8"``.
        zero: what was subtracted of them.
    """

    name: str
    kind: str
    zero: int = 0


def attempts(*names: str) -> Callable[[Attempt], Attempt]:
    """Enter a function as what is asked first; where it gives None they are written as always."""

    def enter(rule: Attempt) -> Attempt:
        for name in names:
            _ATTEMPTS[name] = rule
        return rule

    return enter


def writes(*names: str, keeps: bool = False) -> Callable[[Rule], Rule]:
    """Enter a function as what writes these operations.

    Args:
        names: of the operations.
        keeps: each element of the result is one of the operand, or 0.
    """

    def enter(rule: Rule) -> Rule:
        for name in names:
            _TABLE[name] = rule
        if keeps:
            _KEEPING.update(names)
        return rule

    return enter


def writer_for(name: str) -> Rule | None:
    """What writes an operation; None where nothing does."""
    return _TABLE.get(name)


class Writer:
    """The ONNX graph of one of ours.

    Args:
        graph: of a prediction, with one output.
        arrays: for its inputs without an image axis.
        opset: version of the operators.

    Attributes:
        nodes: (operator, inputs, outputs, name, settings) of each node so far.
        weights: arrays by name.
        values: by position what was written.
        facts: by the name of a value what is known of it.
        reasons: by layer why its whole numbers are not those of ONNX's quantised operators.
        places: by the name of places of maxima that of ONNX's own, and the sides they count in.
    """

    def __init__(self, graph: Graph, arrays: Mapping[str, Array], opset: int) -> None:
        self.graph, self.opset = graph, opset
        self.nodes: list[tuple[str, list[str], list[str], str, dict[str, Any]]] = []
        self.weights: dict[str, Array] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.values: dict[int, Written] = {}
        self.facts: dict[str, object] = {}
        self.reasons: dict[str, str] = {}
        self._wide: dict[str, str] = {}
        self._computed: dict[str, dict[str, None]] = {}
        self.places: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._arrays = arrays
        self._direct = {i: _direct(graph, i) for i in range(len(graph))}
        self._needed = self._reachable()
        self._readers: dict[int, list[int]] = {}
        for index in self._needed:
            for source in dict.fromkeys(self.at(index).inputs):
                self._readers.setdefault(source, []).append(index)
        self._fixed = self._known()
        self._layer, self._dtype, self._images = "", "float32", ""

    def at(self, index: int) -> Node:
        """A node; several that stand for one as that one."""
        return self._direct[index]

    def _reachable(self) -> list[int]:
        needed: set[int] = set()
        waiting = [index for _, index in self.graph.outputs]
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                waiting.extend(self.at(index).inputs)
        return sorted(needed)

    def _known(self) -> dict[int, Array]:
        """All that follows from weights alone, by the references: the same for all images."""
        known = {
            i: self._arrays[self.at(i).attrs.name]
            for i in self._needed
            if self.at(i).op == "input" and not self.at(i).spec.batched
        }
        fixed, single = set(known), []
        for index in self._needed:
            node = self.at(index)
            # How many images a sum over them goes over, nobody knows here.
            over = any(self.at(i).spec.batched for i in node.inputs) and not node.spec.batched
            alone = node.op != "input" and fixed.issuperset(node.inputs)
            if alone and not over:
                fixed.add(index)
                single.append(index)
        if single:
            # What they are made of alone: a whole network would take the references long.
            graph = GraphBuilder(self.graph).graph([(str(i), i) for i in single])
            named = {node.attrs.name: self._arrays[node.attrs.name] for _, node in graph.inputs()}
            found = interpret(graph, named, 1)
            known |= {i: found[str(i)][0 if self.at(i).spec.batched else ...] for i in single}
        return known

    def lacking(self) -> dict[str, list[str]]:
        """Operations that nothing writes, with the layers that ask for them."""
        found: dict[str, list[str]] = {}
        for index in self._needed:
            node = self.at(index)
            if index in self._fixed or node.op == "input":
                continue
            # What several images have in common is no value of one.
            if writer_for(node.op) is None or not node.spec.batched:
                found.setdefault(node.op, []).append(node.name)
        return found

    def run(self, images: Mapping[str, Written]) -> Written:
        """Write all nodes, given the inputs with an image axis; returns the result."""
        self._images = next(iter(images.values())).name
        for index in self._needed:
            node = self.at(index)
            if index in self._fixed or self._absorbed(index):
                continue
            self._layer, self._dtype = node.name, node.spec.dtype
            if node.op == "input":
                self.values[index] = images[node.attrs.name]
            else:
                attempt = _ATTEMPTS.get(node.op)
                found = attempt(self, node) if attempt is not None else None
                self.values[index] = self.plain(node) if found is None else found
                if node.op in _KEEPING:
                    self._keep(node, self.values[index].name)
        ((_, result),) = self.graph.outputs
        if result in self._fixed:
            text = "a model whose result depends on no image is no network of ONNX"
            raise ArgumentError(text, argument="model")
        return self.values[result]

    def plain(self, node: Node) -> Written:
        """Write an operation as always."""
        return _TABLE[node.op](self, node)

    def moved(self, node: Node, x: Written) -> Written:
        """What an operation that moves its operand makes of another value, of any dtype."""
        (source,), dtype = node.inputs, self._dtype
        own, self.values[source], self._dtype = self.values[source], x, ""
        y = self.plain(node)
        self.values[source], self._dtype = own, dtype
        return y

    def _keep(self, node: Node, name: str) -> None:
        """Note that what was moved alone is of the kind that it was."""
        names = [self.values[i].name if i in self.values else "" for i in node.inputs]
        known = [self.facts.get(each) for each in names]
        whole = [each.kind for each in known if isinstance(each, Integers) and not each.zero]
        if len(whole) == len(names) and len({*whole}) == 1 and name not in self.facts:
            kind = whole[0]
            self.facts[name] = Integers(self.one("Cast", name, to=INTEGERS[kind]), kind)

    def prune(self, result: str) -> None:
        """Leave out nodes and weights that a result does not need."""
        needed, kept = {result}, []
        for node in reversed(self.nodes):
            if needed.intersection(node[2]):
                needed.update(node[1])
                kept.append(node)
        self.nodes = kept[::-1]
        self.weights = {name: a for name, a in self.weights.items() if name in needed}

    # What is written together

    def _sole(self, index: int) -> int | None:
        """The only reader of a value that is no output."""
        readers = self._readers.get(index, [])
        return readers[0] if len(readers) == 1 else None

    def _absorbed(self, index: int) -> bool:
        """Whether its reader writes it: a sum before a division, a convolution before its bias."""
        reader = self._sole(index)
        if reader is None:
            return False
        node, other = self.at(index), self.at(reader)
        if operation(node.op).sums:
            return isinstance(other.attrs, CountAttrs)
        return isinstance(node.attrs, _CONVOLUTION) and self.bias_of(other) is not None

    def bias_of(self, node: Node) -> tuple[Node, Array] | None:
        """The convolution and the vector that an addition adds to its result; None for others."""
        if node.op != "add":
            return None
        first, second = node.inputs
        conv = self.at(first)
        vector = self._fixed.get(second)
        if not isinstance(conv.attrs, _CONVOLUTION) or vector is None:
            return None
        fits = vector.shape == conv.spec.shape[-1:] and conv.spec.batched
        return (conv, vector) if fits and self._sole(first) is not None else None

    # Nodes and weights

    def node(self, op: str, inputs: Sequence[str], count: int = 1, **settings: Any) -> list[str]:
        """Add a node; gives the names of its results."""
        number = len(self.nodes)
        place = f"{self._layer}/" if self._layer else ""
        results = [f"{place}{op}_{number}" + (f":{i}" if i else "") for i in range(count)]
        self.nodes.append((op, list(inputs), results, f"{place}{op}_{number}", settings))
        if self._dtype == "float64":
            self._wide[results[0]] = self._layer
        return results

    def because(self, reason: str) -> None:
        """Note why the layer that is written is not one of ONNX's quantised operators."""
        self.reasons[self._layer] = reason

    def in_float64(self) -> list[str]:
        """Layers whose nodes compute in float64; those with sums in int32 are not among them."""
        exact = {results[0] for op, _, results, _, _ in self.nodes if op == "ConvInteger"}
        counted = {self._wide[name] for name in exact if name in self._wide}
        kept = (results[0] for _, _, results, _, _ in self.nodes)
        layers = dict.fromkeys(self._wide[name] for name in kept if name in self._wide)
        return [layer for layer in layers if layer not in counted]

    def one(self, op: str, *inputs: str, **settings: Any) -> str:
        """Add a node of one result; gives its name."""
        return self.node(op, inputs, **settings)[0]

    @property
    def constants(self) -> set[str]:
        """Names of the arrays that are no weights of the model."""
        return {*self._constants.values()}

    def array(self, values: Any, name: str = "") -> str:
        """The name of an array; equal ones without names are there once."""
        array = np.asarray(values)
        key = array.dtype.str, array.shape, array.tobytes()
        if not name and key in self._constants:
            return self._constants[key]
        wanted = name or f"constant_{len(self._constants)}"
        while wanted in self.weights:
            known = self.weights[wanted]
            if known.dtype == array.dtype and np.array_equal(known, array):
                return wanted
            wanted += "'"
        if not name:
            self._constants[key] = wanted
        self.weights[wanted] = array.copy(order="C")
        return wanted

    def name_of(self, index: int, *, state: bool = False) -> str:
        """The name of a weight, also reshaped, its axes moved or once for each image.

        What is computed of weights that are learned has a name of its own, and all else none, "":
        whoever reads the file learns what has a name.

        Args:
            index: of a value that follows from weights alone.
            state: for an operand that no training changes, which keeps its name, too.
        """
        node = self.graph[index]
        while isinstance(node.attrs, (Broadcast, Permutation, Shape)):
            source = self.graph[node.inputs[0]]
            if source.spec.size != node.spec.size:
                break
            node = source
        given: Any = node.attrs
        if node.op == "input":
            return str(given.name) if state or given.kind == "parameter" else ""
        learned = self._learned(index)
        if not learned:
            return ""
        name = learned[0] + COMPUTED
        self._computed.setdefault(name, {}).update(dict.fromkeys(learned))
        return name

    def _learned(self, index: int) -> list[str]:
        """The parameters that a value is computed of, in the order of the graph."""
        seen, waiting = {index}, [index]
        while waiting:
            more = {*self.graph[waiting.pop()].inputs} - seen
            seen |= more
            waiting.extend(more)
        nodes = (self.graph[place] for place in sorted(seen))
        return [n.attrs.name for n in nodes if n.op == "input" and n.attrs.kind == "parameter"]

    def computed(self) -> dict[str, list[str]]:
        """Parameters of which only what is computed of them is written, by its name in the file."""
        kept = {name.rstrip("'") for name in self.weights}
        return {name: [*of] for name, of in self._computed.items() if name in kept}

    def number(self, value: float) -> str:
        """The name of one number, in the dtype of what is written."""
        return self.array(np.asarray(value, self._dtype))

    # Values

    def fixed(self, index: int) -> Array | None:
        """A value that follows from weights alone; None for others."""
        return self._fixed.get(index)

    def value(self, index: int) -> Written:
        """A value with an image axis; a row in its own order."""
        found = self.values.get(index)
        if found is None:
            rank = len(self.at(index).spec.shape)
            found = self.values[index] = self.repeated(index, tuple(range(rank)))
        if not found.flat:
            return found
        self.values[index] = self.unflattened(found)
        return self.values[index]

    def unflattened(self, x: Written) -> Written:
        """A row that holds a feature map channels first, in its own order."""
        *sides, channels = x.flat
        whole = self.one("Reshape", x.name, self.array(np.array([-1, channels, *sides])))
        order = channels_first(len(x.flat))
        last = self.ordered(Written(whole, x.flat, order), tuple(range(len(x.flat))))
        row = self.one("Reshape", last.name, self.array(np.array([-1, *x.shape])))
        return Written(row, x.shape, (0,))

    def ordered(self, x: Written, order: Order) -> Written:
        """The same value, its axes in another order."""
        if x.order == order:
            return x
        move = [0, *(1 + x.order.index(axis) for axis in order)]
        return Written(self.one("Transpose", x.name, perm=move), x.shape, order)

    def first(self, index: int) -> Written:
        """A feature map with its channels first."""
        x = self.value(index)
        return self.ordered(x, channels_first(len(x.shape)))

    def last(self, index: int) -> Written:
        """A value with its axes in our order."""
        x = self.value(index)
        return self.ordered(x, tuple(range(len(x.shape))))

    def beside(self, index: int, like: Written) -> str:
        """An operand of elementwise work, as it lies beside another one."""
        array = self.fixed(index)
        if array is None:
            x = self.values[index]
            if x.flat == like.flat and x.order == like.order:
                return x.name
            return self.ordered(self.value(index), like.order).name
        if array.size == 1:
            return self.array(array.reshape(()))
        rank = len(like.shape)
        array = array.reshape((1,) * (rank - array.ndim) + array.shape)
        if like.flat:
            whole = np.broadcast_to(array, like.shape).reshape(like.flat)
            whole = whole.transpose(channels_first(len(like.flat))).reshape(-1)
            return self.array(whole, self.name_of(index))
        return self.array(array.transpose(like.order), self.name_of(index))

    def repeated(self, index: int, order: Order) -> Written:
        """A value that is the same for all images, once for each; its axes in an order."""
        array = self._fixed[index]
        name = self.array(array.transpose(order)[None], self.name_of(index))
        count = self.one("Gather", self.one("Shape", self._images), self.array(np.array([0])))
        sides = self.one("Concat", count, self.array(np.ones(array.ndim, np.int64)), axis=0)
        return Written(self.one("Expand", name, sides), array.shape, order)

    def like(self, name: str, x: Written, shape: tuple[int, ...] | None = None) -> Written:
        """What elementwise work gives: it lies as its operand does."""
        return replace(x, name=name, shape=x.shape if shape is None else shape)


def _direct(graph: Graph, index: int) -> Node:
    node = graph[index]
    stands = operation(node.op).stands_for
    if stands is None:
        return node
    found = stands(graph.__getitem__, index)
    return Node(found.op, found.operands, found.attrs, node.spec, node.name)
