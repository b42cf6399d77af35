"""``isoconv evaluate``: how good a trained model is."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from isoconv.cli.options import Best, RunPath, TargetName, Threads

__all__ = ["evaluate"]


class SplitName(StrEnum):
    """Parts of a data set."""

    train = "train"
    test = "test"


def evaluate(
    run: RunPath,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A name (isoconv data list), a folder, a .npz or .tar.gz file.",
            show_default=False,
        ),
    ],
    split: Annotated[SplitName, typer.Option(help="Which part of the data.")] = SplitName.test,
    best: Best = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Measure a trained model on a data set.

    Accuracy, loss and the accuracy of each class are shown. Data without a test part are split as
    in training, so that the test images are those that the run has not learned from. The images
    of a folder are scaled as in training.

    Examples:
      isoconv evaluate runs/demo fashion-sample
      isoconv evaluate runs/pets pets --split train --json
    """
    from isoconv.cli.runs import load_splits, measure, read_run, result_lines
    from isoconv.cli.table import print_table

    trained = read_run(run, best)
    sides = trained.facts.get("size")
    size = None if sides is None else (int(sides[0]), int(sides[1]))
    pair = load_splits(data, int(trained.description["settings"]["seed"]), size)
    part = pair.test if split is SplitName.test else pair.train
    evaluation = measure(trained, part, threads, target)
    counts = [int(row.sum()) for row in evaluation.confusion]
    if as_json:
        classes = {
            name: {"images": count, "accuracy": float(accuracy) if count else None}
            for name, count, accuracy in zip(
                trained.class_names, counts, evaluation.class_accuracy, strict=True
            )
        }
        values = {
            "data": part.name,
            "split": split.value,
            "images": len(part),
            "accuracy": evaluation.top1,
            "top5": evaluation.top5,
            "loss": evaluation.loss,
            "classes": classes,
        }
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    rows = [
        (name, f"{count:,}", f"{accuracy:.1%}" if count else "-")
        for name, count, accuracy in zip(
            trained.class_names, counts, evaluation.class_accuracy, strict=True
        )
    ]
    print_table(("class", "images", "recognised"), rows, numbers=(1, 2))
    for line in result_lines(split.value, evaluation, len(part)):
        typer.echo(line)
