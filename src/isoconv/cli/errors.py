"""How the command line ends: a line that says what is wrong, and an exit code out of one table.

A fault of isoconv itself shows its traceback besides; so does every error with ``--debug``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from isoconv.cli.complete import complete_in
from isoconv.cli.typed import typed
from isoconv.cli.usage import refused_value
from isoconv.errors import DataWarning, IsoconvError
from isoconv.printable import printable_lines
from isoconv.signals import ENDING, Ended, number_of
from isoconv.train.settings import ALL
from isoconv.wording import spoken_on_the_command_line

DIFFERENT = 1
UNREAD = 1
WRONG = 2
INTERRUPTED = 130
HUNG_UP = 129
TERMINATED = 143

EXIT_CODES = {
    0: "all went well; of `verify` and `diff`: no difference was found",
    DIFFERENT: "`verify` or `diff` found a difference; `predict` could not read some of the files, "
    "and answered for the others; nothing else ends so",
    WRONG: "an error: wrong usage, bad input, a file that cannot be read or written, too little "
    "memory, output that nobody takes any more, or a fault of isoconv itself (which shows its "
    "traceback); of `verify` and `diff`: nothing can be said",
    HUNG_UP: "the terminal was closed (SIGHUP); a training that had begun saved where it stood",
    INTERRUPTED: "Ctrl-C; likewise",
    TERMINATED: "the process was asked to end (SIGTERM); likewise",
}
"""Every exit code there is, and what it means."""

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for unknown options, missing arguments and the like."""


