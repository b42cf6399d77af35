"""Verification in pieces: by any number of processes the same is found, in the same words."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Generator, Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.processes import children
from tests.train.small import difference, make, noise

from isoconv.data import Splits
from isoconv.errors import ArgumentError, CheckpointError, TrainingError
from isoconv.graph.operation import Array
from isoconv.run import pieces
from isoconv.train import EarlyStopping, Interrupted, piecewise, verify
from isoconv.train.compare import Difference
from isoconv.train.context import TrainingContext
from isoconv.train.learning_rate import Constant
from isoconv.train.optim import SGD
from isoconv.train.piecewise import Again, Epochs, Outcome
from isoconv.train.receipt import receipt_digest

SPLITS = Splits(noise(), noise(10, 1), noise(9, 2))


def fit(out: Path, **settings: Any) -> Path:
    """A run of six epochs with its checkpoints."""
    stopping = settings.pop("early_stopping", None)
    settings = {"optimizer": SGD(0.1, 0.9), "schedule": Constant(), "keep_checkpoints": True,
                **settings}  # fmt: skip
    make(**settings).fit(SPLITS, epochs=6, out=out, early_stopping=stopping)
    return out


def forge(run: Path, change: Callable[[Any], object]) -> None:
    """Change receipt and run.json, with a digest that fits."""
    path = run / "receipt.json"
    receipt = json.loads(path.read_text())
    change(receipt)
    path.write_text(json.dumps({**receipt, "digest": receipt_digest(receipt)}))
    described = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**described, "result": receipt["final"]}))


def lied(epochs: tuple[int, ...]) -> Callable[..., Array]:
    """Learning rates of which those of some epochs are not what the settings say."""
    real = TrainingContext.hyper

    def hyper(self: TrainingContext, first: int, count: int) -> Array:
        rows = real(self, first, count)
        return rows * np.float32(1.01) if first // self.per_epoch + 1 in epochs else rows

    return hyper


def without(*epochs: int) -> Callable[[Path], None]:
    """Takes kept checkpoints away."""

    def take(run: Path) -> None:
        for epoch in epochs:
            (run / f"checkpoints/epoch-{epoch:05d}.safetensors").unlink()

    return take


def nothing(_: Path) -> None:
    """Leaves a run as it is."""


def other_test(run: Path) -> None:
    """Another measurement with the test part than there was."""
    forge(run, lambda receipt: receipt["final"]["test"].update(loss=(0.5).hex()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "lies", "spoil", "epochs", "where"),
    [
        ({}, (), without(2, 3, 5), (2, 5), None),
        ({}, (3, 5), nothing, None, "epoch 3, step 2"),
        ({}, (5,), without(0, 1, 2, 4), None, "epoch 5, step 2"),
        ({}, (1,), without(1), (2, 6), None),
        ({}, (), other_test, None, "the measurement on the test part"),
        ({"early_stopping": EarlyStopping(9)}, (), nothing, None, None),
        ({"keep_checkpoints": False}, (4,), nothing, None, "epoch 4, step 2"),
    ],
    ids=["gaps", "two lies", "a lie in a gap", "a part", "test", "best", "none kept"],
)
def test_any_number_of_processes_finds_the_same(
    settings: dict[str, Any], lies: tuple[int, ...], spoil: Callable[[Path], None],
    epochs: tuple[int, int] | None, where: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every field of what is found, where it is found first, and all words."""
    with monkeypatch.context() as patch:
        patch.setattr(TrainingContext, "hyper", lied(lies))
        run = fit(tmp_path / "run", **settings)
    spoil(run)
    if epochs == (2, 6):
        with pytest.raises(CheckpointError, match="epoch-00001"):
            verify(run, None, SPLITS, epochs=epochs, workers=2)
        epochs = (3, 6)
    alone = verify(run, None, SPLITS, epochs=epochs, threads=1)
    shown = StringIO()
    found = verify(run, None, SPLITS, epochs=epochs, workers=2, progress=Console(file=shown))
    assert found == alone
    assert str(found) == str(alone)
    assert (difference(found).where if found.different else None) == where
    kept = settings.get("keep_checkpoints", True)
    assert ("note: one process trains all again, for no checkpoint" in shown.getvalue()) != kept
    assert (" pieces, each from a kept checkpoint: " in shown.getvalue()) == kept


