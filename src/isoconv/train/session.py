"""The loop of a training: epochs, steps, measurements, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from signal import SIGINT, Signals
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.data import Augmentation, Dataset, table
from isoconv.errors import NotFiniteError
from isoconv.run.executor import Executor
from isoconv.run.step import StepGraph
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.interrupt import InterruptWatch
from isoconv.train.learning_rate import Schedule
from isoconv.train.metrics import Evaluator
from isoconv.train.optim import Optimizer
from isoconv.train.progress import Reporter
from isoconv.train.record import Recorder
from isoconv.train.run import Interrupted, Run, way_on
from isoconv.train.state import Checkpoint
from isoconv.train.stretches import Stretches
from isoconv.wording import setting

__all__ = ["Session", "SessionContext", "TrainingPlan", "rate_of"]

Array = NDArray[Any]

CALL_SECONDS = 0.2
"""How long one native call is to last: short enough for a bar and for Ctrl-C."""

SHARE = 20
"""So many times as long as a save took, none follows it."""


@dataclass(frozen=True, eq=False, slots=True)
class TrainingPlan:
    """What is to be learned, from what, and how.

    Attributes:
        step: what a step computes.
        arrays: the data set's arrays by input name.
        image_shape: height, width and channels.
        validation: images to measure with after each epoch, or None.
        optimizer: gives the scalars of each step.
        schedule: gives the learning rate's factor.
        augmentation: random changes, or None.
        batch_size: images of a step.
        seed: of order, augmentation and dropout.
        stretches: the epochs, as they were asked for.
        early_stopping: when to end before, or None.
        callbacks: called after each epoch.
    """

    step: StepGraph
    arrays: Mapping[str, Array]
    image_shape: tuple[int, int, int]
    validation: Dataset | None
    optimizer: Optimizer
    schedule: Schedule
    augmentation: Augmentation | None
    batch_size: int
    seed: int
    stretches: Stretches
    early_stopping: EarlyStopping | None
    callbacks: tuple[Callback, ...]

    @property
    def epochs(self) -> int:
        """How many epochs in all."""
        return self.stretches.epochs

    @property
    def images(self) -> int:
        """Images of an epoch."""
        return len(self.arrays["images"])

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer images."""
        return -(-self.images // self.batch_size)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step of the run, in float64."""
        return rate_of(self.optimizer, self.schedule, self.stretches, self.per_epoch, step)

    def hyper(self, first: int, count: int) -> Array:
        """The scalars of some steps, float32 ``(count, scalars)``."""
        rows = [
            self.optimizer.hyper_row(step, self.learning_rate(step))
            for step in range(first, first + count)
        ]
        # A learning rate beyond float32 is infinite, and the loss that comes of it stops the run.
        with np.errstate(over="ignore"):
            return np.array(rows, np.float64).astype(np.float32)

    def begin(self, executor: Executor, epoch: int) -> None:
        """Give the executor the order and the random changes of an epoch."""
        order = permutation(self.images, self.seed, Purpose.DATA_ORDER, epoch)
        tables: dict[str, Array] = {}
        if self.augmentation is not None and "augmentation" in self.arrays:
            height, width, _ = self.image_shape
            samples = np.arange(self.images)
            tables["augmentation"] = table(
                self.augmentation, self.seed, epoch, samples, height, width
            )
        executor.begin_epoch(epoch, order, tables)


def rate_of(
    optimizer: Optimizer, schedule: Schedule, stretches: Stretches, per_epoch: int, step: int
) -> float:
    """The learning rate of a step of a run, in float64.

    Args:
        optimizer: whose rate the schedule's factor multiplies.
        schedule: of each stretch.
        stretches: the epochs, as they were asked for.
        per_epoch: steps of an epoch.
        step: number of the step in the run, from 0.
    """
    stretch = stretches.at(step // per_epoch)
    begin, end = stretch.after * per_epoch, stretch.until * per_epoch
    return float(optimizer.learning_rate) * schedule.at(step - begin, end - begin, per_epoch)


@dataclass(frozen=True, eq=False, slots=True)
class SessionContext:
    """What a session does, and where it leaves what comes of it.

    Attributes:
        plan: what to do.
        run: what is filled.
        reporter: shows the progress.
        save_every: seconds after which a checkpoint is saved within an epoch.
        folder: where to save, or None.
        recorder: writes the receipt, or None.
        evaluator: for validation, or None.
        keep: whether the state after each epoch is kept.
    """

    plan: TrainingPlan
    run: Run
    reporter: Reporter
    save_every: float
    folder: RunFolder | None = None
    recorder: Recorder | None = None
    evaluator: Evaluator | None = None
    keep: bool = False


class Session:
    """Runs the epochs of a plan from a checkpoint on.

    Args:
        executor: runs the steps; the checkpoint's weights are loaded.
        context: what to do, and what comes of it.
        best: the best epoch before this session and its weights, where early stopping restores
            them.

    Attributes:
        best: the best epoch so far and its weights, likewise.
        good: the weights at the end of the last whole epoch.
    """

    def __init__(
        self,
        executor: Executor,
        context: SessionContext,
        best: tuple[int, Mapping[str, Array]] = (0, {}),
    ) -> None:
        self._executor = executor
        self._context = context
        self._plan, self._run = context.plan, context.run
        self._folder, self._recorder = context.folder, context.recorder
        self._reporter = context.reporter
        self.best = best
        self.good: dict[str, Array] = {}
        self._due = 0.0
        self._steps_per_call = 1
        self._doing = "", 0.0
        self._sums: dict[str, float] = {}
        self._seconds = 0.0

    def train(self, start: Checkpoint) -> None:
        """Run what remains.

        Raises:
            NotFiniteError: a loss is infinite or not a number.
            Interrupted: Ctrl-C; a checkpoint was saved.
            CheckpointError: a checkpoint cannot be saved.
        """
        first, self._sums, self._seconds = start.step, dict(start.sums), start.seconds
        self.good = start.weights
        self._due = time.monotonic() + self._context.save_every
        with InterruptWatch(self._told) as watch:
            for epoch in range(start.epoch, self._plan.epochs):
                self._epoch(epoch, first, watch)
                first, self._sums, self._seconds = 0, {}, 0.0
                if self._run.stopped:
                    break

    def _begin(self, what: str) -> None:
        """What is under way from now on, for who interrupts it."""
        self._doing = what, time.perf_counter()

    def _told(self, number: int, count: int) -> None:
        """Say what an interrupt waits for; in a thread of its own, while the step goes on."""
        (what, since), name = self._doing, "Ctrl-C" if number == SIGINT else Signals(number).name
        saves = self._folder is not None
        finishing = f"{name}: finishing {what}"
        after = f"then {'saving' if saves else 'ending'}"
        if count == 1:
            self._reporter.say(f"{finishing}, {after}")
        elif count == 2:
            without = "without it" if saves else "as soon as that can be"
            seconds = time.perf_counter() - since
            self._reporter.say(
                f"{finishing} (for {seconds:.0f} s now), {after}; a third one ends {without}"
            )
        else:
            without = ", without saving" if saves else ""
            self._reporter.say(f"{name}: leaving {what} as soon as that can be{without}")

    def _epoch(self, epoch: int, first: int, watch: InterruptWatch) -> None:
        plan = self._plan
        plan.begin(self._executor, epoch)
        done = min(first * plan.batch_size, plan.images)
        self._reporter.begin_epoch(epoch + 1, plan.epochs, plan.images, done)
        step = first
        while step < plan.per_epoch and not watch.asked:
            step += self._steps(epoch, step)
            if time.monotonic() >= self._due and step < plan.per_epoch and not watch.asked:
                self._save_within(epoch, step)
        if watch.asked:
            self._interrupt(epoch, step, watch.asked)
        row = self._row(epoch)
        self._run.history.append(row)
        stopping = plan.early_stopping
        if stopping is not None and plan.stretches.stops(stopping, self._run.history):
            self._run.stop(stopping.reason)
        self._save_epoch(epoch)
        self._reporter.end_epoch(row, plan.epochs)
        for callback in plan.callbacks:
            callback.on_epoch_end(self._run, row)
        if watch.asked and not self._run.stopped and epoch + 1 < plan.epochs:
            self._leave(f"after epoch {epoch + 1} of {plan.epochs}", watch.asked)

    def _steps(self, epoch: int, step: int) -> int:
        """Some steps in one native call; how many depends on the time they take."""
        plan = self._plan
        count = min(self._steps_per_call, plan.per_epoch - step)
        which = f"step {step + 1}" if count == 1 else f"steps {step + 1} to {step + count}"
        self._begin(f"{which} of {plan.per_epoch} in epoch {epoch + 1}")
        begin = time.perf_counter()
        rows = self._executor.steps(step, plan.hyper(epoch * plan.per_epoch + step, count))
        seconds = time.perf_counter() - begin
        self._seconds += seconds
        if self._recorder is not None:
            self._recorder.add_losses(rows[:, 0])
        for number, row in enumerate(rows):
            if not np.isfinite(row[0]):
                self._not_finite(epoch, step + number, float(row[0]))
            for name, value in zip(plan.step.metrics, row, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._steps_per_call = max(
            1, min(2 * count, int(CALL_SECONDS * count / max(seconds, 1e-9)))
        )
        done = min((step + len(rows)) * plan.batch_size, plan.images)
        means = {name: total / done for name, total in self._sums.items()}
        self._reporter.advance(done, plan.images, means, done / max(self._seconds, 1e-9))
        return len(rows)

    def _row(self, epoch: int) -> dict[str, Any]:
        plan = self._plan
        row: dict[str, Any] = {"epoch": epoch + 1}
        row |= {name: self._sums[name] / plan.images for name in plan.step.metrics}
        evaluator = self._context.evaluator
        if evaluator is not None and plan.validation is not None:
            self._begin(f"the validation of epoch {epoch + 1}")
            weights = self._executor.weights()
            measured = evaluator.run(weights, plan.validation)
            if not np.isfinite(measured.loss):
                self._not_finite(epoch, plan.per_epoch - 1, measured.loss, "validation loss")
            for name in plan.step.metrics:
                row[f"val_{name}"] = getattr(measured, name)
        row["learning_rate"] = plan.learning_rate((epoch + 1) * plan.per_epoch - 1)
        row["seconds"] = self._seconds
        row["images_per_second"] = plan.images / max(self._seconds, 1e-9)
        return row

    def _save_epoch(self, epoch: int) -> None:
        """All before the checkpoint to go on from: a run killed in between repeats the epoch."""
        self._begin(f"the checkpoint after epoch {epoch + 1}")
        checkpoint = self._checkpoint(epoch + 1, 0)
        self.good = checkpoint.weights
        if self._recorder is not None:
            self._recorder.end_epoch(checkpoint, self._run.history[-1])
        best, stopping = self._run.best_epoch == epoch + 1, self._plan.early_stopping
        if best and stopping is not None and stopping.restore_best:
            self.best = epoch + 1, checkpoint.weights
        if self._folder is None:
            return
        if self._context.keep or epoch + 1 in self._plan.stretches.starts:
            self._folder.keep(checkpoint)
        if best:
            self._folder.save_weights(self._folder.best_file, checkpoint.weights)
        self._folder.save(checkpoint)
        if self._recorder is not None:
            self._recorder.within = []
        self._due = time.monotonic() + self._context.save_every
        self._folder.save_metrics(self._run.history)

    def _checkpoint(self, epoch: int, step: int) -> Checkpoint:
        """Where the run stands; the sums of an epoch count within it alone."""
        inside = step > 0
        return Checkpoint(
            epoch=epoch,
            step=step,
            parameters=self._executor.parameters(),
            states=self._executor.states(),
            slots=self._executor.slots(),
            sums=dict(self._sums) if inside else {},
            losses=list(self._recorder.losses) if inside and self._recorder is not None else [],
            seconds=self._seconds if inside else 0.0,
            history=self._run.history,
        )

    def _save_within(self, epoch: int, step: int) -> None:
        """Save where the run stands within an epoch."""
        self._begin(f"the checkpoint after step {step} of {self._plan.per_epoch}")
        begin = time.monotonic()
        if self._folder is not None:
            checkpoint = self._checkpoint(epoch, step)
            if self._recorder is not None:
                self._recorder.stand(checkpoint)
            self._folder.save(checkpoint)
        end = time.monotonic()
        # However slow the disk is, most of the time goes into the training.
        self._due = end + max(self._context.save_every, SHARE * (end - begin))

    def _interrupt(self, epoch: int, step: int, signal: int) -> None:
        # What there is before the first step of an epoch was saved after the one before.
        if step:
            self._save_within(epoch, step)
        self._leave(
            f"in epoch {epoch + 1} of {self._plan.epochs} after step {step} of "
            f"{self._plan.per_epoch}",
            signal,
        )

    def _leave(self, place: str, signal: int) -> None:
        raise Interrupted(f"interrupted {place}; {way_on(self._folder)}", self._run, signal)

    def _not_finite(self, epoch: int, step: int, value: float, what: str = "loss") -> None:
        plan = self._plan
        rate = plan.learning_rate(epoch * plan.per_epoch + step)
        kept = ""
        if self._folder is not None and self._folder.learned:
            kept = f" The last good checkpoint stays: {self._folder.checkpoint_file}."
        raise NotFiniteError(
            f"the {what} must stay finite; it is {value} in epoch {epoch + 1}, step {step + 1} of "
            f"{plan.per_epoch}, at learning rate {rate:g}.{kept} Try a smaller learning rate, "
            f"a warm-up or {setting('clip_norm', '1.0')}, and see that the images are normalised",
            epoch=epoch + 1,
            step=step + 1,
            learning_rate=rate,
            value=value,
        )
