"""Trains a model on images: one call, the same bits on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isoconv.cards import Carded
from isoconv.checks import (
    LARGEST_SINGLE,
    check_count,
    check_flag,
    check_kind,
    check_number,
    check_text,
)
from isoconv.data import Augmentation, Splits
from isoconv.errors import ArgumentError, CheckpointError, as_given
from isoconv.nn import Module
from isoconv.progress import is_console
from isoconv.run.executor import ExecutorFactory
from isoconv.run.training import TrainingEngine
from isoconv.signals import Uninterrupted
from isoconv.train.began import COMPARED, Began
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.conduct import Conduct
from isoconv.train.differing import difference_table, differing, told
from isoconv.train.given import Given
from isoconv.train.graphs import Loss, LossName
from isoconv.train.learning_rate import Schedule
from isoconv.train.machine import machine_facts
from isoconv.train.metrics import Data
from isoconv.train.optim import Optimizer
from isoconv.train.plain_settings import check_facts, check_stored, from_plain, to_plain
from isoconv.train.prepare import Prepared
from isoconv.train.record import Recorder
from isoconv.train.run import Interrupted, Run, kept_by
from isoconv.train.session import SAVE_EVERY
from isoconv.train.settled import (
    SETTINGS,
    check_shard,
    checked_augmentation,
    checked_callbacks,
    checked_executor,
    checked_model,
    checked_normalise,
    settle,
)
from isoconv.train.shown import trainer_card
from isoconv.train.stretches import Stretches

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Trainer"]
__public__ = {"isoconv": ["Trainer"], "isoconv.train": ["Trainer"]}

OPTIONS = (
    "threads", "target", "executor", "callbacks", "progress", "keep_checkpoints", "save_every",
)  # fmt: skip
"""Settings that decide none."""


class Trainer(Carded, card=trainer_card):
    """Trains a model.

    The weights that come out are a function of the model, the data and the settings up to ``seed``
    (and of the epochs); threads, target and progress change no bit. What is not given follows from
    the training images when `fit` begins, by the rules of `Recipe`; it is said and kept in the run.

    Args:
        model: what to train, built for the images if it was not; or the name of a ready model
            (`isoconv.nn.models.MODELS`), made anew for the images of each `fit`; None for
            ``"small_resnet"``.
        optimizer: how parameters follow their gradients; None for AdamW.
        schedule: of the learning rate; None for one cycle. `isoconv.schedule.Constant` keeps it.
        loss: ``"cross_entropy"``, ``"mse"`` or ``"bce"``.
        label_smoothing: of cross-entropy, 0 to below 1.
        batch_size: images of a step; None: by the number of training images.
        shard_size: images that one thread takes at a time; batch statistics are over a shard. None
            for a quarter of the batch, at least 8 and at most 32.
        augmentation: random changes to training images; None for none, ``"auto"`` for those that
            suit the images.
        normalise: bring each channel to mean 0 and standard deviation 1 over the training images.
            A model that was trained with the normalisation of other images needs to be told:
            ``"keep"`` goes on with that one, ``"anew"`` takes that of these images.
        clip_norm: the greatest global norm of the gradient; a greater one is scaled down.
        seed: of the first weights, the order of images, augmentation and dropout; 64 bits.
        threads: number of threads, of which 4 per core are started at most; None for one per core.
        target: machine to compile for; None for the one at hand.
        executor: makes what runs the steps; by itself an engine of this process.
        callbacks: called at the start, after each epoch and at the end.
        progress: show a bar on a terminal and a line for each epoch elsewhere; False for silence;
            a `rich.console.Console` says where.
        keep_checkpoints: keep the state after each epoch in the run folder, so that a stretch of
            epochs can be verified on its own.
        save_every: seconds after which a checkpoint is saved within an epoch, so that no kill costs
            more; on a slow disk longer, so that saving takes a twentieth of the time at most.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> images = np.arange(128, dtype=np.uint8).reshape(8, 4, 4, 1)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
        >>> trainer = Trainer(model, batch_size=4, progress=False)
        >>> run = trainer.fit((images, [0, 1] * 4), epochs=2)
        >>> [row["epoch"] for row in run.history]
        [1, 2]
    """

    def __init__(
        self,
        model: Module | str | None = None,
        *,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        loss: LossName = "cross_entropy",
        label_smoothing: float = 0.0,
        batch_size: int | None = None,
        shard_size: int | None = None,
        augmentation: Augmentation | Literal["auto"] | None = "auto",
        normalise: bool | Literal["keep", "anew"] = True,
        clip_norm: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        target: str | None = None,
        executor: ExecutorFactory = TrainingEngine,
        callbacks: Iterable[Callback] = (),
        progress: bool | Console = True,
        keep_checkpoints: bool = False,
        save_every: float = SAVE_EVERY,
    ) -> None:
        self.given_model = checked_model(model)
        self.optimizer = optimizer
        self.schedule = schedule
        with as_given({"name": "loss"}):
            self.loss = Loss(loss, label_smoothing)
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size)
        self.shard_size = None if shard_size is None else check_count("shard_size", shard_size)
        self.augmentation = checked_augmentation(augmentation)
        self.normalise: bool | Literal["keep", "anew"] = checked_normalise(normalise)
        self.clip_norm = (
            None
            if clip_norm is None
            else check_number("clip_norm", clip_norm, above=0, most=LARGEST_SINGLE)
        )
        self.seed = check_count("seed", seed, least=0, below=2**64)
        self.threads = None if threads is None else check_count("threads", threads)
        self.target = None if target is None else check_text("target", target)
        self.executor = checked_executor(executor)
        self.callbacks = checked_callbacks(callbacks)
        self.progress = progress if is_console(progress) else check_flag("progress", progress)
        self.keep_checkpoints = check_flag("keep_checkpoints", keep_checkpoints)
        self.save_every = check_number("save_every", save_every, least=0)
        self._check()

    def _check(self) -> None:
        if self.batch_size is not None and self.shard_size is not None:
            check_shard(self.shard_size, self.batch_size)
        what = "an optimizer such as ic.optim.Adam(0.002), or None"
        check_kind("optimizer", self.optimizer, Optimizer | None, what)  # type: ignore[arg-type]
        what = "a schedule such as Cosine(), or None"
        check_kind("schedule", self.schedule, Schedule | None, what)  # type: ignore[arg-type]

    @property
    def model(self) -> Module:
        """What is trained.

        Raises:
            ArgumentError: it was given by its name: each `fit` makes one, and its run holds it.
        """
        if not isinstance(self.given_model, Module):
            raise ArgumentError(
                "a model that is given by its name, or not at all, is made for the images of each "
                "fit: the run that fit gives back holds it",
                argument="model",
                value=self.given_model,
            )
        return self.given_model

    def settings(self) -> dict[str, Any]:
        """All that decides the bits, as plain values; None or "auto": what suits the images."""
        return {name: to_plain(getattr(self, name)) for name in SETTINGS}

    @classmethod
    def from_run(cls, model: Module | str, folder: str | Path, **options: Any) -> Trainer:
        """A trainer with the settings of a run folder.

        Args:
            model: as the one that the run began with.
            folder: the run folder.
            options: ``threads``, ``target``, ``executor``, ``callbacks``, ``progress``,
                ``save_every`` and ``keep_checkpoints``; what the run began with is kept up anyhow.

        Raises:
            ArgumentError: another option, or one outside its range.
            CheckpointError: the folder holds no run that can be read.
        """
        with as_given({"path": "folder"}):
            plain = RunFolder(folder).description().get("settings")
        return cls.from_settings(model, plain, str(folder), **options)

    @classmethod
    def from_settings(cls, model: Module | str, plain: Any, title: str, **options: Any) -> Trainer:
        """A trainer from what `settings` gave.

        Args:
            model: what to train.
            plain: the settings, perhaps from a stranger.
            title: where they stood, for messages.
            options: as for `from_run`.

        Raises:
            ArgumentError: another option, or one outside its range.
            CheckpointError: the settings cannot be read.
        """
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise ArgumentError(
                f"besides its own settings a run takes {', '.join(OPTIONS)}; got "
                f"{', '.join(unknown)}",
                argument=unknown[0],
                value=options[unknown[0]],
            )
        # What is wrong with these is no fault of the settings.
        cls(model, **options)
        try:
            given = {
                name: from_plain(value)
                for name, value in dict(plain).items()
                if name not in ("epochs", "early_stopping", "stretches")
            }
            wrong = set(given).symmetric_difference(SETTINGS)
            if wrong:
                raise ArgumentError(f"missing or unknown {', '.join(sorted(wrong))}")
            loss = given.pop("loss")
            return cls(
                model, loss=loss.name, label_smoothing=loss.label_smoothing, **given, **options
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the settings of {title} cannot be read: {error}") from error

    def fit(
        self,
        train: Data | Splits,
        validation: Data | None = None,
        test: Data | None = None,
        *,
        epochs: int | None = None,
        out: str | Path | RunFolder | None = None,
        early_stopping: EarlyStopping | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """Train from the model's weights, or from fresh ones if it has none.

        Args:
            train: a data set, or images ``(N, H, W, C)`` and labels; or `isoconv.data.Splits`,
                which hold all three parts. Classes are matched by name: with those of a model that
                was trained before, and of the other parts with those of this one.
            validation: images that are measured after each epoch and never learned from; early
                stopping and the best epoch go by them.
            test: images that are measured once, at the end.
            epochs: how often to go through the images; None: by their number.
            out: a new folder for settings, metrics, checkpoints and weights, or a `RunFolder` that
                is held already; None keeps nothing.
            early_stopping: when to end before.
            facts: plain values that are kept in run.json beside the settings.

        Returns:
            The run; the model holds the weights of the last step, or of the best epoch if early
            stopping restores it (``run.kept_epoch`` tells).

        Raises:
            ArgumentError: a setting outside its range or, with a folder, one that cannot be kept in
                it; or a folder that holds a run.
            DataError: images or labels that do not fit the model, or one class alone.
            ShapeError: images that a layer does not take.
            NotFiniteError: a loss is infinite or not a number; its ``run`` holds what came before.
            CheckpointError: the folder cannot be written, another process trains into it, or it was
                removed meanwhile.
            Interrupted: Ctrl-C was pressed, or the process was asked to end; it is a
                KeyboardInterrupt, and `resume` goes on. Of a start without a step nothing is left.
        """
        if epochs is not None:
            epochs = check_count("epochs", epochs, below=2**32)
        if out is None:
            facts = check_facts(facts)
            return self._begin(train, validation, test, epochs, None, early_stopping, facts)
        with as_given({"path": "out"}):
            folder = out if isinstance(out, RunFolder) else RunFolder(out)
        with folder.begun():
            self._check_stored(str(folder.path), early_stopping)
            facts = check_facts(facts, str(folder.path))
            return self._begin(train, validation, test, epochs, folder, early_stopping, facts)

    def _begin(
        self,
        train: Data | Splits,
        validation: Data | None,
        test: Data | None,
        epochs: int | None,
        folder: RunFolder | None,
        early_stopping: EarlyStopping | None,
        facts: Mapping[str, Any],
    ) -> Run:
        names = self.given_model.class_names if isinstance(self.given_model, Module) else ()
        given = Given(train, validation, test, names=names or None)
        settled = settle(self, given.train, epochs)
        prepared = Prepared(settled, given)
        prepared.check_stopping(early_stopping)
        stretches = Stretches.single(settled.epochs)
        description = prepared.describe(stretches, early_stopping, settled.facts(facts))
        start = prepared.start()
        recorder = self._recorder(prepared, description, folder)
        run = Run(settled.model, description, folder, early_stopping)
        run.notes += [] if folder is None else folder.notes
        try:
            if folder is not None:
                folder.describes(prepared.facts.plain())
                folder.save_samples(given.listing, given.skipped)
                # Weights that no seed gives back must be kept, or nobody could verify the run.
                if self.keep_checkpoints or prepared.first_weights == "given":
                    folder.keep(start)
                folder.save(start)
            recorder.begin(start)
            if folder is not None:
                # What it announces is there before it.
                folder.describe(description)
            conduct = Conduct(settled, prepared, run, folder, recorder, keep=self.keep_checkpoints)
            return conduct.train(start)
        except (Exception, KeyboardInterrupt) as error:
            if not run.history and not kept_by(error, folder):
                # Nothing was learned, and what is left would stand in the way of the next call.
                prepared.unmark_model()
                if folder is not None:
                    with Uninterrupted():
                        folder.discard()
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted.without_a_step(run, error) from None
            raise

    def _check_stored(self, kept: str, stopping: EarlyStopping | None) -> None:
        """See that what is kept can be read back."""
        for name in ("optimizer", "schedule", "augmentation", "loss"):
            # What follows from the images can be kept, and "auto" and None are plain.
            check_stored(name, getattr(self, name), kept)
        check_stored("early_stopping", stopping, kept)

    def resume(
        self,
        out: str | Path,
        train: Data | Splits,
        validation: Data | None = None,
        test: Data | None = None,
        *,
        epochs: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Run:
        """Go on with a run to the same bits as if it had never been interrupted.

        What this trainer was not given is as it was in the run. With `epochs` a run that has ended
        goes on, too: the further epochs are a stretch with a schedule of its own from its start.
        That is another run than one of so many epochs from its beginning, as its receipt says. The
        weights that the run had come to stay in the folder until it has those of its new end.

        Args:
            out: the run folder.
            train: the data that the run began with.
            validation: likewise.
            test: likewise.
            epochs: that the run is to have in all; None: as many as it was to have. With more, a
                run that is not at its end yet comes to it first, as it would have; with fewer, down
                to those that it has, a stretch up to there begins at once, but for the epoch that
                is under way.
            facts: plain values that are kept in run.json of the wish for other epochs.

        Returns:
            The whole run; a finished one is given back as it is.

        Raises:
            ArgumentError: the run has more epochs than that.
            CheckpointError: the folder cannot be read, or settings, data, classes or model are
                others (what differs is shown as a table); or another process trains into it.
            NotFiniteError: as for `fit`; so are the rest.
        """
        if epochs is not None:
            epochs = check_count("epochs", epochs, below=2**32)
        with as_given({"path": "out"}):
            folder = RunFolder(out)
        facts = check_facts(facts, str(folder.path))
        Began.read(folder)
        with folder.gone_on():
            return self._go_on(folder, train, validation, test, epochs, facts)

    def _go_on(
        self,
        folder: RunFolder,
        train: Data | Splits,
        validation: Data | None,
        test: Data | None,
        epochs: int | None,
        facts: Mapping[str, Any],
    ) -> Run:
        # Another process may have gone on with it until now.
        began = Began.read(folder)
        given = Given.again(
            train, validation, test, began.class_names, str(folder.path), began.compared["data"]
        )
        settled = settle(self, given.train, began.stretches.epochs, began.compared["settings"])
        prepared = Prepared(settled, given, began.compared["record"])
        prepared.check_stopping(began.early_stopping)
        described = prepared.describe(began.stretches, began.early_stopping, began.facts)
        found = list(differing(began.compared, {name: described[name] for name in COMPARED}))
        if found:
            changed = folder.changes(given.parts) if _about_data(found) else []
            raise CheckpointError(
                f"{folder.path} can be gone on with as it began only; what differs:\n"
                + "\n".join([difference_table(found, "the run", "given"), *changed])
            )
        folder.describes(prepared.facts.plain())
        step = prepared.step
        start = folder.load(step.parameters, step.states, step.slots)
        prepared.check_history(start)
        began.check_unfinished(folder, start)
        receipt = self._recorder(prepared, described, folder)
        # A run whose receipt was deleted has none afterwards.
        recorder = receipt if receipt.resume(start) else None
        if recorder is not None and began.result not in (None, recorder.final):
            raise CheckpointError(
                f"{folder.run_file} must have the result that {folder.receipt_file.name} has, "
                f"{told(recorder.final)}; it has {told(began.result)}"
            )
        if epochs is not None:
            began = began.asked(folder, start, recorder, epochs, facts)
        # A process that was killed may not have come to it.
        folder.tidy(start)
        description = {
            name: began.description[name] for name in began.description if name != "stopped"
        }
        run = Run(settled.model, description, folder, began.early_stopping)
        run.stopped = began.stopped
        run.notes += [*folder.notes, *run.stretches.notes]
        for name, one, other in differing(began.versions, described["versions"]):
            run.notes.append(f"the run began with {name} {told(one)}, here is {told(other)}")
        keep = self.keep_checkpoints or began.keep_checkpoints
        conduct = Conduct(settled, prepared, run, folder, recorder, keep=keep, again=True)
        ended = began.result if recorder is None else recorder.final
        return conduct.train(start, ended)

    def _recorder(
        self, prepared: Prepared, description: Mapping[str, Any], folder: RunFolder | None
    ) -> Recorder:
        machine = {**machine_facts(self.threads, self.target), "data": prepared.data_names}
        return Recorder(prepared.receipt_head(description), machine, folder)


def _about_data(found: Sequence[tuple[str, Any, Any]]) -> bool:
    return any(place.startswith(("data", "samples_sha256")) for place, _, _ in found)
