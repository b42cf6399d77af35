"""How the command line ends: one line that says what is wrong, and an exit code.

0 all went well; 2 wrong usage, bad input or an error that isoconv raises on purpose; 130 an
interrupt from the keyboard. Anything else is a fault of isoconv and shows its traceback.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import typer
from typer.core import TyperGroup

from isoconv.errors import DataWarning, IsoconvError
from isoconv.printable import printable_lines

__all__ = ["INTERRUPTED", "WRONG", "Commands", "as_options", "complain", "missing", "note"]

WRONG = 2
INTERRUPTED = 130

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for unknown options, missing arguments and the like."""


class Commands(TyperGroup):
    """All commands; turns errors into a line on standard error and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; the options of all commands may stand anywhere before ``--``."""
        given = _options_first(sys.argv[1:] if args is None else args)
        try:
            code = super().main(
                given,
                prog_name or "isoconv",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except UsageError as error:
            complain(_usage(error, given))
            code = WRONG
        except typer.Abort:
            code = INTERRUPTED
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with _warnings_as_notes():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            complain(str(error) or "interrupted", kind="")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError:
            raise
        except (IsoconvError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            complain(as_options(str(error)) or type(error).__name__)
            raise typer.Exit(WRONG) from error


def _options_first(given: Sequence[str]) -> list[str]:
    """A command line with the options of all commands before the command.

    Example:
        >>> _options_first(["predict", "run", "--max-memory", "2GiB", "--debug", "--", "--debug"])
        ['--max-memory', '2GiB', '--debug', 'predict', 'run', '--', '--debug']
    """
    end = given.index("--") if "--" in given else len(given)
    moved: list[str] = []
    others: list[str] = []
    words = iter(given[:end])
    for word in words:
        if word == "--debug" or word.startswith("--max-memory="):
            moved.append(word)
        elif word == "--max-memory":
            moved += (word, *islice(words, 1))
        else:
            others.append(word)
    return [*moved, *others, *given[end:]]


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Of a warning a person needs the text alone, and once."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = as_options(str(message))
        if text not in seen:
            seen.add(text)
            note(text)

    with warnings.catch_warnings():
        # Whatever Python was told of warnings, these are for the person at the terminal.
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield


_NAMES = "scale|size|depth|best|clip_norm|validation|test"
_SETTING = re.compile(rf"\b(?P<name>{_NAMES})=(?P<value>…|True|\(height, width\)|\d+(?:[./]\d+)?)")


def as_options(message: str) -> str:
    """A message of the library, whose settings are options here.

    Example:
        >>> as_options("scale=1/255 brings bytes to 0 to 1, or take the best one (best=True)")
        '--scale 1/255 brings bytes to 0 to 1, or take the best one (--best)'
    """
    return _SETTING.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    name = found["name"].replace("_", "-")
    value = {"…": "", "True": "", "(height, width)": " HEIGHTxWIDTH"}.get(found["value"])
    return f"--{name}" + (f" {found['value']}" if value is None else value)


def complain(message: str, kind: str = "error") -> None:
    """Say what is wrong on standard error, in red where there are colours."""
    _say(f"{kind}: {message}" if kind else message, "red")


def note(message: str) -> None:
    """Say something on standard error that is no error."""
    _say(f"note: {message}", "yellow")


def missing(error: Exception) -> str:
    """What an error that came of reading values says of them.

    Example:
        >>> missing(KeyError("settings")), missing(ValueError("no number"))
        ("it lacks 'settings'", 'no number')
    """
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _say(text: str, color: str) -> None:
    from rich.console import Console
    from rich.text import Text

    shown = Text(printable_lines(text), style=color)
    Console(stderr=True).print(shown, soft_wrap=True, highlight=False)


def _usage(error: Any, given: Sequence[str]) -> str:
    message = " ".join(str(error.format_message()).split())
    context = getattr(error, "ctx", None)
    where = "" if context is None else f" (see {context.command_path} --help)"
    option = str(getattr(error, "option_name", "") or "")
    # -photo.png is taken for the options -p, -h, …
    paths = [word for word in given if option and word.startswith(option) and _may_be_path(word)]
    if paths:
        where += f"; a path that begins with a dash goes behind -- or is written ./{paths[0]}"
    return f"{message.rstrip('.')}{where}"


def _may_be_path(word: str) -> bool:
    """Whether a word that was taken for an option may be meant as a path."""
    return os.path.lexists(word) or not (word.startswith("--") or len(word) == 2)
