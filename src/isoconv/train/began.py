"""How a run began, as its run.json tells: what must be so again for it to be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoconv.errors import ArgumentError, CheckpointError
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.files import cannot_be_written
from isoconv.train.settings import from_plain
from isoconv.train.state import Checkpoint
from isoconv.train.stretches import Stretches

if TYPE_CHECKING:
    from isoconv.train.record import Recorder

__all__ = ["COMPARED", "Began"]

COMPARED = ("arithmetic", "model", "record", "settings", "data", "samples_sha256")
"""What must be as it was for a run to be gone on with."""


@dataclass(frozen=True, slots=True)
class Began:
    """How a run began.

    Attributes:
        description: all of run.json.
        compared: what must be as it was.
        class_names: of the classes, in the order of the labels.
        stretches: the epochs that it was to have, as they were asked for.
        early_stopping: when it was to end before, or None.
        facts: what its maker keeps beside the settings.
        versions: of the software.
        keep_checkpoints: whether the state after each epoch is kept.
        result: what came of it at its end, or None.
        stopped: why it was to end before its last epoch, where its end was killed; "" otherwise.
    """

    description: dict[str, Any]
    compared: dict[str, Any]
    class_names: tuple[str, ...]
    stretches: Stretches
    early_stopping: EarlyStopping | None
    facts: dict[str, Any]
    versions: dict[str, Any]
    keep_checkpoints: bool
    result: Mapping[str, Any] | None
    stopped: str

    @classmethod
    def read(cls, folder: RunFolder) -> Began:
        """What a run folder says.

        Raises:
            CheckpointError: it says nothing that makes sense.
        """
        return cls.of(folder.description())

    @classmethod
    def of(cls, found: dict[str, Any]) -> Began:
        """What the content of a run.json says."""
        stopping: EarlyStopping | None = from_plain(found["settings"]["early_stopping"])
        return cls(
            found,
            {name: found[name] for name in COMPARED},
            tuple(found["record"]["class_names"]),
            Stretches.of(found["settings"]),
            stopping,
            found["facts"],
            found["versions"],
            found["keep_checkpoints"],
            found.get("result"),
            found.get("stopped", ""),
        )

    def has_ended(self, start: Checkpoint) -> bool:
        """Whether the run came to its end, by where its checkpoint stands."""
        stopping, history = self.early_stopping, [dict(row) for row in start.history]
        return start.step == 0 and (
            start.epoch == self.stretches.epochs
            or self.result is not None
            or bool(self.stopped)
            or (stopping is not None and self.stretches.stops(stopping, history))
        )

    def check_unfinished(self, folder: RunFolder, start: Checkpoint) -> None:
        """A finished run is never trained over, whatever was made of its texts.

        Raises:
            CheckpointError: the final weights are there, and the checkpoint stands before them.
        """
        if folder.weights_file.exists() and not self.has_ended(start):
            raise CheckpointError(
                f"{folder.path} holds the final weights of a run ({folder.weights_file.name}), and "
                f"its checkpoint stands after {start.epoch} epochs and {start.step} steps: a "
                "finished run is not trained over"
            )

    def extended(
        self, folder: RunFolder, start: Checkpoint, recorder: Recorder | None, epochs: int
    ) -> Began:
        """Write that the run is to have so many epochs in all, if it was not to have them already.

        Args:
            folder: where it is kept.
            start: where it stands.
            recorder: has its receipt, or None.
            epochs: that it is to have.

        Raises:
            ArgumentError: it has, or is to have, more.
            CheckpointError: the folder cannot be written.
        """
        ended = self.has_ended(start)
        least = start.epoch if ended else self.stretches.epochs
        if epochs < least:
            have = "has" if ended else "is to have"
            raise ArgumentError(
                f"epochs must be at least the {least} that the run {have}; got {epochs}"
            )
        if epochs == least:
            return self
        if ended:
            # The end so far stays among the checkpoints; the next one is not there yet.
            folder.keep(start)
            try:
                folder.weights_file.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_be_written(folder.weights_file, error) from error
        found = self.description
        found = {name: found[name] for name in found if name not in ("result", "stopped")}
        longer = self.stretches.extended(least, epochs)
        found["settings"] = {**found["settings"], **longer.plain()}
        # run.json comes first: a receipt that does not tell yet is known to be behind it.
        folder.describe(found)
        if recorder is not None:
            recorder.extend(found["settings"])
        return Began.of(found)
