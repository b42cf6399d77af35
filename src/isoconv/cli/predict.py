"""``isoconv predict``: what is in images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.options import Best, RunPath, TargetName, Threads
from isoconv.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isoconv.cli.runs import Trained

__all__ = ["predict"]


def predict(
    run: RunPath,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files.", show_default=False),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    best: Best = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Show the most probable classes of images.

    An image is scaled until it covers the size of the training images, its centre is taken, and
    it becomes gray or coloured as they were. A model that was trained on float images is given
    brightness from 0 to 1.

    Examples:
      isoconv predict runs/demo boot.png
      isoconv predict runs/pets holiday.jpg garden.png --top 5 --json
    """
    from isoconv.cli.runs import read_run
    from isoconv.cli.table import print_table

    trained = read_run(run, best)
    probabilities = trained.model.predict(_read(trained, images), threads=threads, target=target)
    results = [
        (str(path), _first(row, trained.class_names, top))
        for path, row in zip(images, probabilities, strict=True)
    ]
    if as_json:
        values = [
            {"image": path, "classes": [{"name": n, "probability": p} for n, p in first]}
            for path, first in results
        ]
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    rows = [
        (path if place == 0 else "", name, f"{probability:.2%}")
        for path, first in results
        for place, (name, probability) in enumerate(first)
    ]
    print_table(("image", "class", "probability"), rows, numbers=(2,))


def _read(trained: Trained, paths: list[Path]) -> NDArray[Any]:
    """The images as the model takes them, ``(N, H, W, C)``.

    Raises:
        ShapeError: the model takes other than gray or coloured images.
        DataFileError: a file is missing or cannot be decoded.
    """
    import numpy as np

    from isoconv.data import read_image

    height, width, channels = trained.model.input_shape or (0, 0, 0)
    if channels not in (1, 3):
        raise ShapeError(
            f"image files have 1 or 3 channels; the model takes {channels} (use model.predict)"
        )
    pixels = np.stack([read_image(path, (height, width), channels) for path in paths])
    if trained.image_dtype == "uint8":
        return pixels
    return pixels.astype(np.float32) / np.float32(255)


def _first(
    probabilities: NDArray[Any], names: tuple[str, ...], count: int
) -> list[tuple[str, float]]:
    """The most probable classes; of equals the first."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(names[place], float(probabilities[place])) for place in order]
