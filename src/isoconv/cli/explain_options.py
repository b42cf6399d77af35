"""Options of ``isoconv explain``, and how sizes, padding and values are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from isoconv.errors import ArgumentError


class Format(StrEnum):
    """How formulas are written."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


class Order(StrEnum):
    """In which order the terms of a sum stand."""

    notes = "notes"
    engine = "engine"


Input = Annotated[
    str,
    typer.Option("--input", metavar="HxW", help="Size of the input; one number for a signal."),
]
PoolInput = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="HxW",
        help="Size of the input, in place of values: symbols stand for them.",
        show_default=False,
    ),
]
Kernel = Annotated[
    str, typer.Option("--kernel", metavar="HxW", help="Size of the kernel or the window.")
]
Stride = Annotated[str, typer.Option(metavar="N|NxN", help="How far the kernel moves.")]
PoolStride = Annotated[
    str | None,
    typer.Option(
        metavar="N|NxN",
        help="How far the window moves.  [default: the kernel size; 1 with the built-in values]",
        show_default=False,
    ),
]
Padding = Annotated[
    str,
    typer.Option(
        metavar="N|NxN|A+B|same|same_lower|valid",
        help="Zeros around the input: on all sides, per axis, or before+after, such as 0+1x0+1.",
    ),
]
Dilation = Annotated[
    str, typer.Option(metavar="N|NxN", help="Distance between neighbouring kernel elements.")
]
Groups = Annotated[int, typer.Option(min=1, help="Groups of channels that do not see each other.")]
Channels = Annotated[
    int | None,
    typer.Option(min=1, help="Channels of the input.  [default: as many as groups]"),
]
Filters = Annotated[
    int | None, typer.Option(min=1, help="Output channels.  [default: as many as groups]")
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Turn the kernel, as mathematics defines convolution.")
]
ConvLists = Annotated[
    str, typer.Option(metavar="y,w,x", help="Which lists: y, w for ∂L/∂w, x for ∂L/∂x.")
]
PoolLists = Annotated[
    str, typer.Option(metavar="y,x", help="Which parts: y the result, x the gradient by x.")
]
Ordered = Annotated[
    Order,
    typer.Option(
        help="Order of the terms: channel by channel and letter by letter, or as the engine adds.",
    ),
]
ShowPadding = Annotated[
    bool, typer.Option("--show-padding", help="Write the products with padding, 0·w00, too.")
]
Values = Annotated[
    str | None,
    typer.Option(
        metavar="ROWS",
        help="The input's values, commas between numbers and semicolons between rows.  "
        "[default: those of docs/pooling.md]",
        show_default=False,
    ),
]
ConvValues = Annotated[
    str | None,
    typer.Option(
        metavar="ROWS",
        help="The input's values, shown beside the symbols or in a picture: commas between "
        "numbers, semicolons between rows, a bar between channels.  [default: symbols alone; in a "
        "picture small whole numbers]",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="ROWS",
        help="The kernel's values, likewise; filter by filter, and channel by channel in each.",
        show_default=False,
    ),
]
Animate = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Draw the sliding window in place of writing it out: .gif, .apng or .webp with every "
        "step, .png or .svg with one.",
        show_default=False,
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COLUMN",
        help="Which element of the result a picture shows; a filter behind it if there are "
        "several.  [default: every one, or the first]",
        show_default=False,
    ),
]
Seconds = Annotated[float, typer.Option(help="How long a moving picture shows each step.")]
Ceil = Annotated[
    bool, typer.Option("--ceil-mode", help="Keep a last window that hangs over the end.")
]
Written = Annotated[Format, typer.Option("--format", help="How the formulas are written.")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Keep the text to ASCII: dL/dw00, a*x00.")]


# -- how values are written ------------------------------------------------------------------


def sizes_of(option: str, text: str) -> tuple[int, ...]:
    """A number for each axis: ``3x3``, or ``5`` for one axis.

    Example:
        >>> sizes_of("--input", "3x4"), sizes_of("--input", "5")
        ((3, 4), (5,))
    """
    parts = text.strip().split("x")
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise ArgumentError(f"{option} must be a number or HxW, such as 3x3; got {text!r}")
    return tuple(int(part) for part in parts)


def size_of(option: str, text: str) -> int | tuple[int, ...]:
    """One number for all axes, or one for each.

    Example:
        >>> size_of("--kernel", "2"), size_of("--kernel", "2x3")
        (2, (2, 3))
    """
    found = sizes_of(option, text)
    return found[0] if len(found) == 1 else found


def padding_of(text: str) -> Any:
    """Padding: a number, one per axis, or before+after; "same", "same_lower", "valid".

    Example:
        >>> padding_of("1"), padding_of("1x0"), padding_of("0+1x2"), padding_of("same")
        (1, (1, 0), ((0, 1), 2), 'same')
    """
    given = text.strip()
    if given in ("same", "same_lower", "valid"):
        return given
    parts = given.split("x")
    if not all(re.fullmatch(r"[0-9]{1,9}(\+[0-9]{1,9})?", part) for part in parts):
        raise ArgumentError(
            "--padding must be a number, one per axis such as 1x0, before+after such as 0+1x0+1, "
            f"same, same_lower or valid; got {text!r}"
        )
    found = [tuple(int(side) for side in part.split("+")) for part in parts]
    # A pair stands for one axis, so that of one axis is a list of one pair.
    each = tuple(pair[0] if len(pair) == 1 else pair for pair in found)
    return each[0] if len(each) == 1 and isinstance(each[0], int) else each


def lists_of(text: str) -> Sequence[str]:
    """Names with commas between.

    Example:
        >>> lists_of("y, x")
        ('y', 'x')
    """
    return tuple(part.strip() for part in text.split(","))


def rows_of(option: str, text: str | None) -> list[Any] | None:
    """Values: ``1,5,4;9,2,1``; without a semicolon they are a signal of one axis.

    Example:
        >>> rows_of("--values", "1,2;3,4.5"), rows_of("--values", "1,2")
        ([[1.0, 2.0], [3.0, 4.5]], [1.0, 2.0])
    """
    if text is None:
        return None
    try:
        rows = [[float(part) for part in row.split(",")] for row in text.strip(" ;").split(";")]
    except ValueError:
        raise ArgumentError(
            f'{option} must be numbers with commas between, rows with semicolons, such as "1,5;9,2"'
            f"; got {text!r}"
        ) from None
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise ArgumentError(f"{option} must have rows of equal lengths; got rows of {lengths}")
    return rows if len(rows) > 1 else list(rows[0])


def planes_of(option: str, text: str | None) -> list[Any] | None:
    """Values of several planes, a bar between them; each as for `rows_of`.

    Example:
        >>> planes_of("--values", "1,2;3,4|5,6;7,8")
        [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    """
    if text is None:
        return None
    planes = [rows_of(option, plane) for plane in text.split("|")]
    shapes = {str(_sides(plane)) for plane in planes}
    if len(shapes) > 1:
        raise ArgumentError(f"{option} must have planes of equal sides; got {', '.join(shapes)}")
    return planes


def _sides(plane: Any) -> tuple[int, ...]:
    return (len(plane), *_sides(plane[0])) if isinstance(plane, list) else ()


def place_of(text: str | None) -> tuple[int, ...] | None:
    """Which element: whole numbers with commas between.

    Example:
        >>> place_of("1,0")
        (1, 0)
    """
    if text is None:
        return None
    parts = text.strip().split(",")
    if not all(re.fullmatch(r"\s*[0-9]{1,9}\s*", part) for part in parts):
        raise ArgumentError(f"--at must be whole numbers such as 1,0; got {text!r}")
    return tuple(int(part) for part in parts)
