"""Runs a training again and compares it with its receipt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.checks import check_count, check_kind, refusal, whole
from isoconv.data import Splits
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import Module
from isoconv.printable import printable_lines
from isoconv.run.pieces import Machines, check_machines
from isoconv.train.checkpoint import RunFolder
from isoconv.train.compare import Difference
from isoconv.train.given import TITLES, Given
from isoconv.train.metrics import Data
from isoconv.train.piecewise import Again, run_pieces
from isoconv.train.receipt import Receipt
from isoconv.train.rerun import Rerun
from isoconv.train.settings import TrainSettings
from isoconv.train.stored import check_files

if TYPE_CHECKING:
    from rich.console import Console

__public__ = {"isoconv.train": ["*"]}


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
        compared: the files of the folder that were compared with the receipt.
        whole: whether all of the run was checked: it has ended, all its epochs were trained again,
            and all its files are there and were compared.
        notes: what else there is to say.
    """

    folder: Path
    first: int
    last: int
    epochs: int
    weights: str
    difference: Difference | None = None
    compared: tuple[str, ...] = ()
    whole: bool = False
    notes: tuple[str, ...] = ()

    @property
    def different(self) -> bool:
        """Whether the run, or a file of it, is not what the receipt says."""
        return self.difference is not None

    @property
    def identical(self) -> bool:
        """Whether all of the run was checked, and is what the receipt says.

        A part of a run that agrees with its receipt is neither different nor identical.
        """
        return self.whole and not self.different

    def __str__(self) -> str:
        return printable_lines("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        notes = [f"note: {note}" for note in self.notes]
        if self.difference is not None:
            lines = self.difference.lines("receipt", "found")
            return [f"different: {self.folder}", *lines, *notes]
        span = f"epochs {self.first} to {self.last} of {self.epochs}"
        if self.last < self.first:
            span = "the state before the first step"
        elif self.first == self.last:
            span = f"epoch {self.first} of {self.epochs}"
        weights = f"weights sha256:{self.weights}"
        if self.whole:
            return [f"identical: {self.folder}, {span}", weights, *notes]
        return [
            f"no difference found: {self.folder}, not all of which was checked",
            f"trained again: {span}",
            f"compared with the receipt: {', '.join(self.compared)}",
            weights,
            *notes,
        ]


def verify(
    folder: str | Path,
    model: Module | None,
    train: Data | Splits,
    validation: Data | None = None,
    test: Data | None = None,
    *,
    epochs: tuple[int, int] | None = None,
    workers: int = 1,
    cluster: Machines | None = None,
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
        model: as the one that was trained; None if it is made of the library's own layers.
        train: the data that the run was trained on, or `isoconv.data.Splits` of all parts.
        validation: the data that it was measured with after each epoch, if there were any.
        test: the data that it was measured with at the end, if there were any.
        epochs: the first and the last epoch to run, from 1; None for all. A first one above 1
            needs the checkpoint of the epoch before (``keep_checkpoints``).
        workers: number of processes that train epochs again at the same time, each from a
            checkpoint that was kept; what is found is the same with any number.
        cluster: `isoconv.Cluster` whose workers do that in their place; they need not see the
            folder. A difference that one finds is trained once more here.
        threads: number of threads of each process; None for one per core in all.
        target: machine to compile for; None for the one at hand.
        progress: as for the trainer.

    Returns:
        *identical*, or the first difference; where not all of the run was checked, neither of them,
        but what was compared and what was not.

    Raises:
        CheckpointError: nothing can be said: the receipt is missing, truncated, edited or of
            another arithmetic version, a checkpoint is missing, or data or model are others.
        ArgumentError: epochs that the run does not have; or a model whose class no other process
            can import, for several workers; or workers beside a cluster.
        TrainingError: a process that worked is gone; no cluster answers, or nobody there can work.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from isoconv import nn
        >>> from isoconv.train import Trainer
        >>> data = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1), [0, 1, 0, 1]
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2))
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> run = Trainer(model, batch_size=2, progress=False).fit(data, epochs=2, out=folder)
        >>> verify(folder, model, data).identical
        True
    """
    if model is not None:
        check_kind("model", model, Module, "a Module, or None")
    workers = check_count("workers", workers)
    check_machines(cluster, workers)
    machine = TrainSettings(threads=threads, target=target, progress=progress)
    receipt = Receipt.read(folder)
    receipt.check_arithmetic()
    _check_stopping(receipt)
    first, last = _span(receipt, epochs)
    given = _given(receipt, train, validation, test)
    files = check_files(receipt)
    found, notes = files.difference, [*receipt.problems]
    notes += [f"{name} is not there" for name in files.missing]
    if found is None:
        rerun = Rerun(receipt, model, given, machine, files.free)
        if workers == 1 and cluster is None:
            found = rerun.run(first, last)
        else:
            work = Again(receipt, model, given, machine)
            found = run_pieces(rerun, work, first, last, workers, cluster)
        notes += rerun.notes
    notes.append(str(files.free))
    skipped = receipt.epochs - (last - first + 1)
    if skipped:
        were = "epoch was" if skipped == 1 else "epochs were"
        notes.append(f"{skipped} {were} not trained again")
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
        compared=tuple(files.compared),
        whole=not (
            skipped or files.missing or receipt.problems or files.free.left or not receipt.finished
        ),
        notes=tuple(notes),
    )


def _span(receipt: Receipt, epochs: tuple[int, int] | None) -> tuple[int, int]:
    if epochs is None:
        return 1, receipt.epochs
    pair = epochs if isinstance(epochs, (tuple, list)) else ()
    numbers = [number for epoch in pair if (number := whole(epoch)) is not None]
    if not len(pair) == len(numbers) == 2:
        raise refusal("epochs", "be a pair (first, last) or None", epochs)
    first, last = numbers
    if not 1 <= first <= last <= receipt.epochs:
        raise ArgumentError(
            f"epochs must lie in 1 … {receipt.epochs}, the first no later than the last; got "
            f"{first}-{last}",
            argument="epochs",
            value=epochs,
        )
    return first, last


def _check_stopping(receipt: Receipt) -> None:
    """See that the run did not go on after its early stopping had ended it."""
    stopping, history = receipt.stopping, receipt.history
    if stopping is None or not history:
        return
    if stopping.metric not in history[0]:
        raise CheckpointError(
            f"receipt {receipt.path} cannot be read: its early stopping needs {stopping.metric!r}",
            path=receipt.path,
        )
    for epochs in range(1, len(history)):
        if receipt.stretches.stops(stopping, history[:epochs]):
            raise CheckpointError(
                f"receipt {receipt.path} contradicts itself: by its early stopping the run ends "
                f"after epoch {epochs}; it has {len(history)}",
                path=receipt.path,
            )


def _given(
    receipt: Receipt, train: Data | Splits, validation: Data | None, test: Data | None
) -> Given:
    """The data, seen to be those of the run before anything is built for them."""
    names = receipt.content["record"]["class_names"]
    wanted = receipt.content["data"]
    given = Given.again(train, validation, test, tuple(names), str(receipt.folder), wanted)
    problems = []
    for part, title in TITLES.items():
        if (part in wanted) != (part in given.parts):
            had, given_now = ("has", "none are") if part in wanted else ("has no", "some are")
            problems.append(f"the run {had} {title}, {given_now} given")
        elif part in wanted:
            here = given.digests[part]
            if wanted[part] != here:
                problems.append(
                    f"{title}: the run has {wanted[part]['samples']} samples of sha256 "
                    f"{wanted[part]['sha256']}, given are {here['samples']} of {here['sha256']}"
                )
    if problems:
        changes = RunFolder(receipt.folder).changes(given.parts, receipt.content["samples_sha256"])
        raise CheckpointError(
            "\n".join(
                [
                    f"{receipt.folder} can be verified with its own data only; what differs:",
                    *changes,
                    *problems,
                ]
            ),
            path=receipt.folder,
        )
    return given
