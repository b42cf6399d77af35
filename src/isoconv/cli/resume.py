"""``isoconv resume``: go on with a run."""

from __future__ import annotations

from typing import Annotated

import typer

from isoconv.cli.options import AsJson, Report, RunPath, SaveEvery, TargetName, Threads
from isoconv.cli.table import print_json, progress, say
from isoconv.printable import printable

__all__ = ["resume"]


def resume(
    run: RunPath,
    data: Annotated[
        str | None,
        typer.Option(help="Where the data are now, if not where they were.", show_default=False),
    ] = None,
    threads: Threads = None,
    save_every: SaveEvery = None,
    target: TargetName = None,
    report: Report = True,
    as_json: AsJson = False,
) -> None:
    """Go on with an interrupted run.

    It ends at the same bits as if it had never been interrupted.

    Examples:
      isoconv resume runs/pets
      isoconv resume runs/pets --data moved/pets --threads 4
    """
    from isoconv.cli.runs import data_of_run, finish, parts_of_run
    from isoconv.errors import CheckpointError
    from isoconv.nn.architecture import model_of
    from isoconv.train import RunFolder, Trainer

    description = RunFolder(run).description()
    architecture = description["record"]["architecture"]
    if architecture is None:
        raise CheckpointError(
            f"{run} was trained with a model of a person's own class: go on with it in Python, "
            "isoconv.Trainer.from_run(model, run).resume(run, train, validation, test)"
        )
    splits = parts_of_run(run, data or data_of_run(run, description), description)
    model = model_of(architecture, f"{run}/run.json")
    saves = {} if save_every is None else {"save_every": save_every}
    trainer = Trainer.from_run(
        model, run, threads=threads, target=target, progress=progress(), **saves
    )
    whole = trainer.resume(run, splits)
    if description.get("result"):
        say(f"{printable(run)} is finished; nothing was trained")
    values = finish(whole, splits, report, threads, target)
    if as_json:
        print_json(values)
