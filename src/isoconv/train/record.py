"""Writes the receipt of a run, epoch by epoch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.plain import canonical
from isoconv.train.began import COMPARED
from isoconv.train.checkpoint import RunFolder
from isoconv.train.differing import difference_table, differing
from isoconv.train.files import canonical_json
from isoconv.train.layout import NO_METRICS, exact_metrics, head_of
from isoconv.train.receipt import Receipt, receipt_digest
from isoconv.train.state import Checkpoint
from isoconv.train.stretches import Stretches


def tensors_of(checkpoint: Checkpoint) -> dict[str, Array]:
    """Parameters in the order of the trace, then states, then the optimizer's vectors.

    Parameters and states go by their names, a vector as ``"velocity of 0.weight"``.
    """
    return {**checkpoint.weights, **_vectors(checkpoint)}


def optimizer_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of the optimizer's vectors, taken as that of weights."""
    return storage.digest(_vectors(checkpoint))


def _vectors(checkpoint: Checkpoint) -> dict[str, Array]:
    return {
        f"{slot} of {name}": array
        for slot, vectors in checkpoint.slots.items()
        for name, array in vectors.items()
    }


def details_of(checkpoint: Checkpoint, losses: Iterable[float]) -> dict[str, Any]:
    """The line of ``steps.jsonl`` for the end of an epoch.

    Args:
        checkpoint: after the epoch.
        losses: of its steps, each the float32 sum over the batch.
    """
    return {
        "epoch": checkpoint.epoch,
        "losses": [short_hex(loss) for loss in losses],
        "tensors": [
            [name, storage.digest({name: array})] for name, array in tensors_of(checkpoint).items()
        ],
    }


def entry_of(
    checkpoint: Checkpoint, row: Mapping[str, Any], details: Mapping[str, Any]
) -> dict[str, Any]:
    """What the receipt says of an epoch.

    Args:
        checkpoint: after the epoch.
        row: of the history; empty before the first epoch.
        details: from `details_of`.
    """
    return {
        "epoch": checkpoint.epoch,
        "weights_sha256": storage.digest(checkpoint.weights),
        "optimizer_sha256": optimizer_digest(checkpoint),
        "details_sha256": hashlib.sha256(canonical(details)).hexdigest(),
        "steps": len(details["losses"]),
        "metrics": exact_metrics(row),
        "readable": {name: value for name, value in row.items() if name not in NO_METRICS},
    }


