"""ONNX files opened: what a file says, checked as far as that needs no operator's meaning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.errors import CheckpointError, turned
from isoconv.exchange.onnx.messages import (
    AttributeMessage,
    GraphMessage,
    ModelMessage,
    NodeMessage,
    TensorMessage,
    read_model,
)
from isoconv.exchange.onnx.tensors import KINDS, array_of
from isoconv.exchange.onnx.wire import Reading
from isoconv.files import read_file
from isoconv.graph.operation import Array
from isoconv.printable import printable

OLDEST, NEWEST = 6, 28
"""Versions of ONNX's set of operators that are read."""
MOST_TOLD = 20
"""Faults of a file that a message names; the rest it counts."""
OWN = ("", "ai.onnx")
"""What ONNX's own set of operators is called."""


@dataclass(frozen=True, slots=True)
class Given:
    """An input or a result of a graph.

    Attributes:
        name: in the file.
        kind: of its elements, "float32"; "" when the file does not say.
        sides: its shape with names for free sides; None when the file does not say.
    """

    name: str
    kind: str
    sides: tuple[int | str, ...] | None


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A use of an operator.

    Attributes:
        operator: its name; one of another set than ONNX's with the set's before a dot.
        name: of the node; "" when it has none.
        inputs: names of what it reads; "" for an optional input that is left out.
        outputs: names of what it gives, likewise.
        attributes: its settings: numbers, texts, tuples of them, or arrays.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def title(self) -> str:
        """How messages name it."""
        named = self.name or next((f"of {out}" for out in self.outputs if out), "")
        return f"{self.operator} {printable(named)!r}"


@dataclass(frozen=True, eq=False, slots=True)
class OnnxFile:
    """What a file says.

    Attributes:
        path: of the file.
        opset: version of ONNX's set of operators.
        nodes: each behind those that it reads.
        arrays: initializers by name.
        inputs: what is given when the graph runs.
        outputs: its results.
        metadata: pairs of texts that came along.
    """

    path: Path
    opset: int
    nodes: tuple[Node, ...]
    arrays: Mapping[str, Array]
    inputs: tuple[Given, ...]
    outputs: tuple[Given, ...]
    metadata: Mapping[str, str]


def refused(path: Path, faults: Sequence[str]) -> CheckpointError:
    """An error that names what is wrong with a file, or the first of many."""
    listed = " | ".join(faults[:MOST_TOLD])
    more = len(faults) - MOST_TOLD
    return CheckpointError(
        f"{path} cannot be read as an ONNX network: {listed}"
        + (f" | and {more} more" if more > 0 else ""),
        path=path,
    )


def open_onnx(path: Path) -> OnnxFile:
    """Read a file, and see that it is whole.

    Raises:
        CheckpointError: it cannot be read; the message names all that is wrong with it.
        NotEnoughMemoryError: there is not enough memory for it.
    """
    what = f"{path} cannot be read as an ONNX network"
    try:
        content = memoryview(read_file(path))
    except OSError as error:
        raise CheckpointError(f"{what}: {error.strerror or error}", path=path) from error
    try:
        message = read_model(Reading(), 2, content, "it")
    except ValueError as error:
        if found := _other_kind(bytes(content[:512])):
            raise refused(path, [f"it must be an ONNX file; it is {found}"]) from error
        raise turned(error, CheckpointError, what, path=path) from error
    return file_of(message, path)


def _other_kind(start: bytes) -> str:
    """What a file without ONNX in it is, by its first bytes; "" for what is not known."""
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, which stands for the file itself: git lfs pull fetches that"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page (HTML): the download gave that instead of the file"
    if start.startswith((b"PK\3\4", b"\x1f\x8b")):
        return "an archive (zip, PyTorch's files too, or gzip)"
    text = start.decode("utf-8", "ignore")
    return "text" if text and all(c.isprintable() or c in "\t\r\n" for c in text) else ""


def file_of(message: ModelMessage, path: Path) -> OnnxFile:
    """What the message of a file says; see `open_onnx`."""
    graph, opset = message.graph, _opset(message)
    faults = [] if opset is None else list(_of_opset(opset))
    if graph is None or opset is None or not (graph.nodes or graph.outputs):
        raise refused(path, ["it must hold a graph and the versions of its operators"])
    if message.functions:
        faults.append("it must have no functions of its own; inline them first (onnx.inliner)")
    if graph.sparse:
        faults.append("its arrays must be dense; it has sparse initializers")
    arrays: dict[str, Array] = {}
    alike: dict[str, list[str]] = {}
    for tensor in graph.initializers:
        for fault in _take_array(tensor, path.parent, arrays):
            alike.setdefault(fault, []).append(repr(printable(tensor.name)))
    for fault, found in alike.items():
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        faults.append(f"array{'s' * (len(found) > 1)} {', '.join(found[:3])}{more}: {fault}")
    nodes: list[Node] = []
    for given in graph.nodes:
        faults += _take_node(given, path.parent, nodes)
    # One that cannot be read is there all the same.
    held = {tensor.name for tensor in graph.initializers}
    inputs = [entry for entry in graph.inputs if entry.name not in held]
    faults += _names(graph, nodes, held, [entry.name for entry in inputs])
    ordered = _ordered(nodes)
    if ordered is None:
        faults.append("its graph must have no cycle; nodes read each other's results in one")
    if faults:
        raise refused(path, faults)
    return OnnxFile(
        path=path,
        opset=opset,
        nodes=tuple(ordered or ()),
        arrays=arrays,
        inputs=tuple(Given(v.name, KINDS.get(v.kind, ""), v.sides) for v in inputs),
        outputs=tuple(Given(v.name, KINDS.get(v.kind, ""), v.sides) for v in graph.outputs),
        metadata={entry.key: entry.value for entry in message.metadata},
    )


