"""The run folder: what a training leaves behind, whole at every moment.

::

    RUN/
      run.json                      settings, model, data, versions; at the end the result
      receipt.json, steps.jsonl     what came of each epoch, for others to check
      samples.csv                   part, class, digest and path of every sample
      metrics.jsonl                 one row for each epoch
      weights.safetensors           the model that the training leaves
      best.safetensors              the model of the best epoch
      checkpoints/last.json         where the run stands; names the file beside it and its SHA-256
      checkpoints/last-E-S.safetensors   parameters, states and optimizer vectors after E epochs
                                         and S steps of the next one
      checkpoints/epoch-E.safetensors    the same after E epochs, where they are kept

Every ``safetensors`` file carries the record of its model (`isoconv.nn.record`), so that
`isoconv.load` makes a model of any of them.

``last.json`` is replaced after the arrays that it names were written under a name of their own, and
older arrays are deleted after that: whenever a process is killed, ``last.json`` names a whole file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isoconv.checks import (
    as_word,
    check_arrays,
    check_count,
    check_kind,
    check_mapping,
    check_path,
    check_rows,
    check_text,
    shown,
)
from isoconv.data import Dataset, Samples
from isoconv.data.samples import check_datasets
from isoconv.errors import ArgumentError, CheckpointError, DataError
from isoconv.nn import storage
from isoconv.nn.record import with_weights
from isoconv.train.files import read_arrays, read_json, write_bytes, write_json
from isoconv.train.stand import FORMAT, Stand, check_format
from isoconv.train.state import Checkpoint, check_model, flat, from_flat

__all__ = ["FORMAT", "RunFolder"]

Array = NDArray[Any]


class RunFolder:
    """Reads and writes one run folder; every file is replaced whole.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_path("path", path)
        self._record: Mapping[str, Any] = {}
        self._made: list[Path] = []

    def describes(self, record: Mapping[str, Any]) -> None:
        """Say what is to stand in every file of weights: the model's record, without weights."""
        self._record = check_mapping("record", record)

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
    def samples_file(self) -> Path:
        """Part, class, digest and path of every sample."""
        return self.path / "samples.csv"

    @property
    def checkpoint_file(self) -> Path:
        """Where the run stands."""
        return self.path / "checkpoints" / "last.json"

    # The run as a whole

    def open(self) -> None:
        """See that a new run may be written here.

        What a start left that was killed before there was a run is no run.

        Raises:
            ArgumentError: the folder holds a run already, or files that a run would overwrite.
        """
        way_on = f"isoconv resume {as_word(self.path)}"
        if self.run_file.exists():
            raise ArgumentError(
                f"{self.path} holds a run already; go on with it ({way_on}) or choose another "
                "folder"
            )
        left = self._left_by_a_start()
        for path in self._files():
            if path not in left:
                name = path.relative_to(self.path).as_posix()
                raise ArgumentError(
                    f"{self.path} holds {name} of another run or of somebody else, which is not "
                    "overwritten; choose another folder"
                )
        folders = (self.checkpoint_file.parent, self.path, *self.path.parents)
        self._made = [folder for folder in folders if not folder.exists()]

    def _files(self) -> list[Path]:
        """The files that have a place in a run folder and are there."""
        named = (
            self.receipt_file, self.steps_file, self.samples_file, self.metrics_file,
            self.weights_file, self.best_file, self.checkpoint_file,
        )  # fmt: skip
        arrays = (
            path
            for pattern in ("last-*.safetensors", "epoch-*.safetensors")
            for path in self.checkpoint_file.parent.glob(pattern)
        )
        return [path for path in (*named, *arrays) if path.exists()]

    def _of_a_start(self) -> tuple[Path, ...]:
        """What a training writes before its first step, but for run.json."""
        return (
            self.samples_file,
            self.kept_file(0),
            self.checkpoint_file.with_name(Stand.name(0, 0)),
            self.checkpoint_file,
            self.steps_file,
            self.receipt_file,
        )

    def _left_by_a_start(self) -> list[Path]:
        left = list(self._of_a_start())
        if self.receipt_file.exists() and not self._only_begun():
            left.remove(self.receipt_file)
        try:
            Samples.read(self.samples_file.read_bytes(), "")
        except (OSError, DataError):
            left.remove(self.samples_file)
        return left

    def _only_begun(self) -> bool:
        try:
            receipt = read_json(self.receipt_file, "receipt")
            return len(receipt["epochs"]) <= 1 and receipt["final"] is None
        except (CheckpointError, KeyError, TypeError):
            return False

    def clear(self) -> None:
        """Remove what a start left that was killed before there was a run; after `open`."""
        for path in self._of_a_start():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what a start wrote that came to nothing, and nothing else; after `open`."""
        self.clear()
        with contextlib.suppress(OSError):
            self.run_file.unlink(missing_ok=True)
        for folder in self._made:
            # Not if somebody put a file there.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def describe(self, description: Mapping[str, Any]) -> None:
        """Replace the run's description.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        write_json(self.run_file, {"format": FORMAT, **check_mapping("description", description)})

    def description(self) -> dict[str, Any]:
        """What `describe` was given last.

        Raises:
            CheckpointError: there is no run in the folder, it cannot be read, or an isoconv of
                another format wrote it.
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
        check_format(self.run_file, found)
        return found

    def save_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace metrics.jsonl.

        Raises:
            CheckpointError: the file cannot be written.
        """
        rows = [
            json.dumps(row, sort_keys=True, allow_nan=False) + "\n"
            for row in check_rows("history", history)
        ]
        write_bytes(self.metrics_file, "".join(rows).encode())

    def save_samples(self, content: bytes) -> None:
        """Write samples.csv.

        Raises:
            CheckpointError: the file cannot be written.
        """
        if not isinstance(content, bytes):
            raise ArgumentError(f"content must be bytes; got {shown(content)}")
        write_bytes(self.samples_file, content)

    def samples(self, sha256: str | None = None) -> Samples | None:
        """The samples of the run; None where the list is missing or not the one that was written.

        Args:
            sha256: that the list must have; None for the one in run.json.
        """
        if sha256 is not None:
            check_text("sha256", sha256)
        try:
            content = self.samples_file.read_bytes()
            wanted = self.description()["samples_sha256"] if sha256 is None else sha256
            if hashlib.sha256(content).hexdigest() != wanted:
                return None
            return Samples.read(content, str(self.samples_file))
        except (OSError, KeyError, CheckpointError, DataError):
            return None

    def changes(self, parts: Mapping[str, Dataset], sha256: str | None = None) -> list[str]:
        """How the samples of some data differ from those of the run, a line each, at most 20."""
        check_datasets("parts", parts)
        known = self.samples(sha256)
        if known is None:
            return ["which samples differ cannot be told, for samples.csv is missing or altered"]
        lines = [
            line
            for part, data in parts.items()
            for line in Samples([row for row in known.rows if row.part == part]).changes(data)
        ]
        more = [f"… and {len(lines) - 20:,} more"] if len(lines) > 20 else []
        return [*lines[:20], *more]

    def save_weights(self, path: Path, weights: Mapping[str, Array]) -> None:
        """Write a model as ``model.save`` does.

        Raises:
            CheckpointError: the file cannot be written; an earlier one stays whole.
        """
        arrays = check_arrays("weights", weights, ArgumentError)
        write_bytes(check_path("path", path), self._content(arrays, storage.digest(arrays)))

    def _content(self, arrays: Mapping[str, Array], weights_sha256: str) -> bytes:
        return storage.content_of(arrays, with_weights(self._record, weights_sha256))

    def best_weights(self) -> dict[str, Array]:
        """The weights of the best epoch, where the file says the truth of itself.

        Raises:
            CheckpointError: there are none, or they were altered.
        """
        arrays, record = storage.read(self.best_file)
        found = storage.digest(arrays)
        if record.get("weights_sha256") != found:
            raise CheckpointError(
                f"the weights in {self.best_file} were altered: their SHA-256 must be "
                f"{record.get('weights_sha256')}; it is {found}"
            )
        return arrays

    # Checkpoints

    def save(self, checkpoint: Checkpoint) -> None:
        """Make this the checkpoint to go on from.

        Raises:
            CheckpointError: it cannot be written; the one before stays whole.
        """
        check_kind("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
        digest = storage.digest(checkpoint.weights)
        content = self._content(flat(checkpoint), digest)
        name = Stand.name(checkpoint.epoch, checkpoint.step)
        stand = Stand.of(checkpoint, name, hashlib.sha256(content).hexdigest(), digest)
        write_bytes(self.checkpoint_file.with_name(name), content)
        write_json(self.checkpoint_file, stand.plain())
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
        check_mapping("parameters", parameters)
        check_mapping("states", states)
        if not isinstance(slots, (list, tuple)):
            raise ArgumentError(f"slots must be a list of names; got {shown(slots)}")
        stand = Stand.read(self.checkpoint_file)
        path = self.checkpoint_file.with_name(stand.arrays_file)
        arrays = read_arrays(path, stand.sha256)
        check_model(path, arrays, parameters, states, slots)
        found = Checkpoint(
            epoch=stand.epoch,
            step=stand.step,
            sums=stand.sums,
            losses=stand.losses,
            seconds=stand.seconds,
            history=stand.history,
            # In the model's order; a file has its own.
            parameters={name: arrays[f"parameter:{name}"] for name in parameters},
            states={name: arrays[f"state:{name}"] for name in states},
            slots={
                slot: {name: arrays[f"slot:{slot}:{name}"] for name in parameters} for slot in slots
            },
        )
        weights = storage.digest(found.weights)
        if weights != stand.weights_sha256:
            raise CheckpointError(
                f"checkpoint {self.checkpoint_file} is damaged: it names weights of SHA-256 "
                f"{stand.weights_sha256}; those in {path.name} have {weights}"
            )
        return found

    # Checkpoints that are kept

    def kept_file(self, epoch: int) -> Path:
        """The state after so many epochs."""
        epoch = check_count("epoch", epoch, least=0, below=2**32)
        return self.checkpoint_file.parent / f"epoch-{epoch:05d}.safetensors"

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch beside the checkpoint to go on from.

        Raises:
            CheckpointError: it cannot be written.
        """
        check_kind("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
        content = self._content(flat(checkpoint), storage.digest(checkpoint.weights))
        write_bytes(self.kept_file(checkpoint.epoch), content)

    def kept_epochs(self) -> list[int]:
        """The epochs after which the state was kept, in order."""
        names = (path.stem for path in self.checkpoint_file.parent.glob("epoch-*.safetensors"))
        found = [int(name[6:]) for name in names if re.fullmatch(r"epoch-[0-9]{5,9}", name)]
        return sorted(epoch for epoch in found if self.kept_file(epoch).exists())

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
        stand = Stand.read(self.checkpoint_file)
        path = self.checkpoint_file.with_name(stand.arrays_file)
        return from_flat(read_arrays(path, stand.sha256), stand.epoch, stand.step)

    def find(self, epoch: int, weights_sha256: str) -> Checkpoint | None:
        """The state after an epoch, out of whatever file has just these weights.

        Where no checkpoint has them, those of the best epoch or of the end are taken, without the
        optimizer's vectors; None where no file has them.
        """
        check_text("weights_sha256", weights_sha256)
        for state in self._states(check_count("epoch", epoch, least=0, below=2**32)):
            if storage.digest(state.weights) == weights_sha256:
                return state
        return None

    def _states(self, epoch: int) -> Iterator[Checkpoint]:
        with contextlib.suppress(CheckpointError):
            yield self.load_kept(epoch)
        with contextlib.suppress(CheckpointError):
            last = self.load_last()
            if (last.epoch, last.step) == (epoch, 0):
                yield last
        for path in (self.best_file, self.weights_file):
            with contextlib.suppress(CheckpointError):
                yield Checkpoint(epoch=epoch, step=0, parameters=storage.read(path)[0], states={})
