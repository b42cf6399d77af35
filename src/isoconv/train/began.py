"""How a run began, as its run.json tells: what must be so again for it to be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoconv.checks import refusal
from isoconv.errors import CheckpointError
from isoconv.nn import storage
from isoconv.train.callbacks import EarlyStopping, kept_epoch
from isoconv.train.checkpoint import RunFolder
from isoconv.train.plain_settings import from_plain, to_plain
from isoconv.train.state import Checkpoint
from isoconv.train.stretches import Stretches

if TYPE_CHECKING:
    from isoconv.train.record import Recorder

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
        earlier: of which epoch the final weights are (``epoch``, ``weights_sha256``) that are there
            while a run that had ended is gone on with, or None.
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
    earlier: Mapping[str, Any] | None
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
            found.get("earlier"),
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
        if not folder.weights_file.exists() or self.has_ended(start):
            return
        earlier = self.earlier
        if (
            earlier is not None
            and earlier["epoch"] <= start.epoch
            and self._final_weights(folder) == earlier["weights_sha256"]
        ):
            # Those that the run had come to stay until it has others.
            return
        raise CheckpointError(
            f"{folder.path} holds the final weights of a run ({folder.weights_file.name}), and "
            f"its checkpoint stands after {start.epoch} epochs and {start.step} steps: a "
            "finished run is not trained over",
            path=folder.path,
            epoch=start.epoch,
        )

    def asked(
        self,
        folder: RunFolder,
        start: Checkpoint,
        recorder: Recorder | None,
        epochs: int,
        facts: Mapping[str, Any],
    ) -> Began:
        """Write that the run is to have so many epochs in all, if it was not to have just them.

        The weights that it had come to stay what they are until it has others.

        Args:
            folder: where it is kept.
            start: where it stands.
            recorder: has its receipt, or None.
            epochs: that it is to have.
            facts: that are kept of this wish.

        Raises:
            ArgumentError: it has more.
            CheckpointError: the folder cannot be written, or its final weights are not its own.
        """
        ended = self.has_ended(start)
        # What a receipt vouches for was trained, and so will the epoch be that is under way.
        known = 0 if recorder is None else recorder.epochs
        trained = start.epoch if ended else max(1, start.epoch + (start.step > 0), known)
        if epochs < trained:
            raise refusal("epochs", f"be at least the {trained} that the run has", epochs)
        if ended and epochs == trained:
            return self
        stretches = self.stretches
        wished = stretches.extended(trained, epochs) if ended else stretches.asked(trained, epochs)
        if wished == stretches:
            return self
        found = {
            name: value
            for name, value in self.description.items()
            if name not in ("result", "stopped")
        }
        if ended and folder.weights_file.exists():
            found["earlier"] = self._come_to(folder, start, recorder)
        if start.step == 0 and start.epoch in wished.starts:
            # The end of a stretch stays among the checkpoints; the next one is not there yet.
            folder.keep(start)
        given = found["settings"]
        given = {name: given[name] for name in given if name != "stretches"}
        found["settings"] = {**given, **wished.plain()}
        wish = {"epochs": epochs, "facts": to_plain(facts)}
        found["further"] = [*found.get("further", []), wish]
        # run.json comes first: a receipt that does not tell yet is known to be behind it.
        folder.describe(found)
        if recorder is not None:
            recorder.extend(found["settings"])
        return Began.of(found)

    def _come_to(
        self, folder: RunFolder, start: Checkpoint, recorder: Recorder | None
    ) -> dict[str, Any]:
        """Of which epoch the final weights are of a run that has ended.

        Raises:
            CheckpointError: they are not what the run had come to.
        """
        found = self._final_weights(folder)
        if self.earlier is not None and found == self.earlier["weights_sha256"]:
            # Killed at its later end, before it wrote the weights of that.
            return dict(self.earlier)
        epoch, wanted = kept_epoch(start.history, self.early_stopping), found
        if epoch == start.epoch:
            wanted = storage.digest(start.weights)
        elif recorder is not None:
            wanted = recorder.entries[epoch]["weights_sha256"]
        if found != wanted:
            raise CheckpointError(
                f"{folder.weights_file} must hold what the run has come to, the weights of epoch "
                f"{epoch} (SHA-256 {wanted}); those in it have {found}. Without the file, "
                f"{folder.path} is gone on with",
                path=folder.weights_file,
                epoch=epoch,
            )
        return {"epoch": epoch, "weights_sha256": found}

    @staticmethod
    def _final_weights(folder: RunFolder) -> str:
        return storage.digest(storage.read(folder.weights_file)[0])
