"""``isoconv explain RUN``: one number of a trained network, term by term."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.explain_options import Format, Written
from isoconv.cli.options import AsJson, ModelPath, Scale
from isoconv.cli.table import print_json, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.explain.explanation import Explanation


def number(
    run: ModelPath,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="A picture; named more than once, a batch of several.  [default: the first image "
            "that the run was measured on]",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER,PLACE",
            help="Which number: a layer's name (isoconv summary RUN) and row, column, channel in "
            "its result; of a weight kernel row, kernel column, channel, filter. Without a place "
            "the greatest.  [default: the result of the predicted class]",
            show_default=False,
        ),
    ] = None,
    gradient: Annotated[
        str | None,
        typer.Option(
            metavar="value|input|weight|bias",
            help="The gradient by it in place of the value; by a weight or bias also the next step "
            "of the run.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME",
            help="The picture's class, by name or number; one for all pictures or one for each.  "
            "[default: of the run's own image the one that it has]",
            show_default=False,
        ),
    ] = None,
    of: Annotated[
        str,
        typer.Option(
            metavar="loss|NAME",
            help="What is differentiated: the loss, or a class's result before softmax.",
        ),
    ] = "loss",
    training: Annotated[
        bool,
        typer.Option("--training", help="As in a step of training, with statistics of the batch."),
    ] = False,
    scale: Scale = None,
    every: Annotated[
        bool, typer.Option("--all", help="All terms of long sums, not the first and last alone.")
    ] = False,
    form: Written = Format.text,
    as_json: AsJson = False,
) -> None:
    """Take one number of a trained network apart: window, kernel, products, running sum.

    Every number shown is the network's own, to the last bit, forward and backward.

    Examples:
      isoconv explain runs/pets
      isoconv explain runs/pets --image cat.jpg
      isoconv explain runs/pets --image cat.jpg --at 0,3,5,7
      isoconv explain runs/pets --image cat.jpg --at 0,3,5,7 --gradient value --label cat
      isoconv explain runs/pets --image cat.jpg --at 0,1,1,0,7 --gradient weight --label cat
      isoconv explain runs/pets --image cat.jpg --at probabilities --format markdown
    """
    from isoconv.explain.numbers import explain

    labels: Any = label or None
    count = len(image) if image else 1
    if labels is not None and len(labels) == 1:
        labels = labels[0]
    elif labels is not None and len(labels) != count:
        raise ArgumentError(
            f"--label is given once, or once for each of the {count} pictures; got {len(labels)}"
        )
    pictures: Any = image
    if not image:
        pictures, own = _first_of(run)
        labels = own if labels is None else labels
    found = explain(
        run, pictures, at, gradient=gradient, label=labels, of=of, training=training, scale=scale
    )
    if as_json or form is Format.json:
        print_json(found.to_dict())
        return
    say(_written(found, form, every))


def _first_of(run: Path) -> tuple[Any, int | None]:
    """The first image that a run was measured on, and its class where a class is a label."""
    from isoconv.cli.errors import note
    from isoconv.cli.runs import measured_images
    from isoconv.data.classes import in_classes
    from isoconv.explain.subject import Subject
    from isoconv.train.losses import LOSSES

    subject = Subject.of(run)
    model = subject.model
    if not run.is_dir():
        raise ArgumentError("a saved model knows no images: name one with --image FILE")
    data, part = measured_images(run)
    first = in_classes(data.subset([0]), model.class_names, "the model")
    shows = f"no --image: shows the first image of the run's {part} part"
    if first.labels.ndim > 1:
        note(shows)
        return first.images, None
    label = int(first.labels[0])
    name = model.class_names[label] if model.class_names else str(label)
    note(f"{shows}, {printable(name)}")
    by_class = subject.loss is None or LOSSES[subject.loss.name].by_class
    return first.images, label if by_class else None


def _written(found: Explanation, form: Format, every: bool) -> str:
    write = {
        Format.text: found.to_text,
        Format.latex: found.to_latex,
        Format.markdown: found.to_markdown,
    }[form]
    return write(every=every).rstrip("\n")
