"""``isoconv evaluate``: how good a trained model is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli.errors import note
from isoconv.cli.options import (
    AsJson,
    Best,
    ClassNames,
    DataSource,
    ModelPath,
    Normalise,
    Scale,
    SkipBad,
    TargetName,
    Threads,
    UseCache,
)
from isoconv.cli.table import print_row, say
from isoconv.errors import ArgumentError, CheckpointError, DataError

if TYPE_CHECKING:
    from isoconv.cli.scored import Scored
    from isoconv.data import Dataset, Samples, Skipped
    from isoconv.nn import Module
    from isoconv.train import Evaluation, Loss, RunFolder

STANDARD = Path("-")
"""Standard output, where a file is asked for."""


class SplitName(StrEnum):
    """Parts of a data set."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


def evaluate(
    run: ModelPath,
    data: DataSource,
    split: Annotated[
        SplitName | None,
        typer.Option(
            help="Which part.  [default: test for the data of the run, all for others]",
            show_default=False,
        ),
    ] = None,
    best: Best = False,
    scale: Scale = None,
    normalise: Normalise = None,
    class_names: ClassNames = None,
    mistakes: Annotated[
        int, typer.Option(min=0, help="How many mistakes to show, the most certain first.")
    ] = 10,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write path, class, predicted class, probability and the run's part of each image "
            "into this file; - prints them, and nothing else.",
            show_default=False,
        ),
    ] = None,
    skip_bad: SkipBad = False,
    cache: UseCache = True,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Measure a trained model on a data set.

    Accuracy with its 95% interval, loss, and precision, recall and F1 of each class are shown,
    beside what always saying one class would give, and the mistakes by file. Of the data that the
    run was trained on, its test part is measured, those very images that it has not learned from;
    of other data, all. Where some of them were trained on, that is said first, and both figures are
    given; a saved model or a checkpoint that was taken out of its run folder cannot tell. --json
    and --csv say of each image which part of the run held it: train, validation, test, none
    (empty), or unknown. Classes are matched by name. Pictures are read as in training. Of masks the
    pixels are counted: the mean IoU, that of each class, and the images that were recognised least.

    Examples:
      isoconv evaluate runs/demo fashion-sample
      isoconv evaluate runs/pets more-pets
      isoconv evaluate runs/pets pets --split train --json
      isoconv evaluate runs/pets more-pets --mistakes 50 --csv answers.csv
      isoconv evaluate pets.safetensors more-pets
    """
    from isoconv.cli.bad import load_to_measure
    from isoconv.cli.named_models import class_names_of, classifier_at
    from isoconv.cli.scored import Scored, write_csv
    from isoconv.data.classes import in_classes
    from isoconv.data.folders import only_class
    from isoconv.nn.inference import reading_of

    if csv == STANDARD and as_json:
        raise ArgumentError(
            "--json and --csv - both print what is to stand alone: take one of them"
        )
    model = classifier_at(run, best, normalise, class_names)
    folder = _folder_of(run, model)
    loss = _loss(folder)
    left_out = [] if folder is None else folder.description().get("skipped", [])
    samples = None if folder is None or not left_out else folder.samples()
    whole = load_to_measure(data, reading_of(model), skip_bad, left_out, samples, cache)
    for line in whole.notes:
        note(line)
    numbers = tuple(str(number) for number in range(len(model.class_names)))
    unnamed = whole.numbered or (whole.of_places and not whole.class_names)
    if unnamed and model.class_names not in ((), numbers):
        note(f"the classes of {data} have no names: they are taken for those of the run by number")
    if whole.class_names and not whole.numbered and not model.class_names:
        listed = ", ".join(whole.class_names[:10])
        note(
            f"the classes of {run} have no names: they are taken for those of {data} by number, "
            f"{listed} (--class-names names them)"
        )
    try:
        whole = in_classes(whole, model.class_names, "the run")
    except DataError as error:
        only = only_class(Path(data))
        if only is None or not only.hint:
            raise
        error.within(behind=f"; each folder in {data} is a class, and {only.hint}")
        raise
    whole = _as_trained(model, whole, scale)
    known = _Known.of(run, folder, whole, scale)
    chosen = _choose(known, data, whole, split)

    def measured(part: Dataset) -> Evaluation:
        from isoconv.train import evaluate as measure

        return measure(
            model, part, loss=loss, scale=1, threads=threads, target=target,
            probabilities=not part.of_places,
        )  # fmt: skip

    def scored(title: str, part: Dataset, parts: Sequence[str]) -> Scored:
        found = measured(part)
        return Scored.of(
            title,
            part,
            found,
            names=class_names_of(model, len(found.confusion)),
            parts=parts,
            majority=known.majority(model.class_names),
        )

    found = scored(chosen.name, chosen.part, chosen.parts)
    others = None
    if chosen.others is not None:
        fresh = [part for part in chosen.parts if part != "train"]
        others = scored("not trained on:", chosen.others, fresh)
    if csv == STANDARD:
        for row in found.rows():
            print_row(row)
        return
    if as_json:
        _print_json(model, chosen, found, others, whole.skipped)
    else:
        _print(chosen, found, others, mistakes)
    if csv is not None:
        write_csv(csv, found)


def _folder_of(path: Path, model: Module) -> RunFolder | None:
    """The run that a model belongs to: the folder itself, or the one that its file lies in."""
    from isoconv.nn.saved import facts_of
    from isoconv.train import RunFolder

    if path.is_dir():
        return RunFolder(path)
    above = path.resolve().parent
    for place in (above, above.parent):
        folder = RunFolder(place)
        if folder.run_file.exists():
            # A file that somebody put there may be of another run, and run.json of another program.
            with suppress(CheckpointError):
                if folder.description().get("record") == facts_of(model).plain():
                    return folder
            return None
    return None


def _loss(folder: RunFolder | None) -> Loss | None:
    """The loss in training; None for a file, which does not tell.

    Raises:
        CheckpointError: run.json lacks what is needed here.
    """
    from isoconv.train.plain_settings import from_plain

    if folder is None:
        return None
    description = folder.description()
    try:
        str(description["samples_sha256"])
        loss: Loss = from_plain(description["settings"]["loss"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder.run_file} cannot be read: it lacks {error}") from error
    return loss


def _as_trained(model: Module, data: Dataset, scale: float | None) -> Dataset:
    """A data set whose images are of the kind that the model was trained on.

    So they can be told apart from those in training. Floats that are no bytes stay floats.
    """
    import numpy as np

    from isoconv.nn.images import checked_images

    images, trained = checked_images(model, data.images, scale), model.trained_on
    if trained is not None and images.dtype != trained.dtype:
        low, high = float(images.min()), float(images.max())
        if trained.dtype == "float32" or (low >= 0 and high <= 255):
            other = images.astype(trained.dtype)
            images = other if np.array_equal(other, images) else images
    return replace(data, images=images)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the samples of a run.

    Attributes:
        samples: its list; None if nobody can tell.
        why: nobody can tell, if so.
    """

    samples: Samples | None
    why: str = ""

    @classmethod
    def of(cls, run: Path, folder: RunFolder | None, whole: Dataset, scale: float | None) -> _Known:
        """What is known of these samples, of which some may be the run's."""
        if folder is None:
            return cls(None, f"{run} lies outside of its run's folder")
        samples = folder.samples()
        if samples is None:
            return cls(None, f"{folder.samples_file} is missing or was altered")
        if scale not in (None, 1) and not any(samples.membership(whole).parts):
            return cls(None, "scaled images need not be the same to the last bit")
        return cls(samples)

    def majority(self, names: Sequence[str]) -> int | None:
        """The class that was the most frequent one in training, the first of equals.

        None where nobody can tell.
        """
        from isoconv.cli.scored import majority_of

        return majority_of(self.samples, names)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is measured.

    Attributes:
        name: of the part.
        part: its samples.
        parts: for each of them the part of the run that held it, as `Scored` has them.
        of: how many samples the data have in all.
        trained: how many of the part's were trained on; None when nobody can tell.
        steered: how many others of them the training was steered by.
        others: those that were not trained on, if some were and some were not.
        why: nobody can tell.
        own: the part of the run that can be chosen besides, if these data hold more than the run.
    """

    name: str
    part: Dataset
    parts: Sequence[str]
    of: int
    trained: int | None = None
    steered: int = 0
    others: Dataset | None = None
    why: str = ""
    own: str = ""


def _choose(known: _Known, data: str, whole: Dataset, split: SplitName | None) -> _Chosen:
    """The samples to measure.

    Raises:
        ArgumentError: a part of data that are not those of the run.
    """
    from isoconv.cli.scored import UNKNOWN
    from isoconv.data import Samples
    from isoconv.data.samples import by_image

    samples = known.samples
    if samples is None:
        if split not in (None, SplitName.all):
            raise ArgumentError(
                f"--split {split.value} needs the list of the run's samples; {known.why} (leave "
                "--split out to measure all)"
            )
        return _Chosen("all", whole, (UNKNOWN,) * len(whole), len(whole), why=known.why)
    parts = tuple(dict.fromkeys(row.part for row in samples.rows))
    own = next((part for part in ("test", "validation") if part in parts), None)
    if split is None:
        split = SplitName(own) if own and samples.membership(whole).same else SplitName.all
    if split is not SplitName.all:
        if split.value not in parts:
            raise ArgumentError(f"the run has no {split.value} part; it has {', '.join(parts)}")
        rows = [row for row in samples.rows if row.part == split.value]
        found = Samples(rows).select(whole)
        part = by_image(rows, whole) if found is None else found[split.value]
        if part is None:
            raise ArgumentError(
                f"--split {split.value} is a part of the data that the run was trained on; of its "
                f"{len(rows):,} samples {data} lacks some (--split all measures what there is)"
            )
        if found is None:
            note(
                f"{data} has the {split.value} part under other paths or classes than the run had: "
                "its images are found by what they hold"
            )
        return _of(samples, split.value, part, len(whole))
    return replace(
        _of(samples, "all", whole, len(whole)),
        own=own if own and samples.select(whole) else "",
    )


def _of(samples: Samples, name: str, part: Dataset, of: int) -> _Chosen:
    """Some samples, of which it is known whether they were trained on."""
    import numpy as np

    from isoconv.data.files import SPLITS

    held = samples.membership(part).parts
    # Of an image in several parts the first one counts: what was trained on was trained on.
    parts = [next((split for split in SPLITS if split in found), "") for found in held]
    fresh = [place for place, found in enumerate(parts) if found != "train"]
    steered = parts.count("validation")
    mixed = 0 < len(fresh) < len(part)
    others = part.subset(np.array(fresh)) if mixed else None
    return _Chosen(name, part, parts, of, len(part) - len(fresh), steered, others)


def _print(chosen: _Chosen, scored: Scored, others: Scored | None, mistakes: int) -> None:
    say(_what(chosen))
    scored.print_classes()
    scored.print_result()
    if others is not None:
        others.print_result()
    if chosen.own:
        say(f"the run's own {chosen.own} part alone: --split {chosen.own}")
    scored.print_mistakes(mistakes)


def _what(chosen: _Chosen) -> str:
    """What is measured, in one line."""
    count = len(chosen.part)
    if chosen.name == "all":
        said = f"measured: all {count:,} images"
    else:
        said = f"measured: the {chosen.name} part, {count:,} of {chosen.of:,} images"
    if chosen.trained is None:
        return f"{said}; whether any of them were trained on cannot be told: {chosen.why}"
    said += f"; {chosen.trained:,} of {count:,} were trained on"
    if chosen.steered:
        said += f", {chosen.steered:,} steered the training"
    return said


def _print_json(
    model: Module,
    chosen: _Chosen,
    scored: Scored,
    others: Scored | None,
    skipped: Sequence[Skipped],
) -> None:
    from isoconv.cli.scored import plain_skipped
    from isoconv.cli.table import print_json

    print_json(
        {
            "data": chosen.part.name,
            "split": chosen.name,
            "images_in_all": chosen.of,
            **scored.plain(),
            "skipped": plain_skipped(skipped),
            "trained_on": chosen.trained,
            "steered_by": chosen.steered,
            "not_trained_on": None if others is None else others.plain(),
            "classes": scored.plain_classes(),
            "mistakes": scored.plain_answers(mistakes=True),
            "samples": scored.plain_answers(),
            "model_sha256": model.describe()["digest"],
        }
    )
