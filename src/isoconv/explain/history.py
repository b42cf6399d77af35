"""The run behind a page: learning curves, kept checkpoints, the confusion matrix and its images.

A run folder is read as any stranger's. Whatever a page may choose, a checkpoint or an image, it
chooses by a number out of what was listed for it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from isoconv.data import Dataset
from isoconv.data.classes import in_classes
from isoconv.errors import ArgumentError
from isoconv.explain.explorer import Explorer, is_below
from isoconv.explain.subject import Subject
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.report.album import displayed
from isoconv.report.write import history_of
from isoconv.train.callbacks import best_epoch, watched_metric
from isoconv.train.checkpoint import RunFolder
from isoconv.train.loading import load
from isoconv.train.metrics import Evaluation, evaluate
from isoconv.train.plain_settings import from_plain
from isoconv.train.scores import Answer, answers

MOST_IMAGES = 60
"""Images of one cell of the confusion matrix that a page is sent at a time."""
MOST_CLASSES = 200
"""Classes up to which the page has a confusion matrix."""
SIDE = 48
"""Of a small picture, in pixels."""


def follow(
    explorer: Explorer, folder: RunFolder, data: Dataset | None = None, part: str = ""
) -> RunPages:
    """Tell an explorer of the run that its model is from.

    Its description gains ``history``, ``checkpoints``, ``epoch`` and ``gallery``; a page may ask
    for ``checkpoint``, ``confusion``, ``cell`` and ``picture``.

    Args:
        explorer: of the run's model.
        folder: the run.
        data: images that a page may choose from, and on which the model is measured when a page
            asks for it; None where they are not at hand.
        part: what these are to the run: ``"test"``.

    Raises:
        CheckpointError: the folder's files cannot be read.
        DataError: images of classes that the model does not know.
    """
    return RunPages(explorer, folder, data, part)


class RunPages:
    """What a page may see of a run; see `follow`."""

    def __init__(
        self, explorer: Explorer, folder: RunFolder, data: Dataset | None, part: str
    ) -> None:
        self._explorer = explorer
        self._folder = folder
        self._part = part
        self._description = folder.description()
        model = explorer.model
        self._given = model
        self._own = self._epoch = self._epoch_of(model)
        self._start = explorer.start, explorer.notes
        self._measured: dict[int, Evaluation] = {}
        self._data = None if data is None else in_classes(data, model.class_names, "the run")
        explorer.more |= self._told()
        if self._epochs:
            explorer.add_action("checkpoint", self._checkpoint)
        if self._data is not None:
            explorer.add_action("picture", self._picture)
            if self._confusing(self._data, model):
                explorer.add_action("confusion", self._confusion)
                explorer.add_action("cell", self._cell)

    def _epoch_of(self, model: Module) -> int:
        """The epoch that left the model's weights; -1 where the run does not tell."""
        result = self._description.get("result")
        known = isinstance(result, Mapping) and result["weights_sha256"] == model.digest()
        return int(result["epoch"]) if known and isinstance(result, Mapping) else -1

    @property
    def _epochs(self) -> list[int]:
        """Epochs whose weights a page may choose: those that were kept, and the model's own.

        None of a model of a person's own class, which no file can make.
        """
        kept = self._folder.kept_epochs()
        if not kept or self._description["record"]["architecture"] is None:
            return []
        return sorted({*kept, *([self._own] if self._own >= 0 else [])})

    @staticmethod
    def _confusing(data: Dataset, model: Module) -> bool:
        return _one_class_each(data) and 1 < len(model.class_names) <= MOST_CLASSES

    def _told(self) -> dict[str, Any]:
        file = self._folder.metrics_file
        rows = history_of(file) if file.exists() else []
        settings = self._description["settings"]
        stopping = settings.get("early_stopping")
        watched = watched_metric(
            None if stopping is None else from_plain(stopping),
            "validation" in self._description["data"],
        )
        known = [row for row in rows if row.get(watched) is not None]
        history = {
            "rows": rows,
            "watched": watched,
            "best": best_epoch(known, watched) if known else 0,
            "kept": max(0, self._own),
        }
        gallery = None
        if self._data is not None:
            gallery = {"part": self._part, "count": len(self._data), "name": self._data.name}
        return {
            "history": history if rows else None,
            "checkpoints": self._epochs,
            "epoch": self._epoch,
            "gallery": gallery,
        }

    # What a page asks

    def _checkpoint(self, arguments: Mapping[str, Any]) -> None:
        """The same image by the weights after another epoch."""
        epoch = arguments.get("epoch")
        epochs = self._epochs
        if not is_below(epoch, max(epochs) + 1) or epoch not in epochs:
            listed = ", ".join(map(str, epochs))
            raise ArgumentError(f"weights were kept after epochs {listed}; got {epoch!r:.80}")
        known = epoch == self._own
        model = self._given if known else load(self._folder.path, epoch=epoch)
        # A step goes on from the state that lies beside these very weights.
        start, notes = self._start if known else Subject.after(self._folder, model, epoch).start()
        # First what may fail: what is shown stays as it is then, all of it.
        self._explorer.change_model(model)
        self._explorer.start, self._explorer.notes = start, notes
        self._epoch = self._explorer.more["epoch"] = epoch

    def _picture(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """An image of the data, by its number."""
        data = self._images()
        number = _number("number", arguments.get("number"), len(data))
        label = int(data.labels[number]) if _one_class_each(data) else None
        image = data.images[number : number + 1]
        return self._explorer.show(image, label, self._name(number), number)

    def _confusion(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Images of each class (row) by the class that they were taken for (column)."""
        found = self._evaluation()
        return {
            "part": self._part,
            "epoch": self._epoch,
            "images": len(self._images()),
            "accuracy": found.top1,
            "loss": found.loss,
            "counts": found.confusion.tolist(),
        }

    def _cell(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Images of one cell of the confusion matrix, the most certain first."""
        confusion = self._evaluation().confusion
        row = _number("true", arguments.get("true"), len(confusion))
        column = _number("predicted", arguments.get("predicted"), len(confusion))
        first = _number("first", arguments.get("first", 0), len(self._images()))
        found = self._answers(row, column)
        shown = found[first : first + MOST_IMAGES]
        return {
            "true": row,
            "predicted": column,
            "first": first,
            "count": len(found),
            "images": [self._small(each) for each in shown],
        }

    # What that needs

    def _images(self) -> Dataset:
        if self._data is None:
            raise ArgumentError("the run's images are not at hand")
        return self._data

    def _evaluation(self) -> Evaluation:
        """The measurement with the weights that are shown; each epoch's is made once."""
        if self._epoch not in self._measured:
            loss = from_plain(self._description["settings"]["loss"])
            self._measured[self._epoch] = evaluate(
                self._explorer.model, self._images(), loss=loss, scale=1
            )
        return self._measured[self._epoch]

    def _answers(self, row: int, column: int) -> list[Answer]:
        found = [
            each
            for each in answers(self._images(), self._evaluation())
            if each.true == row and each.predicted == column
        ]
        return sorted(found, key=lambda each: (-each.probability, each.sample))

    def _name(self, number: int) -> str:
        data = self._images()
        place = f"{self._part} image {number}" if self._part else f"image {number}"
        return f"{place} ({data.paths[number]})" if data.paths else place

    def _small(self, answer: Answer) -> dict[str, Any]:
        pixels = small(self._images().images[answer.sample])
        return {
            "number": answer.sample,
            "name": self._name(answer.sample),
            "probability": float(answer.probability),
            "shape": list(pixels.shape),
            "pixels": base64.b64encode(pixels.tobytes()).decode("ascii"),
        }


def small(image: Array) -> Array:
    """A small picture of an image ``(H, W, C)``: every n-th pixel, as bytes.

    Example:
        >>> small(np.zeros((100, 50, 3), np.float32)).shape
        (34, 17, 3)
    """
    step = -(-max(image.shape[:2]) // SIDE)
    return np.ascontiguousarray(displayed(image[::step, ::step]))


def _one_class_each(data: Dataset) -> bool:
    """Whether each image has one class."""
    return data.labels.dtype.kind == "i" and not data.of_places


def _number(name: str, value: Any, below: int) -> int:
    """A number that a page sends, if it is one below this."""
    if not is_below(value, below):
        raise ArgumentError(f"{name} is a number of 0 … {below - 1}; got {value!r:.80}")
    return value
