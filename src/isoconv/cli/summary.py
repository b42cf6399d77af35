"""``isoconv summary``: a model layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from isoconv.cli.options import shape_of

__all__ = ["summary"]


def summary(
    model: Annotated[str, typer.Option(help="A ready model (isoconv models).")] = "tinyvgg",
    shape: Annotated[
        str, typer.Option("--input", metavar="HxWxC", help="Shape of one image.")
    ] = "28x28x1",
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
) -> None:
    """Show a model layer by layer.

    With output shapes, parameters, and multiply-adds for one image.

    Examples:
      isoconv summary --model lenet5 --input 28x28x1
      isoconv summary --model resnet20 --input 32x32x3 --classes 100
    """
    from isoconv.nn.models import create

    sides = shape_of(shape)
    typer.echo(str(create(model, classes, sides).summary(sides)))
