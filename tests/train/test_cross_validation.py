"""Cross-validation: each fold a run like any other, the same bits by any number of processes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.train.small import make, network, noise

import isoconv as ic
from isoconv.data import Folds, Splits
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.train import (
    Callback,
    CrossValidation,
    CrossValidationInterrupted,
    EarlyStopping,
    Run,
    Trainer,
    cross_validate,
    verify,
)

DATA = noise(30)


def validated(out: Path | None = None, **settings: Any) -> CrossValidation:
    """Three folds of the small images, two epochs each."""
    own = {name: settings.pop(name) for name in ("workers", "folds", "seed") if name in settings}
    return cross_validate(
        make(**settings), DATA, own.pop("folds", 3), validation=0.2, epochs=2, out=out,
        early_stopping=EarlyStopping(5), facts={"who": "test"}, **own,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that nobody disturbed."""
    out = tmp_path_factory.mktemp("folds") / "whole"
    validated(out)
    return out


def digests(out: Path) -> list[str]:
    """Of the receipts of all folds."""
    results = json.loads((out / "cross-validation.json").read_text())["results"]
    receipts = [json.loads((out / each["folder"] / "receipt.json").read_text()) for each in results]
    assert [each["receipt_sha256"] for each in results] == [each["digest"] for each in receipts]
    return [each["digest"] for each in receipts]


@pytest.mark.slow
def test_processes_change_no_bit(whole: Path, tmp_path: Path) -> None:
    """Receipts of all runs are the same; each is that of its fold, verified by itself."""
    several = validated(tmp_path / "several", workers=2, threads=None)
    assert digests(tmp_path / "several") == digests(whole)
    alone = validated()
    assert [fold.weights_sha256 for fold in alone.folds] == [
        fold.weights_sha256 for fold in several.folds
    ]
    assert (alone.mean, alone.std, alone.folder) == (several.mean, several.std, None)
    for fold, splits in enumerate(Folds(DATA, 3, validation=0.2), 1):
        out = tmp_path / "several" / f"fold-{fold}"
        found = verify(out, None, splits)
        assert found.identical
        assert several.folds[fold - 1].folder == out
        model = ic.load(out)
        assert splits.test is not None
        measured = ic.train.evaluate(model, splits.test)
        assert several.folds[fold - 1].metrics == measured.metrics
    tests = [fold.metrics["top1"] for fold in several.folds]
    assert several.mean["top1"] == pytest.approx(statistics.mean(tests), rel=1e-15)
    assert several.std["top1"] == pytest.approx(statistics.stdev(tests), rel=1e-12)
    record = json.loads((whole / "cross-validation.json").read_text())
    assert float.fromhex(record["mean"]["loss"]) == several.mean["loss"]
    assert record["facts"] == {"who": "test"}
    title, first, *_, mean, std = str(several).splitlines()
    assert title.split() == ["fold", "learned", "tested", "epochs", "loss", "accuracy"]
    assert first.split()[:4] == ["1", "16", "10", "2"]
    assert mean.split() == ["mean", f"{several.mean['loss']:.4f}", f"{several.mean['top1']:.2%}"]
    assert std.startswith("std ")


