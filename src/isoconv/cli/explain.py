"""``isoconv explain``: a network's numbers; convolutions and poolings in symbols and pictures."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from isoconv.cli.explain_number import number
from isoconv.cli.explain_options import (
    Animate,
    Ascii,
    At,
    Ceil,
    Channels,
    ConvLists,
    ConvValues,
    Dilation,
    Filters,
    Flip,
    Format,
    Groups,
    Input,
    Kernel,
    Order,
    Ordered,
    Padding,
    PoolInput,
    PoolLists,
    PoolStride,
    Seconds,
    ShowPadding,
    Stride,
    Values,
    Weights,
    Written,
    lists_of,
    padding_of,
    place_of,
    planes_of,
    rows_of,
    size_of,
    sizes_of,
)
from isoconv.cli.options import AsJson, help_of
from isoconv.cli.table import JSON_WANTED, print_json, say
from isoconv.errors import ArgumentError, CheckpointError

if TYPE_CHECKING:
    from isoconv.explain.sheet import Sheet


class Explanations(TyperGroup):
    """The commands; what is none of them is explained by the command `usual`, if that is there."""

    usual = "number"

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names.

        Raises:
            CheckpointError: the first word is neither a command nor a file.
        """
        if args and self.usual in self.commands and args[0] not in self.commands:
            from isoconv.train.sources import kind_of

            word = args[0]
            # Before the options are read: those of another command would be refused by this one.
            plain = re.fullmatch(r"[\w-]+", word) and "--help" not in args
            if plain and not Path(word).exists() and not kind_of(word):
                raise CheckpointError(self._unknown(word))
            args = [self.usual, *args]
        return super().resolve_command(ctx, args)

    def _unknown(self, word: str) -> str:
        words = [name for name in self.commands if name != self.usual]
        near = difflib.get_close_matches(word.lower(), words, n=2, cutoff=0.5)
        if near:
            return f"no run {word!r}; did you mean {' or '.join(near)}?"
        return f"no run {word!r}; without a run isoconv explain takes one of {', '.join(words)}"


app = typer.Typer(rich_markup_mode=None, cls=Explanations)


def explain(context: typer.Context) -> None:
    """Take a number of a network, or a formula, apart into its terms.

    What is none of the words below is a run: isoconv explain RUN --image FILE.

    Examples:
      isoconv explain runs/pets --image cat.jpg --at 0,3,5,7
      isoconv explain conv --input 3x3 --kernel 2x2
      isoconv explain max --values "1,5,4;9,2,1;6,3,2" --kernel 2 --stride 1
    """
    if context.invoked_subcommand is None:
        say(context.get_help())


