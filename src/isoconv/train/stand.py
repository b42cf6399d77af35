"""``last.json``: where a run stands, and which file beside it holds the arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.checks import shown
from isoconv.errors import CheckpointError
from isoconv.nn.schema import Schema, check
from isoconv.train.files import read_json
from isoconv.train.layout import FORMAT, LAST
from isoconv.train.state import Checkpoint


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
        check_content(path, found, LAST, "checkpoint")
        return cls(
            found["file"],
            found["sha256"],
            found["weights_sha256"],
            found["epoch"],
            found["step"],
            [float.fromhex(loss) for loss in found["losses"]],
            {key: float.fromhex(value) for key, value in found["sums"].items()},
            float(found["seconds"]),
            found["history"],
        )


def check_content(
    path: Path, content: dict[str, Any], schema: Schema, what: str = ""
) -> dict[str, Any]:
    """See that a file is of the format that this isoconv reads, and as its schema says.

    Args:
        path: of the file.
        content: of the file; it is given back.
        schema: of it.
        what: it is, for the message.

    Raises:
        CheckpointError: it is not.
    """
    check_format(path, content, what)
    check(f"{what} {path}".lstrip(), content, schema)
    return content


def check_format(path: Path, record: Mapping[str, Any], what: str = "") -> None:
    """See that a file is of the format that this isoconv reads.

    Args:
        path: of the file.
        record: its content.
        what: it is, for the message.

    Raises:
        CheckpointError: it is not.
    """
    found = record.get("format")
    if type(found) is not int or found != FORMAT:
        raise CheckpointError(
            f"{what} {path} must be of format {FORMAT}, which this isoconv reads; it is "
            f"{shown(found)}".lstrip(),
            path=path,
        )