class Breaks(Callback):
    """Interrupts one run after its first epoch; counts the epochs."""

    def __init__(self, fold: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.fold, self.error, self.epochs = fold, error, 0

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Only in its fold."""
        self.epochs += 1
        if run.description["split"]["fold"] == self.fold and row["epoch"] == 1:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_left_is_gone_on_with(
    error: type[BaseException], whole: Path, tmp_path: Path
) -> None:
    """To the same receipts; what was done is not done again."""
    out = tmp_path / "cut"
    said = r"interrupted with 1 of 3 folds done; go on with the same call and out='.*cut'"
    kind = CrossValidationInterrupted if error is KeyboardInterrupt else RuntimeError
    with pytest.raises(kind, match=said if error is KeyboardInterrupt else None):
        validated(out, callbacks=[Breaks(2, error)])
    assert json.loads((out / "cross-validation.json").read_text())["results"] is None
    assert not (out / "fold-3").exists()
    counting = Breaks(0)
    validated(out, callbacks=[counting])
    assert counting.epochs == 3
    assert digests(out) == digests(whole)
    again = Breaks(0)
    validated(out, callbacks=[again])
    assert again.epochs == 0
    assert digests(out) == digests(whole)
    assert not [path.name for path in out.rglob(".*")]


@pytest.mark.slow
def test_what_cannot_be_is_refused(whole: Path, tmp_path: Path) -> None:
    """Another plan, a run's folder, other images; what never began leaves nothing."""
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    for settings, said in (
        ({"folds": 4}, r"as it began only; what differs:\n.*\nfolds +3 +4"),
        ({"seed": 1}, "split_seed"),
        ({"clip_norm": 0.5}, "settings.clip_norm"),
    ):
        with pytest.raises(ArgumentError, match=said):
            validated(whole, **settings)
    with pytest.raises(ArgumentError, match="fold-1 holds a run; a cross-validation needs"):
        validated(whole / "fold-1")
    with pytest.raises(ArgumentError, match=r"holds cross-validation\.json of another run or"):
        make().fit(DATA, epochs=1, out=whole)
    for wrong in (lambda: ic.load(whole), lambda: make().resume(whole, DATA)):
        with pytest.raises(CheckpointError, match="is a cross-validation, whose runs are the fold"):
            wrong()
    with pytest.raises(CheckpointError, match=r"fold 1: .*what differs"):
        validated(whole, model=ic.nn.Sequential(ic.nn.Flatten(), ic.nn.Linear(2)))
    (tmp_path / "cross-validation.json").write_text("[")
    with pytest.raises(CheckpointError, match="cannot be read"):
        validated(tmp_path)
    assert (tmp_path / "cross-validation.json").read_text() == "["
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
    for workers in (1, 2):
        with pytest.raises(ArgumentError, match=r"fold [12]: freeze must be left out"):
            validated(tmp_path / "new" / "one", freeze="all", workers=workers)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ArgumentError, match="folds must leave each fold a sample"):
        cross_validate(make(), DATA, 31)
    with pytest.raises(ArgumentError, match="trainer must be a Trainer"):
        cross_validate(network(), DATA)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_runs_have_to_say_is_said_once(workers: int) -> None:
    """Lines of all runs with their fold; what is so of all of them is not repeated."""
    shown = StringIO()
    trainer = Trainer(network(), progress=Console(file=shown), threads=1, batch_size=8)
    splits = Splits(noise(16), noise(6, 1), noise(9, 2))
    found = cross_validate(trainer, splits, 2, epochs=1, workers=workers)
    assert [fold.samples for fold in found.folds] == [{"train": 8, "validation": 6, "test": 8}] * 2
    lines = shown.getvalue().splitlines()
    assert [line for line in lines if "fold 2: epoch 1/1  loss" in line]
    assert len([line for line in lines if "chosen by the 8 training images" in line]) == 1
    assert len([line for line in lines if " of 2: tested with it, loss 0." in line]) == 2
    divided = "folds are trained by 2 processes of 1 thread each"
    assert any(line.startswith(divided) for line in lines) == (workers == 2)


def test_a_trained_model_is_where_each_fold_begins(tmp_path: Path) -> None:
    """Its weights are those of every first step, and it stays as it is."""
    model = network().build((6, 6, 1), seed=5)
    before = model.digest()
    validated(tmp_path / "run", model=model)
    assert model.digest() == before
    firsts = {
        json.loads((tmp_path / f"run/fold-{fold}/receipt.json").read_text())["epochs"][0][
            "weights_sha256"
        ]
        for fold in (1, 2, 3)
    }
    assert firsts == {before}
    targets = np.zeros((12, 3), np.float32)
    regressed = cross_validate(
        make(ic.nn.Sequential(ic.nn.Flatten(), ic.nn.Linear(3)), loss="mse"),
        (DATA.images[:12], targets), 2, epochs=1,
    )  # fmt: skip
    assert list(regressed.mean) == ["loss"]
