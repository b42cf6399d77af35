"""``isoconv summary``: a model layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli import complete
from isoconv.cli.options import AsJson
from isoconv.cli.table import print_json, say
from isoconv.errors import ArgumentError

if TYPE_CHECKING:
    from isoconv.nn import Module


def summary(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A ready model (isoconv models), a run folder or a saved model; tinyvgg if none "
            "is named.",
            show_default=False,
            autocompletion=complete.models_and_runs,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|RUN",
            help="The same, by a name.",
            autocompletion=complete.models_and_runs,
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="HxWxC",
            help="Shape of one image.  [default: 28x28x1, or that of the trained model]",
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of classes of a ready model.  [default: 10]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model layer by layer.

    With output shapes, parameters, and multiply-adds for one image; of a trained model also what it
    was trained on and the digest of its weights.

    Examples:
      isoconv summary lenet5 --input 28x28x1
      isoconv summary resnet20 --input 32x32x3 --classes 100
      isoconv summary runs/pets
    """
    from isoconv.cli.named_models import model_named

    if place is not None and model is not None:
        raise ArgumentError(f"one model is shown; got {place} and --model {model}")
    name = place or model or "tinyvgg"
    found = model_named(name, shape, "28x28x1", classes)
    if as_json:
        print_json(_plain(found))
        return
    say(str(found.summary()))
    for line in (*_of_training(found), *_of_published(name, found, classes or 10)):
        say(line)


def _plain(model: Module) -> dict[str, Any]:
    """The table and what a trained model knows, as plain values."""
    summary, trained = model.summary(), model.trained_on
    return {
        "input": summary.input_shape,
        "layers": [{name: getattr(row, name) for name in row.__slots__} for row in summary.rows],
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "trained_on": None
        if trained is None
        else {"dtype": trained.dtype, "low": trained.low, "high": trained.high},
        "classes": list(model.class_names),
        "weights_sha256": None if trained is None else model.digest(),
    }


def _of_training(model: Module) -> list[str]:
    """What a trained model says of the images that it knows, a line each."""
    from isoconv.printable import printable

    trained = model.trained_on
    if trained is None:
        return []
    sides = "x".join(map(str, model.input_shape or ()))
    kind = f"{trained.dtype} from {trained.low:g} to {trained.high:g}"
    lines = [f"trained on images of {sides}, {kind}"]
    if model.class_names:
        lines.append(
            f"{len(model.class_names)} classes: {', '.join(map(printable, model.class_names))}"
        )
    return [*lines, f"weights sha256:{model.digest()}"]


def _of_published(name: str, model: Module, classes: int) -> list[str]:
    """That an untrained model is not the published one of its name, whose shapes are others."""
    from isoconv.cli.models import weights_of
    from isoconv.nn.models.published import PUBLISHED
    from isoconv.printable import printable

    entry = PUBLISHED.get(name)
    if entry is None or model.trained_on is not None:
        return []
    sides = "x".join(map(str, model.input_shape or ()))
    place, way = weights_of(name)
    where = f"not here: {way}" if place is None else f"in {printable(place)}, and not shown"
    return [
        f"untrained, made for images of {sides} and {classes:,} classes; the published weights "
        f"are for {entry.size}x{entry.size}x3 and 1,000 classes, and {where}"
    ]
