"""What a training gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoconv.nn import Module
from isoconv.train.callbacks import improves
from isoconv.train.checkpoint import RunFolder
from isoconv.train.record import Recorder

__all__ = ["Interrupted", "Run", "way_on"]


class Run:
    """A training: how it went and what came of it.

    Args:
        model: what is trained; it holds the weights when the training has ended.
        description: settings, data and versions, as in run.json.
        folder: where the run is kept, or None.

    Attributes:
        model: as given.
        description: as given; ``result`` is added at the end.
        folder: path of the run folder, or None.
        history: a dict for each epoch: ``epoch`` (from 1), ``loss``, ``top1``, ``top5``, the same
            with ``val_`` in front, ``learning_rate`` (of the last step), ``seconds`` (training
            alone) and ``images_per_second``. The means are over the epoch's images, each measured
            in the step that learned from it.
        recorder: writes the receipt, or None.
        stopped: why the training ended before its last epoch; "" if it did not.
    """

    def __init__(
        self, model: Module, description: dict[str, Any], folder: RunFolder | None = None
    ) -> None:
        self.model = model
        self.description = description
        self.history: list[dict[str, Any]] = []
        self.stopped = ""
        self.recorder: Recorder | None = None
        self._folder = folder

    @property
    def folder(self) -> Path | None:
        """Path of the run folder, or None."""
        return None if self._folder is None else self._folder.path

    @property
    def epochs(self) -> int:
        """How many epochs were asked for."""
        return int(self.description["epochs"])

    @property
    def watched(self) -> str:
        """The metric that tells the best epoch: ``val_loss``, without validation ``loss``."""
        return "val_loss" if self.description["data"].get("validation") else "loss"

    @property
    def best_epoch(self) -> int:
        """The epoch with the least loss on unseen images (the first of equals), from 1; 0 at first.

        Without validation data it is the loss in training that counts.
        """
        best: dict[str, Any] | None = None
        for row in self.history:
            if best is None or improves(self.watched, row[self.watched], best[self.watched]):
                best = row
        return 0 if best is None else int(best["epoch"])

    @property
    def digest(self) -> str:
        """SHA-256 of the model's weights, as 64 hexadecimal digits."""
        return self.model.digest()

    @property
    def receipt(self) -> dict[str, Any]:
        """The run's receipt as it stands, as in ``receipt.json``; empty if there is none.

        Example:
            >>> from isoconv import nn
            >>> Run(nn.Linear(2), {"epochs": 1}).receipt
            {}
        """
        return {} if self.recorder is None else self.recorder.content

    def stop(self, reason: str) -> None:
        """End the training after this epoch; for callbacks."""
        self.stopped = reason or "stopped"

    def __repr__(self) -> str:
        where = "" if self.folder is None else f", folder={str(self.folder)!r}"
        return f"Run({len(self.history)} of {self.epochs} epochs, best {self.best_epoch}{where})"


class Interrupted(KeyboardInterrupt):
    """A training was interrupted from the keyboard; the message says how to go on.

    Attributes:
        run: the training so far; its model holds the weights of the last finished step.
    """

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run


def way_on(folder: RunFolder | None) -> str:
    """How to go on after an interrupt."""
    if folder is None:
        return "nothing was saved (give fit an out folder to be able to go on)"
    return f"go on with: isoconv resume {folder.path}"
