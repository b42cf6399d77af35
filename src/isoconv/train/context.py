"""A training as its parts see it: what is done, what comes of it, and the numbers of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.data import table
from isoconv.graph.operation import Array
from isoconv.run.executor import Executor
from isoconv.train.checkpoint import RunFolder
from isoconv.train.layout import EXECUTORS
from isoconv.train.learning_rate import Schedule
from isoconv.train.prepare import Prepared
from isoconv.train.record import Recorder
from isoconv.train.run import Run
from isoconv.train.settled import Settled
from isoconv.train.stretches import Stretches


@dataclass(frozen=True, eq=False, slots=True)
class TrainingContext:
    """All that a training needs beside the checkpoint that it begins from.

    Attributes:
        settled: its settings and the model.
        prepared: model, data and settings, checked.
        run: what is filled.
        folder: where to save, or None.
        recorder: writes the receipt, or None.
        keep: whether the state after each epoch is kept.
        stretches: the run's epochs, as they were asked for.
        before: what executors had to tell that ran steps of the run before.
    """

    settled: Settled
    prepared: Prepared
    run: Run
    folder: RunFolder | None = None
    recorder: Recorder | None = None
    keep: bool = False
    stretches: Stretches = field(init=False)
    before: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stretches", self.run.stretches)
        object.__setattr__(self, "before", tuple(self.run.description.get(EXECUTORS, ())))

    @property
    def images(self) -> int:
        """Images of an epoch."""
        return len(self.prepared.train)

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer images."""
        return -(-self.images // self.settled.batch_size)

    def arrays(self) -> dict[str, Array]:
        """The data set's arrays by the names of the graph's inputs."""
        arrays = {"images": self.prepared.train.images, "labels": self.prepared.labels}
        return arrays | self._tables(0)

    def _tables(self, epoch: int) -> dict[str, Array]:
        """The random changes of an epoch, if there are any."""
        changes = self.settled.augmentation
        if changes is None or not self.prepared.preparation.augments:
            return {}
        height, width, _ = self.prepared.train.image_shape
        samples = np.arange(self.images)
        return {"augmentation": table(changes, self.settled.seed, epoch, samples, height, width)}

    def begin_epoch(self, executor: Executor, epoch: int) -> None:
        """Give the executor the order and the random changes of an epoch."""
        order = permutation(self.images, self.settled.seed, Purpose.DATA_ORDER, epoch)
        executor.begin_epoch(epoch, order, self._tables(epoch))

    def keep_facts(self, facts: Mapping[str, Any]) -> None:
        """Let the run's record have what its executor tells of itself."""
        told = [*self.before, *([dict(facts)] if facts else [])]
        if told and told != self.run.description.get(EXECUTORS):
            self.run.description = {**self.run.description, EXECUTORS: told}
            if self.folder is not None:
                self.folder.describe(self.run.description)

    def learning_rate(self, step: int, rate: float | None = None) -> float:
        """The learning rate of a step of the run, in float64.

        Args:
            step: its number in the run.
            rate: that the schedule's factor multiplies; None for that of the optimizer.
        """
        rate = self.settled.optimizer.learning_rate if rate is None else rate
        return rate_of(rate, self.settled.schedule, self.stretches, self.per_epoch, step)

    def hyper(self, first: int, count: int) -> Array:
        """The scalars of some steps, float32 ``(count, scalars)``, group by group."""
        optimizer, own = self.settled.optimizer, self.settled.backbone_lr
        rates = [None] if own is None else [own, None]
        rows = [
            [
                value
                for rate in rates
                for value in optimizer.hyper_row(step, self.learning_rate(step, rate))
            ]
            for step in range(first, first + count)
        ]
        # A learning rate beyond float32 is infinite, and the loss that comes of it stops the run.
        with np.errstate(over="ignore"):
            return np.array(rows, np.float64).astype(np.float32)


def rate_of(
    rate: float, schedule: Schedule, stretches: Stretches, per_epoch: int, step: int
) -> float:
    """The learning rate of a step of a run, in float64.

    Args:
        rate: that the schedule's factor multiplies.
        schedule: of each stretch.
        stretches: the epochs, as they were asked for.
        per_epoch: steps of an epoch.
        step: number of the step in the run, from 0.
    """
    stretch = stretches.at(step // per_epoch)
    begin, end = stretch.after * per_epoch, stretch.until * per_epoch
    return float(rate) * schedule.at(step - begin, end - begin, per_epoch)
