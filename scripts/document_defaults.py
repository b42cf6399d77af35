"""Writes into docs/training.md what holds for a training of which nothing is said.

    python -m scripts.document_defaults

The table between the marks ``defaults`` has a line for each setting of `isoconv.Trainer`, of its
`fit` and of `isoconv.data.load_splits`, with the option of ``isoconv train`` that sets it. What the
library and the command line take when nothing is given must be the same, or there is no table.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.document_commands import Parameter, commands
from scripts.marks import between_marks, table, write

from isoconv import Trainer
from isoconv.data import load_splits
from isoconv.train.recipe import RULES

PAGE = Path(__file__).parents[1] / "docs" / "training.md"

SOURCES = (("Trainer", Trainer.__init__), ("fit", Trainer.fit), ("load_splits", load_splits))
HERE = {
    "load_splits": ("size", "depth", "validation", "test", "seed"),
    "fit": ("epochs", "early_stopping", "out"),
}
"""The settings of functions that take data besides; of the others all."""

OPTIONS = {
    ("Trainer", "optimizer"): (
        "--optimizer", "--learning-rate", "--momentum", "--nesterov", "--weight-decay",
    ),
    ("Trainer", "schedule"): ("--schedule", "--step-every", "--step-factor", "--warmup"),
    ("Trainer", "augmentation"): ("--augment",),
    ("load_splits", "seed"): ("--split-seed",),
}  # fmt: skip
"""Options that are called otherwise than the setting."""

LIBRARY_ONLY = {
    ("Trainer", "loss"): "what is made small: of classes `cross_entropy`",
    ("Trainer", "normalise"): "bring each channel to mean 0 and standard deviation 1 over the "
    "training images; of a trained model `keep` its constants or take them `anew`",
    ("Trainer", "executor"): "makes what runs the steps; changes no bit",
    ("Trainer", "callbacks"): "called at the start, after each epoch and at the end",
    ("Trainer", "progress"): "a bar on a terminal, a line for each epoch elsewhere",
}
"""Settings without an option, and what they mean."""

IN_WORDS = {
    ("Trainer", "threads"): "one for each core",
    ("Trainer", "target"): "this machine",
    ("Trainer", "executor"): "an engine of this process",
    ("fit", "out"): "none; of the command line `runs/<data>-<n>`",
    ("load_splits", "size"): "that of the pictures, or a rule ([data.md](data.md#size))",
    ("load_splits", "depth"): "what the files need",
}
"""Defaults that are None and stand for something."""


def defaults(options: dict[str, Parameter]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each setting: its name, its options, its meaning, what holds without it.

    Raises:
        SystemExit: the library and the command line differ.
    """
    for source, function in SOURCES:
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self" or name not in HERE.get(source, (name,)):
                continue
            key = source, name
            own = () if key in LIBRARY_ONLY else OPTIONS.get(key, (f"--{name.replace('_', '-')}",))
            if own and own[0] not in options:
                raise SystemExit(f"{source} has {name}, and isoconv train has no {own[0]}")
            said = LIBRARY_ONLY[key] if not own else options[own[0]].meaning
            usual = RULES.get(name) or IN_WORDS.get(key) or _text(parameter.default)
            if own and name not in RULES and key not in IN_WORDS:
                _check_same(f"{source}: {name}", usual, options[own[0]].default)
            yield f"`{name}`", ", ".join(f"`{option}`" for option in own), said, usual


def _text(value: Any) -> str:
    if value is False:
        return "no"
    if value is None or value == ():
        return "none"
    return f"`{value:g}`" if isinstance(value, int | float) and value is not True else f"`{value}`"


def _check_same(name: str, library: str, option: str) -> None:
    nothing = "", "none", "no", "`0`", "`0.0`"
    if library != option and not (library in nothing and option in nothing):
        raise SystemExit(f"{name}: the library takes {library}, the command line {option}")


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
