"""Runs a training again and compares it with its receipt."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.errors import ArgumentError, CheckpointError, NotFiniteError
from isoconv.nn import Module, models, storage
from isoconv.train.callbacks import Callback, EarlyStopping
from isoconv.train.checkpoint import Checkpoint, RunFolder
from isoconv.train.compare import Difference, Side, compare_epochs, state_after
from isoconv.train.metrics import Data, as_dataset
from isoconv.train.prepare import Prepared
from isoconv.train.receipt import Receipt, differing
from isoconv.train.record import Recorder, tensors_of
from isoconv.train.run import Interrupted, Run
from isoconv.train.settings import from_plain
from isoconv.train.stored import check_files
from isoconv.train.trainer import Trainer, reporter_for

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Verification", "model_of", "verify"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying a run.

    Attributes:
        folder: the run folder.
        first: the first epoch that was run again, from 1.
        last: the last one.
        epochs: how many epochs the run was to have.
        weights: SHA-256 of the weights after `last`, as the receipt has it.
        difference: the first place at which the run differs from its receipt, or None.
        notes: what else there is to say.
    """

    folder: Path
    first: int
    last: int
    epochs: int
    weights: str
    difference: Difference | None = None
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether the receipt is true."""
        return self.difference is None

    def __str__(self) -> str:
        notes = [f"note: {note}" for note in self.notes]
        if self.difference is not None:
            lines = self.difference.lines("receipt", "found")
            return "\n".join([f"different: {self.folder}", *lines, *notes])
        if self.last < self.first:
            said = f"identical: {self.folder}, the state before the first step"
        else:
            span = f"epoch {self.first}" if self.first == self.last else (
                f"epochs {self.first} to {self.last}"
            )  # fmt: skip
            said = f"identical: {self.folder}, {span} of {self.epochs}"
        return "\n".join([said, f"weights sha256:{self.weights}", *notes])


def verify(
    folder: str | Path,
    model: Module | None,
    train: Data,
    validation: Data | None = None,
    *,
    epochs: tuple[int, int] | None = None,
    threads: int | None = None,
    target: str | None = None,
    progress: bool | Console = False,
) -> Verification:
    """Check a run folder against its receipt, then run the training again and compare.

    Nothing in the folder is changed, nor is the model. The files are compared first, for that
    needs no training; then each epoch, until one differs.

    Args:
        folder: the run folder. Only ``receipt.json`` must be there; ``steps.jsonl`` serves to name
            steps and tensors, checkpoints to name elements and to begin in the middle.
        model: as the one that was trained; None if it was one of the ready models by name.
        train: the data that the run was trained on.
        validation: the data that it was measured with, if there were any.
        epochs: the first and the last epoch to run, from 1; None for all. A first one above 1
            needs the checkpoint of the epoch before (``keep_checkpoints``).
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        progress: as for the trainer.

    Returns:
        *identical*, or the first difference.

    Raises:
        CheckpointError: nothing can be said: the receipt is missing, truncated, edited or of
            another arithmetic version, a checkpoint is missing, or data or model are others.
        ArgumentError: epochs that the run does not have.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from isoconv import nn
        >>> data = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1), [0, 1, 0, 1]
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> run = Trainer(model, batch_size=2, progress=False).fit(data, epochs=2, out=folder)
        >>> verify(folder, model, data).identical
        True
    """
    receipt = Receipt.read(folder)
    receipt.check_arithmetic()
    _check_stopping(receipt)
    first, last = _span(receipt, epochs)
    _check_data(receipt, train, validation)
    found, notes = check_files(receipt)
    notes = [*receipt.problems, *notes]
    if found is None:
        again = _Again(receipt, model, train, validation, threads, target)
        found = again.run(first, last, progress)
        notes += again.notes
    if not receipt.finished:
        notes.append(f"the run has not ended: {receipt.epochs} of {receipt.planned} epochs so far")
    elif receipt.epochs < receipt.planned:
        notes.append(f"the run was ended after {receipt.epochs} of {receipt.planned} epochs")
    return Verification(
        folder=Path(folder),
        first=first,
        last=last,
        epochs=receipt.planned,
        weights=receipt.entries[last]["weights_sha256"],
        difference=found,
        notes=tuple(notes),
    )


def model_of(receipt: Receipt) -> Module:
    """The ready model that a run trained, not yet built.

    Raises:
        CheckpointError: the run trained a model of its own.
    """
    described = receipt.content["model"]
    name = described["name"]
    if name not in models.MODELS:
        raise CheckpointError(
            f"{receipt.folder} was trained with a model of its own"
            + ("" if name is None else f", {name!r}")
            + ", which must be given: isoconv.train.verify(folder, model, train, validation)"
        )
    return models.create(name, described["output_shape"][-1], tuple(described["input_shape"]))


def _span(receipt: Receipt, epochs: tuple[int, int] | None) -> tuple[int, int]:
    if epochs is None:
        return 1, receipt.epochs
    first, last = epochs
    if not 1 <= first <= last <= receipt.epochs:
        raise ArgumentError(
            f"epochs must lie in 1 … {receipt.epochs}, the first no later than the last; got "
            f"{first}-{last}"
        )
    return first, last


def _check_stopping(receipt: Receipt) -> None:
    """See that the run did not go on after its early stopping had ended it."""
    stopping = from_plain(receipt.settings.get("early_stopping"))
    if not isinstance(stopping, EarlyStopping):
        return
    try:
        history = [
            {stopping.metric: float.fromhex(entry["metrics"][stopping.metric])}
            for entry in receipt.entries[1:]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"receipt {receipt.path} cannot be read: its early stopping needs {error!r}"
        ) from error
    for epochs in range(1, len(history)):
        if stopping.stops(history[:epochs]):
            raise CheckpointError(
                f"receipt {receipt.path} contradicts itself: by its early stopping the run ends "
                f"after epoch {epochs}; it has {len(history)}"
            )


def _check_data(receipt: Receipt, train: Data, validation: Data | None) -> None:
    """See that the data are those of the run, before anything is built for them."""
    given = {"train": as_dataset(train, "training data")}
    if validation is not None:
        given["validation"] = as_dataset(validation, "validation data")
    wanted = receipt.content["data"]
    problems = []
    for part in ("train", "validation"):
        title = "training data" if part == "train" else "validation data"
        if (part in wanted) != (part in given):
            had, given_now = ("has", "none are") if part in wanted else ("has no", "some are")
            problems.append(f"the run {had} {title}, {given_now} given")
        elif part in wanted and wanted[part] != {
            "samples": len(given[part]),
            "sha256": given[part].digest(),
        }:
            problems.append(
                f"{title}: the run has {wanted[part]['samples']} samples of sha256 "
                f"{wanted[part]['sha256']}, given are {len(given[part])} of {given[part].digest()}"
            )
    if problems:
        raise CheckpointError(
            f"{receipt.folder} can be verified with its own data only: {' | '.join(problems)}"
        )


class _Again:
    """A run's training, done again beside its receipt."""

    def __init__(
        self,
        receipt: Receipt,
        model: Module | None,
        train: Data,
        validation: Data | None,
        threads: int | None,
        target: str | None,
    ) -> None:
        self.notes: list[str] = []
        self._receipt = receipt
        self._given = model
        settings = receipt.settings
        settings.pop("early_stopping", None)
        self._epochs = int(settings.pop("epochs"))
        fresh = copy.deepcopy(model) if model is not None else model_of(receipt)
        # The trainer keeps the weights of a built model, so it is built anew here.
        fresh.build(as_dataset(train, "training data").image_shape, _seed(receipt))
        self._trainer = Trainer.from_settings(
            fresh, settings, str(receipt.path), threads=threads, target=target
        )
        self._prepared = Prepared(self._trainer, train, validation)
        described = self._prepared.describe(self._epochs, None, {})
        self._head = self._prepared.receipt_head(described)
        self._run = Run(fresh, described)

    def run(self, first: int, last: int, progress: bool | Console) -> Difference | None:
        """Run some epochs and give back the first difference."""
        self._check_model()
        found = self._check_normalisation()
        if found is not None:
            return found
        start = self._start(first - 1)
        recorder = Recorder(self._head, {})
        if first == 1:
            recorder.begin(start)
            found = self._compare(recorder, 0)
        if found is not None or last < first:
            return found
        watch = _Watch(recorder, self._compare, last)
        self._trainer.callbacks = (watch,)
        plan = self._prepared.plan(self._epochs, None)
        reporter = reporter_for(progress)
        try:
            self._trainer.loop(self._prepared, plan, self._run, None, start, reporter, recorder)
        except Interrupted:
            done = self._run.history[-1]["epoch"] if self._run.history else first - 1
            raise KeyboardInterrupt(
                f"interrupted after epoch {done}; no difference up to there"
            ) from None
        except NotFiniteError as error:
            epoch = start.epoch + len(self._run.history) + 1
            return Difference(f"epoch {epoch}", epoch, note=str(error))
        return watch.found

    def _compare(self, recorder: Recorder, epoch: int) -> Difference | None:
        receipt = self._receipt
        recorded = Side(
            receipt.entries[epoch],
            receipt.details.get(epoch),
            lambda: state_after(receipt, epoch),
        )
        here = Side(recorder.entries[-1], recorder.details[-1], lambda: recorder.checkpoint)
        return compare_epochs(recorded, here)

    def _check_model(self) -> None:
        wanted, given = self._receipt.content["model"], self._head["model"]
        names = ("input_shape", "output_shape", "parameters", "states", "layers")
        found = [
            f"{place}: the run has {one!r}, given is {other!r}"
            for place, one, other in differing(
                {name: wanted.get(name) for name in names}, {name: given[name] for name in names}
            )
        ]
        if found:
            raise CheckpointError(
                f"{self._receipt.folder} can be verified with its own model only: "
                + " | ".join(found)
            )
        if wanted.get("graph_sha256") != given["graph_sha256"]:
            self.notes.append(
                "the training graph that this isoconv makes of the model is another one: sha256 "
                f"{wanted.get('graph_sha256')} in the receipt, {given['graph_sha256']} here"
            )

    def _check_normalisation(self) -> Difference | None:
        wanted, given = self._receipt.content["normalisation"], self._head["normalisation"]
        for place, one, other in differing(wanted, given, "normalisation"):
            note = f"{place}: receipt {one}, found {other}"
            return Difference("the state before the first step", 0, note=note)
        return None

    def _start(self, epoch: int) -> Checkpoint:
        """The state to begin from: a checkpoint, or first weights as the run had them."""
        receipt, wanted = self._receipt, self._receipt.entries[epoch]["weights_sha256"]
        if epoch > 0:
            return self._fitting(RunFolder(receipt.folder).load_kept(epoch))
        fresh = self._prepared.start()
        if receipt.content["start"] == "seed":
            return fresh
        if storage.digest(fresh.weights) == wanted:
            raise CheckpointError(
                f"receipt {receipt.path} contradicts itself: its first weights are those of the "
                f"seed; it says {receipt.content['start']!r}"
            )
        if self._given is not None and storage.digest(self._given.weights) == wanted:
            self._trainer.model.load_weights(self._given.weights)
            return self._prepared.start()
        if 0 in RunFolder(receipt.folder).kept_epochs():
            return self._fitting(RunFolder(receipt.folder).load_kept(0))
        raise CheckpointError(
            f"{receipt.folder} began with weights of its own, sha256 {wanted}: give a model that "
            "holds them, or keep checkpoints/epoch-00000.safetensors"
        )

    def _fitting(self, kept: Checkpoint) -> Checkpoint:
        """A checkpoint whose digests `check_files` has compared, in the order of the trace."""
        step = self._prepared.step
        given = {name: array.shape for name, array in tensors_of(kept).items()}
        wanted = {**step.parameters, **step.states}
        for slot in step.slots:
            wanted |= {f"{slot} of {name}": shape for name, shape in step.parameters.items()}
        if given != wanted:
            raise CheckpointError(
                f"the checkpoint of {self._receipt.folder} after epoch {kept.epoch} belongs to "
                "another model"
            )
        return replace(
            kept,
            parameters={name: kept.parameters[name] for name in step.parameters},
            states={name: kept.states[name] for name in step.states},
            slots={
                slot: {name: kept.slots[slot][name] for name in step.parameters}
                for slot in step.slots
            },
        )


def _seed(receipt: Receipt) -> int:
    seed = receipt.settings.get("seed")
    if not isinstance(seed, int):
        raise CheckpointError(f"receipt {receipt.path} cannot be read: its seed is {seed!r}")
    return seed


class _Watch(Callback):
    """Compares each epoch and ends the training at the first that differs, or after the last."""

    def __init__(self, recorder: Recorder, compare: Any, last: int) -> None:
        self.found: Difference | None = None
        self._recorder = recorder
        self._compare = compare
        self._last = last

    def on_epoch_end(self, run: Run, row: Row) -> None:
        """Compare the epoch with the receipt's."""
        epoch = int(row["epoch"])
        self.found = self._compare(self._recorder, epoch)
        if self.found is not None or epoch >= self._last:
            run.stop("verified")
