"""``isoconv models``: the ready models."""

from __future__ import annotations

from typing import Annotated

import typer

from isoconv.cli.options import shape_of
from isoconv.errors import ShapeError

__all__ = ["models"]


def models(
    shape: Annotated[
        str, typer.Option("--input", metavar="HxWxC", help="Shape of the images.")
    ] = "32x32x3",
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
) -> None:
    """List the ready models.

    With parameters, and multiply-adds for one image.

    Examples:
      isoconv models
      isoconv models --input 28x28x1
    """
    from isoconv.cli.table import print_table
    from isoconv.nn.models import MODELS, create

    sides = shape_of(shape)
    rows = []
    for name in MODELS:
        try:
            found = create(name, classes, sides).summary(sides)
        except ShapeError:
            rows.append((name, "-", "images too small"))
        else:
            rows.append((name, f"{found.parameters:,}", f"{found.multiply_adds:,}"))
    rows.sort(key=lambda row: (not row[1][0].isdigit(), len(row[1]), row[1]))
    print_table(("name", "parameters", "multiply-adds"), rows, numbers=(1, 2))
