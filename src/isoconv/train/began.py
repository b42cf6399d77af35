"""How a run began, as its run.json tells: what must be so again for it to be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.settings import from_plain

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
        epochs: how many it was to have.
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
    epochs: int
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
        found = folder.description()
        stopping: EarlyStopping | None = from_plain(found["settings"]["early_stopping"])
        return cls(
            found,
            {name: found[name] for name in COMPARED},
            tuple(found["record"]["class_names"]),
            found["settings"]["epochs"],
            stopping,
            found["facts"],
            found["versions"],
            found["keep_checkpoints"],
            found.get("result"),
            found.get("stopped", ""),
        )
