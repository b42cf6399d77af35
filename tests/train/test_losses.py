"""Which loss a model is measured with: the one that it was trained with, as far as it knows."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.train.losses import Loss, known_loss

IMAGES = np.arange(96, dtype=np.uint8).reshape(8, 3, 4, 1)


@pytest.mark.parametrize(
    "loss", [Loss("focal"), Loss(label_smoothing=0.2), Loss(class_weights=(1, 3)), Loss("l1")]
)
def test_a_model_is_measured_with_the_loss_of_its_training(tmp_path: Path, loss: Loss) -> None:
    """A model that was trained, its copy and the one in its run give the figure of the run."""
    labels = np.array([[0], [1]] * 4, np.float32) if loss.name == "l1" else np.array([0, 1] * 4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1 if loss.name == "l1" else 2))
    trainer = ic.Trainer(model, loss=loss, batch_size=4, progress=False)
    data = IMAGES, labels
    run = trainer.fit(data, data, epochs=1, out=tmp_path / "run")
    for each in (model, copy.deepcopy(model), ic.load(tmp_path / "run")):
        measured = ic.evaluate(each, data)
        assert (measured.judged_by, measured.guessed) == (loss, False)
        assert measured.loss == run.history[-1]["val_loss"]
        assert f", {loss.words}" in repr(measured)


def test_a_guess_is_called_one(tmp_path: Path) -> None:
    """A file does not know the loss: what is measured is what suits the model, and says so."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1))
    numbers = IMAGES, np.array([[0], [1]] * 4, np.float32)
    ic.Trainer(model, loss="l1", batch_size=4, progress=False).fit(numbers, epochs=1)
    model.save(tmp_path / "model.safetensors")
    read = ic.load(tmp_path / "model.safetensors")
    assert known_loss(read) is None
    measured = ic.evaluate(read, numbers)
    assert (measured.judged_by, measured.guessed) == (Loss("mse"), True)
    assert "mean squared error (a guess: the model does not say" in repr(measured)
    asked = ic.evaluate(read, numbers, loss="l1")
    assert (asked.judged_by, asked.guessed) == (Loss("l1"), False)


def test_a_training_that_does_not_begin_leaves_the_loss_as_it_was() -> None:
    """What a model knows of its loss is of the training whose weights it holds."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    data = IMAGES, [0, 1] * 4
    ic.Trainer(model, loss="focal", batch_size=4, progress=False).fit(data, epochs=1)

    class Stop(ic.train.Callback):
        """A fault before the first step."""

        def on_train_begin(self, run: ic.train.Run) -> None:
            raise ValueError(run)

    trainer = ic.Trainer(model, batch_size=4, progress=False, callbacks=[Stop()])
    with pytest.raises(ValueError, match="Run"):
        trainer.fit(data, epochs=1)
    assert known_loss(model) == Loss("focal")


def test_a_loss_has_its_own_smoothing() -> None:
    """Smoothing beside a loss that says another one is refused, not left out."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((3, 4, 1))
    with pytest.raises(ArgumentError, match="label_smoothing must be left out beside Loss"):
        ic.evaluate(model, (IMAGES, [0, 1] * 4), loss=Loss("focal"), label_smoothing=0.1)
