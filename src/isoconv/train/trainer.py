"""Trains a model on images: one call, the same bits on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from isoconv.checks import check_count, check_flag, check_kind, check_number, check_text, shown
from isoconv.data import Augmentation
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import Module
from isoconv.run.training import StepGraph, TrainingEngine
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import Checkpoint, RunFolder
from isoconv.train.machine import machine_facts
from isoconv.train.metrics import Data, Evaluator
from isoconv.train.optim import SGD, Optimizer
from isoconv.train.prepare import Prepared
from isoconv.train.progress import Reporter
from isoconv.train.record import Recorder
from isoconv.train.run import Interrupted, Run, way_on
from isoconv.train.schedule import Constant, Schedule
from isoconv.train.session import Plan, Session
from isoconv.train.settings import differences, from_plain, to_plain
from isoconv.train.step import Loss, LossName

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Trainer"]


class Trainer:
    """Trains a model.

    The weights that come out are a function of the model, the data and the settings up to ``seed``
    (and of the epochs); threads, target and progress change no bit.

    Args:
        model: what to train. It is built for the images if it was not.
        optimizer: how parameters follow their gradients.
        schedule: of the learning rate; None keeps it.
        loss: ``"cross_entropy"``, ``"mse"`` or ``"bce"``.
        label_smoothing: of cross-entropy, 0 to below 1.
        batch_size: images of a step.
        shard_size: images that one thread takes at a time; batch statistics are over a shard. By
            default 32, or the batch if that is smaller.
        augmentation: random changes to training images.
        normalise: bring each channel to mean 0 and standard deviation 1 over the training images.
        clip_norm: the greatest global norm of the gradient; a greater one is scaled down.
        seed: of the first weights, the order of images, augmentation and dropout; 64 bits.
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        callbacks: called at the start, after each epoch and at the end.
        progress: show a bar on a terminal and a line for each epoch elsewhere; False for silence;
            a `rich.console.Console` says where.
        keep_checkpoints: keep the state after each epoch in the run folder, so that a stretch of
            epochs can be verified on its own.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> images = np.arange(128, dtype=np.uint8).reshape(8, 4, 4, 1)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
        >>> trainer = Trainer(model, optimizer=SGD(0.1), batch_size=4, progress=False)
        >>> run = trainer.fit((images, [0, 1] * 4), epochs=2)
        >>> [row["epoch"] for row in run.history]
        [1, 2]
    """

    def __init__(
        self,
        model: Module,
        *,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        loss: LossName = "cross_entropy",
        label_smoothing: float = 0.0,
        batch_size: int = 128,
        shard_size: int | None = None,
        augmentation: Augmentation | None = None,
        normalise: bool = True,
        clip_norm: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        target: str | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool | Console = True,
        keep_checkpoints: bool = False,
    ) -> None:
        self.model = check_kind("model", model, Module, "a Module")
        self.optimizer = SGD(0.1, momentum=0.9) if optimizer is None else optimizer
        self.schedule = Constant() if schedule is None else schedule
        self.loss = Loss(loss, label_smoothing)
        self.batch_size = check_count("batch_size", batch_size)
        usual = min(32, self.batch_size)
        self.shard_size = usual if shard_size is None else check_count("shard_size", shard_size)
        self.augmentation = augmentation
        self.normalise = check_flag("normalise", normalise)
        self.clip_norm = (
            None if clip_norm is None else check_number("clip_norm", clip_norm, above=0)
        )
        self.seed = check_count("seed", seed, least=0, below=2**64)
        self.threads = None if threads is None else check_count("threads", threads)
        self.target = None if target is None else check_text("target", target)
        self.callbacks = _callbacks(callbacks)
        self.progress = progress if _is_console(progress) else check_flag("progress", progress)
        self.keep_checkpoints = check_flag("keep_checkpoints", keep_checkpoints)
        self._check()

    def _check(self) -> None:
        if self.shard_size > self.batch_size:
            raise ArgumentError(
                f"shard_size must be at most batch_size; got {self.shard_size} > {self.batch_size}"
            )
        kinds: tuple[tuple[str, Any, Any, str], ...] = (
            ("optimizer", self.optimizer, Optimizer, "an optimizer such as SGD(0.1)"),
            ("schedule", self.schedule, Schedule, "a schedule such as Cosine()"),
            ("augmentation", self.augmentation, Augmentation | None, "an Augmentation"),
        )
        for name, value, kind, what in kinds:
            check_kind(name, value, kind, what)

    def settings(self) -> dict[str, Any]:
        """All that decides the bits, as plain values."""
        return {
            "augmentation": to_plain(self.augmentation),
            "batch_size": self.batch_size,
            "clip_norm": self.clip_norm,
            "loss": to_plain(self.loss),
            "normalise": self.normalise,
            "optimizer": to_plain(self.optimizer),
            "schedule": to_plain(self.schedule),
            "seed": self.seed,
            "shard_size": self.shard_size,
        }

    @classmethod
    def from_run(cls, model: Module, folder: str | Path, **options: Any) -> Trainer:
        """A trainer with the settings of a run folder.

        Args:
            model: as the one that the run began with.
            folder: the run folder.
            options: ``threads``, ``target``, ``callbacks``, ``progress`` and
                ``keep_checkpoints``; what the run began with is kept up in any case.

        Raises:
            CheckpointError: the folder holds no run that can be read.
        """
        plain = RunFolder(folder).description()
        if not isinstance(plain.get("settings"), dict):
            raise CheckpointError(f"the settings of {folder} cannot be read: there are none")
        return cls.from_settings(model, plain["settings"], str(folder), **options)

    @classmethod
    def from_settings(
        cls, model: Module, plain: Mapping[str, Any], title: str, **options: Any
    ) -> Trainer:
        """A trainer from what `settings` gave.

        Args:
            model: what to train.
            plain: the settings.
            title: where they stood, for messages.
            options: as for `from_run`.

        Raises:
            CheckpointError: the settings cannot be read.
        """
        try:
            settings = {name: from_plain(value) for name, value in plain.items()}
            loss = settings.pop("loss")
            return cls(
                model,
                loss=loss.name,
                label_smoothing=loss.label_smoothing,
                **settings,
                **options,
            )
        except (KeyError, TypeError, AttributeError, ArgumentError) as error:
            raise CheckpointError(f"the settings of {title} cannot be read: {error!r}") from error

    # Training

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        *,
        epochs: int = 5,
        out: str | Path | None = None,
        early_stopping: EarlyStopping | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """Train from the model's weights, or from fresh ones if it has none.

        Args:
            train: a data set, or images ``(N, H, W, C)`` and labels.
            validation: images that are measured after each epoch and never learned from.
            epochs: how often to go through the images.
            out: a new folder for settings, metrics, checkpoints and weights; None keeps nothing.
            early_stopping: when to end before.
            facts: plain values that are kept in run.json beside the settings.

        Returns:
            The run; the model holds the weights of the last step.

        Raises:
            ArgumentError: a setting outside its range, or a folder that holds a run.
            DataError: images or labels that do not fit the model.
            ShapeError: images that a layer does not take.
            NotFiniteError: a loss is infinite or not a number.
            CheckpointError: the folder cannot be written.
            Interrupted: Ctrl-C was pressed; it is a KeyboardInterrupt, and `resume` goes on.
        """
        epochs = check_count("epochs", epochs)
        prepared = Prepared(self, train, validation)
        _check_stopping(early_stopping, prepared.step, validation is not None)
        description = prepared.describe(epochs, early_stopping, facts or {})
        start = prepared.start()
        folder = None if out is None else RunFolder(out)
        if folder is not None:
            folder.create(description, start)
            # Weights that no seed gives back must be kept, or nobody could verify the run.
            if self.keep_checkpoints or prepared.first_weights == "given":
                folder.keep(start)
        recorder = self._recorder(prepared, description, folder)
        recorder.begin(start)
        run = Run(self.model, description, folder)
        return self._run(prepared, run, folder, start, recorder, keep=self.keep_checkpoints)

    def resume(self, out: str | Path, train: Data, validation: Data | None = None) -> Run:
        """Go on with a run to the same bits as if it had never been interrupted.

        Args:
            out: the run folder.
            train: the data that the run began with.
            validation: likewise.

        Returns:
            The whole run; a finished one is given back as it is.

        Raises:
            CheckpointError: the folder cannot be read, or settings, data or model are others.
            NotFiniteError: as for `fit`; so are the rest.
        """
        folder = RunFolder(out)
        description = folder.description()
        prepared = Prepared(self, train, validation)
        try:
            epochs = int(description["epochs"])
            stopping = from_plain(description["early_stopping"])
            facts = description["facts"]
            recorded = {"settings": description["settings"], "data": description["data"]}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder.run_file} cannot be read: it lacks {error}") from error
        given = prepared.describe(epochs, stopping, facts)
        found = differences(recorded["settings"], given["settings"])
        found += differences(recorded["data"], given["data"])
        if found:
            raise CheckpointError(
                f"{folder.path} can be gone on with on its own settings and data only: "
                + " | ".join(found)
            )
        step = prepared.step
        start = folder.load(step.parameters, step.states, step.slots)
        recorder = self._recorder(prepared, given, folder)
        found_receipt = recorder.resume(start)
        keep = self.keep_checkpoints or bool(description.get("keep_checkpoints", False))
        run = Run(self.model, description, folder)
        return self._run(
            prepared, run, folder, start, recorder if found_receipt else None, keep=keep
        )

    def _recorder(
        self, prepared: Prepared, description: Mapping[str, Any], folder: RunFolder | None
    ) -> Recorder:
        machine = {**machine_facts(self.threads, self.target), "data": prepared.data_names}
        return Recorder(prepared.receipt_head(description), machine, folder)

    def _run(
        self,
        prepared: Prepared,
        run: Run,
        folder: RunFolder | None,
        start: Checkpoint,
        recorder: Recorder | None,
        *,
        keep: bool,
    ) -> Run:
        run.recorder = recorder
        run.history = [dict(row) for row in start.history]
        stopping: EarlyStopping | None = from_plain(run.description["early_stopping"])
        plan = prepared.plan(run.epochs, stopping)
        if stopping is not None and run.history and stopping.stops(run.history):
            run.stop(f"{stopping.metric} has not improved for {stopping.patience} epochs")
        reporter = reporter_for(self.progress)
        for callback in self.callbacks:
            callback.on_train_begin(run)
        weights = start.weights
        if start.epoch < run.epochs and not run.stopped:
            weights = self.loop(prepared, plan, run, folder, start, reporter, recorder, keep=keep)
        self.model.load_weights(weights)
        prepared.mark_model()
        self._finish(run, folder)
        if recorder is not None:
            recorder.finish()
        for callback in self.callbacks:
            callback.on_train_end(run)
        return run

    def loop(
        self,
        prepared: Prepared,
        plan: Plan,
        run: Run,
        folder: RunFolder | None,
        start: Checkpoint,
        reporter: Reporter,
        recorder: Recorder | None,
        *,
        keep: bool = False,
    ) -> dict[str, Any]:
        """Train from a checkpoint on and give back the weights; the engine lives no longer."""
        machine: dict[str, Any] = {"threads": self.threads, "target": self.target}
        evaluator: Evaluator | None = None
        engine: TrainingEngine | None = None
        try:
            engine = TrainingEngine(
                plan.step,
                plan.arrays,
                batch_size=self.batch_size,
                shard_size=self.shard_size,
                seed=self.seed,
                progress=reporter.compiling,
                **machine,
            )
            if plan.validation is not None:
                evaluator = Evaluator(
                    self.model,
                    prepared.preparation,
                    self.loss,
                    progress=reporter.compiling,
                    **machine,
                )
            engine.load(start.parameters, start.states, start.slots)
            session = Session(plan, engine, evaluator, run, folder, reporter, recorder, keep=keep)
            try:
                session.train(start)
            except Interrupted:
                self.model.load_weights({**engine.parameters(), **engine.states()})
                prepared.mark_model()
                raise
            return {**engine.parameters(), **engine.states()}
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {way_on(folder)}", run) from None
        finally:
            reporter.close()
            if evaluator is not None:
                evaluator.close()
            if engine is not None:
                engine.close()

    def _finish(self, run: Run, folder: RunFolder | None) -> None:
        """Write the final weights and the result."""
        run.description = {
            **run.description,
            "result": {
                "best_epoch": run.best_epoch,
                "epochs": len(run.history),
                "stopped": run.stopped,
                "weights_sha256": run.digest,
            },
        }
        if folder is not None:
            shape = self.model.input_shape or ()
            folder.save_weights(folder.weights_file, self.model.weights, shape)
            folder.save_metrics(run.history)
            folder.describe(run.description)


def _callbacks(callbacks: object) -> tuple[Callback, ...]:
    if isinstance(callbacks, (Callback, str)) or not isinstance(callbacks, Iterable):
        raise ArgumentError(f"callbacks must be a list of them; got {shown(callbacks)}")
    return tuple(check_kind("callbacks", each, Callback, "a Callback each") for each in callbacks)


def _is_console(progress: object) -> TypeGuard[Console]:
    from rich.console import Console

    return isinstance(progress, Console)


def _check_stopping(stopping: EarlyStopping | None, step: StepGraph, validated: bool) -> None:
    if stopping is None:
        return
    if not isinstance(stopping, EarlyStopping):
        raise ArgumentError(f"early_stopping must be an EarlyStopping; got {stopping!r}")
    known = [*step.metrics, *(f"val_{name}" for name in step.metrics if validated)]
    if stopping.metric not in known:
        raise ArgumentError(
            f"early_stopping needs a metric of the history, {', '.join(known)}; "
            f"got {stopping.metric!r}" + ("" if validated else " without validation data")
        )


def reporter_for(progress: bool | Console) -> Reporter:
    return Reporter(console=progress) if _is_console(progress) else Reporter(shown=bool(progress))
