"""Training on: which normalisation a trained model goes on with, and which weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import make, network, noise

from isoconv import nn
from isoconv.data import Dataset, normalisation
from isoconv.errors import ArgumentError
from isoconv.train import Callback, Run, evaluate, verify


def bright(count: int = 28, seed: int = 3) -> Dataset:
    """Images that are brighter than those of `noise`."""
    data = noise(count, seed)
    return Dataset.from_arrays(data.images // 2 + 120, data.labels)


def trained(**settings: Any) -> nn.Sequential:
    """A model that was trained on noise."""
    model = network()
    make(model, **settings).fit(noise(), epochs=1)
    return model


def constants(model: nn.Module) -> list[bytes] | None:
    """Its normalisation as bytes."""
    return None if model.normalisation is None else [x.tobytes() for x in model.normalisation]


def of(data: Dataset) -> list[bytes]:
    """The normalisation that data ask for, as bytes."""
    return [x.tobytes() for x in normalisation(data)]


def test_other_images_need_a_word() -> None:
    """A second training on images of other brightness must say which normalisation it wants."""
    model = trained()
    before = model.digest()
    with pytest.raises(ArgumentError, match=r"other images: normalise='keep' .*'anew' takes that"):
        make(model).fit(bright(), epochs=1)
    assert model.digest() == before
    assert constants(model) == of(noise())


def test_the_same_images_need_none() -> None:
    """Training on with the images of before, or of a model that was never trained."""
    model = trained()
    run = make(model).fit(noise(), epochs=1)
    assert run.receipt["start"] == "given"
    assert constants(model) == of(noise())
    built = network().build((6, 6, 1), seed=9)
    make(built).fit(bright(), epochs=1)
    assert constants(built) == of(bright())


def test_keep_goes_on_with_the_models_own(tmp_path: Path) -> None:
    """The constants of the first training stay, in the receipt, a resume and a verification."""

    class PowerCut(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            raise RuntimeError(f"power cut in {run} after {row}")

    whole = make(trained(), normalise="keep").fit(bright(), epochs=2)
    assert constants(whole.model) == of(noise())
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        make(trained(), normalise="keep", callbacks=[PowerCut()]).fit(bright(), epochs=2, out=out)
    model = network()
    run = make(model, normalise="keep").resume(out, bright())
    assert run.digest == whole.digest
    assert constants(model) == of(noise())
    assert run.receipt["record"]["normalisation"] == whole.receipt["record"]["normalisation"]
    assert run.receipt["settings"]["normalise"] == "keep"
    for given in (None, network(), trained()):
        assert verify(out, given, bright()).identical
    # A model that was trained on something else in the meantime does not matter.
    other = network()
    make(other).fit(bright(28, 8), epochs=1)
    assert make(other, normalise="keep").resume(out, bright()).digest == whole.digest
    assert constants(other) == of(noise())


def test_anew_takes_that_of_the_images(tmp_path: Path) -> None:
    """It is said, for what the model learned belongs to the other one."""
    model = trained()
    run = make(model, normalise="anew").fit(bright(), epochs=1, out=tmp_path / "run")
    assert constants(model) == of(bright())
    replaced = "the model's normalisation is replaced by that of these images"
    assert replaced in run.notes
    assert run.receipt["record"]["normalisation"]["scale"] == [
        float(value).hex() for value in normalisation(bright())[0]
    ]
    assert verify(tmp_path / "run", None, bright()).identical
    again = make(model, normalise="anew").resume(tmp_path / "run", bright())
    assert replaced not in again.notes
    assert replaced not in make(model, normalise="anew").fit(bright(), epochs=1).notes


def test_without_normalisation_images_enter_as_they_are() -> None:
    """False leaves them alone, whatever the model was trained with."""
    model = trained()
    run = make(model, normalise=False).fit(noise(), noise(10, 1), epochs=1)
    assert model.normalisation is None
    assert run.receipt["record"]["normalisation"] is None
    assert evaluate(model, noise(10, 1)).loss == run.history[0]["val_loss"]
    # To keep what the model has is to keep none.
    assert make(model, normalise="keep").fit(bright(), epochs=1).model.normalisation is None


def test_keep_needs_something_to_keep() -> None:
    """A model that was never trained, and images of another dtype."""
    with pytest.raises(ArgumentError, match="'keep' needs a model that was trained; this one was"):
        make(normalise="keep").fit(noise(), epochs=1)
    floats = (noise().images.astype(np.float32), noise().labels)
    with pytest.raises(ArgumentError, match=r"needs images of dtype uint8, .*; got float32"):
        make(trained(), normalise="keep").fit(floats, epochs=1)
    with pytest.raises(ArgumentError, match="trained with the normalisation of other images"):
        make(trained()).fit(floats, epochs=1)
    by_hand = network().build((6, 6, 1))
    by_hand.normalisation = np.array([0.5], np.float32), np.array([1], np.float32)
    make(by_hand, normalise="keep").fit(noise(), epochs=1)
    assert [float(x[0]) for x in by_hand.normalisation] == [0.5, 1.0]


# Weights


def test_a_trained_body_in_a_new_model_goes_on_from_its_weights(tmp_path: Path) -> None:
    """Layers that have weights keep them; new ones are drawn from the trainer's seed."""
    body = trained()
    learned = {name: array.copy() for name, array in body.weights.items()}

    def whole() -> nn.Sequential:
        return nn.Sequential(*body.steps[:-1], nn.Linear(2))

    class First(Callback):
        def on_train_begin(self, run: Run) -> None:
            self.weights = run.model.weights

    first, other = First(), First()
    run = make(whole(), callbacks=[first], seed=4).fit(noise(), epochs=1, out=tmp_path / "run")
    assert run.receipt["start"] == "given"
    for name in ("0.weight", "0.bias", "1.running_mean"):
        assert first.weights[name].tobytes() == learned[name].tobytes()
    assert first.weights["5.weight"].tobytes() != learned["5.weight"].tobytes()
    assert verify(tmp_path / "run", None, noise()).identical
    make(whole(), callbacks=[other], seed=5).fit(noise(), epochs=1)
    assert other.weights["5.weight"].tobytes() != first.weights["5.weight"].tobytes()
    # All layers trained: there is nothing to draw.
    make(nn.Sequential(*trained().steps), callbacks=[other]).fit(noise(), epochs=1)
    assert other.weights["5.weight"].tobytes() == learned["5.weight"].tobytes()
