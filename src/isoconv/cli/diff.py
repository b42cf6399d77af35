"""``isoconv diff``: what came of two runs, and where they part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.errors import DIFFERENT
from isoconv.cli.options import AsJson
from isoconv.cli.table import print_json, print_table, say

if TYPE_CHECKING:
    from isoconv.train import Outcome, RunDifference


def diff(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_A",
            help="A run folder.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_B", help="Another one.", show_default=False, autocompletion=complete.runs
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what came of two runs, and where they part first.

    Their receipts are compared. Results stand side by side; settings, data and model that differ
    are listed; what follows from those is counted; then comes the first epoch, step and tensor.
    Exit code 0: no difference; 1: different; 2: a receipt cannot be read.

    Examples:
      isoconv diff runs/pets-1 runs/pets-2
    """
    from isoconv.train import diff as diff_runs

    found = diff_runs(a, b)
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    if found.different:
        raise typer.Exit(DIFFERENT)


def _print(found: RunDifference) -> None:
    if found.outcomes is not None:
        rows = [
            (name, *map(show, found.outcomes))
            for name, show in _rows()
            if any(show(each) != "-" for each in found.outcomes)
        ]
        print_table(("", "A", "B"), rows, numbers=(1, 2), shorten=(1, 2))
        say("")
    say(str(found))


def _rows() -> list[tuple[str, Callable[[Outcome], str]]]:
    """The rows of the table: what each is called, and how it is written of a run."""
    from isoconv.train.words import accuracy

    def share(part: str, places: bool) -> Callable[[Outcome], str]:
        return lambda run: _written(
            run.measured[part][0] if run.of_places == places else None, ".2%"
        )

    def loss(part: str) -> Callable[[Outcome], str]:
        return lambda run: _written(run.measured[part][1], ".4f")

    def overlap(part: str) -> Callable[[Outcome], str]:
        return lambda run: _written(run.measured[part][2], ".2%")

    measured = [
        (f"{part} {what}", made(part))
        for part in ("test", "validation", "training")
        for what, made in (
            ("mean IoU", overlap),
            (accuracy(True), partial(share, places=True)),
            (accuracy(False), partial(share, places=False)),
            ("loss", loss),
        )
    ]
    return [
        *measured,
        ("best epoch", lambda run: str(run.best_epoch)),
        ("epochs", lambda run: f"{run.epochs} of {run.planned}"),
        ("seconds", lambda run: _written(run.seconds, ".1f")),
        ("images", lambda run: f"{run.images:,}"),
        ("weights sha256", lambda run: run.weights),
    ]


def _written(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _plain(found: RunDifference) -> dict[str, Any]:
    sides = None
    if found.outcomes is not None:
        sides = [
            {
                **{name: value for name, value in asdict(each).items() if name != "measured"},
                "measured": {
                    part: {"accuracy": accuracy, "loss": loss, "mean_iou": overlap}
                    for part, (accuracy, loss, overlap) in each.measured.items()
                },
            }
            for each in found.outcomes
        ]
    return {
        "a": found.a,
        "b": found.b,
        "identical": found.identical,
        "different": found.different,
        "results": sides,
        "settings_that_differ": found.head,
        "epochs_compared": found.epochs,
        "difference": None if found.place is None else asdict(found.place),
        "notes": found.notes,
    }
