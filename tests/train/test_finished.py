"""A finished run is never trained over, whatever was made of its texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.train.small import make, noise

from isoconv.errors import CheckpointError
from isoconv.run.training import TrainingEngine
from isoconv.train import EarlyStopping, RunFolder
from isoconv.train.receipt import receipt_digest

TRAIN, TEST = noise(), noise(10, 1)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three epochs, all of which it kept."""
    out = tmp_path_factory.mktemp("finished") / "run"
    make(keep_checkpoints=True).fit(
        TRAIN, TEST, epochs=3, out=out, early_stopping=EarlyStopping(9, restore_best=False)
    )
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, which no step is trained of."""

    def never(*_: object) -> None:
        raise AssertionError("a step of a finished run was trained")

    monkeypatch.setattr(TrainingEngine, "steps", never)
    return shutil.copytree(original, tmp_path / "run")


def change(path: Path, alter: Callable[[Any], object]) -> None:
    """Alter a JSON file."""
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


def stand_at(run: Path, epoch: int) -> None:
    """Make last.json that of an earlier epoch, as it was then."""
    folder = RunFolder(run)
    kept = folder.load_kept(epoch)
    shutil.copy(folder.kept_file(epoch), run / "checkpoints" / f"last-{epoch:05d}-0000000.safeten"
                "sors")  # fmt: skip
    import hashlib

    from isoconv.nn import storage

    sha256 = hashlib.sha256(folder.kept_file(epoch).read_bytes()).hexdigest()
    change(
        folder.checkpoint_file,
        lambda last: last.update(
            epoch=epoch,
            file=f"last-{epoch:05d}-0000000.safetensors",
            sha256=sha256,
            weights_sha256=storage.digest(kept.weights),
            history=last["history"][:epoch],
        ),
    )


def no_result(description: dict[str, Any]) -> None:
    """As if the run had not ended."""
    description.pop("result")


def more_epochs(description: dict[str, Any]) -> None:
    """As if the run had more epochs to go."""
    description["settings"]["epochs"] = 9
    description.pop("result", None)


def sign(receipt: dict[str, Any]) -> None:
    """A digest that fits."""
    receipt["digest"] = receipt_digest(receipt)


def without_result(run: Path, epoch: int) -> None:
    """As if the run had stopped at an epoch and not ended."""
    stand_at(run, epoch)
    change(run / "run.json", no_result)


def stopped(description: dict[str, Any]) -> None:
    """As if the run had not ended, and had been stopped."""
    no_result(description)
    description.update(stopped="by hand")


def stopped_earlier(run: Path) -> None:
    """As if the run had been stopped after its first epoch."""
    change(run / "run.json", stopped)
    stand_at(run, 1)


def no_end(receipt: dict[str, Any]) -> None:
    """A receipt of a run that has not ended."""
    receipt.update(final=None)
    sign(receipt)


def no_end_in_the_receipt(run: Path) -> None:
    """The receipt has no end, and the run stands at its first epoch."""
    change(run / "receipt.json", no_end)
    without_result(run, 1)


def no_receipt(run: Path) -> None:
    """The receipt is gone, and the run stands at its first epoch."""
    (run / "receipt.json").unlink()
    without_result(run, 1)


ALTERATIONS: dict[str, Callable[[Path], None]] = {
    "last.json stands at the first epoch": lambda run: stand_at(run, 1),
    "last.json stands before the first step": lambda run: stand_at(run, 0),
    "last.json stands at the second epoch, no result": lambda run: without_result(run, 2),
    "last.json says that it is within an epoch": lambda run: change(
        run / "checkpoints" / "last.json", lambda last: last.update(step=1, losses=[(1.0).hex()])
    ),
    "last.json says that it stands earlier": lambda run: change(
        run / "checkpoints" / "last.json",
        lambda last: last.update(epoch=2, history=last["history"][:2]),
    ),
    "run.json has more epochs": lambda run: change(run / "run.json", more_epochs),
    "run.json has other early stopping": lambda run: change(
        run / "run.json", lambda run: run["settings"]["early_stopping"].update(patience=1)
    ),
    "run.json has another result": lambda run: change(
        run / "run.json", lambda run: run["result"].update(stopped="by hand", epochs=2)
    ),
    "run.json has a result that says nothing": lambda run: change(
        run / "run.json", lambda run: run.update(result=None)
    ),
    "run.json was stopped, and stands earlier": stopped_earlier,
    "the receipt has no end, but the weights are there": no_end_in_the_receipt,
    "the receipt is gone, but the weights are there": no_receipt,
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_ends_with_an_error_and_touches_nothing(run: Path, name: str) -> None:
    """Each way to make it look unfinished."""
    ALTERATIONS[name](run)
    held = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError):
        make().resume(run, TRAIN, TEST)
    assert held == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_without_its_result_the_end_is_written_again(run: Path, original: Path) -> None:
    """As after a kill before the last write: nothing is trained, and the same is there again."""
    change(run / "run.json", no_result)
    make().resume(run, TRAIN, TEST)
    for path in original.rglob("*"):
        if path.is_file():
            assert (run / path.relative_to(original)).read_bytes() == path.read_bytes(), path
