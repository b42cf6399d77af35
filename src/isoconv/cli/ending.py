"""What a command does at the end of a training: the last measurement, the report, the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.cli.errors import note
from isoconv.cli.table import say
from isoconv.errors import CheckpointError, IsoconvError
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.cli.scored import Scored
    from isoconv.data import Dataset, Splits
    from isoconv.nn import Module
    from isoconv.train import Evaluation, Run


def result_lines(title: str, evaluation: Evaluation, images: int) -> list[str]:
    """Accuracy and loss in words; which loss, where it is not plain cross-entropy or is a guess."""
    from isoconv.train import Loss
    from isoconv.train.scores import TOP_FIVE_FROM
    from isoconv.train.words import accuracy

    told = accuracy(evaluation.of_places)
    hits = int(evaluation.confusion.diagonal().sum())
    if evaluation.of_places:
        pixels = int(evaluation.confusion.sum())
        said = (
            f"{title} mean IoU {evaluation.iou or 0.0:.2%}, {told} "
            f"{hits / max(pixels, 1):.2%} ({hits:,} of {pixels:,} pixels of {images:,} images)"
        )
    else:
        said = f"{title} {told} {evaluation.top1 or 0.0:.2%} ({hits:,} of {images:,} images)"
    places = evaluation.of_places
    if evaluation.top5 is not None and len(evaluation.confusion) >= TOP_FIVE_FROM and not places:
        said += f", among the first five {evaluation.top5:.2%}"
    loss = evaluation.judged_by
    kind = loss.words
    if evaluation.guessed:
        kind += ": a guess, for the file does not say what it was trained with"
    else:
        # What is usual goes without saying.
        kind = kind.removeprefix(Loss().words).removeprefix(", ")
    return [said, f"{title} loss {evaluation.loss:.4f}{f' ({kind})' if kind else ''}"]


def finish(
    run: Run, splits: Splits, report: bool, threads: int | None, target: str | None
) -> dict[str, Any]:
    """Show what was measured at the end, write the report, say where everything is.

    Returns:
        The same as plain values, and each epoch's.
    """
    if run.folder is None:
        raise CheckpointError("a run of the command line needs a folder")
    if run.stopped:
        say(f"stopped: {run.stopped}")
    page, scored = None, None
    part, data, evaluation = measured_part(
        run.model, splits, run.description, threads, target, run.test
    )
    if data is not None and evaluation is not None:
        page = _report(run, data, evaluation, part) if report else None
        scored = scored_part(run.folder, run.model, part, data, evaluation)
        say(result_lines(part, evaluation, len(data))[0])
        for line in [*scored.worth(), *_doubts(run, scored)]:
            say(line)
    elif report:
        note("no report was made: there are no images that were not learned from")
    say(f"run {printable(run.folder)}")
    if page is not None:
        say(f"report {printable(page)}")
    say(f"weights sha256:{run.digest}")
    from isoconv.cli.scored import plain_skipped

    return {
        "run": run.folder,
        "settings": run.description["settings"],
        "facts": run.description.get("facts"),
        "epochs": len(run.history),
        "best_epoch": run.best_epoch,
        "kept_epoch": run.kept_epoch,
        "stopped": run.stopped or None,
        "measured": None if scored is None else {"part": part, **scored.plain()},
        "history": run.history,
        "notes": run.notes,
        "skipped": plain_skipped(splits.skipped),
        "report": page,
        "weights_sha256": run.digest,
    }


def scored_part(
    folder: Path,
    model: Module,
    part: str,
    data: Dataset,
    evaluation: Evaluation,
) -> Scored:
    """The scores of a run's last measurement, beside the most frequent class in training.

    Args:
        folder: of the run.
        model: the trained model.
        part: that was measured.
        data: its images.
        evaluation: of these.
    """
    from isoconv.cli.named_models import class_names_of
    from isoconv.cli.scored import Scored, majority_of
    from isoconv.train import RunFolder

    names = class_names_of(model, len(evaluation.confusion))
    samples = RunFolder(folder).samples()
    return Scored.of(
        part,
        data,
        evaluation,
        names=names,
        parts=[part] * len(data),
        majority=majority_of(samples, names),
    )


def _doubts(run: Run, scored: Scored) -> list[str]:
    """What else speaks against a run's figures, a line each."""
    if not run.history:
        return []
    learned = int(run.description["data"]["train"]["samples"])
    row = run.history[run.kept_epoch - 1]
    line = scored.by_heart(row, learned)
    return [line] if line else []


def measured_part(
    model: Module,
    splits: Splits,
    description: Mapping[str, Any],
    threads: int | None,
    target: str | None,
    known: Evaluation | None = None,
) -> tuple[str, Dataset | None, Evaluation | None]:
    """The part that a run is measured with at its end: test, otherwise validation.

    Args:
        model: the trained model.
        splits: the run's parts.
        description: of the run.
        threads: number of threads.
        target: machine to compile for.
        known: what was measured on the test part, if that was done before.

    Returns:
        Its name, its images and the measurement; None twice where all images were learned from.
    """
    from isoconv.train import evaluate
    from isoconv.train.plain_settings import from_plain

    part, data = ("validation", splits.validation) if splits.test is None else ("test", splits.test)
    if data is None:
        return "training", None, None
    if part == "test" and known is not None:
        return part, data, known
    loss = from_plain(description["settings"]["loss"])
    measured = evaluate(
        model, data, loss=loss, threads=threads, target=target, probabilities=not data.of_places
    )
    return part, data, measured


def png_note() -> str:
    """That a page has no PNG files beside it, where matplotlib is not installed; otherwise ""."""
    from isoconv.report.style import has_matplotlib

    if has_matplotlib():
        return ""
    return (
        "the report's pictures are in the page alone: as PNG files they need matplotlib, "
        "pip install 'isoconv[report]'"
    )


def _report(run: Run, data: Dataset, evaluation: Evaluation, part: str) -> Path | None:
    """The report's page, or None with a note why there is none: the training counts without it."""
    from isoconv.explain.pictures import sections
    from isoconv.report import write_report

    if run.folder is None:
        return None
    try:
        page = write_report(
            run.folder, run.model, data, evaluation, part=part, notes=run.notes, more=sections
        )
    except (IsoconvError, OSError) as error:
        note(f"no report was made: {error}")
        return None
    if line := png_note():
        note(line)
    return page
