"""``isoconv models``: the ready models."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.errors import note
from isoconv.cli.options import AsJson, shape_of
from isoconv.errors import ShapeError

if TYPE_CHECKING:
    from isoconv.nn.summary import Summary

__all__ = ["models"]


def models(
    shape: Annotated[
        str, typer.Option("--input", metavar="HxWxC", help="Shape of the images.")
    ] = "32x32x3",
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the ready models.

    With parameters, and multiply-adds for one image.

    Examples:
      isoconv models
      isoconv models --input 28x28x1
    """
    from isoconv.cli.table import print_json, print_table
    from isoconv.nn.models import MODELS, create

    sides = shape_of(shape)
    found: list[tuple[str, Summary | None]] = []
    for name in MODELS:
        summary = None
        # Models with pooling do not take the smallest images.
        with suppress(ShapeError):
            summary = create(name, classes, sides).summary(sides)
        found.append((name, summary))
    found.sort(key=lambda row: (row[1] is None, 0 if row[1] is None else row[1].parameters))
    if as_json:
        print_json({"input": sides, "classes": classes, "models": [_plain(*row) for row in found]})
        return
    note(
        f"for images of {'x'.join(map(str, sides))} and {classes} classes; --input and --classes "
        "say otherwise"
    )
    rows = [
        (name, "-", "images too small")
        if summary is None
        else (name, f"{summary.parameters:,}", f"{summary.multiply_adds:,}")
        for name, summary in found
    ]
    print_table(("name", "parameters", "multiply-adds"), rows, numbers=(1, 2))


def _plain(name: str, summary: Summary | None) -> dict[str, Any]:
    """A model as plain values; None where the images are too small for it."""
    return {
        "name": name,
        "parameters": None if summary is None else summary.parameters,
        "multiply_adds": None if summary is None else summary.multiply_adds,
    }
