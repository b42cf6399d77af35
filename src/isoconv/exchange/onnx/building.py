"""A network while it is made of an ONNX graph: values, layers, weights, what a node asks for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isoconv.exchange.onnx.layouts import Layout, Row, flat, of_shape, row
from isoconv.exchange.onnx.reader import Node, OnnxFile
from isoconv.exchange.onnx.writing import RECORD
from isoconv.graph.operation import Array
from isoconv.nn import Constant, Flatten, Module, Reshape, Transpose
from isoconv.nn.network import Step

_WEIGHTED = ("Conv", "Gemm", "MatMul")
MOST_FOLDED = 2**27
"""Bytes of all arrays that follow from others or are a layer's, beside eight times the file's."""


class NodeError(ValueError):
    """A node that cannot be a layer; the text says why."""


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """What a layer gives, or an input.

    Attributes:
        name: of the layer or the input.
        layout: how it lies.
    """

    name: str
    layout: Layout

    @property
    def sizes(self) -> tuple[int, ...]:
        """Its shape in ONNX, for one image."""
        return self.layout.sizes


@dataclass(frozen=True, eq=False, slots=True)
class Fixed:
    """An array that is known when the network is read.

    Attributes:
        array: as ONNX has it.
        name: of the initializer; "" for what was computed.
    """

    array: Array
    name: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape


Given = Value | Fixed


class Building:
    """The network as far as it is made.

    Attributes:
        opset: version of the operators.
        own: the file was written here, where each array that is learned has a name.
        values: what stands for each value of the graph.
        steps: of the network.
        weights: its arrays by name.
        shapes: of what each step gives, as its layout has it.
        origins: which of the file's arrays are in the weights of a step.
        split: nodes that make several rows of one image, in words.
        kinds: of the elements of values of the graph; float32 where nothing is said.
        readers: how often each value of the graph is read, as a result too.
        makers: which node gives each value of the graph.
    """

    def __init__(
        self, file: OnnxFile, inputs: Mapping[str, Layout], *, fold_batch_norm: bool = False
    ) -> None:
        self.opset = file.opset
        self.own = RECORD in file.metadata
        self.fold_batch_norm = fold_batch_norm
        self.values: dict[str, Given] = {name: Fixed(a, name) for name, a in file.arrays.items()}
        self.values |= {name: Value(name, layout) for name, layout in inputs.items()}
        self.kinds = {given.name: given.kind or "float32" for given in file.inputs}
        self.readers = Counter(name for node in file.nodes for name in node.inputs)
        self.readers.update(given.name for given in file.outputs)
        self.makers = {name: node for node in file.nodes for name in node.outputs if name}
        self._room = MOST_FOLDED
        for array in file.arrays.values():
            self._room += 8 * array.nbytes
        self.steps: list[Step] = []
        self.weights: dict[str, Array] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.origins: dict[str, tuple[str, ...]] = {}
        self.split: list[str] = []
        self.inputs = tuple(inputs)
        self._names = set(inputs)
        self._lying: dict[tuple[str, tuple[Row, ...]], Value] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}

    def add(
        self,
        name: str,
        layer: Module,
        sources: Iterable[Value],
        layout: Layout,
        *,
        origins: Iterable[Given | None] = (),
        **weights: Array,
    ) -> Value:
        """One more layer.

        Args:
            name: that it shall have; a number is added where another one has it.
            layer: without weights.
            sources: what it reads.
            layout: of what it gives.
            origins: what its arrays follow from.
            **weights: its arrays, as the layer has them.
        """
        free, number = name, 2
        while free in self._names:
            free, number = f"{name}_{number}", number + 1
        self._names.add(free)
        for array in weights.values():
            self.hold(4 * array.size)
        self.steps.append((free, layer, *(source.name for source in sources)))
        for own, array in weights.items():
            self.weights[f"{free}.{own}"] = np.asarray(array, np.float32)
        if weights:
            # A number alone is nobody's weight: exporters write each once.
            self.origins[free] = tuple(
                given.name
                for given in origins
                if isinstance(given, Fixed) and given.name and given.array.size > 1
            )
        self.shapes[free] = layout.shape
        return Value(free, layout)

    def kind_of(self, name: str) -> str:
        """The kind of a value's elements in the file."""
        found = self.values.get(name)
        if isinstance(found, Fixed):
            return found.array.dtype.name
        return self.kinds.get(name, "float32")

    def hold(self, size: int, *, kept: bool = True) -> None:
        """Count bytes before they are taken: a small file can double an array again and again.

        Args:
            size: how many.
            kept: whether they stay; others only have to fit.

        Raises:
            NodeError: they are too many in all.
        """
        room = self._room - size
        if kept:
            self._room = room
        if room < 0:
            raise NodeError("what follows from the file's arrays must not be much larger than they")

    def needed(self, result: Value) -> list[Step]:
        """The steps that a result needs, in their order."""
        wanted = {result.name}
        found: list[Step] = []
        for step in reversed(self.steps):
            if step[0] in wanted:
                wanted.update(step[2:])
                found.append(step)
        return found[::-1]

    def alone(self, name: str, value: Value) -> Module | None:
        """The layer that gives a value of the graph to one reader alone, so that it may be changed.

        Args:
            name: of the value in the graph.
            value: that stands for it.
        """
        maker = self.makers.get(name)
        if maker is None or self.readers[name] != 1 or maker.operator not in _WEIGHTED:
            return None
        return next((layer for own, layer, *_ in self.steps if own == value.name), None)

    def lying(self, value: Value, memory: Sequence[Row]) -> Value:
        """The same value with its elements in another order, by as little as that takes."""
        memory = tuple(memory)
        key = (value.name, memory)
        if value.layout.memory == memory:
            return value
        if key not in self._lying:
            have, want = flat(value.layout.memory), flat(memory)
            moved = value
            if have != want:
                runs = _runs(have, want)
                moved = self._shaped(moved, sorted(runs, key=lambda run: have.index(run[0])))
                places = {run[0]: place for place, run in enumerate(moved.layout.memory)}
                order = tuple(places[run[0]] for run in runs)
                layout = Layout(value.layout.axes, tuple(runs))
                moved = self.add(f"{value.name}.transpose", Transpose(order), [moved], layout)
            self._lying[key] = self._shaped(moved, memory)
        # Of the same elements other axes may be made.
        return replace(self._lying[key], layout=Layout(value.layout.axes, memory))

    def _shaped(self, value: Value, memory: Sequence[Row]) -> Value:
        layout = Layout(value.layout.axes, tuple(memory))
        if layout.shape == value.layout.shape:
            return Value(value.name, layout)
        whole = len(layout.shape) == 1
        layer = Flatten() if whole else Reshape(layout.shape)
        return self.add(f"{value.name}.{'flatten' if whole else 'reshape'}", layer, [value], layout)

    def reshaped(self, value: Value, sizes: Sequence[int]) -> Value:
        """The same value under another shape; its elements stay where they are if they can."""
        layout = value.layout.reshaped(sizes)
        if layout is None:
            value = self.lying(value, [flat(value.layout.axes)])
            axes = tuple(map(row, sizes))
            # The tensor has one axis, whose parts have other names from now on.
            layout = Layout(axes, (flat(axes),))
        return Value(value.name, layout)

    def constant(self, fixed: Fixed, name: str, array: Array | None = None) -> Value:
        """A layer that gives an array, with its axes as they are.

        Raises:
            NodeError: the network has no input, of which the layer would be a part.
        """
        if not self.inputs:
            raise NodeError("a network must have an input")
        array = fixed.array if array is None else array
        self.hold(4 * array.size, kept=False)
        array = np.asarray(array, np.float32, order="C")
        key = (fixed.name, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key in self._constants:
            return self._constants[key]
        learned = bool(fixed.name) and array.size > 1
        layer = Constant(array.shape, learned)
        layout = of_shape(array.shape, range(array.ndim))
        source = Value(self.inputs[0], layout)
        # A constant's array is its value, by name too: `pos.value` comes back as that of `pos`.
        name = fixed.name.removesuffix(".value") or f"{name}.constant"
        made = self.add(name, layer, [source], layout, origins=[fixed], value=array)
        self._constants[key] = made
        return made


def _runs(have: Row, want: Row) -> list[Row]:
    """The order that is wanted in pieces that stay together."""
    places = {factor: place for place, factor in enumerate(have)}
    runs: list[Row] = []
    for factor in want:
        if runs and places[factor] == places[runs[-1][-1]] + 1:
            runs[-1] = (*runs[-1], factor)
        else:
            runs.append((factor,))
    return runs


class Use:
    """A node as its converter sees it.

    Attributes:
        node: of the graph.
        into: the network that is being made.
        inputs: what it reads; None for what is left out.
    """

    def __init__(self, node: Node, into: Building) -> None:
        self.node = node
        self.into = into
        self.opset = into.opset
        self.inputs: list[Given | None] = [
            into.values[name] if name else None for name in node.inputs
        ]

    # What it reads

    def given(self, place: int) -> Given | None:
        """An input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def kind(self, place: int = 0) -> str:
        """The kind of an input's elements; layers compute with floats all the same."""
        names = self.node.inputs
        return self.into.kind_of(names[place]) if place < len(names) else "float32"

    def value(self, place: int = 0) -> Value:
        """An input that a layer can read; an array becomes a layer.

        Raises:
            NodeError: it is not there, or an array of whole numbers.
        """
        found = self.given(place)
        if isinstance(found, Fixed):
            # Its array is that layer's, and none of those that the node's own layer holds.
            made = self.inputs[place] = self.into.constant(self.floats(found, place), self.name())
            return made
        if found is None:
            raise NodeError(f"input {place} must be there")
        return found

    def floats(self, found: Fixed, place: int, *, whole: bool = False) -> Fixed:
        """An array that a layer may compute with; conditions are numbers there.

        Args:
            found: the input.
            place: of it.
            whole: whether it may hold whole numbers, as far as float32 has them.

        Raises:
            NodeError: it is of whole numbers, or of none.
        """
        if whole and found.array.dtype.kind in "iu" and found.array.size:
            small = found.array.astype(np.float32)
            if np.array_equal(small.astype(found.array.dtype), found.array):
                return replace(found, array=small)
        if found.array.dtype.kind not in "fb" or not found.array.size:
            got = f"{found.array.dtype} of shape {list(found.sizes)}"
            raise NodeError(f"input {place} must be of floats, at least one; got {got}")
        return found

    def array(self, place: int, what: str) -> Array:
        """An input that must be known when the network is read.

        Raises:
            NodeError: it is not.
        """
        found = self.optional(place, what)
        if found is None:
            raise NodeError(f"it must have {what}, input {place}")
        return found

    def optional(self, place: int, what: str) -> Array | None:
        """As `array`; None where it is left out."""
        found = self.given(place)
        if isinstance(found, Value):
            raise NodeError(
                f"{what}, input {place}, must be an array in the file; got the result of a layer"
            )
        return None if found is None else found.array

    def whole(self, place: int, what: str) -> tuple[int, ...] | None:
        """Whole numbers that must be known when the network is read."""
        found = self.optional(place, what)
        if found is None:
            return None
        if found.dtype.kind not in "iu" or found.ndim > 1:
            raise NodeError(f"{what}, input {place}, must be whole numbers in a row")
        return tuple(int(number) for number in found.reshape(-1))

    # Its settings

    def setting(self, name: str, usual: Any) -> Any:
        """An attribute of the kind that `usual` has.

        Raises:
            NodeError: it is of another kind.
        """
        found = self.node.attributes.get(name, usual)
        kind = type(usual)
        fits_kind = isinstance(found, kind) or (kind is float and isinstance(found, int))
        if usual is not None and not fits_kind:
            raise NodeError(f"attribute {name} must be {kind.__name__}; got {type(found).__name__}")
        return found

    def counts(self, name: str, length: int, usual: int) -> tuple[int, ...]:
        """An attribute with a whole number for each axis."""
        found: tuple[int, ...] = self.setting(name, (usual,) * length)
        if len(found) != length or not all(isinstance(number, int) for number in found):
            raise NodeError(f"attribute {name} must have {length} whole numbers; got {list(found)}")
        return found

    def axis(self, axis: int, sizes: Sequence[int]) -> int:
        """An axis, counted from the front.

        Raises:
            NodeError: there is no such axis.
        """
        if not -len(sizes) <= axis < len(sizes):
            raise NodeError(f"axis must be one of {len(sizes)}; got {axis}")
        return axis % len(sizes)

    # What becomes of it

    def wanted(self, place: int) -> bool:
        """Whether anything reads one of its results."""
        names = self.node.outputs
        return place < len(names) and bool(self.into.readers[names[place]])

    def name(self, place: int | None = None) -> str:
        """The name of its layer: that of an initializer without its last word, or of the node.

        Args:
            place: of the input with the weights.
        """
        found = None if place is None else self.given(place)
        if isinstance(found, Fixed):
            before, dot, last = found.name.rpartition(".")
            if dot and before and last in ("weight", "w", "kernel"):
                return before
        return self.node.name or next(filter(None, self.node.outputs), self.node.operator)

    def layer(
        self,
        layer: Module,
        sources: Iterable[Value],
        layout: Layout,
        *,
        name: str | None = None,
        **weights: Array,
    ) -> Value:
        """Its layer; see `Building.add`."""
        name = name or self.name()
        return self.into.add(name, layer, sources, layout, origins=self.inputs, **weights)

    def maps(self, value: Value) -> Value:
        """A feature map with its channels last: ``(N, C, spatial...)`` in ONNX.

        Raises:
            NodeError: it has no axis to slide along, or several images.
        """
        sizes = value.sizes
        if len(sizes) < 3 or sizes[0] != 1:
            raise NodeError(f"it must read feature maps (1, C, spatial...); got {list(sizes)}")
        return self.into.lying(value, value.layout.lying((*range(2, len(sizes)), 1)))

    def apart(self, value: Value, *axes: int) -> tuple[Value, list[int]]:
        """A value of whose axes each is one of the tensor's.

        Args:
            value: that may lie in another way.
            *axes: that must be among the tensor's, also if they have one element.

        Returns:
            It, and which of its axes those of the tensor are.
        """
        order = value.layout.order()
        # They come first, where a side of 1 parts nothing.
        order = [axis for axis in axes if axis not in order] + order
        return self.into.lying(value, value.layout.lying(order)), order
