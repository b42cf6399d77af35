"""Pictures of a sliding window as files: moving ones, or one step."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoconv.checks import check_number, check_path, refusal, shown, whole
from isoconv.errors import ArgumentError, MissingExtraError
from isoconv.explain.drawn import scenes_of
from isoconv.explain.scene import Scene
from isoconv.explain.steps import array_for, steps_of
from isoconv.explain.symbols_arrays import Arrays
from isoconv.explain.symbols_windows import Pooling
from isoconv.graph.terms import Index
from isoconv.printable import listed
from isoconv.train.files import write_bytes
from isoconv.wording import either, named

if TYPE_CHECKING:
    from PIL.Image import Image

    from isoconv.explain.sheet import Sheet

MOVING = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}
"""Kinds of files that show all steps."""
STILL = (".svg", ".png")
"""Kinds of files that show one."""
MOST_STEPS = 256
MOST_CELLS = 1_024
"""Elements of the input and the result that are drawn."""
MOST_TERMS = 100_000
"""Terms of all elements of the result, which are computed for a picture of one of them, too."""
MOST_PIXELS = 60_000_000
COLORS = 64
"""Of a GIF: those of the drawing and of the edges of its letters."""
SCALE = 1.5
"""Pixels for each unit of a drawing."""


def _scenes(sheet: Sheet, values: Any, weights: Any, at: Sequence[int] | None) -> list[Scene]:
    """The steps that are wanted, or all."""
    drawn = sheet.drawn
    if drawn is None:
        raise ArgumentError("there is nothing to draw on this sheet")
    places = sheet.names[2].places()
    _check_size(drawn, len(places), at)
    w = None
    if isinstance(drawn, Pooling):
        if weights is not None:
            text = f"a pooling has no {named('weights')}; got {shown(weights)}"
            raise ArgumentError(text, argument="weights", value=weights)
        given = drawn.values if values is None else values
        x = array_for("values", given, drawn.x.shape, 0, 0)
    else:
        x = array_for("values", values, drawn.x.shape, 0, 0)
        w = array_for("weights", weights, drawn.w.shape, 1, -1)
    steps = steps_of(drawn, x, w, places)
    numbers = range(len(steps)) if at is None else [_number(places, at)]
    return scenes_of(sheet, x, w, steps, numbers)


def _check_size(drawn: Arrays | Pooling, steps: int, at: Sequence[int] | None) -> None:
    """Refuse what is too large to be drawn, and say what would help."""
    cells = max(drawn.x.size, drawn.y.size)
    if isinstance(drawn, Pooling):
        terms = drawn.y.size * prod(drawn.window.kernel)
    else:
        met = drawn.x if drawn.transposed else drawn.y
        terms = prod(met.shape[:-1]) * drawn.w.size
    smaller = f"a smaller {named('input_size')}"
    if cells > MOST_CELLS:
        raise ArgumentError(
            f"a picture has at most {MOST_CELLS:,} elements; this would have {cells:,}: give "
            f"{smaller}",
            argument="input_size",
        )
    if terms > MOST_TERMS:
        raise ArgumentError(
            f"at most {MOST_TERMS:,} terms are computed for a picture; this would have {terms:,}: "
            f"give {smaller} or {named('kernel_size')}",
            argument="input_size",
        )
    if at is None and steps > MOST_STEPS:
        raise ArgumentError(
            f"a moving picture has at most {MOST_STEPS} steps; this would have {steps:,}: draw one "
            f"of them ({either('at=(0, 0)', '--at 0,0')}), or give {smaller}",
            argument="at",
            value=at,
        )


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
        raise refusal("at", f"be a place of the result, which has the sides {last}", at)
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
            f"{shown(str(place))}",
            argument="path",
            value=path,
        )
    if kind in STILL or at is not None:
        scene = picture(sheet, values, weights, at)
        scenes = [scene]
    else:
        scenes = _scenes(sheet, values, weights, None)
    if kind == ".svg":
        write_bytes(place, scenes[0].to_svg().encode())
        return
    pixels = round(scenes[0].width * scenes[0].height * SCALE * SCALE) * len(scenes)
    if pixels > MOST_PIXELS:
        raise ArgumentError(
            f"a picture has at most {MOST_PIXELS:,} pixels in all of its {len(scenes)} steps; this "
            f"would have {pixels:,}: give a smaller {named('input_size')}, or one step "
            f"({named('at')})",
            argument="input_size",
        )
    write_bytes(place, _encoded([s.to_image(SCALE) for s in scenes], kind, seconds))


def _encoded(images: Sequence[Image], kind: str, seconds: float) -> bytes:
    """Images as the bytes of a file that shows one after the other."""
    from PIL import features

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
        images = _with_one_palette(images)
        more = {"optimize": True, "disposal": 1}
    first, *others = images
    first.save(
        content, MOVING[kind], save_all=True, append_images=others, duration=durations, loop=0,
        **more,
    )  # fmt: skip
    return content.getvalue()


def _packed(image: Image) -> NDArray[np.int64]:
    """Each pixel as one number."""
    pixels = np.asarray(image, np.int64)
    return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]


def _with_one_palette(images: Sequence[Image]) -> list[Image]:
    """Images in the colours that most of them have, exactly as they are; others in the nearest.

    With one palette for all, a step is stored as what differs from the one before.
    """
    from PIL import Image

    counts: dict[int, int] = {}
    for image in images:
        found, of_each = np.unique(_packed(image), return_counts=True)
        for color, count in zip(found.tolist(), of_each.tolist(), strict=True):
            counts[color] = counts.get(color, 0) + count
    colors = np.array(sorted(counts), np.int64)
    often = np.array(sorted(counts, key=lambda each: (-counts[each], each))[:COLORS], np.int64)

    def channels(packed: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)

    away = np.abs(channels(colors)[:, None] - channels(often)).max(axis=-1)
    nearest = away.argmin(axis=-1).astype(np.uint8)
    drawn = []
    for image in images:
        small = Image.fromarray(nearest[np.searchsorted(colors, _packed(image))])
        small.putpalette(channels(often).astype(np.uint8).tobytes())
        drawn.append(small)
    return drawn
