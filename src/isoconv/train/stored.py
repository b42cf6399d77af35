"""What a run folder's files are worth by its receipt, without computing anything anew.

Every file is either derived from the receipt and compared with it, or named as not covered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoconv.errors import CheckpointError
from isoconv.files import read_file
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.record import with_weights
from isoconv.train.callbacks import is_reason
from isoconv.train.checkpoint import RunFolder
from isoconv.train.compare import Difference, compare_arrays, state_after
from isoconv.train.covered import NotCovered
from isoconv.train.differing import differing, told
from isoconv.train.files import read_json, read_rows
from isoconv.train.layout import EXECUTORS, LAST, NO_METRICS, ROW, RUN, SKIPPED, head_of
from isoconv.train.receipt import Receipt
from isoconv.train.record import optimizer_digest, tensors_of, within_of
from isoconv.train.stand import Stand
from isoconv.train.state import Checkpoint, flat, from_flat
from isoconv.train.stretches import Stretches

_FREE = (EXECUTORS, "facts", "further", "keep_checkpoints", "reads", "stopped", "versions")
"""What run.json says beside the receipt's head and the result."""
_CLOCK = tuple(name for name in NO_METRICS if name != "epoch")
"""Columns of the history that the clock decides."""


@dataclass(frozen=True, slots=True)
class Files:
    """What came of comparing the files of a run folder with its receipt.

    Attributes:
        difference: the first file that is not what the receipt says, or None.
        missing: files that are not there.
        compared: those that were compared, in the order of their names.
        free: what is not covered.
    """

    difference: Difference | None
    missing: list[str]
    compared: list[str]
    free: NotCovered


def check_files(receipt: Receipt) -> Files:
    """Compare all files of a run folder with its receipt.

    Raises:
        CheckpointError: a file cannot be read.
    """
    check = _Check(receipt)
    found = next((found for found in check.differences() if found is not None), None)
    return Files(found, check.missing, check.compared, check.free)


