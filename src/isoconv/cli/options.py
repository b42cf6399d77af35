"""Options that commands share, and how their values are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.table import JSON_WANTED
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from isoconv.data import Augmentation

__all__ = [
    "AsJson",
    "Best",
    "DataSource",
    "Depth",
    "ModelPath",
    "Report",
    "RunPath",
    "SaveEvery",
    "Scale",
    "SkipBad",
    "TargetName",
    "Threads",
    "augmentation_of",
    "help_of",
    "shape_of",
    "size_of",
]

RunPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run folder.", show_default=False, autocompletion=complete.runs
    ),
]
DataSource = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A name (isoconv data list), a folder, a .npz or .tar.gz file.",
        show_default=False,
        autocompletion=complete.data_sources,
    ),
]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run folder, or a .safetensors file: a saved model or a checkpoint.",
        show_default=False,
        autocompletion=complete.trained,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Number of threads; changes no bit.  [default: all cores]", min=1),
]
TargetName = Annotated[
    str | None,
    typer.Option(
        help="Machine to compile for: avx512, avx2, sse, generic or neon; changes no bit.  "
        "[default: this one]",
        autocompletion=complete.targets,
    ),
]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Make the page with pictures.")]
SaveEvery = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Time between checkpoints within an epoch: what a kill costs.  [default: 60]",
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best", help="Of a run folder, take the weights of the best epoch, not of the last one."
    ),
]


def _want_json(context: typer.Context, wanted: bool) -> bool:
    """Keep standard output for the result, whatever is said before it."""
    before = JSON_WANTED.set(wanted)
    context.call_on_close(lambda: JSON_WANTED.reset(before))
    return wanted


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_want_json,
        is_eager=True,
        help="Print the result as one JSON document; all else goes to standard error.",
    ),
]


def scale_of(text: str) -> float:
    """A factor, written as a number or as a fraction.

    Raises:
        typer.BadParameter: it is written in another way.

    Example:
        >>> scale_of("255"), scale_of("1/255") == 1 / 255
        (255.0, True)
    """
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise typer.BadParameter(
            f"must be a number or a fraction such as 1/255; got {text!r}"
        ) from None


Scale = Annotated[
    float | None,
    typer.Option(
        parser=scale_of,
        metavar="FACTOR",
        help="What each number of the images is multiplied with, such as 1/255; for a model that "
        "was trained on images of another range.",
        show_default=False,
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out the picture files that cannot be read; each is named."
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=32,
        help="Bits of the numbers in picture files of more than 8 bits.  [default: what they need]",
        show_default=False,
    ),
]

AUGMENTATIONS = {
    "crop": ("crop_padding", 4),
    "flip": ("flip", None),
    "shift": ("shift", 2),
    "rotate": ("rotation", 10),
    "cutout": ("cutout", 8),
}
"""Name on the command line → setting and the value that it has when none is given."""


def help_of(command: Callable[..., Any]) -> str:
    """A command's docstring as its help, the lines of its examples kept as they are."""
    # A line with this character alone keeps a paragraph's lines from being filled.
    return (getdoc(command) or "").replace("\n\nExamples:", "\n\n\b\nExamples:")


def shape_of(text: str) -> tuple[int, int, int]:
    """Height, width and channels, written ``28x28x1``.

    Raises:
        ArgumentError: it is written in another way.

    Example:
        >>> shape_of("28x28x1")
        (28, 28, 1)
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})", text.strip())
    if found is None or "0" in found.groups():
        raise ArgumentError(f"--input must be HEIGHTxWIDTHxCHANNELS, such as 28x28x1; got {text!r}")
    height, width, channels = (int(side) for side in found.groups())
    return height, width, channels


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width, written ``64`` or ``48x64``.

    Raises:
        ArgumentError: it is written in another way.

    Example:
        >>> size_of("64"), size_of("48x64")
        ((64, 64), (48, 64))
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if found is None:
        raise ArgumentError(f"--size must be a side or HEIGHTxWIDTH, such as 64; got {text!r}")
    return int(found[1]), int(found[2] or found[1])


def augmentation_of(text: str | None) -> Augmentation | None:
    """Random changes, written ``flip,crop=4,shift=2,rotate=10,cutout=8``; numbers may be left out.

    Raises:
        ArgumentError: an unknown change, one that stands twice, or a value outside its range.

    Example:
        >>> augmentation_of("flip,crop=2").crop_padding
        2
    """
    if text is None or text.strip() in ("", "none"):
        return None
    from isoconv.data import Augmentation

    settings: dict[str, bool | int | float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in AUGMENTATIONS:
            raise ArgumentError(
                f"--augment takes {', '.join(AUGMENTATIONS)}, with commas between; got {part!r}"
            )
        setting, usual = AUGMENTATIONS[name]
        if setting in settings:
            raise ArgumentError(f"--augment names {name!r} twice; got {text!r}")
        if usual is None:
            if equals:
                raise ArgumentError(f"--augment {name} takes no number; got {part!r}")
            settings[setting] = True
        else:
            settings[setting] = _number(part, value) if equals else usual
    return Augmentation(**settings)  # type: ignore[arg-type]


def _number(part: str, value: str) -> int | float:
    try:
        return int(value) if re.fullmatch(r"\d+", value) else float(value)
    except ValueError:
        raise ArgumentError(
            f"--augment needs a number behind '=', such as crop=4; got {part!r}"
        ) from None
