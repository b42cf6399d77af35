"""A training from its first step, or from a checkpoint, to what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from isoconv.errors import CheckpointError, NotEnoughMemoryError, NotFiniteError
from isoconv.nn.saved import record_of
from isoconv.nn.snapshot import changed_together
from isoconv.run.executor import Executor, HeldExecutor
from isoconv.run.team import PER_CORE, team_size
from isoconv.signals import number_of
from isoconv.train.context import TrainingContext
from isoconv.train.differing import difference_table, differing
from isoconv.train.given import TITLES
from isoconv.train.layout import exact_metrics
from isoconv.train.metrics import Evaluator
from isoconv.train.once import Once
from isoconv.train.progress import Reporter, reporter_for
from isoconv.train.run import Interrupted, Run, way_on
from isoconv.train.session import Session
from isoconv.train.state import Checkpoint
from isoconv.wording import either

Best = tuple[int, Mapping[str, Any]]
"""The number of the best epoch and its weights; 0 and none where nothing is to be restored."""


class Conduct:
    """Takes a training from a checkpoint to what it leaves.

    Args:
        context: all that it needs beside the checkpoint.
        again: the run is gone on with, and its data were told of when it began.
    """

    def __init__(self, context: TrainingContext, *, again: bool = False) -> None:
        self._context = context
        self._again = again
        self._settled, self._prepared = context.settled, context.prepared
        self._run, self._folder, self._recorder = context.run, context.folder, context.recorder
        self._model = context.settled.model

    def train(self, start: Checkpoint, ended: Mapping[str, Any] | None = None) -> Run:
        """Train from a checkpoint to the end, and leave everything where it belongs.

        Args:
            start: the checkpoint.
            ended: what came of the run, if it came to its end before.

        Raises:
            CheckpointError: the best weights are to be restored and are not at hand, or what came
                of the run is not what came of it before; and as the trainer.
        """
        run, stopping = self._run, self._run.early_stopping
        run.recorder = self._recorder
        run.history = [dict(row) for row in start.history]
        run.notes = [*self._prepared.notes, *run.notes]
        asked, started = self._settled.threads, team_size(self._settled.threads)
        if asked is not None and started < asked:
            run.notes.append(
                f"{started} threads are started for the {asked} that were asked for: more than "
                f"{PER_CORE} for each core only wait for one another, and no bit depends on it"
            )
        if ended is not None:
            run.stopped = str(ended["stopped"])
        elif stopping is not None and run.history and run.stretches.stops(stopping, run.history):
            run.stop(stopping.reason)
        reporter = reporter_for(self._settled.progress)
        of_data = [line for line in run.notes if line in self._prepared.of_data]
        if self._again and len(of_data) > 1:
            where = either("`run.notes` has them", "isoconv report shows them")
            of_data = [f"{len(of_data)} notes on the data, as when a run on them begins: {where}"]
        for line in of_data:
            reporter.note(line)
        for line in run.notes:
            if line not in self._prepared.of_data:
                reporter.warn(line)
        if self._settled.taken is not None:
            reporter.say(self._settled.taken.words)
        for line in (self._settled.why, self._prepared.frozen):
            if line:
                reporter.say(line)
        weights: Mapping[str, Any] = start.weights
        best = self._best_before(start)
        with changed_together():
            self._model.load_weights(weights)
            self._prepared.mark_model()
        for callback in self._settled.callbacks:
            callback.on_train_begin(run)
        if ended is None and start.epoch < run.epochs and not run.stopped:
            weights, best = self.loop(start, reporter, best)
        if run.kept_epoch != len(run.history):
            weights = best[1]
            value = run.history[run.kept_epoch - 1][run.watched]
            reporter.say(
                f"the weights are those of epoch {run.kept_epoch} of {len(run.history)}, the best "
                f"by {run.watched} ({value:.4f})"
            )
        self._model.load_weights(weights)
        try:
            self._conclude(ended)
        except KeyboardInterrupt as error:
            told = f"interrupted at the end; {way_on(self._folder)}"
            raise Interrupted(told, run, number_of(error)) from None
        for callback in self._settled.callbacks:
            callback.on_train_end(run)
        return run

    def _best_before(self, start: Checkpoint) -> Best:
        """The best epoch up to a checkpoint and its weights, where they may be restored.

        They are looked for before the training goes on, for nobody wants to miss them at its end.

        Raises:
            CheckpointError: the folder does not have them.
        """
        run = self._run
        if run.early_stopping is None or not run.early_stopping.restore_best or not run.history:
            return 0, {}
        epoch = run.best_epoch
        if (epoch, 0) == (start.epoch, start.step):
            return epoch, start.weights
        if self._folder is None:
            raise CheckpointError(
                f"the weights of epoch {epoch}, the best, were not kept",
                epoch=epoch,
            )
        if self._recorder is None:
            return epoch, self._folder.best_weights()
        wanted = self._recorder.entries[epoch]["weights_sha256"]
        state = self._folder.find(epoch, wanted)
        if state is None:
            for entry in self._recorder.repeated:
                if self._folder.find(entry["epoch"], entry["weights_sha256"]) is not None:
                    # Killed with the next best weights written already: they will come again.
                    return 0, {}
            raise CheckpointError(
                f"the weights of epoch {epoch}, the best so far, are to be restored at the end; "
                f"{self._folder.best_file} must hold them (SHA-256 {wanted}), and it does not, nor "
                "does a checkpoint",
                path=self._folder.best_file,
                epoch=epoch,
            )
        return epoch, state.weights

    def loop(
        self, start: Checkpoint, reporter: Reporter, best: Best = (0, {})
    ) -> tuple[Mapping[str, Any], Best]:
        """Train from a checkpoint on; the executor lives no longer.

        Args:
            start: the checkpoint.
            reporter: shows the progress.
            best: the best epoch up to the checkpoint and its weights, where they may be restored.

        Returns:
            The weights at the end; the best epoch and its weights, likewise.
        """
        settled = self._settled
        evaluator: Evaluator | None = None
        executor: Executor | None = None
        try:
            known = self._once(start.weights, reporter)
            step, arrays = self._prepared.step, self._context.arrays()
            if (once := known.get("train")) is not None:
                step = replace(step, shard=once.graph)
                arrays = {"labels": arrays["labels"], **once.rows}
            made = settled.executor(
                step,
                arrays,
                batch_size=settled.batch_size,
                shard_size=settled.shard_size,
                seed=settled.seed,
                progress=reporter.compiling,
                threads=settled.threads,
                target=settled.target,
            )
            executor = held = HeldExecutor(made, step)
            held.begin(reporter.note)
            if self._prepared.validation is not None:
                evaluator = self._prepared.evaluator(reporter.compiling, known.get("validation"))
            held.load(start.parameters, start.states, start.slots)
            session = Session(held, self._context, reporter, evaluator, best, known)
            return self._train(session, start, held.weights)
        except Interrupted:
            raise
        except KeyboardInterrupt as error:
            told = f"interrupted; {way_on(self._folder)}"
            raise Interrupted(told, self._run, number_of(error)) from None
        finally:
            reporter.close()
            if evaluator is not None:
                evaluator.close()
            if executor is not None:
                executor.close()

    def _once(self, weights: Mapping[str, Any], reporter: Reporter) -> Mapping[str, Once]:
        """What frozen layers give for the images of each part, where there is memory to keep it."""
        parts = {"train": self._prepared.train, "validation": self._prepared.validation}
        found: dict[str, Once] = {}
        for name, part in parts.items():
            if part is None:
                continue
            told = partial(reporter.computing, TITLES[name])
            try:
                once = self._prepared.once(
                    part, weights, reporter.compiling, told, training=name == "train"
                )
            except NotEnoughMemoryError as error:
                reporter.note(f"the frozen layers work anew in each epoch: {error}")
                continue
            if once is not None:
                found[name] = once
        return found

    def _train(
        self, session: Session, start: Checkpoint, weights: Callable[[], dict[str, Any]]
    ) -> tuple[Mapping[str, Any], Best]:
        self._run.follow(weights)
        try:
            session.train(start)
        except NotFiniteError as error:
            self._run.follow(None)
            self._model.load_weights(session.good)
            error.run = self._run
            raise
        except BaseException:
            # An interrupt, or a callback that failed: what was learned stays with the model.
            self._run.follow(None)
            self._model.load_weights(weights())
            raise
        finally:
            self._run.follow(None)
        return weights(), session.best

    def _conclude(self, ended: Mapping[str, Any] | None) -> None:
        """Measure with the test part, write the final model and the result.

        Raises:
            CheckpointError: the run ended before, and something else came of it.
        """
        run, folder, test = self._run, self._folder, self._prepared.test
        if test is not None:
            with self._prepared.evaluator() as evaluator:
                run.test = evaluator.run(
                    self._model.weights, test, probabilities=not test.of_places
                )
        if folder is not None and ended is None and run.stopped:
            # Why it ends may be known to a callback alone: a kill from here on must not lose it.
            folder.describe({**run.description, "stopped": run.stopped})
        result = {
            "best_epoch": run.best_epoch,
            "epoch": run.kept_epoch,
            "epochs": len(run.history),
            "record_sha256": record_of(self._model)["digest"],
            "stopped": run.stopped,
            "test": None if run.test is None else exact_metrics(run.test.metrics),
            "weights_sha256": run.digest,
        }
        found = [] if ended is None else list(differing(dict(ended), result))
        if found:
            raise CheckpointError(
                f"the run ended with something else than what its checkpoint gives:\n"
                f"{difference_table(found, 'the run', 'here')}"
            )
        # Those of an earlier end give way to these.
        description = {name: run.description[name] for name in run.description if name != "earlier"}
        run.description = {**description, "result": result}
        # A finished run is given back as it is; what it lacks is written.
        if folder is not None and (ended is None or not folder.weights_file.exists()):
            folder.save_weights(folder.weights_file, self._model.weights)
        if folder is not None and (ended is None or not folder.metrics_file.exists()):
            folder.save_metrics(run.history)
        if self._recorder is not None:
            self._recorder.end(result)
        if folder is not None:
            folder.describe(run.description)