class Commands(TyperGroup):
    """All commands; turns whatever goes wrong into a line on standard error and an exit code."""

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
        words = sys.argv[1:] if args is None else args
        try:
            given = _options_first(words)
        except UsageError as error:
            complain(_usage(error, ()))
            if not standalone_mode:
                return WRONG
            sys.exit(WRONG)
        debug = "--debug" in given[: given.index("--") if "--" in given else len(given)]
        try:
            with typed(words), spoken_on_the_command_line(_options_of(self, given)):
                code = complete_in(given, prog_name or "isoconv") or super().main(
                    given,
                    prog_name or "isoconv",
                    complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
            # A command gives back nothing; what ends it early says its code.
            code = 0 if code is None or code is True else code
            if code == DIFFERENT and not {"verify", "diff", "predict"} & set(given):
                # So typer ends where it does not know the shell that it is to complete in.
                code = WRONG
        except UsageError as error:
            complain(_usage(error, given))
            code = WRONG
        except typer.Abort:
            code = INTERRUPTED
        except KeyboardInterrupt as error:
            # Before the command began, or after its end.
            code = _interrupted(error)
        except SystemExit as error:
            # So typer ends a completion, and where nobody takes the output any more, with a code
            # of its own.
            code = WRONG if error.code else 0
        except Exception as error:  # noqa: BLE001 - Python would end with 1, which means "different"
            code = _told(error, debug)
        code = _written(code)
        if not standalone_mode:
            return code
        sys.exit(code)

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read what was asked for."""
        try:
            return super().make_context(*args, **settings)
        except KeyboardInterrupt as error:
            # Typer would end without a word.
            raise typer.Exit(_interrupted(error)) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with _warnings_as_notes():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Exit(_interrupted(error)) from error
        except (typer.Exit, typer.Abort, UsageError):
            raise
        except Exception as error:
            raise typer.Exit(_told(error, bool(ctx.params.get("debug")))) from error


def _interrupted(error: KeyboardInterrupt) -> int:
    """Say that the command was interrupted; gives back the exit code."""
    number = number_of(error)
    complain(str(error) or (str(Ended(number)) if number in ENDING else "interrupted"), kind="")
    return 128 + number


def _told(error: Exception, debug: bool) -> int:
    """Say what went wrong; gives back the exit code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has had enough of it, and nobody is left to be told.
        return WRONG
    meant = isinstance(error, (IsoconvError, OSError, MemoryError))
    if debug or not meant:
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    for line in getattr(error, "__notes__", ()):
        note(line)
    what = in_full(error) or type(error).__name__
    if isinstance(error, MemoryError) and not isinstance(error, IsoconvError):
        what = "there was not enough memory for this" + (f": {error}" if str(error) else "")
    complain(what if meant else f"a fault of isoconv itself: {type(error).__name__}: {error}")
    return WRONG


def in_full(error: Exception) -> str:
    """What an error says; with all files that it has to name where no terminal would be flooded."""
    whole = getattr(error, "whole", "")
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return str(error) if terminal or not whole else str(whole)


def _written(code: int) -> int:
    """Write out what waits to be printed; gives back the exit code, `WRONG` where that fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        # What cannot be written may be what went wrong, and that is told.
        if code != WRONG and not isinstance(error, BrokenPipeError):
            complain(f"the output cannot be written: {getattr(error, 'strerror', None) or error}")
        # Python would try once more at its end, and end with a code of its own.
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            sys.stdout = None
        return WRONG
    return code


def _options_first(given: Sequence[str]) -> list[str]:
    """A command line with the options of all commands before the command.

    Example:
        >>> _options_first(["predict", "run", "--max-memory", "2GiB", "--debug", "--", "--debug"])
        ['--max-memory', '2GiB', '--debug', 'predict', 'run', '--', '--debug']
    """
    empty = next((place for place, word in enumerate(given) if _is_empty(word)), None)
    if empty is not None:
        # Taken for a path it would mean the current folder.
        behind = f" behind {given[empty - 1]!r}" if empty and not given[empty] else ""
        got = f"{given[empty] or 'an empty word'}{behind}"
        raise typer.BadParameter(f"nothing on the command line may be empty; got {got}")
    end = given.index("--") if "--" in given else len(given)
    moved: list[str] = []
    others: list[str] = []
    words = iter(given[:end])
    for word in words:
        if word == "--debug" or word.startswith("--max-memory="):
            moved.append(word)
        elif word == "--max-memory":
            value = next(words, None)
            if value is None or not value[:1].isdigit():
                # The word behind it is not taken for its value without a word on it.
                got = "nothing" if value is None else repr(value)
                raise typer.BadParameter(f"--max-memory needs a size, such as 2GiB; got {got}")
            moved += (word, value)
        else:
            others.append(word)
    return [*moved, *others, *given[end:]]


def _is_empty(word: str) -> bool:
    """Whether it says nothing, as of a shell's variable that is not set, or gives an option none.

    Example:
        >>> [_is_empty(word) for word in ("", "--data=", "--data", "a=")]
        [True, True, False, False]
    """
    return not word or (word.startswith("--") and word.endswith("="))


def _options_of(group: Any, given: Sequence[str]) -> dict[str, str]:
    """The options of the command that is asked for, by the setting that each is."""
    words = iter(given)
    for word in words:
        if word == "--max-memory":
            next(words, None)
        elif not word.startswith("-"):
            commands = getattr(group, "commands", {})
            # A group may have a command for words that name none.
            group = commands.get(word, commands.get(getattr(group, "usual", "")))
            if not hasattr(group, "commands"):
                break
    options: dict[str, str] = {}
    for parameter in getattr(group, "params", ()):
        long = [option for option in parameter.opts if option.startswith("--")]
        if long:
            options[str(parameter.name)] = long[0]
    # A setting with an option of another name is known by that option.
    for name, setting in ALL.items():
        for option in setting.options_of(name)[:1]:
            if option.parameter in options:
                options.setdefault(name, options[option.parameter])
    return options


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Of a warning a person needs the text alone, and once."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in seen:
            seen.add(text)
            note(text)

    with warnings.catch_warnings():
        # Whatever Python was told of warnings, these are for the person at the terminal.
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield


def complain(message: str, kind: str = "error") -> None:
    """Say what is wrong on standard error, in red where there are colours."""
    _say(f"{kind}: {message}" if kind else message, "red")


def note(message: str) -> None:
    """Say something on standard error that is no error."""
    _say(f"note: {message}", "yellow")


def _say(text: str, color: str) -> None:
    from rich.console import Console
    from rich.text import Text

    shown = Text(printable_lines(text), style=color)
    # Where nobody takes standard error, the exit code tells.
    with contextlib.suppress(OSError, ValueError):
        Console(stderr=True).print(shown, soft_wrap=True, highlight=False)


def _usage(error: Any, given: Sequence[str]) -> str:
    message = refused_value(error) or " ".join(str(error.format_message()).split())
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
