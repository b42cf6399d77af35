"""What figures are called and worth, in sentences."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.data import Dataset, Splits
from isoconv.errors import DataWarning
from isoconv.nn import Sequential
from isoconv.train import score
from isoconv.train.words import by_heart, doubt_of_best, few, verdict, worth


@pytest.mark.parametrize(
    ("confusion", "stands"),
    [
        ([[5, 5], [4, 6]], "not shown to be better than"),
        ([[5, 5], [5, 5]], "no better than"),
        ([[4, 6], [6, 4]], "no better than"),
        ([[0, 10], [10, 0]], "worse than"),
        ([[10, 0], [0, 10]], ""),
    ],
)
def test_verdict(confusion: list[list[int]], stands: str) -> None:
    """Better is said of nothing that the interval leaves open, no better of what is not above."""
    said = verdict(score(confusion, 0), "'a'")
    wanted = f"the model is {stands} always saying 'a', on these 20 images" if stands else ""
    assert said == wanted


def test_worth_of_an_accuracy() -> None:
    """Interval and baseline always; doubts where there are any."""
    lines = worth(score([[5, 5], [4, 6]]), "'a'")
    assert lines == [
        "95% interval of the accuracy: 34.21% to 74.18%",
        "always saying 'a', the most frequent class of these images, would give 50.00%",
        "the model is not shown to be better than always saying 'a', on these 20 images",
        "20 images are few to measure with: they tell little of other images",
    ]
    assert len(worth(score([[50, 5], [4, 60]]), "'a'")) == 2
    assert few(29)
    assert not few(30)
    assert few(1).startswith("1 image is few")


@pytest.mark.parametrize(
    ("learned", "images", "confusion", "told"),
    [
        (0.86, 120, [[3, 5], [5, 2]], True),
        (0.99, 50_000, [[4700, 300], [300, 4700]], False),
        (0.99, 50_000, [[4000, 1000], [1000, 4000]], True),
        (0.86, 12, [[3, 5], [5, 2]], False),
        (0.30, 120, [[3, 5], [5, 2]], False),
    ],
)
def test_by_heart(learned: float, images: int, confusion: list[list[int]], told: bool) -> None:
    """Where both intervals lie five points apart, whatever the number of images."""
    assert bool(by_heart(score(confusion), "test", {"top1": learned}, images)) == told


@pytest.mark.parametrize(
    ("best", "last", "images", "told"),
    [
        (3 / 15, 8 / 15, 15, True),
        (7 / 15, 8 / 15, 15, False),
        (0.93, 0.96, 1000, False),
        (0.90, 0.96, 1000, True),
        (0.6, 0.2, 15, False),
    ],
)
def test_doubt_of_the_best_epoch(best: float, last: float, images: int, told: bool) -> None:
    """Two validation images and five points less make a doubt; more images recognised, none."""
    rows = [{"val_loss": 1.0, "val_top1": best}, {"val_loss": 2.0, "val_top1": last}]
    said = doubt_of_best(rows, "val_loss", images)
    assert bool(said) == told
    if told:
        assert "lowest validation loss" in said
        assert f"{best:.2%}" in said
        assert f"{last:.2%}" in said
    assert not doubt_of_best(rows, "val_top1", images)
    assert not doubt_of_best([], "val_loss", images)
    assert not doubt_of_best([{"loss": 1.0}], "val_loss", images)


def images_of(count: int, name: str = "made up") -> Dataset:
    """Noise in two classes."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 1), np.uint8)
    return Dataset.from_arrays(pixels, np.arange(count) % 2, ("a", "b"), name)


def small() -> Sequential:
    """A small classifier."""
    return ic.nn.Sequential(ic.nn.Flatten(), ic.nn.Linear(2))


def test_best_weights_are_doubted(tmp_path: Path) -> None:
    """`load(best=True)` warns with both figures where the last epoch recognised far more."""
    trainer = ic.Trainer(small(), batch_size=4, progress=False)
    out = tmp_path / "run"
    trainer.fit(images_of(16), images_of(14), epochs=2, out=out)
    file = out / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]

    def load_with(best: float, last: float) -> nn.Module:
        rows[0] |= {"val_loss": 1.0, "val_top1": best}
        rows[1] |= {"val_loss": 2.0, "val_top1": last}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ic.load(out, best=True)

    figures = r"is 21\.43%, that of the last epoch, 2, is 57\.14%"
    with pytest.warns(DataWarning, match=figures) as found:
        load_with(3 / 14, 8 / 14)
    assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_with(8 / 14, 3 / 14)
        ic.load(out)


def test_nothing_held_out_is_said() -> None:
    """Of a training without validation and test a note says what its figures are of."""
    said = "nothing is held out: figures are of the images that were learned from"
    trainer = ic.Trainer(small(), batch_size=4, progress=False)
    assert said in trainer.fit(images_of(8), epochs=1).notes
    assert said not in trainer.fit(images_of(8), images_of(6), epochs=1).notes


def test_notes_of_splits() -> None:
    """All parts' notes, each once, where the repr says that they are."""
    from dataclasses import replace

    notes = tuple(f"note {number}" for number in range(5))
    train = replace(images_of(8), notes=notes)
    splits = Splits(train, replace(images_of(6), notes=("note 1", "another")))
    assert splits.notes == (*notes, "another")
    assert repr(splits).endswith("3 more in .notes")
