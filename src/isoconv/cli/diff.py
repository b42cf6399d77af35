"""``isoconv diff``: where two runs part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoconv.cli.errors import DIFFERENT
from isoconv.cli.table import say

__all__ = ["diff"]


def diff(
    a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run folder.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another one.", show_default=False)],
) -> None:
    """Show the first place at which two runs part, by their receipts.

    Settings, data and model that differ are listed; then comes the first epoch, step and tensor.
    Exit code 0: no difference; 1: different; 2: a receipt cannot be read.

    Examples:
      isoconv diff runs/pets-lenet5-1 runs/pets-lenet5-2
    """
    from isoconv.train import diff as diff_runs

    found = diff_runs(a, b)
    say(str(found))
    if found.different:
        raise typer.Exit(DIFFERENT)
