"""The run folder: what a training leaves behind, whole at every moment.

::

    RUN/
      run.json                      settings, model, data, versions; at the end the result
      receipt.json, steps.jsonl     what came of each epoch, for others to check
      metrics.jsonl                 one row for each epoch
      weights.safetensors           the final weights
      best.safetensors              the weights of the best epoch
      checkpoints/last.json         where the run stands; names the file beside it and its SHA-256
      checkpoints/last-E-S.safetensors   parameters, states and optimizer vectors after E epochs
                                         and S steps of the next one
      checkpoints/epoch-E.safetensors    the same after E epochs, where they are kept

``last.json`` is replaced after the arrays that it names were written under a name of their own, and
older arrays are deleted after that: whenever a process is killed, ``last.json`` names a whole file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import storage
from isoconv.train.files import check_arrays, read_arrays, read_json, write_bytes, write_json

__all__ = ["FORMAT", "Checkpoint", "RunFolder"]

Array = NDArray[Any]

FORMAT = 1
"""Version of the run folder."""


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """Where a training stands: all that the rest of it depends on, beside its settings.

    Attributes:
        epoch: whole epochs behind it.
        step: steps of the next epoch behind it.
        sums: for each metric the float64 sum over the images of these steps.
        losses: of these steps, each the float32 sum over the batch.
        seconds: time that these steps took.
        history: a row for each whole epoch.
        parameters: by name.
        states: by name.
        slots: the optimizer's vectors by slot and parameter.
    """

    epoch: int
    step: int
    parameters: Mapping[str, Array]
    states: Mapping[str, Array]
    slots: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)
    losses: Sequence[float] = ()
    seconds: float = 0.0
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def weights(self) -> dict[str, Array]:
        """Parameters and states by name."""
        return {**self.parameters, **self.states}


class RunFolder:
    """Reads and writes one run folder; every file is replaced whole.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def run_file(self) -> Path:
        """Settings and result."""
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON row for each epoch."""
        return self.path / "metrics.jsonl"

    @property
    def weights_file(self) -> Path:
        """The final weights."""
        return self.path / "weights.safetensors"

    @property
    def best_file(self) -> Path:
        """The weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def receipt_file(self) -> Path:
        """What came of each epoch, for others to check."""
        return self.path / "receipt.json"

    @property
    def steps_file(self) -> Path:
        """The loss of every step, and each epoch's digest of every tensor."""
        return self.path / "steps.jsonl"

    @property
    def checkpoint_file(self) -> Path:
        """Where the run stands."""
        return self.path / "checkpoints" / "last.json"

    # The run as a whole

    def create(self, description: Mapping[str, Any], start: Checkpoint) -> None:
        """Begin a run; the checkpoint is there before run.json says that there is a run.

        Raises:
            ArgumentError: the folder holds a run already.
            CheckpointError: the folder cannot be written.
        """
        if self.run_file.exists():
            raise ArgumentError(
                f"{self.path} holds a run already; go on with it (isoconv resume {self.path}) "
                "or choose another folder"
            )
        if self.receipt_file.exists():
            raise ArgumentError(
                f"{self.path} holds the receipt of a run, which is not overwritten; choose another "
                "folder"
            )
        self.save(start)
        self.describe(description)

    def describe(self, description: Mapping[str, Any]) -> None:
        """Replace the run's description.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        write_json(self.run_file, {"format": FORMAT, **description})

    def description(self) -> dict[str, Any]:
        """What `create` or `describe` was given last.

        Raises:
            CheckpointError: there is no run in the folder, it cannot be read, or a newer isoconv
                wrote it.
        """
        if not self.path.is_dir():
            raise CheckpointError(
                f"a run is a folder with run.json and checkpoints; {self.path} is no folder"
            )
        if not self.run_file.exists():
            raise CheckpointError(
                f"a run is a folder with run.json and checkpoints; {self.path} has no run.json"
            )
        found = read_json(self.run_file, "the run's description")
        _check_format(self.run_file, found)
        return found

    def save_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace metrics.jsonl.

        Raises:
            CheckpointError: the file cannot be written.
        """
        rows = [json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in history]
        write_bytes(self.metrics_file, "".join(rows).encode())

    def save_weights(
        self, path: Path, weights: Mapping[str, Array], input_shape: Sequence[int]
    ) -> None:
        """Write weights as ``model.save`` does.

        Raises:
            CheckpointError: the file cannot be written; an earlier one stays whole.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.write(path, dict(weights), input_shape)
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be written ({error.strerror or error}); "
                "what was saved before is whole"
            ) from error

    # Checkpoints

    def save(self, checkpoint: Checkpoint) -> None:
        """Make this the checkpoint to go on from.

        Raises:
            CheckpointError: it cannot be written; the one before stays whole.
        """
        from safetensors.numpy import save

        name = f"last-{checkpoint.epoch:05d}-{checkpoint.step:07d}.safetensors"
        folder = self.checkpoint_file.parent
        arrays = {key: np.ascontiguousarray(a) for key, a in _flat(checkpoint).items()}
        content = save(arrays)
        write_bytes(folder / name, content)
        write_json(
            self.checkpoint_file,
            {
                "format": FORMAT,
                "file": name,
                "sha256": hashlib.sha256(content).hexdigest(),
                "weights_sha256": storage.digest(checkpoint.weights),
                "epoch": checkpoint.epoch,
                "step": checkpoint.step,
                "losses": [float(loss).hex() for loss in checkpoint.losses],
                "sums": {key: float(value).hex() for key, value in checkpoint.sums.items()},
                "seconds": checkpoint.seconds,
                "history": [dict(row) for row in checkpoint.history],
            },
        )
        self._tidy(name)

    def _tidy(self, kept: str) -> None:
        """Delete older checkpoints and what killed processes left."""
        folder = self.checkpoint_file.parent
        for pattern in ("last-*.safetensors", ".last*.tmp"):
            for path in folder.glob(pattern):
                if path.name != kept:
                    # A file that cannot be deleted costs space alone.
                    with contextlib.suppress(OSError):
                        path.unlink()

    def load(
        self,
        parameters: Mapping[str, tuple[int, ...]],
        states: Mapping[str, tuple[int, ...]],
        slots: Sequence[str],
    ) -> Checkpoint:
        """The checkpoint to go on from.

        Args:
            parameters: shape by name, as the model has them.
            states: likewise.
            slots: names of the optimizer's vectors.

        Raises:
            CheckpointError: the checkpoint cannot be read, is damaged, or belongs to another model
                (missing, extra and mis-shaped names are listed).
        """
        record = read_json(self.checkpoint_file, "checkpoint")
        _check_format(self.checkpoint_file, record)
        try:
            arrays_file = self.checkpoint_file.parent / Path(str(record["file"])).name
            digest = str(record["sha256"])
            epoch, step = int(record["epoch"]), int(record["step"])
            sums = {str(key): float.fromhex(value) for key, value in record["sums"].items()}
            losses = [float.fromhex(loss) for loss in record["losses"]]
            seconds = float(record["seconds"])
            history = [dict(row) for row in record["history"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"checkpoint {self.checkpoint_file} cannot be read: {error!r}"
            ) from error
        arrays = read_arrays(arrays_file, digest)
        _check_model(arrays_file, arrays, parameters, states, slots)
        return Checkpoint(
            epoch=epoch,
            step=step,
            sums=sums,
            losses=losses,
            seconds=seconds,
            history=history,
            # In the model's order; a file has its own.
            parameters={name: arrays[f"parameter:{name}"] for name in parameters},
            states={name: arrays[f"state:{name}"] for name in states},
            slots={
                slot: {name: arrays[f"slot:{slot}:{name}"] for name in parameters} for slot in slots
            },
        )

    # Checkpoints that are kept

    def kept_file(self, epoch: int) -> Path:
        """The state after so many epochs."""
        return self.checkpoint_file.parent / f"epoch-{epoch:05d}.safetensors"

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch beside the checkpoint to go on from.

        Raises:
            CheckpointError: it cannot be written.
        """
        from safetensors.numpy import save

        arrays = {key: np.ascontiguousarray(a) for key, a in _flat(checkpoint).items()}
        write_bytes(self.kept_file(checkpoint.epoch), save(arrays))

    def kept_epochs(self) -> list[int]:
        """The epochs after which the state was kept, in order."""
        names = (path.stem for path in self.checkpoint_file.parent.glob("epoch-*.safetensors"))
        return sorted(int(name[6:]) for name in names if name[6:].isdecimal())

    def load_kept(self, epoch: int) -> Checkpoint:
        """The state after an epoch, if it was kept.

        Raises:
            CheckpointError: it was not, or cannot be read.
        """
        path = self.kept_file(epoch)
        if not path.exists():
            raise CheckpointError(
                f"{self.path} has no checkpoint of the state after epoch {epoch} ({path.name}); "
                "it is there when the run was told to keep checkpoints"
            )
        return from_flat(read_arrays(path), epoch)

    def load_last(self) -> Checkpoint:
        """Arrays of the checkpoint to go on from, whatever the model.

        Raises:
            CheckpointError: it cannot be read or is damaged.
        """
        record = read_json(self.checkpoint_file, "checkpoint")
        _check_format(self.checkpoint_file, record)
        try:
            path = self.checkpoint_file.parent / Path(str(record["file"])).name
            digest, epoch, step = str(record["sha256"]), int(record["epoch"]), int(record["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint {self.checkpoint_file} cannot be read: {error!r}"
            ) from error
        return from_flat(read_arrays(path, digest), epoch, step)


def from_flat(arrays: Mapping[str, Array], epoch: int, step: int = 0) -> Checkpoint:
    """A checkpoint from the arrays of its file: ``parameter:N``, ``state:N``, ``slot:S:N``.

    The names stand in the order of the file, which is not that of the trace.
    """
    parameters: dict[str, Array] = {}
    states: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        if kind == "slot":
            slot, _, name = name.partition(":")
            slots.setdefault(slot, {})[name] = array
        elif kind == "state":
            states[name] = array
        else:
            parameters[name] = array
    return Checkpoint(epoch=epoch, step=step, parameters=parameters, states=states, slots=slots)


def _flat(checkpoint: Checkpoint) -> dict[str, Array]:
    arrays = {f"parameter:{name}": array for name, array in checkpoint.parameters.items()}
    arrays |= {f"state:{name}": array for name, array in checkpoint.states.items()}
    for slot, vectors in checkpoint.slots.items():
        arrays |= {f"slot:{slot}:{name}": array for name, array in vectors.items()}
    return arrays


def _check_model(
    path: Path,
    arrays: Mapping[str, Array],
    parameters: Mapping[str, tuple[int, ...]],
    states: Mapping[str, tuple[int, ...]],
    slots: Sequence[str],
) -> None:
    """The weights first, by the names that the model gives them; then the optimizer's vectors."""
    weights: dict[str, Array] = {}
    vectors: dict[str, Array] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        if kind in ("parameter", "state"):
            weights[name] = array
        else:
            vectors[key] = array
    check_arrays(f"checkpoint {path}", {**parameters, **states}, weights)
    wanted = {f"slot:{slot}:{name}": shape for slot in slots for name, shape in parameters.items()}
    check_arrays(f"checkpoint {path}", wanted, vectors)


def _check_format(path: Path, record: Mapping[str, Any]) -> None:
    found = record.get("format")
    if found != FORMAT:
        raise CheckpointError(
            f"{path} must be of format {FORMAT}, which this isoconv reads; it is {found!r}"
        )
