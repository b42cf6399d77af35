"""The messages of an ONNX file, as far as a network is described by them.

The numbers of the fields are those of ``onnx.proto`` (https://onnx.ai/onnx/api/classes.html). What
only people or training read, and graphs inside nodes, is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from isoconv.exchange.onnx.wire import Field, message, numbers, raw, sides, single, text, whole
from isoconv.graph.operation import Array


@dataclass(eq=False, slots=True)
class Entry:
    """A pair of texts."""

    key: str = ""
    value: str = ""


@dataclass(eq=False, slots=True)
class Opset:
    """Which version of a set of operators a file is written in; "" is ONNX's own set."""

    domain: str = ""
    version: int = 0


@dataclass(eq=False, slots=True)
class TensorMessage:
    """An array: its elements stand in the file in one of several ways, or in another file."""

    dims: list[int] = field(default_factory=list)
    kind: int = 0
    name: str = ""
    raw: memoryview | None = None
    singles: list[Array] = field(default_factory=list)
    doubles: list[Array] = field(default_factory=list)
    small: list[Array] = field(default_factory=list)
    whole: list[Array] = field(default_factory=list)
    unsigned: list[Array] = field(default_factory=list)
    texts: list[memoryview] = field(default_factory=list)
    external: list[Entry] = field(default_factory=list)
    location: int = 0


@dataclass(eq=False, slots=True)
class AttributeMessage:
    """A setting of a node."""

    name: str = ""
    kind: int = 0
    number: float = 0.0
    count: int = 0
    text: memoryview = field(default_factory=lambda: memoryview(b""))
    tensor: TensorMessage | None = None
    graph: memoryview | None = None
    numbers: list[Array] = field(default_factory=list)
    counts: list[Array] = field(default_factory=list)
    texts: list[memoryview] = field(default_factory=list)
    reference: str = ""


@dataclass(eq=False, slots=True)
class NodeMessage:
    """A use of an operator."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    name: str = ""
    operator: str = ""
    domain: str = ""
    attributes: list[AttributeMessage] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Side:
    size: int | None = None
    name: str = ""


@dataclass(eq=False, slots=True)
class _Shape:
    sides: list[_Side] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _TensorType:
    kind: int = 0
    shape: _Shape | None = None


@dataclass(eq=False, slots=True)
class _Type:
    tensor: _TensorType | None = None


@dataclass(eq=False, slots=True)
class ValueMessage:
    """What goes into the graph or comes out of it."""

    name: str = ""
    type: _Type | None = None

    @property
    def kind(self) -> int:
        """The number of its element type; 0 when the file does not say, or it is no tensor."""
        found = self.type and self.type.tensor
        return found.kind if found else 0

    @property
    def sides(self) -> tuple[int | str, ...] | None:
        """Its shape, with names for sides that are free; None when the file does not say."""
        found = self.type and self.type.tensor and self.type.tensor.shape
        if not found:
            return None
        return tuple(side.name if side.size is None else side.size for side in found.sides)


@dataclass(eq=False, slots=True)
class GraphMessage:
    """A graph."""

    nodes: list[NodeMessage] = field(default_factory=list)
    name: str = ""
    initializers: list[TensorMessage] = field(default_factory=list)
    sparse: list[memoryview] = field(default_factory=list)
    inputs: list[ValueMessage] = field(default_factory=list)
    outputs: list[ValueMessage] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class ModelMessage:
    """A whole file."""

    version: int = 0
    producer: str = ""
    graph: GraphMessage | None = None
    opsets: list[Opset] = field(default_factory=list)
    metadata: list[Entry] = field(default_factory=list)
    functions: list[memoryview] = field(default_factory=list)


_entry = message(Entry, {1: Field("key", text), 2: Field("value", text)})
_tensor = message(
    TensorMessage,
    {
        1: Field("dims", sides, many=True),
        2: Field("kind", whole),
        4: Field("singles", numbers("<f4"), many=True),
        5: Field("small", numbers("<i8"), many=True),
        6: Field("texts", raw, many=True),
        7: Field("whole", numbers("<i8"), many=True),
        8: Field("name", text),
        9: Field("raw", raw),
        10: Field("doubles", numbers("<f8"), many=True),
        11: Field("unsigned", numbers("<i8"), many=True),
        13: Field("external", _entry, many=True),
        14: Field("location", whole),
    },
)
_attribute = message(
    AttributeMessage,
    {
        1: Field("name", text),
        2: Field("number", single),
        3: Field("count", whole),
        4: Field("text", raw),
        5: Field("tensor", _tensor),
        6: Field("graph", raw),
        7: Field("numbers", numbers("<f4"), many=True),
        8: Field("counts", numbers("<i8"), many=True),
        9: Field("texts", raw, many=True),
        20: Field("kind", whole),
        21: Field("reference", text),
    },
)
_node = message(
    NodeMessage,
    {
        1: Field("inputs", text, many=True),
        2: Field("outputs", text, many=True),
        3: Field("name", text),
        4: Field("operator", text),
        5: Field("attributes", _attribute, many=True),
        7: Field("domain", text),
    },
)
_side = message(_Side, {1: Field("size", whole), 2: Field("name", text)})
_shape = message(_Shape, {1: Field("sides", _side, many=True)})
_tensor_type = message(_TensorType, {1: Field("kind", whole), 2: Field("shape", _shape)})
_value = message(
    ValueMessage,
    {1: Field("name", text), 2: Field("type", message(_Type, {1: Field("tensor", _tensor_type)}))},
)
_graph = message(
    GraphMessage,
    {
        1: Field("nodes", _node, many=True),
        2: Field("name", text),
        5: Field("initializers", _tensor, many=True),
        11: Field("inputs", _value, many=True),
        12: Field("outputs", _value, many=True),
        15: Field("sparse", raw, many=True),
    },
)
_opset = message(Opset, {1: Field("domain", text), 2: Field("version", whole)})

read_model: Any = message(
    ModelMessage,
    {
        1: Field("version", whole),
        2: Field("producer", text),
        7: Field("graph", _graph),
        8: Field("opsets", _opset, many=True),
        14: Field("metadata", _entry, many=True),
        25: Field("functions", raw, many=True),
    },
)
"""Reads the message of a whole file: ``read_model(Reading(), 2, content, "the file")``."""
