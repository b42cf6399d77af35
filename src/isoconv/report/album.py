"""Pictures in the page: as the network saw them, with what it took them for."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoconv.report.labels import labels
from isoconv.report.markup import Html, element, joined, name

if TYPE_CHECKING:
    from PIL.Image import Image

    from isoconv.train.scores import Answer

SMALL = 128
"""Pictures up to this side stand in the page pixel by pixel; greater ones are compressed."""
SIDE = 256
"""The longest side of a picture in the page, in pixels."""
CLASS_NAME, PATH = 22, 64
"""Columns of a class name and of a path below a picture."""


def displayed(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image as bytes ``(H, W, 1)`` or ``(H, W, 3)``; of other channels the first is shown.

    Floats outside 0 to 1 are brought there.
    """
    shown = image if image.shape[-1] == 3 else image[..., :1]
    if shown.dtype == np.uint8:
        return shown
    values = shown.astype(np.float64)
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        values = (values - low) / ((high - low) or 1.0)
    return np.rint(values * 255).astype(np.uint8)


def picture(image: NDArray[Any], said: str) -> Html:
    """An image of a data set within the page; of a small one each pixel is seen as such.

    Args:
        image: ``(H, W, C)``.
        said: what it shows, for those who cannot see it.
    """
    pixels = displayed(image)
    if max(pixels.shape[:2]) <= SMALL:
        return raster(pixels, said, "pixels")
    from PIL.Image import fromarray

    drawn = fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    drawn.thumbnail((SIDE, SIDE))
    return _embedded(drawn, said, "JPEG", quality=88)


def raster(pixels: NDArray[np.uint8], said: str, kind: str) -> Html:
    """Pixels within the page, just as they are.

    Args:
        pixels: ``(H, W, C)``: gray, red, green and blue, or these with opacity.
        said: what they show, for those who cannot see it.
        kind: class of the element.
    """
    from PIL.Image import fromarray

    drawn = fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _embedded(drawn, said, "PNG", kind, optimize=True)


def _embedded(drawn: Image, said: str, form: str, kind: str = "", **settings: Any) -> Html:
    buffer = io.BytesIO()
    drawn.save(buffer, form, **settings)
    data = base64.b64encode(buffer.getvalue()).decode()
    width, height = drawn.size
    source = f"data:image/{form.lower()};base64,{data}"
    return element("img", src=source, alt=said, width=width, height=height, class_=kind)


def album(images: NDArray[Any], names: Sequence[str], answers: Sequence[Answer]) -> Html:
    """Images with what the network says of each, and the name of its file.

    Args:
        images: ``(N, H, W, C)``.
        names: of the classes.
        answers: what to show.
    """
    short = labels(names, CLASS_NAME)
    classes = [name(whole, label=label) for whole, label in zip(names, short, strict=True)]
    cards = (_card(images[each.sample], names, classes, each) for each in answers)
    return element("div", *cards, class_="album")


def _card(
    image: NDArray[Any], names: Sequence[str], classes: Sequence[Html], answer: Answer
) -> Html:
    true, said = names[answer.true], names[answer.predicted]
    where = answer.path or f"image {answer.sample}"
    share = f"{answer.probability:.1%}"
    if answer.right:
        alt = f"{where}: {true}, recognised, probability {share}"
        lines = [element("span", element("strong", classes[answer.true]), f" {share}")]
    else:
        alt = f"{where}: {true}, taken for {said}, probability {share}"
        lines = [
            element(
                "span", "taken for ", element("strong", classes[answer.predicted]), f" {share}",
                class_="mistake",
            ),
            element("span", "is ", element("strong", classes[answer.true])),
        ]  # fmt: skip
    return captioned(image, alt, lines, where)


def captioned(image: NDArray[Any], alt: str, lines: Sequence[Html], path: str) -> Html:
    """An image with lines below it, the last of which names its file."""
    where = element("span", name(path, PATH), class_="path")
    caption = element("figcaption", joined(lines), where)
    return element("figure", picture(image, alt), caption)


# The kernels of a convolution

TILES = 64
_PIXELS = 48
"""Of a kernel's longer side in the picture, about."""


def tiles(weight: NDArray[Any]) -> NDArray[np.uint8]:
    """The kernels of a convolution side by side as one colour image, at most 64 of them.

    Kernels for colour images are shown in colour around a middle gray; of those for any other
    number of channels the first is shown, positive weights blue, negative ones red.

    Args:
        weight: ``(kh, kw, C, O)``.

    Returns:
        uint8 ``(H, W, 4)``: red, green, blue, and 0 for transparent between the tiles.
    """
    high, wide, channels, count = weight.shape
    shown = min(count, TILES)
    columns = next((c for c in range(10, 5, -1) if shown % c == 0), min(8, shown))
    scale = max(1, _PIXELS // max(high, wide))
    gap = 6
    tall, broad = high * scale + gap, wide * scale + gap
    sheet = np.zeros((-(-shown // columns) * tall - gap, columns * broad - gap, 4), np.uint8)
    limit = float(np.abs(weight).max()) or 1.0
    for place in range(shown):
        kernel = weight[..., place].astype(np.float64) / limit
        colours = 0.5 + 0.5 * kernel if channels == 3 else _signed(kernel[..., 0])
        large = np.rint(colours * 255).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
        top, left = place // columns * tall, place % columns * broad
        part = sheet[top : top + high * scale, left : left + wide * scale]
        part[..., :3], part[..., 3] = large, 255
    return sheet


def _signed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """White for 0, blue for 1, red for -1."""
    ends = np.where((values > 0)[..., np.newaxis], (33, 102, 172), (178, 24, 43)) / 255
    return 1 + np.abs(values)[..., np.newaxis] * (ends - 1)


def kernels(title: str, weight: NDArray[Any]) -> Html:
    """The kernels of a convolution under a line that says what they are.

    Args:
        title: name of the parameter.
        weight: ``(kh, kw, C, O)``.
    """
    height, width, channels, count = weight.shape
    said = f"{min(count, TILES)} of {count}" if count > TILES else f"All {count}"
    said += f" kernels of {height}x{width} weights, of {title}."
    if channels != 3:
        said += " Blue is positive, red is negative."
        if channels != 1:
            said += f" Of {channels} input channels the first is shown."
    return joined([element("p", said, class_="note"), raster(tiles(weight), said, "kernels")])
