"""How a run began, as its run.json tells: what must be so again for it to be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isoconv.checks import check_count
from isoconv.errors import ArgumentError, CheckpointError
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

    @classmethod
    def read(cls, folder: RunFolder) -> Began:
        """What a run folder says.

        Raises:
            CheckpointError: it says nothing that makes sense.
        """
        found = folder.description()
        try:
            compared = {name: found[name] for name in COMPARED}
            names, result = compared["record"]["class_names"], found.get("result")
            stopping = from_plain(found["settings"]["early_stopping"])
            check_count("settings.epochs", found["settings"]["epochs"])
            checks = {
                "record.class_names": all(isinstance(name, str) for name in [*names]),
                "settings.early_stopping": isinstance(stopping, EarlyStopping | None),
                "facts": isinstance(found["facts"], dict),
                "versions": isinstance(found["versions"], dict),
                "keep_checkpoints": isinstance(found["keep_checkpoints"], bool),
                "result": result is None or isinstance(result["stopped"], str),
            }
            wrong = [name for name, fits in checks.items() if not fits]
            if wrong:
                raise ArgumentError(f"it cannot be read: wrong {', '.join(wrong)}")
            return cls(
                found,
                compared,
                tuple(names),
                found["settings"]["epochs"],
                stopping,
                found["facts"],
                found["versions"],
                found["keep_checkpoints"],
                result,
            )
        except KeyError as error:
            raise CheckpointError(f"{folder.run_file} cannot be read: it lacks {error}") from error
        except (TypeError, ArgumentError, CheckpointError) as error:
            raise CheckpointError(f"{folder.run_file} cannot be read: {error}") from error