def within_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the receipt says of a checkpoint within an epoch."""
    return {
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "weights_sha256": storage.digest(checkpoint.weights),
        "optimizer_sha256": optimizer_digest(checkpoint),
        "losses_sha256": hashlib.sha256(
            canonical([float(loss).hex() for loss in checkpoint.losses])
        ).hexdigest(),
        "sums": {name: float(value).hex() for name, value in sorted(checkpoint.sums.items())},
    }


def short_hex(value: float) -> str:
    """A float32 number in hexadecimal, without the zeros at the end.

    Example:
        >>> short_hex(0.75), short_hex(2.0)
        ('0x1.8p-1', '0x1p+1')
    """
    return re.sub(r"\.?0+p", "p", float(np.float32(value)).hex())


class Recorder:
    """Collects what a training leaves, and writes it into the run folder if there is one.

    The files are replaced before the checkpoint of the same epoch: a run killed in between has a
    receipt that is ahead of its checkpoint, and `resume` runs what is too much once more.

    Args:
        head: the receipt without its epochs, from `Prepared.receipt_head`.
        machine: for a person to read.
        folder: where to write, or None.

    Attributes:
        entries: what the receipt says of each epoch, the state before the first one at the front.
        details: lines of ``steps.jsonl``, likewise.
        losses: of the steps of the epoch under way.
        checkpoint: the state after the last epoch that was recorded.
        final: what came of the run at its end, or None.
        repeated: entries that a killed process wrote of an epoch that is run again; the files keep
            them until that has come to its end.
        within: what the receipt says of checkpoints within an epoch: of the one that is there, and
            of the one that is to take its place.
    """

    def __init__(
        self,
        head: Mapping[str, Any],
        machine: Mapping[str, Any],
        folder: RunFolder | None = None,
    ) -> None:
        self.head = dict(head)
        self.entries: list[dict[str, Any]] = []
        self.details: list[Mapping[str, Any]] = []
        self.repeated: list[dict[str, Any]] = []
        self._repeated_details: list[Mapping[str, Any]] = []
        self.losses: list[float] = []
        self.checkpoint: Checkpoint | None = None
        self._machine = dict(machine)
        self._folder = folder
        self.final: dict[str, Any] | None = None
        self.within: list[dict[str, Any]] = []

    def begin(self, start: Checkpoint) -> None:
        """Record the state before the first step."""
        self._add(start, {})

    def add_losses(self, losses: Iterable[float]) -> None:
        """Note the losses of some steps, each the sum over the batch."""
        self.losses.extend(float(loss) for loss in losses)

    def end_epoch(self, checkpoint: Checkpoint, row: Mapping[str, Any]) -> None:
        """Record the state after an epoch.

        Raises:
            CheckpointError: the files cannot be written.
        """
        self._add(checkpoint, row)

    def stand(self, checkpoint: Checkpoint) -> None:
        """Record a state within an epoch, before its checkpoint is written.

        Raises:
            CheckpointError: the files cannot be written.
        """
        self.within = [*self.within[-1:], within_of(checkpoint)]
        self._write()

    def end(self, final: Mapping[str, Any]) -> None:
        """Record that the run came to its end.

        Args:
            final: what came of it, as in run.json.

        Raises:
            CheckpointError: the file cannot be written.
        """
        # A finished run that is asked to go on keeps its receipt as it is.
        if self.final is None:
            self.final = dict(final)
            self.within, self.repeated, self._repeated_details = [], [], []
            self._write()

    def extend(self, settings: Mapping[str, Any]) -> None:
        """Record that a run is to have other epochs, before it is gone on with.

        Args:
            settings: those of the receipt from now on.

        Raises:
            CheckpointError: the files cannot be written.
        """
        self.head["settings"], self.final = dict(settings), None
        self._write()

    @property
    def epochs(self) -> int:
        """How many epochs the files vouch for, those that are run again among them."""
        return len(self.entries) + len(self.repeated) - 1

    @property
    def content(self) -> dict[str, Any]:
        """The receipt as it stands."""
        entries = [*self.entries, *self.repeated]
        content = {**self.head, "epochs": entries, "final": self.final}
        if self.within:
            content["within"] = self.within
        return {**content, "digest": receipt_digest(content), "machine": self._machine}

    def _add(self, checkpoint: Checkpoint, row: Mapping[str, Any]) -> None:
        details = details_of(checkpoint, self.losses)
        self.entries.append(entry_of(checkpoint, row, details))
        self.details.append(details)
        self.losses = []
        self.repeated, self._repeated_details = self.repeated[1:], self._repeated_details[1:]
        self.checkpoint = checkpoint
        self._write()

    def _write(self) -> None:
        if self._folder is None:
            return
        lines = b"".join(
            canonical(line) + b"\n" for line in (*self.details, *self._repeated_details)
        )
        self._folder.write(self._folder.steps_file, lines)
        self._folder.write(self._folder.receipt_file, canonical_json(self.content))

    def resume(self, start: Checkpoint) -> bool:
        """Take over what the folder's receipt says up to a checkpoint.

        Args:
            start: the checkpoint to go on from.

        Returns:
            Whether there is a receipt to go on with; a run whose receipt was deleted has none.

        Raises:
            CheckpointError: the receipt was edited, belongs to another run or to other arithmetic,
                or does not fit the checkpoint.
        """
        if self._folder is None or not self._folder.receipt_file.exists():
            return False
        receipt = Receipt.read(self._folder.path)
        receipt.check_arithmetic()
        extended = self._check_head(receipt)
        if receipt.problems or receipt.altered:
            raise CheckpointError("; ".join((*receipt.problems, *receipt.altered)))
        self._check_start(receipt, start)
        settings = self.head["settings"]
        self.head = head_of(receipt.content)
        self.entries = receipt.entries[: start.epoch + 1]
        self.repeated = receipt.entries[start.epoch + 1 :]
        self._repeated_details = [receipt.details[entry["epoch"]] for entry in self.repeated]
        self.details = [receipt.details[epoch] for epoch in range(start.epoch + 1)]
        self.losses = list(start.losses)
        self.final = receipt.content["final"]
        self.within = [within_of(start)] if start.step else []
        if extended:
            # It is not left behind: the line of an epoch more would not fit a run that has ended.
            self.extend(settings)
        return True

    def _check_head(self, receipt: Receipt) -> bool:
        """See that a receipt is this run's.

        Returns:
            Whether the run was to have other epochs than its receipt says, which a process that
            was killed did not come to write.

        Raises:
            CheckpointError: it is another run's.
        """
        wanted = {name: receipt.content[name] for name in COMPARED}
        here = Stretches.of(self.head["settings"])
        extended = receipt.stretches.may_become(here, receipt.epochs)
        if extended:
            own = {name: receipt.settings[name] for name in receipt.settings if name != "stretches"}
            wanted["settings"] = {**own, **here.plain()}
        found = list(differing(wanted, {name: self.head[name] for name in COMPARED}))
        if found:
            table = difference_table(found, "the receipt", "given")
            raise CheckpointError(
                f"{receipt.path} belongs to another run:\n{table}",
                path=receipt.path,
            )
        return extended

    @staticmethod
    def _check_start(receipt: Receipt, start: Checkpoint) -> None:
        if start.epoch > receipt.epochs:
            raise CheckpointError(
                f"{receipt.path} must reach the checkpoint, which stands after epoch "
                f"{start.epoch}; it ends with epoch {receipt.epochs}",
                path=receipt.path,
                epoch=start.epoch,
            )
        if receipt.finished and (start.epoch, start.step) != (receipt.epochs, 0):
            raise CheckpointError(
                f"{receipt.path} is of a run that ended after epoch {receipt.epochs}; the "
                f"checkpoint stands after {start.epoch} epochs and {start.step} steps",
                path=receipt.path,
                epoch=start.epoch,
            )
        if len(start.losses) != start.step:
            raise CheckpointError(
                f"the checkpoint of {receipt.folder} must hold a loss for each of its "
                f"{start.step} steps; it holds {len(start.losses)}",
                path=receipt.folder,
            )
        for entry, row in zip(receipt.entries[1 : start.epoch + 1], start.history, strict=True):
            if exact_metrics(row) != entry["metrics"]:
                raise CheckpointError(
                    f"the checkpoint of {receipt.folder} is not that of its receipt: its history "
                    f"has other metrics of epoch {entry['epoch']}",
                    path=receipt.folder,
                )
        if start.step and within_of(start) not in receipt.content.get("within", []):
            raise CheckpointError(
                f"the checkpoint of {receipt.folder} is not that of its receipt: what it holds "
                f"after {start.step} steps of epoch {start.epoch + 1} was altered",
                path=receipt.folder,
            )
        entry = receipt.entries[start.epoch]
        found = {
            "weights_sha256": storage.digest(start.weights),
            "optimizer_sha256": optimizer_digest(start),
        }
        for name, digest in found.items():
            if start.step == 0 and digest != entry[name]:
                raise CheckpointError(
                    f"the checkpoint of {receipt.folder} is not that of its receipt: its {name} "
                    f"after epoch {start.epoch} must be {entry[name]}; it is {digest}",
                    path=receipt.folder,
                    epoch=start.epoch,
                )
