"""Writes the report of a run: the page, and its pictures as files for other documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isoconv.data import Dataset
from isoconv.errors import CheckpointError
from isoconv.nn import Module
from isoconv.report.confusion import draw_confusion
from isoconv.report.curves import draw_curves
from isoconv.report.filters import draw_filters, first_filters
from isoconv.report.gallery import draw_mistakes, draw_predictions
from isoconv.report.page import Part, page
from isoconv.report.style import has_matplotlib, save, write_whole
from isoconv.report.subject import Subject
from isoconv.train import Evaluation, RunFolder
from isoconv.train.files import read_rows
from isoconv.train.layout import ROW

PICTURES = ("curves", "confusion", "mistakes", "predictions", "filters")
"""Names of the files."""


def write_report(
    run_folder: str | Path,
    model: Module,
    dataset: Dataset,
    evaluation: Evaluation,
    *,
    part: str = "test",
    notes: Sequence[str] = (),
    more: Callable[[Subject], Sequence[Part]] | None = None,
) -> Path:
    """Write ``report/index.html`` into a run folder, and its pictures as PNG files beside it.

    The page holds all that it shows and can be moved alone. The files are for other documents:
    curves.png, confusion.png, mistakes.png, predictions.png and filters.png; those that make no
    sense for a run (filters without a two-dimensional convolution, classes of a regression) are
    left out. They are drawn by matplotlib, the extra ``isoconv[report]``; without it the page alone
    is written, and says so.

    Args:
        run_folder: of the run, with run.json and metrics.jsonl.
        model: the trained model.
        dataset: what it was measured on.
        evaluation: the measurement.
        part: what the data set is to the run, such as ``"test"`` or ``"validation"``.
        notes: what a person should know before trusting the figures, such as ``run.notes``; they
            stand at the top, those that are notes of the data set apart from warnings.
        more: gives further parts of the page, each an anchor, a title and markup, such as
            `isoconv.explain.pictures.sections`.

    Returns:
        Path of the page.

    Raises:
        CheckpointError: the folder holds no run that can be read.
        DataError: classes that the model does not know.
        OSError: the report cannot be written.
    """
    run = RunFolder(run_folder)
    history = history_of(run.metrics_file)
    subject = Subject.of(run, history, model, dataset, evaluation, part, notes)
    folder = run.path / "report"
    drawings = _drawings(subject) if has_matplotlib() else {}
    files = {name: draw() for name, draw in drawings.items()}
    parts = () if more is None else more(subject)
    content = page(subject, pictures=bool(files), more=parts).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        path = folder / f"{name}.png"
        # One that this report lacks would be of an earlier one.
        save(files[name], path) if name in files else path.unlink(missing_ok=True)
    target = folder / "index.html"
    write_whole(target, content)
    return target


def history_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl.

    Raises:
        CheckpointError: the file cannot be read.
    """
    rows, end = read_rows(path, ROW)
    if end:
        raise CheckpointError(f"{path} cannot be read: its last line has no end")
    return rows


def _drawings(subject: Subject) -> dict[str, Callable[[], Any]]:
    """The drawing of each picture by the name of its file."""
    found: dict[str, Callable[[], Any]] = {}
    images, names = subject.dataset.images, subject.names
    if subject.history:
        found["curves"] = lambda: draw_curves(subject)
    if names:
        found["confusion"] = lambda: draw_confusion(subject.evaluation.confusion, names)
        found["mistakes"] = lambda: draw_mistakes(images, names, subject.mistakes())
        found["predictions"] = lambda: draw_predictions(images, names, subject.recognised(18))
    filters = first_filters(subject.model.parameters())
    if filters is not None:
        found["filters"] = lambda: draw_filters(*filters)
    return found
