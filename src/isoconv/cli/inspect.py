"""``isoconv inspect``: what goes on in a network's layers, forward and backward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.errors import note
from isoconv.cli.options import AsJson, ModelPath, Scale
from isoconv.cli.table import print_json, print_row, print_table, say
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from isoconv.data import Dataset


def inspect(
    run: ModelPath,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Image files; folders, for all images in them and below; - for standard input.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="The same as IMAGE; may be given more than once.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Labelled images in place of files: a name, a folder or an archive.  "
            "[default: the images that the run was measured on]",
            show_default=False,
            autocompletion=complete.data_sources,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The class of the files, by name or number; without it there are no gradients.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Images of the data at most, taken evenly from all.")
    ] = 128,
    training: Annotated[
        bool,
        typer.Option(
            "--training",
            help="As in training: batch normalisation by the images' own statistics, dropout "
            "drops, fractional pooling draws its windows.  [default: as in a prediction]",
        ),
    ] = False,
    scale: Scale = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a row for each layer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what goes on in the layers of a network on some images.

    For each layer: the share of zeros, channels that are zero for all images, mean, standard
    deviation, least and greatest value; with labels the norm of the gradient by its result, and the
    norm of the gradient by its weights beside that of the weights. Below: numbers that are not
    finite and where they come up first, dead units, saturated activations, gradients that vanish
    (below 1e-6 of the weights) or explode (above 10 times the weights).

    Examples:
      isoconv inspect runs/pets
      isoconv inspect runs/pets --data more-pets --most 500 --csv > layers.csv
      isoconv inspect runs/pets cat.jpg --label cat
    """
    from isoconv.cli.bad import cannot_be_read
    from isoconv.cli.inputs import named
    from isoconv.data import Skipped
    from isoconv.explain.inspect import inspect as inspected

    if as_csv and as_json:
        raise ArgumentError("--csv and --json both print what is to stand alone: take one of them")
    settings: dict[str, Any] = {"training": training, "scale": scale}
    images = [*(images or ()), *(image or ())]
    if images:
        if data is not None:
            raise ArgumentError("images are named, or --data: take one of them")
        with named(images) as inputs:
            for line in inputs.notes:
                note(line)
            lost = [item for item in inputs.items if isinstance(item, Skipped)]
            if lost:
                raise cannot_be_read("", lost, len(inputs.items))
            found = inspected(run, inputs.files, label, **settings)
    elif label is not None:
        raise ArgumentError("--label is the class of named files; data bring their own labels")
    else:
        found = inspected(run, _spread(_measured(run, data), most), **settings)
    for line in found.notes:
        note(line)
    titles, rows = found.table()
    if as_csv:
        for row in found.csv_rows():
            print_row(row)
    elif as_json:
        print_json(found.to_dict())
    else:
        print_table(titles, rows, range(3, len(titles)), shorten=(0,))
        for line in found.flags or ["nothing stands out"]:
            say(line)


def _measured(run: Path, data: str | None) -> Dataset:
    """Labelled images: of data that are named, or those that the run was measured on."""
    from isoconv.cli.bad import load_to_measure
    from isoconv.cli.runs import measured_images
    from isoconv.nn.inference import reading_of
    from isoconv.train import load

    if data is not None:
        return load_to_measure(data, reading_of(load(run)), False, (), None, True)
    if not run.is_dir():
        raise ArgumentError("a saved model knows no images: name some, or say --data")
    found, part = measured_images(run)
    note(f"images of the run's {part} part")
    return found


def _spread(data: Dataset, most: int) -> Dataset:
    """At most so many images, taken evenly from all."""
    import numpy as np

    total = len(data)
    if total <= most:
        return data
    note(f"{most:,} of {total:,} images, taken evenly; --most takes more")
    return replace(data.subset(np.arange(most) * total // most), notes=data.notes)
