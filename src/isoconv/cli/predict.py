"""``isoconv predict``: what is in images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoconv.cli.errors import UNREAD, complain, in_full, note
from isoconv.cli.inputs import Inputs, named
from isoconv.cli.on_cluster import ClusterAddress, cluster_at
from isoconv.cli.options import (
    AsJson,
    Best,
    ClassNames,
    ModelPath,
    Normalise,
    Scale,
    TargetName,
    Threads,
)
from isoconv.errors import ArgumentError
from isoconv.printable import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isoconv.data import Skipped
    from isoconv.nn import Module

TOP = 3
"""Classes that are shown unless somebody asks for another number."""


def predict(
    run: ModelPath,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files; folders, for all images in them and below; - for standard input. "
            "With --out FILE also Parquet files, whose rows have images, and packed data sets.",
            show_default=False,
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many classes to show; not of masks.  [default: 3]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A table to write, .parquet, .csv or .jsonl, with a row for each image and the "
            "probabilities of all classes; the same command goes on with one that was ended. With "
            "a model of masks: a folder to write them into, and the pictures with their colours.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Of Parquet files, the column of images: bytes, paths, or both.  [default: the "
            "only one with bytes]",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where paths in Parquet files begin.  [default: the folder of each]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="With a table, processes that predict at the same time.")
    ] = 1,
    cluster: ClusterAddress = None,
    best: Best = False,
    scale: Scale = None,
    normalise: Normalise = None,
    class_names: ClassNames = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a row for each image as soon as it is known.")
    ] = False,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Show the most probable classes of images.

    An image is read as the training images were: scaled until it covers their size, its centre
    taken, gray or coloured as they were. Hidden files of folders, and files that are no images by
    their ending, are left out and counted.

    With a model that was trained on masks the share of each class in the pixels that it sees is
    shown, and how much of the picture lies outside; --out writes masks/NAME.png, of the picture's
    own size and with a palette, and overlays/NAME.png, the picture with the colours of the classes
    and an outline of each, in the folders in which the pictures lie. Nothing is written over.

    Files that cannot be read are named in the end with the reason, and all others are answered for;
    --json has an entry with the reason for each of them, --csv has no row for them, and a table
    has one with the reason.
    Exit code 0: all were read; 1: some were not; 2: none was, or something else is wrong.

    Examples:
      isoconv predict runs/demo boot.png
      isoconv predict runs/pets holiday.jpg garden.png --top 5 --json
      isoconv predict runs/pets photos --top 1 --csv > answers.csv
      curl -s https://example.org/cat.jpg | isoconv predict runs/pets -
      isoconv predict pets.safetensors holiday.jpg
      isoconv predict runs/pets photos --out answers.parquet --workers 4
      isoconv predict runs/pets photos --out answers.parquet --cluster auto
      isoconv predict runs/pets photos.pack --out answers.csv
      isoconv predict runs/roads street.jpg --out found
    """
    from isoconv.cli.bad import cannot_be_read
    from isoconv.cli.mask_places import mask_places
    from isoconv.cli.named_models import classifier_at, of_places
    from isoconv.cli.predict_masks import mask_answers, print_shares, share_titles
    from isoconv.cli.predict_out import write_table
    from isoconv.cli.table import print_json
    from isoconv.files import is_regular

    if as_csv and as_json:
        raise ArgumentError("--csv and --json both print what is to stand alone: take one of them")
    model = classifier_at(run, best, normalise, class_names)
    masks = of_places(model)
    if masks and top is not None:
        raise ArgumentError(
            "--top bounds the classes that an image may be of; this model gives a class to each "
            "pixel, and the shares of all classes are shown"
        )
    if out is not None and not masks:
        if top is not None or as_csv:
            option = "--csv prints" if as_csv else "--top bounds"
            raise ArgumentError(f"{option} what is shown: --out writes all classes into its file")
        write_table(
            model, images, out, column=column, root=root, scale=scale, workers=workers,
            cluster=cluster_at(cluster), threads=threads, target=target, as_json=as_json,
        )  # fmt: skip
        return
    table = {"--column": column, "--root": root, "--workers": workers != 1, "--cluster": cluster}
    for option, given in table.items():
        if given:
            raise ArgumentError(f"{option} is for a table, --out FILE, of a model of classes")
    for word in images:
        if word.lower().endswith((".parquet", ".pack")) and is_regular(word):
            raise ArgumentError(
                f"the pictures of {printable(word)} are predicted into a table, --out FILE, by a "
                "model of classes"
            )
    answers: Iterator[Any]
    with named(images) as inputs, mask_places(inputs, out) as places:
        for line in inputs.notes:
            note(line)
        if masks:
            answers = mask_answers(model, inputs, places, scale, threads, target)
        else:
            answers = _answers(model, inputs, top or TOP, scale, threads, target)
        titles: Callable[[Any], list[str]] = share_titles if masks else _titles
        with _counted(len(inputs.items), as_csv) as step:
            known = _print_csv(answers, step, titles) if as_csv else list(_each(answers, step))
    lost = [each.lost for each in known if each.lost is not None]
    if len(lost) == len(known):
        raise cannot_be_read("", lost, len(known))
    if as_json:
        print_json([each.plain() for each in known])
    elif not as_csv:
        show: Callable[[Any], None] = print_shares if masks else _print_table
        show(known)
    if lost:
        complain(in_full(cannot_be_read("the others were answered for", lost, len(known))))
        raise typer.Exit(UNREAD)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one image.

    Attributes:
        image: its name.
        classes: the most probable ones, each with its probability.
        lost: why it cannot be read; None if it can.
    """

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    lost: Skipped | None = None

    def row(self) -> list[str]:
        """The same for CSV."""
        return [self.image, *(cell for name, share in self.classes for cell in (name, repr(share)))]

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        if self.lost is not None:
            return {"image": self.image, "error": self.lost.reason}
        classes = [{"name": name, "probability": share} for name, share in self.classes]
        return {"image": self.image, "classes": classes}


def _answers(
    model: Module,
    inputs: Inputs,
    top: int,
    scale: float | None,
    threads: int | None,
    target: str | None,
) -> Iterator[_Answer]:
    """What comes of each image, in the order in which they were named.

    Raises:
        ArgumentError: results that are no row of classes.
    """
    from isoconv.cli.named_models import class_names_of
    from isoconv.data import Skipped
    from isoconv.nn.each import FileResult, predict_each

    def told(line: str) -> None:
        note(inputs.as_shown(line))

    files = inputs.files
    results: Iterator[FileResult] = iter(())
    if files:
        results = predict_each(model, files, scale=scale, threads=threads, target=target, told=told)
    for item in inputs.items:
        if isinstance(item, Skipped):
            yield _Answer(item.path, lost=item)
            continue
        path, result, reason = next(results)
        name = inputs.name(path)
        if result is None:
            yield _Answer(name, lost=Skipped(name, inputs.as_shown(reason)))
        elif result.ndim != 1:
            raise ArgumentError(
                "the command line shows one row of classes for each image; this model gives "
                f"results of shape {result.shape}"
            )
        else:
            yield _Answer(name, _first(result, class_names_of(model, len(result)), top))
    # Behind the last one stands what is to be told of all.
    next(results, None)


def _first(
    probabilities: NDArray[Any], names: tuple[str, ...], count: int
) -> tuple[tuple[str, float], ...]:
    """The most probable classes; of equals the first."""
    order = (-probabilities).argsort(kind="stable")[:count]
    return tuple((names[place], float(probabilities[place])) for place in order)


@contextmanager
def _counted(total: int, as_csv: bool) -> Iterator[Callable[[], None]]:
    """What is to be called after each image: it moves a bar, unless rows go to the terminal."""
    from isoconv.cli.table import reading_progress
    from isoconv.data.counting import SILENT, Counting

    rows = as_csv and sys.stdout is not None and sys.stdout.isatty()
    counting = SILENT if rows else Counting(reading_progress())
    with counting.of("predicting", total) as step:
        yield step


def _each(answers: Iterator[Any], step: Callable[[], None]) -> Iterator[Any]:
    for answer in answers:
        step()
        yield answer


def _print_csv(
    answers: Iterator[Any], step: Callable[[], None], titles: Callable[[Any], list[str]]
) -> list[_Answer]:
    """Print a row for each image as soon as it is known, behind a row of titles.

    Args:
        answers: what comes of the images.
        step: called after each.
        titles: gives those of the columns, by the first answer.

    Returns:
        All of them, without the classes of those that were printed: any number will do.
    """
    from isoconv.cli.table import print_row

    known: list[_Answer] = []
    begun = False
    for answer in _each(answers, step):
        if answer.lost is None:
            if not begun:
                print_row(titles(answer))
            begun = True
            print_row(answer.row())
        known.append(_Answer(answer.image, lost=answer.lost))
    return known


def _titles(answer: _Answer) -> list[str]:
    more = [
        title
        for n in range(2, len(answer.classes) + 1)
        for title in (f"class_{n}", f"probability_{n}")
    ]
    return ["image", "class", "probability", *more]


def _print_table(known: list[_Answer]) -> None:
    """Print the classes of each image that was read."""
    from isoconv.cli.table import print_table

    rows = [
        (answer.image if place == 0 else "", name, f"{probability:.2%}")
        for answer in known
        for place, (name, probability) in enumerate(answer.classes)
    ]
    print_table(("image", "class", "probability"), rows, numbers=(2,), shorten=(0, 1))
