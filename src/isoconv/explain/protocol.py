"""The protocol between a network and the explorer's page: JSON for what it is, bytes for arrays.

Version 1. A description names everything by the positions of nodes in the graph; arrays are asked
for by these, float32 (little-endian), of the one image that is shown. docs/explorer.md states it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from isoconv.errors import ArgumentError
from isoconv.explain.network import Layer, Network
from isoconv.explain.windows import direct_of, pooling_of, window_of
from isoconv.graph.operation import Array, operation
from isoconv.nn.summary import multiply_adds
from isoconv.printable import printable

FORMAT, VERSION = "isoconv-scene", 1


class Scene:
    """One image in one network, as a page shows it.

    Args:
        network: the network on one image; with a label if gradients of the loss are wanted.
        title: what the page is called.
        image_name: what the image is called; "" for none.
        of: what gradients are of: ``"loss"``, or the number of a class. None: of the loss where
            there is a label, otherwise of the predicted class.
        label: number of the image's class; None for the one that the network was given.

    Raises:
        ArgumentError: the network has more than one image.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
        >>> scene = Scene(Network(model, np.ones((1, 5, 5, 1), np.float32), [0]))
        >>> [layer["kind"] for layer in scene.description()["layers"]]
        ['Conv2d', 'Flatten', 'Linear']
    """

    def __init__(
        self,
        network: Network,
        *,
        title: str = "",
        image_name: str = "",
        of: str | int | None = None,
        label: int | None = None,
    ) -> None:
        if network.count != 1:
            raise ArgumentError(f"a scene shows one image; got {network.count}")
        self.network = network
        self.title = title
        given = network.value_of("labels")
        if label is None and given is not None and given.dtype.kind == "i":
            label = int(given[0])
        self.label = label
        self.image_name = image_name
        self.probabilities = network.value(network.finished)[0]
        self.predicted = int(np.argmax(self.probabilities))
        default: str | int = "loss" if network.loss is not None else self.predicted
        self.of = default if of is None else of

    def description(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data."""
        network = self.network
        flow = network.flow(self.of)
        model = network.model
        return {
            "format": FORMAT,
            "version": VERSION,
            "title": printable(self.title or type(model).__name__),
            "digest": model.digest(),
            "classes": [printable(name) for name in model.class_names],
            "finish": network.node(network.finished).op,
            "image": {
                "name": printable(self.image_name),
                "shape": list(network.images.shape[1:]),
                "dtype": str(network.images.dtype),
                "range": [float(network.images.min()), float(network.images.max())],
                "label": self.label,
                "pixels": network.picture,
                "source": network.source,
            },
            "logits": network.logits,
            "probabilities": network.finished,
            "loss": network.loss,
            "predicted": self.predicted,
            "of": self.of,
            "forward": network.forward,
            "nodes": {str(i): self._node(i) for i in range(network.size)},
            "layers": [self._layer(layer) for layer in network.layers],
            "edges": self._edges(),
            "gradients": {str(value): index for value, index in flow.nodes.items()},
            "parameters": dict(network.parameters),
        }

    def array(self, index: int) -> bytes:
        """A node's value for the image, float32, row-major.

        Raises:
            ArgumentError: there is no such node, or it holds no numbers that a page shows.
        """
        return np.ascontiguousarray(self.values(index), "<f4").tobytes()

    def values(self, index: int) -> Array:
        """The same as an array, without the image axis; see `array`."""
        if not isinstance(index, int) or not 0 <= index < self.network.size:
            raise ArgumentError(
                f"a node's number lies in 0 … {self.network.size - 1}; got {index!r}"
            )
        spec = self.network.node(index).spec
        if spec.dtype not in ("float32", "uint8", "int32"):
            raise ArgumentError(f"node {index} holds {spec.dtype}, which no page shows")
        value = self.network.value(index)
        return value[0] if spec.batched else value

    def _node(self, index: int) -> dict[str, Any]:
        node = self.network.node(index)
        entry = operation(node.op)
        stands = direct_of(self.network, index)
        return {
            "op": node.op,
            "inputs": list(node.inputs),
            "attrs": _plain(node.attrs),
            "shape": list(node.spec.shape),
            "batched": node.spec.batched,
            "layer": node.name,
            "name": node.attrs.name if node.op == "input" else "",
            "operands": list(entry.operand_names(len(node.inputs))) if node.inputs else [],
            "summary": entry.summary,
            "pointwise": entry.pointwise,
            "direct": None
            if stands is None
            else {
                "op": stands.op,
                "inputs": list(stands.operands),
                "attrs": _plain(stands.attrs),
                "summary": operation(stands.op).summary,
            },
        }

    def _layer(self, layer: Layer) -> dict[str, Any]:
        network = self.network
        sliding = window_of(network, layer)
        pooling = pooling_of(network, layer)
        sizes = {name: network.node(place).spec.size for name, place in layer.parameters.items()}
        return {
            "name": layer.name,
            "path": layer.path,
            "kind": layer.kind,
            "settings": layer.module.line(),
            "sources": list(layer.sources),
            "nodes": list(layer.nodes),
            "root": layer.root,
            "result": layer.result,
            "shape": list(network.node(layer.result).spec.shape),
            "parameters": dict(layer.parameters),
            "numbers": sum(sizes.values()),
            "multiply_adds": sum(multiply_adds(network.nodes, i) for i in layer.nodes),
            "window": None if sliding is None else _plain(sliding),
            "pooling": None
            if pooling is None
            else {"window": _plain(pooling[0]), "count_include_pad": pooling[1]},
        }

    def _edges(self) -> list[list[int]]:
        """Pairs of numbers of layers, the first read by the second; -1 stands for the picture."""
        layers = self.network.layers
        results: dict[int, int] = {}
        edges: list[list[int]] = []
        for number, layer in enumerate(layers):
            reads = [i for node in layer.nodes for i in self.network.node(node).inputs]
            for source in dict.fromkeys([*layer.sources, *reads]):
                maker = results.get(source)
                if source == self.network.source:
                    maker = -1
                if maker is not None and [maker, number] not in edges and maker != number:
                    edges.append([maker, number])
            results[layer.result] = number
        return edges


def _plain(value: Any) -> Any:
    """Settings of an operation as plain data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
