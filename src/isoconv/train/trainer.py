"""Trains a model on images: one call, the same bits on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoconv.cards import Carded
from isoconv.checks import check_count
from isoconv.checks import settle as settle_record
from isoconv.data import Splits
from isoconv.errors import ArgumentError, CheckpointError, as_given
from isoconv.nn import Module
from isoconv.signals import Uninterrupted
from isoconv.train.began import COMPARED, Began
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.conduct import Conduct
from isoconv.train.context import TrainingContext
from isoconv.train.differing import difference_table, differing, told
from isoconv.train.given import Given
from isoconv.train.layout import FROM
from isoconv.train.machine import machine_facts
from isoconv.train.metrics import Data
from isoconv.train.plain_settings import check_facts, check_stored
from isoconv.train.prepare import Prepared
from isoconv.train.record import Recorder
from isoconv.train.run import Interrupted, Run, kept_by
from isoconv.train.settings import OPTIONS, STORED, TrainSettings, read_settings, told_settings
from isoconv.train.settled import checked_model, settle
from isoconv.train.shown import trainer_card
from isoconv.train.start import Start
from isoconv.train.stretches import Stretches
from isoconv.wording import named

__public__ = {"isoconv": ["Trainer"], "isoconv.train": ["Trainer"]}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Trainer(Carded, TrainSettings, card=trainer_card):
    """Trains a model.

    The weights that come out are a function of the model, the data and the settings up to ``seed``
    (and of the epochs); threads, target and progress change no bit. What is not given follows from
    the training images when `fit` begins, by the rules of `Recipe`; it is said and kept in the run.

    Args:
        model: what to train, built for the images if it was not; or the name of a ready model
            (`isoconv.nn.models.ALL_MODELS`), made anew for the images of each `fit`; None for
            ``"small_resnet"``.
        {settings}

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

    model: Module | str | None = field(default=None, kw_only=False)

    def __post_init__(self) -> None:
        settle_record(self, model=checked_model(self.model))
        super().__post_init__()
        if self.start is not None and self.model is not None:
            raise ArgumentError(
                f"{named('start')} brings a model of its own: leave {named('model')} out; got both",
                argument="start",
                value=self.start,
            )

    def settings(self) -> dict[str, Any]:
        """All that decides the bits, as plain values; None or "auto": what suits the images."""
        return self.plain()

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
        return cls(model, **read_settings(plain, title), **options)

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
        names = self.model.class_names if isinstance(self.model, Module) else ()
        start = None if self.start is None else Start.of(self.start)
        alike = () if start is None else start.model.class_names
        given = Given(train, validation, test, names=names or None, alike=alike)
        settled = settle(self, self.model, given.train, epochs, start=start)
        prepared = Prepared(settled, given)
        prepared.check_stopping(early_stopping)
        stretches = Stretches.single(settled.epochs)
        description = prepared.describe(stretches, early_stopping, settled.facts(facts))
        first = prepared.start()
        recorder = self._recorder(prepared, description, folder)
        run = Run(settled.model, description, folder, early_stopping)
        run.notes += [] if folder is None else folder.notes
        try:
            if folder is not None:
                folder.describes(prepared.facts.plain())
                folder.save_samples(given.listing, given.skipped)
                # Weights that no seed gives back must be kept, or nobody could verify the run.
                if self.keep_checkpoints or prepared.first_weights == "given":
                    folder.keep(first)
                folder.save(first)
            recorder.begin(first)
            if folder is not None:
                # What it announces is there before it.
                folder.describe(description)
            context = TrainingContext(
                settled, prepared, run, folder, recorder, self.keep_checkpoints
            )
            return Conduct(context).train(first)
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
        for name in STORED:
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
        settled = settle(
            self,
            self.model,
            given.train,
            began.stretches.epochs,
            began.compared["settings"],
            None if self.start is None else Start.of(self.start),
        )
        prepared = Prepared(settled, given, began.compared["record"])
        prepared.check_stopping(began.early_stopping)
        described = prepared.describe(began.stretches, began.early_stopping, began.facts)
        # What it began from is compared where that is at hand again.
        given_now = {name: described[name] for name in (*COMPARED, FROM) if name in described}
        then = {name: value for name, value in began.description.items() if name in given_now}
        found = list(differing(then, given_now))
        if found:
            changed = folder.changes(given.parts) if _about_data(found) else []
            raise CheckpointError(
                f"{folder.path} can be gone on with as it began only; what differs:\n"
                + "\n".join([difference_table(found, "the run", "given"), *changed]),
                path=folder.path,
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
                f"{told(recorder.final)}; it has {told(began.result)}",
                path=folder.run_file,
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
        context = TrainingContext(settled, prepared, run, folder, recorder, keep)
        ended = began.result if recorder is None else recorder.final
        return Conduct(context, again=True).train(start, ended)

    def _recorder(
        self, prepared: Prepared, description: Mapping[str, Any], folder: RunFolder | None
    ) -> Recorder:
        machine = {**machine_facts(self.threads, self.target), "data": prepared.data_names}
        return Recorder(prepared.receipt_head(description), machine, folder)


# What each setting means stands in its record alone.
Trainer.__doc__ = (Trainer.__doc__ or "").replace("{settings}", told_settings(" " * 8).lstrip())


def _about_data(found: Sequence[tuple[str, Any, Any]]) -> bool:
    return any(place.startswith(("data", "samples_sha256")) for place, _, _ in found)
