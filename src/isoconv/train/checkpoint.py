"""The run folder: what a training leaves behind, whole at every moment.

Every ``safetensors`` file carries the record of its model (`isoconv.nn.record`), so that
`isoconv.load` makes a model of any of them.

``last.json`` is replaced after the arrays that it names were written under a name of their own, and
older arrays are deleted after that: whenever a process is killed, ``last.json`` names a whole file.

One process at a time trains into a folder (`isoconv.train.folder`). What the files are called is in
`isoconv.train.places`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isoconv.checks import (
    check_arrays,
    check_count,
    check_kind,
    check_mapping,
    check_path,
    check_rows,
    check_text,
    entries,
    refusal,
)
from isoconv.data import Dataset, Samples
from isoconv.data.samples import changes_of_parts, check_datasets
from isoconv.data.skipped import Skipped, skipped_from_csv, skipped_to_csv
from isoconv.errors import ArgumentError, CheckpointError, DataError
from isoconv.files import read_file
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.record import with_weights
from isoconv.train.files import canonical_json, read_arrays, read_json
from isoconv.train.folder import WorkFolder
from isoconv.train.layout import FORMAT, RUN
from isoconv.train.stand import Stand, check_content
from isoconv.train.state import Checkpoint, check_model, flat, from_flat

__public__ = {"isoconv.train": ["RunFolder"]}


class RunFolder(WorkFolder):
    """Reads and writes one run folder; every file is replaced whole.

    Args:
        path: of the folder.

    Attributes:
        learned: whether the last checkpoint that was saved or loaded here is one after some step.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.learned = False
        self._record: Mapping[str, Any] = {}

    def describes(self, record: Mapping[str, Any]) -> None:
        """Say what is to stand in every file of weights: the model's record, without weights."""
        self._record = check_mapping("record", record)

    # The run as a whole

    def describe(self, description: Mapping[str, Any]) -> None:
        """Replace the run's description.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        content = {"format": FORMAT, **check_mapping("description", description)}
        self._announce(canonical_json(content))

    def description(self) -> dict[str, Any]:
        """What `describe` was given last.

        Raises:
            CheckpointError: there is no run in the folder, it cannot be read, or an isoconv of
                another format wrote it.
        """
        if not self.path.is_dir():
            raise CheckpointError(
                f"a run is a folder with run.json and checkpoints; {self.path} is no folder",
                path=self.path,
            )
        if not self.run_file.exists():
            raise CheckpointError(
                f"a run is a folder with run.json and checkpoints; {self.path} {self.has_no_run}",
                path=self.path,
            )
        found = read_json(self.run_file, "the run's description")
        return check_content(self.run_file, found, RUN)

    def save_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace metrics.jsonl.

        Raises:
            CheckpointError: the file cannot be written.
        """
        rows = [
            json.dumps(row, sort_keys=True, allow_nan=False) + "\n"
            for row in check_rows("history", history)
        ]
        self.write(self.metrics_file, "".join(rows).encode())

    def save_samples(self, content: bytes, skipped: Sequence[Skipped] = ()) -> None:
        """Write samples.csv, and skipped.csv where files were left out.

        Raises:
            ArgumentError: what is skipped is no list of that.
            CheckpointError: a file cannot be written.
        """
        if not isinstance(skipped, (list, tuple)):
            raise refusal("skipped", "be a list of Skipped", skipped)
        for name, each in entries("skipped", skipped).items():
            check_kind(name, each, Skipped, "a Skipped")
        self.write(self.samples_file, content)
        if skipped:
            self.write(self.skipped_file, skipped_to_csv(skipped))

    def skipped(self) -> tuple[Skipped, ...] | None:
        """The files that were left out, with the reasons; None where the list cannot be read."""
        try:
            return skipped_from_csv(read_file(self.skipped_file), str(self.skipped_file))
        except (OSError, DataError):
            return None

    def samples(self, sha256: str | None = None) -> Samples | None:
        """The samples of the run; None where the list is missing or not the one that was written.

        Args:
            sha256: that the list must have; None for the one in run.json.
        """
        if sha256 is not None:
            check_text("sha256", sha256)
        try:
            content = read_file(self.samples_file)
            wanted = self.description()["samples_sha256"] if sha256 is None else sha256
            if hashlib.sha256(content).hexdigest() != wanted:
                return None
            return Samples.read(content, str(self.samples_file))
        except (OSError, CheckpointError, DataError):
            return None

    def changes(self, parts: Mapping[str, Dataset], sha256: str | None = None) -> list[str]:
        """How the samples of some data differ from those of the run, at most 20 lines and a count.

        What the run had and is gone stands first.
        """
        check_datasets("parts", parts)
        known = self.samples(sha256)
        if known is None:
            return ["which samples differ cannot be told, for samples.csv is missing or altered"]
        lines = changes_of_parts(known, parts)
        more = [f"… and {len(lines) - 20:,} more"] if len(lines) > 20 else []
        return [*lines[:20], *more]

    def save_weights(self, path: Path, weights: Mapping[str, Array]) -> None:
        """Write a model as ``model.save`` does.

        Raises:
            CheckpointError: the file cannot be written; an earlier one stays whole.
        """
        arrays = check_arrays("weights", weights, ArgumentError)
        self.write(check_path("path", path), self._content(arrays, storage.digest(arrays)))

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
                f"{record.get('weights_sha256')}; it is {found}",
                path=self.best_file,
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
        self.write(self.checkpoint_file.with_name(name), content)
        self.write(self.checkpoint_file, canonical_json(stand.plain()))
        self.tidy(checkpoint)
        self.learned = (checkpoint.epoch, checkpoint.step) > (0, 0)

    def tidy(self, checkpoint: Checkpoint) -> None:
        """Delete older checkpoints than the one that the run stands at."""
        check_kind("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
        kept = Stand.name(checkpoint.epoch, checkpoint.step)
        for path in self.checkpoint_file.parent.glob("last-*.safetensors"):
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
            raise refusal("slots", "be a list of names", slots)
        if not self.checkpoint_file.exists():
            raise CheckpointError(self._nothing_to_go_on_from())
        stand = Stand.read(self.checkpoint_file)
        self.learned = (stand.epoch, stand.step) > (0, 0)
        path = self.checkpoint_file.with_name(stand.file)
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
                f"{stand.weights_sha256}; those in {path.name} have {weights}",
                path=self.checkpoint_file,
            )
        return found

    def _nothing_to_go_on_from(self) -> str:
        """The message about a run without its checkpoint, and what can still be had of it."""
        weights = [path.name for path in (self.weights_file, self.best_file) if path.exists()]
        rest = (
            f"; its weights are there, to evaluate and predict with ({', '.join(weights)})"
            if weights
            else ""
        )
        return (
            f"{self.checkpoint_file} is not there, so the run cannot be gone on with: bring the "
            f"folder {self.checkpoint_file.parent.name} back, or train anew into another "
            f"folder{rest}"
        )

    # Checkpoints that are kept

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep the state after an epoch beside the checkpoint to go on from.

        Raises:
            CheckpointError: it cannot be written.
        """
        check_kind("checkpoint", checkpoint, Checkpoint, "a Checkpoint")
        content = self._content(flat(checkpoint), storage.digest(checkpoint.weights))
        self.write(self.kept_file(checkpoint.epoch), content)

    def load_kept(self, epoch: int) -> Checkpoint:
        """The state after an epoch, if it was kept.

        Raises:
            CheckpointError: it was not, or cannot be read.
        """
        path = self.kept_file(epoch)
        if not path.exists():
            raise CheckpointError(
                f"{self.path} has no checkpoint of the state after epoch {epoch} ({path.name}); "
                "it is there when the run was told to keep checkpoints",
                path=self.path,
                epoch=epoch,
            )
        return from_flat(read_arrays(path), epoch)

    def load_last(self) -> Checkpoint:
        """Arrays of the checkpoint to go on from, whatever the model.

        Raises:
            CheckpointError: it cannot be read or is damaged.
        """
        stand = Stand.read(self.checkpoint_file)
        path = self.checkpoint_file.with_name(stand.file)
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
