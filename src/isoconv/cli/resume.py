"""``isoconv resume``: go on with a run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from isoconv.cli.options import AsJson, MovedData, Report, RunPath, UseCache, takes_settings
from isoconv.cli.table import json_alone, print_json, progress, say
from isoconv.printable import printable

_SETTINGS = ("threads", "save_every", "target", "executor")


@takes_settings(*_SETTINGS)
def resume(
    run: RunPath,
    data: MovedData = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many epochs the run is to have in all.  [default: as many as it was to have]",
        ),
    ] = None,
    report: Report = True,
    cache: UseCache = True,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Go on with an interrupted run, or train a finished one on.

    An interrupted run ends at the same bits as if it had never been interrupted. With --epochs, the
    further epochs are a stretch of their own with the schedule from its start, which the receipt
    names: that is another run than one of so many epochs from its beginning.

    Examples:
      isoconv resume runs/pets
      isoconv resume runs/pets --epochs 20
      isoconv resume runs/pets --data moved/pets --threads 4
    """
    from isoconv.cli.ending import finish
    from isoconv.cli.runs import data_of_run, parts_of_run, start_facts
    from isoconv.cli.train import settings_of
    from isoconv.errors import CheckpointError
    from isoconv.nn.architecture import model_of
    from isoconv.train import RunFolder, Trainer

    description = RunFolder(run).description()
    architecture = description["record"]["architecture"]
    if architecture is None:
        raise CheckpointError(
            f"{run} was trained with a model of a person's own class: only a program that has this "
            "class can go on with it (docs/training.md)"
        )
    splits = parts_of_run(run, data or data_of_run(run, description), description, cache=cache)
    model = model_of(architecture, f"{run}/run.json")
    given = settings_of(settings, _SETTINGS)
    trainer = Trainer.from_run(model, run, progress=progress(), **given)
    with json_alone():
        whole = trainer.resume(run, splits, epochs=epochs, facts=start_facts())
    result = description.get("result")
    if result and len(whole.history) == result["epochs"]:
        say(f"{printable(run)} is finished; nothing was trained (--epochs N trains it on)")
    values = finish(whole, splits, report, settings["threads"], settings["target"])
    if as_json:
        print_json(values)