def conv(
    input_size: Input = "3x3",
    kernel_size: Kernel = "2x2",
    stride: Stride = "1",
    padding: Padding = "0",
    dilation: Dilation = "1",
    groups: Groups = 1,
    channels: Channels = None,
    filters: Filters = None,
    flip: Flip = False,
    of: ConvLists = "y,w,x",
    order: Ordered = Order.notes,
    show_padding: ShowPadding = False,
    values: ConvValues = None,
    weights: Weights = None,
    animate: Animate = None,
    at: At = None,
    seconds: Seconds = 1.0,
    form: Written = Format.text,
    ascii: Ascii = False,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Write a convolution and its gradients out, one sum for each element.

    x01 is row 0, column 1 of the input, w of the kernel, y of the result; letters stand for the
    gradient by the result.

    Examples:
      isoconv explain conv --input 3x3 --kernel 2x2
      isoconv explain conv --input 5 --kernel 3 --padding same --channels 2
      isoconv explain conv --input 4x4 --kernel 3x3 --stride 2 --padding 1 --format latex
      isoconv explain conv --values "1,2,3;4,5,6;7,8,9" --weights "1,0;0,1" --of y
      isoconv explain conv --input 5x5 --kernel 3x3 --padding 1 --stride 2 --animate out.gif
    """
    _convolution("conv", **locals())


def conv_transpose(
    input_size: Input = "2x2",
    kernel_size: Kernel = "2x2",
    stride: Stride = "1",
    padding: Padding = "0",
    dilation: Dilation = "1",
    groups: Groups = 1,
    channels: Channels = None,
    filters: Filters = None,
    flip: Flip = False,
    of: ConvLists = "y,w,x",
    order: Ordered = Order.notes,
    show_padding: ShowPadding = False,
    values: ConvValues = None,
    weights: Weights = None,
    animate: Animate = None,
    at: At = None,
    seconds: Seconds = 1.0,
    form: Written = Format.text,
    ascii: Ascii = False,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Write a transposed convolution out: a convolution's gradient by its input, run forward.

    Examples:
      isoconv explain conv-transpose --input 2x2 --kernel 3x3 --stride 2
      isoconv explain conv-transpose --input 3 --kernel 2 --of y
    """
    _convolution("conv_transpose", **locals())


def max_(
    values: Values = None,
    kernel_size: Kernel = "2",
    stride: PoolStride = None,
    padding: Padding = "0",
    dilation: Dilation = "1",
    ceil_mode: Ceil = False,
    input_size: PoolInput = None,
    of: PoolLists = "y,x",
    order: Ordered = Order.notes,
    animate: Animate = None,
    at: At = None,
    seconds: Seconds = 1.0,
    form: Written = Format.text,
    ascii: Ascii = False,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Show each window of a max pooling, its maximum, and where the gradient goes.

    Examples:
      isoconv explain max --values "1,5,4;9,2,1;6,3,2" --kernel 2 --stride 1
      isoconv explain max --input 4x4 --kernel 2
    """
    _pooling("max_pool", **locals())


def average(
    values: Values = None,
    kernel_size: Kernel = "2",
    stride: PoolStride = None,
    padding: Padding = "0",
    ceil_mode: Ceil = False,
    count_include_pad: Annotated[
        bool,
        typer.Option(
            "--count-padding/--skip-padding",
            help="Divide by the window's positions in the padded input, or in the input alone.",
        ),
    ] = True,
    input_size: PoolInput = None,
    of: PoolLists = "y,x",
    order: Ordered = Order.notes,
    animate: Animate = None,
    at: At = None,
    seconds: Seconds = 1.0,
    form: Written = Format.text,
    ascii: Ascii = False,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Show each mean of an average pooling, and in which shares its gradient goes back.

    Examples:
      isoconv explain average --values "1,5,4;9,2,1;6,3,2" --kernel 2 --stride 1
      isoconv explain average --input 4x4 --kernel 2
    """
    _pooling("avg_pool", **locals())


def global_(
    values: Values = None,
    input_size: PoolInput = None,
    of: PoolLists = "y,x",
    animate: Animate = None,
    at: At = None,
    seconds: Seconds = 1.0,
    form: Written = Format.text,
    ascii: Ascii = False,  # noqa: A002 - the option's name
    as_json: AsJson = False,
) -> None:
    """Show the mean of a whole channel, and the even shares of its gradient.

    Examples:
      isoconv explain global --values "1,5,4;9,2,1;6,3,2"
      isoconv explain global --input 2x3 --format latex
    """
    _pooling("global_avg_pool", **locals())


# -- what is printed -------------------------------------------------------------------------


_READ: dict[str, Callable[[Any], Any]] = {
    "input_size": partial(sizes_of, "--input"),
    "kernel_size": partial(size_of, "--kernel"),
    "stride": partial(size_of, "--stride"),
    "padding": padding_of,
    "dilation": partial(size_of, "--dilation"),
    "of": lists_of,
    "order": lambda order: order.value,
}
"""Setting → how what is written for it is read; the others are taken as they are."""


def _sheet(name: str, animate: Path | None, settings: Mapping[str, Any]) -> Sheet:
    """What a function of `isoconv.symbols` makes of settings as they are written."""
    from isoconv import symbols

    read = {
        setting: _READ[setting](value) if setting in _READ and value is not None else value
        for setting, value in settings.items()
    }
    if animate:
        # What a picture shows need not be written out, and may be too much for that.
        read["of"] = ()
    sheet: Sheet = getattr(symbols, name)(**read)
    return sheet


def _convolution(
    name: str,
    *,
    values: str | None,
    weights: str | None,
    animate: Path | None,
    at: str | None,
    seconds: float,
    form: Format,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write a convolution of this name of `isoconv.symbols` out, or draw it."""
    sheet = _sheet(name, animate, settings)
    image, kernel = _image(values, sheet), _kernel(weights, sheet)
    if animate is None:
        from isoconv.explain.symbols_numbers import with_numbers

        sheet = with_numbers(sheet, image, kernel)
    _tell(sheet, animate, at, seconds, form, as_json, image, kernel)


def _pooling(
    name: str,
    *,
    values: str | None,
    animate: Path | None,
    at: str | None,
    seconds: float,
    form: Format,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write a pooling of this name of `isoconv.symbols` out, or draw it."""
    sheet = _sheet(name, animate, {"values": rows_of("--values", values), **settings})
    _tell(sheet, animate, at, seconds, form, as_json)


def _tell(
    sheet: Sheet,
    animate: Path | None,
    at: str | None,
    seconds: float,
    form: Format,
    as_json: bool,
    image: Any = None,
    kernel: Any = None,
) -> None:
    """Draw a sheet where that is asked for, or else write it."""
    if animate is not None:
        _draw(sheet, animate, image, kernel, at, seconds, form, as_json)
        return
    if at is not None:
        raise ArgumentError("--at says what a picture shows; add --animate FILE")
    _show(sheet, form, as_json)


def _image(text: str | None, sheet: Sheet) -> Any:
    """An input's values with its channels last."""
    planes = planes_of("--values", text)
    if planes is None:
        return None
    import numpy as np

    _check_planes("--values", planes, sheet.drawn.x.shape[-1])
    return np.moveaxis(np.array(planes), 0, -1)


def _kernel(text: str | None, sheet: Sheet) -> Any:
    """A kernel's values with channels and filters last."""
    planes = planes_of("--weights", text)
    if planes is None:
        return None
    import numpy as np

    *_, channels, filters = sheet.drawn.w.shape
    _check_planes("--weights", planes, channels * filters)
    array = np.array(planes)
    by_filter = array.reshape(filters, channels, *array.shape[1:])
    return np.moveaxis(by_filter, (1, 0), (-2, -1))


def _check_planes(option: str, planes: list[Any], wanted: int) -> None:
    if len(planes) != wanted:
        raise ArgumentError(
            f"{option} must have {wanted} planes with a bar between; got {len(planes)}"
        )


def _draw(
    sheet: Sheet,
    file: Path,
    values: Any,
    weights: Any,
    at: str | None,
    seconds: float,
    form: Format,
    as_json: bool,
) -> None:
    """Save a picture and say so."""
    from isoconv.printable import printable

    if form is not Format.text:
        raise ArgumentError(
            f"--format {form.value} says how formulas are written, and --animate draws in place of "
            "writing; give one of them"
        )

    sheet.animate(file, values, weights, at=place_of(at), seconds=seconds)
    say(f"{printable(file)}: {sheet.title}")
    if as_json:
        print_json({"picture": file, "title": sheet.title})


def _show(sheet: Sheet, form: Format, as_json: bool) -> None:
    if as_json or form is Format.json:
        print_json(sheet.to_dict())
        return
    text = {
        Format.text: sheet.to_text,
        Format.latex: sheet.to_latex,
        Format.markdown: sheet.to_markdown,
    }[form]()
    stream = sys.stderr if JSON_WANTED.get() else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        from isoconv.cli.errors import note
        from isoconv.explain.notation import in_ascii

        note(f"{encoding} does not have all signs; the text is in ASCII (--ascii)")
        text = in_ascii(text)
    say(text)


app.callback(invoke_without_command=True, help=help_of(explain))(explain)
app.command("number", help=help_of(number))(number)
app.command("conv", help=help_of(conv))(conv)
app.command("conv-transpose", help=help_of(conv_transpose))(conv_transpose)
app.command("max", help=help_of(max_))(max_)
app.command("average", help=help_of(average))(average)
app.command("global", help=help_of(global_))(global_)
