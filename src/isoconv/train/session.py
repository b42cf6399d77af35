"""The loop of a training: epochs, steps, measurements, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from signal import SIGINT, Signals
from typing import Any

import numpy as np

from isoconv.errors import NotFiniteError
from isoconv.graph.operation import Array
from isoconv.run.executor import HeldExecutor
from isoconv.train.context import TrainingContext
from isoconv.train.interrupt import InterruptWatch
from isoconv.train.metrics import Evaluator
from isoconv.train.progress import Reporter
from isoconv.train.reads import Reading
from isoconv.train.run import Interrupted, way_on
from isoconv.train.state import Checkpoint
from isoconv.train.words import gives_places
from isoconv.wording import setting

CALL_SECONDS = 0.2
"""How long one native call is to last: short enough for a bar and for Ctrl-C."""

SHARE = 20
"""So many times as long as a save took, none follows it."""


class Session:
    """Runs the epochs of a training from a checkpoint on.

    Args:
        executor: runs the steps; the checkpoint's weights are loaded.
        context: what to do, and where to leave what comes of it.
        reporter: shows the progress.
        evaluator: for validation, or None.
        best: the best epoch before this session and its weights, where early stopping restores
            them.
        known: parts of which no epoch reads images; see `reads_of`.

    Attributes:
        best: the best epoch so far and its weights, likewise.
        good: the weights at the end of the last whole epoch.
    """

    def __init__(
        self,
        executor: HeldExecutor,
        context: TrainingContext,
        reporter: Reporter,
        evaluator: Evaluator | None = None,
        best: tuple[int, Mapping[str, Array]] = (0, {}),
        known: Collection[str] = (),
    ) -> None:
        self._executor = executor
        self._context = context
        self._reporter = reporter
        self._evaluator = evaluator
        self._settled, self._run = context.settled, context.run
        self._folder, self._recorder = context.folder, context.recorder
        self._metrics = context.prepared.step.metrics
        self.best = best
        self.good: dict[str, Array] = {}
        self._reading = Reading(context.prepared.reads(known))
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
        self._due = time.monotonic() + self._settled.save_every
        if told := self._reading.begun(self._context.prepared.train.name):
            self._reporter.say(told)
        with InterruptWatch(self._told) as watch:
            for epoch in range(start.epoch, self._run.epochs):
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
        context = self._context
        context.begin_epoch(self._executor, epoch)
        self._tell()
        done = min(first * self._settled.batch_size, context.images)
        self._reporter.begin_epoch(epoch + 1, self._run.epochs, context.images, done)
        step = first
        while step < context.per_epoch and not watch.asked:
            step += self._steps(epoch, step)
            if time.monotonic() >= self._due and step < context.per_epoch and not watch.asked:
                self._save_within(epoch, step)
        if watch.asked:
            self._interrupt(epoch, step, watch.asked)
        row = self._row(epoch)
        self._run.history.append(row)
        stopping = self._run.early_stopping
        if stopping is not None and context.stretches.stops(stopping, self._run.history):
            self._run.stop(stopping.reason)
        self._save_epoch(epoch)
        places = gives_places(self._run.description)
        self._reporter.end_epoch(row, self._run.epochs, self._reading.epoch(), places)
        for callback in self._settled.callbacks:
            callback.on_epoch_end(self._run, row)
        if watch.asked and not self._run.stopped and epoch + 1 < self._run.epochs:
            self._leave(f"after epoch {epoch + 1} of {self._run.epochs}", watch.asked)

    def _steps(self, epoch: int, step: int) -> int:
        """Some steps in one native call; how many depends on the time they take."""
        context = self._context
        count = min(self._steps_per_call, context.per_epoch - step)
        which = f"step {step + 1}" if count == 1 else f"steps {step + 1} to {step + count}"
        self._begin(f"{which} of {context.per_epoch} in epoch {epoch + 1}")
        begin = time.perf_counter()
        try:
            hyper = context.hyper(epoch * context.per_epoch + step, count)
            rows = self._executor.steps(step, hyper)
        finally:
            self._tell()
        seconds = time.perf_counter() - begin
        self._seconds += seconds
        if self._recorder is not None:
            self._recorder.add_losses(rows[:, 0])
        for number, row in enumerate(rows):
            if not np.isfinite(row[0]):
                self._not_finite(epoch, step + number, float(row[0]))
            for name, value in zip(self._metrics, row, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._steps_per_call = max(
            1, min(2 * count, int(CALL_SECONDS * count / max(seconds, 1e-9)))
        )
        done = min((step + len(rows)) * self._settled.batch_size, context.images)
        means = {name: total / done for name, total in self._sums.items()}
        self._reporter.advance(done, context.images, means, done / max(self._seconds, 1e-9))
        return len(rows)

    def _tell(self) -> None:
        """Say what the executor has to say."""
        for line in self._executor.news():
            self._reporter.note(line)

    def _row(self, epoch: int) -> dict[str, Any]:
        context = self._context
        row: dict[str, Any] = {"epoch": epoch + 1}
        row |= {name: self._sums[name] / context.images for name in self._metrics}
        validation = context.prepared.validation
        if self._evaluator is not None and validation is not None:
            self._begin(f"the validation of epoch {epoch + 1}")
            weights = self._executor.weights()
            measured = self._evaluator.run(
                weights, validation, probabilities=False, predictions=False
            )
            if not np.isfinite(measured.loss):
                self._not_finite(epoch, context.per_epoch - 1, measured.loss, "validation loss")
            row |= {f"val_{name}": value for name, value in measured.metrics.items()}
        row["learning_rate"] = context.learning_rate((epoch + 1) * context.per_epoch - 1)
        row["seconds"] = self._seconds
        row["images_per_second"] = context.images / max(self._seconds, 1e-9)
        return row

    def _save_epoch(self, epoch: int) -> None:
        """All before the checkpoint to go on from: a run killed in between repeats the epoch."""
        self._begin(f"the checkpoint after epoch {epoch + 1}")
        self._context.keep_facts(self._executor.facts())
        checkpoint = self._checkpoint(epoch + 1, 0)
        self.good = checkpoint.weights
        if self._recorder is not None:
            self._recorder.end_epoch(checkpoint, self._run.history[-1])
        best, stopping = self._run.best_epoch == epoch + 1, self._run.early_stopping
        if best and stopping is not None and stopping.restore_best:
            self.best = epoch + 1, checkpoint.weights
        if self._folder is None:
            return
        if self._context.keep or epoch + 1 in self._context.stretches.starts:
            self._folder.keep(checkpoint)
        if best:
            self._folder.save_weights(self._folder.best_file, checkpoint.weights)
        self._folder.save(checkpoint)
        if self._recorder is not None:
            self._recorder.within = []
        self._due = time.monotonic() + self._settled.save_every
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
        self._begin(f"the checkpoint after step {step} of {self._context.per_epoch}")
        begin = time.monotonic()
        self._context.keep_facts(self._executor.facts())
        if self._folder is not None:
            checkpoint = self._checkpoint(epoch, step)
            if self._recorder is not None:
                self._recorder.stand(checkpoint)
            self._folder.save(checkpoint)
        end = time.monotonic()
        # However slow the disk is, most of the time goes into the training.
        self._due = end + max(self._settled.save_every, SHARE * (end - begin))

    def _interrupt(self, epoch: int, step: int, signal: int) -> None:
        # What there is before the first step of an epoch was saved after the one before.
        if step:
            self._save_within(epoch, step)
        self._leave(
            f"in epoch {epoch + 1} of {self._run.epochs} after step {step} of "
            f"{self._context.per_epoch}",
            signal,
        )

    def _leave(self, place: str, signal: int) -> None:
        raise Interrupted(f"interrupted {place}; {way_on(self._folder)}", self._run, signal)

    def _not_finite(self, epoch: int, step: int, value: float, what: str = "loss") -> None:
        context = self._context
        rate = context.learning_rate(epoch * context.per_epoch + step)
        kept = ""
        if self._folder is not None and self._folder.learned:
            kept = f" The last good checkpoint stays: {self._folder.checkpoint_file}."
        raise NotFiniteError(
            f"the {what} must stay finite; it is {value} in epoch {epoch + 1}, step {step + 1} of "
            f"{context.per_epoch}, at learning rate {rate:g}.{kept} Try a smaller learning rate, "
            f"a warm-up or {setting('clip_norm', '1.0')}, and see that the images are normalised",
            epoch=epoch + 1,
            step=step + 1,
            learning_rate=rate,
            value=value,
        )
