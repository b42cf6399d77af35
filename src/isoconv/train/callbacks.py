"""What can look on while a model is trained, and stop it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoconv.checks import (
    check_count,
    check_flag,
    check_number,
    check_rows,
    check_text,
    refusal,
    settle,
)

if TYPE_CHECKING:
    from isoconv.train.run import Run

__public__ = {"isoconv": ["EarlyStopping"], "isoconv.train": ["Callback", "EarlyStopping"]}

Row = Mapping[str, Any]


class Callback:
    """Called by the trainer; override what is wanted. ``run.stop(reason)`` ends the training.

    Example:
        >>> class Watch(Callback):
        ...     def on_epoch_end(self, run, row):
        ...         if row["top1"] > 0.99:
        ...             run.stop("good enough")
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first step, also of a resumed run."""

    def on_epoch_end(self, run: Run, row: Row) -> None:
        """After an epoch was measured and saved; `row` is its row of ``run.history``."""

    def on_train_end(self, run: Run) -> None:
        """After the weights are in the model and saved."""


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Ends the training when a metric no longer improves.

    Args:
        patience: epochs without an improvement before the training ends.
        metric: a column of the history. Less is better, but of ``top1``, its like and ``val_iou``
            more is.
        min_delta: what counts as an improvement must exceed this.
        restore_best: leave the weights of the epoch that was best by the metric, not those of the
            last one.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> stopping = EarlyStopping(patience=2)
        >>> stopping.stops([{"val_loss": x} for x in (1.0, 0.5, 0.6, 0.5)])
        True
    """

    patience: int = 5
    metric: str = "val_loss"
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        settle(
            self,
            patience=check_count("patience", self.patience),
            metric=check_text("metric", self.metric),
            min_delta=check_number("min_delta", self.min_delta, least=0),
            restore_best=check_flag("restore_best", self.restore_best),
        )

    def stops(self, history: Sequence[Row]) -> bool:
        """Whether the last `patience` epochs of a history brought no improvement."""
        best: float | None = None
        waited = 0
        for row in check_rows("history", history):
            if self.metric not in row:
                raise refusal("history", f"hold {self.metric}", row)
            value = float(check_number(self.metric, row[self.metric]))
            if best is None or improves(self.metric, value, best, self.min_delta):
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience

    @property
    def reason(self) -> str:
        """Why it ends a training, in words.

        Example:
            >>> EarlyStopping(patience=2).reason
            'val_loss has not improved for 2 epochs'
        """
        span = "1 epoch" if self.patience == 1 else f"{self.patience} epochs"
        return f"{self.metric} has not improved for {span}"


def is_reason(text: str) -> bool:
    """Whether a text is a reason that some early stopping gives.

    Example:
        >>> is_reason(EarlyStopping(patience=2).reason), is_reason("good enough")
        (True, False)
    """
    return re.fullmatch(r"\S+ has not improved for (1 epoch|[0-9]+ epochs)", text) is not None


def best_epoch(history: Sequence[Row], metric: str) -> int:
    """The number of the best row of a history by a metric, the first of equals; 0 for no rows.

    Example:
        >>> best_epoch([{"loss": 2.0}, {"loss": 1.0}, {"loss": 1.0}], "loss")
        2
    """
    best, epoch = 0.0, 0
    for number, row in enumerate(history, 1):
        value = float(row[metric])
        if epoch == 0 or improves(metric, value, best):
            best, epoch = value, number
    return epoch


def kept_epoch(history: Sequence[Row], stopping: EarlyStopping | None) -> int:
    """The epoch whose weights a training with this history leaves at its end.

    The best one if early stopping restores it, otherwise the last one.

    Example:
        >>> rows = [{"val_loss": 1.0}, {"val_loss": 2.0}]
        >>> kept_epoch(rows, None), kept_epoch(rows, EarlyStopping())
        (2, 1)
    """
    if stopping is not None and stopping.restore_best:
        return best_epoch(history, stopping.metric)
    return len(history)


def watched_metric(stopping: EarlyStopping | None, validated: bool) -> str:
    """The metric that tells the best epoch.

    That of early stopping, otherwise the loss on validation images, or without any that in
    training.

    Example:
        >>> watched_metric(EarlyStopping(metric="val_top1"), validated=True)
        'val_top1'
    """
    if stopping is not None:
        return stopping.metric
    return "val_loss" if validated else "loss"


def improves(metric: str, value: float, best: float, min_delta: float = 0.0) -> bool:
    """Whether a value of a metric is better than another by more than `min_delta`.

    Example:
        >>> improves("val_top1", 0.9, 0.8), improves("val_loss", 0.9, 0.8)
        (True, False)
    """
    gain = value - best if more_is_better(metric) else best - value
    return gain > min_delta


def more_is_better(metric: str) -> bool:
    """Whether more of a metric is better; of all others less is.

    Example:
        >>> more_is_better("val_iou"), more_is_better("loss")
        (True, False)
    """
    return "top" in metric or metric.removeprefix("val_") == "iou"
