"""Writes the commands and their options into docs/command-line.md, as the command line has them.

    python -m scripts.document_commands

Whatever stands between the marks ``commands`` and ``options NAME`` (see ``marks.py``) is made from
the functions of ``isoconv.cli`` and their annotations, and between ``exit codes`` from the table of
``cli/errors.py``. A command without such a place is an error, and so is a place without its
command.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from scripts.marks import between_marks, table, write
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from isoconv.cli.errors import EXIT_CODES
from isoconv.cli.options import KINDS

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
DEFAULT = re.compile(r"\s*\[default: (.*?)\]\s*$")
"""Where a default is worked out, the help itself says how."""


@dataclass(frozen=True)
class Parameter:
    """What a command can be told.

    Attributes:
        names: as they are written; an argument has one, in capitals.
        argument: whether it is told by its place and not by its name.
        value: what can stand there; "" for a switch.
        default: what holds if nothing is said; "" if that is nothing.
        meaning: one sentence.
    """

    names: tuple[str, ...]
    argument: bool
    value: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Command:
    """A command: ``isoconv data fetch`` has the name ``data fetch``, isoconv itself the name "".

    Attributes:
        name: as it is written.
        summary: the first sentence of its help.
        parameters: arguments and options, as its help shows them.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        """How it is called, with its arguments."""
        words = [p.names[0] for p in self.parameters if p.argument]
        return " ".join(["isoconv", *self.name.split(), *words])


def commands(app: Typer, prefix: str = "") -> Iterator[Command]:
    """Every command of the command line, the program itself first."""
    if app.registered_callback is not None:
        function = app.registered_callback.callback
        if function is not None and (not prefix or _parameters(function)):
            yield _command(prefix, function)
    for entry in app.registered_commands:
        if entry.callback is not None and not entry.hidden:
            name = entry.name or entry.callback.__name__.replace("_", "-")
            yield _command(f"{prefix} {name}".strip(), entry.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None and group.name is not None:
            yield from commands(group.typer_instance, f"{prefix} {group.name}".strip())


def _command(name: str, function: Callable[..., Any]) -> Command:
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    return Command(name, summary, tuple(_parameters(function)))


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *extras = get_args(hints[name]) or (hints[name],)
        info = next((e for e in extras if isinstance(e, ArgumentInfo | OptionInfo)), None)
        if info is not None and not info.hidden:
            found.append(_parameter(name, kind, info, parameter.default))
    return found


def _parameter(name: str, kind: Any, info: ArgumentInfo | OptionInfo, default: object) -> Parameter:
    text = info.help or ""
    said = DEFAULT.search(text)
    meaning = DEFAULT.sub("", text).strip()
    if isinstance(info, ArgumentInfo):
        return Parameter((info.metavar or name.upper(),), True, "", "", meaning)
    word = f"--{name.replace('_', '-')}"
    # Within Annotated the first name stands where a default would.
    first = [info.default] if isinstance(info.default, str) else []
    names = [part for given in (*first, *(info.param_decls or ())) for part in given.split("/")]
    # Of `int | None` what is not None.
    if get_origin(kind) is not Literal:
        kind = next((arm for arm in get_args(kind) if arm is not NoneType), kind)
    if kind is bool and not names:
        names = [word, f"--no-{word[2:]}"]
    usual = _default(names, default, shown=info.show_default is not False)
    if said:
        # Words say how it is found; anything else stands as it could be written.
        usual = said[1] if re.search(r" |^[a-z]+$", said[1]) else f"`{said[1]}`"
    # What stands in angle brackets is the kind alone.
    named = info.metavar and not info.metavar.startswith("<")
    value = f"`{info.metavar}`" if named else _value(kind, info.min, info.max)
    return Parameter(tuple(names or [word]), False, value, usual, meaning)


def _default(names: list[str], default: object, *, shown: bool) -> str:
    if isinstance(default, bool):
        # A switch is off; of two names one holds.
        return f"`{names[0 if default else 1]}`" if len(names) == 2 and shown else ""
    if default is None or default is inspect.Parameter.empty or not shown:
        return ""
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _value(kind: Any, least: float | None, most: float | None) -> str:
    if kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{name}`" for name in get_args(kind))
    bounds = [f"at least {least}"] if least is not None else []
    bounds += [f"at most {most}"] if most is not None else []
    return ", ".join([KINDS[kind], *bounds])


def table_of(command: Command) -> str:
    """A command's arguments and options, one a line."""
    if not command.parameters:
        return "No arguments and no options.\n"
    rows = [
        (", ".join(f"`{name}`" for name in p.names), p.value, p.default, p.meaning)
        for p in command.parameters
    ]
    return table(("", "value", "default", "meaning"), rows)


def table_of_all(found: list[Command]) -> str:
    """All commands with what they are for, each a link to its options."""
    rows = [
        (f"[`{command.usage}`](#isoconv-{command.name.replace(' ', '-')})", command.summary)
        for command in found
        if command.name
    ]
    return table(("command", "what it does"), rows)


def table_of_codes(codes: Mapping[int, str]) -> str:
    """Every exit code and what it means."""
    return table(("exit code", "meaning"), [(str(code), codes[code]) for code in codes])


def documented(page: str, app: Typer) -> str:
    """The page with everything between its marks made anew.

    Raises:
        SystemExit: a command has no place on the page, or a place no command.
    """
    found = list(commands(app))
    texts = {f"options {command.name or 'isoconv'}": table_of(command) for command in found}
    texts |= {"commands": table_of_all(found), "exit codes": table_of_codes(EXIT_CODES)}
    return between_marks(page, texts)


def main() -> None:
    """Write the page anew, and say whether that changed it."""
    from isoconv.cli import app

    write(PAGE, lambda page: documented(page, app))


if __name__ == "__main__":
    main()
