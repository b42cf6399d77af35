"""What a run folder's files are worth by its receipt, without computing anything anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isoconv.errors import CheckpointError
from isoconv.nn import storage
from isoconv.train.callbacks import improves
from isoconv.train.checkpoint import Checkpoint, RunFolder
from isoconv.train.compare import Difference, compare_arrays, state_after
from isoconv.train.receipt import Receipt, differing
from isoconv.train.record import optimizer_digest, tensors_of

__all__ = ["check_files"]

Array = NDArray[Any]
_NORMALISE = "normalise:"


def check_files(receipt: Receipt) -> tuple[Difference | None, list[str]]:
    """Compare weight files and checkpoints of a run folder with its receipt.

    Args:
        receipt: of the run.

    Returns:
        The first file that is not what the receipt says, or None; and which files are not there.

    Raises:
        CheckpointError: a file cannot be read.
    """
    notes: list[str] = []
    for found in _differences(receipt, notes):
        if found is not None:
            return found, notes
    return None, notes


def _differences(receipt: Receipt, notes: list[str]) -> Iterator[Difference | None]:
    folder = RunFolder(receipt.folder)
    if receipt.finished:
        yield _weights(receipt, folder.weights_file, receipt.epochs, notes)
        # A run that was killed may hold best weights of an epoch that it will repeat.
        yield _weights(receipt, folder.best_file, _best_epoch(receipt), notes)
    for epoch in folder.kept_epochs():
        if epoch <= receipt.epochs:
            where = f"checkpoints/{folder.kept_file(epoch).name}"
            yield _checkpoint(receipt, where, folder.load_kept(epoch))
    if not folder.checkpoint_file.exists():
        notes.append("checkpoints/last.json is not there")
        return
    last = folder.load_last()
    # Within an epoch there is nothing in the receipt to compare it with.
    if last.step == 0 and last.epoch <= receipt.epochs:
        yield _checkpoint(receipt, "checkpoints/last.json", last)


def _weights(receipt: Receipt, path: Path, epoch: int, notes: list[str]) -> Difference | None:
    if not path.exists():
        notes.append(f"{path.name} is not there")
        return None
    arrays, _, _ = storage.read(path)
    own = {name: array for name, array in arrays.items() if not name.startswith(_NORMALISE)}
    where = f"{path.name} (epoch {epoch})"
    if storage.digest(own) != receipt.entries[epoch]["weights_sha256"]:
        names = [*receipt.content["model"]["parameters"], *receipt.content["model"]["states"]]
        digests = receipt.entries[epoch]["weights_sha256"], storage.digest(own)
        return _named(receipt, where, epoch, own, names, ("weights_sha256", digests))
    return _constants(receipt, where, epoch, arrays)


def _checkpoint(receipt: Receipt, where: str, given: Checkpoint) -> Difference | None:
    entry = receipt.entries[given.epoch]
    where = f"{where} (epoch {given.epoch})"
    found = {
        "weights_sha256": storage.digest(given.weights),
        "optimizer_sha256": optimizer_digest(given),
    }
    for name, digest in found.items():
        if digest != entry[name]:
            whole = name, (str(entry[name]), digest)
            return _named(receipt, where, given.epoch, tensors_of(given), None, whole)
    return None


def _named(
    receipt: Receipt,
    where: str,
    epoch: int,
    given: Mapping[str, Array],
    names: list[str] | None,
    whole: tuple[str, tuple[str, str]],
) -> Difference:
    """Which tensor of a file is another one.

    Args:
        receipt: of the run.
        where: the file.
        epoch: after which it was saved.
        given: its arrays.
        names: which tensors it is to hold; None for all.
        whole: the digest of all that differs: its name, the receipt's and the file's.
    """
    name, digests = whole
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


def _constants(
    receipt: Receipt, where: str, epoch: int, arrays: Mapping[str, Array]
) -> Difference | None:
    """The constants of normalisation that some weight files carry."""
    given = {
        name.removeprefix(_NORMALISE): [float(value).hex() for value in array]
        for name, array in arrays.items()
        if name.startswith(_NORMALISE)
    }
    wanted = receipt.content["normalisation"] or {}
    for place, first, second in differing({name: wanted.get(name) for name in given}, given):
        note = f"{_NORMALISE}{place}: the receipt has {first}, the file {second}"
        return Difference(where, epoch, note=note)
    return None


def _best_epoch(receipt: Receipt) -> int:
    """As `Run.best_epoch`.

    Raises:
        CheckpointError: the receipt's metrics make no sense.
    """
    watched = "val_loss" if receipt.content["data"].get("validation") else "loss"
    best: float | None = None
    epoch = 0
    for entry in receipt.entries[1:]:
        try:
            value = float.fromhex(entry["metrics"][watched])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"receipt {receipt.path} cannot be read: epoch {entry['epoch']} has no {watched}"
            ) from error
        if best is None or improves(watched, value, best):
            best, epoch = value, int(entry["epoch"])
    return epoch
