"""Pictures of boxes, lines and text, as SVG and as pixels, without a library for plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

_DASH = 4.0
"""Length of a dash and of the gap behind it."""
_TIMES = "\N{MULTIPLICATION SIGN}"
"""The font that comes with Pillow lacks it, and a letter x would read as a symbol: it is drawn."""
_TIMES_WIDTH = 0.62
"""What it takes, in sizes of the letters."""
_TIMES_SIDE = 0.42
"""Of the square that its strokes cross, likewise."""
_FINER = 8
"""Points across a pixel at which its strokes are drawn before they are made smaller."""
_BASELINE = 0.36
"""How far below a line's middle its letters stand, in sizes of the letters; of digits the half."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle.

    Attributes:
        x: of its left edge.
        y: of its upper edge.
        width: to the right.
        height: downwards.
        fill: its colour, "#rrggbb"; "" for none.
        line: the colour of its outline; "" for none.
        thick: width of the outline, which lies on the edge, half of it inside.
        dashed: whether the outline is.
    """

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    line: str = ""
    thick: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text.

    Attributes:
        x: where it begins, has its middle or ends.
        y: its middle.
        text: itself.
        size: of the letters.
        color: "#rrggbb".
        align: what of it stands at x.
    """

    x: float
    y: float
    text: str
    size: float = 14.0
    color: str = "#1a1a1a"
    align: Literal["start", "middle", "end"] = "start"


Shape: TypeAlias = Box | Words


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture.

    Attributes:
        width: in pixels at scale 1.
        height: likewise.
        shapes: what is drawn, the first lowest.
        says: the picture in words.

    Example:
        >>> scene = Scene(40, 20, (Box(0, 0, 40, 20, "#ffffff"), Words(20, 10, "7")), "a seven")
        >>> scene.to_image(2).size
        (80, 40)
    """

    width: float
    height: float
    shapes: tuple[Shape, ...]
    says: str = ""

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def to_svg(self) -> str:
        """It as an SVG document."""
        wide, high = _short(self.width), _short(self.height)
        body = "\n".join(_svg(shape) for shape in self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
            f'viewBox="0 0 {wide} {high}" role="img" font-family="Helvetica, Arial, sans-serif">\n'
            f"<title>{escape(self.says)}</title>\n{body}\n</svg>\n"
        )

    def to_image(self, scale: float = 2.0) -> Image:
        """It as pixels, by Pillow and the font that comes with it.

        Args:
            scale: pixels for each unit of length.
        """
        from PIL import Image, ImageDraw, ImageFont

        size = (round(self.width * scale), round(self.height * scale))
        image = Image.new("RGB", size, "#ffffff")
        draw = ImageDraw.Draw(image)
        for shape in self.shapes:
            if isinstance(shape, Words):
                font = ImageFont.load_default(shape.size * scale)
                _write(image, shape, font, scale)
                continue
            left, upper = shape.x * scale, shape.y * scale
            right, lower = left + shape.width * scale, upper + shape.height * scale
            if shape.fill:
                draw.rectangle((left, upper, right, lower), fill=shape.fill)
            if shape.line:
                half = shape.thick * scale / 2
                corners = ((left, upper), (right, upper), (right, lower), (left, lower))
                for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
                    dash = _DASH * scale if shape.dashed else 0.0
                    for a, b in _pieces(abs(x2 - x1) + abs(y2 - y1), dash):
                        # Each side is a thin box, so that corners are whole.
                        step_x, step_y = _sign(x2 - x1), _sign(y2 - y1)
                        xs = sorted((x1 + step_x * a, x1 + step_x * b))
                        ys = sorted((y1 + step_y * a, y1 + step_y * b))
                        ends = (xs[0] - half, ys[0] - half, xs[1] + half - 1, ys[1] + half - 1)
                        draw.rectangle(tuple(map(round, ends)), fill=shape.line)
        return image


def _write(image: Image, words: Words, font: Any, scale: float) -> None:
    """A line of text as pixels, the sign of multiplication drawn where the font lacks it."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    x, y, size = words.x * scale, words.y * scale, words.size * scale
    parts = words.text.split(_TIMES)
    if len(parts) == 1:
        anchor = {"start": "lm", "middle": "mm", "end": "rm"}[words.align]
        draw.text((x, y), words.text, fill=words.color, font=font, anchor=anchor)
        return
    widths = [font.getlength(part) for part in parts]
    gap = _TIMES_WIDTH * size
    whole = gap * (len(parts) - 1)
    for width in widths:
        whole += width
    x -= {"start": 0.0, "middle": whole / 2, "end": whole}[words.align]
    for number, (part, width) in enumerate(zip(parts, widths, strict=True)):
        if number:
            _cross(image, x + gap / 2, y, size, words.color)
            x += gap
        draw.text((x, y), part, fill=words.color, font=font, anchor="lm")
        x += width


def _cross(image: Image, x: float, y: float, size: float, color: str) -> None:
    """A sign of multiplication around a point, its strokes smooth."""
    from PIL import Image, ImageDraw

    side = round(size)
    left, upper = round(x - side / 2), round(y - side / 2)
    mask = Image.new("L", (side * _FINER, side * _FINER))
    draw = ImageDraw.Draw(mask)
    middle = ((x - left) * _FINER, (y - upper) * _FINER)
    half, thick = _TIMES_SIDE * size * _FINER / 2, max(1, round(0.085 * size * _FINER))
    for slope in (1, -1):
        ends = [(middle[0] + s * half, middle[1] + s * slope * half) for s in (-1, 1)]
        draw.line(ends, fill=255, width=thick)
    image.paste(color, (left, upper), mask.resize((side, side), Image.Resampling.BOX))


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _pieces(length: float, dash: float) -> Sequence[tuple[float, float]]:
    """The parts of a side that are drawn."""
    if not dash:
        return [(0.0, length)]
    count = max(1, round(length / dash / 2))
    step = length / count
    return [(number * step, number * step + step / 2) for number in range(count)]


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg(shape: Shape) -> str:
    if isinstance(shape, Words):
        # Where the middle of a line lies differs between viewers; a baseline does not.
        return (
            f'<text x="{_short(shape.x)}" y="{_short(shape.y + _BASELINE * shape.size)}" '
            f'font-size="{_short(shape.size)}" fill="{shape.color}" '
            f'text-anchor="{shape.align}">{escape(shape.text)}</text>'
        )
    dash = f' stroke-dasharray="{_short(_DASH)}"' if shape.dashed else ""
    line = (
        f' stroke="{shape.line}" stroke-width="{_short(shape.thick)}"{dash}' if shape.line else ""
    )
    return (
        f'<rect x="{_short(shape.x)}" y="{_short(shape.y)}" width="{_short(shape.width)}" '
        f'height="{_short(shape.height)}" fill="{shape.fill or "none"}"{line}/>'
    )


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, whatever font shows it.

    Example:
        >>> round(text_width("10", 14), 2)
        15.68
    """
    return 0.56 * size * len(text)
