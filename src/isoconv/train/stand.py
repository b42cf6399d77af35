"""``last.json``: where a run stands, and which file beside it holds the arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.errors import CheckpointError
from isoconv.train.files import read_json
from isoconv.train.state import Checkpoint

__all__ = ["FORMAT", "Stand", "check_format"]

FORMAT = 2
"""Version of the run folder."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a run stands, without the arrays.

    Attributes:
        file: name of the file with the arrays.
        sha256: of that file.
        weights_sha256: of the weights in it.
        epoch: whole epochs behind it.
        step: steps of the next epoch behind it.
        losses: of these steps, each the float32 sum over the batch.
        sums: for each metric the sum over the images of these steps.
        seconds: time that these steps took.
        history: a row for each whole epoch.
    """

    file: str
    sha256: str
    weights_sha256: str
    epoch: int
    step: int
    losses: Sequence[float]
    sums: Mapping[str, float]
    seconds: float
    history: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, checkpoint: Checkpoint, file: str, sha256: str, weights_sha256: str) -> Stand:
        """That of a checkpoint whose arrays are in a file."""
        return cls(
            file,
            sha256,
            weights_sha256,
            checkpoint.epoch,
            checkpoint.step,
            checkpoint.losses,
            checkpoint.sums,
            checkpoint.seconds,
            checkpoint.history,
        )

    @staticmethod
    def name(epoch: int, step: int) -> str:
        """What the file with the arrays is called."""
        return f"last-{epoch:05d}-{step:07d}.safetensors"

    def plain(self) -> dict[str, Any]:
        """The content of ``last.json``."""
        return {
            "format": FORMAT,
            "file": self.file,
            "sha256": self.sha256,
            "weights_sha256": self.weights_sha256,
            "epoch": self.epoch,
            "step": self.step,
            "losses": [float(loss).hex() for loss in self.losses],
            "sums": {key: float(value).hex() for key, value in self.sums.items()},
            "seconds": self.seconds,
            "history": [dict(row) for row in self.history],
        }

    @classmethod
    def read(cls, path: Path) -> Stand:
        """What `plain` gave, from a file.

        Raises:
            CheckpointError: the file cannot be read, is of another format, or makes no sense.
        """
        found = read_json(path, "checkpoint")
        check_format(path, found)
        try:
            stand = cls(
                _name(found["file"]),
                _text(found["sha256"]),
                _text(found["weights_sha256"]),
                _count(found["epoch"]),
                _count(found["step"]),
                [float.fromhex(loss) for loss in found["losses"]],
                {key: float.fromhex(value) for key, value in found["sums"].items()},
                _number(found["seconds"]),
                [_row(row, number) for number, row in enumerate(found["history"], 1)],
            )
            if len(stand.history) != stand.epoch:
                raise ValueError(f"{len(stand.history)} rows of history, {stand.epoch} epochs")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"checkpoint {path} cannot be read: {error!r}") from error
        return stand

    @property
    def arrays_file(self) -> str:
        """The file's name alone, whatever path a stranger put before it."""
        return Path(self.file).name


def check_format(path: Path, record: Mapping[str, Any]) -> None:
    """See that a file is of the format that this isoconv reads.

    Raises:
        CheckpointError: it is not.
    """
    found = record.get("format")
    if found != FORMAT:
        raise CheckpointError(
            f"{path} must be of format {FORMAT}, which this isoconv reads; it is {found!r}"
        )


def _name(value: Any) -> str:
    if not Path(_text(value)).name or "\0" in value:
        raise ValueError(f"{value!r:.80} names no file")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {value!r:.80}")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"a whole number of at least 0 was expected, not {value!r:.80}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"a number was expected, not {value!r:.80}")
    return float(value)


def _row(row: Any, number: int) -> dict[str, Any]:
    if not isinstance(row, dict) or row.get("epoch") != number:
        raise ValueError(f"row {number} of the history is {row!r:.80}")
    return {name: value if name == "epoch" else _number(value) for name, value in row.items()}
