"""A checkpoint within an epoch is held to its receipt: whatever was altered there is found."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import difference, make, network, noise

from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.run.training import TrainingEngine
from isoconv.train import Interrupted, Receipt, session, verify
from isoconv.train.optim import SGD
from isoconv.train.receipt import receipt_digest
from isoconv.train.stored import check_files

TRAIN, TEST = noise(), noise(10, 1)


def settings() -> dict[str, Any]:
    """Of the run."""
    return {"optimizer": SGD(0.1, 0.9), "schedule": None, "clip_norm": None}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted after two steps of its second epoch."""
    out = tmp_path_factory.mktemp("within") / "run"
    real, done = TrainingEngine.steps, []

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        done.append(first)
        if len(done) == 6:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CALL_SECONDS", 0.0)
        patch.setattr(TrainingEngine, "steps", steps)
        with pytest.raises(Interrupted):
            make(**settings()).fit(TRAIN, TEST, epochs=3, out=out)
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(original, tmp_path / "run")


def change(path: Path, alter: Callable[[Any], object], **more: Any) -> None:
    """Alter a JSON file."""
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps({**content, **more}))


def last_of(run: Path) -> tuple[Path, Path]:
    """Its last.json, and the file with the arrays."""
    (arrays,) = (run / "checkpoints").glob("last-*.safetensors")
    return run / "checkpoints" / "last.json", arrays


def sign(path: Path) -> None:
    """Give a receipt a digest that fits."""
    change(path, lambda receipt: receipt.update(digest=receipt_digest(receipt)))


def rewrite(run: Path, arrays: dict[str, Array], record: dict[str, Any]) -> None:
    """Give the checkpoint other arrays, and last.json the digests that fit."""
    last, path = last_of(run)
    storage.write(path, arrays, record)
    weights = {
        name.partition(":")[2]: array
        for name, array in arrays.items()
        if not name.startswith("slot:")
    }
    change(
        last,
        lambda _: None,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        weights_sha256=storage.digest(weights),
    )


def test_as_it_is_nothing_differs(run: Path) -> None:
    """The checkpoint agrees with the receipt, which names it; that is not all of the run."""
    (entry,) = Receipt.read(run).content["within"]
    assert (entry["epoch"], entry["step"]) == (1, 2)
    found = verify(run, network(), TRAIN, TEST)
    assert not found.different
    assert not found.identical
    assert last_of(run)[1].relative_to(run).as_posix() in found.compared


def test_every_tensor_is_compared(run: Path) -> None:
    """One bit of each array, with digests made anew: weights, states and vectors."""
    arrays, record = storage.read(last_of(run)[1])
    for name in arrays:
        spoiled = arrays[name].copy()
        spoiled.reshape(-1).view(np.uint32)[-1] ^= 1
        rewrite(run, {**arrays, name: spoiled}, record)
        found = difference(check_files(Receipt.read(run)))
        assert found is not None, name
        kind = "optimizer" if name.startswith("slot:") else "weights"
        where = "checkpoints/last-00001-0000002.safetensors"
        assert found.where == where
        assert found.note.startswith(f"{kind}_sha256: the receipt has ")
    name = next(iter(arrays))
    renamed = {f"state:{name.partition(':')[2]}": arrays[name]}
    rest = {other: arrays[other] for other in arrays if other != name}
    rewrite(run, {**rest, **renamed}, record)
    assert "arrays of wrong names" in difference(check_files(Receipt.read(run))).note
    rewrite(run, arrays, {**record, "finish": "none"})
    assert difference(check_files(Receipt.read(run))).note.startswith("finish: the receipt has")
    rewrite(run, arrays, record)
    assert check_files(Receipt.read(run)).difference is None


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda last: last["losses"].reverse(), "losses_sha256: the receipt has"),
        (lambda last: last["sums"].update(loss=(1.5).hex()), "sums.loss: the receipt has"),
        (lambda last: last["sums"].pop("loss"), "sums.loss: the receipt has"),
        (lambda last: last.update(step=1, losses=last["losses"][:1]), "file: the receipt has"),
        (lambda last: last.update(step=0, losses=[], sums={}), "file: the receipt has"),
        (lambda last: last.update(epoch=0, history=[]), "file: the receipt has"),
        (lambda last: last["history"][0].update(loss=0.5), r"rows\[0\].loss: the receipt has"),
    ],
)
def test_every_number_is_compared(run: Path, alter: Callable[[Any], object], message: str) -> None:
    """Losses, sums, and where it stands."""
    import re

    change(last_of(run)[0], alter)
    found = difference(check_files(Receipt.read(run)))
    assert found is not None
    assert re.match(message, found.note)


def test_a_place_that_the_receipt_does_not_know_is_different(run: Path) -> None:
    """Another step with a file of the right name; and a receipt without the entry."""
    last, path = last_of(run)
    other = path.with_name("last-00001-0000001.safetensors")
    shutil.copy(path, other)
    before = last.read_text()
    change(
        last,
        lambda content: content.update(step=1, losses=content["losses"][:1], file=other.name),
    )
    note = "it stands after 1 epochs and 1 steps, of which the receipt says nothing"
    assert difference(check_files(Receipt.read(run))).note == note
    last.write_text(before)
    change(run / "receipt.json", lambda receipt: receipt.pop("within"))
    sign(run / "receipt.json")
    assert (
        "of which the receipt says nothing" in difference(verify(run, network(), TRAIN, TEST)).note
    )


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda within: within[0].update(epoch=2), r"within\[0\]\.epoch must be at most 1"),
        (lambda within: within[0].update(epoch=-1), r"within\[0\]\.epoch must be a whole number"),
        (lambda within: within[0].update(step=0), r"within\[0\]\.step must be a whole number"),
        (lambda within: within[0].update(more=1), r"within\[0\]\.more must not be there"),
        (lambda within: within[0].pop("sums"), r"within\[0\]\.sums must be there"),
        (lambda within: within.clear(), "within must have 1 to 2 entries"),
        (lambda within: within.extend(within * 2), "within must have 1 to 2 entries"),
        (lambda within: within[0]["sums"].update(loss="0.5"), r"sums\.loss must be a finite num"),
    ],
)
def test_the_entry_has_a_schema(run: Path, alter: Callable[[Any], object], message: str) -> None:
    """Also with a digest that fits."""
    change(run / "receipt.json", lambda receipt: alter(receipt["within"]))
    with pytest.raises(CheckpointError, match="was edited"):
        Receipt.read(run)
    sign(run / "receipt.json")
    with pytest.raises(CheckpointError, match=message):
        Receipt.read(run)


def test_an_altered_checkpoint_is_not_gone_on_with(run: Path) -> None:
    """Resume refuses arrays and sums that are not the receipt's, and touches nothing."""
    arrays, record = storage.read(last_of(run)[1])
    spoiled = {name: array + np.float32(1) for name, array in arrays.items()}
    rewrite(run, spoiled, record)
    held = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError):
        make(**settings()).resume(run, TRAIN, TEST)
    assert held == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rewrite(run, arrays, record)
    resumed = make(**settings()).resume(run, TRAIN, TEST)
    whole = make(**settings()).fit(TRAIN, TEST, epochs=3)
    assert resumed.digest == whole.digest
    assert "within" not in Receipt.read(run).content
    assert verify(run, network(), TRAIN, TEST).identical
