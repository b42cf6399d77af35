"""``isoconv verify``: run a training again and compare it with its receipt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.errors import DIFFERENT
from isoconv.cli.on_cluster import ClusterAddress, cluster_at
from isoconv.cli.options import AsJson, MovedData, RunPath, TargetName, Threads
from isoconv.cli.table import json_alone, print_json, reading_progress, say
from isoconv.errors import ArgumentError, CheckpointError

if TYPE_CHECKING:
    from isoconv.train import Verification


def verify(
    run: RunPath,
    data: MovedData = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST-LAST",
            help="Run these epochs only, from the checkpoint before them.  [default: all]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many stretches again at the same time, each in a process of its own, "
            "from the checkpoints that --keep-checkpoints kept.",
        ),
    ] = 1,
    cluster: ClusterAddress = None,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Check a run against its receipt by training again.

    The folder is held against the receipt, and every epoch is compared. Prints "identical", or the
    first epoch, step and tensor that differ; "no difference found" where only a part of the run was
    checked, and which. Nothing is overwritten.
    Exit code 0: no difference; 1: different; 2: nothing can be said, for the receipt or a
    checkpoint is missing, damaged or of another arithmetic version, or the data are others.

    Examples:
      isoconv verify runs/pets
      isoconv verify runs/pets --data other/pets --threads 1
      isoconv verify runs/pets --epochs 3-4
      isoconv verify runs/pets --workers 4
      isoconv verify runs/pets --cluster auto
    """
    from isoconv.cli.runs import data_of_run, parts_of_run
    from isoconv.train import Receipt
    from isoconv.train import verify as verify_run

    span = span_of(epochs)
    receipt = Receipt.read(run)
    receipt.check_arithmetic()
    if receipt.content["record"]["architecture"] is None:
        raise CheckpointError(
            f"{run} was trained with a model of a person's own class: only a program that has this "
            "class can verify it (docs/receipts.md)"
        )
    place = data or data_of_run(run, _description(run))
    # Which files were left out, the receipt alone says: it is held against what the source says.
    splits = parts_of_run(run, place, receipt.content, as_now=True)
    # The answer alone is for standard output.
    shown = reading_progress()
    with json_alone():
        found = verify_run(
            run,
            None,
            splits,
            epochs=span,
            workers=workers,
            cluster=cluster_at(cluster),
            threads=threads,
            target=target,
            progress=shown if workers > 1 or cluster or shown.is_terminal else False,
        )
    say(str(found))
    if as_json:
        print_json(_plain(found))
    if found.different:
        raise typer.Exit(DIFFERENT)


def _plain(found: Verification) -> dict[str, Any]:
    return {
        "run": found.folder,
        "identical": found.identical,
        "different": found.different,
        "epochs_checked": [found.first, found.last],
        "epochs": found.epochs,
        "weights_sha256": found.weights,
        "difference": None if found.difference is None else asdict(found.difference),
        "compared": found.compared,
        "notes": found.notes,
    }


def span_of(text: str | None) -> tuple[int, int] | None:
    """The first and the last epoch, written ``3-4`` or ``3``.

    Raises:
        ArgumentError: it is written in another way.

    Example:
        >>> span_of("3-4"), span_of("2")
        ((3, 4), (2, 2))
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text.strip())
    if found is None:
        raise ArgumentError(
            f"--epochs must be FIRST-LAST, such as 3-4, or one number; got {text!r}"
        )
    return int(found[1]), int(found[2] or found[1])


def _description(run: Path) -> Mapping[str, Any]:
    """What run.json says, if that file came along."""
    from isoconv.train import RunFolder

    folder = RunFolder(run)
    return folder.description() if folder.run_file.exists() else {}