class Backwards:
    """Has three pieces under way and gives the result of the last one first, or of another."""

    def __init__(self, outcomes: dict[int, Any], given: int = -1) -> None:
        self.outcomes = outcomes
        self.given = given
        self.taken: list[int] = []

    def map(
        self, _: Again, pieces: Iterable[Epochs], told: Callable[[Epochs, int], None]
    ) -> Generator[tuple[Epochs, Outcome], None, None]:
        """As a mapper does; what it is to raise, it raises in the place of a result."""
        waiting = iter(pieces)
        under_way: list[Epochs] = []
        while True:
            for piece in waiting:
                self.taken.append(piece.first)
                under_way.append(piece)
                if len(under_way) == 3:
                    break
            if not under_way:
                return
            piece = under_way.pop(self.given)
            outcome = self.outcomes.get(piece.first, Outcome())
            if isinstance(outcome, BaseException):
                raise outcome
            if not outcome.wrong:
                told(piece, piece.first)
            yield piece, outcome


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is what its receipt says."""
    return fit(tmp_path_factory.mktemp("true") / "run")


def through(
    outcomes: dict[int, Any], run: Path, monkeypatch: pytest.MonkeyPatch, given: int = -1
) -> tuple[Any, list[int]]:
    """What is found where pieces have these outcomes, and which were taken."""
    mapper = Backwards(outcomes, given)
    monkeypatch.setattr(piecewise, "mapper_for", lambda _: mapper)
    try:
        return verify(run, None, SPLITS, workers=3), mapper.taken
    except BaseException as error:  # noqa: BLE001
        return error, mapper.taken


def test_the_first_place_is_found_in_whatever_order(
    true: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier pieces are waited for, later ones not begun; errors count by their place too."""
    wrong = {number: Outcome(Difference(f"epoch {number}", number)) for number in (2, 3, 5)}
    found, taken = through(wrong, true, monkeypatch)
    assert (found.difference.where, taken) == ("epoch 2", [1, 2, 3])
    broken = {3: Outcome(error=CheckpointError("cannot be read"))}
    found, taken = through({**wrong, **broken}, true, monkeypatch)
    assert found.difference.where == "epoch 2"
    found, taken = through({**broken, 4: wrong[5]}, true, monkeypatch)
    assert (str(found), taken) == ("cannot be read", [1, 2, 3])
    found, _ = through({6: Outcome(test=Difference("the test", 6))}, true, monkeypatch)
    assert found.difference.where == "the test"
    found, _ = through({6: Outcome(untested=True)}, true, monkeypatch)
    assert not found.different
    assert not found.identical
    assert "receipt.json (isoconv, machine, model.name, final.test)" in str(found)
    found, _ = through({4: KeyboardInterrupt()}, true, monkeypatch, 0)
    assert isinstance(found, Interrupted)
    assert str(found) == "interrupted after epoch 3; no difference up to there"


def test_what_is_done_is_shown(true: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces, processes and their threads; each epoch; a bar on a terminal."""
    monkeypatch.setattr(pieces, "cores", lambda: 2)
    monkeypatch.setattr(piecewise, "mapper_for", lambda _: Backwards({}))
    shown = StringIO()
    verify(true, None, SPLITS, workers=4, progress=Console(file=shown))
    first, *lines = shown.getvalue().splitlines()
    assert first == (
        "6 epochs in 6 pieces, each from a kept checkpoint: 4 processes of 1 thread each, more "
        "than the 2 cores here"
    )
    assert lines[0] == "epoch 3 as in the receipt, 1 of 6"
    assert len(lines) == 6
    verify(true, None, SPLITS, workers=2, threads=1, progress=Console(file=shown))
    assert "2 processes of 1 thread each\n" in shown.getvalue()
    verify(true, None, SPLITS, epochs=(2, 2), workers=2, progress=Console(file=shown))
    assert shown.getvalue().splitlines()[-2] == "note: one process trains all again"
    bar = StringIO()
    terminal = Console(file=bar, force_terminal=True, width=80)
    verify(true, None, SPLITS, workers=2, progress=terminal)
    assert "verifying" in bar.getvalue()
    assert "6/6 epochs" in bar.getvalue()
    assert "as in the receipt" not in bar.getvalue()
    for workers in (0, 1.5, "2", None):
        with pytest.raises(ArgumentError, match="workers must be"):
            verify(true, None, SPLITS, workers=workers)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_process_that_dies_is_told(true: Path) -> None:
    """Nothing is said of the run then."""
    before = children()

    class Deadly(Console):
        def print(self, *objects: Any, **settings: Any) -> None:
            """As soon as an epoch is told, all other processes of this one are killed."""
            super().print(*objects, **settings)
            if str(objects[0]).startswith("epoch"):
                for child in children() - before:
                    os.kill(child, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"worked on epochs? \d.* was ended by SIGKILL"):
        verify(true, None, SPLITS, workers=2, progress=Deadly(file=StringIO()))
    assert not children() - before