def _opset(message: ModelMessage) -> int | None:
    return next((opset.version for opset in message.opsets if opset.domain in OWN), None)


def _of_opset(version: int) -> Iterator[str]:
    if not OLDEST <= version <= NEWEST:
        yield (
            f"its operators must be of a version from {OLDEST} to {NEWEST}; got {version} "
            "(onnx.version_converter makes one of another)"
        )


def _take_array(tensor: TensorMessage, folder: Path, arrays: dict[str, Array]) -> Iterator[str]:
    try:
        found = array_of(tensor, folder)
    except ValueError as error:
        yield str(error)
        return
    except OSError as error:
        yield error.strerror or str(error)
        return
    if not tensor.name or tensor.name in arrays:
        yield "arrays must have names, each another one"
    # A bound alone may be infinite, that of a Clip.
    if (
        found.dtype.kind == "f"
        and not (np.isfinite(found) | ((found.size == 1) & ~np.isnan(found))).all()
    ):
        yield "weights must be finite; it holds NaN or infinity"
    elif found.dtype == np.float64 and np.isfinite(found).all():
        # They become float32.
        largest = np.finfo(np.float32).max
        if not ((found <= largest) & (found >= -largest)).all():
            yield f"weights must be at most {largest:.3g} in size, the greatest float32 number"
    arrays[tensor.name] = found


def _take_node(node: NodeMessage, folder: Path, nodes: list[Node]) -> Iterator[str]:
    operator = node.operator if node.domain in OWN else f"{node.domain}.{node.operator}"
    found: dict[str, Any] = {}
    made = Node(operator, node.name, tuple(node.inputs), tuple(node.outputs), found)
    for attribute in node.attributes:
        try:
            found[attribute.name] = _setting(attribute, folder)
        except (ValueError, OSError) as error:
            yield f"{made.title}, attribute {printable(attribute.name)!r}: {error}"
    nodes.append(made)


_CONTENT = {1: "float", 2: "int", 3: "string", 4: "tensor", 6: "floats", 7: "ints", 8: "strings"}


def _setting(attribute: AttributeMessage, folder: Path) -> Any:
    """The value of an attribute.

    Raises:
        ValueError: it is of a kind that no operator here takes.
    """
    kind = attribute.kind or _guessed(attribute)
    if kind == 4 and attribute.tensor is not None:
        return array_of(attribute.tensor, folder)
    if kind == 5:
        # Whoever needs it says that it is there.
        return attribute.graph
    values: dict[int, Callable[[], Any]] = {
        1: lambda: attribute.number,
        2: lambda: attribute.count,
        3: lambda: _text(attribute.text),
        6: lambda: tuple(float(x) for piece in attribute.numbers for x in piece),
        7: lambda: tuple(int(x) for piece in attribute.counts for x in piece),
        8: lambda: tuple(_text(text) for text in attribute.texts),
    }
    if kind not in values or attribute.reference:
        raise ValueError(f"it must be one of {', '.join(_CONTENT.values())}; got kind {kind}")
    return values[kind]()


def _guessed(attribute: AttributeMessage) -> int:
    """The kind of an attribute that does not say it, as the first files did not."""
    filled = {3: len(attribute.text), 4: attribute.tensor is not None,
              6: len(attribute.numbers), 7: len(attribute.counts), 8: len(attribute.texts),
              1: attribute.number}  # fmt: skip
    return next((kind for kind, there in filled.items() if there), 2)


def _text(found: memoryview) -> str:
    return bytes(found).decode("utf-8", "replace")


def _names(
    graph: GraphMessage, nodes: Sequence[Node], arrays: Collection[str], inputs: Sequence[str]
) -> Iterator[str]:
    """Names that stand for two values, or for none."""
    known = set(arrays) | set(inputs)
    for node in nodes:
        for name in node.outputs:
            if name in known:
                yield f"{node.title}: each value must have a name of its own; {printable(name)!r}"
            known |= {name} - {""}
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                yield f"{node.title}: what it reads must be there; {printable(name)!r} is not"
    for output in graph.outputs:
        if output.name not in known:
            yield f"result {printable(output.name)!r}: a node must give it; none does"


def _ordered(nodes: Sequence[Node]) -> list[Node] | None:
    """The nodes, each behind those that it reads; None where they go in a circle."""
    makers = {name: place for place, node in enumerate(nodes) for name in node.outputs if name}
    sorter: TopologicalSorter[int] = TopologicalSorter()
    in_order = True
    for place, node in enumerate(nodes):
        before = [makers[name] for name in node.inputs if name in makers]
        in_order = in_order and all(maker < place for maker in before)
        sorter.add(place, *before)
    if in_order:
        return list(nodes)
    try:
        return [nodes[place] for place in sorter.static_order()]
    except CycleError:
        return None