class _Check:
    """The comparison of one folder; notes what is missing and what is not covered."""

    def __init__(self, receipt: Receipt) -> None:
        self.missing: list[str] = []
        self.free = NotCovered()
        self._receipt = receipt
        self._folder = folder = RunFolder(receipt.folder)
        self._keeps = False
        self._earlier: Mapping[str, Any] | None = None
        steps = [] if receipt.problems else [folder.steps_file]
        self._compared = {folder.receipt_file, *steps}

    @property
    def compared(self) -> list[str]:
        """The files that were looked into."""
        return sorted(map(self._name, self._compared))

    def differences(self) -> Iterator[Difference | None]:
        """File by file where it differs, or None."""
        receipt, folder = self._receipt, self._folder
        # Its software and machine; who trained may have given the model any name.
        self.free.add("receipt.json", "isoconv", "machine", "model.name")
        if "within" in receipt.content:
            # The steps between two ends of epochs are not compared one by one.
            self.free.leave("receipt.json", "within")
        for line in receipt.altered:
            # The place is named already.
            note = line.removeprefix(str(folder.steps_file)).lstrip(": ")
            yield Difference("steps.jsonl", receipt.epochs, note=note)
        yield self._samples()
        yield self._skipped()
        yield self._description()
        yield self._metrics()
        if receipt.finished:
            yield self._result()
            yield self._weights(folder.weights_file, receipt.kept_epoch)
            # A run that was killed may hold best weights of an epoch that it will repeat.
            yield self._weights(folder.best_file, receipt.best_epoch)
        elif self._earlier is not None:
            yield self._weights(folder.weights_file, self._epoch_before())
        for epoch in self._kept_epochs():
            path = folder.kept_file(epoch)
            if epoch > receipt.epochs:
                yield self._differs(path, f"the receipt ends with epoch {receipt.epochs}")
            if not self._lacks(path):
                yield self._checkpoint(path, epoch)
        yield from self._last()
        self._rest()

    # Text

    def _samples(self) -> Difference | None:
        path, wanted = self._folder.samples_file, self._receipt.content["samples_sha256"]
        if self._lacks(path):
            return None
        found = hashlib.sha256(self._bytes(path)).hexdigest()
        if found == wanted:
            return None
        return self._differs(path, f"sha256: the receipt has {wanted}, the file {found}")

    def _skipped(self) -> Difference | None:
        """The list of what was left out, which a run has whose receipt names something."""
        path, wanted = self._folder.skipped_file, self._receipt.content.get(SKIPPED, [])
        if not wanted or self._lacks(path):
            return None
        found = self._folder.skipped()
        if found is None:
            return self._differs(path, "it is no list of paths with reasons")
        # They are in the words of the decoders that there were.
        self.free.add(self._name(path), "reason")
        given = [each.path for each in found]
        return self._first(path, {"path": wanted}, {"path": given})

    def _description(self) -> Difference | None:
        path = self._folder.run_file
        if self._lacks(path):
            return None
        found = read_json(path, "the run's description", RUN)
        further = Stretches.of(found["settings"])
        # A run whose stretches are told may once have said who asked for them.
        there = {*found, "further"} if further.told else {*found}
        self.free.add("run.json", *(name for name in _FREE if name in there))
        self._keeps = found["keep_checkpoints"]
        own = {name: value for name, value in found.items() if name not in _FREE}
        wanted = head_of(self._receipt.content)
        final = self._receipt.content["final"]
        if self._receipt.stretches.may_become(further, self._receipt.epochs):
            # The receipt is written after it, and does not tell yet that the run goes on.
            self.missing.append(f"the stretch up to epoch {further.epochs} in receipt.json")
            wanted["settings"] = {**wanted["settings"], **further.plain()}
        elif final is not None and "result" not in own:
            # It is written last.
            self.missing.append("result in run.json")
        elif final is not None or "result" in own:
            wanted["result"] = final
        if "earlier" in own and "result" not in own:
            self._earlier, entries = own["earlier"], self._receipt.entries
            epoch = self._earlier["epoch"]
            # It is what one of its ends left.
            ends = {*self._receipt.stretches.starts, *further.starts, self._receipt.epochs}
            if epoch not in map(self._receipt.kept_after, ends):
                return self._differs(path, f"earlier.epoch: epoch {epoch} was no end of the run's")
            digest = entries[epoch]["weights_sha256"]
            wanted["earlier"] = {"epoch": epoch, "weights_sha256": digest}
        return self._first(path, wanted, own)

    def _epoch_before(self) -> int:
        """Which epoch the final weights are of where a run that had ended is gone on with."""
        epoch: int = dict(self._earlier or {"epoch": 0})["epoch"]
        path = self._folder.weights_file
        if self._receipt.epochs == self._receipt.planned and path.exists():
            # A run that was killed at its new end may have written those of that.
            kept = self._receipt.kept_epoch
            if (
                storage.digest(self._arrays(path)[0])
                == self._receipt.entries[kept]["weights_sha256"]
            ):
                return kept
        return epoch

    def _result(self) -> Difference | None:
        """The end of a run as it follows from its epochs."""
        receipt, final = self._receipt, self._receipt.content["final"]
        digest = receipt.entries[receipt.kept_epoch]["weights_sha256"]
        wanted: dict[str, Any] = {
            "best_epoch": receipt.best_epoch,
            "epoch": receipt.kept_epoch,
            "epochs": receipt.epochs,
            "record_sha256": with_weights(receipt.content["record"], digest)["digest"],
            "weights_sha256": digest,
        }
        stopping = receipt.stopping
        if stopping is not None:
            # That the run ended when it says so was seen; other settings may have said the same.
            self.free.add("receipt.json", "settings.early_stopping")
        if stopping is not None and receipt.stretches.stops(stopping, receipt.history):
            wanted["stopped"] = stopping.reason
        elif final["stopped"]:
            # A callback's own reason, which nothing follows from. One that early stopping gives
            # tells of another early stopping than the settings do; beside one, nobody knows whether
            # its patience was longer than that of what ended the run.
            if stopping is not None and is_reason(final["stopped"]):
                note = (
                    f"final.stopped: by its settings early stopping does not end the run after "
                    f"epoch {receipt.epochs}, the receipt says {told(final['stopped'])}"
                )
                return Difference("receipt.json", receipt.epochs, note=note)
            doubtful = stopping is not None or is_reason(final["stopped"])
            (self.free.leave if doubtful else self.free.add)("receipt.json", "final.stopped")
        if receipt.stretches.told:
            # What the schedule makes of them was seen; others may have given the same.
            self.free.add("receipt.json", "settings.stretches")
        if receipt.epochs < receipt.planned:
            self.free.add("receipt.json", "settings.epochs")
        given = {name: final[name] for name in wanted}
        for place, first, second in differing(wanted, given, "final"):
            note = f"{place}: by its epochs {told(first)}, the receipt says {told(second)}"
            return Difference("receipt.json", receipt.epochs, note=note)
        return None

    def _metrics(self) -> Difference | None:
        path = self._folder.metrics_file
        if self._receipt.epochs == 0 and not path.exists():
            return None
        if self._lacks(path):
            return None
        rows, end = read_rows(path, ROW)
        if end:
            return self._differs(path, "its last line has no end")
        return self._history(path, rows)

    def _history(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> Difference | None:
        receipt = self._receipt
        wanted = [{"epoch": entry["epoch"], **entry["readable"]} for entry in receipt.entries[1:]]
        self.free.add(self._name(path), *_CLOCK)
        if not receipt.finished:
            # The receipt is written before them, epoch by epoch.
            wanted = wanted[: len(rows)]
        if len(rows) != len(wanted):
            note = f"it has {len(rows)} rows, the receipt has {receipt.epochs} epochs"
            return self._differs(path, note)
        own = [{name: row[name] for name in row if name not in _CLOCK} for row in rows]
        return self._first(path, {"rows": wanted}, {"rows": own})

    # Arrays

    def _weights(self, path: Path, epoch: int) -> Difference | None:
        if self._lacks(path):
            return None
        arrays, record = self._arrays(path)
        where = f"{path.name} (epoch {epoch})"
        wanted = self._receipt.entries[epoch]["weights_sha256"]
        if storage.digest(arrays) != wanted:
            model = self._receipt.content["model"]
            names = [*model["parameters"], *model["states"]]
            digests = wanted, storage.digest(arrays)
            return self._named(where, epoch, arrays, names, ("weights_sha256", digests))
        return self._record(path, record, wanted)

    def _arrays(self, path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
        """What a file of arrays holds; of its header the entries are compared, and not the form."""
        saved = storage.read_saved(path)
        if not saved.usual:
            self.free.add(self._name(path), "order and spaces of the header")
        return saved.arrays, saved.record

    def _kept_epochs(self) -> list[int]:
        """The epochs after which the state was kept, or was to be."""
        found, wanted = set(self._folder.kept_epochs()), set[int]()
        if self._receipt.content["start"] == "given":
            wanted.add(0)
        # Where a run was gone on with, too.
        starts = {each for each in self._receipt.stretches.starts if each <= self._receipt.epochs}
        wanted |= starts
        if self._keeps or len(found - starts) > 1:
            wanted.update(range(self._receipt.epochs + 1))
        return sorted(found | wanted)

    def _checkpoint(self, path: Path, epoch: int) -> Difference | None:
        self._compared.add(path)
        arrays, record = self._arrays(path)
        entry, where = self._receipt.entries[epoch], f"{self._name(path)} (epoch {epoch})"
        given = from_flat(arrays, epoch)
        found = {
            "weights_sha256": storage.digest(given.weights),
            "optimizer_sha256": optimizer_digest(given),
        }
        for name, digest in found.items():
            if digest != entry[name]:
                whole = name, (str(entry[name]), digest)
                return self._named(where, epoch, tensors_of(given), None, whole)
        return self._kinds(path, arrays, given) or self._record(
            path, record, entry["weights_sha256"]
        )

    def _kinds(
        self, path: Path, arrays: Mapping[str, Array], given: Checkpoint
    ) -> Difference | None:
        """Whether a checkpoint's names say of each array what it is."""
        model = self._receipt.content["model"]
        wrong = sorted(
            {*arrays}.symmetric_difference(flat(given))
            | {*given.parameters}.symmetric_difference(model["parameters"])
            | {*given.states}.symmetric_difference(model["states"])
        )
        return (
            self._differs(path, f"arrays of wrong names: {storage.listed(wrong)}")
            if wrong
            else None
        )

    def _record(
        self, path: Path, record: Mapping[str, Any], weights_sha256: str
    ) -> Difference | None:
        """The record of the model in the file's header."""
        wanted = with_weights(self._receipt.content["record"], weights_sha256)
        return self._first(path, wanted, record)

    def _last(self) -> Iterator[Difference | None]:
        receipt, path = self._receipt, self._folder.checkpoint_file
        if self._lacks(path):
            return
        stand, own = Stand.read(path), read_json(path, "checkpoint", LAST)
        file = path.with_name(stand.file)
        place = stand.epoch, stand.step
        if receipt.finished and place != (receipt.epochs, 0):
            yield self._differs(path, f"it must stand after epoch {receipt.epochs}, the last")
        if stand.epoch > receipt.epochs:
            yield self._differs(path, f"the receipt ends with epoch {receipt.epochs}")
        last = self._folder.load_last()
        wanted = {
            **Stand.of(
                last, Stand.name(*place), stand.sha256, storage.digest(last.weights)
            ).plain(),
            "history": own["history"],
        }
        if stand.step > 0:
            # What the receipt says of such a place it says in digests.
            wanted |= {name: own[name] for name in ("losses", "sums", "seconds")}
            self.free.add(self._name(path), "seconds")
        yield self._first(path, wanted, own)
        yield self._history(path, own["history"])
        if stand.step == 0:
            yield self._checkpoint(file, stand.epoch)
        else:
            yield self._within(path, file, replace(last, losses=stand.losses, sums=stand.sums))

    def _within(self, path: Path, file: Path, last: Checkpoint) -> Difference | None:
        """A checkpoint within an epoch, by what the receipt says of such."""
        self._compared.add(file)
        arrays, record = self._arrays(file)
        found, place = within_of(last), (last.epoch, last.step)
        known = [
            entry
            for entry in self._receipt.content.get("within", ())
            if (entry["epoch"], entry["step"]) == place
        ]
        if not known:
            said = f"it stands after {place[0]} epochs and {place[1]} steps"
            return self._differs(path, f"{said}, of which the receipt says nothing")
        if found not in known:
            return self._first(file, known[-1], found)
        return self._kinds(file, arrays, last) or self._record(
            file, record, found["weights_sha256"]
        )

    def _named(
        self,
        where: str,
        epoch: int,
        given: Mapping[str, Array],
        names: list[str] | None,
        whole: tuple[str, tuple[str, str]],
    ) -> Difference:
        """Which tensor of a file is another one.

        Args:
            where: the file.
            epoch: after which it was saved.
            given: its arrays.
            names: which tensors it is to hold; None for all.
            whole: the digest of all that differs: its name, the receipt's and the file's.
        """
        receipt, (name, digests) = self._receipt, whole
        details = receipt.details.get(epoch)
        recorded = {} if details is None else dict(details["tensors"])
        if names is not None:
            recorded = {tensor: recorded[tensor] for tensor in names if tensor in recorded}
        if recorded:
            found = compare_arrays(where, epoch, recorded, given, state_after(receipt, epoch))
            if found is not None:
                return found
        # Tensor by tensor nothing is known, or the receipt does not agree with its own steps.
        return Difference(where, epoch, note=f"{name}: receipt {digests[0]}, found {digests[1]}")

    # What all share

    def _rest(self) -> None:
        """Name what nothing of was compared."""
        for path in sorted(self._folder.path.rglob("*")):
            taken = {*self._compared, self._folder.held_file}
            if path not in taken and not path.is_dir():
                self.free.add(self._name(path))

    def _lacks(self, path: Path) -> bool:
        if path.exists():
            self._compared.add(path)
            return False
        self.missing.append(self._name(path))
        return True

    def _first(
        self, path: Path, wanted: Mapping[str, Any], given: Mapping[str, Any]
    ) -> Difference | None:
        for place, first, second in differing(wanted, given):
            note = f"{place}: the receipt has {told(first)}, the file {told(second)}"
            return self._differs(path, note)
        return None

    def _differs(self, path: Path, note: str) -> Difference:
        return Difference(self._name(path), self._receipt.epochs, note=note)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder.path).as_posix()

    @staticmethod
    def _bytes(path: Path) -> bytes:
        try:
            return read_file(path)
        except OSError as error:
            why = error.strerror or error
            raise CheckpointError(
                f"{path} cannot be read: {why}",
                path=path,
            ) from error
