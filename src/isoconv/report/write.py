"""Makes the report of a run: draws the pictures and writes the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isoconv.data import Dataset
from isoconv.errors import CheckpointError
from isoconv.nn import Module
from isoconv.report.confusion import draw_confusion
from isoconv.report.curves import History, draw_curves
from isoconv.report.filters import draw_filters, first_filters
from isoconv.report.gallery import draw_mistakes, draw_predictions, typical, worst
from isoconv.report.page import Figure, page
from isoconv.report.style import save, write_whole
from isoconv.train import Evaluation, RunFolder
from isoconv.train.files import read_rows
from isoconv.train.layout import ROW

__all__ = ["history_of", "write_report"]

LOSS_NAMES = {
    "cross_entropy": "cross-entropy (nats per image)",
    "bce": "binary cross-entropy (nats per output)",
    "mse": "mean squared error",
}


def write_report(
    run_folder: str | Path,
    model: Module,
    dataset: Dataset,
    evaluation: Evaluation,
    *,
    part: str = "test",
    notes: Sequence[str] = (),
) -> Path:
    """Write ``report/index.html`` and its pictures into a run folder.

    The pictures are curves.png, confusion.png, mistakes.png, predictions.png and filters.png;
    those that make no sense for a run (filters without a two-dimensional convolution, classes of
    a regression) are left out. The page holds them all and can be moved alone.

    Args:
        run_folder: of the run, with run.json and metrics.jsonl.
        model: the trained model.
        dataset: what it was measured on.
        evaluation: the measurement.
        part: what the data set is to the run, such as ``"test"`` or ``"validation"``.
        notes: what a person should know before trusting the figures; they stand at the top.

    Returns:
        Path of the page.

    Raises:
        MissingExtraError: matplotlib is not installed; nothing is written.
        CheckpointError: the folder holds no run that can be read.
        OSError: the report cannot be written.
    """
    run = RunFolder(run_folder)
    description = run.description()
    history = history_of(run.metrics_file)
    drawings = _drawings(description, history, model, dataset, evaluation)
    folder = run.path / "report"
    figures = []
    for name, text, draw in drawings:
        figure = draw()
        folder.mkdir(parents=True, exist_ok=True)
        figures.append(Figure(name, text, save(figure, folder / f"{name}.png")))
    target = folder / "index.html"
    content = page(
        description, history, model, dataset, evaluation, figures, part=part, notes=notes
    )
    write_whole(target, content.encode())
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


def _drawings(
    description: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    model: Module,
    dataset: Dataset,
    evaluation: Evaluation,
) -> list[tuple[str, str, Callable[[], Any]]]:
    """Name, description and drawing of each picture."""
    loss = str(description["settings"]["loss"]["name"])
    found: list[tuple[str, str, Callable[[], Any]]] = []
    if history:
        text = "Loss and accuracy of training and validation over the epochs."
        found.append(("curves", text, lambda: draw_curves(_curves(history), LOSS_NAMES[loss])))
    names, probabilities = dataset.class_names, evaluation.probabilities
    if names and probabilities is not None and len(evaluation.confusion) >= len(names):
        # A model may have more outputs than the data have classes.
        more = (f"class {place}" for place in range(len(names), len(evaluation.confusion)))
        names = (*names, *more)
        judged = dataset.labels, evaluation.predictions, probabilities
        found += [
            (
                "confusion",
                "Confusion matrix: images of each true class by predicted class.",
                lambda: draw_confusion(evaluation.confusion, names),
            ),
            (
                "mistakes",
                "The wrongly classified images of which the network was most certain.",
                lambda: draw_mistakes(dataset.images, names, worst(*judged)),
            ),
            (
                "predictions",
                "Correctly classified images with their probabilities.",
                lambda: draw_predictions(dataset.images, names, typical(*judged)),
            ),
        ]
    filters = first_filters(model.parameters())
    if filters is not None:
        text = "The kernels of the first convolution."
        found.append(("filters", text, lambda: draw_filters(*filters)))
    return found


def _curves(history: Sequence[Mapping[str, Any]]) -> History:
    columns = ("loss", "top1", "val_loss", "val_top1")
    loss, top1, val_loss, val_top1 = ([row.get(name) for row in history] for name in columns)
    return History([int(row["epoch"]) for row in history], loss, top1, val_loss, val_top1)
