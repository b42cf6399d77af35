"""Writes into docs/training.md what holds for a training of which nothing is said.

    python -m scripts.document_defaults

The table between the marks ``defaults`` has a line for each setting of the record in
``isoconv.train.settings``, and for each of `isoconv.data.load_splits` that is an option of
``isoconv train``. What these take when nothing is given must be the same, or there is no table.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.document_commands import Parameter, commands
from scripts.marks import between_marks, table, write

from isoconv.data import load_splits
from isoconv.train.recipe import RULES
from isoconv.train.settings import ALL, sentence

PAGE = Path(__file__).parents[1] / "docs" / "training.md"

OF_DATA = {
    "validation": "--validation", "test": "--test", "seed": "--split-seed", "size": "--size",
    "depth": "--depth",
}  # fmt: skip
"""Settings of `load_splits` in the table, and their options."""

IN_WORDS = {
    "size": "that of the pictures, or a rule ([data.md](data.md#size))",
    "depth": "what the files need",
}
"""Defaults of them that are None and stand for something."""


def defaults(options: dict[str, Parameter]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each setting: its name, its options, its meaning, what holds without it.

    Raises:
        SystemExit: the library and the command line differ.
    """
    for name, setting in ALL.items():
        words = [f"`{word.names[0]}`" for word in setting.options_of(name)]
        usual = RULES.get(name) or setting.usual or _text(setting.default)
        # What the command line does not offer, a program is told more of.
        said = sentence(setting.meaning if words else setting.told)
        yield f"`{name}`", ", ".join(words), said, usual
    out = options["--out"]
    yield "`out`", "`--out`", out.meaning, f"none; of the command line {out.default}"
    known = inspect.signature(load_splits).parameters
    for name, option in OF_DATA.items():
        usual = IN_WORDS.get(name) or _text(known[name].default)
        if name not in IN_WORDS and usual != options[option].default:
            raise SystemExit(
                f"load_splits: of {name} the library takes {usual}, the command line "
                f"{options[option].default}"
            )
        yield f"`{name}`", f"`{option}`", options[option].meaning, usual


def _text(value: Any) -> str:
    if value is False:
        return "no"
    if value is None or value == ():
        return "none"
    return f"`{value:g}`" if isinstance(value, int | float) and value is not True else f"`{value}`"


def documented(page: str) -> str:
    """The page with the table made anew."""
    from isoconv.cli import app

    train = next(command for command in commands(app) if command.name == "train")
    options = {name: parameter for parameter in train.parameters for name in parameter.names}
    rows = list(defaults(options))
    return between_marks(
        page, {"defaults": table(("setting", "option", "meaning", "if not given"), rows)}
    )


def main() -> None:
    """Write the page anew, and say whether that changed it."""
    write(PAGE, documented)


if __name__ == "__main__":
    main()
