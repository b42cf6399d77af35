"""``isoconv train --grid``: every combination of some values of options, on the same folds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isoconv.cli.folds import plain_folds, tell_of_parts
from isoconv.cli.table import json_alone, print_json, print_table, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable
from isoconv.train.settings import ALL, BESIDE, STORED, Option
from isoconv.wording import called, spelled_near

if TYPE_CHECKING:
    from isoconv.data import Splits
    from isoconv.train import Trainer

__all__ = ["FOLDS", "over_of", "search"]

FOLDS = 5
"""Folds where nothing is said of them."""
_WITH_COMMAS = ("augment", "freeze")
"""Parameters whose one value may have commas in it."""
_FLAGS = {"yes": True, "no": False}

Made = Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, Any]]
"""Makes settings, by their names, of what was told of their options."""


def _varied() -> dict[str, tuple[str, Option]]:
    """Options that may be varied: the setting that each is of, by its names without the dashes."""
    return {
        word.lstrip("-"): (name, option)
        for name in ("model", "epochs", *STORED)
        for option in ALL[name].options_of(name)
        for word in option.names
    }


def over_of(grid: Sequence[str], told: Mapping[str, Any], made: Made) -> dict[str, list[Any]]:
    """The values of each setting that is varied, for `isoconv.grid_search`.

    Options of one setting, such as ``--optimizer`` and ``--lr``, are joined first: every
    combination of their values is a value of that setting.

    Args:
        grid: as they are written: ``lr=0.1,0.01``.
        told: values of all options, by their parameters.
        made: makes settings of them.

    Raises:
        ArgumentError: it is written in another way, names what cannot be varied, or what is told
            with an option of its own already; a value is no value of this option.
    """
    varied = _varied()
    values: dict[str, dict[str, list[Any]]] = {}
    for text in grid:
        word, equals, rest = text.partition("=")
        found = varied.get(word.strip().lstrip("-"))
        if not equals or found is None:
            near = spelled_near(word.strip().lstrip("-"), varied, "those are")
            raise ArgumentError(
                f"--grid must be OPTION=VALUE,… of options that decide bits; got {text!r}; {near}"
            )
        name, option = found
        if told.get(option.parameter, option.default) != option.default:
            said = told[option.parameter]
            raise ArgumentError(f"{option.names[0]} must be left out with --grid; got {said}")
        own = values.setdefault(name, {}).setdefault(option.parameter, [])
        parts = [rest] if option.parameter in _WITH_COMMAS else rest.split(",")
        for part in parts:
            value = _value(option, part.strip())
            if value in own:
                raise ArgumentError(f"--grid {word} must have each value once; got {text!r}")
            own.append(value)
    over: dict[str, list[Any]] = {}
    for name, options in values.items():
        every = itertools.product(*options.values())
        rows = [dict(zip(options, row, strict=True)) for row in every]
        if name in BESIDE:
            (parameter,) = options
            over[name] = [row[parameter] for row in rows]
        else:
            over[name] = [made({**told, **row}, (name,))[name] for row in rows]
    return over


def _value(option: Option, text: str) -> Any:
    """A value as the option takes it.

    Raises:
        ArgumentError: it is none.
    """
    kind = option.kind
    if kind.names and text in kind.names:
        return text
    if kind.python is bool and text in _FLAGS:
        return _FLAGS[text]
    what = f"one of {', '.join(kind.names or _FLAGS)}"
    if not kind.names and kind.python is not bool:
        try:
            if text:
                return kind.python(text)
        except ValueError:
            pass
        what = {int: "a whole number", float: "a number"}.get(kind.python, "a value")
    raise ArgumentError(f"--grid {option.names[0].lstrip('-')} must be {what}; got {text!r}")


def search(
    trainer: Trainer,
    splits: Splits,
    over: Mapping[str, Sequence[Any]],
    folds: int,
    how: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Cross-validate each combination and show what came of them.

    Args:
        trainer: what is the same in all.
        splits: its own parts, of which the training part is dealt out.
        over: values by the setting.
        folds: how many.
        how: the rest of what `isoconv.cross_validate` and `isoconv.grid_search` take alike.
        as_json: whether the result is printed as JSON.
    """
    from isoconv.train import grid_search

    folder = how["out"]
    count = 1
    for values in over.values():
        count *= len(values)
    first, last = (printable(folder / f"combination-{number}") for number in (1, count))
    tell_of_parts(splits, f"{count} combinations of {folds} folds; cross-validations {first} …")
    with json_alone(), called(seed="--split-seed", over="--grid"):
        found = grid_search(trainer, splits, over, folds, **how)
    titles, rows = found.table()
    print_table(titles, rows, range(1 + len(over), len(titles)))
    say(found.told)
    say(f"cross-validations {first} … {last}; runs {first}/fold-1 …")
    if as_json:
        plain = found.plain()
        print_json(
            {
                "folder": found.folder,
                "combinations": [
                    {**fact, **plain_folds(each.found)}
                    for fact, each in zip(plain["results"], found.combinations, strict=True)
                ],
                "best": plain["best"],
                "by": found.metric,
            }
        )
