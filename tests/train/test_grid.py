"""A search through a grid: each combination is a cross-validation, all on the same folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.train.small import make, network, noise

import isoconv as ic
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.train import (
    Callback,
    CrossValidationInterrupted,
    Grid,
    Run,
    cross_validate,
    grid_search,
)
from isoconv.train.optim import SGD, AdamW

DATA = noise(20)
OVER: dict[str, list[Any]] = {"optimizer": [SGD(0.1), AdamW(0.01)], "epochs": [1, 2]}


def searched(out: Path | None = None, over: Any = OVER, **settings: Any) -> Grid:
    """Four combinations of two folds."""
    own = {name: settings.pop(name) for name in ("workers", "seed") if name in settings}
    return grid_search(make(threads=1, **settings), DATA, over, 2, out=out, **own)


def digests(out: Path) -> dict[str, str]:
    """Of the receipts of all runs."""
    return {
        path.relative_to(out).as_posix(): json.loads(path.read_text())["digest"]
        for path in out.rglob("receipt.json")
    }


class Breaks(Callback):
    """Interrupts at an epoch that is counted over all runs."""

    def __init__(self, last: int) -> None:
        self.last, self.epochs = last, 0

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """As Ctrl-C does."""
        self.epochs += 1
        if self.epochs == self.last:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_each_combination_is_a_cross_validation(tmp_path: Path) -> None:
    """The same bits alone, by two processes, and where the search was interrupted."""
    whole = searched(tmp_path / "whole", workers=2)
    assert [dict(each.settings) for each in whole.combinations] == [
        {"optimizer": optimizer, "epochs": epochs}
        for optimizer in OVER["optimizer"]
        for epochs in (1, 2)
    ]
    counting = Breaks(7)
    with pytest.raises(CrossValidationInterrupted, match="interrupted with 4 of 8 folds done; go"):
        searched(tmp_path / "cut", callbacks=[counting])
    again = Breaks(0)
    cut = searched(tmp_path / "cut", callbacks=[again])
    assert (counting.epochs, again.epochs) == (7, 5)
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")
    assert len(digests(tmp_path / "cut")) == 8
    assert str(cut) == str(whole)
    alone = cross_validate(
        make(threads=1, optimizer=AdamW(0.01)), DATA, 2, epochs=1, out=tmp_path / "alone"
    )
    third = whole.combinations[2].found
    assert (alone.mean, alone.std) == (third.mean, third.std)
    assert digests(tmp_path / "alone") == digests(tmp_path / "whole" / "combination-3")
    record = json.loads((tmp_path / "whole" / "grid.json").read_text())
    means = [float.fromhex(each["mean"]["top1"]) for each in record["results"]]
    assert means == [each.found.mean["top1"] for each in whole.combinations]
    assert record["best"] == whole.best.number == 1 + means.index(max(means))
    title, first, *_, last = str(whole).splitlines()
    assert title.split()[:4] == ["optimizer", "epochs", "loss", "loss"]
    assert first.split()[:3] == ["1", "SGD(0.1)", "1"]
    told = "best by the mean accuracy over 2 folds, which it was chosen by: "
    assert last == f"{told}{whole.best.number}"
    crossed = json.loads((tmp_path / "whole/combination-1/cross-validation.json").read_text())
    assert crossed["mean"] == record["results"][0]["mean"]


@pytest.mark.slow
def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    """What is no setting, no list, out of range, or was begun otherwise; nothing is left."""
    wrong: tuple[tuple[Any, str], ...] = (
        ({"lr": [1]}, r"over must name settings to vary, of model, epochs, .*; got 'lr'"),
        ({}, "over must name settings to vary"),
        ({"epochs": 3}, "over must have a list of values for epochs; got 3"),
        ({"epochs": [1, 0]}, "epochs must be"),
        ({"threads": [1, 2]}, "got 'threads'"),
        ({"batch_size": [8, 2], "shard_size": [4]}, "shard_size must be at most batch_size"),
    )
    for over, said in wrong:
        with pytest.raises(ArgumentError, match=said) as caught:
            searched(tmp_path / "new", over=over)
        assert caught.value.argument == "over"
    with pytest.raises(ArgumentError, match="combination 1, fold 1: freeze must be left out"):
        searched(tmp_path / "new", over={"freeze": ["all"]})
    assert not (tmp_path / "new").exists()
    out, over = tmp_path / "run", {"model": [network(), "lenet5"], "epochs": [1]}
    images = ic.data.Dataset.from_arrays(ic.data.load("fashion-sample").images[:8], [0, 1] * 4)
    trainer = ic.Trainer(None, threads=1, progress=False)
    found = grid_search(trainer, images, over, 2, out=out)
    assert [row[:3] for row in found.table()[1]] == [("1", "Sequential", "1"), ("2", "lenet5", "1")]
    with pytest.raises(ArgumentError, match=r"as it began only; what differs:\n.*\nover\.epochs"):
        grid_search(trainer, images, {**over, "epochs": [1, 2]}, 2, out=out)
    with pytest.raises(CheckpointError, match="is a search through a grid, whose runs are"):
        ic.load(out)
    with pytest.raises(ArgumentError, match=r"holds grid\.json of another run"):
        make().fit(DATA, epochs=1, out=out)
