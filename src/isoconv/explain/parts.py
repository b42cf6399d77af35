"""From a node's element to the operations that lead to it, each told in a part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from isoconv.explain.blocks import Block, blocks_of, number
from isoconv.explain.explanation import Part
from isoconv.explain.formulas import worked
from isoconv.explain.network import Network
from isoconv.explain.windows import direct_of
from isoconv.graph.operation import Array, Direct, Operation, operation
from isoconv.graph.terms import (
    Asked,
    Element,
    Formula,
    Index,
    Number,
    Padding,
    Term,
    elements,
)
from isoconv.ops.winograd_direct import INTO_COMPONENTS, PRODUCTS

_MOST = 40
"""Parts of one explanation; only statistics of a shard lead to more."""


def part_of(network: Network, index: int, element: Index) -> Part:
    """The part of one node's element.

    Args:
        network: the network.
        index: position of the node.
        element: where, the image first if the value has an image axis.
    """
    node = network.node(index)
    entry = operation(node.op)
    operands = network.operands(index)
    named = entry.operand_names(len(node.inputs))
    callers = [
        _caller(name, network, network.node(source).spec.batched)
        for name, source in zip(named, node.inputs, strict=True)
    ]
    term = network.terms(index, element)
    value = network.value(index)[element]
    blocks = blocks_of(term, operands, callers, node.spec.dtype)
    if entry.pointwise and isinstance(term, Formula):
        blocks = [_formula(entry, node.attrs, term, operands, callers, value)]
    reads = tuple(
        f"{name}: {describe(network, source)}"
        for name, source in zip(named, node.inputs, strict=True)
    )
    place = _told(network, element, node.spec.batched)
    where = f" of {node.name!r}" if node.name else ""
    title = f"{node.op}{where} at {_places(place)}" if place else f"{node.op}{where}"
    return Part(title, entry.summary, reads, tuple(blocks), value)


def _formula(
    entry: Operation, attrs: Any, term: Formula, operands: Sequence[Array],
    callers: Sequence[Callable[[Index], str]], value: Any,
) -> Block:  # fmt: skip
    """What works element by element, in a line of numbers."""
    read = [each for each in term.arguments if isinstance(each, Element)]
    names = [callers[each.operand](each.index) for each in read]
    values = [operands[each.operand][each.index] for each in read]
    text = worked(entry, attrs, names, values, value)
    if text is None:
        given = ", ".join(f"{n} = {number(v)}" for n, v in zip(names, values, strict=True))
        text = f"{entry.summary.split(maxsplit=1)[0]} = {number(value)}, for {given}"
    return Block("formula", "", text, (), value)


def _told(network: Network, place: Index, batched: bool) -> Index:
    """A place with the image's number among all images; of one image without it."""
    if not batched:
        return place
    return place[1:] if network.batch == 1 else (place[0] + network.first, *place[1:])


def _caller(name: str, network: Network, batched: bool) -> Callable[[Index], str]:
    def call(index: Index) -> str:
        place = _told(network, index, batched)
        return f"{name}[{', '.join(map(str, place))}]" if place else name

    return call


def _places(place: Index) -> str:
    return f"[{', '.join(map(str, place))}]"


def describe(network: Network, index: int) -> str:
    """What a value is, in words."""
    node = network.node(index)
    shape = f"({', '.join(map(str, node.spec.shape))})" if node.spec.shape else "one number"
    if node.spec.batched and network.count > 1:
        shape = f"{shape} of each of {network.count} images"
    if node.op == "input":
        return f"{_input_name(node.attrs.name)}, {shape}"
    if index >= network.forward:
        for value, gradient in network.flow_nodes.items():
            if gradient == index:
                return f"the gradient by {describe(network, value)}"
        return f"{node.op} of the gradient, {shape}"
    if index == network.source:
        return f"the picture, normalised, {shape}"
    for layer in network.layers:
        if layer.result == index:
            return f"the result of {layer.name!r}, {shape}"
    where = f" of {node.name!r}" if node.name else ""
    return f"{node.op}{where}, {shape}"


def _input_name(name: str) -> str:
    known = {
        "images": "the picture",
        "labels": "the label",
        "inverse_batch": "1 / the number of images",
        "key": "seed and epoch",
        "samples": "the images' numbers",
    }
    return known.get(name, name)


