"""What a report shows of the inside of a network: where it looked, and its maps layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoconv.errors import ArgumentError, IsoconvError
from isoconv.explain.field import Field, field_of
from isoconv.explain.heat import overlay
from isoconv.explain.network import Layer, Network
from isoconv.explain.place import layer_named
from isoconv.explain.saliency import cams, map_layers, usual_layer
from isoconv.explain.tiles import Tiles, tiles_of_kernels, tiles_of_maps
from isoconv.graph.operation import Array
from isoconv.report.album import captioned, displayed, picture, raster
from isoconv.report.markup import Html, element, joined, name
from isoconv.report.subject import Subject
from isoconv.train.scores import Answer

LOOKED = 4
"""Mistakes, and as many recognised images, on which is drawn where the network looked."""
USUAL = 6
"""Layers whose maps are shown unless others are asked for, at most."""
CHANNELS = 32
"""Of a layer that are shown in a report."""
_FRAME = (232, 134, 28)


def sections(subject: Subject, layers: Sequence[str] | None = None) -> list[tuple[str, str, Html]]:
    """Parts of a report's page: anchor, title, content.

    Args:
        subject: what the report is about.
        layers: the names of those whose maps are shown; None for the first and the last of each
            size, at most `USUAL` in all.

    Raises:
        ArgumentError: no such layer.
    """
    if subject.model.input_shape is None or len(subject.model.input_shape) != 3:
        return []
    wrong, right = subject.mistakes()[:LOOKED], subject.recognised(LOOKED)
    shown = [*wrong, *right]
    numbers = [each.sample for each in shown] or [0]
    network = Network(subject.model, subject.dataset.images[numbers])
    maps = map_layers(network)
    chosen = _usual(network, maps) if layers is None else _named(network, layers)
    # The image that is taken apart: a recognised one where there is one.
    place = len(wrong) if right else 0
    found = []
    try:
        at = [usual_layer(network)] if maps and shown else []
        wanted = {layer.result for layer in (*chosen, *at)}
        network.compute([*wanted, network.finished])
        if at:
            found.append(("looked", "Where it looked", _looked(subject, network, at[0], shown)))
        if chosen:
            content = _maps(network, chosen, place, _called(shown, place))
            found.append(("maps", "Layer by layer", content))
    except IsoconvError as error:
        line = element("p", f"The inside of the network is not shown: {error}", class_="note")
        found.append(("maps", "Layer by layer", line))
    return found


def _usual(network: Network, maps: Sequence[Layer]) -> list[Layer]:
    """The first and the last layer of each size of map."""
    by_size: dict[tuple[int, ...], list[Layer]] = {}
    for layer in maps:
        by_size.setdefault(network.node(layer.result).spec.shape[:-1], []).append(layer)
    ends = [
        layer
        for each in by_size.values()
        for layer in ([each[0], each[-1]] if len(each) > 1 else each)
    ]
    return ends[: USUAL // 2] + ends[USUAL // 2 :][-(USUAL // 2) :]


def _named(network: Network, names: Sequence[str]) -> list[Layer]:
    found = []
    for each in names:
        layer = layer_named(network, each)
        shape = network.node(layer.result).spec.shape
        if len(shape) not in (1, 3):
            text = f"maps of two axes are drawn; those of {each!r} are {shape}"
            raise ArgumentError(text, argument="layers", value=each, layer=each)
        found.append(layer)
    return found


def _called(shown: Sequence[Answer], place: int) -> str:
    if not shown:
        return "image 0"
    answer = shown[place]
    return answer.path or f"image {answer.sample}"


# Where it looked


def _looked(subject: Subject, network: Network, layer: Layer, shown: Sequence[Answer]) -> Html:
    """Grad-CAM of the class that was said, and of a mistake that of the true class, too."""
    said = cams(network, layer, [each.predicted for each in shown])
    true = cams(network, layer, [each.true for each in shown])
    cards = []
    for number, answer in enumerate(shown):
        image = network.images[number]
        if answer.right:
            cards.append(_card(subject, image, said[number], answer, answer.true))
        else:
            cards.append(_card(subject, image, said[number], answer, answer.predicted))
            cards.append(_card(subject, image, true[number], answer, answer.true))
    words = (
        f"Orange is where the maps of layer {layer.name!r} speak for a class (Grad-CAM: Selvaraju "
        "et al., 2017), each picture on a scale of its own. Of a mistake there are two pictures: "
        "what speaks for the class that it was taken for, and for the right one."
    )
    return joined([element("p", words, class_="note"), element("div", *cards, class_="album")])


def _card(subject: Subject, image: Array, values: Array, answer: Answer, target: int) -> Html:
    where = answer.path or f"image {answer.sample}"
    label = subject.names[target]
    line = ["for ", element("strong", name(label))]
    kind = "" if answer.right or target == answer.true else "mistake"
    lines = [element("span", *line, class_=kind)]
    if not answer.right:
        told = "which it is" if target == answer.true else f"taken for it {answer.probability:.1%}"
        lines.append(element("span", told))
    if not values.any():
        lines.append(element("span", "nothing speaks for it"))
    alt = f"{where}: what speaks for {label}"
    return captioned(overlay(image, values), alt, lines, where)


# Layer by layer


def _maps(network: Network, layers: Sequence[Layer], place: int, called: str) -> Html:
    """The picture, then for each layer its maps and what its strongest number sees of it."""
    image = network.images[place]
    words = (
        f"The channels of the layers on one picture, {called}, {CHANNELS} at most of each, a scale "
        "of colours for each layer. The frame on the picture is the receptive field of the layer's "
        "largest number: no pixel outside can change it. (isoconv report --layers shows others.)"
    )
    blocks = [element("p", words, class_="note")]
    for layer in layers:
        value = network.value(layer.result)[place]
        shape = "\N{MULTIPLICATION SIGN}".join(map(str, value.shape))
        tiles = tiles_of_maps(value, f"{layer.name}, {layer.kind}, {shape}", CHANNELS)
        largest = np.where(np.isfinite(value), value, -np.inf)
        top = np.unravel_index(int(np.argmax(largest)), value.shape)
        field = field_of(network, layer.result, tuple(int(each) for each in top))
        seen: list[object] = []
        if field is not None:
            seen = [
                picture(framed(image, field), f"{called} with the frame of {field}"),
                element("figcaption", f"sees {field}"),
            ]
        kernels = _kernels(network, layer)
        blocks.append(
            element(
                "div",
                element("h3", f"{layer.name} ({layer.kind}, {shape})"),
                element(
                    "div", element("figure", *seen), _drawn(tiles), class_="layer-maps"
                ) if seen else _drawn(tiles),
                kernels,
            )
        )  # fmt: skip
    return joined(blocks)


def _drawn(tiles: Tiles) -> Html:
    said = f"{tiles.said[0].upper()}{tiles.said[1:]}."
    image = raster(tiles.pixels, said, "kernels")
    return element("div", image, element("p", said, class_="note"))


def _kernels(network: Network, layer: Layer) -> Html:
    """The kernels of a convolution, folded up; one of a single position shows nothing."""
    index = layer.parameters.get("weight")
    weight = None if index is None else network.value(index)
    if weight is None or weight.ndim != 4 or weight.shape[0] * weight.shape[1] == 1:
        return Html()
    tiles = tiles_of_kernels(weight, f"of {layer.name}")
    return element("details", element("summary", f"kernels of {layer.name}"), _drawn(tiles))


def framed(image: Array, field: Field) -> Array:
    """A picture with a frame around a part of it, uint8 ``(H, W, 3)``.

    Args:
        image: ``(H, W, C)``; a small one is enlarged, so that the frame covers no pixel whole.
        field: the part.
    """
    pixels = displayed(image)
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    times = max(1, round(128 / max(pixels.shape[:2])))
    drawn = pixels.repeat(times, axis=0).repeat(times, axis=1)
    thick = max(1, round(max(drawn.shape[:2]) / 50))
    top, left = (at * times for at in field.first[:2])
    bottom, right = ((at + 1) * times for at in field.last[:2])
    part = drawn[top:bottom, left:right]
    for edge in (part[:thick], part[-thick:], part[:, :thick], part[:, -thick:]):
        edge[...] = _FRAME
    return drawn
