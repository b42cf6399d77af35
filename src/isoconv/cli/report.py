"""``isoconv report``: the page with pictures of a run that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli.options import AsJson, Best, MovedData, RunPath, TargetName, Threads
from isoconv.cli.table import print_json, say
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.report.markup import Html


def report(
    run: RunPath,
    data: MovedData = None,
    best: Best = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="NAME",
            help="A layer whose feature maps are shown (isoconv inspect RUN names them); more than "
            "once for several.  [default: the first and the last of each size]",
            show_default=False,
        ),
    ] = None,
    explore: Annotated[
        bool,
        typer.Option(
            help="Also make RUN/explore.html, to which the report links: the explorer of the "
            "network on a picture, one file that works without Python or a network."
        ),
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The picture in it.  [default: the first one that was measured]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Make the page with pictures of a run.

    For runs that were trained with --no-report, without matplotlib or by an earlier version. The
    test part of the run's data is read and measured, or the validation part where there is no test
    part; nothing is trained, and the page takes the place of an earlier one. Of a run that has not
    ended, --best takes the best epoch so far.

    Examples:
      isoconv report runs/pets
      isoconv report runs/pets --data moved/pets
      isoconv report runs/pets --layers 0 --layers 3.body.0
      isoconv report runs/pets --explore --image cat.jpg
    """
    from isoconv.cli.ending import measured_part, png_note, result_lines, scored_part
    from isoconv.cli.errors import note
    from isoconv.cli.named_models import classifier_at
    from isoconv.cli.runs import data_of_run, parts_of_run
    from isoconv.errors import ArgumentError, CheckpointError
    from isoconv.explain.pictures import sections
    from isoconv.report import write_report
    from isoconv.train import RunFolder
    from isoconv.train.given import Given
    from isoconv.train.stretches import Stretches

    if image is not None and not explore:
        raise ArgumentError("--image is the picture of --explore; got it without")
    description = RunFolder(run).description()
    model = classifier_at(run, best)
    splits = parts_of_run(run, data or data_of_run(run, description), description)
    names = tuple(description["record"]["class_names"])
    given = Given.again(splits, None, None, names, str(run), description["data"])
    if given.digests != description["data"]:
        raise CheckpointError(
            f"the data are others than those that {run} was trained on, so that its figures cannot "
            "be made again; `isoconv verify` tells what changed"
        )
    part, images, evaluation = measured_part(model, splits, description, threads, target)
    if images is None or evaluation is None:
        raise ArgumentError(
            f"a report needs images that were not learned from; {run} has no test part and no "
            "validation part"
        )
    stretches = Stretches.of(description["settings"])
    notes = [*splits.train.notes, *splits.warnings(), *stretches.notes]
    # Before the page that links to it.
    alone = _explorer(run, image, best, data) if explore else None
    link = [] if alone is None else [_link(alone)]
    page = write_report(
        run, model, images, evaluation, part=part, notes=notes,
        more=lambda subject: [*sections(subject, layers or None), *link],
    )  # fmt: skip
    if line := png_note():
        note(line)
    scored = scored_part(run, model, part, images, evaluation)
    for line in [result_lines(part, evaluation, len(images))[0], *scored.worth()]:
        say(line)
    say(f"report {printable(page)}")
    if as_json:
        print_json(
            {
                "run": str(run),
                "report": str(page),
                "explorer": None if alone is None else str(alone),
                "part": part,
                **scored.plain(),
                "notes": notes,
            }
        )


def _link(file: Path) -> tuple[str, str, Html]:
    """The part of the report's page that leads to the explorer's, which lies a folder above it."""
    from isoconv.report.markup import element

    there = element("a", "the explorer", href=f"../{file.name}")
    words = (
        " takes any number of the network apart on a picture, forward and backward. It is a file "
        f"of its own, {file.name} in the run's folder."
    )
    return "explore", "Every number", element("p", there, words)


def _explorer(run: Path, image: Path | None, best: bool, data: str | None) -> Path:
    """Write the explorer's page into the run's folder, and say where it is and what it lacks."""
    from isoconv.cli.explorer import explorer_of
    from isoconv.explain.standalone import write_page

    file = run / "explore.html"
    for line in write_page(explorer_of(run, image, None, best=best, data=data), file):
        say(line)
    say(f"explorer {printable(file)}, {file.stat().st_size:,} bytes")
    return file
