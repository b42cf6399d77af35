"""Settings that nobody gave: they follow from the training images, are said, kept and the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from rich.console import Console

import isoconv as ic
from isoconv import nn
from isoconv.data import Augmentation, Dataset
from isoconv.errors import ArgumentError
from isoconv.train import Recipe, Run, Trainer, optim, recipe, verify
from isoconv.train.learning_rate import Constant, OneCycle
from isoconv.train.recipe import Tunes


def data(count: int = 24, shape: tuple[int, ...] = (8, 8, 1)) -> Dataset:
    """Images of two classes, one of them bright above, the other below."""
    rng = np.random.default_rng(count)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, *shape))
    pixels[labels == 0, : shape[0] // 2] += 100
    pixels[labels == 1, shape[0] // 2 :] += 100
    return Dataset.from_arrays(pixels.astype(np.uint8), labels, name="halves")


def of(count: int, shape: tuple[int, ...] = (8, 8, 1)) -> Recipe:
    """The recipe for so many images, of which memory is taken for one."""
    images = np.broadcast_to(np.zeros(shape, np.uint8), (count, *shape))
    return Recipe.of(Dataset(images, np.zeros(count, np.int32), ("a", "b")))


def test_more_images_mean_larger_batches_and_fewer_epochs() -> None:
    """From 2 to 50,000: batches never shrink, epochs never grow, and steps grow with the images."""
    counts = [2, 50, 99, 100, 299, 300, 999, 1000, 2999, 3000, 9999, 10_000, 29_999, 30_000, 50_000]
    found = [of(count) for count in counts]
    batches, epochs = [each.batch_size for each in found], [each.epochs for each in found]
    assert batches == sorted(batches)
    assert epochs == sorted(epochs, reverse=True)
    # At least as many steps as a small network needs, with as few images as there may be.
    assert all(-(-n // r.batch_size) * r.epochs >= 100 for n, r in zip(counts, found, strict=True))
    assert -(-50 // found[1].batch_size) * found[1].epochs >= 500


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 8, 1), Augmentation(crop_padding=1)),
        ((28, 28, 1), Augmentation(crop_padding=1)),
        ((64, 96, 1), Augmentation(crop_padding=4)),
        ((64, 96, 3), Augmentation(crop_padding=8, flip=True)),
        ((24, 24, 3), Augmentation(crop_padding=3, flip=True)),
        ((23, 99, 3), Augmentation(crop_padding=1)),
        ((7, 7, 3), None),
    ],
)
def test_changes_suit_the_images(shape: tuple[int, ...], expected: Augmentation | None) -> None:
    """Photographs are mirrored and moved by an eighth of their side, others by a sixteenth."""
    assert of(10, shape).augmentation == expected


def test_what_was_learned_before_needs_less() -> None:
    """Half the epochs; images as they are where frozen layers give the same for them again."""
    found = {tunes: Recipe.of(data(120, (32, 32, 3)), tunes=tunes) for tunes in get_args(Tunes)}
    assert {tunes: (each.epochs, each.freeze) for tunes, each in found.items()} == {
        "head": (30, "all"), "part": (30, "all"), "all": (30, "none"),
    }  # fmt: skip
    assert [each.augmentation is None for each in found.values()] == [True, True, False]
    decays = [each.optimizer.weight_decay for each in found.values()]  # type: ignore[attr-defined]
    assert decays == [recipe.HEAD_DECAY, 0.01, 0.01]
    plain = Recipe.of(data(120, (32, 32, 3)))
    assert (plain.epochs, plain.freeze) == (60, None)


def test_a_shard_follows_from_the_batch_that_was_given() -> None:
    """A quarter of the batch, at least 8 and at most 32, and never more than the batch."""
    found = [recipe.shard_size_for(size) for size in (1, 7, 8, 31, 32, 50, 64, 128, 1000)]
    assert found == [1, 7, 8, 8, 8, 12, 16, 32, 32]
    assert Recipe.of(data(), batch_size=64).shard_size == 16


@pytest.mark.slow
def test_what_is_taken_is_said_and_kept(tmp_path: Path) -> None:
    """One line names every setting that nobody gave; run.json keeps their names and the line."""
    shown = StringIO()
    trainer = Trainer(progress=Console(file=shown, width=300))
    run = trainer.fit(data(), epochs=1, out=tmp_path / "run")
    line = (
        "chosen by the 24 training images of 8x8x1: small_resnet, batches of 8, shards of 8, "
        "AdamW(0.002), OneCycle(), images moved by up to 1 pixel"
    )
    assert line in shown.getvalue().splitlines()
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["facts"]
    assert facts["model"] == "small_resnet"
    assert facts["chosen"]["why"] == line
    assert facts["chosen"]["settings"] == [
        "model", "batch_size", "shard_size", "optimizer", "schedule", "augmentation",
    ]  # fmt: skip
    settings = run.description["settings"]
    assert (settings["batch_size"], settings["epochs"]) == (8, 1)
    # What is kept leaves nothing open.
    assert verify(tmp_path / "run", None, data(), progress=False).identical


def test_what_is_given_is_taken() -> None:
    """Nothing that a person gave is chosen anew, not even none."""
    shown = StringIO()
    trainer = Trainer(
        nn.Sequential(nn.Flatten(), nn.Linear(2)),
        optimizer=optim.SGD(0.1),
        schedule=Constant(),
        batch_size=6,
        shard_size=3,
        augmentation=None,
        progress=Console(file=shown, width=300),
    )
    run = trainer.fit(data(), epochs=1)
    assert "chosen" not in shown.getvalue()
    assert "chosen" not in run.description["facts"]
    settings = run.description["settings"]
    assert settings["augmentation"] is None
    assert settings["optimizer"] == {
        "type": "SGD", "learning_rate": 0.1, "momentum": 0.0, "nesterov": False,
        "weight_decay": 0.0,
    }  # fmt: skip
    assert settings["schedule"] == {"type": "Constant"}


@pytest.mark.slow
def test_each_fit_follows_from_its_own_images() -> None:
    """A trainer keeps what it was given: other images get other settings and another model."""
    trainer = Trainer(progress=False)
    few = trainer.fit(data(24), epochs=1)
    more = trainer.fit(data(120, (10, 10, 3)), epochs=1)
    assert few.description["settings"]["batch_size"] == 8
    assert more.description["settings"]["batch_size"] == 16
    assert (few.model.input_shape, more.model.input_shape) == ((8, 8, 1), (10, 10, 3))
    assert trainer.model is None


@pytest.mark.slow
def test_a_run_of_nothing_is_gone_on_with(tmp_path: Path) -> None:
    """Resumed by a trainer of the run's folder, or one that is told nothing, to the same bits."""
    whole = Trainer(progress=False).fit(data(), epochs=3)

    class Stop(ic.train.Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
            if row["epoch"] == 1:
                raise KeyboardInterrupt

    def told(out: Path) -> Trainer:
        return Trainer.from_run("small_resnet", out, progress=False)

    for number, make in enumerate((lambda _: Trainer(progress=False), told)):
        out = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            Trainer(progress=False, callbacks=[Stop()]).fit(data(), epochs=3, out=out)
        assert make(out).resume(out, data()).digest == whole.digest


def test_rules_that_change_leave_runs_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not given is taken from the run that is gone on with."""
    whole = Trainer(progress=False).fit(data(), epochs=1, out=tmp_path / "run")
    monkeypatch.setattr(recipe, "AMOUNTS", ())
    monkeypatch.setattr(recipe, "OTHERS", 2)
    again = Trainer(progress=False).resume(tmp_path / "run", data())
    assert again.digest == whole.digest
    assert again.description["settings"]["batch_size"] == 8
    with pytest.raises(ic.errors.CheckpointError, match=r"settings\.batch_size +8 +9"):
        Trainer(batch_size=9, progress=False).resume(tmp_path / "run", data())


def test_epochs_follow_from_the_images() -> None:
    """So many as the recipe says; none is trained here."""

    class Enough(ic.train.Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
            run.stop("seen")

    run = Trainer(callbacks=[Enough()], progress=False).fit(data())
    assert run.epochs == Recipe.of(data()).epochs == 100
    assert run.description["settings"]["schedule"]["type"] == type(OneCycle()).__name__


def test_a_ready_model_needs_classes() -> None:
    """Float targets have no number of classes to make a model for."""
    targets = Dataset.from_arrays(data().images, np.zeros((24, 2), np.float32))
    with pytest.raises(
        ArgumentError, match="give a Module with as many outputs in place of 'small"
    ):
        Trainer(loss="mse", progress=False).fit(targets, epochs=1)


def test_a_shard_that_was_given_may_be_too_large() -> None:
    """For the batch that follows from the images; the error has both numbers."""
    with pytest.raises(ArgumentError, match="shard_size must be at most batch_size; got 16 > 8"):
        Trainer(shard_size=16, progress=False).fit(data(), epochs=1)
