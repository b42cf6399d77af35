"""``isoconv predict``: what is in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.options import AsJson, Best, ModelPath, Scale, TargetName, Threads
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["predict"]


def predict(
    run: ModelPath,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files.", show_default=False),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    best: Best = False,
    scale: Scale = None,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Show the most probable classes of images.

    An image is read as the training images were: scaled until it covers their size, its centre
    taken, gray or coloured as they were.

    Examples:
      isoconv predict runs/demo boot.png
      isoconv predict runs/pets holiday.jpg garden.png --top 5 --json
      isoconv predict pets.safetensors holiday.jpg
    """
    from isoconv.cli.runs import class_names_of, classifier_at
    from isoconv.cli.table import print_json, print_table

    model = classifier_at(run, best)
    probabilities = model.predict_files(images, scale=scale, threads=threads, target=target)
    if probabilities.ndim != 2:
        raise ArgumentError(
            f"the command line shows one row of classes for each image; {run} gives results of "
            f"shape {probabilities.shape[1:]}: take isoconv.load({str(run)!r}) in Python"
        )
    names = class_names_of(model, probabilities.shape[-1])
    results = [
        (str(path), _first(row, names, top))
        for path, row in zip(images, probabilities, strict=True)
    ]
    if as_json:
        values = [
            {"image": path, "classes": [{"name": n, "probability": p} for n, p in first]}
            for path, first in results
        ]
        print_json(values)
        return
    rows = [
        (path if place == 0 else "", name, f"{probability:.2%}")
        for path, first in results
        for place, (name, probability) in enumerate(first)
    ]
    print_table(("image", "class", "probability"), rows, numbers=(2,))


def _first(
    probabilities: NDArray[Any], names: tuple[str, ...], count: int
) -> list[tuple[str, float]]:
    """The most probable classes; of equals the first."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(names[place], float(probabilities[place])) for place in order]
