"""The messages of an ONNX file, as far as a network is described by them.

The numbers of the fields are those of ``onnx.proto`` (https://onnx.ai/onnx/api/classes.html). What
only people or training read, and graphs inside nodes, is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isoconv.exchange.onnx import wire
from isoconv.graph.operation import Array


@dataclass(eq=False, slots=True)
class Entry:
    """A pair of texts."""

    key: str = wire.once(1, wire.text, "")
    value: str = wire.once(2, wire.text, "")


@dataclass(eq=False, slots=True)
class Opset:
    """Which version of a set of operators a file is written in; "" is ONNX's own set."""

    domain: str = wire.once(1, wire.text, "")
    version: int = wire.once(2, wire.whole, 0)


@dataclass(eq=False, slots=True)
class TensorMessage:
    """An array: its elements stand in the file in one of several ways, or in another file."""

    dims: list[int] = wire.many(1, wire.sides)
    kind: int = wire.once(2, wire.whole, 0)
    name: str = wire.once(8, wire.text, "")
    raw: memoryview | None = wire.once(9, wire.raw)
    singles: list[Array] = wire.many(4, wire.numbers("<f4"))
    doubles: list[Array] = wire.many(10, wire.numbers("<f8"))
    small: list[Array] = wire.many(5, wire.numbers("<i8"))
    whole: list[Array] = wire.many(7, wire.numbers("<i8"))
    unsigned: list[Array] = wire.many(11, wire.numbers("<i8"))
    texts: list[memoryview] = wire.many(6, wire.raw)
    external: list[Entry] = wire.many(13, wire.message(Entry))
    location: int = wire.once(14, wire.whole, 0)


@dataclass(eq=False, slots=True)
class AttributeMessage:
    """A setting of a node."""

    name: str = wire.once(1, wire.text, "")
    kind: int = wire.once(20, wire.whole, 0)
    number: float = wire.once(2, wire.single, 0.0)
    count: int = wire.once(3, wire.whole, 0)
    text: memoryview = wire.once(4, wire.raw, memoryview(b""))
    tensor: TensorMessage | None = wire.once(5, wire.message(TensorMessage))
    graph: memoryview | None = wire.once(6, wire.raw)
    numbers: list[Array] = wire.many(7, wire.numbers("<f4"))
    counts: list[Array] = wire.many(8, wire.numbers("<i8"))
    texts: list[memoryview] = wire.many(9, wire.raw)
    reference: str = wire.once(21, wire.text, "")


@dataclass(eq=False, slots=True)
class NodeMessage:
    """A use of an operator."""

    inputs: list[str] = wire.many(1, wire.text)
    outputs: list[str] = wire.many(2, wire.text)
    name: str = wire.once(3, wire.text, "")
    operator: str = wire.once(4, wire.text, "")
    domain: str = wire.once(7, wire.text, "")
    attributes: list[AttributeMessage] = wire.many(5, wire.message(AttributeMessage))


@dataclass(eq=False, slots=True)
class _Side:
    size: int | None = wire.once(1, wire.whole)
    name: str = wire.once(2, wire.text, "")


@dataclass(eq=False, slots=True)
class _Shape:
    sides: list[_Side] = wire.many(1, wire.message(_Side))


@dataclass(eq=False, slots=True)
class _TensorType:
    kind: int = wire.once(1, wire.whole, 0)
    shape: _Shape | None = wire.once(2, wire.message(_Shape))


@dataclass(eq=False, slots=True)
class _Type:
    tensor: _TensorType | None = wire.once(1, wire.message(_TensorType))


@dataclass(eq=False, slots=True)
class ValueMessage:
    """What goes into the graph or comes out of it."""

    name: str = wire.once(1, wire.text, "")
    type: _Type | None = wire.once(2, wire.message(_Type))

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

    nodes: list[NodeMessage] = wire.many(1, wire.message(NodeMessage))
    name: str = wire.once(2, wire.text, "")
    initializers: list[TensorMessage] = wire.many(5, wire.message(TensorMessage))
    sparse: list[memoryview] = wire.many(15, wire.raw)
    inputs: list[ValueMessage] = wire.many(11, wire.message(ValueMessage))
    outputs: list[ValueMessage] = wire.many(12, wire.message(ValueMessage))


@dataclass(eq=False, slots=True)
class ModelMessage:
    """A whole file."""

    version: int = wire.once(1, wire.whole, 0)
    producer: str = wire.once(2, wire.text, "")
    graph: GraphMessage | None = wire.once(7, wire.message(GraphMessage))
    opsets: list[Opset] = wire.many(8, wire.message(Opset))
    metadata: list[Entry] = wire.many(14, wire.message(Entry))
    functions: list[memoryview] = wire.many(25, wire.raw)


read_model: Any = wire.message(ModelMessage)
"""Reads the message of a whole file: ``read_model(Reading(), 2, content, "the file")``."""
