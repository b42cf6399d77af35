"""Writes the receipt of a run, epoch by epoch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import CheckpointError
from isoconv.nn import storage
from isoconv.train.checkpoint import Checkpoint, RunFolder
from isoconv.train.files import write_bytes, write_json
from isoconv.train.receipt import NO_METRICS, Receipt, canonical, exact_metrics, receipt_digest
from isoconv.train.receipt import differing as places_that_differ

__all__ = ["Recorder", "details_of", "entry_of", "optimizer_digest", "tensors_of"]

Array = NDArray[Any]


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
    receipt that is ahead of its checkpoint, and `resume` drops what is too much.

    Args:
        head: the receipt without its epochs, from `Prepared.receipt_head`.
        machine: for a person to read.
        folder: where to write, or None.

    Attributes:
        entries: what the receipt says of each epoch, the state before the first one at the front.
        details: lines of ``steps.jsonl``, likewise.
        losses: of the steps of the epoch under way.
        checkpoint: the state after the last epoch that was recorded.
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
        self.losses: list[float] = []
        self.checkpoint: Checkpoint | None = None
        self._machine = dict(machine)
        self._folder = folder
        self._final: dict[str, Any] | None = None

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

    def finish(self) -> None:
        """Record that the run came to its end.

        Raises:
            CheckpointError: the file cannot be written.
        """
        # A finished run that is asked to go on keeps its receipt as it is.
        if self._final is None:
            last = self.entries[-1]
            self._final = {"epochs": last["epoch"], "weights_sha256": last["weights_sha256"]}
            self._write()

    @property
    def content(self) -> dict[str, Any]:
        """The receipt as it stands."""
        content = {**self.head, "epochs": self.entries, "final": self._final}
        return {**content, "digest": receipt_digest(content), "machine": self._machine}

    def _add(self, checkpoint: Checkpoint, row: Mapping[str, Any]) -> None:
        details = details_of(checkpoint, self.losses)
        self.entries.append(entry_of(checkpoint, row, details))
        self.details.append(details)
        self.losses = []
        self.checkpoint = checkpoint
        self._write()

    def _write(self) -> None:
        if self._folder is None:
            return
        lines = b"".join(canonical(line) + b"\n" for line in self.details)
        write_bytes(self._folder.steps_file, lines)
        write_json(self._folder.receipt_file, self.content)

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
            # Killed before the receipt's first writing, the run begins it anew.
            if start.epoch == start.step == 0:
                self.begin(start)
                return True
            return False
        receipt = Receipt.read(self._folder.path)
        receipt.check_arithmetic()
        self._check_head(receipt)
        if receipt.problems:
            raise CheckpointError("; ".join(receipt.problems))
        self._check_start(receipt, start)
        self.head = {name: receipt.content[name] for name in self.head}
        self.entries = receipt.entries[: start.epoch + 1]
        self.details = [receipt.details[epoch] for epoch in range(start.epoch + 1)]
        self.losses = list(start.losses)
        self._final = receipt.content["final"]
        return True

    def _check_head(self, receipt: Receipt) -> None:
        names = ("settings", "data", "normalisation")
        wanted = {name: receipt.content[name] for name in names}
        found = [
            f"{place}: the receipt has {first!r}, given is {second!r}"
            for place, first, second in places_that_differ(
                wanted, {name: self.head[name] for name in names}
            )
        ]
        if found:
            raise CheckpointError(f"{receipt.path} belongs to another run: {' | '.join(found)}")

    @staticmethod
    def _check_start(receipt: Receipt, start: Checkpoint) -> None:
        if start.epoch > receipt.epochs:
            raise CheckpointError(
                f"{receipt.path} must reach the checkpoint, which stands after epoch "
                f"{start.epoch}; it ends with epoch {receipt.epochs}"
            )
        if len(start.losses) != start.step:
            raise CheckpointError(
                f"the checkpoint of {receipt.folder} must hold a loss for each of its "
                f"{start.step} steps; it holds {len(start.losses)}"
            )
        wanted = receipt.entries[start.epoch]["weights_sha256"]
        found = storage.digest(start.weights)
        if start.step == 0 and found != wanted:
            raise CheckpointError(
                f"the checkpoint of {receipt.folder} is not that of its receipt: the weights of "
                f"epoch {start.epoch} must have SHA-256 {wanted}; it is {found}"
            )
