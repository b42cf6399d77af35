"""Which number is meant: a layer by its name, and a place in an array of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isoconv.checks import check_kind, shown, whole
from isoconv.errors import ArgumentError
from isoconv.explain.network import Layer, Network
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array
from isoconv.graph.terms import Index
from isoconv.printable import cut
from isoconv.wording import setting

At = str | Sequence[Any] | None


def parsed(at: At) -> tuple[str | None, tuple[Any, ...]]:
    """The layer's name and the place in it, as they were given.

    Raises:
        ArgumentError: something else was given.

    Example:
        >>> parsed("conv1,3,5,7")
        ('conv1', ('3', '5', '7'))
    """
    if at is None:
        return None, ()
    parts = at.split(",") if isinstance(at, str) else at
    if not isinstance(parts, (list, tuple)) or not parts or not isinstance(parts[0], str):
        raise ArgumentError(_AT.format(shown(at)), argument="at", value=at)
    return parts[0].strip(), tuple(parts[1:])


MOST = 240
"""Characters of what was given in a message."""

_AT = "at must be a layer's name and a place in it, ('conv1', 3, 5, 7); got {}"


@dataclass(frozen=True, slots=True)
class Meant:
    """A layer, or what stands before the first and behind the last one.

    Attributes:
        name: what it is called.
        kind: what it is, with its settings.
        result: position of its result.
        source: position of what it takes.
        own: positions of the nodes that it is made of.
        parameters: position of each learned array by its own name.
    """

    name: str
    kind: str
    result: int
    source: int
    own: Collection[int]
    parameters: Mapping[str, int] = field(default_factory=dict)


def meant(network: Network, name: str | None) -> Meant:
    """What a name means: a layer, or ``picture``, ``probabilities`` or ``loss``.

    Args:
        network: the network.
        name: as it was given; None for the layer that gives the model's result.

    Raises:
        ArgumentError: there is no such thing.
    """
    known = {layer.name for layer in network.layers}
    if name is None:
        ends = [each for each in network.layers if each.result in (network.logits, network.output)]
        layer = ends[-1] if ends else network.layers[-1]
    elif name in _BESIDE and name not in known:
        return _beside(network, name)
    else:
        layer = layer_named(network, name)
    return Meant(
        layer.name, layer.module.line(), layer.result, layer.sources[0], layer.nodes,
        layer.parameters,
    )  # fmt: skip


_BESIDE = ("picture", "probabilities", "loss")
"""What has a name beside the layers."""


def _beside(network: Network, name: str) -> Meant:
    if name == "picture":
        kind = "the picture as the first layer takes it: normalised as in training"
        own = range(network.picture, network.source + 1)
        return Meant(name, kind, network.source, network.picture, own)
    if name == "loss":
        if network.loss is None:
            way = setting("label", "its class", "NAME")
            raise ArgumentError(
                f"the loss needs to know what is right: give {way}", argument="label"
            )
        own = range(network.judged + 1, network.loss + 1)
        return Meant(name, network.loss_kind, network.loss, network.judged, own)
    if network.finished == network.logits:
        text = "this model gives no probabilities: its last layer is its result"
        raise ArgumentError(text, argument="layer", value=name)
    kind = f"{network.node(network.finished).op} of the result of the last layer"
    return Meant(name, kind, network.finished, network.logits, (network.finished,))


def layer_named(network: Network, name: str) -> Layer:
    """A layer by its name, or by the end of its name where no other layer has the same.

    Raises:
        ArgumentError: there is none, or more than one; the message names them.
    """
    check_kind("layer", name, str, "the name of a layer")
    names = [layer.name for layer in network.layers]
    ends = [each for each in names if each.rpartition(".")[2] == name]
    if name not in names and len(ends) > 1:
        text = f"more than one layer is called {shown(name)}: {', '.join(ends)}"
        raise ArgumentError(text, argument="layer", value=name)
    return network.layer(ends[0] if name not in names and ends else name)


def element_in(
    spec: TensorSpec,
    network: Network,
    place: tuple[Any, ...],
    what: str,
    array: Callable[[], Array],
    most: str,
) -> tuple[Index, list[str]]:
    """The element that a place means, with a line of what was chosen unasked.

    The place has the image's number among all images, the element that in the network's shard.

    Args:
        spec: of the array.
        network: whose array it is, on all images or on a shard of them.
        place: as it was given; empty for none.
        what: the array is, for messages.
        array: gives the array that is to be greatest at the chosen place.
        most: what the greatest element is, for the line.

    Raises:
        ArgumentError: a place outside, or of another length than the array's shape.
    """
    shape = (network.batch, *spec.shape) if spec.batched else spec.shape
    one = spec.batched and network.batch == 1
    inner = shape[1:] if one else shape
    if not place and not inner:
        return (0,) * len(shape), []
    if not place:
        values = array()
        found = np.unravel_index(int(np.argmax(values)), values.shape)
        element = tuple(int(at) for at in found)
        here = element[1:] if one else element
        where = f" ({', '.join(map(str, here))})" if here else ""
        if np.isnan(values[element]):
            wrong = int(np.count_nonzero(~np.isfinite(values)))
            return element, [
                f"no place was given: {wrong:,} of {values.size:,} values are not finite, so that "
                f"none is the greatest; this is the first that is NaN{where}"
            ]
        return element, [f"no place was given: this is {most}{where}"]
    numbers = [_whole(each, place) for each in place]
    if one and len(numbers) == len(inner):
        numbers.insert(0, 0)
    if len(numbers) != len(shape):
        raise ArgumentError(
            f"a place in {what} has {len(inner)} {'number' if len(inner) == 1 else 'numbers'}, "
            f"for the shape {inner}{'' if one or not spec.batched else ', the image first'}; "
            f"got {len(place)}",
            argument="at",
            value=place,
        )
    for number, side in zip(numbers, shape, strict=True):
        if not -side <= number < side:
            given = cut(
                ", ".join(each if isinstance(each, str) else shown(each) for each in place), MOST
            )
            raise ArgumentError(
                f"a place must lie inside {what}, whose shape is {inner}; got ({given})",
                argument="at",
                value=place,
            )
    element = tuple(number % side for number, side in zip(numbers, shape, strict=True))
    if spec.batched:
        element = (element[0] - network.first, *element[1:])
    return element, []


def image_in(network: Network, place: tuple[Any, ...]) -> int:
    """The number of the image with which a place begins, among those of all shards.

    Args:
        network: one of the shards.
        place: as it was given.

    Raises:
        ArgumentError: it begins with none.
    """
    number = _whole(place[0], place) if place else network.batch
    if not -network.batch <= number < network.batch:
        raise ArgumentError(
            f"of {network.batch} images in shards the place must begin with the number of an "
            f"image, 0 … {network.batch - 1}; got {shown(place)}",
            argument="at",
            value=place,
        )
    return number % network.batch


def _whole(value: Any, place: tuple[Any, ...]) -> int:
    """A number of a place, as a number or as text."""
    found = whole(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        found = int(value)
    if found is None:
        text = f"a place is made of whole numbers; got {shown(value)} in {shown(place)}"
        raise ArgumentError(text, argument="at", value=place)
    return found


def told(element: Index, images: int) -> str:
    """An element with an image axis in words, of so many images.

    Example:
        >>> told((0, 3, 5, 7), 1)
        'row 3, column 5, channel 7'
    """
    *place, channel = element[1:] or (None,)
    names = {2: ("row", "column"), 1: ("position",)}.get(len(place), ("",) * len(place))
    words = [f"{name} {at}".strip() for name, at in zip(names, place, strict=True)]
    if channel is not None:
        words.append(f"channel {channel}" if place else f"{channel}")
    first = [f"image {element[0]}"] if images > 1 else []
    return ", ".join([*first, *words])