def forward_parts(network: Network, own: Collection[int], index: int, element: Index) -> list[Part]:
    """The operations among some nodes that lead to an element: those of a layer to its result."""
    return _parts(network, index, element, own)


def backward_parts(network: Network, index: int, element: Index) -> list[Part]:
    """What flows back into an element: element by element to the last sums, those first."""
    return _parts(network, index, element, range(network.forward, network.size))


def _parts(network: Network, index: int, element: Index, own: Collection[int]) -> list[Part]:
    """Parts from a node backwards through what adds nothing up, the first ones first."""
    found: dict[tuple[int, Index], Part | None] = {}
    direct: list[Part] = []
    left = 0
    gradients = set(network.flow_nodes.values())

    def visit(node: int, at: Index) -> None:
        nonlocal left
        if (node, at) in found or node not in own or network.node(node).op == "input":
            return
        if len(found) >= _MOST:
            left += 1
            return
        found[node, at] = None
        term = network.terms(node, at)
        read = [(network.node(node).inputs[each.operand], each.index) for each in elements(term)]
        product = network.node(node).op in PRODUCTS
        if product and not any(_is_map(network, each) for each, _ in found):
            # Of the maps of all these factors those of the first two are enough to see.
            read = read[:2]
        elif not _plain(term):
            read = []
        # Where what flows back from several readers is added, what came over a residual branch is
        # the gradient by another layer's result: that has an explanation of its own.
        joins = node >= network.forward and network.node(node).op == "add"
        for source, place in read:
            if not (joins and source in gradients):
                visit(source, place)
        winograd = direct_of(network, node)
        if winograd is not None:
            direct.append(_direct_part(network, winograd, node, at))
        # Written again, so that it stands behind what it is made of.
        del found[node, at]
        found[node, at] = replace(part_of(network, node, at), brief=product)

    visit(index, element)
    parts = [part for part in found.values() if part is not None]
    if left:
        note = f"{left} more operations lead to it than the {_MOST} that are told here"
        parts[-1] = replace(parts[-1], note=note)
    return [*direct, *parts]


def _is_map(network: Network, index: int) -> bool:
    """Whether a node maps feature maps or a kernel to Winograd's components."""
    return network.node(index).op in INTO_COMPONENTS


def _plain(term: Term) -> bool:
    """Whether a term adds up nothing and chooses nothing: its elements may be told in turn."""
    if isinstance(term, Formula):
        return all(_plain(each) for each in term.arguments)
    return isinstance(term, (Element, Number, Padding))


def following_parts(network: Network, index: int, element: Index) -> tuple[list[Part], list[str]]:
    """What is made of a value element by element, and the layers that read what comes of it."""
    parts: list[Part] = []
    while True:
        readers = network.readers(index)
        if len(readers) != 1:
            break
        (reader,) = readers
        node = network.node(reader)
        entry = operation(node.op)
        if not entry.pointwise or node.spec.shape != network.node(index).spec.shape:
            break
        if reader == network.loss:
            break
        parts.append(part_of(network, reader, element))
        index = reader
    names = []
    for reader in network.readers(index):
        name = network.node(reader).name
        if name and name not in names:
            names.append(name)
    return parts, names


def _direct_part(network: Network, direct: Direct, index: int, element: Index) -> Part:
    """A convolution's window times its kernel as the notes write it, whatever computes it."""
    entry = operation(direct.op)
    specs = tuple(network.node(each).spec for each in direct.operands)
    result = network.node(index).spec
    operands = [network.value(each) for each in direct.operands]

    def read(each: Element) -> Any:
        return operands[each.operand][each.index]

    asked = Asked(direct.attrs, specs, result, element, network.count, read)
    named = entry.operand_names(len(operands))
    callers = [
        _caller(name, network, spec.batched) for name, spec in zip(named, specs, strict=True)
    ]
    blocks = blocks_of(entry.terms_of(asked), operands, callers, result.dtype)
    reads = tuple(
        f"{name}: {describe(network, source)}"
        for name, source in zip(named, direct.operands, strict=True)
    )
    place = _told(network, element, result.batched)
    return Part(
        f"the window times the kernel at {_places(place)}, as {direct.op} has it",
        entry.summary,
        reads,
        tuple(blocks),
        blocks[-1].value,
        "This layer computes the same sum by Winograd's F(2x2, 3x3), in another order and with "
        "other roundings: its value, below, may differ in the last digits.",
    )
