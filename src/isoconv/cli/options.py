"""Options that commands share, and how their values are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from inspect import Parameter, Signature, getdoc, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from isoconv.cli import complete
from isoconv.cli.table import JSON_WANTED
from isoconv.errors import ArgumentError
from isoconv.train.settings import ALL, Option
from isoconv.wording import called

if TYPE_CHECKING:
    from isoconv.data import Augmentation

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
        help="A name (isoconv data list), or the path of a folder or an archive.",
        show_default=False,
        autocompletion=complete.data_sources,
    ),
]
MovedData = Annotated[
    str | None,
    typer.Option(help="Where the data are now, if not where they were.", show_default=False),
]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run folder, a .safetensors file (a saved model or a checkpoint), an .onnx file, "
        "PyTorch's weights of a ready model (.pt, .pth), or a published model by its name.",
        show_default=False,
        autocompletion=complete.trained,
    ),
]
Normalise = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Of an .onnx file, how pictures are normalised: imagenet, half (from -1 to 1), unit "
        "(from 0 to 1) or none (from 0 to 255).",
        show_default=False,
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Names of the classes, one a line, for an .onnx file, which does not say them.",
        show_default=False,
    ),
]
_COMPLETED: dict[str, Any] = {
    "model": complete.model_names, "target": complete.targets, "from_": complete.trained,
}  # fmt: skip
"""What stands for a setting, where there are names for it."""


def option_of(option: Option) -> Any:
    """What typer is told of an option."""
    return typer.Option(
        *option.names,
        help=option.help,
        min=option.kind.least,
        metavar=option.metavar,
        autocompletion=_COMPLETED.get(option.parameter),
    )


def takes_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some settings behind its first parameter.

    The command takes their values by name: its last parameter is ``**settings``.

    Args:
        names: of the settings, in the order of the help.
    """

    def given(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        first, *others = (
            each.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
            for name, each in signature(command).parameters.items()
            if name != "settings"
        )
        own = [
            Parameter(
                option.parameter,
                Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=Annotated[_type_of(option), option_of(option)],
            )
            for name in names
            for option in ALL[name].options_of(name)
        ]
        found = [first, *own, *others]
        # What typer and the documents read of a function.
        command.__signature__ = Signature(found)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in found}
        return command

    return given


def _type_of(option: Option) -> Any:
    named: Any = Literal
    kind = named[option.kind.names] if option.kind.names else option.kind.python
    return kind if option.default is not None else kind | None


Threads = Annotated[int | None, option_of(*ALL["threads"].options_of("threads"))]
TargetName = Annotated[str | None, option_of(*ALL["target"].options_of("target"))]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Make the page with pictures.")]


def named_folder(out: Path) -> Path:
    """A folder for a new run, which needs a name of its own.

    Raises:
        ArgumentError: it is the current folder, or one around it; or "-", which elsewhere stands
            for standard output.
    """
    if str(out) == "-":
        raise ArgumentError(
            "--out must be a folder of the run's own, such as runs/pets; got -, and a run is no "
            "stream"
        )
    try:
        here, place = Path.cwd(), out.expanduser().resolve()
    except (OSError, RuntimeError):
        # What is wrong with it is told when it is made.
        return out
    if place == here or place in here.parents:
        raise ArgumentError(
            "--out must be a folder of the run's own, such as runs/pets; got "
            f"{'the current folder' if place == here else 'a folder around the current one'}"
        )
    return out


Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="Of a run folder, take the weights of the best epoch, that of the lowest validation "
        "loss or as early stopping was told, not of the last one.",
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
Size = Annotated[
    str | None,
    typer.Option(metavar="SIDE|HxW", help="Scale the images of a folder to this size."),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out the picture files that cannot be read; each is named."
    ),
]
UseCache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Take scaled pictures of a folder from the cache, and keep them there; changes no "
        "bit.",
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


KINDS = {int: "whole number", float: "number", str: "text", Path: "path"}
"""What a value is called, in the help and in the documents."""


def name_values(command: Callable[..., Any] | None) -> None:
    """Call the values of a command's options what they are to a person, where nothing else does."""
    if command is None:
        return
    hints = get_type_hints(command, include_extras=True)
    # Annotations that are still text would be made anew each time they are asked for.
    command.__annotations__ = hints
    for hint in hints.values():
        kind, *extras = get_args(hint) or (hint,)
        kinds = [each for each in (kind, *get_args(kind)) if each in KINDS]
        for info in extras:
            if isinstance(info, OptionInfo) and info.metavar is None and kinds:
                info.metavar = f"<{KINDS[kinds[0]]}>"


def limit_of(text: str) -> int:
    """Bytes that the process may take in all, written ``2GiB``.

    Raises:
        ArgumentError: it is written in another way, or is nothing.

    Example:
        >>> limit_of("2GiB")
        2147483648
    """
    from isoconv.memory import size_of as bytes_of

    try:
        found = bytes_of(text)
    except ArgumentError as error:
        error.within("--max-memory")
        raise
    if not found:
        raise ArgumentError(f"--max-memory must be more than nothing, such as 2GiB; got {text!r}")
    return found


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
    with called(**{setting: f"--augment {name}" for name, (setting, _) in AUGMENTATIONS.items()}):
        return Augmentation(**settings)  # type: ignore[arg-type]


def _number(part: str, value: str) -> int | float:
    try:
        return int(value) if re.fullmatch(r"\d+", value) else float(value)
    except ValueError:
        raise ArgumentError(
            f"--augment needs a number behind '=', such as crop=4; got {part!r}"
        ) from None
