"""``isoconv resume``: go on with a run."""

from __future__ import annotations

from typing import Annotated

import typer

from isoconv.cli.options import Report, RunPath, TargetName, Threads

__all__ = ["resume"]


def resume(
    run: RunPath,
    data: Annotated[
        str | None,
        typer.Option(help="Where the data are now, if not where they were.", show_default=False),
    ] = None,
    threads: Threads = None,
    target: TargetName = None,
    report: Report = True,
) -> None:
    """Go on with an interrupted run.

    It ends at the same bits as if it had never been interrupted.

    Examples:
      isoconv resume runs/pets
      isoconv resume runs/pets --data moved/pets --threads 4
    """
    from isoconv.cli.runs import finish, load_splits, make_model, read_facts
    from isoconv.errors import CheckpointError
    from isoconv.train import RunFolder, Trainer

    description = RunFolder(run).description()
    facts = read_facts(description, run)
    try:
        seed = int(description["settings"]["seed"])
        sides = facts.get("size")
        size = None if sides is None else (int(sides[0]), int(sides[1]))
        name, classes = str(facts["model"]), int(facts["classes"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{run}/run.json cannot be read: {error!r}") from error
    pair = load_splits(data or str(facts["data"]), seed, size)
    model = make_model(name, classes, pair.train.image_shape)
    trainer = Trainer.from_run(model, run, threads=threads, target=target)
    if description.get("result"):
        typer.echo(f"{run} is finished")
    whole = trainer.resume(run, pair.train, pair.test)
    finish(whole, pair.test, report, threads, target)
