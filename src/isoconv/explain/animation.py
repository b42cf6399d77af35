"""Pictures of a sliding window as files: moving ones, or one step."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.checks import check_number, check_path, shown, whole
from isoconv.errors import ArgumentError, MissingExtraError
from isoconv.explain.drawn import scene_of
from isoconv.explain.scene import Scene
from isoconv.explain.steps import array_for, steps_of
from isoconv.explain.symbols_windows import Pooling
from isoconv.graph.terms import Index
from isoconv.printable import listed
from isoconv.train.files import write_bytes
from isoconv.wording import named

if TYPE_CHECKING:
    from PIL.Image import Image

    from isoconv.explain.sheet import Sheet

__all__ = ["MOVING", "STILL", "picture", "save_picture"]

MOVING = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}
"""Kinds of files that show all steps."""
STILL = (".svg", ".png")
"""Kinds of files that show one."""
MOST_STEPS = 256
MOST_CELLS = 1_024
"""Elements of the input and the result that are drawn."""
COLORS = 32
"""Of a GIF: those of the drawing and of the edges of its letters."""
SCALE = 1.5
"""Pixels for each unit of a drawing."""


def _scenes(sheet: Sheet, values: Any, weights: Any, at: Sequence[int] | None) -> list[Scene]:
    """The steps that are wanted, or all."""
    drawn = sheet.drawn
    if drawn is None:
        raise ArgumentError("there is nothing to draw on this sheet")
    places = sheet.names[2].places()
    if len(places) > MOST_STEPS or max(drawn.x.size, drawn.y.size) > MOST_CELLS:
        raise ArgumentError(
            f"a picture has at most {MOST_STEPS} steps and {MOST_CELLS:,} elements; this would "
            f"have {len(places):,} steps and {max(drawn.x.size, drawn.y.size):,} elements: give a "
            f"smaller {named('input_size')}"
        )
    w = None
    if isinstance(drawn, Pooling):
        if weights is not None:
            raise ArgumentError(f"a pooling has no {named('weights')}; got {shown(weights)}")
        given = drawn.values[0] if drawn.values is not None and values is None else values
        x = array_for("values", given, drawn.x.shape, 0, 0)
    else:
        x = array_for("values", values, drawn.x.shape, 0, 0)
        w = array_for("weights", weights, drawn.w.shape, 1, -1)
    steps = steps_of(drawn, x, w, places)
    numbers = range(len(steps)) if at is None else [_number(places, at)]
    return [scene_of(sheet, x, w, steps, number) for number in numbers]


def _number(places: Sequence[Index], at: Sequence[int]) -> int:
    """The step that gives an element of the result."""
    listed_at = at if isinstance(at, (tuple, list)) else (at,)
    wanted = tuple(number for each in listed_at if (number := whole(each)) is not None)
    last = tuple(each + 1 for each in map(max, zip(*places, strict=True)))
    # The channel of a result that has one need not be said.
    found = next(
        (n for n, p in enumerate(places) if p == wanted or (last[-1] == 1 and p[:-1] == wanted)),
        None,
    )
    if found is None or len(wanted) != len(listed_at):
        raise ArgumentError(
            f"{named('at')} must be a place of the result, which has the sides {last}; "
            f"got {shown(at)}"
        )
    return found


def picture(
    sheet: Sheet, values: Any = None, weights: Any = None, at: Sequence[int] | None = None
) -> Scene:
    """One step of a sliding window; see `isoconv.explain.sheet.Sheet.picture`."""
    first = sheet.names[2].places()[0]
    return _scenes(sheet, values, weights, first if at is None else at)[0]


def save_picture(
    sheet: Sheet,
    path: Any,
    values: Any = None,
    weights: Any = None,
    at: Sequence[int] | None = None,
    seconds: float = 1.0,
) -> None:
    """Save a sliding window as a file; see `isoconv.explain.sheet.Sheet.animate`."""
    place = Path(check_path("path", path))
    kind = place.suffix.lower()
    seconds = check_number("seconds", seconds, least=0.02, most=60)
    if kind not in (*MOVING, *STILL):
        raise ArgumentError(
            f"a picture is one of {listed([*MOVING, *STILL])}, by the end of its name; got "
            f"{shown(str(place))}"
        )
    if kind in STILL or at is not None:
        scene = picture(sheet, values, weights, at)
        scenes = [scene]
    else:
        scenes = _scenes(sheet, values, weights, None)
    if kind == ".svg":
        write_bytes(place, scenes[0].to_svg().encode())
        return
    write_bytes(place, _encoded([s.to_image(SCALE) for s in scenes], kind, seconds))


def _encoded(images: Sequence[Image], kind: str, seconds: float) -> bytes:
    """Images as the bytes of a file that shows one after the other."""
    from PIL import Image, features

    content = BytesIO()
    if kind == ".png":
        images[0].save(content, "PNG", optimize=True)
        return content.getvalue()
    if kind == ".webp" and not features.check("webp"):
        raise MissingExtraError("this Pillow writes no WebP; name the file .gif or .apng")
    each = round(seconds * 1000)
    # The whole result stays a while.
    durations = [*[each] * (len(images) - 1), 2 * each]
    more: dict[str, Any] = {"lossless": True} if kind == ".webp" else {}
    if kind == ".gif":
        # One palette, so that a step is stored as what differs from the one before.
        ends = Image.new("RGB", (images[0].width, 2 * images[0].height))
        ends.paste(images[0], (0, 0))
        ends.paste(images[-1], (0, images[0].height))
        palette = ends.quantize(COLORS, dither=Image.Dither.NONE)
        images = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in images]
        more = {"optimize": True, "disposal": 1}
    first, *others = images
    first.save(
        content, MOVING[kind], save_all=True, append_images=others, duration=durations, loop=0,
        **more,
    )  # fmt: skip
    return content.getvalue()
