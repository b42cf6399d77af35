"""The record of a training's settings, and what follows from it; models are traced once."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from tests.train.small import make, network, noise

from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import Trace
from isoconv.nn.schema import Fields
from isoconv.train import Trainer, evaluate, verify
from isoconv.train.losses import Loss
from isoconv.train.recipe import RULES
from isoconv.train.settings import (
    ALL,
    HELD,
    OPTIONS,
    SETTINGS,
    STORED,
    TrainSettings,
    read_settings,
)
from isoconv.train.settled import settle


def test_a_trainer_takes_what_stands_in_the_record() -> None:
    """Its arguments are the model and the settings with their defaults; its page tells each."""
    taken = inspect.signature(Trainer).parameters
    assert list(taken) == ["model", *SETTINGS]
    assert {name: taken[name].default for name in SETTINGS} == {
        name: each.default for name, each in SETTINGS.items()
    }
    assert all(taken[name].kind is inspect.Parameter.KEYWORD_ONLY for name in SETTINGS)
    page = inspect.getdoc(Trainer) or ""
    for name, each in SETTINGS.items():
        assert f"    {name}: {' '.join(each.told.split()[:4])}" in page


def test_settings_are_frozen_and_can_be_replaced() -> None:
    """Nobody changes those of a training that runs; a copy with others is checked anew."""
    settings = TrainSettings(label_smoothing=0.25)
    with pytest.raises(FrozenInstanceError):
        settings.seed = 3  # type: ignore[misc]
    other = replace(settings, seed=3)
    assert (other.seed, other.loss, other.label_smoothing) == (3, Loss("cross_entropy", 0.25), 0.25)
    assert replace(settings, loss=Loss("cross_entropy", 0.5)).label_smoothing == 0.25
    assert TrainSettings(loss=Loss("cross_entropy", 0.5)).label_smoothing == 0.5
    with pytest.raises(ArgumentError, match="seed must be a whole number"):
        replace(settings, seed=-1)


def test_what_decides_the_bits_is_stored() -> None:
    """Every setting decides the bits or is free; the loss stands for both of its settings."""
    assert set(SETTINGS) == {*STORED, *OPTIONS, "label_smoothing", "start"}
    assert set(HELD) == {*STORED, "epochs", "early_stopping"}
    assert set(RULES) <= set(ALL)


def test_settings_of_a_run_fit_their_schema() -> None:
    """What is written is what is read back, setting by setting."""
    sparse: dict[str, Any] = {"freeze": ("0", "1"), "backbone_lr": 0.001}
    schema = Fields(
        {name: ALL[name].schema(name) for name in STORED if name not in sparse},
        {name: ALL[name].schema(name) for name in sparse},
    )
    assert not set(sparse) & set(settle(make(), network(), noise(), 3).plain())
    begun = network().build(noise().image_shape)
    plain = settle(make(**sparse), begun, noise(), 3).plain()
    assert list(schema.faults(plain, "settings")) == []
    again = TrainSettings(**read_settings(plain, "run.json"))
    assert again.plain() == plain
    for name in STORED:
        assert list(schema.faults({**plain, name: object()}, "settings")), name


def test_settings_without_one_or_with_another_are_refused() -> None:
    """A file of a stranger names what lacks."""
    plain = settle(make(), network(), noise(), 3).plain()
    del plain["seed"]
    with pytest.raises(CheckpointError, match=r"settings of r/run\.json .*unknown momentum, seed"):
        read_settings({**plain, "momentum": 1}, "r/run.json")


def test_what_no_file_holds_has_no_schema() -> None:
    """To ask for it is a fault of the program."""
    for name in ("callbacks", "progress", "executor", "target"):
        with pytest.raises(ValueError, match=f"no file holds {name}"):
            SETTINGS[name].schema(name)


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each trace of a model that is made was one in training."""
    made: list[bool] = []
    begin = Trace.__init__

    def counted(self: Trace, model: Any = None, *, training: bool = False, **more: Any) -> None:
        made.append(training)
        begin(self, model, training=training, **more)

    monkeypatch.setattr(Trace, "__init__", counted)
    return made


def test_a_fit_traces_its_model_once(traces: list[bool], tmp_path: Path) -> None:
    """A new model, a trained one, and one of a run; one more trace measures all other parts."""
    parts = noise(), noise(10, 1), noise(10, 2)
    trainer = make()
    trainer.fit(*parts, epochs=1)
    assert sorted(traces) == [False, True]
    traces.clear()
    trainer.fit(*parts, epochs=1, out=tmp_path / "run")
    assert sorted(traces) == [False, True]
    traces.clear()
    trainer.resume(tmp_path / "run", *parts, epochs=2)
    assert sorted(traces) == [False, True]
    traces.clear()
    make().fit(noise(), epochs=1)
    assert traces == [True]


def test_one_trace_gives_what_several_gave(tmp_path: Path) -> None:
    """Weights are those that the model draws by itself, and what was trained so is verified."""
    model = network()
    run = make(model, seed=5).fit(noise(), noise(10, 1), epochs=1, out=tmp_path / "run")
    assert run.receipt["start"] == "seed"
    own = network().build((6, 6, 1), seed=5)
    again = make(own, seed=5).fit(noise(), noise(10, 1), epochs=1)
    assert again.receipt["start"] == "seed"
    assert again.digest == run.digest
    assert verify(tmp_path / "run", None, noise(), noise(10, 1)).identical
    assert evaluate(model, noise(10, 1)).loss == pytest.approx(run.history[0]["val_loss"])
    given = make(network().build((6, 6, 1), seed=6), seed=5).fit(noise(), epochs=1)
    assert given.receipt["start"] == "given"
